//! What waits for whom, in memory.

use std::collections::VecDeque;
use std::collections::btree_map::{self, BTreeMap};
use std::sync::Arc;

use super::entry::Entry;
use super::losses::Losses;
use super::record::SavedReceiver;
use super::stats::ReceiverMeter;
use crate::time::Timestamp;

/// Room for numbers that a queue keeps when it is empty.
const KEPT: usize = 1_024;

/// An entry that somebody waits for.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) entry: Arc<Entry>,
    /// Receivers that wait for it.
    waiting: u32,
    /// Memory that was counted for it.
    bytes: usize,
}

/// Somebody who gets entries.
#[derive(Debug)]
pub(super) struct Receiver {
    /// The number that was given to it instead of an entry: another one of the same name has another.
    pub(super) id: u64,
    /// Numbers of the entries that it has not acknowledged, ascending.
    pub(super) waiting: VecDeque<u64>,
    /// It needs no entry up to here any more.
    pub(super) passed: u64,
    /// The last that it acknowledged.
    pub(super) acknowledged: u64,
    pub(super) losses: Losses,
    pub(super) saved: Saved,
    pub(super) meter: ReceiverMeter,
}

/// How the journal's record of a receiver compares with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Saved {
    /// There is none: no entry for it may be written before.
    Never,
    /// It is behind by so many acknowledgements.
    Behind(u32),
    /// It is the same.
    Same,
}

impl Receiver {
    fn new(saved: SavedReceiver, state: Saved) -> Self {
        let SavedReceiver { id, name, passed, acknowledged, losses } = saved;
        let meter = ReceiverMeter::new(&name);
        Self { id, waiting: VecDeque::new(), passed, acknowledged, losses, saved: state, meter }
    }

    /// What is kept of it.
    pub(super) fn to_save(&self, name: &str) -> SavedReceiver {
        let Self { id, passed, acknowledged, losses, .. } = *self;
        SavedReceiver { id, name: name.into(), passed, acknowledged, losses }
    }

    /// It is not as it was saved any more.
    pub(super) fn changed(&mut self, acknowledgements: u32) {
        self.saved = match self.saved {
            Saved::Never => Saved::Never,
            Saved::Behind(by) => Saved::Behind(by.saturating_add(acknowledgements)),
            Saved::Same => Saved::Behind(acknowledgements),
        };
    }
}

/// Entries by number, and receivers by name.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: BTreeMap<u64, Stored>,
    pub(super) receivers: BTreeMap<Box<str>, Receiver>,
    bytes: usize,
}

impl Queue {
    /// Entries that somebody waits for.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Memory that they take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&self, number: u64) -> Option<&Arc<Entry>> {
        self.entries.get(&number).map(|stored| &stored.entry)
    }

    /// When the oldest entry happened.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.entries.first_key_value().map(|(_, stored)| stored.entry.at)
    }

    /// The oldest entry behind `after` that a receiver has not acknowledged.
    pub(super) fn next(&self, receiver: &str, after: u64) -> Option<&Arc<Entry>> {
        let waiting = &self.receivers.get(receiver)?.waiting;
        self.get(*waiting.get(waiting.partition_point(|number| *number <= after))?)
    }

    /// Receivers that wait for an entry.
    pub(super) fn waiting_for(&self, number: u64) -> impl Iterator<Item = u64> {
        let waits = move |receiver: &&Receiver| receiver.waiting.binary_search(&number).is_ok();
        self.receivers.values().filter(waits).map(|receiver| receiver.id)
    }

    /// One more at the end, for the receivers with these numbers, which ascend.
    pub(super) fn insert(&mut self, entry: Entry, receivers: &[u64]) {
        let number = entry.number;
        let mut waiting = 0;
        for receiver in self.receivers.values_mut() {
            if receivers.binary_search(&receiver.id).is_ok() {
                receiver.waiting.push_back(number);
                waiting += 1;
            }
        }
        let bytes = entry.memory(receivers.len());
        self.bytes += bytes;
        self.entries.insert(number, Stored { entry: Arc::new(entry), waiting, bytes });
    }

    /// A receiver, in the place of any other of its name.
    pub(super) fn put_receiver(&mut self, saved: SavedReceiver, state: Saved) {
        self.receivers.insert(saved.name.clone(), Receiver::new(saved, state));
    }

    /// A receiver is gone. Entries that nobody waits for any more go too, into `ended`.
    pub(super) fn remove_receiver(&mut self, name: &str, ended: &mut Vec<u64>) -> Option<u64> {
        let receiver = self.receivers.remove(name)?;
        for number in receiver.waiting {
            if release(&mut self.entries, &mut self.bytes, number) {
                ended.push(number);
            }
        }
        receiver.meter.gone();
        Some(receiver.id)
    }

    /// A receiver has got everything up to `number`. Entries that nobody waits for any more go, into `ended`.
    pub(super) fn acknowledge(&mut self, receiver: &str, number: u64, ended: &mut Vec<u64>) {
        let Some(receiver) = self.receivers.get_mut(receiver) else { return };
        receiver.losses.there();
        let mut acknowledged = 0;
        while let Some(got) = receiver.waiting.pop_front_if(|waiting| *waiting <= number) {
            (receiver.passed, receiver.acknowledged) = (got, got);
            acknowledged += 1;
            if release(&mut self.entries, &mut self.bytes, got) {
                ended.push(got);
            }
        }
        if acknowledged > 0 {
            receiver.changed(acknowledged);
        }
        if receiver.waiting.is_empty() && receiver.waiting.capacity() > KEPT {
            receiver.waiting = VecDeque::new();
        }
    }

    /// The oldest entry goes, whoever waits for it. Its number goes into `ended`.
    pub(super) fn evict(&mut self, ended: &mut Vec<u64>) {
        let Some((number, stored)) = self.entries.pop_first() else { return };
        self.bytes -= stored.bytes;
        for receiver in self.receivers.values_mut() {
            // It is the oldest of all, so that of a receiver that waits for it.
            if receiver.waiting.front() == Some(&number) {
                receiver.waiting.pop_front();
                receiver.passed = number;
                receiver.losses.add();
                receiver.meter.lost();
                receiver.changed(0);
            }
        }
        ended.push(number);
    }
}

/// One receiver less waits for an entry. Whether the entry is gone with that.
fn release(entries: &mut BTreeMap<u64, Stored>, bytes: &mut usize, number: u64) -> bool {
    let btree_map::Entry::Occupied(mut stored) = entries.entry(number) else { return false };
    stored.get_mut().waiting -= 1;
    if stored.get().waiting > 0 {
        return false;
    }
    *bytes -= stored.remove().bytes;
    true
}
