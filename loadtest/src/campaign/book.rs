//! What each phone was told, and what it did.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::TaskType;

/// What a phone did last about its task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Did {
    /// It was never told.
    #[default]
    Nothing,
    /// It was told, and said nothing since.
    Away,
    /// It said that it is in a call.
    Busy,
    /// It said that it does not do it.
    Refused,
    /// It did it, and says so.
    Done,
    /// It came back as it was, or did not take an item, and says so.
    NotDone,
}

impl Did {
    /// Whether nothing more can come of the task.
    fn is_final(self) -> bool {
        matches!(self, Self::Refused | Self::Done | Self::NotDone)
    }
}

/// One phone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entry {
    pub(crate) did: Did,
    /// Whether the service confirmed what it did.
    pub(crate) confirmed: bool,
    /// How often it was told its task.
    pub(crate) told: u32,
    /// It was told again what it had, or may have, done already.
    pub(crate) twice: bool,
    /// When it was told first and last.
    pub(crate) told_at: Option<Instant>,
    /// When the service confirmed.
    pub(crate) confirmed_at: Option<Instant>,
    /// It has the new firmware.
    pub(crate) upgraded: bool,
    place: Place,
}

/// Where a phone is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// At its desk, with time for calls.
    #[default]
    Desk,
    /// On its way, with the service, or booting.
    Way,
    /// It is never heard of again.
    Gone,
}

#[derive(Default)]
struct Pages {
    entries: Vec<Entry>,
    under_way: usize,
    settled: u64,
}

/// All phones.
pub(crate) struct Book {
    pages: Mutex<Pages>,
    boots: bool,
}

impl Book {
    pub(crate) fn new(phones: u32, task_type: TaskType) -> Self {
        let entries = vec![Entry::default(); phones as usize];
        Self { pages: Mutex::new(Pages { entries, ..Pages::default() }), boots: task_type.boots() }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn entry(&self, number: u32) -> Entry {
        self.pages().entries[number as usize]
    }

    /// All phones, by number.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.pages().entries.clone()
    }

    /// Whether the phone has time: it is neither under way nor gone.
    pub(crate) fn is_free(&self, number: u32) -> bool {
        self.entry(number).place == Place::Desk
    }

    /// The phone sets out; `false` if it is under way already, or gone.
    pub(crate) fn set_out(&self, number: u32) -> bool {
        let mut pages = self.pages();
        let entry = &mut pages.entries[number as usize];
        if entry.place != Place::Desk {
            return false;
        }
        entry.place = Place::Way;
        pages.under_way += 1;
        true
    }

    /// The phone is back at its desk, unless it is gone.
    pub(crate) fn is_back(&self, number: u32) {
        let mut pages = self.pages();
        let entry = &mut pages.entries[number as usize];
        if entry.place == Place::Way {
            entry.place = Place::Desk;
        }
        pages.under_way -= 1;
    }

    /// The phone was told its task.
    pub(crate) fn told(&self, number: u32, now: Instant) {
        let entry = &mut self.pages().entries[number as usize];
        let is_right = match entry.did {
            Did::Nothing | Did::Busy => true,
            // What is answered at once is told again if the answer did not arrive.
            _ => !self.boots && !entry.confirmed,
        };
        entry.twice |= !is_right;
        entry.told += 1;
        entry.told_at = Some(now);
        (entry.did, entry.confirmed) = (Did::Away, false);
    }

    /// The phone does this, and is about to say so.
    pub(crate) fn does(&self, number: u32, did: Did) {
        let entry = &mut self.pages().entries[number as usize];
        (entry.did, entry.confirmed) = (did, false);
    }

    /// The phone has other firmware now.
    pub(crate) fn upgrade(&self, number: u32) {
        self.pages().entries[number as usize].upgraded = true;
    }

    /// The phone is never heard of again.
    pub(crate) fn is_gone(&self, number: u32) {
        self.pages().entries[number as usize].place = Place::Gone;
    }

    /// The service confirmed what the phone said.
    pub(crate) fn confirmed(&self, number: u32, now: Instant) {
        let mut pages = self.pages();
        let entry = &mut pages.entries[number as usize];
        let is_new = entry.did.is_final() && !entry.confirmed;
        entry.confirmed = true;
        if is_new {
            entry.confirmed_at = Some(now);
            pages.settled += 1;
        }
    }

    /// Phones of which the service confirmed what came of their task.
    pub(crate) fn settled(&self) -> u64 {
        self.pages().settled
    }

    /// Phones under way.
    pub(crate) fn under_way(&self) -> usize {
        self.pages().under_way
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firmware_is_told_once() {
        let book = Book::new(3, TaskType::SoftwareDeployment);
        let now = Instant::now();
        book.told(0, now);
        assert!(!book.entry(0).twice);
        book.told(0, now);
        assert!(book.entry(0).twice);
        // One in a call is told again.
        book.told(1, now);
        book.does(1, Did::Busy);
        book.told(1, now);
        assert!(!book.entry(1).twice);
        book.does(1, Did::Done);
        book.told(1, now);
        assert!(book.entry(1).twice);
        assert_eq!((book.entry(1).told, book.entry(2).told), (3, 0));
    }

    #[test]
    fn a_write_is_told_again_until_it_was_confirmed() {
        let book = Book::new(1, TaskType::WriteItems);
        let now = Instant::now();
        for _ in 0..2 {
            book.told(0, now);
            book.does(0, Did::Done);
        }
        assert!(!book.entry(0).twice);
        assert_eq!(book.settled(), 0);
        book.confirmed(0, now);
        book.confirmed(0, now);
        assert_eq!(book.settled(), 1);
        book.told(0, now);
        assert!(book.entry(0).twice);
    }

    #[test]
    fn a_phone_is_at_one_place_at_a_time() {
        let book = Book::new(2, TaskType::Restart);
        assert!(book.set_out(0) && !book.set_out(0) && book.is_free(1));
        assert_eq!(book.under_way(), 1);
        book.is_back(0);
        assert!(book.is_free(0));
        assert!(book.set_out(0));
        book.is_gone(0);
        book.is_back(0);
        assert!(!book.set_out(0) && !book.is_free(0));
        assert_eq!(book.under_way(), 0);
    }
}
