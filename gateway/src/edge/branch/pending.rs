//! The set of devices with waiting work, as the core pushed it.

use std::collections::HashSet;

use callboard_codecs::edge::Ids;
use callboard_core::device::DeviceId;
use foldhash::fast::RandomState;
use parking_lot::{Mutex, RwLock};

/// Whether work waits for a device.
pub trait Waiting: Send + Sync + 'static {
    /// Whether work waits for the device that a poll names, in whatever spelling.
    fn is_waiting(&self, raw: &str) -> bool;
}

type Set = HashSet<DeviceId, RandomState>;

/// The set that holds.
#[derive(Debug, Default)]
struct Held {
    /// The core process that it came from; 0 if there is none.
    epoch: u64,
    version: u64,
    ids: Set,
}

/// A whole set on its way.
#[derive(Debug)]
struct Coming {
    epoch: u64,
    version: u64,
    ids: Set,
}

/// A difference that does not fit to what is held: the whole set is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a difference from version {from}, but version {held} is held")]
pub struct Gap {
    from: u64,
    held: u64,
}

/// The devices of this site with waiting work, kept while the core is away.
#[derive(Debug)]
pub struct PendingIds {
    held: RwLock<Held>,
    coming: Mutex<Option<Coming>>,
    most: usize,
}

impl PendingIds {
    /// None yet. At most so many are kept; polls of the others are told that nothing waits until there is room and the
    /// whole set comes again.
    pub fn new(most: usize) -> Self {
        Self { held: RwLock::default(), coming: Mutex::default(), most }
    }

    /// The core process and the version of the set that holds.
    pub fn version(&self) -> (u64, u64) {
        let held = self.held.read();
        (held.epoch, held.version)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.held.read().ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ask for the whole set at the next occasion. Until then polls are answered from what is held.
    pub fn distrust(&self) {
        self.held.write().epoch = 0;
    }

    /// A part of a whole set; it holds from the last part on, which is told.
    pub fn full(&self, epoch: u64, version: u64, (first, last): (bool, bool), ids: Ids<'_>) -> bool {
        let mut coming = self.coming.lock();
        if first {
            *coming = Some(Coming { epoch, version, ids: Set::default() });
        }
        // A part without beginning is left over from a connection that broke.
        let is_ours = |set: &&mut Coming| set.epoch == epoch && set.version == version;
        let Some(set) = coming.as_mut().filter(is_ours) else { return false };
        for id in ids.iter().filter_map(|id| id.parse().ok()) {
            if set.ids.len() < self.most {
                set.ids.insert(id);
            }
        }
        if last && let Some(Coming { epoch, version, ids }) = coming.take() {
            *self.held.write() = Held { epoch, version, ids };
            return true;
        }
        false
    }

    /// What changed.
    ///
    /// # Errors
    /// [`Gap`] if it builds on another version than the one that is held. Nothing is changed then.
    pub fn delta(&self, from: u64, to: u64, added: Ids<'_>, removed: Ids<'_>) -> Result<(), Gap> {
        let mut held = self.held.write();
        if held.version != from || held.epoch == 0 {
            return Err(Gap { from, held: held.version });
        }
        for id in removed.iter().filter_map(|id| id.parse::<DeviceId>().ok()) {
            held.ids.remove(&id);
        }
        for id in added.iter().filter_map(|id| id.parse().ok()) {
            if held.ids.len() < self.most {
                held.ids.insert(id);
            }
        }
        held.version = to;
        Ok(())
    }
}

impl Waiting for PendingIds {
    fn is_waiting(&self, raw: &str) -> bool {
        raw.parse().is_ok_and(|id: DeviceId| self.held.read().ids.contains(&id))
    }
}

#[cfg(test)]
mod tests {
    use callboard_codecs::edge::IdList;

    use super::*;

    fn list(ids: &[&str]) -> IdList {
        let mut list = IdList::default();
        for id in ids {
            assert!(list.push(id));
        }
        list
    }

    #[test]
    fn a_set_holds_from_its_last_part_on() {
        let pending = PendingIds::new(10);
        let (one, two) = (list(&["00:1a:e8:0a:0b:0c"]), list(&["soft"]));
        assert!(!pending.full(7, 3, (true, false), one.ids()));
        assert!(!pending.is_waiting("001ae80a0b0c") && pending.version() == (0, 0));
        assert!(pending.full(7, 3, (false, true), two.ids()));
        for spelling in ["00:1a:e8:0a:0b:0c", "00-1A-E8-0A-0B-0C", "001AE80A0B0C", "001a.e80a.0b0c"] {
            assert!(pending.is_waiting(spelling), "{spelling}");
        }
        assert!(
            pending.is_waiting("soft") && !pending.is_waiting("00:1a:e8:0a:0b:0d") && !pending.is_waiting("")
        );
        assert_eq!((pending.version(), pending.len()), ((7, 3), 2));
        // A part of a set that never began here.
        assert!(!pending.full(8, 1, (false, true), one.ids()));
        assert_eq!(pending.version(), (7, 3));
    }

    #[test]
    fn differences_go_on_from_what_is_held() {
        let pending = PendingIds::new(2);
        let (one, two, three) = (list(&["one"]), list(&["two"]), list(&["three"]));
        let gap = pending.delta(0, 1, one.ids(), list(&[]).ids());
        assert_eq!(gap, Err(Gap { from: 0, held: 0 }), "nothing to go on from");
        assert!(pending.full(7, 3, (true, true), one.ids()));
        pending.delta(3, 4, two.ids(), one.ids()).unwrap();
        assert!(pending.is_waiting("two") && !pending.is_waiting("one"));
        assert_eq!(pending.delta(3, 5, one.ids(), list(&[]).ids()), Err(Gap { from: 3, held: 4 }));
        assert_eq!((pending.version(), pending.is_waiting("one")), ((7, 4), false));
        // The bound holds.
        pending.delta(4, 5, one.ids(), list(&[]).ids()).unwrap();
        pending.delta(5, 6, three.ids(), list(&[]).ids()).unwrap();
        assert_eq!((pending.len(), pending.is_waiting("three")), (2, false));
    }
}
