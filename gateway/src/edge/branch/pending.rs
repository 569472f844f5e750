//! The set of devices with waiting work, as the core pushed it.

use std::collections::HashSet;
use std::sync::Arc;

use callboard_codecs::edge::Ids;
use callboard_core::device::DeviceId;
use callboard_core::reach::pending::PendingSet;
use foldhash::fast::RandomState;
use parking_lot::{Mutex, RwLock};

type Set = HashSet<DeviceId, RandomState>;

/// The set that holds.
#[derive(Debug, Default)]
struct Held {
    /// The core process that it came from; 0 if there is none.
    epoch: u64,
    version: u64,
    ids: Set,
    /// A core is connected: polls are told.
    shown: bool,
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
    /// The same devices, for polls.
    told: Arc<PendingSet>,
    coming: Mutex<Option<Coming>>,
    most: usize,
}

impl PendingIds {
    /// None yet. At most so many are kept; polls of the others are told that nothing waits until there is room and the
    /// whole set comes again.
    pub fn new(most: usize) -> Self {
        Self { held: RwLock::default(), told: Arc::default(), coming: Mutex::default(), most }
    }

    /// The core process and the version of the set that holds.
    pub fn version(&self) -> (u64, u64) {
        let held = self.held.read();
        (held.epoch, held.version)
    }

    /// What polls are told.
    pub fn told(&self) -> &Arc<PendingSet> {
        &self.told
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.held.read().ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether polls are told of the devices: not while the core is away, for a phone that is sent away by a door that is
    /// closed takes the service for broken.
    pub fn show(&self, shown: bool) {
        let mut held = self.held.write();
        held.shown = shown;
        for id in &held.ids {
            if shown {
                self.told.insert(id);
            } else {
                self.told.remove(id);
            }
        }
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
            let mut held = self.held.write();
            for gone in held.ids.difference(&ids) {
                self.told.remove(gone);
            }
            for id in ids.iter().filter(|_| held.shown) {
                self.told.insert(id);
            }
            *held = Held { epoch, version, ids, shown: held.shown };
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
            self.told.remove(&id);
        }
        for id in added.iter().filter_map(|id| id.parse().ok()) {
            if held.ids.len() < self.most {
                if held.shown {
                    self.told.insert(&id);
                }
                held.ids.insert(id);
            }
        }
        held.version = to;
        Ok(())
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

    impl PendingIds {
        fn is_waiting(&self, raw: &str) -> bool {
            let Ok(id) = raw.parse::<DeviceId>() else { return false };
            let told = self.told.contains(&id);
            let held = self.held.read();
            assert_eq!(told, held.shown && held.ids.contains(&id), "{raw}");
            told
        }
    }

    #[test]
    fn a_set_holds_from_its_last_part_on() {
        let pending = PendingIds::new(10);
        pending.show(true);
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
        assert_eq!((pending.version(), pending.len(), pending.told().len()), ((7, 3), 2, 2));
        // A part of a set that never began here.
        assert!(!pending.full(8, 1, (false, true), one.ids()));
        assert_eq!(pending.version(), (7, 3));
    }

    #[test]
    fn polls_are_told_nothing_while_the_core_is_away() {
        let pending = PendingIds::new(10);
        assert!(pending.full(7, 3, (true, true), list(&["one"]).ids()));
        assert!(!pending.is_waiting("one"), "not connected yet");
        pending.show(true);
        assert!(pending.is_waiting("one"));
        pending.show(false);
        assert!(!pending.is_waiting("one") && pending.told().is_empty());
        assert_eq!((pending.version(), pending.len()), ((7, 3), 1));
        pending.show(true);
        assert!(pending.is_waiting("one"));
    }

    #[test]
    fn differences_go_on_from_what_is_held() {
        let pending = PendingIds::new(2);
        pending.show(true);
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
