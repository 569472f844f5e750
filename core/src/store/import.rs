//! The import of an [export](super::export) into a new installation.

use std::collections::VecDeque;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::export::{Folders, PROGRESS_EVERY};
use super::journal::{self, FileJournal, Journal as _, JournalConfig, Position};
use super::lines::{Lines, Place};
use super::{JournalKind, MaintenanceError, SledStore, Store, StoreConfig, SubmitError, Ticket, Write};

/// Submissions to the store under way at most.
const UNDER_WAY: usize = 4_096;

/// How long closing the store or the journal after an import may take.
const CLOSING: Duration = Duration::from_mins(1);

/// What was imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// Records written.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

/// Imports an export into the store in `folders`, which must be new or empty, or left by an interrupted import, and into
/// journals beside it, if there are records for them.
///
/// Every record is durable when this returns. Memory is bounded by the queues and the longest record. `progress` is told
/// the number of records read so far. After an error the store and the journals that the import made are removed, and the
/// folders made for them unless they hold something else. After a crash, or when the directory of the store was there
/// before, it holds part of the records; nothing opens it but another import, which starts over with all.
pub fn import(
    folders: &Folders,
    config: &StoreConfig,
    input: &mut dyn BufRead,
    progress: &mut dyn FnMut(u64),
) -> Result<ImportReport, MaintenanceError> {
    let made = first_missing(&folders.store);
    clear_journals(folders)?;
    // Both are closed before their files go.
    let outcome = SledStore::open_for_import(&folders.store, config)
        .and_then(|store| Import::new(&store, folders, config).run(input, progress));
    if outcome.is_err() {
        for (_, folder) in folders.journals() {
            if let Err(error) = journal::remove(folder) {
                tracing::warn!(%error, folder = %folder.display(), "the failed import was not removed");
            }
        }
        if let Some(made) = made {
            remove_import(&folders.store, &made);
        }
    }
    outcome
}

/// Starts over with the journals of an interrupted import, and refuses any other.
fn clear_journals(folders: &Folders) -> Result<(), MaintenanceError> {
    let is_unfinished = super::directory::is_import_unfinished(&folders.store)?;
    for (_, folder) in folders.journals() {
        if is_unfinished {
            journal::remove(folder)?;
        } else if journal::exists(folder)? {
            return Err(MaintenanceError::NotEmpty(folder.to_owned()));
        }
    }
    Ok(())
}

/// Removes the store of a failed import, and the folders around it from `made` on that hold nothing else:
/// somebody may have put the key beside it meanwhile.
fn remove_import(dir: &Path, made: &Path) {
    if let Err(error) = super::directory::remove_import(dir) {
        tracing::warn!(%error, folder = %dir.display(), "the failed import was not removed");
        return;
    }
    for folder in dir.ancestors().skip(1).take_while(|folder| folder.starts_with(made)) {
        if std::fs::remove_dir(folder).is_err() {
            return;
        }
    }
}

/// The outermost folder that must be made for `dir` to be there.
fn first_missing(dir: &Path) -> Option<PathBuf> {
    let missing = |path: &&Path| !path.as_os_str().is_empty() && path.symlink_metadata().is_err();
    dir.ancestors().take_while(missing).last().map(Path::to_owned)
}

/// An import under way.
struct Import<'a> {
    store: &'a SledStore,
    folders: &'a Folders,
    config: &'a StoreConfig,
    tickets: VecDeque<Ticket>,
    journals: Vec<Filling>,
}

/// A journal that records come for, made when the first of them is met.
struct Filling {
    kind: JournalKind,
    journal: Arc<FileJournal>,
    appended: Position,
}

impl<'a> Import<'a> {
    fn new(store: &'a SledStore, folders: &'a Folders, config: &'a StoreConfig) -> Self {
        Self { store, folders, config, tickets: VecDeque::new(), journals: Vec::new() }
    }

    fn run(
        mut self,
        input: &mut dyn BufRead,
        progress: &mut dyn FnMut(u64),
    ) -> Result<ImportReport, MaintenanceError> {
        let mut lines = Lines::new(input, self.config.max_record_bytes);
        lines.head()?;
        let mut report = ImportReport::default();
        while let Some(record) = lines.record(report.records)? {
            report.records += 1;
            report.bytes += (record.key.len() + record.value.len()) as u64;
            match record.place {
                Place::Table(table) => self.submit(&Write::put(table, record.key, record.value))?,
                Place::Journal(kind) => self.filling(kind)?.append(&record.key, &record.value)?,
            }
            if report.records.is_multiple_of(PROGRESS_EVERY) {
                progress(report.records);
            }
        }
        for ticket in self.tickets {
            ticket.wait()?;
        }
        for filling in self.journals {
            filling.journal.shutdown(CLOSING)?;
        }
        self.store.shutdown(CLOSING)?;
        super::directory::finish_import(&self.folders.store)?;
        progress(report.records);
        Ok(report)
    }

    fn submit(&mut self, write: &Write) -> Result<(), MaintenanceError> {
        loop {
            let waiting = match self.store.submit(vec![write.clone()]) {
                Ok(ticket) => {
                    self.tickets.push_back(ticket);
                    if self.tickets.len() < UNDER_WAY {
                        return Ok(());
                    }
                    let oldest = self.tickets.pop_front();
                    return oldest.map_or(Ok(()), |oldest| oldest.wait().map_err(Into::into));
                }
                Err(error @ SubmitError::Full { .. }) => self.tickets.pop_front().ok_or(error)?,
                Err(error) => return Err(error.into()),
            };
            waiting.wait()?;
        }
    }

    fn filling(&mut self, kind: JournalKind) -> Result<&mut Filling, MaintenanceError> {
        let known = self.journals.iter().position(|filling| filling.kind == kind);
        let at = known.unwrap_or(self.journals.len());
        if known.is_none() {
            let min_free_bytes = self.config.min_free_bytes;
            let config = JournalConfig { holds: kind.records(), min_free_bytes, ..JournalConfig::default() };
            let (journal, _) = FileJournal::open(self.folders.journal(kind), &config)?;
            self.journals.push(Filling { kind, journal, appended: Position::START });
        }
        Ok(&mut self.journals[at])
    }
}

impl Filling {
    fn append(&mut self, key: &str, value: &[u8]) -> Result<(), MaintenanceError> {
        loop {
            match self.journal.append(key, Some(value)) {
                Ok(position) => {
                    self.appended = position;
                    return Ok(());
                }
                // The bound is many times that of a record: what is queued is in the way.
                Err(SubmitError::Full { .. }) => self.journal.committed(self.appended).wait()?,
                Err(error) => return Err(error.into()),
            }
        }
    }
}
