//! When a request is sent again and given up (RFC 3261, section 17.1.2.2), and whose turn it is.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The estimate of a round trip, in microseconds (T1).
pub(super) const T1: u64 = 500_000;
/// Longest time between two sendings, in microseconds (T2).
pub(super) const T2: u64 = 4_000_000;
/// Time after which nobody waits any more, in microseconds (timer F: 64 T1).
pub(super) const GIVE_UP: u64 = 64 * T1;

/// The sendings of a request over datagrams (timer E): after 0.5, 1, 2, 4, 4 ... seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sendings {
    first: u64,
    last: u64,
    interval: u64,
}

impl Sendings {
    /// It is sent for the first time.
    pub(super) fn begin(now: u64) -> Self {
        Self { first: now, last: now, interval: T1 }
    }

    /// It is sent again.
    pub(super) fn again(&mut self, now: u64) {
        self.last = now;
        self.interval = (2 * self.interval).min(T2);
    }

    /// A provisional answer came: nobody has to hurry.
    pub(super) fn proceeding(&mut self) {
        self.interval = T2;
    }

    /// When it is sent again, if it ever is.
    pub(super) fn next(&self, is_reliable: bool) -> u64 {
        let end = self.first + GIVE_UP;
        if is_reliable { end } else { (self.last + self.interval).min(end) }
    }

    pub(super) fn is_over(&self, now: u64) -> bool {
        now >= self.first + GIVE_UP
    }
}

/// What is due when. An entry stays until its time and says by its stamp whether it still holds.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(u64, u32, u32)>>,
}

impl Timers {
    pub(super) fn set(&mut self, at: u64, index: u32, stamp: u32) {
        self.heap.push(Reverse((at, index, stamp)));
    }

    /// The next entry that holds and is due: whose it is.
    pub(super) fn due(&mut self, now: u64, holds: impl Fn(u32, u32) -> bool) -> Option<u32> {
        self.next(holds).filter(|at| *at <= now)?;
        self.heap.pop().map(|Reverse((_, index, _))| index)
    }

    /// When the next entry that holds is due.
    pub(super) fn next(&mut self, holds: impl Fn(u32, u32) -> bool) -> Option<u64> {
        while let Some(Reverse((at, index, stamp))) = self.heap.peek().copied() {
            if holds(index, stamp) {
                return Some(at);
            }
            self.heap.pop();
        }
        None
    }

    pub(super) fn clear(&mut self) {
        self.heap.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_sent_eleven_times_in_32_seconds() {
        let mut sendings = Sendings::begin(0);
        let mut at = Vec::new();
        loop {
            let next = sendings.next(false);
            if sendings.is_over(next) {
                assert_eq!(next, GIVE_UP);
                break;
            }
            sendings.again(next);
            at.push(next / 100_000);
        }
        assert_eq!(at, [5, 15, 35, 75, 115, 155, 195, 235, 275, 315]);
        assert_eq!(Sendings::begin(7).next(true), 7 + GIVE_UP);
        let mut sendings = Sendings::begin(0);
        sendings.proceeding();
        assert_eq!(sendings.next(false), T2);
    }

    #[test]
    fn entries_that_do_not_hold_are_left_out() {
        let mut timers = Timers::default();
        timers.set(30, 1, 0);
        timers.set(10, 2, 0);
        timers.set(20, 3, 5);
        let holds = |_, stamp| stamp == 0;
        assert_eq!(timers.due(9, holds), None);
        assert_eq!(timers.due(40, holds), Some(2));
        assert_eq!(timers.next(holds), Some(30));
        assert_eq!(timers.due(40, holds), Some(1));
        assert_eq!(timers.due(40, holds), None);
    }
}
