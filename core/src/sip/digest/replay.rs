//! Which requests were accepted under which nonce, so that none is accepted twice.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use foldhash::fast::RandomState;
use metrics::{Counter, counter};
use parking_lot::Mutex;

const SHARDS: usize = 16;

/// Counts nonces that made room.
pub(super) const EVICTED: &str = "callboard_sip_nonces_evicted_total";

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is new.
    Fresh,
    /// It is the last one once more.
    Repeated,
    /// It was there before, or nobody knows any more whether it was.
    Replayed,
}

/// Nonces that were used with success, at most as many as are allowed.
///
/// A nonce that is not here was never used, or had to go. Nonces are numbered as they are made, and the highest number that had
/// to go is the horizon: what is not here and not beyond it may have been used and is refused. So room is made without
/// forgetting, and a challenge that nobody answers takes none.
pub(super) struct Replay {
    shards: [Mutex<Shard>; SHARDS],
    /// Nonces in one shard.
    most: usize,
    evicted: Counter,
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("most", &self.most).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Shard {
    used: HashMap<u64, Used, RandomState>,
    /// The same nonces in the order of their first use.
    order: VecDeque<u64>,
    /// Nonces with lower numbers than this that are not here are refused.
    horizon: u64,
}

/// The requests of one nonce.
#[derive(Clone, Copy, Debug)]
struct Used {
    /// The highest count.
    highest: u32,
    /// The count of the request that was taken last.
    last: u32,
    /// Counts that were there: bit n is `highest - n`.
    window: u64,
    /// The transaction that was taken last.
    transaction: u64,
}

/// Counts below the highest that are told apart. Datagrams overtake each other, but not by more.
const WINDOW: u32 = u64::BITS;

impl Used {
    /// The first request. Without a count it stays the only one.
    fn first(count: Option<u32>, transaction: u64) -> Self {
        match count {
            Some(count) => Self { highest: count, last: count, window: 1, transaction },
            None => Self { highest: u32::MAX, last: u32::MAX, window: u64::MAX, transaction },
        }
    }

    fn take(&mut self, count: Option<u32>, transaction: u64) -> Taken {
        let is_last = count.unwrap_or(u32::MAX) == self.last && transaction == self.transaction;
        let Some(count) = count.filter(|_| !is_last) else {
            return if is_last { Taken::Repeated } else { Taken::Replayed };
        };
        if count > self.highest {
            self.window = self.window.checked_shl(count - self.highest).unwrap_or(0) | 1;
            self.highest = count;
        } else {
            let behind = self.highest - count;
            if behind >= WINDOW || self.window >> behind & 1 == 1 {
                return Taken::Replayed;
            }
            self.window |= 1 << behind;
        }
        self.last = count;
        self.transaction = transaction;
        Taken::Fresh
    }
}

impl Replay {
    /// Room for about so many nonces: a multiple of the number of shards, and one for each at least.
    pub(super) fn new(entries: usize) -> Self {
        let most = entries.div_ceil(SHARDS).max(1);
        Self { shards: std::array::from_fn(|_| Mutex::default()), most, evicted: counter!(EVICTED) }
    }

    /// Take a request whose response was right. `count` is its `nc`; a nonce that is used without one is used up. `transaction`
    /// tells transactions apart: of the request that was taken last another copy may come.
    pub(super) fn take(&self, nonce: u64, count: Option<u32>, transaction: u64) -> Taken {
        // They are numbered one by one, so the low bits spread them evenly.
        #[allow(clippy::cast_possible_truncation)] // the low bits are meant
        let mut shard = self.shards[nonce as usize % SHARDS].lock();
        if let Some(used) = shard.used.get_mut(&nonce) {
            return used.take(count, transaction);
        }
        if nonce < shard.horizon {
            return Taken::Replayed;
        }
        if shard.used.len() >= self.most
            && let Some(oldest) = shard.order.front().copied()
        {
            // It would be behind the horizon at once.
            if nonce < oldest {
                return Taken::Replayed;
            }
            shard.order.pop_front();
            shard.used.remove(&oldest);
            shard.horizon = shard.horizon.max(oldest.saturating_add(1));
            self.evicted.increment(1);
        }
        shard.used.insert(nonce, Used::first(count, transaction));
        shard.order.push_back(nonce);
        Taken::Fresh
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_pass_once_each_in_about_their_order() {
        let replay = Replay::new(100);
        for (transaction, (count, outcome)) in [
            (1, Taken::Fresh),
            (3, Taken::Fresh),
            (2, Taken::Fresh),
            (3, Taken::Replayed),
            (100, Taken::Fresh),
            (37, Taken::Fresh),
            (36, Taken::Replayed),
            (100, Taken::Replayed),
            (u32::MAX, Taken::Fresh),
            (101, Taken::Replayed),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(replay.take(7, Some(count), transaction as u64), outcome, "{count}");
        }
    }

    #[test]
    fn only_the_last_request_of_the_same_transaction_is_repeated() {
        let replay = Replay::new(100);
        assert_eq!(replay.take(7, Some(1), 11), Taken::Fresh);
        assert_eq!(replay.take(7, Some(1), 11), Taken::Repeated);
        assert_eq!(replay.take(7, Some(1), 12), Taken::Replayed);
        assert_eq!(replay.take(7, Some(2), 11), Taken::Fresh);
        assert_eq!(replay.take(7, Some(1), 11), Taken::Replayed);
        assert_eq!(replay.take(7, Some(2), 11), Taken::Repeated);
    }

    #[test]
    fn without_a_count_a_nonce_is_good_for_one_transaction() {
        let replay = Replay::new(100);
        assert_eq!(replay.take(7, None, 11), Taken::Fresh);
        assert_eq!(replay.take(7, None, 11), Taken::Repeated);
        assert_eq!(replay.take(7, None, 12), Taken::Replayed);
        for count in [0, 1, u32::MAX - 1, u32::MAX] {
            assert_eq!(replay.take(7, Some(count), 12), Taken::Replayed, "{count}");
        }
        assert_eq!(replay.take(8, Some(1), 11), Taken::Fresh);
        assert_eq!(replay.take(8, None, 12), Taken::Replayed, "and not after one with a count");
    }

    #[test]
    fn room_is_made_without_forgetting() {
        let replay = Replay::new(2 * SHARDS);
        let nonce = |at: u64| at * 16; // all in one shard
        for at in [5, 6] {
            assert_eq!(replay.take(nonce(at), Some(1), at), Taken::Fresh);
        }
        assert_eq!(replay.take(nonce(9), Some(1), 9), Taken::Fresh, "the oldest goes");
        assert_eq!(replay.take(nonce(5), Some(1), 55), Taken::Replayed, "but is not forgotten");
        assert_eq!(replay.take(nonce(5), Some(2), 55), Taken::Replayed);
        assert_eq!(
            replay.take(nonce(4), Some(1), 4),
            Taken::Replayed,
            "an earlier one may have been used too"
        );
        assert_eq!(replay.take(nonce(6), Some(2), 6), Taken::Fresh, "who is inside goes on");
        assert_eq!(replay.take(nonce(7), Some(1), 7), Taken::Fresh, "what is later was never used");
        assert_eq!(replay.take(nonce(6), Some(3), 6), Taken::Replayed, "the next one went");
    }

    #[test]
    fn the_table_never_grows_beyond_its_bound() {
        let replay = Replay::new(64);
        for nonce in 0..10_000 {
            replay.take(nonce, Some(1), nonce);
        }
        let held: usize = replay.shards.iter().map(|shard| shard.lock().used.len()).sum();
        let queued: usize = replay.shards.iter().map(|shard| shard.lock().order.len()).sum();
        assert_eq!((held, queued), (64, 64));
    }

    proptest! {
        /// Whatever comes in whatever order: no pair of nonce and count is fresh twice, and what is repeated was fresh before.
        #[test]
        fn nothing_is_fresh_twice(
            requests in prop::collection::vec((0_u64..200, prop::option::of(0_u32..80), 0_u64..3), 0..600),
            entries in 1_usize..100,
        ) {
            let replay = Replay::new(entries);
            let mut fresh = HashSet::new();
            let mut singles = HashSet::new();
            for (nonce, count, transaction) in requests {
                match replay.take(nonce, count, transaction) {
                    Taken::Fresh => {
                        prop_assert!(fresh.insert((nonce, count)));
                        prop_assert!(!singles.contains(&nonce), "a nonce without count is used up");
                        if count.is_none() {
                            singles.insert(nonce);
                        }
                    }
                    Taken::Repeated => prop_assert!(fresh.contains(&(nonce, count))),
                    Taken::Replayed => {}
                }
            }
        }

        /// Nobody who counts up is refused as long as there is room.
        #[test]
        fn who_counts_up_passes(steps in prop::collection::vec(1_u32..1_000, 1..100)) {
            let replay = Replay::new(16);
            let mut count = 0;
            for step in steps {
                count += step;
                prop_assert_eq!(replay.take(3, Some(count), u64::from(count)), Taken::Fresh);
            }
        }
    }
}
