//! Answers of one connection on their way out.

use callboard_core::service::sip::Reaction;
use callboard_core::sip::location::Place;
use callboard_core::store::journal::{Journal, Position};
use callboard_core::store::{CommitError, Ticket};

/// Bytes of answers that may wait; beyond it nothing more is read.
const MOST_BYTES: usize = 262_144;

/// Room that an empty outbox keeps.
const KEPT_BYTES: usize = 8_192;

/// Answers that may leave, and answers that wait for the journal.
///
/// There is one ticket of the journal at a time. What is answered while it is out gathers, and asks for the next one together.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// May leave.
    now: Vec<u8>,
    /// Leaves when the ticket says so.
    waiting: Vec<u8>,
    ticket: Option<Ticket>,
    /// Leaves when everything up to the position is durable.
    gathered: Vec<u8>,
    position: Option<Position>,
}

impl Outbox {
    /// Take an answer, which `write` appends to what it is given. If it says that something is registered: where that stands.
    pub(super) fn answer(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Reaction) -> Option<Place> {
        let begin = self.gathered.len();
        match write(&mut self.gathered) {
            Reaction::AnswerAfter(position, place) => {
                self.position = self.position.max(Some(position));
                place
            }
            Reaction::Nothing | Reaction::Answer => {
                self.now.extend(self.gathered.drain(begin..));
                None
            }
        }
    }

    /// Add what may leave at once.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.now.extend_from_slice(bytes);
    }

    /// Whether more may be read.
    pub(super) const fn has_room(&self) -> bool {
        self.now.len() + self.waiting.len() + self.gathered.len() < MOST_BYTES
    }

    /// Whether something waits for the journal.
    pub(super) const fn is_waiting(&self) -> bool {
        self.ticket.is_some()
    }

    /// Resolves when [`Outbox::committed`] is to be called; never, if nothing waits.
    pub(super) async fn commit(&mut self) -> Result<(), CommitError> {
        match &mut self.ticket {
            Some(ticket) => ticket.await,
            None => std::future::pending().await,
        }
    }

    /// The ticket was resolved: what waited may leave.
    pub(super) fn committed(&mut self) {
        self.ticket = None;
        if self.now.is_empty() {
            std::mem::swap(&mut self.now, &mut self.waiting);
        } else {
            self.now.append(&mut self.waiting);
        }
    }

    /// What may leave now, to be given back with [`Outbox::sent`]. What gathered asks for its ticket.
    pub(super) fn take(&mut self, journal: &dyn Journal) -> Vec<u8> {
        if self.ticket.is_none()
            && let Some(position) = self.position.take()
        {
            std::mem::swap(&mut self.waiting, &mut self.gathered);
            if position <= journal.durable() {
                self.committed();
            } else {
                self.ticket = Some(journal.committed(position));
            }
        }
        std::mem::take(&mut self.now)
    }

    /// The buffer of what was sent, for the next answers.
    pub(super) fn sent(&mut self, mut bytes: Vec<u8>) {
        for spare in [&mut bytes, &mut self.waiting, &mut self.gathered] {
            if spare.capacity() > KEPT_BYTES && self.ticket.is_none() && self.position.is_none() {
                *spare = Vec::new();
            }
        }
        bytes.clear();
        self.now = bytes;
    }
}

#[cfg(test)]
mod tests {
    use callboard_core::store::journal::{JournalConfig, MemoryJournal};

    use super::*;

    fn answer(outbox: &mut Outbox, text: &str, position: Option<Position>) {
        outbox.answer(|out| {
            out.extend_from_slice(text.as_bytes());
            position.map_or(Reaction::Answer, |position| Reaction::AnswerAfter(position, None))
        });
    }

    fn taken(outbox: &mut Outbox, journal: &MemoryJournal) -> String {
        let bytes = outbox.take(journal);
        let text = String::from_utf8(bytes.clone()).unwrap();
        outbox.sent(bytes);
        text
    }

    #[tokio::test]
    async fn answers_leave_when_they_are_durable_and_others_at_once() {
        let journal = MemoryJournal::new(JournalConfig::default());
        let mut outbox = Outbox::default();
        journal.hold();
        let append = |key: &str| Some(journal.append(key, Some(b"value")).unwrap());
        answer(&mut outbox, "one.", append("a"));
        answer(&mut outbox, "refused.", None);
        assert_eq!(taken(&mut outbox, &journal), "refused.");
        answer(&mut outbox, "two.", append("b"));
        answer(&mut outbox, "three.", append("c"));
        answer(&mut outbox, "nothing here.", None);
        assert_eq!(taken(&mut outbox, &journal), "nothing here.");
        assert!(outbox.is_waiting());

        journal.release();
        let mut told = String::new();
        while outbox.is_waiting() {
            outbox.commit().await.unwrap();
            outbox.committed();
            told.push_str(&taken(&mut outbox, &journal));
        }
        assert_eq!(told, "one.two.three.");
    }

    #[tokio::test]
    async fn what_is_not_durable_is_told_and_leaves_nothing() {
        let journal = MemoryJournal::new(JournalConfig::default());
        let mut outbox = Outbox::default();
        journal.hold();
        answer(&mut outbox, "one.", Some(journal.append("a", None).unwrap()));
        assert_eq!(taken(&mut outbox, &journal), "");
        journal.fail("the disk is gone");
        assert!(outbox.commit().await.is_err());
    }

    #[test]
    fn an_endpoint_that_takes_nothing_is_not_read_from() {
        let mut outbox = Outbox::default();
        let text = "x".repeat(MOST_BYTES / 4);
        for _ in 0..4 {
            assert!(outbox.has_room());
            answer(&mut outbox, &text, None);
        }
        assert!(!outbox.has_room());
        let bytes = outbox.take(&MemoryJournal::new(JournalConfig::default()));
        assert_eq!(bytes.len(), MOST_BYTES);
        outbox.sent(bytes);
        assert!(outbox.has_room() && outbox.now.capacity() <= KEPT_BYTES, "memory is given back");
    }
}
