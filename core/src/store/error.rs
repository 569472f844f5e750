//! What can go wrong with the store, and what the operator can do about it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Why a submission was refused; nothing of it was queued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The queue is at its bound: the disk does not keep up. Ask again later.
    #[error("the commit queue is full ({queued_bytes} bytes in {queued_records} records)")]
    Full {
        /// Bytes queued or being flushed.
        queued_bytes: usize,
        /// Records queued or being flushed.
        queued_records: usize,
    },
    /// The disk is nearly full. Submissions are taken again when there is space.
    #[error("the disk of the store is nearly full ({free_bytes} bytes free, {needed_bytes} needed)")]
    NoSpace {
        /// Free bytes when last looked.
        free_bytes: u64,
        /// Free bytes from which on submissions are taken again.
        needed_bytes: u64,
    },
    /// The database failed; only a restart helps.
    #[error("the store failed and must be restarted: {0}")]
    Failed(Arc<str>),
    /// The store was shut down.
    #[error("the store is shut down")]
    Stopped,
    /// A record, or all records of the unit together, are larger than the bound. Asking again is useless.
    #[error("the record {key:?} is too large: {bytes} bytes, {limit} allowed")]
    TooLarge {
        /// Key of the record (of the first record, when the unit as a whole is too large).
        key: Box<str>,
        /// Bytes asked for.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A key is empty, longer than [`MAX_KEY_BYTES`](super::MAX_KEY_BYTES) or contains NUL.
    #[error("the key {0:?} cannot be stored")]
    BadKey(Box<str>),
}

/// Why a queued write is not known to be durable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The disk is nearly full. The write stays queued and is made durable when there is space, unless
    /// the process ends before; do not acknowledge it.
    #[error("the disk of the store is nearly full; the change is kept in memory only")]
    NoSpace,
    /// The database failed. Whether the write survives a restart is unknown.
    #[error("the store failed: {0}")]
    Failed(Arc<str>),
    /// The store ended before the write was flushed.
    #[error("the store was shut down before the change was durable")]
    Stopped,
}

/// Why a scan, a shutdown or a maintenance routine did not finish.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database reported an error.
    #[error("the database failed: {0}")]
    Database(Arc<str>),
    /// The store is shut down.
    #[error("the store is shut down")]
    Stopped,
    /// The work was not done in time; it goes on behind.
    #[error("the store did not finish within {0:?}")]
    Deadline(Duration),
    /// Records were still queued when the store stopped, and could not be made durable.
    #[error("{records} changed records could not be made durable: {reason}")]
    Unsaved {
        /// Number of records lost.
        records: usize,
        /// Why.
        reason: CommitError,
    },
}

/// Why the records of a store were not taken over. None of them was changed.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store does not give its records.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A newer version of Callboard wrote a record. Going on without it would overwrite it sooner or later.
    #[error(
        "the {} record {key:?} has form {found}, this version reads forms up to {supported}: \
         use the newer version of Callboard (nothing was changed)",
        .table.name()
    )]
    Newer {
        /// Its table.
        table: super::Table,
        /// Its key.
        key: Box<str>,
        /// Its form.
        found: u8,
        /// The newest form that this version reads.
        supported: u8,
    },
    /// The same in the journal of bindings.
    #[error(
        "the bindings of {aor:?} have form {found}, this version reads forms up to {supported}: \
         use the newer version of Callboard (nothing was changed)"
    )]
    NewerBindings {
        /// Their address-of-record.
        aor: Box<str>,
        /// Their form.
        found: u8,
        /// The newest form that this version reads.
        supported: u8,
    },
    /// The same in the journal of notifications.
    #[error(
        "the record {key:?} of notifications has form {found}, this version reads forms up to {supported}: \
         use the newer version of Callboard (nothing was changed)"
    )]
    NewerNotification {
        /// Its key.
        key: Box<str>,
        /// Its form.
        found: u8,
        /// The newest form that this version reads.
        supported: u8,
    },
    /// More records cannot be read than a few faulty ones: something is wrong with the whole store.
    #[error(
        "more than {limit} device records cannot be read. No record was changed. Copy the data directory before \
         you try anything else, run `callboard store check`, and restore the last export into a new directory with \
         `callboard store import`"
    )]
    TooManyUnreadable {
        /// How many may be.
        limit: usize,
    },
}

/// Why a store directory was not opened. No record in it was changed; but opening the database cuts off what
/// it takes for the torn end of its log.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A value of the configuration is out of its range.
    #[error("store configuration: {}", .0.join("; "))]
    Config(Vec<String>),
    /// A file operation failed.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// Another process uses the directory.
    #[error("the store in {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The directory holds something else than a store.
    #[error("{} is neither empty nor a Callboard store: {found}", .dir.display())]
    NotAStore {
        /// The directory.
        dir: PathBuf,
        /// What was found.
        found: String,
    },
    /// There is no store to look after.
    #[error("there is no store in {}", .0.display())]
    Missing(PathBuf),
    /// An import into the directory was interrupted: what is there is only a part.
    #[error(
        "the import into {} was interrupted and only part of the records is there: run `callboard store import` \
         again",
        .dir.display()
    )]
    Unfinished {
        /// The directory.
        dir: PathBuf,
    },
    /// A newer version of Callboard wrote the data.
    #[error(
        "the store in {} has format {found}, this version reads formats up to {supported}: \
         use the newer version of Callboard (nothing was changed)",
        .dir.display()
    )]
    Newer {
        /// The directory.
        dir: PathBuf,
        /// Format of the data.
        found: u32,
        /// Newest format this version reads.
        supported: u32,
    },
    /// The data cannot be read.
    #[error(
        "the store in {} is damaged: {reason}. Copy the data directory before you try anything else: whenever \
         the database is opened, it cuts off what it takes for the torn end of its log. Then run `callboard store check`, \
         and restore the last export into a new directory with \
         `callboard store import`",
        .dir.display()
    )]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// What the database said.
        reason: String,
    },
    /// Commits that had been made durable are gone: the log of the database is damaged somewhere, and the
    /// database cuts off what follows the damage.
    #[error(
        "the store in {} is damaged: its newest {commits} commits are missing, although they had been made durable. \
         What follows the damage in the log was cut off when the database was opened. Copy the data directory before you \
         try anything else, and restore the last backup; or take over what is readable: \
         `callboard store export` from this directory, `callboard store import` into a new one",
        .dir.display()
    )]
    LostCommits {
        /// The directory.
        dir: PathBuf,
        /// How many commits are missing.
        commits: u64,
    },
    /// Too little free space to open the store without risk.
    #[error(
        "the disk of {} is nearly full: {free_bytes} bytes free, {needed_bytes} needed to open the store",
        .dir.display()
    )]
    NoSpace {
        /// The directory.
        dir: PathBuf,
        /// Bytes free.
        free_bytes: u64,
        /// Bytes needed.
        needed_bytes: u64,
    },
}

impl OpenError {
    /// Whether the data is damaged, in contrast to what only stands in the way.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::LostCommits { .. })
    }
}

/// Why a maintenance routine on a store that is not running gave up.
#[derive(Debug, thiserror::Error)]
pub enum MaintenanceError {
    /// The store could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store failed on the way.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record was refused.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// A record could not be made durable.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Reading the import, writing the export or handling files failed.
    #[error("{action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// Too little free space for a copy beside the original, which is unchanged.
    #[error("the copy beside the store needs {needed_bytes} bytes of free space, there are {free_bytes}")]
    NoSpace {
        /// Bytes free.
        free_bytes: u64,
        /// Bytes needed.
        needed_bytes: u64,
    },
    /// The compacted copy differs from the original, which stays the valid one.
    #[error("the compacted copy differs from the original; the original is unchanged")]
    CopyDiffers,
    /// Records are imported into an empty store only.
    #[error("the store in {} is not empty; import into a new directory", .0.display())]
    NotEmpty(PathBuf),
    /// A line of an import is wrong. A directory that was there before cannot be used until an import into
    /// it succeeds; a new one was removed.
    #[error("line {line} of the import: {fault}")]
    Line {
        /// Number of the line, from 1.
        line: u64,
        /// What is wrong with it.
        fault: String,
    },
}
