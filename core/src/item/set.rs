//! The packed set of items that a phone reported.
//!
//! 320 items are 24 kB as XML and about 2 kB here, in memory and on disk alike. The form:
//!
//! ```text
//! set    = varint(number of known entries) known* varint(number of other entries) other*
//! known  = varint(id step << 2 | has status << 1 | has index) [varint index] value [status]
//! other  = varint(name length << 2 | has status << 1 | has index) name [varint index] value [status]
//! value  = varint(x << 2 | tag) bytes     tag 0: word x of COMMON, or from 64 on value x - 64
//!                                         of the dictionary, 1: the number x,
//!                                         2: x bytes of text, 3: x sealed bytes
//! status = varint(length) text
//! ```
//!
//! Entries are in the order of their keys; `id step` counts from the entry before.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::build::Packer;
use super::{Dictionary, ItemKey, ItemSetBuilder, NameRef};
use crate::secret::{Secret, Vault, VaultError};

/// Values that occur in nearly every phone, by number. Records hold the numbers: only append, and fewer than
/// [`FIRST_SHARED`].
pub(super) const COMMON: [&str; 4] = ["", "true", "false", "NULL"];

/// Word numbers from here on are those of the dictionary.
pub(super) const FIRST_SHARED: u64 = 64;

pub(super) const TAG_COMMON: u64 = 0;
pub(super) const TAG_NUMBER: u64 = 1;
pub(super) const TAG_TEXT: u64 = 2;
pub(super) const TAG_SEALED: u64 = 3;

/// Bytes that are not a packed item set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed item set at byte {offset}")]
pub struct MalformedItems {
    /// Where reading stopped, in bytes.
    pub offset: usize,
}

/// A value inside an [`ItemSet`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Text.
    Text(&'a str),
    /// Text that is a decimal number without leading zeros.
    Number(u64),
    /// A secret, sealed by the vault.
    Sealed(&'a [u8]),
    /// A value of the dictionary.
    Shared(&'a str),
    /// A number that the dictionary at hand does not know.
    Unresolved(u32),
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Shared(text) => write!(f, "{text:?}"),
            Self::Number(number) => write!(f, "\"{number}\""),
            Self::Sealed(_) => f.write_str("…"),
            Self::Unresolved(number) => write!(f, "value {number}"),
        }
    }
}

impl<'a> Value<'a> {
    /// Text that stands in the set itself.
    pub(super) fn inline_text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) | Self::Shared(text) => Some(text),
            Self::Number(_) | Self::Sealed(_) | Self::Unresolved(_) => None,
        }
    }

    /// The text, or `None` for a secret.
    pub fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) | Self::Shared(text) => Some(Cow::Borrowed(text)),
            Self::Number(number) => Some(Cow::Owned(number.to_string())),
            Self::Sealed(_) | Self::Unresolved(_) => None,
        }
    }

    /// The text, opened if it is a secret.
    pub fn reveal(self, vault: &Vault) -> Result<Secret, VaultError> {
        match self {
            Self::Text(text) | Self::Shared(text) => Ok(Secret::new(text)),
            Self::Number(number) => Ok(Secret::new(number.to_string())),
            Self::Sealed(bytes) => vault.open_bytes(bytes),
            Self::Unresolved(_) => Err(VaultError::Unopenable),
        }
    }

    /// Whether the value is `text`. Opens a secret for it.
    pub fn equals(self, text: &str, vault: &Vault) -> bool {
        match self {
            Self::Text(own) | Self::Shared(own) => own == text,
            Self::Unresolved(_) => false,
            Self::Number(own) => super::build::canonical_number(text) == Some(own),
            Self::Sealed(bytes) => vault.open_bytes(bytes).is_ok_and(|own| own.expose() == text),
        }
    }
}

/// One item of an [`ItemSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The item's name.
    pub name: NameRef<'a>,
    /// The instance, for names with several.
    pub index: Option<u32>,
    /// The value as reported, empty when only a status came.
    pub value: Value<'a>,
    /// What the phone said is wrong with the item (WPI reference, section 4.3).
    pub status: Option<&'a str>,
}

impl Entry<'_> {
    /// The entry's key.
    pub fn key(&self) -> ItemKey {
        ItemKey::from_ref(self.name, self.index)
    }
}

/// An immutable, packed, ordered set of items. Cheap to clone.
#[derive(Clone)]
pub struct ItemSet {
    bytes: Arc<[u8]>,
    /// Where its shared values are.
    dictionary: Option<Arc<Dictionary>>,
}

impl Default for ItemSet {
    fn default() -> Self {
        Self { bytes: Arc::from([0_u8, 0].as_slice()), dictionary: None }
    }
}

impl PartialEq for ItemSet {
    /// Sets are equal if their items are, however they are packed.
    fn eq(&self, other: &Self) -> bool {
        let same = |a: Entry<'_>, b: Entry<'_>| {
            let value = match (a.value.inline_text(), b.value.inline_text()) {
                (Some(a), Some(b)) => a == b,
                (None, None) => a.value == b.value,
                _ => false,
            };
            value && (a.name, a.index, a.status) == (b.name, b.index, b.status)
        };
        let mut others = other.iter();
        self.iter().all(|a| others.next().is_some_and(|b| same(a, b))) && others.next().is_none()
    }
}

impl Eq for ItemSet {}

impl fmt::Debug for ItemSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl ItemSet {
    /// Take packed bytes, after walking all of them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MalformedItems> {
        let mut iter = Iter::new(bytes, None);
        for _ in iter.by_ref() {}
        if iter.finished() {
            Ok(Self { bytes: Arc::from(bytes), dictionary: None })
        } else {
            Err(MalformedItems { offset: iter.at })
        }
    }

    /// For the builder, which writes well-formed bytes.
    pub(super) fn from_trusted(bytes: &[u8]) -> Self {
        Self { bytes: Arc::from(bytes), dictionary: None }
    }

    /// For the dictionary, which writes well-formed bytes with its own numbers.
    pub(super) fn packed(bytes: &[u8], dictionary: Arc<Dictionary>) -> Self {
        Self { bytes: Arc::from(bytes), dictionary: Some(dictionary) }
    }

    /// Tell a set that was read from a record where its shared values are, and give names that the catalogue has learned
    /// since their numbers. If some values are not there, the error is the set without them.
    pub fn attach(self, dictionary: &Arc<Dictionary>) -> Result<Self, Self> {
        let mut set = Self { bytes: self.bytes, dictionary: Some(dictionary.clone()) };
        if set.iter().any(|entry| entry.name.up_to_date() != entry.name) {
            set = set.renamed(dictionary);
        }
        if set.iter().all(|entry| !matches!(entry.value, Value::Unresolved(_))) {
            return Ok(set);
        }
        let mut rest = ItemSetBuilder::default();
        for entry in set.iter().filter(|entry| !matches!(entry.value, Value::Unresolved(_))) {
            rest.push_entry(&entry);
        }
        Err(rest.build(usize::MAX).unwrap_or_default())
    }

    fn renamed(&self, dictionary: &Arc<Dictionary>) -> Self {
        let mut entries: Vec<_> =
            self.iter().map(|entry| Entry { name: entry.name.up_to_date(), ..entry }).collect();
        // Where an item came under both names, the number is the newer one and comes first: the sort is stable.
        entries.sort_by(|a, b| (a.name, a.index).cmp(&(b.name, b.index)));
        entries.dedup_by(|b, a| (a.name, a.index) == (b.name, b.index));
        let mut packer = Packer::with_capacity(self.bytes.len());
        for entry in &entries {
            let shared = match entry.value {
                Value::Shared(text) => dictionary.number(text),
                _ => None,
            };
            packer.push(entry, shared);
        }
        Self::packed(&packer.finish(), dictionary.clone())
    }

    /// Whether both are one set in memory.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.bytes, &other.bytes)
    }

    /// The packed form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The items in the order of their keys.
    pub fn iter(&self) -> Iter<'_> {
        Iter::new(&self.bytes, self.dictionary.as_deref())
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The item at `name` and `index`.
    pub fn get(&self, name: NameRef<'_>, index: Option<u32>) -> Option<Entry<'_>> {
        self.iter()
            .take_while(|entry| (entry.name, entry.index) <= (name, index))
            .find(|entry| (entry.name, entry.index) == (name, index))
    }

    /// The readable text of an item without index.
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(NameRef::of(name), None)?.value.text()
    }
}

impl<'a> IntoIterator for &'a ItemSet {
    type Item = Entry<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl Serialize for ItemSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.bytes)
    }
}

impl<'de> Deserialize<'de> for ItemSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Packed;
        impl Visitor<'_> for Packed {
            type Value = ItemSet;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a packed item set")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<ItemSet, E> {
                ItemSet::from_bytes(bytes).map_err(E::custom)
            }
        }
        deserializer.deserialize_bytes(Packed).map_err(D::Error::custom)
    }
}

/// Walks a packed set. Stops early at bytes that are no set.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    dictionary: Option<&'a Dictionary>,
    at: usize,
    left: u64,
    id: u64,
    section: Section,
    broken: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Start,
    Known,
    Other,
    End,
}

impl<'a> Iter<'a> {
    fn new(bytes: &'a [u8], dictionary: Option<&'a Dictionary>) -> Self {
        Self { bytes, dictionary, at: 0, left: 0, id: 0, section: Section::Start, broken: false }
    }

    fn finished(&self) -> bool {
        self.section == Section::End && !self.broken && self.at == self.bytes.len()
    }

    fn varint(&mut self) -> Option<u64> {
        let first = *self.bytes.get(self.at)?;
        self.at += 1;
        if first < 0x80 {
            return Some(u64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let end = self.at.checked_add(usize::try_from(len).ok()?)?;
        let slice = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(slice)
    }

    fn take_text(&mut self, len: u64) -> Option<&'a str> {
        std::str::from_utf8(self.take(len)?).ok()
    }

    fn value(&mut self) -> Option<Value<'a>> {
        let head = self.varint()?;
        let x = head >> 2;
        Some(match head & 3 {
            TAG_COMMON if x >= FIRST_SHARED => self.shared(u32::try_from(x - FIRST_SHARED).ok()?),
            TAG_COMMON => Value::Text(COMMON.get(usize::try_from(x).ok()?)?),
            TAG_NUMBER => Value::Number(x),
            TAG_TEXT => Value::Text(self.take_text(x)?),
            _ => Value::Sealed(self.take(x)?),
        })
    }

    fn shared(&self, number: u32) -> Value<'a> {
        match self.dictionary.and_then(|dictionary| dictionary.text(number)) {
            Some(text) => Value::Shared(text),
            None => Value::Unresolved(number),
        }
    }

    fn entry(&mut self) -> Option<Entry<'a>> {
        let head = self.varint()?;
        let name = if self.section == Section::Known {
            self.id = self.id.checked_add(head >> 2)?;
            NameRef::Known(u16::try_from(self.id).ok()?)
        } else {
            NameRef::Other(self.take_text(head >> 2)?)
        };
        let index = if head & 1 == 0 { None } else { Some(u32::try_from(self.varint()?).ok()?) };
        let value = self.value()?;
        let status = if head & 2 == 0 {
            None
        } else {
            let len = self.varint()?;
            Some(self.take_text(len)?)
        };
        Some(Entry { name, index, value, status })
    }

    fn next_section(&mut self) -> Option<()> {
        self.section = match self.section {
            Section::Start => Section::Known,
            Section::Known => Section::Other,
            Section::Other | Section::End => {
                self.section = Section::End;
                return None;
            }
        };
        self.left = self.varint()?;
        Some(())
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        while self.left == 0 {
            if self.next_section().is_none() {
                self.broken |= self.section != Section::End;
                self.section = Section::End;
                return None;
            }
        }
        self.left -= 1;
        let entry = self.entry();
        if entry.is_none() {
            (self.broken, self.section, self.left) = (true, Section::End, 0);
        }
        entry
    }
}
