//! The journal's side of the spool: what is written when, and what happens if the journal takes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::queue::{Queue, Saved};
use super::record;
use crate::store::journal::{Journal, Position};
use crate::store::{SubmitError, Ticket};

/// So many numbers are taken at a time, so that not each of them is a record of its own.
const NUMBERS: u64 = 1_024;

/// Numbers, and what the journal knows of the queue.
///
/// Records are written in an order that makes every crash leave a state that once was: numbers are taken before they are used, a
/// receiver is written before an entry that it waits for, and an entry only when no older one is still to be written or deleted.
pub(super) struct Journaled {
    journal: Arc<dyn Journal>,
    /// The last number that was given.
    given: u64,
    /// Numbers up to here are taken.
    taken: u64,
    /// Behind the last entry.
    position: Position,
    /// Entries that the journal did not take.
    unwritten: BTreeSet<u64>,
    /// Entries that are over, and that it still has.
    undeleted: BTreeSet<u64>,
    /// Why it took nothing when it was tried last.
    refusal: Option<SubmitError>,
    room: Vec<u8>,
}

impl Journaled {
    pub(super) fn new(journal: Arc<dyn Journal>) -> Self {
        Self {
            journal,
            given: 0,
            taken: 0,
            position: Position::START,
            unwritten: BTreeSet::new(),
            undeleted: BTreeSet::new(),
            refusal: None,
            room: Vec::new(),
        }
    }

    pub(super) fn journal(&self) -> &Arc<dyn Journal> {
        &self.journal
    }

    /// Go on behind the numbers that were given before.
    pub(super) fn resume(&mut self, given: u64, taken: u64) {
        (self.given, self.taken) = (given.max(taken), taken);
    }

    /// A number that was never given.
    pub(super) fn give(&mut self) -> u64 {
        self.given += 1;
        self.given
    }

    /// Entries that the journal did not take.
    pub(super) fn unwritten(&self) -> usize {
        self.unwritten.len()
    }

    /// A ticket for all entries, `None` if they are durable.
    ///
    /// # Errors
    /// Why the journal did not take one that still waits.
    pub(super) fn settled(&self) -> Result<Option<Ticket>, SubmitError> {
        match &self.refusal {
            Some(refusal) if !self.unwritten.is_empty() => Err(refusal.clone()),
            _ if self.position <= self.journal.durable() => Ok(None),
            _ => Ok(Some(self.journal.committed(self.position))),
        }
    }

    /// Write a new entry, which is in the queue.
    ///
    /// # Errors
    /// If the journal does not take it. It is tried again: [`Self::catch_up`].
    pub(super) fn write(&mut self, queue: &mut Queue, number: u64) -> Result<(), SubmitError> {
        // Not before what was refused earlier.
        let outcome = self.refusal.clone().map_or_else(|| self.append_entry(queue, number), Err);
        if let Err(error) = &outcome
            && !is_useless(error)
        {
            self.unwritten.insert(number);
            self.refusal = Some(error.clone());
        }
        outcome
    }

    /// Delete entries that are over.
    pub(super) fn delete(&mut self, ended: &mut Vec<u64>) {
        for number in ended.drain(..) {
            if self.unwritten.remove(&number) {
                continue;
            }
            if let Err(error) = self.journal.append(&record::entry_key(number), None) {
                self.undeleted.insert(number);
                self.refusal = Some(error);
            }
        }
    }

    /// Do what the journal refused to take, at most `most` records of it.
    pub(super) fn catch_up(&mut self, queue: &mut Queue, most: usize) {
        if self.refusal.is_some() {
            self.refusal = self.try_again(queue, most).err();
        }
    }

    /// An error if something is left.
    fn try_again(&mut self, queue: &mut Queue, most: usize) -> Result<(), SubmitError> {
        for _ in 0..most {
            if let Some(number) = self.undeleted.first().copied() {
                self.journal.append(&record::entry_key(number), None)?;
                self.undeleted.remove(&number);
            } else if let Some(number) = self.unwritten.first().copied() {
                match self.append_entry(queue, number) {
                    Err(error) if !is_useless(&error) => return Err(error),
                    _ => self.unwritten.remove(&number),
                };
            } else {
                return Ok(());
            }
        }
        let is_done = self.undeleted.is_empty() && self.unwritten.is_empty();
        // Some time it goes on.
        if is_done { Ok(()) } else { self.refusal.clone().map_or(Ok(()), Err) }
    }

    /// Save receivers that are not as they were saved, of those that `is_due` tells by how they compare.
    ///
    /// # Errors
    /// If the journal takes one not. A start that finds an older state of a receiver sends more once more.
    pub(super) fn save(
        &mut self,
        queue: &mut Queue,
        is_due: impl Fn(Saved) -> bool,
    ) -> Result<(), SubmitError> {
        for (name, receiver) in &mut queue.receivers {
            if receiver.saved != Saved::Same && is_due(receiver.saved) {
                record::write_receiver(&receiver.to_save(name), &mut self.room);
                self.journal.append(&record::receiver_key(receiver.id), Some(&self.room))?;
                receiver.saved = Saved::Same;
            }
        }
        Ok(())
    }

    /// Forget a receiver. If that is refused the next start does it.
    pub(super) fn forget(&mut self, id: u64) {
        if let Err(error) = self.journal.append(&record::receiver_key(id), None) {
            tracing::debug!(id, %error, "the record of a receiver that is gone stays until the next start");
        }
    }

    fn append_entry(&mut self, queue: &mut Queue, number: u64) -> Result<(), SubmitError> {
        let Some(entry) = queue.get(number).cloned() else { return Ok(()) };
        if number > self.taken {
            let taken = self.given + NUMBERS;
            record::write_taken(taken, &mut self.room);
            self.journal.append(record::TAKEN, Some(&self.room))?;
            self.taken = taken;
        }
        self.save(queue, |saved| saved == Saved::Never)?;
        let mut receivers: Vec<u64> = queue.waiting_for(number).collect();
        receivers.sort_unstable();
        record::write_entry(&entry, &receivers, &mut self.room);
        self.position = self.journal.append(&record::entry_key(number), Some(&self.room))?;
        Ok(())
    }
}

/// Whether asking again makes no difference. No event is so large, and no key so bad.
fn is_useless(error: &SubmitError) -> bool {
    matches!(error, SubmitError::TooLarge { .. } | SubmitError::BadKey(_))
}
