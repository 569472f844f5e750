//! When a job begins, as administrators say it.

use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

use super::restriction::zone;
use crate::time::Timestamp;

/// When a job is to begin, as its administrator said it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The moment.
    pub at: Timestamp,
    /// The time zone in which it was said, by its IANA name.
    pub time_zone: Box<str>,
}

/// A beginning that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSchedule {
    /// No such time zone.
    #[error("`{0}` is no time zone: an IANA name such as `Europe/Berlin` is expected")]
    TimeZone(Box<str>),
    /// No date and time.
    #[error("a date and time such as `2027-01-31T22:00`, or a moment such as `2027-01-31T21:00:00Z`")]
    At,
}

impl BadSchedule {
    /// The part that is wrong.
    pub const fn field(&self) -> &'static str {
        match self {
            Self::TimeZone(_) => "time_zone",
            Self::At => "at",
        }
    }
}

impl Schedule {
    /// Read a moment (RFC 3339), or date and time on a wall in `time_zone` (UTC if not given). A time that the wall shows
    /// twice is the first of the two; one that it leaves out is as much later as clocks are put forward.
    pub fn parse(at: &str, time_zone: Option<&str>) -> Result<Self, BadSchedule> {
        let name = time_zone.unwrap_or("UTC");
        let zone = zone(name).ok_or_else(|| BadSchedule::TimeZone(name.into()))?;
        let at = at.trim();
        let moment = if let Ok(moment) = at.parse::<jiff::Timestamp>() {
            moment
        } else {
            let wall: DateTime = at.parse().map_err(|_| BadSchedule::At)?;
            wall.to_zoned(zone).map_err(|_| BadSchedule::At)?.timestamp()
        };
        Ok(Self { at: Timestamp::from_jiff(moment), time_zone: name.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_stands_in_its_time_zone() {
        let at = |text: &str, zone: Option<&str>| Schedule::parse(text, zone).unwrap().at.to_string();
        assert_eq!(at("2027-01-31T22:00", Some("Europe/Berlin")), "2027-01-31T21:00:00.000Z");
        assert_eq!(at("2027-07-31T22:00", Some("Europe/Berlin")), "2027-07-31T20:00:00.000Z");
        assert_eq!(at("2027-01-31T22:00", None), "2027-01-31T22:00:00.000Z");
        assert_eq!(at("2027-01-31T22:00:00+01:00", None), "2027-01-31T21:00:00.000Z");
        // Clocks go from two to three, and back from three to two.
        assert_eq!(at("2027-03-28T02:30", Some("Europe/Berlin")), "2027-03-28T01:30:00.000Z");
        assert_eq!(at("2027-10-31T02:30", Some("Europe/Berlin")), "2027-10-31T00:30:00.000Z");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let fault = |text: &str, zone: Option<&str>| Schedule::parse(text, zone).unwrap_err().field();
        assert_eq!(fault("2027-01-31T22:00", Some("Mars/North")), "time_zone");
        for bad in ["", "tomorrow", "22:00", "2027-13-01T00:00"] {
            assert_eq!(fault(bad, None), "at", "{bad}");
        }
    }
}
