//! The export: every readable record as a [line](super::lines). The backup, and the way to another kind of store.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::commits::CommitsFault;
use super::copy::Copy;
use super::database::Database;
use super::directory::{Access, Directory};
use super::journal::{self, JournalCheck};
use super::lines::{Place, write_end, write_head, write_record};
use super::record::Item;
use super::{MaintenanceError, ScanReport, StoreConfig, Table};

/// Progress is told once per this many records.
pub(super) const PROGRESS_EVERY: u64 = 10_000;

/// Renders a record of the store for people to read; `None` leaves it out. Must not reveal secrets.
pub type Render<'a> = &'a dyn Fn(Table, &str, &[u8]) -> Option<serde_json::Value>;

/// Where an installation keeps its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// Of the [`Store`](super::Store).
    pub store: PathBuf,
    /// Of the [`Journal`](super::journal::Journal) of bindings.
    pub bindings: PathBuf,
    /// Of that of notifications.
    pub notifications: PathBuf,
}

impl Folders {
    /// Those in a data directory.
    pub fn of(data: &Path) -> Self {
        Self {
            store: data.join("store"),
            bindings: data.join("bindings"),
            notifications: data.join("notifications"),
        }
    }

    /// That of a journal.
    pub fn journal(&self, kind: JournalKind) -> &Path {
        match kind {
            JournalKind::Bindings => &self.bindings,
            JournalKind::Notifications => &self.notifications,
        }
    }

    /// Those of the journals, with what they hold.
    pub fn journals(&self) -> [(JournalKind, &Path); 2] {
        JournalKind::ALL.map(|kind| (kind, self.journal(kind)))
    }
}

/// What a journal holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalKind {
    /// Bindings of SIP.
    Bindings,
    /// Events that wait for receivers of informs.
    Notifications,
}

impl JournalKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Bindings, Self::Notifications];

    /// One record, in the lines of an export. No table has such a name.
    pub const fn record(self) -> &'static str {
        match self {
            Self::Bindings => "binding",
            Self::Notifications => "notification",
        }
    }

    /// All of its records, for people.
    pub const fn records(self) -> &'static str {
        match self {
            Self::Bindings => "bindings",
            Self::Notifications => "notifications",
        }
    }
}

/// What was exported, and what could not be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExportReport {
    /// Records written.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Damaged records of the store that were left out, by number and the first of them by name.
    pub damage: ScanReport,
    /// Tables with a stretch that the database cannot read; how many records lie in it is unknown.
    pub unreadable: Vec<String>,
    /// Durable commits that are missing: the database cuts off what follows damage in its log.
    pub missing_commits: u64,
    /// Why the database does not say how many commits it holds; some may be missing then.
    pub number_fault: Option<String>,
    /// What is wrong with the file `commits`: it does not tell whether commits are missing.
    pub commits_fault: Option<CommitsFault>,
    /// What was met in the journals that there are.
    pub journals: Vec<JournalCheck>,
}

impl ExportReport {
    /// Whether nothing was left out, as far as can be told. That the file `commits` is missing is no damage.
    pub fn is_complete(&self) -> bool {
        self.damage.damaged == 0
            && self.unreadable.is_empty()
            && self.missing_commits == 0
            && self.number_fault.is_none()
            && self.commits_fault != Some(CommitsFault::Damaged)
            && self.journals.iter().all(JournalCheck::is_sound)
    }
}

/// Writes every readable record of the store and the journals in `folders` as a line of JSON; `progress` is told the
/// number so far. There need not be a journal.
///
/// The server must not be running. The store is read in a copy made beside it for the time, which needs free space: the
/// database changes its files when it opens them. What cannot be read is left out and reported.
pub fn export(
    folders: &Folders,
    out: &mut dyn io::Write,
    render: Option<Render<'_>>,
    progress: &mut dyn FnMut(u64),
) -> Result<ExportReport, MaintenanceError> {
    let dir = &folders.store;
    let directory = Directory::open(dir, Access::Existing)?;
    let copy = Copy::of(&directory)?;
    let (database, counted) = Database::open_readable(copy.folder(), StoreConfig::default().cache_bytes)
        .map_err(|fault| fault.told_of(dir))?;
    let report = ExportReport {
        missing_commits: counted.missing,
        number_fault: counted.number_fault.map(|reason| reason.to_string()),
        commits_fault: counted.file_fault,
        ..ExportReport::default()
    };
    write_head(out)?;
    let mut export = Export { out, render, progress, report, failure: None };
    for table in Table::ALL {
        export.table(&database, table)?;
    }
    for (kind, folder) in folders.journals() {
        export.journal(kind, folder)?;
    }
    let Export { out, progress, report, .. } = export;
    write_end(out, report.records)?;
    progress(report.records);
    // Closed before the copy goes.
    drop(database);
    Ok(report)
}

/// An export under way.
struct Export<'a> {
    out: &'a mut dyn io::Write,
    render: Option<Render<'a>>,
    progress: &'a mut dyn FnMut(u64),
    report: ExportReport,
    /// Why a record was not written.
    failure: Option<MaintenanceError>,
}

impl Export<'_> {
    fn table(&mut self, database: &Database, table: Table) -> Result<(), MaintenanceError> {
        let salvage = database.salvage(table, &mut |item| match item {
            Item::Record { key, value, .. } => {
                let readable = self.render.and_then(|render| render(table, &key, &value));
                self.record(Place::Table(table), &key, &value, readable)
            }
            Item::Damaged(record) => {
                self.report.damage.note_damage(record);
                ControlFlow::Continue(())
            }
        });
        if let Some(reason) = salvage.fault {
            self.report.unreadable.push(format!("{}: {reason}", table.name()));
        }
        self.failure.take().map_or(Ok(()), Err)
    }

    fn journal(&mut self, kind: JournalKind, dir: &Path) -> Result<(), MaintenanceError> {
        let place = Place::Journal(kind);
        let check = journal::read(dir, &mut |key, value| self.record(place, key, value, None))?;
        self.report.journals.extend(check);
        self.failure.take().map_or(Ok(()), Err)
    }

    fn record(
        &mut self,
        place: Place,
        key: &str,
        value: &[u8],
        readable: Option<serde_json::Value>,
    ) -> ControlFlow<()> {
        if let Err(error) = write_record(self.out, place, key, value, readable) {
            self.failure = Some(error);
            return ControlFlow::Break(());
        }
        self.report.records += 1;
        self.report.bytes += (key.len() + value.len()) as u64;
        if self.report.records.is_multiple_of(PROGRESS_EVERY) {
            (self.progress)(self.report.records);
        }
        ControlFlow::Continue(())
    }
}
