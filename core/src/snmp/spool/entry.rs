//! An event as it waits for its receivers.

use std::mem::size_of;

use super::queue::Stored;
use crate::device::{DeviceId, TaskId};
use crate::event::{Event, EventKind};
use crate::time::Timestamp;

/// What happened, with its number in the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Numbers rise, and none that was durable is ever given again. There are gaps.
    pub number: u64,
    /// The event's own number, see [`Event::id`].
    pub event: u64,
    /// When.
    pub at: Timestamp,
    /// What kind.
    pub kind: Kind,
    /// The device it is about.
    pub device: Option<DeviceId>,
    /// The task of that device it is about.
    pub task: Option<TaskId>,
    /// What exactly, without characters that could deceive a reader.
    pub text: Box<str>,
}

/// What kind of event it is: another version of Callboard may have written it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One of those of this version.
    Known(EventKind),
    /// The word of one that this version does not have.
    Other(Box<str>),
}

impl Kind {
    /// From its word.
    pub(super) fn from_word(word: &str) -> Self {
        let known = EventKind::ALL.iter().find(|kind| kind.as_str() == word);
        known.map_or_else(|| Self::Other(word.into()), |kind| Self::Known(*kind))
    }

    /// The word used in the API and in metrics.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(kind) => kind.as_str(),
            Self::Other(word) => word,
        }
    }
}

/// Memory for an entry without its texts and the numbers in the queues of its receivers: itself and its counts, what stands beside
/// them in a tree whose nodes are two thirds full, and what an allocator adds to three pieces.
const FIXED_BYTES: usize = size_of::<Entry>() + (size_of::<Stored>() + 8) * 3 / 2 + 16 + 3 * 8;

impl Entry {
    pub(super) fn new(number: u64, event: &Event) -> Self {
        Self {
            number,
            event: event.id,
            at: event.at,
            kind: Kind::Known(event.kind),
            device: event.device.clone(),
            task: event.task,
            text: event.text.as_str().into(),
        }
    }

    /// Memory that it takes while `receivers` wait for it, as far as can be told.
    pub(super) fn memory(&self, receivers: usize) -> usize {
        let word = match &self.kind {
            Kind::Known(_) => 0,
            Kind::Other(word) => word.len(),
        };
        let device = self.device.as_ref().map_or(0, |id| id.with_text(str::len));
        FIXED_BYTES + self.text.len() + word + device + receivers * size_of::<u64>()
    }
}
