//! Names of rules.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest name of a rule, in bytes.
pub const MAX_RULE_NAME_BYTES: usize = 64;

/// The name of a rule: 1 to [`MAX_RULE_NAME_BYTES`] letters, digits, dots, hyphens and underscores. Copies share it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleName(Arc<str>);

/// A text that is no name of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a profile's name has 1 to {MAX_RULE_NAME_BYTES} letters, digits, dots, hyphens and underscores, and does not begin with a dot"
)]
pub struct BadRuleName;

impl RuleName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RuleName {
    type Err = BadRuleName;

    fn from_str(text: &str) -> Result<Self, BadRuleName> {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let fits = (1..=MAX_RULE_NAME_BYTES).contains(&text.len()) && !text.starts_with('.');
        if fits && text.bytes().all(is_good) { Ok(Self(text.into())) } else { Err(BadRuleName) }
    }
}

impl Borrow<str> for RuleName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for RuleName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RuleName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_needs_no_escape() {
        for good in ["yealink", "A-1_b.c", "0", &"x".repeat(64)] {
            assert_eq!(good.parse::<RuleName>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", ".a", "a b", "a/b", "a%b", "ä", &"x".repeat(65)] {
            assert_eq!(bad.parse::<RuleName>(), Err(BadRuleName), "{bad}");
        }
    }
}
