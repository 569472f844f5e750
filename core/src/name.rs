//! Names that administrators give to what they make.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest name, in bytes.
pub const MAX_RESOURCE_NAME_BYTES: usize = 64;

/// A name in a path of the administration: 1 to [`MAX_RESOURCE_NAME_BYTES`] letters, digits, dots, hyphens and underscores, of which the
/// first is no dot. It needs no escape there. Copies share it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceName(Arc<str>);

/// A text that is no such name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name has 1 to {MAX_RESOURCE_NAME_BYTES} letters, digits, dots, hyphens and underscores, and does not begin with a dot"
)]
pub struct BadResourceName;

impl ResourceName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ResourceName {
    type Err = BadResourceName;

    fn from_str(text: &str) -> Result<Self, BadResourceName> {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let fits = (1..=MAX_RESOURCE_NAME_BYTES).contains(&text.len()) && !text.starts_with('.');
        if fits && text.bytes().all(is_good) { Ok(Self(text.into())) } else { Err(BadResourceName) }
    }
}

impl Borrow<str> for ResourceName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for ResourceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ResourceName {
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
            assert_eq!(good.parse::<ResourceName>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", ".a", "a b", "a/b", "a%b", "ä", &"x".repeat(65)] {
            assert_eq!(bad.parse::<ResourceName>(), Err(BadResourceName), "{bad}");
        }
    }
}
