//! The number of commits, kept in two places that do not fail together.
//!
//! The database takes damage in the middle of its log for the end of what was written before a crash, and
//! quietly goes back to that point. So each batch carries its number, and the file `commits` beside the
//! database says which number was durable last. It is written after the flush and never synced: after a
//! kill it is still there, and after a loss of power it may be older than the database, but not newer.

use std::cell::Cell;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

/// Where the number lies in the database: no table begins with this byte.
pub(super) const KEY: &[u8] = b"sequence";

/// The file, in the folder of the database.
pub(super) const FILE: &str = "commits";

const TITLE: [u8; 8] = *b"commits1";
const BYTES: usize = TITLE.len() + 8 + 4;

/// Why the file `commits` does not say how many commits were durable: whether some are missing is unknown then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitsFault {
    /// It is not there, or empty. It is never synced: a loss of power may have taken it.
    Missing,
    /// It holds something else. It fits into one sector: what damaged it may have damaged the database.
    Damaged,
}

impl fmt::Display for CommitsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "is missing or empty",
            Self::Damaged => "is damaged",
        })
    }
}

/// The file that says how many commits were durable.
pub(super) struct Mark {
    file: File,
    /// What it says; `None` when it says nothing that can be read.
    noted: Cell<Option<u64>>,
    fault: Option<CommitsFault>,
    warned: Cell<bool>,
}

impl Mark {
    /// Opens or makes the file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(path)?;
        let mut bytes = Vec::new();
        file.by_ref().take(BYTES as u64 + 1).read_to_end(&mut bytes)?;
        let noted = decode(&bytes);
        let fault = match noted {
            Some(_) => None,
            None if bytes.is_empty() => Some(CommitsFault::Missing),
            None => {
                tracing::warn!("the store's file {FILE} is damaged; whether commits are missing is unknown");
                Some(CommitsFault::Damaged)
            }
        };
        Ok(Self { file, noted: Cell::new(noted), fault, warned: Cell::new(false) })
    }

    /// What was wrong with the file when it was opened.
    pub(super) fn fault(&self) -> Option<CommitsFault> {
        self.fault
    }

    /// How many of the commits it speaks of are missing in a database that holds `commits`.
    pub(super) fn missing(&self, commits: u64) -> u64 {
        self.noted.get().map_or(0, |noted| noted.saturating_sub(commits))
    }

    /// Says that `commits` are durable; never goes back. A failure is no reason to fail the commit.
    pub(super) fn note(&self, commits: u64) {
        if self.noted.get().is_some_and(|noted| noted >= commits) {
            return;
        }
        let bytes = encode(commits);
        let mut written = self.file.write_all_at(&bytes, 0);
        if self.noted.get().is_none() {
            // What cannot be read may be too long.
            written = written.and_then(|()| self.file.set_len(BYTES as u64));
        }
        match written {
            Ok(()) => self.noted.set(Some(commits)),
            Err(error) if !self.warned.replace(true) => {
                tracing::warn!(%error, "the store's file {FILE} cannot be written");
            }
            Err(_) => {}
        }
    }
}

/// What is known of durable commits that may be missing.
#[derive(Debug)]
pub(super) struct Counted {
    /// How many are known to be.
    pub(super) missing: u64,
    /// Why the database does not say how many it holds.
    pub(super) number_fault: Option<Arc<str>>,
    /// Why the file beside it does not say how many there were.
    pub(super) file_fault: Option<CommitsFault>,
}

fn encode(commits: u64) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&TITLE);
    bytes[8..16].copy_from_slice(&commits.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..16]);
    bytes[16..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<u64> {
    let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
    let commits = u64::from_le_bytes(*bytes[8..].first_chunk()?);
    (encode(commits) == *bytes).then_some(commits)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn no_table_holds_the_number() {
        for table in crate::store::Table::ALL {
            assert_eq!(crate::store::Table::from_byte(table as u8), Some(table));
            assert_ne!(KEY[0], table as u8, "{}", table.name());
        }
    }

    #[test]
    fn the_file_keeps_the_highest_number_and_damage_is_unknown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let mark = Mark::open(&path).unwrap();
        assert_eq!(mark.missing(0), 0);
        mark.note(7);
        mark.note(5);
        let mark = Mark::open(&path).unwrap();
        assert_eq!((mark.missing(4), mark.missing(7), mark.missing(9)), (3, 0, 0));
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            let mark = Mark::open(&path).unwrap();
            assert_eq!(mark.missing(0), 0, "byte {at}");
        }
        // What is unknown is written anew, and whole.
        let long = [whole.as_slice(), b"more".as_slice()].concat();
        for (bytes, fault) in [
            (&[][..], CommitsFault::Missing),
            (&whole[1..], CommitsFault::Damaged),
            (&long, CommitsFault::Damaged),
        ] {
            fs::write(&path, bytes).unwrap();
            let mark = Mark::open(&path).unwrap();
            assert_eq!(mark.fault(), Some(fault));
            mark.note(2);
            let mark = Mark::open(&path).unwrap();
            assert_eq!((mark.missing(0), mark.fault()), (2, None));
        }
    }
}
