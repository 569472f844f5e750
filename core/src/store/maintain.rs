//! Checking and compacting the directory of a store that is not running.

use std::path::{Path, PathBuf};

use super::commits::CommitsFault;
use super::copy::Copy;
use super::database::{Database, Failure};
use super::directory::{Access, Directory};
use super::opening::OpenFault;
use super::record::Item;
use super::sled_store::open_database;
use super::space::free_bytes_of;
use super::{MaintenanceError, OpenError, ScanReport, StoreConfig, StoreError, Table};

/// Records and bytes of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableReport {
    /// The table.
    pub table: Table,
    /// Sound records.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// Tables, in the order of [`Table::ALL`].
    pub tables: Vec<TableReport>,
    /// Damaged records of all tables and of none; the first of them by name.
    pub damage: ScanReport,
    /// Bytes of the database's files. Compacting pays from about four times the live bytes on.
    pub size_on_disk: u64,
    /// Durable commits that are missing: the database cuts off what follows damage in its log.
    pub missing_commits: u64,
    /// Why the database does not say how many commits it holds; some may be missing then.
    pub number_fault: Option<String>,
    /// What is wrong with the file `commits`. Until the next start writes it anew, a loss of commits goes
    /// unnoticed.
    pub commits_fault: Option<CommitsFault>,
    /// Files of an interrupted start; the next start moves them out of the way.
    pub set_aside: Vec<PathBuf>,
    /// Folders of an interrupted compaction, check or export.
    pub leftovers: Vec<PathBuf>,
}

impl CheckReport {
    /// Whether every record can be read and none is missing. That the file `commits` is missing is no damage.
    pub fn is_sound(&self) -> bool {
        self.damage.damaged == 0
            && self.missing_commits == 0
            && self.number_fault.is_none()
            && self.commits_fault != Some(CommitsFault::Damaged)
    }

    /// Bytes of all sound records.
    pub fn live_bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.bytes).sum()
    }
}

/// Reads every record of the store in `dir`, in a copy made beside it for the time: the database changes
/// its files when it opens them. Needs free space for the copy. What does not open or cannot be read to its
/// end is [`OpenError::Damaged`].
pub fn check(dir: &Path) -> Result<CheckReport, MaintenanceError> {
    let directory = Directory::open(dir, Access::Existing)?;
    let (set_aside, leftovers) = (directory.unfinished_snapshots(), directory.leftovers());
    let copy = Copy::of(&directory)?;
    let damaged = |reason: Failure| OpenError::Damaged { dir: dir.to_owned(), reason: reason.to_string() };
    let cache_bytes = StoreConfig::default().cache_bytes;
    let (database, counted) =
        Database::open_readable(copy.folder(), cache_bytes).map_err(|fault| fault.told_of(dir))?;
    let mut tables = Table::ALL.map(|table| TableReport { table, records: 0, bytes: 0 });
    let mut damage = ScanReport::default();
    database
        .visit_all(|item| match item {
            Item::Record { table, key, value } => {
                for report in tables.iter_mut().filter(|report| report.table == table) {
                    report.records += 1;
                    report.bytes += (key.len() + value.len()) as u64;
                }
            }
            Item::Damaged(record) => damage.note_damage(record),
        })
        .map_err(damaged)?;
    let size_on_disk = database.size_on_disk().map_err(StoreError::Database)?;
    drop(database);
    Ok(CheckReport {
        tables: tables.to_vec(),
        damage,
        size_on_disk,
        missing_commits: counted.missing,
        number_fault: counted.number_fault.map(|reason| reason.to_string()),
        commits_fault: counted.file_fault,
        set_aside,
        leftovers,
    })
}

/// What compacting did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactReport {
    /// Stored entries, as many after as before.
    pub entries: u64,
    /// Bytes of the files before.
    pub before: u64,
    /// Bytes of the files after.
    pub after: u64,
}

/// Copies the records of the store in `dir` into a fresh database, compares the two, and puts the copy
/// in the place of the original in one step.
///
/// Damaged records are copied as they are. Needs free space for the copy. Interrupted at any point, the
/// store is the original or the copy, whole. `progress` is told the number of entries copied so far.
pub fn compact(dir: &Path, progress: &mut dyn FnMut(u64)) -> Result<CompactReport, MaintenanceError> {
    let config = StoreConfig::default();
    let mut directory = Directory::open(dir, Access::Existing)?;
    for leftover in directory.leftovers() {
        std::fs::remove_dir_all(leftover).map_err(failed("removing a leftover copy"))?;
    }
    let (source, _) = open_database(&mut directory, config.cache_bytes)?;
    let contents = source.measure().map_err(StoreError::Database)?;
    let before = source.size_on_disk().map_err(StoreError::Database)?;
    refuse_full_disk(dir, contents.bytes, config.min_free_bytes)?;

    let (number, folder) = directory.fresh_records().map_err(failed("making room for the copy"))?;
    let target = Database::open(&folder, config.cache_bytes).map_err(|fault| not_opened(fault, dir))?;
    source.copy_to(&target, config.flush_bytes, progress).map_err(StoreError::Database)?;
    if target.measure().map_err(StoreError::Database)? != contents {
        return Err(MaintenanceError::CopyDiffers);
    }
    let after = target.size_on_disk().map_err(StoreError::Database)?;
    // Both are closed before their files are synced, renamed and removed.
    drop(target);
    drop(source);
    directory.switch_to(number).map_err(failed("putting the copy in place"))?;
    Ok(CompactReport { entries: contents.entries, before, after })
}

/// The copy did not open, which says nothing of the original.
fn not_opened(fault: OpenFault, dir: &Path) -> MaintenanceError {
    match fault {
        OpenFault::Io { .. } => fault.told_of(dir).into(),
        fault => StoreError::Database(fault.to_string().into()).into(),
    }
}

fn failed(action: &'static str) -> impl FnOnce(std::io::Error) -> MaintenanceError {
    move |source| MaintenanceError::Io { action, source }
}

/// A fresh database of random keys takes up to twice its contents.
fn refuse_full_disk(dir: &Path, contents: u64, floor: u64) -> Result<(), MaintenanceError> {
    let needed_bytes = contents.saturating_mul(2).saturating_add(floor);
    let free_bytes = free_bytes_of(dir).map_err(|source| OpenError::Io {
        action: "ask the free space of",
        path: dir.to_owned(),
        source,
    })?;
    if free_bytes < needed_bytes {
        return Err(MaintenanceError::NoSpace { free_bytes, needed_bytes });
    }
    Ok(())
}
