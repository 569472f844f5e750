//! Names of realms and users.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest name of a realm or a user, in bytes.
pub const MAX_NAME_BYTES: usize = 128;

/// A text that can be no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Empty or too long.
    #[error("a name has 1 to {MAX_NAME_BYTES} bytes")]
    Length,
    /// A character that would need an escape, or that phones write in different ways.
    #[error("a name is printable ASCII without quotes and backslashes and without blanks at its ends")]
    Character,
    /// A colon in a user name: it would not be clear where the realm begins in what is hashed.
    #[error("a user name has no colon")]
    Colon,
}

fn check(text: &str) -> Result<(), BadName> {
    if text.is_empty() || text.len() > MAX_NAME_BYTES {
        return Err(BadName::Length);
    }
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'));
    if !is_plain || text.trim() != text {
        return Err(BadName::Character);
    }
    Ok(())
}

/// Makes a name of a text that is checked: compared, ordered and hashed by its bytes, as phones hash it.
macro_rules! name {
    ($name:ident) => {
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                self.borrow()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// The text of a realm as it stands in challenges: 1 to [`MAX_NAME_BYTES`] bytes. Copies share it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RealmName(Arc<RealmText>);

/// Behind a pointer of one word: there is one in every credential.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
struct RealmText(Box<str>);

impl Borrow<str> for RealmName {
    fn borrow(&self) -> &str {
        &self.0.0
    }
}

impl FromStr for RealmName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        check(text)?;
        Ok(Self(Arc::new(RealmText(text.into()))))
    }
}

name!(RealmName);

/// The user name of a digest: 1 to [`MAX_NAME_BYTES`] bytes, with a domain if the phones write one (`100@example.net`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Username(Box<str>);

impl Borrow<str> for Username {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for Username {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        check(text)?;
        if text.contains(':') {
            return Err(BadName::Colon);
        }
        Ok(Self(text.into()))
    }
}

name!(Username);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_phones_write_without_escapes() {
        for good in ["asterisk", "phones.example", "My Company", "100@example.net", "a/b%c", &"x".repeat(128)]
        {
            assert_eq!(good.parse::<RealmName>().unwrap().as_str(), good);
            assert_eq!(good.parse::<Username>().unwrap().as_str(), good);
        }
        for (bad, reason) in [
            ("", BadName::Length),
            (&"x".repeat(129), BadName::Length),
            (" a", BadName::Character),
            ("a ", BadName::Character),
            ("a\"b", BadName::Character),
            ("a\\b", BadName::Character),
            ("a\nb", BadName::Character),
            ("größe", BadName::Character),
        ] {
            assert_eq!(bad.parse::<RealmName>(), Err(reason), "{bad}");
            assert_eq!(bad.parse::<Username>(), Err(reason), "{bad}");
        }
        assert_eq!("sip:100".parse::<Username>(), Err(BadName::Colon));
        assert!("host:5060".parse::<RealmName>().is_ok());
    }
}
