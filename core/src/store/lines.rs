//! The lines of an export: JSON, one record each.
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
//! ignores it. Records of the journals are those of tables `binding` and `notification`.

use std::io::{self, BufRead, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::{JournalKind, MAX_KEY_BYTES, MaintenanceError, Table};

const TITLE: &str = "callboard-store";
const FORMAT: u32 = 1;

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In a table of the store.
    Table(Table),
    /// In a journal.
    Journal(JournalKind),
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::Table(table) => table.name(),
            Self::Journal(kind) => kind.record(),
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        let journal = JournalKind::ALL.into_iter().find(|kind| kind.record() == name);
        journal.map(Self::Journal).or_else(|| Table::from_name(name).map(Self::Table))
    }
}

/// A record of an import.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) place: Place,
    pub(super) key: Box<str>,
    pub(super) value: Vec<u8>,
}

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

/// Writes the first line.
pub(super) fn write_head(out: &mut dyn io::Write) -> Result<(), MaintenanceError> {
    write_line(out, &Head { export: TITLE.to_owned(), format: FORMAT })
}

/// Writes a record; `readable` is for people.
pub(super) fn write_record(
    out: &mut dyn io::Write,
    place: Place,
    key: &str,
    value: &[u8],
    readable: Option<serde_json::Value>,
) -> Result<(), MaintenanceError> {
    let record = RecordOut {
        table: place.name(),
        key,
        crc: crc32fast::hash(value),
        value_base64: BASE64.encode(value),
        value: readable,
    };
    write_line(out, &record)
}

/// Writes the last line.
pub(super) fn write_end(out: &mut dyn io::Write, records: u64) -> Result<(), MaintenanceError> {
    write_line(out, &EndOut { end: true, records })?;
    out.flush().map_err(writing)
}

fn write_line(out: &mut dyn io::Write, value: &impl Serialize) -> Result<(), MaintenanceError> {
    let mut text = serde_json::to_vec(value).map_err(|error| writing(error.into()))?;
    text.push(b'\n');
    out.write_all(&text).map_err(writing)
}

fn writing(source: io::Error) -> MaintenanceError {
    MaintenanceError::Io { action: "writing the export", source }
}

/// The lines of an import.
pub(super) struct Lines<'a> {
    input: &'a mut dyn BufRead,
    number: u64,
    /// Longest line, in bytes.
    limit: u64,
    text: Vec<u8>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(input: &'a mut dyn BufRead, max_record_bytes: usize) -> Self {
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

    pub(super) fn head(&mut self) -> Result<(), MaintenanceError> {
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
    pub(super) fn record(&mut self, so_far: u64) -> Result<Option<Record>, MaintenanceError> {
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
        let place = Place::from_name(&table).ok_or_else(|| self.fault(format!("unknown table {table:?}")))?;
        let key = line.key.ok_or_else(|| self.fault(missing("key")))?;
        let crc = line.crc.ok_or_else(|| self.fault(missing("crc")))?;
        let value = line.value_base64.ok_or_else(|| self.fault(missing("value_base64")))?;
        let value = BASE64.decode(value).map_err(|error| self.fault(format!("value_base64: {error}")))?;
        if crc32fast::hash(&value) != crc {
            return Err(self.fault("the value does not have the crc given"));
        }
        Ok(Some(Record { place, key, value }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_a_name_of_its_own() {
        for table in Table::ALL {
            assert_eq!(Place::from_name(table.name()), Some(Place::Table(table)));
        }
        for kind in JournalKind::ALL {
            assert_eq!(Place::from_name(kind.record()), Some(Place::Journal(kind)));
        }
        assert_eq!(Place::from_name("letter"), None);
    }
}
