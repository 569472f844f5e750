//! Decides, before any work is done for it, whether a new connection is served, shed or closed.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Limits;
use super::metrics::{Cause, DoorMetrics};

const SHARDS: usize = 16;
const SECOND: u64 = 1_000_000_000;

/// Whom a connection is charged to: an IPv4 address or an IPv6 network of 64 bits (RFC 4291, section 2.5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Source(u64);

impl Source {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            // No unicast IPv6 network begins with these bits.
            IpAddr::V4(v4) => Self(0xffff_ffff_0000_0000 | u64::from(v4.to_bits())),
            #[allow(clippy::cast_possible_truncation)]
            IpAddr::V6(v6) => Self((v6.to_bits() >> 64) as u64),
        }
    }
}

/// A bucket of one second's worth of connections, as the time at which it would be full again (generic cell rate
/// algorithm, ITU-T I.371). Nanoseconds since the door opened.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket(u64);

impl Bucket {
    fn take(&mut self, now: u64, per_second: u32) -> bool {
        let step = SECOND / u64::from(per_second.max(1));
        let next = self.0.max(now) + step;
        let fits = next <= now + SECOND.max(step);
        if fits {
            self.0 = next;
        }
        fits
    }
}

/// What one source holds and has done lately.
#[derive(Debug, Default)]
struct Account {
    served: u32,
    shed: u32,
    serve_bucket: Bucket,
    shed_bucket: Bucket,
}

impl Account {
    /// Whether forgetting it would change any decision.
    fn is_spent(&self, now: u64) -> bool {
        self.served == 0 && self.shed == 0 && self.serve_bucket.0 <= now && self.shed_bucket.0 <= now
    }
}

type Shard = Mutex<HashMap<Source, Account, RandomState>>;

/// The accounts of one door.
pub(super) struct Admission {
    limits: Arc<Limits>,
    opened: Instant,
    hasher: RandomState,
    served: AtomicUsize,
    shed: AtomicUsize,
    shards: [Shard; SHARDS],
    swept: AtomicUsize,
    metrics: Arc<DoorMetrics>,
}

/// A place inside; given back when dropped.
pub(super) struct Place {
    admission: Arc<Admission>,
    source: Source,
    shed: bool,
}

impl Place {
    /// Whether the connection is to be told to come later.
    pub(super) fn is_shed(&self) -> bool {
        self.shed
    }
}

impl Admission {
    pub(super) fn new(limits: Arc<Limits>, metrics: Arc<DoorMetrics>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            opened: Instant::now(),
            hasher: RandomState::default(),
            served: AtomicUsize::new(0),
            shed: AtomicUsize::new(0),
            shards: std::array::from_fn(|_| Mutex::default()),
            swept: AtomicUsize::new(0),
            metrics,
        })
    }

    /// A place for a connection from `address`, or nothing when it is to be closed at once.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let source = Source::of(address);
        let now = self.now();
        let mut shard = self.shard(source).lock();
        if !shard.contains_key(&source) && shard.len() >= self.limits.sources.div_ceil(SHARDS) {
            shard.retain(|_, account| !account.is_spent(now));
            if shard.len() >= self.limits.sources.div_ceil(SHARDS) {
                self.metrics.rejected(Cause::Sources);
                return None;
            }
        }
        let account = shard.entry(source).or_default();
        let shed = match self.why_not(account, now) {
            None => {
                account.served += 1;
                self.served.fetch_add(1, Relaxed);
                self.metrics.connections.increment(1);
                false
            }
            Some(cause) if self.may_shed(account, now) => {
                account.shed += 1;
                self.shed.fetch_add(1, Relaxed);
                self.metrics.shed(cause);
                self.metrics.shed_connections.increment(1);
                true
            }
            Some(cause) => {
                self.metrics.rejected(cause);
                return None;
            }
        };
        drop(shard);
        Some(Place { admission: Arc::clone(self), source, shed })
    }

    /// The limit that stands against serving the connection, if any. Takes from the source's bucket only if none does.
    fn why_not(&self, account: &mut Account, now: u64) -> Option<Cause> {
        if self.served.load(Relaxed) >= self.limits.connections {
            Some(Cause::Connections)
        } else if account.served >= self.limits.connections_per_source {
            Some(Cause::SourceConnections)
        } else if !account.serve_bucket.take(now, self.limits.new_connections_per_source_per_second) {
            Some(Cause::SourceRate)
        } else {
            None
        }
    }

    fn may_shed(&self, account: &mut Account, now: u64) -> bool {
        self.shed.load(Relaxed) < self.limits.shed_connections
            && (account.shed as usize) < self.limits.shed_connections.div_ceil(4)
            && account.shed_bucket.take(now, self.limits.new_connections_per_source_per_second)
    }

    /// Forgets spent accounts of one shard; called once a second, so that all are seen within 16.
    pub(super) fn sweep(&self) {
        let now = self.now();
        let mut shard = self.shards[self.swept.fetch_add(1, Relaxed) % SHARDS].lock();
        shard.retain(|_, account| !account.is_spent(now));
        if shard.capacity() > 64 && shard.len() < shard.capacity() / 4 {
            shard.shrink_to_fit();
        }
    }

    fn shard(&self, source: Source) -> &Shard {
        // Keyed: nobody can choose addresses so that one shard is full and the others are empty.
        #[allow(clippy::cast_possible_truncation)] // SHARDS is small
        let shard = (self.hasher.hash_one(source) % SHARDS as u64) as usize;
        &self.shards[shard]
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_nanos()).unwrap_or(u64::MAX / 2)
    }

    #[cfg(test)]
    fn known(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let admission = &self.admission;
        if let Some(account) = admission.shard(self.source).lock().get_mut(&self.source) {
            let held = if self.shed { &mut account.shed } else { &mut account.served };
            *held = held.saturating_sub(1);
        }
        if self.shed {
            admission.shed.fetch_sub(1, Relaxed);
            admission.metrics.shed_connections.decrement(1);
        } else {
            admission.served.fetch_sub(1, Relaxed);
            admission.metrics.connections.decrement(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::listen::Door;

    fn admission(limits: Limits) -> Arc<Admission> {
        Admission::new(Arc::new(limits), Arc::new(DoorMetrics::new(Door::WPI, 1)))
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// Served, shed and refused among `count` attempts; the places are kept in `places`.
    fn attempt(
        admission: &Arc<Admission>,
        from: IpAddr,
        count: usize,
        places: &mut Vec<Place>,
    ) -> [usize; 3] {
        let mut seen = [0; 3];
        for _ in 0..count {
            match admission.admit(from) {
                Some(place) => {
                    seen[usize::from(place.is_shed())] += 1;
                    places.push(place);
                }
                None => seen[2] += 1,
            }
        }
        seen
    }

    #[tokio::test(start_paused = true)]
    async fn one_source_cannot_take_the_places_of_others() {
        let limits = Limits { connections_per_source: 10, shed_connections: 8, ..Limits::default() };
        let admission = admission(limits);
        let mut places = Vec::new();
        assert_eq!(attempt(&admission, address(1), 20, &mut places), [10, 2, 8]);
        assert_eq!(attempt(&admission, address(2), 5, &mut places), [5, 0, 0]);
        places.truncate(9);
        assert_eq!(attempt(&admission, address(1), 2, &mut places), [1, 1, 0]);
        places.clear();
        assert_eq!((admission.served.load(Relaxed), admission.shed.load(Relaxed)), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_of_a_source_is_kept_and_its_excess_shed() {
        let limits = Limits { new_connections_per_source_per_second: 10, ..Limits::default() };
        let admission = admission(limits);
        let mut places = Vec::new();
        assert_eq!(attempt(&admission, address(1), 25, &mut places), [10, 10, 5]);
        let mut total = [0; 3];
        for _ in 0..20 {
            tokio::time::advance(Duration::from_millis(500)).await;
            let seen = attempt(&admission, address(1), 15, &mut places);
            (0..3).for_each(|i| total[i] += seen[i]);
        }
        // 30 a second for ten seconds: a third is served, a third told to come later, a third closed.
        assert_eq!(total, [100, 100, 100]);
    }

    #[tokio::test(start_paused = true)]
    async fn accounts_are_bounded_and_forgotten() {
        let limits = Limits { sources: 2 * SHARDS, ..Limits::default() };
        let admission = admission(limits);
        let mut places = Vec::new();
        let shard = |address: &IpAddr| std::ptr::from_ref(admission.shard(Source::of(*address)));
        // All in one shard, which has room for two.
        let first = address(0);
        let crowd = (0..=255).map(address).filter(|address| shard(address) == shard(&first)).take(3);
        for (address, expected) in crowd.zip([[1, 0, 0], [1, 0, 0], [0, 0, 1]]) {
            assert_eq!(attempt(&admission, address, 1, &mut places), expected, "{address}");
        }
        places.clear();
        assert_eq!(admission.known(), 2, "the third was refused, and their buckets are still filling");
        tokio::time::advance(Duration::from_secs(2)).await;
        (0..SHARDS).for_each(|_| admission.sweep());
        assert_eq!(admission.known(), 0);
    }

    proptest! {
        #[test]
        fn no_order_of_coming_and_going_breaks_a_limit(steps in proptest::collection::vec((0u8..5, 0u8..4), 1..300)) {
            let limits = Limits {
                connections: 6,
                connections_per_source: 3,
                shed_connections: 8,
                ..Limits::default()
            };
            let admission = admission(limits);
            let mut places: Vec<(u8, Place)> = Vec::new();
            for (action, from) in steps {
                if action == 0 && !places.is_empty() {
                    places.swap_remove(usize::from(from) % places.len());
                } else if let Some(place) = admission.admit(address(from)) {
                    places.push((from, place));
                }
                let count = |shed| places.iter().filter(|(_, place)| place.is_shed() == shed).count();
                prop_assert_eq!(admission.served.load(Relaxed), count(false));
                prop_assert_eq!(admission.shed.load(Relaxed), count(true));
                prop_assert!(count(false) <= 6 && count(true) <= 8);
                for source in 0..4 {
                    let held = |shed| places.iter().filter(|(of, p)| *of == source && p.is_shed() == shed).count();
                    prop_assert!(held(false) <= 3 && held(true) <= 2);
                }
            }
            places.clear();
            prop_assert_eq!((admission.served.load(Relaxed), admission.shed.load(Relaxed)), (0, 0));
        }
    }

    #[test]
    fn sources_are_addresses_or_networks() {
        let source = |text: &str| Source::of(text.parse().unwrap());
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.2"), source("192.0.2.1"));
        assert_eq!(source("2001:db8:0:1::1"), source("2001:db8:0:1:ffff::2"));
        assert_ne!(source("2001:db8:0:1::1"), source("2001:db8:0:2::1"));
    }
}
