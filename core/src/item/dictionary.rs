//! The dictionary of common values: a text that many phones report is kept once.
//!
//! Phones of one model report nearly the same 300 items. With their common texts as numbers a device takes about 2 kB, in
//! memory and on disk alike.
//!
//! A text enters the dictionary when it was met often enough lately, and it may be used only after its own record is
//! durable: no device's record ever points to a text that a crash could take away. Entries are never changed and never
//! removed. Secrets never get here: item sets hold them sealed.
//!
//! Whoever can speak as a phone can teach it rubbish: a text that 16 complete sets have within the time of a few
//! thousand other sets is taken for common, and a set has as many texts as a device may have items. The damage is
//! bounded by the limit: at 65,536 values of at most 255 bytes some 25 MB in memory and in the store. A dictionary full
//! of rubbish learns nothing new, so devices that come later take more space, up to that of their own texts; no value is
//! ever wrong. Nothing but the limit and a new store undoes it.

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
use crate::store::{LoadError, Store, Table, Ticket, Write};

/// Texts shorter than this cost no more than a number does.
const SHORTEST: usize = 3;
/// Longer texts are hardly common, and the dictionary is small.
const LONGEST: usize = 255;
/// A text that was met this often lately is common.
const COMMON_FROM: u8 = 16;
/// Counters of texts met lately, by hash, for each value that may be learned. All are halved after as many texts as there
/// are counters, so that texts that only one phone has (about 25 of each) do not add up to common ones.
const COUNTERS_PER_VALUE: usize = 4;
/// The fewest counters: with fewer a small dictionary would take rare texts for common ones.
const FEWEST_COUNTERS: usize = 1 << 12;
/// The most counters, a byte each.
const MOST_COUNTERS: usize = 1 << 18;
/// Entries on their way to the store at the same time.
const IN_FLIGHT: usize = 256;

/// Values in a chunk of memory.
const CHUNK: usize = 4_096;
/// Values that a dictionary can hold whatever its limit is: the greatest limit that can be configured.
const MOST: usize = 1 << 22;
/// Text never begins with bytes from here on: they are for the forms of later versions, the first of them form 2.
const NEWER_FROM: u8 = 0xf8;
/// The form of record that is only the text.
const FORM: u8 = 1;

type Chunk = Box<[OnceLock<Box<str>>]>;

/// Common values by number.
pub struct Dictionary {
    /// In chunks that come when they are needed, so that reading takes no lock.
    texts: Box<[OnceLock<Chunk>]>,
    /// Values from which on none is learned any more. What is durable is loaded all the same.
    limit: u32,
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
    /// An empty dictionary that learns until it has `limit` values.
    pub fn new(limit: usize) -> Self {
        #[allow(clippy::cast_possible_truncation)] // MOST is far below
        let limit = limit.min(MOST) as u32;
        let counters = (limit as usize * COUNTERS_PER_VALUE).clamp(FEWEST_COUNTERS, MOST_COUNTERS);
        Self {
            texts: std::iter::repeat_with(OnceLock::new).take(MOST / CHUNK).collect(),
            limit,
            numbers: RwLock::default(),
            met: std::iter::repeat_with(AtomicU8::default).take(counters).collect(),
            met_since_halving: AtomicUsize::new(0),
            hasher: RandomState::default(),
            arriving: Mutex::default(),
        }
    }

    /// Take over what the store holds, all of it. Gives the number of values and of records that are none. Fails at a
    /// record of a newer Callboard.
    pub fn load(&self, store: &dyn Store) -> Result<(usize, u64), LoadError> {
        let mut bad = 0;
        let mut newer = None;
        let scan = store.scan(Table::Value, &mut |key, value| {
            if let Some(&first) = value.first().filter(|first| **first >= NEWER_FROM) {
                newer = Some((Box::<str>::from(key), first - NEWER_FROM + FORM + 1));
                return ControlFlow::Break(());
            }
            let entry = u32::from_str_radix(key, 16).ok().zip(std::str::from_utf8(value).ok());
            if !entry.is_some_and(|(number, text)| self.insert(number, text)) {
                bad += 1;
            }
            ControlFlow::Continue(())
        })?;
        match newer {
            Some((key, found)) => Err(LoadError::Newer { table: Table::Value, key, found, supported: FORM }),
            None => Ok((self.len(), bad + scan.damaged)),
        }
    }

    fn slot(&self, number: u32) -> Option<&OnceLock<Box<str>>> {
        let number = number as usize;
        let chunk = || std::iter::repeat_with(OnceLock::new).take(CHUNK).collect();
        self.texts.get(number / CHUNK)?.get_or_init(chunk).get(number % CHUNK)
    }

    /// Make a durable entry usable. False if no dictionary has such a number.
    pub fn insert(&self, number: u32, text: &str) -> bool {
        let Some(slot) = self.slot(number) else { return false };
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
        let number = number as usize;
        self.texts.get(number / CHUNK)?.get()?.get(number % CHUNK)?.get().map(AsRef::as_ref)
    }

    /// The number of this value.
    pub(super) fn number(&self, text: &str) -> Option<u32> {
        self.numbers.read().get(text).copied()
    }

    /// Pack a set with the values that are common by now, and learn from the others. New common values are queued for
    /// `store`; [`Dictionary::settle`] makes them usable.
    pub fn pack(self: &Arc<Self>, set: &ItemSet, store: &dyn Store) -> ItemSet {
        let mut packer = Packer::with_capacity(set.as_bytes().len());
        let mut met = Vec::new();
        {
            let numbers = self.numbers.read();
            for entry in set {
                let text = entry.value.inline_text().filter(|text| is_worth_it(text));
                let number = text.and_then(|text| numbers.get(text).copied());
                if number.is_none()
                    && let Some(text) = text
                {
                    met.push((self.counter_of(text), text));
                }
                packer.push(&entry, number);
            }
        }
        // However often a set has a text, it is one phone's.
        met.sort_unstable_by_key(|(counter, _)| *counter);
        met.dedup_by_key(|(counter, _)| *counter);
        met.retain(|(counter, _)| self.is_common_now(*counter));
        self.promote(&met, store);
        ItemSet::packed(&packer.finish(), self.clone())
    }

    fn counter_of(&self, text: &str) -> usize {
        #[allow(clippy::cast_possible_truncation)] // any bits do
        let counter = self.hasher.hash_one(text) as usize % self.met.len();
        counter
    }

    /// Count a text; true when it is common by this.
    fn is_common_now(&self, counter: usize) -> bool {
        let counter = &self.met[counter];
        let count = counter.load(Ordering::Relaxed).saturating_add(1);
        counter.store(count, Ordering::Relaxed);
        if self.met_since_halving.fetch_add(1, Ordering::Relaxed) + 1 >= self.met.len() {
            self.met_since_halving.store(0, Ordering::Relaxed);
            for counter in &self.met {
                counter.store(counter.load(Ordering::Relaxed) / 2, Ordering::Relaxed);
            }
        }
        count >= COMMON_FROM
    }

    /// Queue common texts for the store. What finds no place now stays common and is tried again when it is met again.
    fn promote(&self, common: &[(usize, &str)], store: &dyn Store) {
        if common.is_empty() {
            return;
        }
        let mut arriving = self.arriving.lock();
        for (counter, text) in common {
            let known = arriving.waiting.iter().any(|(_, waiting, _)| **waiting == **text);
            if !known && arriving.next < self.limit {
                if arriving.waiting.len() >= IN_FLIGHT {
                    return;
                }
                let number = arriving.next;
                let write = Write::put(Table::Value, format!("{number:08x}"), text.as_bytes().to_vec());
                let Ok(ticket) = store.submit(vec![write]) else { return };
                arriving.next += 1;
                arriving.waiting.push_back((number, (*text).into(), ticket));
            }
            // On its way, or never to come: not to be looked at each time it is met.
            self.met[*counter].store(0, Ordering::Relaxed);
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
    use crate::item::{ItemSetBuilder, NameRef, Value};
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
        // With the most counters, so that a text of one phone hardly ever shares one with a common text.
        let dictionary = Arc::new(Dictionary::new(MOST_COUNTERS));
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
        assert!(dictionary.len() >= 2, "two are common; a third may share a counter with them");
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
    fn an_old_set_gets_the_numbers_of_names_learned_since() {
        let store = MemoryStore::default();
        let dictionary = taught(&store);
        let vault = Vault::new(&[1; KEY_LEN]).unwrap();
        let mut builder = ItemSetBuilder::default();
        builder.push_ref(NameRef::of("e164"), Some(1), "new", None, &vault).unwrap();
        for (name, index, value) in [
            ("e164", Some(1), "old"),
            ("sntp-addr", None, "ntp.example.net"),
            ("a-name-of-tomorrow", None, "x"),
        ] {
            builder.push_ref(NameRef::Other(name), index, value, None, &vault).unwrap();
        }
        let old = dictionary.pack(&builder.build(10).unwrap(), &store);
        assert_eq!(old.text("sntp-addr"), None);
        let read = ItemSet::from_bytes(old.as_bytes()).unwrap().attach(&dictionary).unwrap();
        assert_eq!(read.len(), 3);
        assert_eq!(read.get(NameRef::of("e164"), Some(1)).unwrap().value.text().unwrap(), "new");
        let value = read.get(NameRef::of("sntp-addr"), None).unwrap().value;
        assert!(matches!(value, Value::Shared("ntp.example.net")));
        assert_eq!(read.text("a-name-of-tomorrow").unwrap(), "x");
        let again = ItemSet::from_bytes(read.as_bytes()).unwrap().attach(&dictionary).unwrap();
        assert_eq!(again, read);
    }

    #[test]
    fn what_is_durable_is_loaded_whatever_the_limit() {
        let store = MemoryStore::default();
        let first = taught(&store);
        let plain = set(5);
        let packed = first.pack(&plain, &store);
        let small = Arc::new(Dictionary::new(1));
        assert_eq!(small.load(&store).unwrap(), (2, 0));
        let read = ItemSet::from_bytes(packed.as_bytes()).unwrap().attach(&small).unwrap();
        assert_eq!(read, plain);
    }

    #[test]
    fn a_record_that_is_no_value_is_told_and_a_newer_one_refused() {
        let store = MemoryStore::default();
        for (key, value) in [("ffffffff", "beyond all"), ("no number", "x")] {
            drop(store.submit(vec![Write::put(Table::Value, key, value.into())]).unwrap());
        }
        assert_eq!(Dictionary::new(9).load(&store).unwrap(), (0, 2));
        drop(store.submit(vec![Write::put(Table::Value, "00000003", vec![NEWER_FROM, 1])]).unwrap());
        let error = Dictionary::new(9).load(&store).unwrap_err();
        assert!(matches!(error, LoadError::Newer { table: Table::Value, found: 2, supported: 1, .. }));
    }

    #[test]
    fn what_the_store_did_not_take_is_tried_again() {
        let store = MemoryStore::default();
        let dictionary = Arc::new(Dictionary::new(9));
        store.set_no_space(true);
        for number in 0..40 {
            dictionary.pack(&set(number), &store);
        }
        assert_eq!(dictionary.arriving(), 0);
        store.set_no_space(false);
        dictionary.pack(&set(40), &store);
        dictionary.settle();
        assert_eq!(dictionary.len(), 2);
    }

    #[test]
    fn a_text_counts_once_in_a_set() {
        let store = MemoryStore::default();
        let dictionary = Arc::new(Dictionary::new(9));
        let vault = Vault::new(&[1; KEY_LEN]).unwrap();
        let mut builder = ItemSetBuilder::default();
        for index in 0..100 {
            builder.push("alert", Some(index), "one phone's", None, &vault).unwrap();
        }
        let set = builder.build(100).unwrap();
        for _ in 1..COMMON_FROM {
            dictionary.pack(&set, &store);
        }
        assert_eq!(dictionary.arriving(), 0);
        dictionary.pack(&set, &store);
        assert_eq!(dictionary.arriving(), 1);
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
