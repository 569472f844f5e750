//! This server as an engine (RFC 3411, section 5; RFC 3414, section 2.2).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::MAX_BOOTS;
use crate::snmp::mib::ENTERPRISE_NUMBER;
use crate::time::{Random, Timestamp};

/// The id of an engine: 5 to 32 bytes.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EngineId(Box<[u8]>);

/// A text that is no engine's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an engine's id is 5 to 32 bytes in hexadecimal digits, not all of them 00 or FF")]
pub struct BadEngineId;

/// Kind of an id whose bytes were chosen by whoever made it (RFC 3411, section 5: `SnmpEngineID`).
const OCTETS: u8 = 5;

impl EngineId {
    /// From bytes.
    ///
    /// # Errors
    /// If there are too few or too many, or all are zeros or ones.
    pub fn new(bytes: &[u8]) -> Result<Self, BadEngineId> {
        let is_possible = (5..=32).contains(&bytes.len())
            && !bytes.iter().all(|byte| *byte == 0)
            && !bytes.iter().all(|byte| *byte == 0xff);
        is_possible.then(|| Self(bytes.into())).ok_or(BadEngineId)
    }

    /// One that no other engine has: eight random bytes below our number.
    pub fn random(random: &dyn Random) -> Self {
        let number = (ENTERPRISE_NUMBER | 0x8000_0000).to_be_bytes();
        let dice = random.next_u128().to_be_bytes();
        let (own, _) = dice.split_at(8);
        Self([&number[..], &[OCTETS], own].concat().into())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for EngineId {
    type Err = BadEngineId;

    /// Hexadecimal digits, with or without `0x` in front.
    fn from_str(text: &str) -> Result<Self, BadEngineId> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let byte = |two: &[u8]| match two {
            [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(byte).collect();
        Self::new(&bytes.ok_or(BadEngineId)?)
    }
}

impl fmt::Display for EngineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EngineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What of an engine survives a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineRecord {
    /// Its id.
    pub id: EngineId,
    /// How often it has started.
    pub boots: u32,
}

impl EngineRecord {
    /// What is to be stored before an engine that was `before` starts again. Another id begins anew; so does an engine that has
    /// started as often as can be told, which must get another id.
    #[must_use]
    pub fn started(before: Option<Self>, wanted: Option<EngineId>, random: &dyn Random) -> Self {
        match (before, wanted) {
            (Some(before), Some(wanted)) if before.id != wanted => Self { id: wanted, boots: 1 },
            (Some(before), None) if before.boots >= MAX_BOOTS - 1 => {
                Self { id: EngineId::random(random), boots: 1 }
            }
            (Some(before), _) => Self { boots: (before.boots + 1).min(MAX_BOOTS), ..before },
            (None, wanted) => Self { id: wanted.unwrap_or_else(|| EngineId::random(random)), boots: 1 },
        }
    }
}

/// This server's engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    record: EngineRecord,
    since: Timestamp,
}

impl Engine {
    /// The engine of a record that is durable, which starts now, by a clock that nobody sets.
    pub const fn new(record: EngineRecord, now: Timestamp) -> Self {
        Self { record, since: now }
    }

    /// Its id, to be shown.
    pub const fn named(&self) -> &EngineId {
        &self.record.id
    }

    /// Its id.
    pub fn id(&self) -> &[u8] {
        self.record.id.as_bytes()
    }

    /// How often it has started.
    pub const fn boots(&self) -> u32 {
        self.record.boots
    }

    /// Seconds since it started. It stands still after 68 years.
    pub fn time(&self, now: Timestamp) -> u32 {
        u32::try_from(now.since(self.since).as_secs()).unwrap_or(MAX_BOOTS).min(MAX_BOOTS)
    }

    /// Hundredths of a second since it started (`sysUpTime`), which begin anew after 497 days.
    pub fn up_time(&self, now: Timestamp) -> u32 {
        #[allow(clippy::cast_possible_truncation)] // RFC 2578, section 7.1.8: modulo 2^32
        let ticks = (now.since(self.since).as_millis() / 10) as u32;
        ticks
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct Dice(u128);

    impl Random for Dice {
        fn next_u128(&self) -> u128 {
            self.0
        }
    }

    fn id(text: &str) -> EngineId {
        text.parse().unwrap()
    }

    #[test]
    fn an_id_has_a_length_and_is_not_nothing() {
        assert_eq!(id("0x80007ed90501020304").to_string(), "80007ed90501020304");
        assert_eq!(EngineId::random(&Dice(0x0102_0304 << 96)).to_string(), "80007ed9050102030400000000");
        let long = "01".repeat(33);
        for bad in
            ["", "80", "0x8000000", "00000000000000", "ffffffffff", "80007ed9050g", &long, "+1+1+1+1+1"]
        {
            assert_eq!(bad.parse::<EngineId>(), Err(BadEngineId), "{bad}");
        }
    }

    #[test]
    fn starts_are_counted() {
        let dice = Dice(7 << 100);
        let first = EngineRecord::started(None, None, &dice);
        assert_eq!((first.boots, &first.id), (1, &EngineId::random(&dice)));
        let second = EngineRecord::started(Some(first.clone()), None, &Dice(9));
        assert_eq!((second.boots, &second.id), (2, &first.id));
        let named = EngineRecord::started(Some(second.clone()), Some(id("8000000001")), &dice);
        assert_eq!((named.boots, named.id.clone()), (1, id("8000000001")));
        let again = EngineRecord::started(Some(named), Some(id("8000000001")), &dice);
        assert_eq!(again.boots, 2);
        let last = EngineRecord { boots: MAX_BOOTS - 1, ..second };
        assert_eq!(
            EngineRecord::started(Some(last.clone()), None, &Dice(3 << 90)).boots,
            1,
            "another engine"
        );
        let kept = EngineRecord::started(Some(last.clone()), Some(last.id.clone()), &dice);
        assert_eq!(kept.boots, MAX_BOOTS, "whoever names it finds out");
    }

    #[test]
    fn time_is_told_in_seconds_and_in_ticks() {
        let start = Timestamp::from_millis(5_000);
        let engine = Engine::new(EngineRecord { id: id("8000000001"), boots: 3 }, start);
        let later = start.plus(Duration::from_millis(12_340));
        assert_eq!((engine.time(later), engine.up_time(later), engine.boots()), (12, 1_234, 3));
        assert_eq!(engine.time(start.plus(Duration::from_secs(1 << 40))), MAX_BOOTS);
    }
}
