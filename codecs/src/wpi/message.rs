//! The messages as data.

use std::borrow::Cow;
use std::fmt;

use super::catalogue;
use super::vocabulary::{Action, Fragment, Reason};

/// Bounds on what one message may hold. What is over a bound is dropped and counted, the rest is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most items kept (default 2,000).
    pub max_items: usize,
    /// Longest item name, and longest unknown reason, in bytes (default 64).
    pub max_name_bytes: usize,
    /// Longest value in bytes (default 65,536).
    pub max_value_bytes: usize,
    /// Longest status text of an item in bytes (default 256).
    pub max_status_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_items: 2_000, max_name_bytes: 64, max_value_bytes: 65_536, max_status_bytes: 256 }
    }
}

/// A message of a phone (reference 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneMessage<'a> {
    /// To be given back in the answer, byte for byte. 1 to 128 letters and digits.
    pub nonce: &'a str,
    /// Most items the phone takes in one message; `None` is no limit (absent, unreadable, 0 or negative).
    pub max_items: Option<u32>,
    /// Which part of a longer message this is.
    pub fragment: Fragment,
    /// Why the phone called.
    pub reason: Reason<'a>,
    /// The items in their order, duplicates included: the last one of a name and index is the one that counts.
    pub items: Vec<Item<'a>>,
    /// Items that were left out.
    pub ignored: Ignored,
}

/// A message of the service, bare or out of a signed envelope (reference 4.1, 4.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceMessage<'a> {
    /// Must be that of the phone's message it answers.
    pub nonce: &'a str,
    /// What to do.
    pub action: Action,
    /// The items in their order.
    pub items: Vec<Item<'a>>,
    /// Whether it came in a signed envelope. The signature is not checked.
    pub signed: bool,
    /// Items that were left out.
    pub ignored: Ignored,
}

/// One item of a received message.
///
/// `Debug` hides the value if [`catalogue::is_secret`] says so.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Item<'a> {
    /// The name; case matters.
    pub name: Cow<'a, str>,
    /// Which instance of the name.
    pub index: Option<u32>,
    /// What is wrong with the item, as the phone put it; `None` means that the value is good (reference 4.3).
    pub status: Option<Cow<'a, str>>,
    /// The value without references and without white space around it.
    pub value: Cow<'a, str>,
}

impl Item<'_> {
    /// The same item for emission.
    pub fn as_item_ref(&self) -> ItemRef<'_> {
        ItemRef { name: &self.name, index: self.index, status: self.status.as_deref(), value: &self.value }
    }
}

impl fmt::Debug for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_item_ref().fmt(f)
    }
}

/// One item to be written.
///
/// `Debug` hides the value if [`catalogue::is_secret`] says so.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ItemRef<'a> {
    /// The name; case matters.
    pub name: &'a str,
    /// Which instance of the name.
    pub index: Option<u32>,
    /// The status attribute.
    pub status: Option<&'a str>,
    /// The value. A reader trims white space at its ends.
    pub value: &'a str,
}

impl<'a> ItemRef<'a> {
    /// An item without index and status.
    pub const fn new(name: &'a str, value: &'a str) -> Self {
        Self { name, index: None, status: None, value }
    }

    /// One instance of an indexed item, without status.
    pub const fn indexed(name: &'a str, index: u32, value: &'a str) -> Self {
        Self { name, index: Some(index), status: None, value }
    }
}

impl fmt::Debug for ItemRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if catalogue::is_secret(self.name) { "***" } else { self.value };
        f.debug_struct("Item")
            .field("name", &self.name)
            .field("index", &self.index)
            .field("status", &self.status)
            .field("value", &value)
            .finish()
    }
}

/// How many items were left out of a message, by cause. An item counts once, under the first cause that fits
/// in the order given here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ignored {
    /// No name, or an empty one.
    pub nameless: u32,
    /// The name is over [`Limits::max_name_bytes`].
    pub name_too_long: u32,
    /// The index is no decimal number of 32 bits.
    pub bad_index: u32,
    /// The status is over [`Limits::max_status_bytes`].
    pub too_long_status: u32,
    /// The value is over [`Limits::max_value_bytes`].
    pub too_long_value: u32,
    /// The message has more than [`Limits::max_items`] good items.
    pub too_many: u32,
}

impl Ignored {
    /// All causes together.
    pub fn total(&self) -> u32 {
        self.causes().into_iter().fold(0, |sum, (_, count)| sum.saturating_add(count))
    }

    /// Each cause as a metric label, with its count.
    pub fn causes(&self) -> [(&'static str, u32); 6] {
        [
            ("nameless", self.nameless),
            ("name_too_long", self.name_too_long),
            ("bad_index", self.bad_index),
            ("too_long_status", self.too_long_status),
            ("too_long_value", self.too_long_value),
            ("too_many", self.too_many),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_secrets() {
        let item = Item { name: "user-pwd".into(), index: None, status: None, value: "opensesame".into() };
        assert!(!format!("{item:?}").contains("opensesame"));
        assert!(!format!("{:?}", item.as_item_ref()).contains("opensesame"));
        assert!(format!("{:?}", ItemRef::new("e164", "4989700112")).contains("4989700112"));
    }

    #[test]
    fn total_is_the_sum_of_the_causes() {
        let ignored = Ignored { nameless: 1, bad_index: 2, too_many: u32::MAX, ..Ignored::default() };
        assert_eq!(ignored.total(), u32::MAX);
        assert_eq!(Ignored { name_too_long: 3, too_long_value: 4, ..Ignored::default() }.total(), 7);
    }
}
