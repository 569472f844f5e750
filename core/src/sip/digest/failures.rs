//! Who failed how often lately, so that passwords cannot be tried out.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher as _, Hash};
use std::time::Duration;

use foldhash::quality::RandomState;
use metrics::{Counter, counter};
use parking_lot::Mutex;

use super::nonce::Place;
use crate::time::Timestamp;

const SHARDS: usize = 16;

/// Counts those that made room.
pub(super) const EVICTED: &str = "callboard_sip_failures_evicted_total";

/// Bounds on wrong answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureLimits {
    /// Wrong answers of one user name from one place within the window; 0 sets no bound. A place is an IPv4 address or an IPv6
    /// network of 64 bits, at a site or at none.
    pub per_user: u32,
    /// Wrong answers from one place within the window, whatever the user names; 0 sets no bound. Many phones of a branch share a
    /// place, so this is for many that are wrong or somebody who tries names.
    pub per_place: u32,
    /// How long failures count, from the first one on.
    pub window: Duration,
    /// User names at places that are remembered, and as many places. When there are more, those that failed first are
    /// forgotten.
    pub entries: usize,
}

impl Default for FailureLimits {
    fn default() -> Self {
        Self { per_user: 10, per_place: 500, window: Duration::from_mins(5), entries: 65_536 }
    }
}

/// Whether a user may try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Yes, and nothing speaks against it.
    Open,
    /// Yes, but it failed before: a success is to be [told](Failures::forget).
    Suspect,
    /// Not before this time is over.
    Closed(Duration),
}

/// A user name at a place. Of the name only a hash is kept: names come from outside and have any length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tried {
    user: u64,
    place: Place,
}

/// Failures of users at places and of places.
pub(super) struct Failures {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    limits: FailureLimits,
    /// Entries in each table of one shard.
    most: usize,
    evicted: Counter,
}

impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failures").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Shard {
    users: Table<Tried>,
    places: Table<Place>,
}

struct Table<K> {
    failed: HashMap<K, Failed, RandomState>,
    /// The same keys in the order in which they came.
    order: VecDeque<K>,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self { failed: HashMap::default(), order: VecDeque::new() }
    }
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    times: u32,
    since: Timestamp,
}

impl Failed {
    /// Time until it does not count any more. A clock that was set back ends it.
    fn left(&self, now: Timestamp, window: Duration) -> Option<Duration> {
        let passed = now.since(self.since);
        (self.times > 0 && now >= self.since && passed < window).then(|| window.saturating_sub(passed))
    }
}

impl<K: Copy + Eq + Hash> Table<K> {
    fn note(&mut self, key: K, now: Timestamp, window: Duration, most: usize, evicted: &Counter) {
        if let Some(failed) = self.failed.get_mut(&key) {
            match failed.left(now, window) {
                Some(_) => failed.times = failed.times.saturating_add(1),
                None => *failed = Failed { times: 1, since: now },
            }
            return;
        }
        if self.failed.len() >= most
            && let Some(first) = self.order.pop_front()
        {
            self.failed.remove(&first);
            evicted.increment(1);
        }
        self.failed.insert(key, Failed { times: 1, since: now });
        self.order.push_back(key);
    }

    /// How the key stands with a bound of `limit`.
    fn gate(&self, key: &K, limit: u32, now: Timestamp, window: Duration) -> Gate {
        match self.failed.get(key).and_then(|failed| Some((failed.times, failed.left(now, window)?))) {
            Some((times, left)) if limit > 0 && times >= limit => Gate::Closed(left),
            Some(_) => Gate::Suspect,
            None => Gate::Open,
        }
    }
}

impl Failures {
    pub(super) fn new(limits: FailureLimits) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::default(),
            limits,
            most: limits.entries.div_ceil(SHARDS).max(1),
            evicted: counter!(EVICTED),
        }
    }

    /// Names a user at a place.
    pub(super) fn tried(&self, username: &str, place: Place) -> Tried {
        Tried { user: self.hasher.hash_one(username), place }
    }

    /// Whether the user may try at that place. A place that is closed is closed for all users.
    pub(super) fn gate(&self, tried: &Tried, now: Timestamp) -> Gate {
        let FailureLimits { per_user, per_place, window, .. } = self.limits;
        let shard = self.shard(tried.place).lock();
        let user = shard.users.gate(tried, per_user, now, window);
        match (user, shard.places.gate(&tried.place, per_place, now, window)) {
            (Gate::Closed(one), Gate::Closed(other)) => Gate::Closed(one.max(other)),
            (Gate::Closed(left), _) | (_, Gate::Closed(left)) => Gate::Closed(left),
            (user, _) => user,
        }
    }

    /// The user gave a wrong answer.
    pub(super) fn note(&self, tried: &Tried, now: Timestamp) {
        let window = self.limits.window;
        let mut shard = self.shard(tried.place).lock();
        shard.users.note(*tried, now, window, self.most, &self.evicted);
        shard.places.note(tried.place, now, window, self.most, &self.evicted);
    }

    /// The user gave the right answer. What it failed before does not count against it any more; that of its place still does,
    /// or who has one password could try out others for ever.
    pub(super) fn forget(&self, tried: &Tried) {
        if let Some(failed) = self.shard(tried.place).lock().users.failed.get_mut(tried) {
            failed.times = 0;
        }
    }

    /// All of one place are in one shard: one lock tells everything.
    fn shard(&self, place: Place) -> &Mutex<Shard> {
        #[allow(clippy::cast_possible_truncation)] // any bits do
        &self.shards[self.hasher.hash_one(place) as usize % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::site::{Origin, SiteId};

    const LIMITS: FailureLimits =
        FailureLimits { per_user: 3, per_place: 8, window: Duration::from_mins(1), entries: 1_600 };

    fn place(address: &str, site: Option<u64>) -> Place {
        let address: IpAddr = address.parse().unwrap();
        Place::of(Origin { site: site.map(SiteId::from_u64), address })
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + seconds * 1_000)
    }

    fn fail(failures: &Failures, tried: &Tried, times: u32, now: Timestamp) {
        (0..times).for_each(|_| failures.note(tried, now));
    }

    #[test]
    fn a_user_is_stopped_at_its_place_alone_and_for_a_time() {
        let failures = Failures::new(LIMITS);
        let (here, there) = (place("192.0.2.1", None), place("192.0.2.2", None));
        let wrong = failures.tried("100", here);
        assert_eq!(failures.gate(&wrong, at(0)), Gate::Open);
        fail(&failures, &wrong, 2, at(0));
        assert_eq!(failures.gate(&wrong, at(0)), Gate::Suspect);
        fail(&failures, &wrong, 1, at(20));
        assert_eq!(failures.gate(&wrong, at(20)), Gate::Closed(Duration::from_secs(40)));
        assert_eq!(failures.gate(&failures.tried("101", here), at(20)), Gate::Open, "its neighbours go on");
        assert_eq!(failures.gate(&failures.tried("100", there), at(20)), Gate::Open);
        assert_eq!(failures.gate(&wrong, at(60)), Gate::Open);
        fail(&failures, &wrong, 1, at(60));
        assert_eq!(failures.gate(&wrong, at(61)), Gate::Suspect, "a new window begins");
    }

    #[test]
    fn a_success_clears_the_user_but_not_its_place() {
        let failures = Failures::new(LIMITS);
        let here = place("192.0.2.1", None);
        for user in ["100", "101", "102", "103"] {
            let tried = failures.tried(user, here);
            fail(&failures, &tried, 2, at(0));
            failures.forget(&tried);
        }
        let fifth = failures.tried("104", here);
        assert_eq!(failures.gate(&fifth, at(10)), Gate::Closed(Duration::from_secs(50)));
        assert_eq!(failures.gate(&fifth, at(60)), Gate::Open);
    }

    #[test]
    fn places_are_told_apart_like_networks() {
        let one = |address, site| place(address, site);
        assert_eq!(one("192.0.2.1", None), one("::ffff:192.0.2.1", None));
        assert_eq!(one("2001:db8::1", None), one("2001:db8::ffff:2", None));
        assert_ne!(one("2001:db8:0:1::1", None), one("2001:db8::1", None));
        assert_ne!(one("192.0.2.1", None), one("192.0.2.1", Some(1)));
        assert_ne!(one("192.0.2.1", Some(2)), one("192.0.2.1", Some(1)));
    }

    #[test]
    fn the_tables_are_bounded_and_the_first_go() {
        let failures = Failures::new(FailureLimits { per_place: 0, entries: SHARDS * 2, ..LIMITS });
        let here = place("192.0.2.1", None);
        let tried: Vec<_> = (0..100).map(|user| failures.tried(&user.to_string(), here)).collect();
        for tried in &tried {
            fail(&failures, tried, 3, at(0));
        }
        let closed = |tried: &&Tried| matches!(failures.gate(tried, at(1)), Gate::Closed(_));
        assert_eq!(tried.iter().filter(closed).copied().collect::<Vec<_>>(), tried[98..]);
        let shard = failures.shard(here).lock();
        assert_eq!((shard.users.failed.len(), shard.users.order.len()), (2, 2));
        assert_eq!((shard.places.failed.len(), shard.places.order.len()), (1, 1));
    }

    #[test]
    fn failing_and_succeeding_in_turns_takes_no_more_room() {
        let failures = Failures::new(LIMITS);
        let tried = failures.tried("100", place("192.0.2.1", None));
        for second in 0..1_000 {
            failures.note(&tried, at(second));
            failures.forget(&tried);
        }
        assert_eq!(failures.shard(tried.place).lock().users.order.len(), 1);
    }

    #[test]
    fn a_clock_that_is_set_back_stops_nobody_for_long() {
        let failures = Failures::new(LIMITS);
        let tried = failures.tried("100", place("192.0.2.1", None));
        fail(&failures, &tried, 3, at(1_000));
        assert_eq!(failures.gate(&tried, at(0)), Gate::Open);
    }
}
