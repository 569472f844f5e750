//! Making a journal's files ready to be read and written.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::directory::{Access, Directory, failed};
use super::segment::{Kind, Segment};
use super::writer::Log;
use crate::store::OpenError;

/// What opening a journal did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalOpenReport {
    /// Whether the journal is new.
    pub created: bool,
    /// Bytes of the files in use.
    pub size_on_disk: u64,
    /// Bytes of a batch that a crash had cut short, and that was never acknowledged; they were removed.
    pub torn_bytes: u64,
    /// Files that an interrupted compaction left, or had replaced already; they were removed.
    pub removed: Vec<PathBuf>,
    /// Files that could not be read whole when they were compacted, kept for somebody to look into. Nobody removes them.
    pub set_aside: Vec<PathBuf>,
    /// How long it took.
    pub took: Duration,
}

/// A journal ready to be used.
pub(super) struct Opened {
    pub(super) directory: Directory,
    /// The last one is the log to write.
    pub(super) segments: Vec<Segment>,
    pub(super) log: Log,
    pub(super) report: JournalOpenReport,
}

pub(super) fn open(dir: &Path, access: Access) -> Result<Opened, OpenError> {
    let started = Instant::now();
    let directory = Directory::open(dir, access)?;
    let listing = directory.list()?;
    let removed = listing.leftovers;
    directory.remove(removed.iter().cloned()).map_err(|source| failed("tidy", dir, source))?;
    let mut segments = listing.segments;
    let created = segments.is_empty();
    let (go_on, torn_bytes) = match segments.last_mut() {
        Some(newest) if newest.kind == Kind::Log => {
            mend(&directory, newest).map_err(|source| failed("mend", &dir.join(&newest.name), source))?
        }
        _ => (None, 0),
    };
    let log = match (go_on, segments.last()) {
        (Some(next_batch), Some(newest)) => Log::new(newest, next_batch),
        _ => None,
    };
    let log = match log {
        Some(log) => log,
        None => add_log(&directory, &mut segments).map_err(|source| failed("add a log to", dir, source))?,
    };
    let report = JournalOpenReport {
        created,
        size_on_disk: segments.iter().map(|segment| segment.end).sum(),
        torn_bytes,
        removed,
        set_aside: listing.aside,
        took: started.elapsed(),
    };
    Ok(Opened { directory, segments, log, report })
}

/// Cuts off what a crash left of the last batch. Returns the number of the next batch if the log may be gone on with, and
/// the bytes that were cut. A log with damage in it stays as it is otherwise: another is begun behind it.
fn mend(directory: &Directory, newest: &mut Segment) -> io::Result<(Option<u64>, u64)> {
    newest.file = Arc::new(directory.reopen(newest)?);
    let end = newest.find_end()?;
    let mut torn = 0;
    if newest.head.is_some() {
        torn = newest.end - end.offset;
        newest.end = end.offset;
        newest.file.set_len(end.offset)?;
    }
    // What a killed process wrote and did not flush is there, but not for good.
    newest.file.sync_all()?;
    Ok(((!end.damaged).then_some(end.next_batch), torn))
}

/// Begins a log behind all files.
fn add_log(directory: &Directory, segments: &mut Vec<Segment>) -> io::Result<Log> {
    let number = segments.last().map_or(1, |newest| match newest.kind {
        Kind::Log => newest.number + 1,
        // There was a log behind it. The gap keeps that from being forgotten.
        Kind::Snapshot => newest.number + 2,
    });
    let next_batch = next_batch(segments)?;
    let segment = directory.create(Kind::Log, number, next_batch)?;
    let log = Log::new(&segment, next_batch).ok_or_else(|| io::Error::other("a new log has no head"))?;
    segments.push(segment);
    Ok(log)
}

/// The number for a batch behind all files. Behind a file without a head it is one that cannot have been used: a batch
/// takes more than a byte.
fn next_batch(segments: &[Segment]) -> io::Result<u64> {
    let Some(newest) = segments.last() else { return Ok(0) };
    match newest.head {
        Some(head) if newest.kind == Kind::Snapshot => Ok(head.first_batch),
        Some(_) => Ok(newest.find_end()?.next_batch),
        None => {
            let first = segments.iter().filter_map(|segment| segment.head).map(|head| head.first_batch).max();
            Ok(first.unwrap_or(0) + segments.iter().map(|segment| segment.end).sum::<u64>())
        }
    }
}
