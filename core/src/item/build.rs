//! Collecting items into an [`ItemSet`].

use std::ops::Range;

use super::set::{COMMON, FIRST_SHARED, TAG_COMMON, TAG_NUMBER, TAG_SEALED, TAG_TEXT, Value};
use super::{Entry, ItemSet, NameRef};
use crate::secret::{SEAL_OVERHEAD, Vault, VaultError};

/// More items than the bound allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {limit} items")]
pub struct TooMany {
    /// The bound, in items.
    pub limit: usize,
}

/// Collects items in any order; for a key that comes twice the last one counts
/// (WPI reference, section 11 rule 3).
#[derive(Clone, Debug, Default)]
pub struct ItemSetBuilder {
    /// Encoded `value [status]` of each entry, and the names of unknown ones.
    arena: Vec<u8>,
    known: Vec<Known>,
    other: Vec<Other>,
}

/// Index as a number that orders "none" first and fits a sort key.
type IndexKey = u64;

#[derive(Clone, Debug)]
struct Known {
    id: u16,
    index: IndexKey,
    has_status: bool,
    payload: Range<u32>,
}

#[derive(Clone, Debug)]
struct Other {
    name: Range<u32>,
    index: IndexKey,
    has_status: bool,
    payload: Range<u32>,
}

fn index_key(index: Option<u32>) -> IndexKey {
    index.map_or(0, |index| u64::from(index) + 1)
}

/// `text` as a number, if printing that number gives `text` again.
pub(super) fn canonical_number(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let canonical = match bytes {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.len() < 18 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if canonical { text.parse().ok() } else { None }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        #[allow(clippy::cast_possible_truncation)] // the low seven bits are meant
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    #[allow(clippy::cast_possible_truncation)] // below 0x80 here
    out.push(value as u8);
}

fn put_head(out: &mut Vec<u8>, number: u64, has_status: bool, index: IndexKey) {
    put_varint(out, number << 2 | u64::from(has_status) << 1 | u64::from(index > 0));
    if index > 0 {
        put_varint(out, index - 1);
    }
}

impl ItemSetBuilder {
    /// An empty builder with room for `items`.
    pub fn with_capacity(items: usize) -> Self {
        Self { arena: Vec::with_capacity(items * 8), known: Vec::with_capacity(items), other: Vec::new() }
    }

    /// Start from an existing set, to change some of it. Secrets stay sealed as they are.
    pub fn from_set(set: &ItemSet) -> Self {
        let mut builder = Self::with_capacity(set.as_bytes().len() / 6);
        for entry in set {
            builder.push_entry(&entry);
        }
        builder
    }

    /// How many items were pushed, repeated ones included.
    pub fn len(&self) -> usize {
        self.known.len() + self.other.len()
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held, for bounds on what one peer may make us keep.
    pub fn bytes(&self) -> usize {
        self.arena.len() + self.known.len() * size_of::<Known>() + self.other.len() * size_of::<Other>()
    }

    /// Add an item as a phone reported it. Values of secret names are sealed.
    pub fn push(
        &mut self,
        name: &str,
        index: Option<u32>,
        value: &str,
        status: Option<&str>,
        vault: &Vault,
    ) -> Result<(), VaultError> {
        let name = NameRef::of(name);
        self.push_ref(name, index, value, status, vault)
    }

    /// Like [`ItemSetBuilder::push`] for a name already looked up.
    pub fn push_ref(
        &mut self,
        name: NameRef<'_>,
        index: Option<u32>,
        value: &str,
        status: Option<&str>,
        vault: &Vault,
    ) -> Result<(), VaultError> {
        let start = self.begin(name);
        if name.is_secret() && !value.is_empty() {
            put_varint(&mut self.arena, ((value.len() + SEAL_OVERHEAD) as u64) << 2 | TAG_SEALED);
            if let Err(error) = vault.seal_into(value, &mut self.arena) {
                self.arena.truncate(start.1);
                return Err(error);
            }
        } else {
            put_text(&mut self.arena, value);
        }
        self.finish_entry(name, index, status, start);
        Ok(())
    }

    /// Add an entry of another set as it is.
    pub fn push_entry(&mut self, entry: &Entry<'_>) {
        let start = self.begin(entry.name);
        put_value(&mut self.arena, entry.value, None);
        self.finish_entry(entry.name, entry.index, entry.status, start);
    }

    fn begin(&mut self, name: NameRef<'_>) -> (usize, usize) {
        let name_start = self.arena.len();
        if let NameRef::Other(text) = name {
            self.arena.extend_from_slice(text.as_bytes());
        }
        (name_start, self.arena.len())
    }

    fn finish_entry(
        &mut self,
        name: NameRef<'_>,
        index: Option<u32>,
        status: Option<&str>,
        (name_start, start): (usize, usize),
    ) {
        if let Some(status) = status {
            put_varint(&mut self.arena, status.len() as u64);
            self.arena.extend_from_slice(status.as_bytes());
        }
        // Message and record bounds keep the arena far below 4 GiB.
        #[allow(clippy::cast_possible_truncation)]
        let range = |from: usize, to: usize| from as u32..to as u32;
        let payload = range(start, self.arena.len());
        let (index, has_status) = (index_key(index), status.is_some());
        match name {
            NameRef::Known(id) => self.known.push(Known { id, index, has_status, payload }),
            NameRef::Other(_) => {
                self.other.push(Other { name: range(name_start, start), index, has_status, payload });
            }
        }
    }

    /// Pack what was pushed. Refuses more than `limit` different items.
    pub fn build(mut self, limit: usize) -> Result<ItemSet, TooMany> {
        let arena = &self.arena;
        let slice =
            |range: &Range<u32>| arena.get(range.start as usize..range.end as usize).unwrap_or_default();

        // Stable sorts, so that among equals the last pushed stays last and survives.
        self.known.sort_by_key(|entry| (entry.id, entry.index));
        keep_last(&mut self.known, |a, b| (a.id, a.index) == (b.id, b.index));
        self.other.sort_by(|a, b| slice(&a.name).cmp(slice(&b.name)).then(a.index.cmp(&b.index)));
        keep_last(&mut self.other, |a, b| slice(&a.name) == slice(&b.name) && a.index == b.index);
        if self.known.len() + self.other.len() > limit {
            return Err(TooMany { limit });
        }

        let mut out = Vec::with_capacity(arena.len() + self.known.len() * 2 + self.other.len() * 2 + 4);
        put_varint(&mut out, self.known.len() as u64);
        let mut last = 0;
        for entry in &self.known {
            put_head(&mut out, u64::from(entry.id - last), entry.has_status, entry.index);
            last = entry.id;
            // Payload is the encoded value, with the status behind it.
            out.extend_from_slice(slice(&entry.payload));
        }
        put_varint(&mut out, self.other.len() as u64);
        for entry in &self.other {
            let name = slice(&entry.name);
            put_other_head(&mut out, name, entry.has_status, entry.index);
            out.extend_from_slice(slice(&entry.payload));
        }
        Ok(ItemSet::from_trusted(&out))
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    if let Some(number) = canonical_number(text) {
        put_varint(out, number << 2 | TAG_NUMBER);
    } else if let Some(word) = COMMON.iter().position(|common| *common == text) {
        put_varint(out, (word as u64) << 2 | TAG_COMMON);
    } else {
        put_varint(out, (text.len() as u64) << 2 | TAG_TEXT);
        out.extend_from_slice(text.as_bytes());
    }
}

/// Write a value; `shared` is its number in the dictionary.
fn put_value(out: &mut Vec<u8>, value: Value<'_>, shared: Option<u32>) {
    let put_shared = |out: &mut Vec<u8>, number: u32| {
        put_varint(out, (u64::from(number) + FIRST_SHARED) << 2 | TAG_COMMON);
    };
    match (value, shared) {
        (Value::Text(_) | Value::Shared(_), Some(number)) | (Value::Unresolved(number), _) => {
            put_shared(out, number);
        }
        (Value::Text(text) | Value::Shared(text), None) => put_text(out, text),
        (Value::Number(number), _) => put_varint(out, number << 2 | TAG_NUMBER),
        (Value::Sealed(bytes), _) => {
            put_varint(out, (bytes.len() as u64) << 2 | TAG_SEALED);
            out.extend_from_slice(bytes);
        }
    }
}

/// Writes entries that are in order already.
pub(super) struct Packer {
    known: Vec<u8>,
    known_count: u64,
    last: u16,
    other: Vec<u8>,
    other_count: u64,
}

impl Packer {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { known: Vec::with_capacity(bytes), known_count: 0, last: 0, other: Vec::new(), other_count: 0 }
    }

    /// Add the next entry; `shared` is the number of its value in the dictionary.
    pub(super) fn push(&mut self, entry: &Entry<'_>, shared: Option<u32>) {
        let index = index_key(entry.index);
        let has_status = entry.status.is_some();
        let out = match entry.name {
            NameRef::Known(id) => {
                put_head(&mut self.known, u64::from(id.saturating_sub(self.last)), has_status, index);
                self.last = id;
                self.known_count += 1;
                &mut self.known
            }
            NameRef::Other(name) => {
                put_other_head(&mut self.other, name.as_bytes(), has_status, index);
                self.other_count += 1;
                &mut self.other
            }
        };
        put_value(out, entry.value, shared);
        if let Some(status) = entry.status {
            put_varint(out, status.len() as u64);
            out.extend_from_slice(status.as_bytes());
        }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.known.len() + self.other.len() + 8);
        put_varint(&mut out, self.known_count);
        out.extend_from_slice(&self.known);
        put_varint(&mut out, self.other_count);
        out.extend_from_slice(&self.other);
        out
    }
}

fn put_other_head(out: &mut Vec<u8>, name: &[u8], has_status: bool, index: IndexKey) {
    put_varint(out, (name.len() as u64) << 2 | u64::from(has_status) << 1 | u64::from(index > 0));
    out.extend_from_slice(name);
    if index > 0 {
        put_varint(out, index - 1);
    }
}

/// Of each run of equals keep the last.
fn keep_last<T>(entries: &mut Vec<T>, same: impl Fn(&T, &T) -> bool) {
    let mut kept = 0;
    for at in 0..entries.len() {
        let repeated = entries.get(at + 1).is_some_and(|next| same(&entries[at], next));
        if !repeated {
            entries.swap(kept, at);
            kept += 1;
        }
    }
    entries.truncate(kept);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    use super::*;
    use crate::item::ItemKey;
    use crate::secret::KEY_LEN;

    fn vault() -> Vault {
        Vault::new(&[3; KEY_LEN]).unwrap()
    }

    #[test]
    fn the_last_of_a_repeated_key_counts() {
        let vault = vault();
        let mut builder = ItemSetBuilder::default();
        for value in ["1", "2", "3"] {
            builder.push("reg-port", None, value, None, &vault).unwrap();
            builder.push("unheard-of", Some(1), value, None, &vault).unwrap();
        }
        let set = builder.build(10).unwrap();
        assert_eq!(set.len(), 2);
        assert_eq!(set.text("reg-port").unwrap(), "3");
        assert_eq!(set.get(NameRef::of("unheard-of"), Some(1)).unwrap().value, Value::Number(3));
    }

    #[test]
    fn secrets_are_sealed_and_can_be_compared() {
        let vault = vault();
        let mut builder = ItemSetBuilder::default();
        builder.push("sip-pwd", None, "hunter2", None, &vault).unwrap();
        let set = builder.build(10).unwrap();
        assert!(!set.as_bytes().windows(7).any(|window| window == b"hunter2"));
        let entry = set.get(NameRef::of("sip-pwd"), None).unwrap();
        assert_eq!(entry.value.text(), None);
        assert!(entry.value.equals("hunter2", &vault) && !entry.value.equals("hunter3", &vault));
        assert_eq!(entry.value.reveal(&vault).unwrap().expose(), "hunter2");
        let again = ItemSetBuilder::from_set(&set).build(10).unwrap();
        assert_eq!(again, set);
    }

    #[test]
    fn the_bound_counts_different_items() {
        let vault = vault();
        let mut builder = ItemSetBuilder::default();
        for index in 0..5 {
            builder.push("alert", Some(index % 3), "x", None, &vault).unwrap();
        }
        assert!(builder.clone().build(3).is_ok());
        assert_eq!(builder.build(2), Err(TooMany { limit: 2 }));
    }

    #[test]
    fn cut_bytes_are_refused() {
        let vault = vault();
        let mut builder = ItemSetBuilder::default();
        builder.push("reg-addr", None, "198.51.100.20", Some("failed"), &vault).unwrap();
        builder.push("x", Some(2), "y", None, &vault).unwrap();
        let set = builder.build(9).unwrap();
        for cut in 0..set.as_bytes().len() {
            assert!(ItemSet::from_bytes(&set.as_bytes()[..cut]).is_err(), "{cut}");
        }
    }

    proptest! {
        #[test]
        fn gives_back_what_was_pushed(items in proptest::collection::vec(
            (prop_oneof!["[a-z]{1,6}", Just("alert".to_owned()), Just("e164".to_owned()), Just("user-pwd".to_owned())],
             proptest::option::of(any::<u32>()),
             prop_oneof!["\\PC{0,12}", "[0-9]{0,20}", Just("true".to_owned())],
             proptest::option::of("[a-z ]{0,9}")), 0..40)) {
            let vault = vault();
            let mut builder = ItemSetBuilder::default();
            let mut model = BTreeMap::new();
            for (name, index, value, status) in &items {
                builder.push(name, *index, value, status.as_deref(), &vault).unwrap();
                model.insert(ItemKey::new(name, *index), (value.clone(), status.clone()));
            }
            let set = builder.build(100).unwrap();
            let got: BTreeMap<_, _> = set.iter()
                .map(|e| (e.key(), (e.value.reveal(&vault).unwrap().expose().to_owned(), e.status.map(str::to_owned))))
                .collect();
            prop_assert_eq!(&got, &model);
            prop_assert_eq!(set.len(), model.len());
            prop_assert_eq!(&ItemSet::from_bytes(set.as_bytes()).unwrap(), &set);
            for key in model.keys() {
                prop_assert!(set.get(key.name_ref(), key.index()).is_some());
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(set) = ItemSet::from_bytes(&bytes) {
                set.iter().for_each(|entry| drop(entry.key()));
            }
        }
    }
}
