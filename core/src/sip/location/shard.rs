//! Entries of one shard: found by name or by place, both at a constant price.

use hashbrown::HashTable;

use super::super::binding::Binding;
use crate::store::journal::Position;
use crate::time::Timestamp;
use crate::wheel::Wheel;

/// Slots of a shard's wheel, a second each: bindings that end later are looked at once on the way.
const WHEEL_SLOTS: usize = 512;

/// One address-of-record with its bindings.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) aor: Box<str>,
    pub(super) hash: u64,
    pub(super) bindings: Vec<Binding>,
    /// Where in the journal its latest record is.
    pub(super) position: Position,
    /// When it comes out of the wheel.
    pub(super) wakes: Timestamp,
    /// How often it was put in. What comes out with another number was put in before that, and is nothing any more.
    pub(super) turn: u32,
}

/// What is in a slot: an entry, or nothing. The generation tells entries that had the same slot apart.
#[derive(Debug)]
struct Slot {
    generation: u32,
    entry: Option<Entry>,
}

/// Where in a shard an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SlotId {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// One shard.
#[derive(Debug)]
pub(super) struct Shard {
    slots: Vec<Slot>,
    free: Vec<u32>,
    names: HashTable<u32>,
    wheel: Wheel<(SlotId, u32)>,
    /// Where in the journal the latest end of an entry is.
    pub(super) ended: Position,
    /// Room for a record.
    scratch: Vec<u8>,
}

impl Shard {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            names: HashTable::new(),
            wheel: Wheel::new(now, WHEEL_SLOTS, 1_000),
            ended: Position::default(),
            scratch: Vec::new(),
        }
    }

    /// Have an entry wake at a time, and at no other.
    pub(super) fn plan(&mut self, id: SlotId, wakes: Timestamp) {
        let Some(entry) = self.get_mut(id) else { return };
        entry.wakes = wakes;
        entry.turn = entry.turn.wrapping_add(1);
        let turn = entry.turn;
        self.wheel.insert(wakes, (id, turn));
    }

    /// Whose time has come. Some may come early: see [`Wheel`].
    pub(super) fn awake(&mut self, now: Timestamp, awake: &mut Vec<SlotId>) {
        let mut out = Vec::new();
        self.wheel.advance(now, |alarm| out.push(alarm));
        let is_latest = |(id, turn): &(SlotId, u32)| self.get(*id).is_some_and(|entry| entry.turn == *turn);
        awake.extend(out.into_iter().filter(is_latest).map(|(id, _)| id));
    }

    /// Slots, used or not.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn find(&self, hash: u64, aor: &str) -> Option<SlotId> {
        let is_it = |slot: &u32| self.at(*slot).is_some_and(|entry| *entry.aor == *aor);
        let slot = *self.names.find(hash, is_it)?;
        Some(SlotId { slot, generation: self.slots.get(slot as usize)?.generation })
    }

    /// The entry in a slot, whichever it is.
    pub(super) fn at(&self, slot: u32) -> Option<&Entry> {
        self.slots.get(slot as usize)?.entry.as_ref()
    }

    pub(super) fn get(&self, id: SlotId) -> Option<&Entry> {
        self.slots.get(id.slot as usize).filter(|slot| slot.generation == id.generation)?.entry.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: SlotId) -> Option<&mut Entry> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        if slot.generation == id.generation { slot.entry.as_mut() } else { None }
    }

    /// The same, and room for its record.
    pub(super) fn get_with_room(&mut self, id: SlotId) -> Option<(&mut Entry, &mut Vec<u8>)> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        let entry = if slot.generation == id.generation { slot.entry.as_mut() } else { None };
        Some((entry?, &mut self.scratch))
    }

    /// Room for a record.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        &mut self.scratch
    }

    /// Put in an entry whose name is not there yet.
    pub(super) fn insert(&mut self, entry: Entry) -> SlotId {
        let hash = entry.hash;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, entry: None });
            // A fleet is bounded far below 2^32.
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let generation = match self.slots.get_mut(slot as usize) {
            Some(place) => {
                place.entry = Some(entry);
                place.generation
            }
            None => 0,
        };
        let slots = &self.slots;
        let hash_of = |slot: &u32| {
            slots.get(*slot as usize).and_then(|slot| slot.entry.as_ref()).map_or(0, |entry| entry.hash)
        };
        self.names.insert_unique(hash, slot, hash_of);
        SlotId { slot, generation }
    }

    pub(super) fn remove(&mut self, id: SlotId) -> Option<Entry> {
        let place = self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?;
        let entry = place.entry.take()?;
        place.generation = place.generation.wrapping_add(1);
        if let Ok(name) = self.names.find_entry(entry.hash, |slot| *slot == id.slot) {
            name.remove();
        }
        self.free.push(id.slot);
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(aor: &str, hash: u64) -> Entry {
        let (position, wakes) = (Position::default(), Timestamp::default());
        Entry { aor: aor.into(), hash, bindings: Vec::new(), position, wakes, turn: 0 }
    }

    #[test]
    fn a_slot_that_has_a_new_tenant_is_not_the_old_place() {
        let mut shard = Shard::new(Timestamp::default());
        // All of one hash: names decide.
        let first = shard.insert(entry("a@x", 7));
        let second = shard.insert(entry("b@x", 7));
        assert_eq!((shard.find(7, "a@x"), shard.find(7, "b@x")), (Some(first), Some(second)));
        assert_eq!(shard.remove(first).map(|entry| entry.aor), Some("a@x".into()));
        assert!(shard.remove(first).is_none() && shard.get(first).is_none());
        let third = shard.insert(entry("c@x", 7));
        assert_eq!((third.slot, shard.slots()), (first.slot, 2));
        assert!(shard.get(first).is_none() && shard.get_mut(first).is_none());
        assert_eq!(shard.get(third).map(|entry| &*entry.aor), Some("c@x"));
        assert_eq!((shard.find(7, "a@x"), shard.find(7, "b@x")), (None, Some(second)));
    }
}
