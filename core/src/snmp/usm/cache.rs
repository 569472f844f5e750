//! The keys of users at engines that were heard of lately.

use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use metrics::{Counter, Unit, counter, describe_counter};
use parking_lot::RwLock;

use super::local::LocalKeys;
use super::user::{Fingerprint, UserKeys};

const SHARDS: usize = 16;

/// Counts keys that made room.
const EVICTED: &str = "callboard_snmp_keys_evicted_total";

/// Describe the metrics of this module.
pub fn describe_metrics() {
    describe_counter!(
        EVICTED,
        Unit::Count,
        "Keys of SNMP users at an engine that made room for others; they are computed anew when they are needed"
    );
}

/// The keys of users at engines, at most as many as are allowed. One takes about 800 bytes.
///
/// Ids of engines come from strangers. Put keys in only after a message was verified with them: then nobody without a password
/// fills the table. When it is full, those go that were not used for one round of a hand through their shard (the clock
/// algorithm), so that who knows one password and invents engines pushes out his own before those of others that are in use.
///
/// Keys are found by the user's keys themselves: whoever gets new passwords is not found any more. [`LocalKeyCache::forget`]
/// wipes what is left.
pub struct LocalKeyCache {
    shards: [RwLock<Shard>; SHARDS],
    /// Keys in one shard.
    most: usize,
    hasher: RandomState,
    evicted: Counter,
}

#[derive(Default)]
struct Shard {
    slots: Vec<Slot>,
    /// The slots by the hashes of their names.
    names: HashTable<usize>,
    /// The slot that is looked at first when room is needed.
    hand: usize,
}

struct Slot {
    keys: Arc<LocalKeys>,
    hash: u64,
    /// Whether somebody asked for them since the hand was there.
    used: AtomicBool,
}

impl LocalKeyCache {
    /// Room for about so many: a multiple of the number of shards, and one for each at least.
    pub fn new(entries: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            most: entries.div_ceil(SHARDS).max(1),
            hasher: RandomState::default(),
            evicted: counter!(EVICTED),
        }
    }

    /// The keys of a user at an engine.
    pub fn get(&self, user: &UserKeys, engine_id: &[u8]) -> Option<Arc<LocalKeys>> {
        let hash = self.hash((user.fingerprint(), engine_id));
        let shard = self.shard(hash).read();
        let slot = shard.slot(hash, |keys| keys.are_of(user, engine_id))?;
        // Readers of one shard would take the cache line from each other.
        if !slot.used.load(Ordering::Relaxed) {
            slot.used.store(true, Ordering::Relaxed);
        }
        Some(Arc::clone(&slot.keys))
    }

    /// Put in keys with which a message was verified. If they are there already they stay.
    pub fn insert(&self, keys: Arc<LocalKeys>) {
        let hash = self.hash(keys.name());
        let mut shard = self.shard(hash).write();
        if shard.slot(hash, |there| there.name() == keys.name()).is_some() {
            return;
        }
        let slot = Slot { keys, hash, used: AtomicBool::new(false) };
        if shard.slots.len() < self.most {
            shard.push(slot);
        } else {
            shard.replace(slot);
            self.evicted.increment(1);
        }
    }

    /// Remove all keys of a user, who was deleted or got other passwords. Looks at every entry.
    pub fn forget(&self, user: &UserKeys) {
        for shard in &self.shards {
            shard.write().retain(|keys| !keys.belong_to(user));
        }
    }

    fn hash(&self, name: (Fingerprint, &[u8])) -> u64 {
        self.hasher.hash_one(name)
    }

    fn shard(&self, hash: u64) -> &RwLock<Shard> {
        // The table of the shard looks at both ends of the hash.
        &self.shards[(hash >> 32) as usize % SHARDS]
    }
}

impl Shard {
    fn slot(&self, hash: u64, is_it: impl Fn(&LocalKeys) -> bool) -> Option<&Slot> {
        let is_it = |slot: &usize| self.slots.get(*slot).is_some_and(|slot| is_it(&slot.keys));
        self.slots.get(*self.names.find(hash, is_it)?)
    }

    fn push(&mut self, slot: Slot) {
        let Self { slots, names, .. } = self;
        let (hash, at) = (slot.hash, slots.len());
        slots.push(slot);
        names.insert_unique(hash, at, |at| slots.get(*at).map_or(0, |slot| slot.hash));
    }

    /// Put in keys where others were, which nobody asked for since the hand was there.
    fn replace(&mut self, new: Slot) {
        let Self { slots, names, hand } = self;
        // Each look clears a mark, so the second round ends it.
        let at = loop {
            let at = *hand % slots.len().max(1);
            *hand = at + 1;
            if !slots.get(at).is_some_and(|slot| slot.used.swap(false, Ordering::Relaxed)) {
                break at;
            }
        };
        let Some(slot) = slots.get_mut(at) else { return };
        if let Ok(name) = names.find_entry(slot.hash, |there| *there == at) {
            name.remove();
        }
        let hash = new.hash;
        *slot = new;
        names.insert_unique(hash, at, |at| slots.get(*at).map_or(0, |slot| slot.hash));
    }

    fn retain(&mut self, stays: impl Fn(&LocalKeys) -> bool) {
        let all = self.slots.len();
        self.slots.retain(|slot| stays(&slot.keys));
        if self.slots.len() == all {
            return;
        }
        self.names.clear();
        for slot in std::mem::take(&mut self.slots) {
            self.push(slot);
        }
    }
}

impl fmt::Debug for LocalKeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKeyCache").field("most", &self.most).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::snmp::protocol::AuthProtocol;

    fn user(byte: u8) -> UserKeys {
        UserKeys::of_bytes(AuthProtocol::Sha1, None, byte)
    }

    fn insert(cache: &LocalKeyCache, user: &UserKeys, engine: u32) {
        cache.insert(Arc::new(user.localise(&engine.to_be_bytes())));
    }

    fn holds(cache: &LocalKeyCache, user: &UserKeys, engine: u32) -> bool {
        cache.get(user, &engine.to_be_bytes()).is_some()
    }

    fn held(cache: &LocalKeyCache) -> usize {
        for shard in &cache.shards {
            let shard = shard.read();
            assert_eq!(shard.slots.len(), shard.names.len());
        }
        cache.shards.iter().map(|shard| shard.read().slots.len()).sum()
    }

    #[test]
    fn keys_are_found_by_user_and_engine() {
        let cache = LocalKeyCache::new(100);
        insert(&cache, &user(1), 7);
        assert!(holds(&cache, &user(1), 7));
        assert!(!holds(&cache, &user(1), 8) && !holds(&cache, &user(2), 7));
        let first = cache.get(&user(1), &7_u32.to_be_bytes()).unwrap();
        assert!(first.are_of(&user(1), &7_u32.to_be_bytes()));
        insert(&cache, &user(1), 7);
        assert!(Arc::ptr_eq(&first, &cache.get(&user(1), &7_u32.to_be_bytes()).unwrap()), "the first stay");
        assert_eq!(held(&cache), 1);
    }

    #[test]
    fn what_is_in_use_stays_when_room_is_needed() {
        let cache = LocalKeyCache::new(64 * SHARDS);
        let (phones, insider) = (user(1), user(2));
        (0..100).for_each(|engine| insert(&cache, &phones, engine));
        for invented in 0..20_000 {
            // Each phone is heard of from time to time.
            assert!(holds(&cache, &phones, invented % 100), "{invented}");
            insert(&cache, &insider, invented);
        }
        assert_eq!(held(&cache), 64 * SHARDS);
    }

    #[test]
    fn room_is_made_even_if_all_are_in_use() {
        let cache = LocalKeyCache::new(1);
        for engine in 0..1_000 {
            insert(&cache, &user(1), engine);
            assert!(holds(&cache, &user(1), engine));
        }
        assert_eq!(held(&cache), SHARDS);
    }

    #[test]
    fn a_user_is_forgotten_at_all_engines() {
        let cache = LocalKeyCache::new(64 * SHARDS);
        for engine in 0..200 {
            insert(&cache, &user(1), engine);
            insert(&cache, &user(2), engine);
        }
        cache.forget(&user(1));
        assert_eq!(held(&cache), 200);
        assert!((0..200).all(|engine| !holds(&cache, &user(1), engine) && holds(&cache, &user(2), engine)));
    }

    proptest! {
        /// Whatever happens: nobody gets keys of others, and no more are held than are allowed.
        #[test]
        fn nobody_gets_keys_of_others(
            steps in prop::collection::vec((0_u8..12, 0_u8..4, 0_u32..60), 0..300),
            entries in 1_usize..60,
        ) {
            let cache = LocalKeyCache::new(entries);
            for (step, letter, engine) in steps {
                let user = user(letter);
                match step {
                    0 => cache.forget(&user),
                    1..=6 => {
                        insert(&cache, &user, engine);
                        prop_assert!(holds(&cache, &user, engine));
                    }
                    _ => {
                        let engine = engine.to_be_bytes();
                        prop_assert!(cache.get(&user, &engine).is_none_or(|keys| keys.are_of(&user, &engine)));
                    }
                }
            }
            prop_assert!(held(&cache) <= entries.div_ceil(SHARDS) * SHARDS);
        }
    }
}
