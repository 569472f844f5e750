//! Looking after the directory of a journal that is not running.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::compact::compact as merge_into_snapshot;
use super::directory::{Access, Directory, failed};
use super::merge::{Merge, Visit};
use super::opening::open;
use super::segment::Kind;
use super::status::JournalScan;
use super::{Damage, JournalConfig};
use crate::store::space::free_bytes_of;
use crate::store::{MaintenanceError, OpenError};

/// What a look at a journal that is not running found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalCheck {
    /// Records, bytes, and damage.
    pub scan: JournalScan,
    /// Bytes of the files in use.
    pub size_on_disk: u64,
    /// Bytes at the end that a crash had cut short, and that were never acknowledged. No damage.
    pub torn_bytes: u64,
    /// Files that an interrupted compaction left; the next start removes them.
    pub leftovers: Vec<PathBuf>,
    /// Files that could not be read whole when they were compacted, kept for somebody to look into.
    pub set_aside: Vec<PathBuf>,
}

impl JournalCheck {
    /// Whether every record can be read and none is known to be missing.
    pub fn is_sound(&self) -> bool {
        self.scan.damage.is_none()
    }
}

/// Whether there is a journal in `dir`.
pub(in crate::store) fn exists(dir: &Path) -> Result<bool, OpenError> {
    match Directory::open(dir, Access::Existing) {
        Ok(_) => Ok(true),
        Err(OpenError::Missing(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads every record of the journal in `dir`, and changes nothing. `None` if there is no journal.
pub fn check(dir: &Path) -> Result<Option<JournalCheck>, MaintenanceError> {
    read(dir, &mut |_, _| ControlFlow::Continue(()))
}

/// Like [`check`], and visits the last value of every key.
pub(in crate::store) fn read(dir: &Path, visit: Visit<'_>) -> Result<Option<JournalCheck>, MaintenanceError> {
    if !exists(dir)? {
        return Ok(None);
    }
    let directory = Directory::open(dir, Access::Existing)?;
    let listing = directory.list()?;
    let mut segments = listing.segments;
    let size_on_disk = segments.iter().map(|segment| segment.end).sum();
    let mut torn_bytes = 0;
    if let Some(newest) =
        segments.last_mut().filter(|newest| newest.kind == Kind::Log && newest.head.is_some())
    {
        let end = newest.find_end().map_err(reading)?;
        torn_bytes = newest.end - end.offset;
        newest.end = end.offset;
    }
    let memory = JournalConfig::default().scan_bytes;
    let scan = Merge { segments: &segments, memory, go_on: &|| true }.run(visit).map_err(reading)?;
    let (leftovers, set_aside) = (listing.leftovers, listing.aside);
    Ok(Some(JournalCheck { scan, size_on_disk, torn_bytes, leftovers, set_aside }))
}

/// What compacting did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalCompactReport {
    /// Records that are left.
    pub records: u64,
    /// Bytes of the files before.
    pub before: u64,
    /// Bytes of the files after.
    pub after: u64,
    /// What could not be read; the files are kept aside.
    pub damage: Damage,
}

/// Brings the journal in `dir` down to one snapshot. Interrupted at any point, it holds the same records. `None` if there
/// is no journal.
pub fn compact(dir: &Path) -> Result<Option<JournalCompactReport>, MaintenanceError> {
    if !exists(dir)? {
        return Ok(None);
    }
    let config = JournalConfig::default();
    let opened = open(dir, Access::Existing)?;
    let (directory, segments) = (opened.directory, opened.segments);
    let before: u64 = segments.iter().map(|segment| segment.end).sum();
    refuse_full_disk(dir, before.saturating_add(config.min_free_bytes / 2))?;
    let number = segments.last().map_or(0, |newest| newest.number) + 1;
    let next_batch = opened.log.next_batch();
    let log = directory.create(Kind::Log, number, next_batch).map_err(failed_to("beginning a log"))?;
    let made = merge_into_snapshot(&directory, &segments, next_batch, config.scan_bytes, &|| true);
    let Some((snapshot, scan)) = made.map_err(failed_to("writing the snapshot"))? else {
        return Err(failed_to("writing the snapshot")(io::ErrorKind::Interrupted.into()));
    };
    let after = snapshot.end + log.end;
    let replaced = segments.iter().map(|segment| PathBuf::from(&segment.name));
    directory.remove(replaced).map_err(failed_to("removing files that are no longer needed"))?;
    Ok(Some(JournalCompactReport { records: scan.records, before, after, damage: scan.damage }))
}

fn refuse_full_disk(dir: &Path, needed_bytes: u64) -> Result<(), MaintenanceError> {
    let asked = free_bytes_of(dir).map_err(|source| failed("ask the free space of", dir, source));
    let free_bytes = asked.map_err(MaintenanceError::from)?;
    if free_bytes < needed_bytes {
        Err(MaintenanceError::NoSpace { free_bytes, needed_bytes })
    } else {
        Ok(())
    }
}

fn reading(source: io::Error) -> MaintenanceError {
    failed_to("reading the journal")(source)
}

fn failed_to(action: &'static str) -> impl FnOnce(io::Error) -> MaintenanceError {
    move |source| MaintenanceError::Io { action, source }
}

/// Removes the journal in `dir`, if there is one: that of an import that did not succeed.
pub(in crate::store) fn remove(dir: &Path) -> Result<(), OpenError> {
    if exists(dir)? { Directory::open(dir, Access::Existing)?.destroy() } else { Ok(()) }
}
