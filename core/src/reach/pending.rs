//! The set of devices that have work waiting, as polls see it (WPI reference, section 9.4).
//!
//! Polls are many and dialogues must not feel them: whoever asks takes no lock and allocates nothing. The set is a table of
//! keyed 64-bit fingerprints with open addressing. Writers, one at a time, put fingerprints into free slots or replace them by
//! a mark; they never move one inside of a table. A table that is half full, or nearly empty, is replaced as a whole. So an
//! asker sees every device that was in before it asked and is not taken out meanwhile, whatever happens to the others.
//!
//! Two ids have the same fingerprint about once in 2^64 pairs, and nobody outside knows the key; writers keep the ids
//! themselves, so that taking one out never takes out another.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use foldhash::quality::RandomState;
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::device::DeviceId;

/// A slot that was never used.
const FREE: u64 = 0;
/// A slot whose fingerprint was taken out; chains go on behind it.
const GONE: u64 = 1;
/// Slots of the smallest table.
const LEAST_SLOTS: usize = 64;
/// Slots of a new table for one device.
const ROOM: usize = 4;

/// A table of fingerprints. At most half of its slots are used, so every chain ends.
struct Slots(Box<[AtomicU64]>);

impl Slots {
    fn with_room_for(devices: usize) -> Self {
        let slots = (devices * ROOM).next_power_of_two().max(LEAST_SLOTS);
        Self(std::iter::repeat_with(AtomicU64::default).take(slots).collect())
    }

    /// The slots in which a fingerprint may lie, in their order.
    fn chain(&self, fingerprint: u64) -> impl Iterator<Item = &AtomicU64> {
        let (slots, mask) = (&self.0, self.0.len() - 1);
        #[allow(clippy::cast_possible_truncation)] // any bits do
        let first = fingerprint as usize;
        (0..=mask).filter_map(move |step| slots.get(first.wrapping_add(step) & mask))
    }

    fn contains(&self, fingerprint: u64) -> bool {
        for slot in self.chain(fingerprint) {
            match slot.load(Ordering::Acquire) {
                FREE => return false,
                found if found == fingerprint => return true,
                _ => {}
            }
        }
        false
    }

    /// Puts a fingerprint in that is not there. Returns whether that took a slot which was never used.
    fn put(&self, fingerprint: u64) -> bool {
        for slot in self.chain(fingerprint) {
            let found = slot.load(Ordering::Relaxed);
            if found == FREE || found == GONE {
                slot.store(fingerprint, Ordering::Release);
                return found == FREE;
            }
        }
        false
    }

    fn take_out(&self, fingerprint: u64) {
        if let Some(slot) = self.chain(fingerprint).find(|slot| slot.load(Ordering::Relaxed) == fingerprint) {
            slot.store(GONE, Ordering::Release);
        }
    }
}

/// What only writers look at.
#[derive(Default)]
struct Ledger {
    /// The devices of each fingerprint: nearly always one.
    devices: HashMap<u64, SmallVec<[DeviceId; 1]>, RandomState>,
    /// Slots of the present table that are not free.
    used: usize,
}

/// Devices that have work waiting. Its memory follows the number of devices in it, up to the whole fleet.
pub struct PendingSet {
    slots: ArcSwap<Slots>,
    hasher: RandomState,
    ledger: Mutex<Ledger>,
    len: AtomicUsize,
}

impl fmt::Debug for PendingSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingSet").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Default for PendingSet {
    fn default() -> Self {
        Self {
            slots: ArcSwap::from_pointee(Slots::with_room_for(0)),
            hasher: RandomState::default(),
            ledger: Mutex::default(),
            len: AtomicUsize::new(0),
        }
    }
}

impl PendingSet {
    /// Never one of the two marks.
    fn fingerprint(&self, id: &[u8]) -> u64 {
        self.hasher.hash_one(id).max(GONE + 1)
    }

    fn fingerprint_of(&self, id: &DeviceId) -> u64 {
        id.with_text(|text| self.fingerprint(text.as_bytes()))
    }

    /// How many devices are in it.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a device is in it. No lock, no allocation.
    pub fn contains(&self, id: &DeviceId) -> bool {
        self.slots.load().contains(self.fingerprint_of(id))
    }

    /// The same for an id in the form in which [`DeviceId`] shows it, as the codec of DCMP gives it.
    pub fn contains_canonical(&self, id: &[u8]) -> bool {
        self.slots.load().contains(self.fingerprint(id))
    }

    /// Put a device in. Returns whether it was not in yet.
    pub fn insert(&self, id: &DeviceId) -> bool {
        let fingerprint = self.fingerprint_of(id);
        let mut ledger = self.ledger.lock();
        let devices = ledger.devices.entry(fingerprint).or_default();
        if devices.contains(id) {
            return false;
        }
        devices.push(id.clone());
        let is_new = devices.len() == 1;
        self.len.fetch_add(1, Ordering::Relaxed);
        if is_new {
            let slots = self.slots.load();
            if (ledger.used + 1) * 2 > slots.0.len() {
                self.rebuild(&mut ledger);
            } else if slots.put(fingerprint) {
                ledger.used += 1;
            }
        }
        true
    }

    /// Take a device out. Returns whether it was in.
    pub fn remove(&self, id: &DeviceId) -> bool {
        let fingerprint = self.fingerprint_of(id);
        let mut ledger = self.ledger.lock();
        let Some(devices) = ledger.devices.get_mut(&fingerprint) else { return false };
        let before = devices.len();
        devices.retain(|known| known != id);
        if devices.len() == before {
            return false;
        }
        let is_last = devices.is_empty();
        self.len.fetch_sub(1, Ordering::Relaxed);
        if is_last {
            ledger.devices.remove(&fingerprint);
            let slots = self.slots.load();
            slots.take_out(fingerprint);
            // A quarter of what a new table would have: so that it does not grow and shrink in turn.
            if slots.0.len() > LEAST_SLOTS && ledger.devices.len() * ROOM * 4 < slots.0.len() {
                ledger.devices.shrink_to_fit();
                self.rebuild(&mut ledger);
            }
        }
        true
    }

    /// Puts a table of the right size, without marks, in the place of the present one.
    fn rebuild(&self, ledger: &mut Ledger) {
        let slots = Slots::with_room_for(ledger.devices.len());
        for fingerprint in ledger.devices.keys() {
            slots.put(*fingerprint);
        }
        ledger.used = ledger.devices.len();
        self.slots.store(Arc::new(slots));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::AtomicBool;

    use callboard_codecs::dcmp::CanonicalId;
    use proptest::prelude::*;

    use super::*;

    fn id(number: u32) -> DeviceId {
        let [a, b, c, d] = number.to_be_bytes();
        format!("00:1a:{a:02x}:{b:02x}:{c:02x}:{d:02x}").parse().unwrap()
    }

    #[test]
    fn a_device_is_in_until_it_is_taken_out() {
        let set = PendingSet::default();
        assert!(!set.contains(&id(1)) && set.is_empty());
        assert!(set.insert(&id(1)) && !set.insert(&id(1)));
        assert!(
            set.contains(&id(1)) && set.contains_canonical(b"00:1a:00:00:00:01") && !set.contains(&id(2))
        );
        assert!(!set.contains_canonical(b"00:1A:00:00:00:01"), "one form only");
        assert!(set.remove(&id(1)) && !set.remove(&id(1)));
        assert!(!set.contains(&id(1)) && set.is_empty());
    }

    #[test]
    fn it_grows_and_shrinks_with_what_is_in_it() {
        let set = PendingSet::default();
        for number in 0..10_000 {
            set.insert(&id(number));
        }
        assert_eq!(set.len(), 10_000);
        assert!((0..10_000).all(|number| set.contains(&id(number))));
        assert!((10_000..20_000).all(|number| !set.contains(&id(number))));
        assert!(set.slots.load().0.len() <= 10_000 * ROOM * 2);
        for number in 0..9_990 {
            set.remove(&id(number));
        }
        assert!((9_990..10_000).all(|number| set.contains(&id(number))));
        assert!(set.slots.load().0.len() <= LEAST_SLOTS * 4, "the memory is given back");
    }

    #[test]
    fn coming_and_going_does_not_fill_it_with_marks() {
        let set = PendingSet::default();
        for number in 0..100_000 {
            set.insert(&id(number));
            set.remove(&id(number));
        }
        let slots = set.slots.load();
        let free = slots.0.iter().filter(|slot| slot.load(Ordering::Relaxed) == FREE).count();
        assert!(slots.0.len() == LEAST_SLOTS && free >= LEAST_SLOTS / 2, "{free} free");
    }

    proptest! {
        #[test]
        fn it_is_a_set(steps in prop::collection::vec((any::<bool>(), 0_u32..300), 0..1_500)) {
            let (set, mut model) = (PendingSet::default(), HashSet::new());
            for (insert, number) in steps {
                if insert {
                    prop_assert_eq!(set.insert(&id(number)), model.insert(number));
                } else {
                    prop_assert_eq!(set.remove(&id(number)), model.remove(&number));
                }
                prop_assert_eq!(set.len(), model.len());
            }
            for number in 0..300 {
                prop_assert_eq!(set.contains(&id(number)), model.contains(&number));
            }
        }

        #[test]
        fn the_codec_names_devices_as_they_are_known(raw in "[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}|[0-9a-fA-F]{12}|([0-9a-fA-F]{4}\\.){2}[0-9a-fA-F]{4}|[ -~\\t]{0,70}") {
            let (known, polled) = (raw.parse::<DeviceId>(), CanonicalId::read(raw.replace('%', "%25").as_bytes()));
            match (known, polled) {
                (Ok(known), Ok(polled)) => {
                    prop_assert_eq!(known.to_string().into_bytes(), polled.as_bytes());
                    let set = PendingSet::default();
                    set.insert(&known);
                    prop_assert!(set.contains_canonical(polled.as_bytes()));
                }
                (known, polled) => prop_assert!(known.is_err() && polled.is_err(), "{:?} {:?}", known, polled),
            }
        }
    }

    /// Some stay in while others come and go in such numbers that tables are replaced all the time.
    #[test]
    fn who_is_in_is_never_missed() {
        let set = PendingSet::default();
        let (stays, done) = (0..50, AtomicBool::new(false));
        for number in stays.clone() {
            set.insert(&id(number));
        }
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    let (set, done, stays) = (&set, &done, stays.clone());
                    scope.spawn(move || {
                        let mut looks = 0_u64;
                        while !done.load(Ordering::Relaxed) || looks == 0 {
                            assert!(stays.clone().all(|number| set.contains(&id(number))));
                            assert!(!set.contains(&id(u32::MAX)));
                            looks += 1;
                        }
                        looks
                    })
                })
                .collect();
            for round in 0..40 {
                let crowd = 1_000..1_000 + 100 * (round % 20 + 1);
                for number in crowd.clone() {
                    set.insert(&id(number));
                }
                for number in crowd {
                    set.remove(&id(number));
                }
            }
            done.store(true, Ordering::Relaxed);
            for reader in readers {
                assert!(reader.join().unwrap() > 0);
            }
        });
        assert_eq!(set.len(), 50);
    }
}
