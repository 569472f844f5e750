//! The dictionary of common values: a text that many phones report is kept once.
//!
//! Phones of one model report nearly the same 300 items. With their common texts as numbers a device takes about 2 kB, in
//! memory and on disk alike.
//!
//! A text enters the dictionary when it was met often enough lately, and it may be used only after its own record is
//! durable: no device's record ever points to a text that a crash could take away. Entries are never changed and never
//! removed. Secrets never get here: item sets hold them sealed.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future as _;
use std::hash::BuildHasher;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use foldhash::fast::RandomState;
use parking_lot::{Mutex, RwLock};

use super::ItemSet;
use super::build::Packer;
use super::set::COMMON;
use crate::store::{Store, StoreError, Table, Ticket, Write};

/// Texts shorter than this cost no more than a number does.
const SHORTEST: usize = 3;
/// Longer texts are hardly common, and the dictionary is small.
const LONGEST: usize = 255;
/// A text that was met this often lately is common.
const COMMON_FROM: u8 = 16;
/// Counters of texts met lately, by hash. All are halved after as many texts as there are counters, so that texts that
/// only one phone has (about 25 of each) do not add up to common ones.
const COUNTERS: usize = 1 << 18;
/// Entries on their way to the store at the same time.
const IN_FLIGHT: usize = 256;

/// Common values by number.
pub struct Dictionary {
    texts: Box<[OnceLock<Box<str>>]>,
    numbers: RwLock<HashMap<Box<str>, u32, RandomState>>,
    met: Box<[AtomicU8]>,
    met_since_halving: AtomicUsize,
    hasher: RandomState,
    arriving: Mutex<Arriving>,
}

#[derive(Default)]
struct Arriving {
    /// The number of the next entry.
    next: u32,
    waiting: VecDeque<(u32, Box<str>, Ticket)>,
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dictionary").field("values", &self.len()).finish_non_exhaustive()
    }
}

impl Dictionary {
    /// An empty dictionary for at most `limit` values.
    pub fn new(limit: usize) -> Self {
        let limit = limit.min(u32::MAX as usize);
        Self {
            texts: std::iter::repeat_with(OnceLock::new).take(limit).collect(),
            numbers: RwLock::default(),
            met: std::iter::repeat_with(AtomicU8::default).take(COUNTERS).collect(),
            met_since_halving: AtomicUsize::new(0),
            hasher: RandomState::default(),
            arriving: Mutex::default(),
        }
    }

    /// Take over what the store holds. Gives the number of values and of records that are none.
    pub fn load(&self, store: &dyn Store) -> Result<(usize, u64), StoreError> {
        let mut bad = 0;
        let scan = store.scan(Table::Value, &mut |key, value| {
            let entry = u32::from_str_radix(key, 16).ok().zip(std::str::from_utf8(value).ok());
            if !entry.is_some_and(|(number, text)| self.insert(number, text)) {
                bad += 1;
            }
            ControlFlow::Continue(())
        })?;
        Ok((self.len(), bad + scan.damaged))
    }

    /// Make a durable entry usable. False if the number is beyond the limit.
    pub fn insert(&self, number: u32, text: &str) -> bool {
        let Some(slot) = self.texts.get(number as usize) else { return false };
        if slot.set(text.into()).is_ok() {
            self.numbers.write().insert(text.into(), number);
        }
        let mut arriving = self.arriving.lock();
        arriving.next = arriving.next.max(number + 1);
        true
    }

    /// How many values can be used.
    pub fn len(&self) -> usize {
        self.numbers.read().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of this number.
    pub fn text(&self, number: u32) -> Option<&str> {
        self.texts.get(number as usize)?.get().map(AsRef::as_ref)
    }

    /// Pack a set with the values that are common by now, and learn from the others. New common values are queued for
    /// `store`; [`Dictionary::settle`] makes them usable.
    pub fn pack(self: &Arc<Self>, set: &ItemSet, store: &dyn Store) -> ItemSet {
        let mut packer = Packer::with_capacity(set.as_bytes().len());
        let mut promoted = Vec::new();
        {
            let numbers = self.numbers.read();
            for entry in set {
                let text = entry.value.inline_text().filter(|text| is_worth_it(text));
                let number = text.and_then(|text| numbers.get(text).copied());
                if number.is_none()
                    && let Some(text) = text
                    && self.is_common_now(text)
                {
                    promoted.push(text);
                }
                packer.push(&entry, number);
            }
        }
        for text in promoted {
            self.promote(text, store);
        }
        ItemSet::packed(&packer.finish(), self.clone())
    }

    /// Count a text; true when it has become common by this.
    fn is_common_now(&self, text: &str) -> bool {
        #[allow(clippy::cast_possible_truncation)] // any bits do
        let counter = &self.met[self.hasher.hash_one(text) as usize % COUNTERS];
        let before = counter.load(Ordering::Relaxed);
        counter.store(before.saturating_add(1), Ordering::Relaxed);
        if self.met_since_halving.fetch_add(1, Ordering::Relaxed) + 1 >= COUNTERS {
            self.met_since_halving.store(0, Ordering::Relaxed);
            for counter in &self.met {
                counter.store(counter.load(Ordering::Relaxed) / 2, Ordering::Relaxed);
            }
        }
        before + 1 == COMMON_FROM
    }

    fn promote(&self, text: &str, store: &dyn Store) {
        let mut arriving = self.arriving.lock();
        let known = arriving.waiting.iter().any(|(_, waiting, _)| **waiting == *text);
        if known || arriving.waiting.len() >= IN_FLIGHT || arriving.next as usize >= self.texts.len() {
            return;
        }
        let number = arriving.next;
        let write = Write::put(Table::Value, format!("{number:08x}"), text.as_bytes().to_vec());
        // A store that takes nothing now will be asked again when the text is met again.
        if let Ok(ticket) = store.submit(vec![write]) {
            arriving.next += 1;
            arriving.waiting.push_back((number, text.into(), ticket));
        }
    }

    /// How many values are on their way to the store.
    pub fn arriving(&self) -> usize {
        self.arriving.lock().waiting.len()
    }

    /// Make entries usable that have become durable. Never waits.
    pub fn settle(&self) {
        let mut ready = Vec::new();
        {
            let mut arriving = self.arriving.lock();
            let mut context = Context::from_waker(Waker::noop());
            arriving.waiting.retain_mut(|(number, text, ticket)| match Pin::new(ticket).poll(&mut context) {
                Poll::Pending => true,
                Poll::Ready(result) => {
                    // After a failed commit the record is still queued, but whether it comes is not known:
                    // the number stays unused.
                    if result.is_ok() {
                        ready.push((*number, std::mem::take(text)));
                    }
                    false
                }
            });
        }
        for (number, text) in ready {
            self.insert(number, &text);
        }
    }
}

/// Whether a number would be shorter than the text.
fn is_worth_it(text: &str) -> bool {
    (SHORTEST..=LONGEST).contains(&text.len()) && !COMMON.contains(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::{ItemSetBuilder, NameRef};
    use crate::secret::{KEY_LEN, Vault};
    use crate::store::MemoryStore;

    fn set(number: usize) -> ItemSet {
        let vault = Vault::new(&[1; KEY_LEN]).unwrap();
        let mut builder = ItemSetBuilder::default();
        let own = format!("phone-{number}.example.net");
        for (name, value) in [
            ("sntp-addr", "ntp.example.net"),
            ("hostname", own.as_str()),
            ("dhcp", "true"),
            ("sip-pwd", "the same everywhere"),
            ("name-of-tomorrow", "a text that all phones have"),
        ] {
            builder.push(name, None, value, None, &vault).unwrap();
        }
        builder.build(10).unwrap()
    }

    fn taught(store: &MemoryStore) -> Arc<Dictionary> {
        let dictionary = Arc::new(Dictionary::new(100));
        for number in 0..40 {
            dictionary.pack(&set(number), store);
        }
        dictionary.settle();
        dictionary
    }

    #[test]
    fn common_values_become_numbers_and_read_as_before() {
        let store = MemoryStore::default();
        let dictionary = taught(&store);
        assert_eq!(dictionary.len(), 2);
        let plain = set(77);
        let packed = dictionary.pack(&plain, &store);
        assert!(packed.as_bytes().len() + 30 < plain.as_bytes().len());
        assert_eq!(packed, plain);
        assert_eq!(packed.text("sntp-addr").unwrap(), "ntp.example.net");
        assert!(!String::from_utf8_lossy(packed.as_bytes()).contains("ntp.example.net"));
        assert_eq!(ItemSetBuilder::from_set(&packed).build(10).unwrap(), plain);
    }

    #[test]
    fn secrets_are_not_learned() {
        let store = MemoryStore::default();
        let dictionary = taught(&store);
        assert!(
            (0..100).filter_map(|number| dictionary.text(number)).all(|text| text != "the same everywhere")
        );
    }

    #[test]
    fn nothing_is_used_before_it_is_durable() {
        let store = MemoryStore::default();
        store.hold();
        let dictionary = taught(&store);
        assert!(dictionary.is_empty());
        store.release();
        dictionary.settle();
        assert_eq!(dictionary.len(), 2);
    }

    #[test]
    fn it_comes_back_from_the_store() {
        let store = MemoryStore::default();
        let first = taught(&store);
        let plain = set(5);
        let packed = first.pack(&plain, &store);
        let again = Arc::new(Dictionary::new(100));
        assert_eq!(again.load(&store).unwrap(), (2, 0));
        let read = ItemSet::from_bytes(packed.as_bytes()).unwrap().attach(&again).unwrap();
        assert_eq!(read, plain);
        // Numbers go on where they were.
        for number in 0..40 {
            let vault = Vault::new(&[1; KEY_LEN]).unwrap();
            let mut builder = ItemSetBuilder::default();
            builder.push("realm", None, "new everywhere", None, &vault).unwrap();
            builder.push("e164", None, &number.to_string(), None, &vault).unwrap();
            again.pack(&builder.build(10).unwrap(), &store);
        }
        again.settle();
        assert_eq!(again.text(2), Some("new everywhere"));
    }

    #[test]
    fn a_number_without_text_is_told() {
        let store = MemoryStore::default();
        let packed = taught(&store).pack(&set(5), &store);
        let empty = Arc::new(Dictionary::new(100));
        let kept = ItemSet::from_bytes(packed.as_bytes()).unwrap().attach(&empty).unwrap_err();
        assert_eq!(kept.len(), 3);
        assert!(kept.get(NameRef::of("sntp-addr"), None).is_none());
    }

    #[test]
    fn it_stays_within_its_limit() {
        let store = MemoryStore::default();
        let dictionary = Arc::new(Dictionary::new(1));
        for number in 0..40 {
            dictionary.pack(&set(number), &store);
        }
        dictionary.settle();
        assert_eq!(dictionary.len(), 1);
    }
}
