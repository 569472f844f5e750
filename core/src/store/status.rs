//! What the store says about itself.

use std::sync::Arc;
use std::time::Duration;

use super::Table;

/// Whether commits make progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Commits make progress.
    Healthy,
    /// One flush has been running for longer than [`StoreConfig::stall_after`](super::StoreConfig).
    Stalled {
        /// How long it has been running.
        since: Duration,
    },
    /// The disk is nearly full; submissions are refused until there is space.
    NoSpace {
        /// Free bytes when last looked.
        free_bytes: u64,
        /// Free bytes from which on submissions are taken again.
        needed_bytes: u64,
    },
    /// The database failed; only a restart helps.
    Failed(Arc<str>),
    /// The store is shut down or shutting down.
    Stopped,
}

impl Health {
    /// Whether the process may call itself ready.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Healthy)
    }
}

/// Figures about the store since it was opened.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoreStats {
    /// Bytes queued or being flushed.
    pub queued_bytes: usize,
    /// Records queued or being flushed.
    pub queued_records: usize,
    /// Bound of `queued_bytes`.
    pub queue_bytes_limit: usize,
    /// Bound of `queued_records`.
    pub queue_records_limit: usize,
    /// Bytes the database takes on disk; looked at every few seconds.
    pub size_on_disk: u64,
    /// Bytes of the live records, keys and values; known once every table was scanned to its end.
    pub live_bytes: Option<u64>,
    /// Groups made durable.
    pub batches: u64,
    /// Records made durable.
    pub committed_records: u64,
    /// Bytes made durable, keys and values.
    pub committed_bytes: u64,
    /// Submissions refused, for whatever reason.
    pub refused: u64,
    /// Writes that replaced a queued value instead of taking a place of their own.
    pub coalesced: u64,
    /// Damaged records met by scans.
    pub damaged_records: u64,
    /// Records of the last group.
    pub last_batch_records: usize,
    /// Bytes of the last group.
    pub last_batch_bytes: usize,
    /// Time the last group took from being taken to being durable.
    pub last_batch_time: Duration,
}

/// What a scan met.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScanReport {
    /// Records visited.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Damaged records met, all of them counted.
    pub damaged: u64,
    /// The first [`ScanReport::LISTED`] damaged records.
    pub damaged_list: Vec<DamagedRecord>,
    /// Whether the visitor ended the scan before its time.
    pub stopped: bool,
}

impl ScanReport {
    /// Number of damaged records listed by name.
    pub const LISTED: usize = 10_000;

    pub(super) fn note_damage(&mut self, record: DamagedRecord) {
        self.damaged += 1;
        if self.damaged_list.len() < Self::LISTED {
            self.damaged_list.push(record);
        }
    }
}

/// A record that cannot be read. It stays where it is until its key is written or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedRecord {
    /// The table, if the key begins with one that this version knows.
    pub table: Option<Table>,
    /// The key as text, with what is not text replaced.
    pub key: String,
    /// What is wrong with it.
    pub reason: &'static str,
}
