//! Whose credentials are made next, and whose not now.
//!
//! Anybody can send a start-up in a device's name at the default door, and each one asks for a key pair. So one device
//! has one place in the line, and the number made for it within a window is bounded, for each sender and for all of
//! them. What was made is never given out twice instead: the key of a phone would be in the hands of whoever asked.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use callboard_core::device::DeviceId;
use callboard_core::time::Timestamp;
use foldhash::fast::RandomState;
use metrics::{Gauge, gauge};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Bounds on the making of credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineLimits {
    /// Made at the same time, on threads of their own.
    pub at_once: usize,
    /// Devices that wait, beside those.
    pub waiting: usize,
    /// How long one waits.
    pub wait: Duration,
    /// Made for one device within `window`.
    pub per_device: usize,
    /// Of those, made for messages from one address.
    pub per_source: usize,
    /// See `per_device`.
    pub window: Duration,
}

/// Devices remembered for the time of a window. With more of them at once, others wait until one is forgotten.
const REMEMBERED: usize = 65_536;

/// The line.
pub(super) struct Line {
    limits: LineLimits,
    state: Mutex<State>,
    permits: Arc<Semaphore>,
    inside: Gauge,
}

#[derive(Debug, Default)]
struct State {
    accounts: HashMap<DeviceId, Account, RandomState>,
    /// Devices that wait or whose credentials are being made.
    inside: usize,
}

/// What was made for a device since a time.
#[derive(Debug)]
struct Account {
    since: Timestamp,
    inside: bool,
    /// By sender; at most `per_device` of them.
    made: Vec<(IpAddr, usize)>,
}

impl Account {
    fn new(since: Timestamp) -> Self {
        Self { since, inside: false, made: Vec::new() }
    }

    fn of(&self, source: IpAddr) -> usize {
        self.made.iter().find(|(known, _)| *known == source).map_or(0, |(_, count)| *count)
    }

    fn all(&self) -> usize {
        self.made.iter().map(|(_, count)| count).sum()
    }

    fn count(&mut self, source: IpAddr) {
        match self.made.iter_mut().find(|(known, _)| *known == source) {
            Some((_, count)) => *count += 1,
            None => self.made.push((source, 1)),
        }
    }
}

impl Line {
    pub(super) fn new(limits: LineLimits) -> Self {
        let permits = Arc::new(Semaphore::new(limits.at_once.max(1)));
        Self { permits, state: Mutex::default(), limits, inside: gauge!("callboard_credentials_waiting") }
    }

    /// Whether [`Line::enter`] would turn away this device's message from `source`.
    pub(super) fn is_closed(&self, device: &DeviceId, source: IpAddr, now: Timestamp) -> bool {
        let state = self.state.lock();
        state.inside >= self.limits.at_once.saturating_add(self.limits.waiting)
            || state.accounts.get(device).is_some_and(|account| self.is_spent(account, source, now))
    }

    fn is_spent(&self, account: &Account, source: IpAddr, now: Timestamp) -> bool {
        let limits = &self.limits;
        let spent = account.all() >= limits.per_device || account.of(source) >= limits.per_source;
        account.inside || (spent && now.since(account.since) < limits.window)
    }

    /// Stand in line. `None` if the line is closed for this device, or the wait is too long.
    pub(super) async fn enter(
        self: &Arc<Self>,
        device: &DeviceId,
        source: IpAddr,
        now: Timestamp,
    ) -> Option<Turn> {
        if self.is_closed(device, source, now) {
            return None;
        }
        let place = self.take_place(device, now)?;
        let waiting = timeout(self.limits.wait, self.permits.clone().acquire_owned());
        let permit = waiting.await.ok()?.ok()?;
        if let Some(account) = self.state.lock().accounts.get_mut(device) {
            account.count(source);
        }
        Some(Turn { _permit: permit, _place: place })
    }

    fn take_place(self: &Arc<Self>, device: &DeviceId, now: Timestamp) -> Option<Place> {
        let mut state = self.state.lock();
        let window = self.limits.window;
        if state.accounts.len() >= REMEMBERED && !state.accounts.contains_key(device) {
            state.accounts.retain(|_, account| account.inside || now.since(account.since) < window);
            if state.accounts.len() >= REMEMBERED {
                return None;
            }
        }
        let account = state.accounts.entry(device.clone()).or_insert_with(|| Account::new(now));
        if account.inside {
            return None;
        }
        if now.since(account.since) >= window {
            *account = Account::new(now);
        }
        account.inside = true;
        state.inside += 1;
        self.inside.increment(1);
        Some(Place { line: self.clone(), device: device.clone() })
    }
}

/// A device's place in the line; given up when dropped.
struct Place {
    line: Arc<Line>,
    device: DeviceId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.line.state.lock();
        state.inside -= 1;
        self.line.inside.decrement(1);
        if let Some(account) = state.accounts.get_mut(&self.device) {
            account.inside = false;
            if account.made.is_empty() {
                state.accounts.remove(&self.device);
            }
        }
    }
}

/// It is this device's turn, until this is dropped.
pub(super) struct Turn {
    _permit: OwnedSemaphorePermit,
    _place: Place,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn line() -> Arc<Line> {
        Arc::new(Line::new(LineLimits {
            at_once: 1,
            waiting: 1,
            wait: Duration::from_secs(10),
            per_device: 3,
            per_source: 2,
            window: Duration::from_mins(5),
        }))
    }

    fn device(number: u32) -> DeviceId {
        format!("phone-{number}").parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn one_device_has_one_place_and_the_line_is_bounded() {
        let line = line();
        let first = line.enter(&device(1), PHONE, NOW).await.unwrap();
        assert!(line.enter(&device(1), PHONE, NOW).await.is_none(), "its own are being made");
        let mut second = Box::pin({
            let line = line.clone();
            async move { line.enter(&device(2), PHONE, NOW).await }
        });
        assert!(futures_now(&mut second).is_none(), "it waits");
        assert!(line.is_closed(&device(2), PHONE, NOW) && line.is_closed(&device(3), PHONE, NOW));
        assert!(line.enter(&device(3), PHONE, NOW).await.is_none(), "one waits already");
        drop(first);
        let second = second.await.unwrap();
        assert!(!line.is_closed(&device(1), PHONE, NOW));
        drop(second);
        assert_eq!(line.state.lock().inside, 0);
    }

    fn futures_now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(future).poll(&mut context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_and_costs_the_device_nothing() {
        let line = line();
        let first = line.enter(&device(1), PHONE, NOW).await.unwrap();
        assert!(line.enter(&device(2), PHONE, NOW).await.is_none(), "after ten seconds");
        assert!(!line.state.lock().accounts.contains_key(&device(2)));
        drop(first);
        assert!(line.enter(&device(2), PHONE, NOW).await.is_some());
    }

    #[tokio::test]
    async fn a_sender_spends_its_own_share_and_time_gives_it_back() {
        let line = line();
        let (liar, third) = ("192.0.2.66".parse().unwrap(), "192.0.2.67".parse().unwrap());
        for _ in 0..2 {
            assert!(line.enter(&device(1), liar, NOW).await.is_some());
        }
        assert!(line.is_closed(&device(1), liar, NOW) && !line.is_closed(&device(1), PHONE, NOW));
        assert!(!line.is_closed(&device(2), liar, NOW), "other devices are not concerned");
        assert!(line.enter(&device(1), PHONE, NOW).await.is_some());
        assert!(line.is_closed(&device(1), third, NOW), "three in all");
        let later = NOW.plus(Duration::from_mins(5));
        assert!(line.enter(&device(1), liar, later).await.is_some());
    }
}
