//! Time as a parameter: nothing in this crate reads a clock by itself.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01 00:00:00 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Time that passed since `earlier`; zero if `earlier` is later (wall clocks may step back).
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// As the calendar library's type, which certificates are made with.
    pub fn to_jiff(self) -> jiff::Timestamp {
        i64::try_from(self.0)
            .ok()
            .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
            .unwrap_or(jiff::Timestamp::MAX)
    }

    /// From the calendar library's type; moments before 1970 become 1970.
    pub fn from_jiff(at: jiff::Timestamp) -> Self {
        Self(u64::try_from(at.as_millisecond()).unwrap_or(0))
    }

    /// The moment `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// By how much a wall clock is ahead of a steady one ([`Clock::steady`]): nothing, until somebody sets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ahead(i64);

impl Ahead {
    /// From what both show at the same time.
    pub fn of(wall: Timestamp, steady: Timestamp) -> Self {
        Self(wall.0.wrapping_sub(steady.0).cast_signed())
    }

    /// From milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// In milliseconds; negative if it is behind.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// What the wall clock shows when the steady one shows `steady`.
    #[must_use]
    pub const fn wall(self, steady: Timestamp) -> Timestamp {
        Timestamp(steady.0.saturating_add_signed(self.0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds, for example `2026-01-02T03:04:05.678Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match i64::try_from(self.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()) {
            Some(at) => write!(f, "{at:.3}"),
            None => write!(f, "{} ms", self.0),
        }
    }
}

/// Where the current time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The current wall-clock time.
    fn now(&self) -> Timestamp;

    /// The time of a clock that nobody sets: the wall-clock time when it began, and what has passed since. What waits for time to
    /// pass is measured with it; it does not compare with wall-clock times of others once the clock was set.
    ///
    /// [`Self::now`], for a clock that is never set.
    fn steady(&self) -> Timestamp {
        self.now()
    }
}

/// Where unpredictable numbers come from (session cookies, identifiers).
pub trait Random: Send + Sync + 'static {
    /// 128 unpredictable bits.
    fn next_u128(&self) -> u128;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_rfc_3339() {
        assert_eq!(Timestamp::from_millis(1_767_323_045_678).to_string(), "2026-01-02T03:04:05.678Z");
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_wall_clock_is_ahead_or_behind() {
        let [three, eight] = [3, 8].map(Timestamp::from_millis);
        for (wall, steady) in [(three, eight), (eight, three), (three, three)] {
            assert_eq!(Ahead::of(wall, steady).wall(steady), wall);
        }
        assert_eq!(Ahead::from_millis(-9).wall(three), Timestamp::from_millis(0));
        assert_eq!(Ahead::of(three, eight).as_millis(), -5);
    }

    #[test]
    fn a_clock_that_steps_back_yields_no_time() {
        let early = Timestamp::from_millis(5);
        assert_eq!(early.since(early.plus(Duration::from_millis(7))), Duration::ZERO);
    }
}
