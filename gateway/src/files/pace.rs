//! The bandwidth that all downloads share, and each phone's share of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use crate::listen::Source;

/// What may be sent at once after a pause, as a time: long enough that timers which come late cost no bandwidth.
const BURST: Duration = Duration::from_millis(50);

/// Who a download is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Payer {
    /// All connections of one source together.
    Source(Source),
    /// One connection, where a source stands for many phones by right.
    Connection(u64),
}

/// One bucket for all downloads (generic cell rate algorithm, ITU-T I.371).
///
/// Each payer waits for at most one piece at a time, so that payers take turns whatever number of connections they have.
#[derive(Debug)]
pub struct Pace {
    /// Bytes per second; `None` is no bound.
    rate: Option<u64>,
    /// When the bucket is even again.
    even: Mutex<Instant>,
    payers: Mutex<HashMap<Payer, Account>>,
    /// Downloads of one payer.
    most: usize,
}

#[derive(Debug)]
struct Account {
    turn: Arc<Semaphore>,
    downloads: usize,
}

/// A download's place among the others; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    pace: Arc<Pace>,
    payer: Payer,
    turn: Arc<Semaphore>,
}

impl Pace {
    /// `bytes_per_second` for all downloads together, 0 for no bound; `most` downloads of one source at the same time.
    pub fn new(bytes_per_second: u64, most: usize) -> Self {
        Self {
            rate: (bytes_per_second > 0).then_some(bytes_per_second),
            even: Mutex::new(Instant::now()),
            payers: Mutex::default(),
            most,
        }
    }

    /// A share for one more download; `None` if the payer has as many as may be.
    pub(super) fn join(self: &Arc<Self>, payer: Payer) -> Option<Share> {
        let mut payers = self.payers.lock();
        let fresh = || Account { turn: Arc::new(Semaphore::new(1)), downloads: 0 };
        let account = payers.entry(payer).or_insert_with(fresh);
        if account.downloads >= self.most {
            return None;
        }
        account.downloads += 1;
        Some(Share { pace: Arc::clone(self), payer, turn: Arc::clone(&account.turn) })
    }

    /// Takes `bytes` out of the bucket; gives the moment from which they may be sent.
    fn take(&self, bytes: usize, now: Instant) -> Option<Instant> {
        let rate = self.rate?;
        let nanos = (bytes as u128 * 1_000_000_000).div_ceil(u128::from(rate));
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut even = self.even.lock();
        let from = (*even).max(now.checked_sub(BURST).unwrap_or(now));
        *even = from + cost;
        (from > now).then_some(from)
    }

    #[cfg(test)]
    fn payers(&self) -> usize {
        self.payers.lock().len()
    }
}

impl Share {
    /// Waits until so many bytes may be sent.
    pub(super) async fn pay(&self, bytes: usize) {
        if self.pace.rate.is_none() {
            return;
        }
        // Never closed. A turn that is given up in the wait leaves a gap of one piece.
        let Ok(_turn) = self.turn.acquire().await else { return };
        if let Some(from) = self.pace.take(bytes, Instant::now()) {
            sleep_until(from).await;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut payers = self.pace.payers.lock();
        if let Some(account) = payers.get_mut(&self.payer) {
            account.downloads = account.downloads.saturating_sub(1);
            if account.downloads == 0 {
                payers.remove(&self.payer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use callboard_core::site::Origin;
    use tokio::task::JoinSet;

    use super::*;

    fn source(number: u32) -> Payer {
        let address = std::net::Ipv4Addr::from(number).into();
        Payer::Source(Source::of(Origin { site: None, address }, 64))
    }

    /// Downloads of `bytes` each in pieces of `piece`; gives who was done when.
    async fn race(pace: &Arc<Pace>, payers: &[Payer], bytes: usize, piece: usize) -> Vec<(usize, Duration)> {
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for (number, payer) in payers.iter().enumerate() {
            let share = pace.join(*payer).unwrap();
            tasks.spawn(async move {
                for _ in 0..bytes / piece {
                    share.pay(piece).await;
                }
                (number, start.elapsed())
            });
        }
        let mut ends = tasks.join_all().await;
        ends.sort_unstable();
        ends
    }

    #[tokio::test(start_paused = true)]
    async fn all_together_keep_the_limit_and_nobody_waits_for_long() {
        let pace = Arc::new(Pace::new(1_000_000, 8));
        let payers: Vec<_> = (0..100).map(source).collect();
        let ends = race(&pace, &payers, 100_000, 10_000).await;
        let last = ends.iter().map(|(_, end)| *end).max().unwrap();
        // 10 MB at 1 MB/s, less the last piece: it is paid for afterwards.
        let last_ms = last.as_millis();
        assert!((9_980..=10_010).contains(&last_ms), "{last_ms} ms");
        let first = ends.iter().map(|(_, end)| *end).min().unwrap();
        assert!(first > last / 2, "{first:?} of {last:?}: they take turns");
        assert_eq!(pace.payers(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn many_connections_are_one_share_unless_each_stands_for_a_phone() {
        for (greedy, most) in [(Vec::from([source(1); 8]), 2), ((0..8).map(Payer::Connection).collect(), 9)] {
            let pace = Arc::new(Pace::new(1_000_000, 8));
            let mut payers = greedy;
            payers.push(source(2));
            let ends = race(&pace, &payers, 100_000, 10_000).await;
            let modest = ends[8].1.as_millis();
            assert!(modest <= most * 105 && modest + 150 >= most * 100, "{modest} ms for {most} shares");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn downloads_of_a_source_are_bounded() {
        let pace = Arc::new(Pace::new(0, 2));
        let (one, _two) = (pace.join(source(1)).unwrap(), pace.join(source(1)).unwrap());
        assert!(pace.join(source(1)).is_none() && pace.join(source(2)).is_some());
        let start = Instant::now();
        one.pay(usize::MAX).await;
        assert_eq!(start.elapsed(), Duration::ZERO, "without a bound nobody waits");
        drop(one);
        assert!(pace.join(source(1)).is_some());
    }
}
