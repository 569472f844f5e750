//! The journal: small records that change all the time, durable within a millisecond or two.
//!
//! The [`Store`](super::Store) pays some ten microseconds of CPU for a record and milliseconds for a flush, which is
//! nothing for settings and too much for what every phone rewrites every few minutes. Such records go here: a change
//! is appended to a file, and what gathers during one flush goes with the next (group commit). The contract is that of
//! the store: one aggregate is one key, and it is durable when its owner is told so.
//!
//! * [`Journal`] is the contract; a key-value store of many nodes can take the place of the embedded one.
//! * [`FileJournal`] is the embedded journal; [`MemoryJournal`] keeps the same contract for tests.
//! * [`check`] and [`compact`] work on the directory of a journal that is not running.
//!
//! Everything is bounded: the queue in bytes, a record in bytes, the memory of a scan, the wait for shutdown in time.

mod compact;
mod config;
mod directory;
mod file_journal;
mod files;
mod frame;
#[cfg(test)]
mod kill_tests;
mod maintain;
mod memory;
mod merge;
mod meter;
mod opening;
mod pending;
mod segment;
mod shared;
mod status;
mod writer;

use std::ops::ControlFlow;
use std::time::Duration;

pub use config::JournalConfig;
pub use file_journal::FileJournal;
pub use maintain::{JournalCheck, JournalCompactReport, check, compact};
pub use memory::MemoryJournal;
pub use opening::JournalOpenReport;
pub use status::{Damage, JournalScan, JournalStats, Stretch};

pub(super) use maintain::{exists, read, remove};
pub(super) use meter::describe_metrics;

use super::{Health, StoreError, SubmitError, Ticket};

/// A point in the order of appends of one open journal; those of another opening say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(u64);

impl Position {
    /// Before the first append: always durable.
    pub const START: Self = Self(0);

    /// Appends up to here.
    pub const fn appends(self) -> u64 {
        self.0
    }
}

/// Where small records that change often are made durable.
///
/// No method but [`Journal::scan`] and [`Journal::shutdown`] blocks; all may be called from any thread.
pub trait Journal: Send + Sync + 'static {
    /// Queues the new value of `key`, or its end: `None` deletes, and deleting what is not there is no error.
    ///
    /// The order of calls is the order of effects. Cheap enough to be called under the lock of what changes: the record
    /// is copied into a shared buffer. Keys are 1 to 255 bytes without NUL, values at most
    /// [`JournalConfig::max_record_bytes`]. An error means that nothing was queued. A record that nobody waits for is
    /// durable after about [`JournalConfig::flush_interval`].
    fn append(&self, key: &str, value: Option<&[u8]>) -> Result<Position, SubmitError>;

    /// Resolves when everything up to `position` is durable, or will not be soon. Once for a group of appends: each call
    /// costs an allocation and may cost a flush.
    fn committed(&self, position: Position) -> Ticket;

    /// Up to where everything is durable; one atomic read.
    fn durable(&self) -> Position;

    /// Visits the last durable value of every key once, in no order, until `visit` breaks.
    ///
    /// Records still queued are not seen; what is made durable while it runs may be. What is damaged is left out and told
    /// in the report: an older value of its key is visited then, if there is one. Must not be called from an asynchronous
    /// task: it reads the disk.
    fn scan(&self, visit: &mut dyn FnMut(&str, &[u8]) -> ControlFlow<()>) -> Result<JournalScan, StoreError>;

    /// Whether commits make progress.
    fn health(&self) -> Health;

    /// Figures for the status page and for metrics.
    fn stats(&self) -> JournalStats;

    /// How full the queue is, 0.0 to 1.0. 1.0 whenever appends would be refused, whatever the reason.
    fn load(&self) -> f32;

    /// Refuses new appends, makes everything queued durable, and closes the journal.
    ///
    /// Returns [`StoreError::Deadline`] when that takes longer than `deadline`; the work goes on behind. A second call
    /// waits again and reports the same outcome. Must not be called from an asynchronous task.
    fn shutdown(&self, deadline: Duration) -> Result<(), StoreError>;
}
