//! The clocks of other engines, as their messages told them (RFC 3414, sections 2.3 and 3.2, (7b)).

use std::collections::HashMap;
use std::mem;

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use super::{MAX_BOOTS, TIME_WINDOW};
use crate::time::Timestamp;

/// Bounds on what is known of other engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockLimits {
    /// Engines that are remembered; up to twice as many for a while.
    pub engines: usize,
    /// After so many messages in a row that are too old an engine is taken for one that forgot how often it started, and is
    /// believed again; 0 never believes it.
    pub forgiven_after: u32,
}

impl Default for ClockLimits {
    fn default() -> Self {
        Self { engines: 100_000, forgiven_after: 0 }
    }
}

/// A message is older than others of its engine: it was recorded, or the engine forgot how often it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message is older than others of its engine")]
pub struct Stale;

#[derive(Clone, Copy, Debug)]
struct Known {
    boots: u32,
    /// The highest time that came.
    time: u32,
    /// When it came, by our clock.
    at: Timestamp,
    /// Messages in a row that were too old.
    refused: u32,
}

impl Known {
    fn is_behind(&self, boots: u32, time: u32, now: Timestamp) -> bool {
        let passed = u32::try_from(now.since(self.at).as_secs()).unwrap_or(u32::MAX);
        let notion = self.time.saturating_add(passed);
        boots < self.boots || (boots == self.boots && time.saturating_add(TIME_WINDOW) < notion)
    }
}

type Table = HashMap<Box<[u8]>, Known, RandomState>;

/// What is known of the clocks of other engines.
///
/// Two tables, of which the older one is thrown away when the newer one is full: an engine that speaks is not forgotten. Only messages
/// whose authentication code is right get here, so it takes a password to fill them.
#[derive(Debug)]
pub struct Clocks {
    tables: Mutex<(Table, Table)>,
    limits: ClockLimits,
}

impl Clocks {
    /// Nothing is known yet.
    pub fn new(limits: ClockLimits) -> Self {
        Self { tables: Mutex::default(), limits }
    }

    /// Whether an authentic message of an engine is young enough; what it tells of its clock is remembered. The first one of an engine
    /// always is.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn check(&self, engine_id: &[u8], boots: u32, time: u32, now: Timestamp) -> Result<(), Stale> {
        if boots >= MAX_BOOTS {
            return Err(Stale);
        }
        let mut tables = self.tables.lock();
        let (newer, older) = &mut *tables;
        let told = Known { boots, time, at: now, refused: 0 };
        if let Some(known) = newer.get_mut(engine_id) {
            return self.follow(known, told);
        }
        let (outcome, entry) = match older.remove(engine_id) {
            None => (Ok(()), told),
            Some(mut known) => (self.follow(&mut known, told), known),
        };
        if newer.len() >= self.limits.engines.max(1) {
            *older = mem::take(newer);
        }
        newer.insert(engine_id.into(), entry);
        outcome
    }

    fn follow(&self, known: &mut Known, told: Known) -> Result<(), Stale> {
        if known.is_behind(told.boots, told.time, told.at) {
            known.refused = known.refused.saturating_add(1);
            let is_forgiven = self.limits.forgiven_after > 0 && known.refused > self.limits.forgiven_after;
            if !is_forgiven {
                return Err(Stale);
            }
            *known = told;
        } else if (told.boots, told.time) > (known.boots, known.time) {
            *known = told;
        } else {
            known.refused = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_767_323_045_678);

    fn after(seconds: u64) -> Timestamp {
        START.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_clock_goes_on_and_does_not_go_back() {
        let clocks = Clocks::new(ClockLimits::default());
        let check = |boots, time, now| clocks.check(b"engine", boots, time, now);
        assert_eq!(check(4, 1_000, after(0)), Ok(()), "the first is believed");
        assert_eq!(check(4, 900, after(10)), Ok(()), "within the window");
        assert_eq!(check(4, 850, after(0)), Ok(()));
        assert_eq!(check(4, 849, after(0)), Err(Stale));
        assert_eq!(check(4, 1_000, after(151)), Err(Stale), "recorded");
        assert_eq!(check(4, 1_151, after(151)), Ok(()));
        assert_eq!(check(3, 9_000, after(151)), Err(Stale), "before it started");
        assert_eq!(check(5, 1, after(151)), Ok(()), "it started again");
        assert_eq!(check(MAX_BOOTS, 1, after(151)), Err(Stale));
        assert_eq!(clocks.check(b"other", 1, 1, after(0)), Ok(()));
    }

    #[test]
    fn who_forgot_its_starts_is_believed_after_a_while_if_that_is_wanted() {
        for (forgiven_after, outcome) in [(0, Err(Stale)), (3, Ok(()))] {
            let clocks = Clocks::new(ClockLimits { forgiven_after, ..ClockLimits::default() });
            clocks.check(b"engine", 9, 1_000, after(0)).unwrap();
            for time in 1..4 {
                assert_eq!(clocks.check(b"engine", 1, time, after(1)), Err(Stale));
            }
            assert_eq!(clocks.check(b"engine", 1, 4, after(1)), outcome);
            assert_eq!(clocks.check(b"engine", 1, 5, after(1)), outcome);
        }
    }

    #[test]
    fn few_engines_are_remembered_and_those_that_speak_are() {
        let clocks = Clocks::new(ClockLimits { engines: 4, ..ClockLimits::default() });
        for number in 0..100_u8 {
            clocks.check(&[number; 5], 1, 1, START).unwrap();
            clocks.check(b"speaks", 5, 5, START).unwrap();
        }
        assert_eq!(clocks.check(b"speaks", 4, 5, START), Err(Stale));
        let (newer, older) = &*clocks.tables.lock();
        assert!(newer.len() + older.len() <= 8);
    }
}
