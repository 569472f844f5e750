//! Informs that were acknowledged: one whose acknowledgement was lost comes again, and is acknowledged again, but is no second event.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, Hash};
use std::mem;
use std::time::Duration;

use foldhash::quality::RandomState;
use parking_lot::Mutex;

use crate::time::Timestamp;

/// How long an inform is remembered at least: senders give up earlier.
const REMEMBERED: Duration = Duration::from_mins(2);

/// Remembers fingerprints of informs of the last minutes, up to a bound, beyond which the older ones are forgotten early.
#[derive(Debug)]
pub struct Seen {
    tables: Mutex<Tables>,
    hasher: RandomState,
    most: usize,
}

#[derive(Debug, Default)]
struct Tables {
    newer: HashSet<u64, foldhash::fast::RandomState>,
    older: HashSet<u64, foldhash::fast::RandomState>,
    since: Timestamp,
}

impl Seen {
    /// Remembers up to twice as many as `most`.
    pub fn new(most: usize) -> Self {
        Self { tables: Mutex::default(), hasher: RandomState::default(), most: most.max(1) }
    }

    /// Whether an inform was there before; if not it is from now on.
    pub fn is_again(&self, inform: impl Hash, now: Timestamp) -> bool {
        let fingerprint = self.hasher.hash_one(inform);
        let mut tables = self.tables.lock();
        let is_over = now < tables.since || now.since(tables.since) >= REMEMBERED;
        if is_over || tables.newer.len() >= self.most {
            tables.older = mem::take(&mut tables.newer);
            tables.since = now;
        }
        tables.older.contains(&fingerprint) || !tables.newer.insert(fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_767_323_045_678);

    #[test]
    fn an_inform_is_remembered_for_two_minutes_and_many_are_not() {
        let seen = Seen::new(100);
        let again = |number: u32, seconds| seen.is_again(number, START.plus(Duration::from_secs(seconds)));
        assert!(!again(1, 0) && again(1, 1));
        assert!(again(1, 119) && again(1, 130), "through a change of tables");
        assert!(!again(1, 400), "it is over");
        for number in 10..1_000 {
            assert!(!again(number, 400));
        }
        let tables = seen.tables.lock();
        assert!(tables.newer.len() + tables.older.len() <= 200);
    }
}
