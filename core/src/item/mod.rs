//! Items: the named values that make up a phone's configuration (WPI reference, section 10).

mod build;
mod dictionary;
mod set;

use std::fmt;

use callboard_codecs::wpi::catalogue::{self, ItemId};
use serde::{Deserialize, Serialize};

pub use build::{ItemSetBuilder, TooMany};
pub use dictionary::Dictionary;
pub use set::{Entry, ItemSet, MalformedItems, Value};

use crate::secret::Secret;

/// The name of an item: a number where the catalogue knows it, the text itself where it does not.
///
/// Known names order before unknown ones, by catalogue number; unknown ones order by text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameRef<'a> {
    /// A catalogue number.
    Known(u16),
    /// A name that the catalogue does not have.
    Other(&'a str),
}

impl<'a> NameRef<'a> {
    /// Look a name up.
    pub fn of(name: &'a str) -> Self {
        catalogue::lookup(name).map_or(Self::Other(name), |id| Self::Known(id.number()))
    }

    /// The same name by number if the catalogue has learned it.
    fn up_to_date(self) -> Self {
        match self {
            Self::Known(_) => self,
            Self::Other(text) => Self::of(text),
        }
    }

    /// The name as it stands on the wire.
    pub fn text(self) -> &'a str {
        match self {
            Self::Known(id) => ItemId::from_number(id).map_or("", |id| catalogue::entry(id).name),
            Self::Other(text) => text,
        }
    }

    /// Whether values of this name are secret.
    pub fn is_secret(self) -> bool {
        match self {
            Self::Known(id) => ItemId::from_number(id).is_some_and(|id| catalogue::entry(id).secret),
            Self::Other(text) => catalogue::is_secret(text),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "StoredName")]
enum OwnedName {
    Known(u16),
    Other(Box<str>),
}

/// A name as it lies in a record: the catalogue may have learned it since.
#[derive(Deserialize)]
enum StoredName {
    Known(u16),
    Other(Box<str>),
}

impl From<StoredName> for OwnedName {
    fn from(stored: StoredName) -> Self {
        match stored {
            StoredName::Known(id) => Self::Known(id),
            StoredName::Other(text) => match NameRef::of(&text) {
                NameRef::Known(id) => Self::Known(id),
                NameRef::Other(_) => Self::Other(text),
            },
        }
    }
}

/// One place for a value: a name and, for names with several instances, an index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ItemKey {
    name: OwnedName,
    index: Option<u32>,
}

impl ItemKey {
    /// The key of `name` and `index`.
    pub fn new(name: &str, index: Option<u32>) -> Self {
        Self::from_ref(NameRef::of(name), index)
    }

    /// The key of a name already looked up.
    pub fn from_ref(name: NameRef<'_>, index: Option<u32>) -> Self {
        let name = match name {
            NameRef::Known(id) => OwnedName::Known(id),
            NameRef::Other(text) => OwnedName::Other(text.into()),
        };
        Self { name, index }
    }

    /// The name, for comparison with other names.
    pub fn name_ref(&self) -> NameRef<'_> {
        match &self.name {
            OwnedName::Known(id) => NameRef::Known(*id),
            OwnedName::Other(text) => NameRef::Other(text),
        }
    }

    /// The name as it stands on the wire.
    pub fn name(&self) -> &str {
        self.name_ref().text()
    }

    /// The index, if the item has one.
    pub fn index(&self) -> Option<u32> {
        self.index
    }

    /// Whether values at this key are secret.
    pub fn is_secret(&self) -> bool {
        self.name_ref().is_secret()
    }
}

impl fmt::Display for ItemKey {
    /// `name`, or `name[index]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "{}[{index}]", self.name()),
            None => f.write_str(self.name()),
        }
    }
}

/// A value to be written to a phone. Its `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ItemWrite {
    /// Where it goes.
    pub key: ItemKey,
    /// What is written.
    pub value: Secret,
}

impl ItemWrite {
    /// Write `value` to `name`, `index`.
    pub fn new(name: &str, index: Option<u32>, value: impl Into<String>) -> Self {
        Self { key: ItemKey::new(name, index), value: Secret::new(value) }
    }
}

impl fmt::Debug for ItemWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_secret() {
            write!(f, "{}=…", self.key)
        } else {
            write!(f, "{}={:?}", self.key, self.value.expose())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_known_names_first() {
        let known = ItemKey::new("e164", None);
        let indexed = ItemKey::new("e164", Some(0));
        let other = ItemKey::new("a-name-of-tomorrow", None);
        assert!(known < indexed && indexed < other);
        assert_eq!(indexed.to_string(), "e164[0]");
        assert_eq!(other.name(), "a-name-of-tomorrow");
    }

    #[test]
    fn names_that_the_catalogue_has_learned_are_known_when_read() {
        for (name, learned) in [("e164", true), ("a-name-of-tomorrow", false)] {
            let old = ItemKey { name: OwnedName::Other(name.into()), index: Some(2) };
            let read: ItemKey = postcard::from_bytes(&postcard::to_allocvec(&old).unwrap()).unwrap();
            assert_eq!(read, ItemKey::new(name, Some(2)));
            assert_eq!(read != old, learned, "{name}");
        }
    }

    #[test]
    fn writes_of_secrets_do_not_show() {
        let shown = format!("{:?}", ItemWrite::new("sip-pwd", None, "hunter2"));
        assert_eq!(shown, "sip-pwd=…");
    }
}
