//! A timer wheel: things by the time at which they are due, put in and taken out at a constant price.
//!
//! Nothing is ever taken out early. Whoever puts things in looks, when they come, whether they are still wanted and whether
//! their time has come: what is due beyond the wheel's horizon comes at the horizon, and is put in again.

use std::fmt;

use crate::time::Timestamp;

/// Things that come when they are due. `T` should be small: a place in a table, not the thing itself.
pub struct Wheel<T> {
    /// None before the first thing comes: there are many wheels, and some stay empty.
    slots: Box<[Vec<T>]>,
    /// How many slots there are then.
    size: usize,
    tick_ms: u64,
    /// The tick up to which, itself included, everything has come.
    past: u64,
    len: usize,
}

impl<T> fmt::Debug for Wheel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel").field("len", &self.len).field("slots", &self.size).finish_non_exhaustive()
    }
}

/// Room that an empty slot keeps.
const KEPT: usize = 64;

impl<T> Wheel<T> {
    /// A wheel that begins at `now`, with `slots` (2 or more) of `tick_ms` (1 or more) milliseconds each.
    pub fn new(now: Timestamp, slots: usize, tick_ms: u64) -> Self {
        let tick_ms = tick_ms.max(1);
        Self { slots: Box::default(), size: slots.max(2), tick_ms, past: now.as_millis() / tick_ms, len: 0 }
    }

    /// How many things are in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Have `thing` come at `at`, up to one tick late; at the horizon if that is sooner; with the next tick if `at` is past.
    pub fn insert(&mut self, at: Timestamp, thing: T) {
        if self.slots.is_empty() {
            self.slots = std::iter::repeat_with(Vec::new).take(self.size).collect();
        }
        let horizon = self.past + self.size as u64 - 1;
        let tick = at.as_millis().div_ceil(self.tick_ms).clamp(self.past + 1, horizon);
        let slot = self.slot(tick);
        self.slots[slot].push(thing);
        self.len += 1;
    }

    /// Take everything out that is due at `now`. A clock that steps back brings nothing; one that leaps ahead brings all
    /// that lies between.
    pub fn advance(&mut self, now: Timestamp, mut take: impl FnMut(T)) {
        let present = now.as_millis() / self.tick_ms;
        if present <= self.past {
            return;
        }
        let turns = (present - self.past).min(self.size as u64);
        for tick in (self.past + 1)..=(self.past + turns) {
            if self.len == 0 {
                break;
            }
            let slot = self.slot(tick);
            let slot = &mut self.slots[slot];
            self.len -= slot.len();
            slot.drain(..).for_each(&mut take);
            if slot.capacity() > KEPT {
                slot.shrink_to(KEPT);
            }
        }
        self.past = present;
    }

    fn slot(&self, tick: u64) -> usize {
        #[allow(clippy::cast_possible_truncation)] // less than the number of slots
        let slot = (tick % self.size as u64) as usize;
        slot
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_767_323_045_678);

    fn due(wheel: &mut Wheel<u64>, now: Timestamp) -> Vec<u64> {
        let mut things = Vec::new();
        wheel.advance(now, |thing| things.push(thing));
        things
    }

    #[test]
    fn things_come_when_they_are_due() {
        let mut wheel = Wheel::new(START, 8, 100);
        let at = |ms| START.plus(Duration::from_millis(ms));
        wheel.insert(at(250), 250);
        wheel.insert(at(100), 100);
        wheel.insert(START, 0);
        wheel.insert(Timestamp::from_millis(0), 1);
        assert_eq!((wheel.len(), wheel.is_empty()), (4, false));
        assert_eq!(due(&mut wheel, START), Vec::<u64>::new());
        let mut first = due(&mut wheel, at(122));
        first.sort_unstable();
        assert_eq!(first, [0, 1, 100]);
        assert_eq!(due(&mut wheel, at(50)), Vec::<u64>::new(), "the clock stepped back");
        assert_eq!(due(&mut wheel, at(350)), [250]);
        assert!(wheel.is_empty());
    }

    #[test]
    fn what_is_far_away_comes_at_the_horizon() {
        let mut wheel = Wheel::new(START, 4, 1_000);
        wheel.insert(START.plus(Duration::from_hours(1)), 7);
        assert_eq!(due(&mut wheel, START.plus(Duration::from_secs(2))), Vec::<u64>::new());
        assert_eq!(due(&mut wheel, START.plus(Duration::from_secs(3))), [7]);
    }

    #[test]
    fn a_leap_of_the_clock_brings_everything_once() {
        let mut wheel = Wheel::new(START, 4, 10);
        for thing in 0..30 {
            wheel.insert(START.plus(Duration::from_millis(thing)), thing);
        }
        let mut all = due(&mut wheel, START.plus(Duration::from_hours(1_000_000)));
        all.sort_unstable();
        assert_eq!(all, (0..30).collect::<Vec<_>>());
        wheel.insert(START, 9);
        assert_eq!(due(&mut wheel, START.plus(Duration::from_hours(2_000_000))), [9]);
    }

    proptest! {
        /// Nothing comes before its time unless the horizon is sooner, nothing more than one tick and one turn late, nothing
        /// is lost.
        #[test]
        fn nothing_is_lost_early_or_late(
            steps in prop::collection::vec((0_u64..400, 0_u64..3_000), 1..60),
            slots in 2_usize..20,
            tick in 1_u64..200,
        ) {
            let mut wheel = Wheel::new(START, slots, tick);
            let mut now = START;
            let mut inside: Vec<(u64, u64)> = Vec::new();
            let horizon = (slots as u64 - 1) * tick;
            for (id, (pause, ahead)) in (0..).zip(steps) {
                let at = now.as_millis() + ahead;
                wheel.insert(Timestamp::from_millis(at), id);
                inside.push((id, at.min((now.as_millis() / tick) * tick + horizon)));
                now = now.plus(Duration::from_millis(pause));
                let came = due(&mut wheel, now);
                for id in came {
                    let index = inside.iter().position(|thing| thing.0 == id).unwrap();
                    let (_, wanted) = inside.swap_remove(index);
                    prop_assert!(now.as_millis() >= wanted, "{} came at {}", wanted, now.as_millis());
                }
                for (_, wanted) in &inside {
                    prop_assert!(*wanted + tick > now.as_millis(), "{} still in at {}", wanted, now.as_millis());
                }
                prop_assert_eq!(wheel.len(), inside.len());
            }
        }
    }
}
