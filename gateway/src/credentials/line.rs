//! Whose credentials are made next, and whose not now.
//!
//! Anybody can send a start-up in a device's name at the default door, and each one asks for a key pair. So one device
//! has one place in the line, and the number made for it within a window is bounded, for each sender and for all of
//! them. What was made is never given out twice instead: the key of a phone would be in the hands of whoever asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use callboard_core::device::DeviceId;
use callboard_core::site::Origin;
use foldhash::fast::RandomState;
use metrics::{Gauge, gauge};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::listen::{Network, Source};

/// Bounds on the making of credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineLimits {
    /// Made at the same time, on threads of their own.
    pub at_once: usize,
    /// Devices that wait, beside those; a quarter of them for messages from one source.
    pub waiting: usize,
    /// How long one waits.
    pub wait: Duration,
    /// Made for one device within `window`.
    pub per_device: usize,
    /// Of those, made for messages from one source.
    pub per_source: usize,
    /// See `per_device`.
    pub window: Duration,
    /// Leading bits that tell IPv6 sources apart.
    pub ipv6_prefix: u32,
    /// Networks for which no bound of one source holds.
    pub exempt_networks: Vec<Network>,
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
    /// Of those, by the source of their messages; exempt ones are not counted.
    by_source: HashMap<Source, usize, RandomState>,
}

/// What was made for a device since a time.
#[derive(Debug)]
struct Account {
    since: Instant,
    inside: bool,
    /// By source, all exempt ones together; at most `per_device` of them.
    made: Vec<(Option<Source>, usize)>,
}

impl Account {
    fn new(since: Instant) -> Self {
        Self { since, inside: false, made: Vec::new() }
    }

    fn of(&self, source: Option<Source>) -> usize {
        self.made.iter().find(|(known, _)| *known == source).map_or(0, |(_, count)| *count)
    }

    fn all(&self) -> usize {
        self.made.iter().map(|(_, count)| count).sum()
    }

    fn count(&mut self, source: Option<Source>) {
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

    /// Whether [`Line::enter`] would turn away this device's message from there.
    pub(super) fn is_closed(&self, device: &DeviceId, origin: Origin) -> bool {
        self.refuses(&self.state.lock(), device, self.charged(origin), Instant::now())
    }

    /// Whom a message is charged to; nobody if its network is exempt.
    fn charged(&self, origin: Origin) -> Option<Source> {
        Source::bounded(origin, self.limits.ipv6_prefix, &self.limits.exempt_networks)
    }

    fn refuses(&self, state: &State, device: &DeviceId, source: Option<Source>, now: Instant) -> bool {
        let LineLimits { at_once, waiting, .. } = self.limits;
        let held = source.and_then(|source| state.by_source.get(&source)).copied().unwrap_or(0);
        state.inside >= at_once.saturating_add(waiting)
            || held >= at_once.saturating_add(waiting.div_ceil(4))
            || state.accounts.get(device).is_some_and(|account| self.is_spent(account, source, now))
    }

    fn is_spent(&self, account: &Account, source: Option<Source>, now: Instant) -> bool {
        let limits = &self.limits;
        let of_source = source.is_some() && account.of(source) >= limits.per_source;
        let spent = account.all() >= limits.per_device || of_source;
        account.inside || (spent && now.duration_since(account.since) < limits.window)
    }

    /// Stand in line. `None` if the line is closed for this device, or the wait is too long.
    pub(super) async fn enter(self: &Arc<Self>, device: &DeviceId, origin: Origin) -> Option<Turn> {
        let source = self.charged(origin);
        let place = self.take_place(device, source)?;
        let waiting = timeout(self.limits.wait, self.permits.clone().acquire_owned());
        let permit = waiting.await.ok()?.ok()?;
        Some(Self::turn(permit, place))
    }

    /// Take a turn if it comes at once: for a renewal, which neither waits nor goes before one who waits.
    pub(super) fn enter_if_idle(self: &Arc<Self>, device: &DeviceId, origin: Origin) -> Option<Turn> {
        let place = self.take_place(device, self.charged(origin))?;
        // Whoever waits for a permit gets the next one before this does.
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        Some(Self::turn(permit, place))
    }

    fn turn(permit: OwnedSemaphorePermit, place: Place) -> Turn {
        if let Some(account) = place.line.state.lock().accounts.get_mut(&place.device) {
            account.count(place.source);
        }
        Turn { _permit: permit, _place: place }
    }

    /// Asks and takes under one lock: who asks at the same time must not find the same place free.
    fn take_place(self: &Arc<Self>, device: &DeviceId, source: Option<Source>) -> Option<Place> {
        let now = Instant::now();
        let mut state = self.state.lock();
        if self.refuses(&state, device, source, now) {
            return None;
        }
        let window = self.limits.window;
        let is_over = |account: &Account| now.duration_since(account.since) >= window;
        if state.accounts.len() >= REMEMBERED && !state.accounts.contains_key(device) {
            state.accounts.retain(|_, account| account.inside || !is_over(account));
            if state.accounts.len() >= REMEMBERED {
                return None;
            }
        }
        let account = state.accounts.entry(device.clone()).or_insert_with(|| Account::new(now));
        if is_over(account) {
            *account = Account::new(now);
        }
        account.inside = true;
        state.inside += 1;
        if let Some(source) = source {
            *state.by_source.entry(source).or_default() += 1;
        }
        self.inside.increment(1);
        Some(Place { line: self.clone(), device: device.clone(), source })
    }
}

/// A device's place in the line; given up when dropped.
struct Place {
    line: Arc<Line>,
    device: DeviceId,
    source: Option<Source>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.line.state.lock();
        state.inside -= 1;
        self.line.inside.decrement(1);
        if let Some(source) = self.source
            && let Some(held) = state.by_source.get_mut(&source)
        {
            *held -= 1;
            if *held == 0 {
                state.by_source.remove(&source);
            }
        }
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
    use std::net::IpAddr;

    use callboard_core::site::SiteId;

    use super::*;

    const PHONE: Origin = Origin { site: None, address: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)) };

    fn direct(address: &str) -> Origin {
        Origin { site: None, address: address.parse().unwrap() }
    }

    fn limits() -> LineLimits {
        LineLimits {
            at_once: 1,
            waiting: 1,
            wait: Duration::from_secs(10),
            per_device: 3,
            per_source: 2,
            window: Duration::from_mins(5),
            ipv6_prefix: 64,
            exempt_networks: Vec::new(),
        }
    }

    fn line() -> Arc<Line> {
        Arc::new(Line::new(limits()))
    }

    fn device(number: u32) -> DeviceId {
        format!("phone-{number}").parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn one_device_has_one_place_and_the_line_is_bounded() {
        let line = line();
        let first = line.enter(&device(1), PHONE).await.unwrap();
        assert!(line.enter(&device(1), PHONE).await.is_none(), "its own are being made");
        let mut second = Box::pin({
            let line = line.clone();
            async move { line.enter(&device(2), PHONE).await }
        });
        assert!(futures_now(&mut second).is_none(), "it waits");
        assert!(line.is_closed(&device(2), PHONE) && line.is_closed(&device(3), PHONE));
        assert!(line.enter(&device(3), PHONE).await.is_none(), "one waits already");
        drop(first);
        let second = second.await.unwrap();
        assert!(!line.is_closed(&device(1), PHONE));
        drop(second);
        assert_eq!(line.state.lock().inside, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_can_do_without_takes_a_turn_only_while_nobody_waits() {
        let line = line();
        let idle = line.enter_if_idle(&device(1), PHONE).unwrap();
        assert!(line.enter_if_idle(&device(2), PHONE).is_none(), "it does not wait");
        assert_eq!(line.state.lock().inside, 1, "and holds no place");
        let enter = |number: u32| {
            let line = line.clone();
            Box::pin(async move { line.enter(&device(number), PHONE).await })
        };
        let mut waits = enter(3);
        assert!(futures_now(&mut waits).is_none(), "the one place to wait is free");
        drop(idle);
        assert!(line.enter_if_idle(&device(2), PHONE).is_none(), "one waits");
        let turn = waits.await.unwrap();
        assert!(line.enter_if_idle(&device(2), PHONE).is_none(), "its own are being made");
        drop(turn);
        assert!(line.enter_if_idle(&device(2), PHONE).is_some());
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
        let first = line.enter(&device(1), PHONE).await.unwrap();
        assert!(line.enter(&device(2), PHONE).await.is_none(), "after ten seconds");
        assert!(!line.state.lock().accounts.contains_key(&device(2)));
        drop(first);
        assert!(line.enter(&device(2), PHONE).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_spends_its_own_share_and_time_gives_it_back() {
        let line = line();
        let (liar, third) = (direct("2001:db8::66"), direct("192.0.2.67"));
        let same = direct("2001:db8::67");
        for _ in 0..2 {
            assert!(line.enter(&device(1), liar).await.is_some());
        }
        assert!(line.is_closed(&device(1), liar) && !line.is_closed(&device(1), PHONE));
        assert!(line.is_closed(&device(1), same), "addresses of one network are one source");
        assert!(!line.is_closed(&device(2), liar), "other devices are not concerned");
        assert!(line.enter(&device(1), PHONE).await.is_some());
        assert!(line.is_closed(&device(1), third), "three in all");
        tokio::time::advance(Duration::from_mins(5)).await;
        assert!(line.enter(&device(1), liar).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_edge_of_a_site_says_spends_the_share_of_that_site() {
        let exempt_networks = vec!["192.0.2.0/24".parse().unwrap()];
        let line = Arc::new(Line::new(LineLimits { exempt_networks, ..limits() }));
        let inside = Origin { site: Some(SiteId::from_u64(1)), ..PHONE };
        for _ in 0..2 {
            assert!(line.enter(&device(1), inside).await.is_some());
        }
        assert!(line.is_closed(&device(1), inside), "no edge makes its phones exempt");
        for origin in [PHONE, Origin { site: Some(SiteId::from_u64(2)), ..PHONE }] {
            assert!(!line.is_closed(&device(1), origin));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_holds_a_quarter_of_the_waiting_places() {
        let exempt_networks = vec!["198.51.100.0/24".parse().unwrap()];
        let line = Arc::new(Line::new(LineLimits { waiting: 8, exempt_networks, ..limits() }));
        let enter = |number: u32, address: Origin| {
            let line = line.clone();
            Box::pin(async move { line.enter(&device(number), address).await })
        };
        let first = line.enter(&device(0), PHONE).await.unwrap();
        let mut waiting: Vec<_> = (1..=2).map(|number| enter(number, PHONE)).collect();
        assert!(waiting.iter_mut().all(|phone| futures_now(phone).is_none()), "they wait");
        assert!(line.is_closed(&device(3), PHONE) && line.enter(&device(3), PHONE).await.is_none());
        let proxy = direct("198.51.100.7");
        let mut behind: Vec<_> = (10..=15).map(|number| enter(number, proxy)).collect();
        assert!(behind.iter_mut().all(|phone| futures_now(phone).is_none()), "an exempt one takes the rest");
        assert!(line.is_closed(&device(16), proxy), "nine in all");
        drop((behind, waiting, first));
        let state = line.state.lock();
        assert_eq!((state.inside, state.by_source.len()), (0, 0));
    }

    #[tokio::test]
    async fn an_exempt_network_has_the_bound_of_the_device_only() {
        let exempt_networks = vec!["192.0.2.1".parse().unwrap()];
        let line = Arc::new(Line::new(LineLimits { exempt_networks, ..limits() }));
        for _ in 0..3 {
            assert!(line.enter(&device(1), PHONE).await.is_some());
        }
        assert!(line.is_closed(&device(1), PHONE));
    }
}
