//! Firmware versions, and what follows from them for the way messages are written.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use nom::branch::alt;
use nom::bytes::complete::tag_no_case;
use nom::character::complete::{char as literal_char, space0, u16 as number};
use nom::combinator::opt;
use nom::multi::many_m_n;
use nom::sequence::preceded;
use nom::{IResult, Parser};

/// A firmware version, ordered by its numbers (reference 5.3, 11.11).
///
/// Read are `V3 R5.12.0`, `V3.1 R5.12.0.2` and the dotted `3.5.12.0`; five dotted numbers are
/// `V.sub.R.minor.fix`. Numbers left out are 0. Words after the numbers and a blank are passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SoftwareVersion {
    /// The number after `V`.
    pub major: u16,
    /// The number after `V` and a dot.
    pub sub: u16,
    /// The number after `R`.
    pub release: u16,
    /// The second number of the release.
    pub minor: u16,
    /// The third number of the release.
    pub fix: u16,
    /// The fourth number of the release.
    pub hotfix: u16,
}

/// The text is no firmware version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a firmware version such as `V3 R5.12.0` or `3.5.12.0`")]
pub struct BadVersion;

impl FromStr for SoftwareVersion {
    type Err = BadVersion;

    fn from_str(text: &str) -> Result<Self, BadVersion> {
        let (rest, version) = alt((lettered, dotted)).parse(text.trim()).map_err(|_| BadVersion)?;
        if rest.is_empty() || rest.starts_with(char::is_whitespace) { Ok(version) } else { Err(BadVersion) }
    }
}

impl fmt::Display for SoftwareVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "V{}", self.major)?;
        if self.sub != 0 {
            write!(f, ".{}", self.sub)?;
        }
        write!(f, " R{}.{}.{}", self.release, self.minor, self.fix)?;
        if self.hotfix != 0 {
            write!(f, ".{}", self.hotfix)?;
        }
        Ok(())
    }
}

fn more_numbers(least: usize, most: usize) -> impl FnMut(&str) -> IResult<&str, Vec<u16>> {
    move |input| many_m_n(least, most, preceded(literal_char('.'), number)).parse(input)
}

fn lettered(input: &str) -> IResult<&str, SoftwareVersion> {
    let (input, _) = tag_no_case("V")(input)?;
    let (input, (major, sub)) = (number, opt(preceded(literal_char('.'), number))).parse(input)?;
    let (input, _) = (space0, tag_no_case("R")).parse(input)?;
    let (input, (release, rest)) = (number, more_numbers(0, 3)).parse(input)?;
    let at = |place: usize| rest.get(place).copied().unwrap_or(0);
    let sub = sub.unwrap_or(0);
    Ok((input, SoftwareVersion { major, sub, release, minor: at(0), fix: at(1), hotfix: at(2) }))
}

fn dotted(input: &str) -> IResult<&str, SoftwareVersion> {
    let (input, (major, mut rest)) = (number, more_numbers(2, 4)).parse(input)?;
    let sub = if rest.len() == 4 { rest.remove(0) } else { 0 };
    let at = |place: usize| rest.get(place).copied().unwrap_or(0);
    Ok((input, SoftwareVersion { major, sub, release: at(0), minor: at(1), fix: at(2), hotfix: 0 }))
}

/// How values must be written for a phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Dialect {
    /// Ordinary XML.
    #[default]
    Current,
    /// The first firmware generation does not know the references for `<`, `>` and `&` (reference 11.15):
    /// angle brackets and carriage returns are left out and `&` becomes `+`.
    V1,
}

impl Dialect {
    /// The dialect of a phone by its `software-version` and `device-type`.
    ///
    /// Version 1 is the old generation, except on CP phones, which began to count anew. A version that
    /// cannot be read is taken as current.
    pub fn of(software_version: &str, device_type: &str) -> Self {
        match software_version.parse::<SoftwareVersion>() {
            Ok(version) if version.major <= 1 && !is_cp(device_type) => Self::V1,
            _ => Self::Current,
        }
    }

    /// The value that a phone gets when `value` is written to it.
    pub fn carried(self, value: &str) -> Cow<'_, str> {
        const LOST: [char; 3] = ['<', '>', '\r'];
        if self == Self::Current || !value.contains(['<', '>', '\r', '&']) {
            return Cow::Borrowed(value);
        }
        let kept = value.chars().filter(|c| !LOST.contains(c));
        Cow::Owned(kept.map(|c| if c == '&' { '+' } else { c }).collect())
    }
}

/// Whether a word of the model name is `CP` or `CP` and digits, such as `OpenScape Desk Phone CP400`.
fn is_cp(device_type: &str) -> bool {
    device_type.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| {
        word.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("cp"))
            && word[2..].bytes().take(1).all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(text: &str) -> SoftwareVersion {
        text.parse().unwrap_or_else(|_| panic!("{text:?} is a version"))
    }

    #[test]
    fn all_forms_are_read() {
        let plain = SoftwareVersion { major: 3, sub: 0, release: 5, minor: 12, fix: 0, hotfix: 0 };
        assert_eq!(version("V3 R5.12.0"), plain);
        assert_eq!(version(" v3r5.12 "), plain);
        assert_eq!(version("3.5.12.0"), plain);
        assert_eq!(version("3.5.12"), plain);
        assert_eq!(version("V3 R5.12.0      SIP  160204"), plain);
        assert_eq!(version("V3.1 R5.12.0"), SoftwareVersion { sub: 1, ..plain });
        assert_eq!(version("3.1.5.12.0"), SoftwareVersion { sub: 1, ..plain });
        assert_eq!(version("V3 R5.12.0.7"), SoftwareVersion { hotfix: 7, ..plain });
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "V",
            "V3",
            "3",
            "3.5",
            "V3 R",
            "V3 R5.12.0-x",
            "R5 V3",
            "V99999 R1",
            "3.5.12.0.1.1",
            "V3 R1.2.3.4.5",
        ] {
            assert_eq!(text.parse::<SoftwareVersion>(), Err(BadVersion), "{text:?}");
        }
    }

    #[test]
    fn order_is_numeric() {
        let ascending =
            ["V1 R5.4.0", "V2 R0.1.0", "V3 R1.9.0", "V3 R1.10.0", "3.1.10.1", "V3 R1.10.1.1", "V3.1 R0.0.0"];
        for pair in ascending.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn only_old_phones_of_version_1_have_the_old_dialect() {
        assert_eq!(Dialect::of("V1 R5.6.0", "OpenStage 60"), Dialect::V1);
        assert_eq!(Dialect::of("V1 R5.6.0", ""), Dialect::V1);
        assert_eq!(Dialect::of("V2 R1.21.0", "OpenStage 60"), Dialect::Current);
        assert_eq!(Dialect::of("V1 R8.3.0", "OpenScape Desk Phone CP400"), Dialect::Current);
        assert_eq!(Dialect::of("V1 R8.3.0", "OpenScape CP 600"), Dialect::Current);
        assert_eq!(Dialect::of("V1 R8.3.0", "cp210"), Dialect::Current);
        assert_eq!(Dialect::of("V1 R8.3.0", "CPU board"), Dialect::V1);
        assert_eq!(Dialect::of("unknown", "OpenStage 60"), Dialect::Current);
    }

    proptest! {
        #[test]
        fn display_reads_back(numbers: [u16; 6]) {
            let [major, sub, release, minor, fix, hotfix] = numbers;
            let written = SoftwareVersion { major, sub, release, minor, fix, hotfix };
            prop_assert_eq!(written.to_string().parse(), Ok(written));
        }

        #[test]
        fn any_text_is_taken_calmly(text: String) {
            let _ = text.parse::<SoftwareVersion>();
            let _ = Dialect::of(&text, &text);
        }
    }
}
