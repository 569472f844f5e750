//! Times in which no firmware is deployed.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Minutes of a day.
pub const MINUTES_OF_DAY: u16 = 24 * 60;
/// Intervals of one plan.
const MAX_INTERVALS: usize = 7 * 8;

/// A part of a weekday, the same in each week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Interval {
    /// 0 is Monday.
    pub weekday: u8,
    /// Minute of the day at which it begins.
    pub from: u16,
    /// Minute of the day before which it ends; [`MINUTES_OF_DAY`] is midnight.
    pub to: u16,
}

/// Times, in a time zone, in which no firmware is deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restrictions {
    intervals: Vec<Interval>,
    time_zone: Box<str>,
}

impl Default for Restrictions {
    fn default() -> Self {
        Self { intervals: Vec::new(), time_zone: "UTC".into() }
    }
}

/// Why restrictions cannot be like this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRestrictions {
    /// No such time zone.
    #[error("`{0}` is no time zone: an IANA name such as `Europe/Berlin` is expected")]
    TimeZone(Box<str>),
    /// An interval without length, or beyond its day. Its place in the list is told.
    #[error("interval {0} does not begin before it ends, within one day")]
    Interval(usize),
    /// Nothing would ever be deployed.
    #[error("all seven days are restricted as a whole: nothing would ever be deployed")]
    Always,
    /// Too many.
    #[error("at most {MAX_INTERVALS} intervals")]
    TooMany,
}

impl Restrictions {
    /// These intervals in this time zone (an IANA name). Intervals may overlap.
    pub fn new(mut intervals: Vec<Interval>, time_zone: &str) -> Result<Self, BadRestrictions> {
        if zone(time_zone).is_none() {
            return Err(BadRestrictions::TimeZone(time_zone.into()));
        }
        if intervals.len() > MAX_INTERVALS {
            return Err(BadRestrictions::TooMany);
        }
        let is_bad = |interval: &Interval| {
            interval.weekday > 6 || interval.from >= interval.to || interval.to > MINUTES_OF_DAY
        };
        if let Some(at) = intervals.iter().position(is_bad) {
            return Err(BadRestrictions::Interval(at));
        }
        intervals.sort_unstable();
        if (0..7).all(|weekday| covers_day(&intervals, weekday)) {
            return Err(BadRestrictions::Always);
        }
        Ok(Self { intervals, time_zone: time_zone.into() })
    }

    /// The intervals, by weekday and beginning.
    pub fn intervals(&self) -> &[Interval] {
        &self.intervals
    }

    /// The time zone in which they are said.
    pub fn time_zone(&self) -> &str {
        &self.time_zone
    }

    /// Whether nothing may be deployed at this moment.
    pub fn hold(&self, now: Timestamp) -> bool {
        if self.intervals.is_empty() {
            return false;
        }
        let zone = zone(&self.time_zone).unwrap_or(TimeZone::UTC);
        let local = now.to_jiff().to_zoned(zone);
        let weekday = u8::try_from(local.weekday().to_monday_zero_offset()).unwrap_or(0);
        let minute = u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs());
        self.intervals.iter().any(|part| part.weekday == weekday && (part.from..part.to).contains(&minute))
    }
}

/// A time zone by its IANA name, from the table in this program.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

fn covers_day(sorted: &[Interval], weekday: u8) -> bool {
    let mut covered = 0;
    for part in sorted.iter().filter(|part| part.weekday == weekday) {
        if part.from > covered {
            return false;
        }
        covered = covered.max(part.to);
    }
    covered >= MINUTES_OF_DAY
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(weekday: u8, from: u16, to: u16) -> Interval {
        Interval { weekday, from, to }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::from_jiff(text.parse().unwrap())
    }

    #[test]
    fn a_time_is_restricted_where_the_phones_are() {
        // Monday from eight to six, in Berlin.
        let plan = Restrictions::new(vec![part(0, 8 * 60, 18 * 60)], "Europe/Berlin").unwrap();
        // 2026-01-05 is a Monday; Berlin is an hour ahead of UTC then, two hours in July.
        assert!(!plan.hold(at("2026-01-05T06:59:59Z")) && plan.hold(at("2026-01-05T07:00:00Z")));
        assert!(plan.hold(at("2026-07-06T06:00:00Z")) && !plan.hold(at("2026-07-06T16:00:00Z")));
        assert!(!plan.hold(at("2026-01-06T10:00:00Z")), "a Tuesday");
        assert!(!Restrictions::default().hold(at("2026-01-05T10:00:00Z")));
    }

    #[test]
    fn not_all_days_may_be_restricted_as_a_whole() {
        let week = |until| (0..7).map(|day| part(day, 0, until)).collect::<Vec<_>>();
        assert_eq!(Restrictions::new(week(MINUTES_OF_DAY), "UTC"), Err(BadRestrictions::Always));
        assert!(Restrictions::new(week(MINUTES_OF_DAY - 1), "UTC").is_ok());
        let mut halves = week(700);
        halves.extend((0..7).map(|day| part(day, 600, MINUTES_OF_DAY)));
        assert_eq!(Restrictions::new(halves, "UTC"), Err(BadRestrictions::Always));
    }

    #[test]
    fn wrong_intervals_and_time_zones_are_told() {
        let bad = [part(7, 0, 10), part(0, 10, 10), part(0, 10, 5), part(0, 0, MINUTES_OF_DAY + 1)];
        for interval in bad {
            let list = vec![part(1, 0, 1), interval];
            assert_eq!(Restrictions::new(list, "UTC"), Err(BadRestrictions::Interval(1)), "{interval:?}");
        }
        assert!(matches!(Restrictions::new(Vec::new(), "Mars/North"), Err(BadRestrictions::TimeZone(_))));
        assert_eq!(Restrictions::new(vec![part(0, 0, 1); 57], "UTC"), Err(BadRestrictions::TooMany));
    }
}
