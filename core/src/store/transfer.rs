//! Export to and import from lines of JSON: the backup, and the way to another kind of store.
//!
//! The first line names the format, each further line is one record, and the last says how many there
//! were, so that a cut file is noticed:
//!
//! ```json
//! {"export":"callboard-store","format":1}
//! {"table":"device","key":"00:1a:e8:00:00:01","crc":907060870,"value_base64":"aGVsbG8="}
//! {"end":true,"records":1}
//! ```
//!
//! `crc` is the CRC-32 of the value. A record may also have a `value`, for people to read; importing
//! ignores it.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::commits::CommitsFault;
use super::copy::Copy;
use super::database::Database;
use super::directory::{Access, Directory};
use super::record::Item;
use super::{
    MAX_KEY_BYTES, MaintenanceError, ScanReport, SledStore, Store, StoreConfig, SubmitError, Table, Ticket,
    Write,
};

const TITLE: &str = "callboard-store";
const FORMAT: u32 = 1;

/// Submissions of an import under way at most.
const UNDER_WAY: usize = 4_096;

/// How long closing the store after an import may take.
const CLOSING: Duration = Duration::from_mins(1);

/// Progress is told once per this many records.
const PROGRESS_EVERY: u64 = 10_000;

/// Renders a record for people to read; `None` leaves it out. Must not reveal secrets.
pub type Render<'a> = &'a dyn Fn(Table, &str, &[u8]) -> Option<serde_json::Value>;

#[derive(Serialize, Deserialize)]
struct Head {
    export: String,
    format: u32,
}

#[derive(Serialize)]
struct RecordOut<'a> {
    table: &'static str,
    key: &'a str,
    crc: u32,
    value_base64: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<serde_json::Value>,
}

#[derive(Serialize)]
struct EndOut {
    end: bool,
    records: u64,
}

/// A line after the first: of a record, all but the last two; of the end, those two.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineIn {
    table: Option<String>,
    key: Option<Box<str>>,
    crc: Option<u32>,
    value_base64: Option<String>,
    #[serde(default, rename = "value")]
    _value: serde::de::IgnoredAny,
    end: Option<bool>,
    records: Option<u64>,
}

/// What was exported, and what could not be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExportReport {
    /// Records written.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Damaged records left out, by number and the first of them by name.
    pub damage: ScanReport,
    /// Tables with a stretch that the database cannot read; how many records lie in it is unknown.
    pub unreadable: Vec<String>,
    /// Durable commits that are missing: the database cuts off what follows damage in its log.
    pub missing_commits: u64,
    /// Why the database does not say how many commits it holds; some may be missing then.
    pub number_fault: Option<String>,
    /// What is wrong with the file `commits`: it does not tell whether commits are missing.
    pub commits_fault: Option<CommitsFault>,
}

impl ExportReport {
    /// Whether nothing was left out, as far as can be told. That the file `commits` is missing is no damage.
    pub fn is_complete(&self) -> bool {
        self.damage.damaged == 0
            && self.unreadable.is_empty()
            && self.missing_commits == 0
            && self.number_fault.is_none()
            && self.commits_fault != Some(CommitsFault::Damaged)
    }
}

/// Writes every readable record of the store in `dir` as a line of JSON; `progress` is told the number so far.
///
/// The store must not be running. It is read in a copy made beside it for the time, which needs free space:
/// the database changes its files when it opens them. What cannot be read is left out and reported.
pub fn export(
    dir: &Path,
    out: &mut dyn io::Write,
    render: Option<Render<'_>>,
    progress: &mut dyn FnMut(u64),
) -> Result<ExportReport, MaintenanceError> {
    let directory = Directory::open(dir, Access::Existing)?;
    let copy = Copy::of(&directory)?;
    let (database, counted) = Database::open_readable(copy.folder(), StoreConfig::default().cache_bytes)
        .map_err(|fault| fault.told_of(dir))?;
    let mut report = ExportReport {
        missing_commits: counted.missing,
        number_fault: counted.number_fault.map(|reason| reason.to_string()),
        commits_fault: counted.file_fault,
        ..ExportReport::default()
    };
    line(out, &Head { export: TITLE.to_owned(), format: FORMAT })?;
    for table in Table::ALL {
        export_table(&database, table, out, render, progress, &mut report)?;
    }
    line(out, &EndOut { end: true, records: report.records })?;
    out.flush().map_err(writing)?;
    progress(report.records);
    // Closed before the copy goes.
    drop(database);
    Ok(report)
}

fn export_table(
    database: &Database,
    table: Table,
    out: &mut dyn io::Write,
    render: Option<Render<'_>>,
    progress: &mut dyn FnMut(u64),
    report: &mut ExportReport,
) -> Result<(), MaintenanceError> {
    let mut failure = None;
    let salvage = database.salvage(table, &mut |item| {
        let (key, value) = match item {
            Item::Record { key, value, .. } => (key, value),
            Item::Damaged(record) => {
                report.damage.note_damage(record);
                return ControlFlow::Continue(());
            }
        };
        let record = RecordOut {
            table: table.name(),
            key: &key,
            crc: crc32fast::hash(&value),
            value_base64: BASE64.encode(&value),
            value: render.and_then(|render| render(table, &key, &value)),
        };
        if let Err(error) = line(out, &record) {
            failure = Some(error);
            return ControlFlow::Break(());
        }
        report.records += 1;
        report.bytes += (key.len() + value.len()) as u64;
        if report.records.is_multiple_of(PROGRESS_EVERY) {
            progress(report.records);
        }
        ControlFlow::Continue(())
    });
    if let Some(reason) = salvage.fault {
        report.unreadable.push(format!("{}: {reason}", table.name()));
    }
    failure.map_or(Ok(()), Err)
}

fn line(out: &mut dyn io::Write, value: &impl Serialize) -> Result<(), MaintenanceError> {
    let mut text = serde_json::to_vec(value).map_err(|error| writing(error.into()))?;
    text.push(b'\n');
    out.write_all(&text).map_err(writing)
}

fn writing(source: io::Error) -> MaintenanceError {
    MaintenanceError::Io { action: "writing the export", source }
}

/// What was imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// Records written.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

/// Imports an export into the store in `dir`, which must be new or empty, or left by an interrupted import.
///
/// Every record is durable when this returns. Memory is bounded by the commit queue and the longest
/// record. `progress` is told the number of records read so far. After an error the store that the import
/// made is removed, and the folders made for it unless they hold something else. After a crash, or when the
/// directory was there before, it holds part of the records; nothing opens it but another import, which
/// starts over.
pub fn import(
    dir: &Path,
    config: &StoreConfig,
    input: &mut dyn BufRead,
    progress: &mut dyn FnMut(u64),
) -> Result<ImportReport, MaintenanceError> {
    let made = first_missing(dir);
    // The store is closed before its files go.
    let outcome = SledStore::open_for_import(dir, config)
        .and_then(|store| import_into(&store, dir, config, input, progress));
    if let (Err(_), Some(made)) = (&outcome, made) {
        remove_import(dir, &made);
    }
    outcome
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

fn import_into(
    store: &SledStore,
    dir: &Path,
    config: &StoreConfig,
    input: &mut dyn BufRead,
    progress: &mut dyn FnMut(u64),
) -> Result<ImportReport, MaintenanceError> {
    let mut lines = Lines::new(input, config.max_record_bytes);
    lines.head()?;
    let mut report = ImportReport::default();
    let mut tickets = VecDeque::new();
    while let Some(write) = lines.record(report.records)? {
        report.records += 1;
        report.bytes += (write.key.len() + write.value.as_ref().map_or(0, Vec::len)) as u64;
        submit(store, &mut tickets, &write)?;
        if report.records.is_multiple_of(PROGRESS_EVERY) {
            progress(report.records);
        }
    }
    for ticket in tickets {
        ticket.wait()?;
    }
    store.shutdown(CLOSING)?;
    super::directory::finish_import(dir)?;
    progress(report.records);
    Ok(report)
}

fn submit(store: &SledStore, tickets: &mut VecDeque<Ticket>, write: &Write) -> Result<(), MaintenanceError> {
    loop {
        let waiting = match store.submit(vec![write.clone()]) {
            Ok(ticket) => {
                tickets.push_back(ticket);
                if tickets.len() < UNDER_WAY {
                    return Ok(());
                }
                let oldest = tickets.pop_front();
                return oldest.map_or(Ok(()), |oldest| oldest.wait().map_err(Into::into));
            }
            Err(error @ SubmitError::Full { .. }) => tickets.pop_front().ok_or(error)?,
            Err(error) => return Err(error.into()),
        };
        waiting.wait()?;
    }
}

/// The lines of an import.
struct Lines<'a> {
    input: &'a mut dyn BufRead,
    number: u64,
    /// Longest line, in bytes.
    limit: u64,
    text: Vec<u8>,
}

impl<'a> Lines<'a> {
    fn new(input: &'a mut dyn BufRead, max_record_bytes: usize) -> Self {
        // Base64 and a readable form that may be longer than what it renders; keys may be escaped.
        let limit = (max_record_bytes * 16 + MAX_KEY_BYTES * 6 + 1_024) as u64;
        Self { input, number: 0, limit, text: Vec::new() }
    }

    fn fault(&self, fault: impl Into<String>) -> MaintenanceError {
        MaintenanceError::Line { line: self.number, fault: fault.into() }
    }

    fn read<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T, MaintenanceError> {
        self.text.clear();
        self.number += 1;
        let read = self.input.take(self.limit).read_until(b'\n', &mut self.text);
        let read = read.map_err(|source| MaintenanceError::Io { action: "reading the import", source })?;
        if read == 0 {
            return Err(self.fault("the file ends before its last line"));
        }
        if read as u64 == self.limit && !self.text.ends_with(b"\n") {
            return Err(self.fault(format!("longer than {} bytes", self.limit)));
        }
        serde_json::from_slice(&self.text).map_err(|error| self.fault(error.to_string()))
    }

    fn head(&mut self) -> Result<(), MaintenanceError> {
        let head: Head = self.read()?;
        if head.export != TITLE {
            return Err(self.fault("not an export of a Callboard store"));
        }
        if head.format != FORMAT {
            return Err(self.fault(format!("format {}, this version reads {FORMAT}", head.format)));
        }
        Ok(())
    }

    /// The next record, `None` at the end, given the number of records so far.
    fn record(&mut self, so_far: u64) -> Result<Option<Write>, MaintenanceError> {
        let line: LineIn = self.read()?;
        if line.end == Some(true) {
            return match line.records {
                Some(records) if records == so_far => Ok(None),
                records => {
                    Err(self.fault(format!("the end speaks of {records:?} records, {so_far} were read")))
                }
            };
        }
        let missing = |name: &str| format!("{name} is missing");
        let table = line.table.ok_or_else(|| self.fault(missing("table")))?;
        let table = Table::from_name(&table).ok_or_else(|| self.fault(format!("unknown table {table:?}")))?;
        let key = line.key.ok_or_else(|| self.fault(missing("key")))?;
        let crc = line.crc.ok_or_else(|| self.fault(missing("crc")))?;
        let value = line.value_base64.ok_or_else(|| self.fault(missing("value_base64")))?;
        let value = BASE64.decode(value).map_err(|error| self.fault(format!("value_base64: {error}")))?;
        if crc32fast::hash(&value) != crc {
            return Err(self.fault("the value does not have the crc given"));
        }
        Ok(Some(Write { table, key, value: Some(value) }))
    }
}
