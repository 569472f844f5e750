//! Decides, before any work is done for it, whether a new connection is served, shed or closed.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::metrics::{Cause, DoorMetrics};
use super::{Limits, Source};

const SHARDS: usize = 16;
const SECOND: u64 = 1_000_000_000;

/// How fast a bucket fills, and how much it holds, in nanoseconds. Nothing stands for no bound.
#[derive(Debug, Clone, Copy)]
struct Rate(Option<(u64, u64)>);

impl Rate {
    /// One second's worth at once. 0 is no bound.
    fn per_second(number: u32) -> Self {
        Self::new(number, number)
    }

    /// `at_once` after a pause, and `per_second` then. `at_once` 0 is no bound.
    fn new(per_second: u32, at_once: u32) -> Self {
        let step = SECOND / u64::from(per_second.max(1));
        Self((at_once > 0).then(|| (step, step * u64::from(at_once))))
    }
}

/// A bucket as the time at which it would be full again (generic cell rate algorithm, ITU-T I.371). Nanoseconds since
/// the door opened.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket(u64);

impl Bucket {
    fn take(&mut self, now: u64, Rate(rate): Rate) -> bool {
        let Some((step, depth)) = rate else { return true };
        let next = self.0.max(now) + step;
        let fits = next <= now + depth;
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
    requests: Bucket,
    new_devices: Bucket,
}

impl Account {
    /// Whether forgetting it would change any decision.
    fn is_spent(&self, now: u64) -> bool {
        let buckets = [self.serve_bucket, self.shed_bucket, self.requests, self.new_devices];
        self.served == 0 && self.shed == 0 && buckets.iter().all(|bucket| bucket.0 <= now)
    }
}

type Shard = Mutex<HashMap<Source, Account, RandomState>>;

/// The accounts of one door.
pub(super) struct Admission {
    limits: Arc<Limits>,
    connection_rate: Rate,
    requests: Rate,
    new_devices: Rate,
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
    /// The account it is charged to; none for networks without bounds.
    source: Option<Source>,
    shed: bool,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place")
            .field("source", &self.source)
            .field("shed", &self.shed)
            .finish_non_exhaustive()
    }
}

impl Place {
    /// Whether the connection is to be told to come later.
    pub(super) fn is_shed(&self) -> bool {
        self.shed
    }

    /// Whether its source has no bounds of its own.
    pub(super) fn is_exempt(&self) -> bool {
        self.source.is_none()
    }

    /// Whether its source may send one more request; a yes is counted.
    pub(super) fn take_request(&self) -> bool {
        self.take(self.admission.requests, |account| &mut account.requests)
    }

    /// Whether its source may bring one more unknown device; a yes is counted.
    pub(super) fn take_new_device(&self) -> bool {
        self.take(self.admission.new_devices, |account| &mut account.new_devices)
    }

    fn take(&self, rate: Rate, bucket: impl FnOnce(&mut Account) -> &mut Bucket) -> bool {
        let Some(source) = self.source.filter(|_| rate.0.is_some()) else { return true };
        let now = self.admission.now();
        let mut shard = self.admission.shard(source).lock();
        // It is there as long as it holds a place.
        shard.get_mut(&source).is_none_or(|account| bucket(account).take(now, rate))
    }
}

impl Admission {
    pub(super) fn new(limits: Arc<Limits>, metrics: Arc<DoorMetrics>) -> Arc<Self> {
        Arc::new(Self {
            connection_rate: Rate::per_second(limits.new_connections_per_source_per_second),
            requests: Rate::per_second(limits.requests_per_source_per_second),
            new_devices: Rate::new(limits.new_devices_per_source_per_second, limits.new_devices_per_source),
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
        let now = self.now();
        if self.limits.exempt_networks.iter().any(|network| network.contains(address)) {
            // An account that holds nothing is under every bound of a source.
            return self.decide(&mut Account::default(), None, now);
        }
        let source = Source::of(address, self.limits.ipv6_prefix);
        let mut shard = self.shard(source).lock();
        if !shard.contains_key(&source) && shard.len() >= self.limits.sources.div_ceil(SHARDS) {
            shard.retain(|_, account| !account.is_spent(now));
            if shard.len() >= self.limits.sources.div_ceil(SHARDS) {
                self.metrics.rejected(Cause::Sources);
                return None;
            }
        }
        self.decide(shard.entry(source).or_default(), Some(source), now)
    }

    fn decide(self: &Arc<Self>, account: &mut Account, source: Option<Source>, now: u64) -> Option<Place> {
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
        Some(Place { admission: Arc::clone(self), source, shed })
    }

    /// The limit that stands against serving the connection, if any. Takes from the source's bucket only if none does.
    fn why_not(&self, account: &mut Account, now: u64) -> Option<Cause> {
        if self.served.load(Relaxed) >= self.limits.connections {
            Some(Cause::Connections)
        } else if account.served >= self.limits.connections_per_source {
            Some(Cause::SourceConnections)
        } else if !account.serve_bucket.take(now, self.connection_rate) {
            Some(Cause::SourceRate)
        } else {
            None
        }
    }

    fn may_shed(&self, account: &mut Account, now: u64) -> bool {
        self.shed.load(Relaxed) < self.limits.shed_connections
            && (account.shed as usize) < self.limits.shed_connections.div_ceil(4)
            && account.shed_bucket.take(now, self.connection_rate)
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
        if let Some(source) = self.source
            && let Some(account) = admission.shard(source).lock().get_mut(&source)
        {
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
        let shard = |address: &IpAddr| std::ptr::from_ref(admission.shard(Source::of(*address, 64)));
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

    #[tokio::test(start_paused = true)]
    async fn requests_and_new_devices_of_a_source_have_bounds_of_their_own() {
        let limits = Limits {
            requests_per_source_per_second: 10,
            new_devices_per_source: 6,
            new_devices_per_source_per_second: 2,
            ..Limits::default()
        };
        let admission = admission(limits);
        let one = admission.admit(address(1)).unwrap();
        let same = admission.admit(address(1)).unwrap();
        let other = admission.admit(address(2)).unwrap();
        let granted = |take: fn(&Place) -> bool, place: &Place| (0..30).filter(|_| take(place)).count();
        assert_eq!(granted(Place::take_request, &one), 10);
        assert_eq!(granted(Place::take_request, &same), 0, "all connections of a source share its account");
        assert_eq!(granted(Place::take_request, &other), 10);
        assert_eq!(granted(Place::take_new_device, &one), 6);
        assert_eq!(granted(Place::take_new_device, &other), 6);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((granted(Place::take_request, &same), granted(Place::take_new_device, &same)), (10, 2));
        // Coming again does not help: what was taken is remembered until it is there again.
        drop((one, same));
        (0..SHARDS).for_each(|_| admission.sweep());
        let again = admission.admit(address(1)).unwrap();
        assert_eq!(granted(Place::take_new_device, &again), 0);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(granted(Place::take_new_device, &again), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_bounded_where_the_bound_is_zero() {
        let limits =
            Limits { requests_per_source_per_second: 0, new_devices_per_source: 0, ..Limits::default() };
        let place = admission(limits).admit(address(1)).unwrap();
        assert!((0..100_000).all(|_| place.take_request() && place.take_new_device()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_exempt_network_has_only_the_bounds_of_the_door() {
        let limits = Limits {
            connections: 50,
            connections_per_source: 2,
            shed_connections: 20,
            new_connections_per_source_per_second: 1,
            requests_per_source_per_second: 1,
            new_devices_per_source: 1,
            exempt_networks: vec!["192.0.2.128/25".parse().unwrap()],
            ..Limits::default()
        };
        let admission = admission(limits);
        let mut places = Vec::new();
        assert_eq!(attempt(&admission, address(200), 80, &mut places), [50, 20, 10]);
        let place = &places[0];
        assert!(place.is_exempt() && place.take_request() && place.take_request());
        assert!(place.take_new_device() && place.take_new_device());
        places.clear();
        assert_eq!((admission.known(), admission.served.load(Relaxed)), (0, 0));
        assert_eq!(attempt(&admission, address(1), 3, &mut places), [1, 1, 1]);
        assert!(!places[0].is_exempt());
    }
}
