//! The directory of a store: which data is valid, which version wrote it, who uses it.
//!
//! | file | meaning |
//! |---|---|
//! | `STORE` | the marker: format, name of the valid folder of records, state (`new`, `importing`, `ready`); replaced by renaming |
//! | `LOCK` | locked by the process that uses the store |
//! | `records-N/` | the database, and `commits`: the number of its last durable commit |
//! | `records-copy/` | the copy that a check or an export looks into |
//! | `aside/` | an unfinished snapshot of the database, kept when one had to be moved out of the way |
//!
//! The marker is read before anything else is touched: that is how an older version leaves newer data
//! alone, and how a compacted copy takes the place of the original in one step.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::OpenError;

/// Format written by this version; the newest it reads.
pub const STORE_FORMAT: u32 = 1;

const MARKER: &str = "STORE";
const MARKER_TITLE: &str = "callboard-store";
pub(super) const LOCK: &str = "LOCK";
const ASIDE: &str = "aside";

/// A store directory, locked for this process.
#[derive(Debug)]
pub(super) struct Directory {
    dir: PathBuf,
    marker: Marker,
    /// Held for the lock it carries.
    _lock: File,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Marker {
    /// Number of the valid folder.
    records: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first flush of a new store: nothing in it was ever acknowledged.
    New,
    /// Part of an import is there, which is of no use to anybody.
    Importing,
    /// Its loss would be damage.
    Ready,
}

impl State {
    const ALL: [Self; 3] = [Self::New, Self::Importing, Self::Ready];

    const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Importing => "importing",
            Self::Ready => "ready",
        }
    }
}

/// What [`Directory::open`] may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Make a new store where there is none.
    Create,
    /// Open an existing one only.
    Existing,
    /// Make a new store, or start over with one whose import was interrupted.
    Import,
}

impl Directory {
    pub(super) fn open(dir: &Path, access: Access) -> Result<Self, OpenError> {
        let known = read_marker(dir)?;
        if known.is_none() {
            refuse_foreign(dir, access)?;
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .map_err(|source| failed("create", dir, source))?;
        }
        let lock = lock(dir)?;
        // Read again under the lock: another process may have been making the store just now.
        let marker = match read_marker(dir)? {
            Some(marker) => marker,
            None => Marker { records: 1, state: State::New },
        };
        let this = Self { dir: dir.to_owned(), marker, _lock: lock };
        match this.marker.state {
            State::Ready => this.refuse_incomplete()?,
            State::Importing if access != Access::Import => {
                return Err(OpenError::Unfinished { dir: dir.to_owned() });
            }
            State::New | State::Importing => this.begin()?,
        }
        Ok(this)
    }

    /// From now on the store is of no use until the import is [finished](finish_import).
    pub(super) fn begin_import(&mut self) -> io::Result<()> {
        self.mark(State::Importing)
    }

    fn mark(&mut self, state: State) -> io::Result<()> {
        let marker = Marker { state, ..self.marker };
        write_marker(&self.dir, &marker)?;
        self.marker = marker;
        Ok(())
    }

    /// Starts over with an empty folder. Only for a store that never became ready.
    fn begin(&self) -> Result<(), OpenError> {
        let records = self.records();
        remove_folder(&records).map_err(|source| failed("empty", &records, source))?;
        write_marker(&self.dir, &self.marker).map_err(|source| failed("write", &self.dir, source))
    }

    /// The database would quietly start empty if its files were gone.
    fn refuse_incomplete(&self) -> Result<(), OpenError> {
        for name in ["db", "conf"] {
            let file = self.records().join(name);
            let length = fs::metadata(&file).map_or(0, |metadata| metadata.len());
            if length == 0 {
                let reason = format!("{} is missing or empty", file.display());
                return Err(OpenError::Damaged { dir: self.dir.clone(), reason });
            }
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    /// Whether the store has ever been completed.
    pub(super) fn is_ready(&self) -> bool {
        self.marker.state == State::Ready
    }

    /// The folder of the valid records.
    pub(super) fn records(&self) -> PathBuf {
        self.folder(self.marker.records)
    }

    /// A folder for a copy of the records, empty.
    pub(super) fn fresh_records(&self) -> io::Result<(u32, PathBuf)> {
        let number = self.marker.records.wrapping_add(1);
        let folder = self.folder(number);
        remove_folder(&folder)?;
        Ok((number, folder))
    }

    fn folder(&self, number: u32) -> PathBuf {
        self.dir.join(format!("records-{number}"))
    }

    /// The data in the valid folder is on disk: from now on its loss is damage.
    pub(super) fn mark_ready(&mut self) -> io::Result<()> {
        if self.marker.state != State::Ready {
            sync_tree(&self.records())?;
            self.mark(State::Ready)?;
        }
        Ok(())
    }

    /// Makes the copy in folder `number` the valid one, and removes the former.
    pub(super) fn switch_to(&mut self, number: u32) -> io::Result<()> {
        sync_tree(&self.folder(number))?;
        let former = self.records();
        let marker = Marker { records: number, state: State::Ready };
        write_marker(&self.dir, &marker)?;
        self.marker = marker;
        fs::remove_dir_all(former)
    }

    /// Folders of records that are not the valid one: left by a compaction or a look into a copy that was interrupted.
    pub(super) fn leftovers(&self) -> Vec<PathBuf> {
        let valid = self.records();
        let Ok(entries) = fs::read_dir(&self.dir) else { return Vec::new() };
        entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("records-"))
            .map(|entry| entry.path())
            .filter(|path| *path != valid)
            .collect()
    }

    /// Moves unfinished snapshots out of the folder of records.
    ///
    /// A process killed while it opened the database leaves one, and the database would then take it
    /// for a whole one and refuse to open. It adds nothing: the former snapshot and the log, from which
    /// it was being made, are still there.
    pub(super) fn set_unfinished_snapshots_aside(&self) -> io::Result<Vec<PathBuf>> {
        let mut moved = Vec::new();
        let entries = match fs::read_dir(self.records()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(moved),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if Self::is_unfinished_snapshot(&entry) {
                let aside = self.dir.join(ASIDE);
                fs::create_dir_all(&aside)?;
                // One name for all: the last one is enough to look into, and they do not pile up.
                let target = aside.join("unfinished-snapshot");
                fs::rename(entry.path(), &target)?;
                moved.push(target);
            }
        }
        Ok(moved)
    }

    /// Whether a file among the records is such a snapshot.
    pub(super) fn is_unfinished_snapshot(entry: &fs::DirEntry) -> bool {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("snap.") && name.ends_with(".generating")
    }

    /// The unfinished snapshots, left where they are.
    pub(super) fn unfinished_snapshots(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.records()) else { return Vec::new() };
        entries.flatten().filter(Self::is_unfinished_snapshot).map(|entry| entry.path()).collect()
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { action, path: path.to_owned(), source }
}

/// Without a marker, only nothing at all may become a store.
fn refuse_foreign(dir: &Path, access: Access) -> Result<(), OpenError> {
    let found = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed("read", dir, error)),
        Ok(entries) => entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .find(|name| name != LOCK && name != &temporary_marker()),
    };
    match found {
        Some(found) => Err(OpenError::NotAStore { dir: dir.to_owned(), found: format!("found {found}") }),
        None if access == Access::Existing => Err(OpenError::Missing(dir.to_owned())),
        None => Ok(()),
    }
}

pub(super) fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|source| failed("open", &path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed("lock", &path, source)),
    }
}

fn read_marker(dir: &Path) -> Result<Option<Marker>, OpenError> {
    let path = dir.join(MARKER);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", &path, error)),
        Ok(text) => text,
    };
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.split_once(' ').filter(|(key, _)| *key == name))
            .map(|(_, value)| value)
    };
    if text.lines().next() != Some(MARKER_TITLE) {
        let found = format!("{MARKER} is not Callboard's");
        return Err(OpenError::NotAStore { dir: dir.to_owned(), found });
    }
    let broken = |name: &str| OpenError::Damaged {
        dir: dir.to_owned(),
        reason: format!("{} has no valid line for {name}", path.display()),
    };
    let format: u32 = field("format").and_then(|value| value.parse().ok()).ok_or_else(|| broken("format"))?;
    if format > STORE_FORMAT {
        return Err(OpenError::Newer { dir: dir.to_owned(), found: format, supported: STORE_FORMAT });
    }
    let records = field("records").and_then(|value| value.parse().ok()).ok_or_else(|| broken("records"))?;
    let state = field("state")
        .and_then(|word| State::ALL.into_iter().find(|state| state.as_str() == word))
        .ok_or_else(|| broken("state"))?;
    Ok(Some(Marker { records, state }))
}

/// Makes the store in `dir`, whose import is complete and which is closed, one that can be used.
pub(super) fn finish_import(dir: &Path) -> Result<(), OpenError> {
    let lock = lock(dir)?;
    let marker = read_marker(dir)?;
    let Some(marker) = marker.filter(|marker| marker.state == State::Importing) else {
        return Err(OpenError::NotAStore { dir: dir.to_owned(), found: "no import is under way".to_owned() });
    };
    let mut this = Directory { dir: dir.to_owned(), marker, _lock: lock };
    this.mark_ready().map_err(|source| failed("write", dir, source))
}

/// Whether the store in `dir` was left by an interrupted import.
pub(super) fn is_import_unfinished(dir: &Path) -> Result<bool, OpenError> {
    Ok(read_marker(dir)?.is_some_and(|marker| marker.state == State::Importing))
}

/// Removes a folder with all that is in it, if it is there.
pub(super) fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes the store in `dir`, which is closed, if it never became ready: that of an unfinished import, which may
/// have ended at any point. What is not of the store stays.
pub(super) fn remove_import(dir: &Path) -> Result<(), OpenError> {
    match read_marker(dir)? {
        Some(_) => {}
        None if dir.symlink_metadata().is_err() => return Ok(()),
        // The marker was never written.
        None => refuse_foreign(dir, Access::Import)?,
    }
    let lock = lock(dir)?;
    let marker = read_marker(dir)?.unwrap_or(Marker { records: 1, state: State::New });
    if marker.state == State::Ready {
        return Err(OpenError::NotAStore { dir: dir.to_owned(), found: "no import is under way".to_owned() });
    }
    let this = Directory { dir: dir.to_owned(), marker, _lock: lock };
    let records = this.records();
    remove_folder(&records).map_err(|source| failed("remove", &records, source))?;
    for name in [MARKER, &temporary_marker(), LOCK] {
        let file = dir.join(name);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &file, error));
            }
            _ => {}
        }
    }
    fs::remove_dir(dir).map_err(|source| failed("remove", dir, source))
}

fn temporary_marker() -> String {
    format!("{MARKER}.new")
}

fn write_marker(dir: &Path, marker: &Marker) -> io::Result<()> {
    let temporary = dir.join(temporary_marker());
    let state = marker.state.as_str();
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&temporary)?;
    write!(file, "{MARKER_TITLE}\nformat {STORE_FORMAT}\nrecords {}\nstate {state}\n", marker.records)?;
    file.sync_all()?;
    fs::rename(&temporary, dir.join(MARKER))?;
    sync_dir(dir)
}

pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Syncs every file of a folder of records, and the folder.
fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_dir(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(dir: &Path) -> Directory {
        let mut directory = Directory::open(dir, Access::Create).unwrap();
        let records = directory.records();
        fs::create_dir_all(&records).unwrap();
        fs::write(records.join("db"), "data").unwrap();
        fs::write(records.join("conf"), "conf").unwrap();
        directory.mark_ready().unwrap();
        directory
    }

    fn listing(dir: &Path) -> Vec<(PathBuf, std::time::SystemTime, u64)> {
        let mut list: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .flatten()
            .map(|entry| {
                let metadata = entry.metadata().unwrap();
                (entry.path(), metadata.modified().unwrap(), metadata.len())
            })
            .collect();
        list.sort();
        list
    }

    #[test]
    fn an_unfinished_store_starts_over_and_a_finished_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("store");
        let directory = Directory::open(&dir, Access::Create).unwrap();
        let records = directory.records();
        drop(directory);
        fs::create_dir_all(&records).unwrap();
        fs::write(records.join("db"), "half").unwrap();
        let directory = Directory::open(&dir, Access::Create).unwrap();
        assert!(!directory.is_ready() && !records.exists());
        drop(directory);
        drop(ready(&dir));
        let directory = Directory::open(&dir, Access::Existing).unwrap();
        assert!(directory.is_ready() && records.join("db").exists());
    }

    #[test]
    fn newer_data_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        drop(ready(dir.path()));
        fs::write(dir.path().join(MARKER), "callboard-store\nformat 9\nshape unheard of\n").unwrap();
        let before = listing(dir.path());
        let error = Directory::open(dir.path(), Access::Create).unwrap_err();
        assert!(matches!(error, OpenError::Newer { found: 9, supported: STORE_FORMAT, .. }));
        let text = error.to_string();
        assert!(text.contains("format 9") && text.contains(&dir.path().display().to_string()), "{text}");
        assert_eq!(listing(dir.path()), before);
    }

    #[test]
    fn a_second_user_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let _first = ready(dir.path());
        assert!(matches!(Directory::open(dir.path(), Access::Create), Err(OpenError::InUse(_))));
    }

    #[test]
    fn foreign_and_missing_directories_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = Directory::open(&dir.path().join("missing"), Access::Existing).unwrap_err();
        assert!(matches!(error, OpenError::Missing(_)));
        assert!(!dir.path().join("missing").exists());
        fs::write(dir.path().join("letter.txt"), "dear").unwrap();
        let error = Directory::open(dir.path(), Access::Create).unwrap_err();
        assert!(error.to_string().contains("letter.txt"), "{error}");
    }

    #[test]
    fn lost_files_are_damage_and_not_an_empty_store() {
        let dir = tempfile::tempdir().unwrap();
        let directory = ready(dir.path());
        fs::remove_file(directory.records().join("db")).unwrap();
        drop(directory);
        assert!(matches!(Directory::open(dir.path(), Access::Create), Err(OpenError::Damaged { .. })));
    }

    #[test]
    fn an_unfinished_snapshot_is_moved_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let directory = ready(dir.path());
        fs::write(directory.records().join("snap.00AA"), "whole").unwrap();
        fs::write(directory.records().join("snap.00BB.generating"), "half").unwrap();
        let moved = directory.set_unfinished_snapshots_aside().unwrap();
        assert_eq!(fs::read(&moved[0]).unwrap(), b"half");
        assert!(directory.records().join("snap.00AA").exists());
        assert!(!directory.records().join("snap.00BB.generating").exists());
    }

    #[test]
    fn an_import_is_removed_whatever_it_came_to_and_a_store_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        remove_import(&store).unwrap();
        assert!(!store.exists());
        let steps: [&dyn Fn(); 4] = [
            &|| drop(lock(&store).unwrap()),
            &|| fs::write(store.join(temporary_marker()), "half").unwrap(),
            &|| drop(Directory::open(&store, Access::Import).unwrap()),
            &|| {
                let mut directory = Directory::open(&store, Access::Import).unwrap();
                fs::create_dir(directory.records()).unwrap();
                directory.begin_import().unwrap();
            },
        ];
        for step in steps {
            fs::create_dir(&store).unwrap();
            step();
            remove_import(&store).unwrap();
            assert!(!store.exists());
        }
        drop(ready(&store));
        assert!(remove_import(&store).is_err() && Directory::open(&store, Access::Existing).is_ok());
        let letter = dir.path().join("letter.txt");
        fs::write(&letter, "dear").unwrap();
        assert!(remove_import(dir.path()).is_err() && letter.exists() && !dir.path().join(LOCK).exists());
    }

    #[test]
    fn switching_leaves_one_valid_folder() {
        let dir = tempfile::tempdir().unwrap();
        let mut directory = ready(dir.path());
        let (number, folder) = directory.fresh_records().unwrap();
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("db"), "copy").unwrap();
        fs::write(folder.join("conf"), "conf").unwrap();
        assert_eq!(directory.leftovers(), std::slice::from_ref(&folder));
        directory.switch_to(number).unwrap();
        drop(directory);
        let directory = Directory::open(dir.path(), Access::Existing).unwrap();
        assert_eq!(directory.records(), folder);
        assert!(directory.leftovers().is_empty() && !dir.path().join("records-1").exists());
    }
}
