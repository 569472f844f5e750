//! The directory of a journal: which files are valid, who uses them.
//!
//! | file | meaning |
//! |---|---|
//! | `LOCK` | locked by the process that uses the journal |
//! | `log-N` | changes; the newest log is being written |
//! | `snapshot-N` | what is left of all changes up to `log-N`, which is no longer needed |
//! | `*.new` | a file that was being made when the process ended; nothing in it is needed |
//! | `damaged-*` | a file that could not be read whole when it was compacted, for somebody to look into |
//!
//! A file has its name once it is whole and on disk. So a kill at any point leaves the old files or the new one.

use std::collections::hash_map::RandomState;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::segment::{FORMAT, HEAD, Head, HeadFault, Kind, Segment};
use crate::store::OpenError;
use crate::store::directory::{LOCK, lock, sync_dir};

const ASIDE: &str = "damaged-";
const UNFINISHED: &str = ".new";

/// What [`Directory::open`] may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Make a new journal where there is none.
    Create,
    /// Open an existing one only.
    Existing,
}

/// A directory, locked for this process.
#[derive(Debug)]
pub(super) struct Directory {
    dir: PathBuf,
    /// Held for the lock it carries.
    _lock: File,
}

/// What lies in a directory.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The snapshot, if there is one, and the logs behind it, in their order.
    pub(super) segments: Vec<Segment>,
    /// Files that those replace, and what was never finished.
    pub(super) leftovers: Vec<PathBuf>,
    /// Files that were put aside.
    pub(super) aside: Vec<PathBuf>,
}

/// The name of a file.
pub(super) fn name(kind: Kind, number: u64) -> String {
    match kind {
        Kind::Log => format!("log-{number:010}"),
        Kind::Snapshot => format!("snapshot-{number:010}"),
    }
}

fn parse(name: &str) -> Option<(Kind, u64)> {
    let (kind, number) = name.split_once('-')?;
    let kind = match kind {
        "log" => Kind::Log,
        "snapshot" => Kind::Snapshot,
        _ => return None,
    };
    let number = number.parse().ok().filter(|number| *number > 0)?;
    (self::name(kind, number) == name).then_some((kind, number))
}

impl Directory {
    pub(super) fn open(dir: &Path, access: Access) -> Result<Self, OpenError> {
        refuse_foreign(dir, access)?;
        if dir.symlink_metadata().is_err() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
            let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
            made.and_then(|()| parent.map_or(Ok(()), sync_dir))
                .map_err(|source| failed("create", dir, source))?;
        }
        Ok(Self { dir: dir.to_owned(), _lock: lock(dir)? })
    }

    /// Looks at every file; changes nothing.
    pub(super) fn list(&self) -> Result<Listing, OpenError> {
        let mut listing = Listing::default();
        let (mut snapshots, mut logs) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.dir).map_err(|source| failed("read", &self.dir, source))? {
            let path = entry.map_err(|source| failed("read", &self.dir, source))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(ASIDE) {
                listing.aside.push(path);
            } else if name.ends_with(UNFINISHED) {
                listing.leftovers.push(path);
            } else if let Some((kind, number)) = parse(&name) {
                let segment = self.segment(&path, kind, number)?;
                if kind == Kind::Log { logs.push(segment) } else { snapshots.push(segment) }
            }
        }
        for list in [&mut snapshots, &mut logs] {
            list.sort_by_key(|segment| segment.number);
        }
        let oldest = logs.first().map_or(u64::MAX, |log| log.number);
        let snapshot = choose(&mut snapshots, oldest).map_err(|source| failed("read", &self.dir, source))?;
        let replaced = snapshot.as_ref().map_or(0, |snapshot| snapshot.number);
        listing.leftovers.extend(snapshots.iter().map(|segment| self.dir.join(&segment.name)));
        listing.segments.extend(snapshot);
        for log in logs {
            if log.number > replaced {
                listing.segments.push(log);
            } else {
                listing.leftovers.push(self.dir.join(&log.name));
            }
        }
        listing.leftovers.sort();
        listing.aside.sort();
        Ok(listing)
    }

    fn segment(&self, path: &Path, kind: Kind, number: u64) -> Result<Segment, OpenError> {
        let opened = |source| failed("open", path, source);
        let file = File::open(path).map_err(opened)?;
        let end = file.metadata().map_err(opened)?.len();
        let mut bytes = Vec::with_capacity(HEAD);
        (&file).take(HEAD as u64).read_to_end(&mut bytes).map_err(opened)?;
        let head = match Head::decode(&bytes) {
            Ok(head) => (head.kind == kind && head.number == number).then_some(head),
            Err(HeadFault::Damaged) => None,
            Err(HeadFault::Newer(found)) => {
                return Err(OpenError::Newer { dir: self.dir.clone(), found, supported: FORMAT });
            }
        };
        Ok(Segment { name: name(kind, number), kind, number, file: Arc::new(file), head, end })
    }

    /// Makes a file that holds nothing yet, under its name.
    pub(super) fn create(&self, kind: Kind, number: u64, first_batch: u64) -> io::Result<Segment> {
        let unfinished = self.begin(kind, number, first_batch)?;
        self.finish(unfinished)
    }

    /// Begins a file that gets its name when it is [finished](Self::finish).
    pub(super) fn begin(&self, kind: Kind, number: u64, first_batch: u64) -> io::Result<Unfinished> {
        // Nobody can guess the keys of a hasher, and nobody may guess the marker: no more is asked of it.
        let marker = RandomState::new().build_hasher().finish();
        let head = Head { kind, number, first_batch, marker };
        let path = self.dir.join(name(kind, number) + UNFINISHED);
        let mut file =
            OpenOptions::new().create(true).truncate(true).read(true).write(true).mode(0o600).open(&path)?;
        file.write_all(&head.encode())?;
        Ok(Unfinished { path, head, file })
    }

    /// Makes a file durable, and gives it its name.
    pub(super) fn finish(&self, unfinished: Unfinished) -> io::Result<Segment> {
        let Unfinished { path, head, file } = unfinished;
        file.sync_all()?;
        let name = name(head.kind, head.number);
        fs::rename(&path, self.dir.join(&name))?;
        sync_dir(&self.dir)?;
        let end = file.metadata()?.len();
        Ok(Segment {
            name,
            kind: head.kind,
            number: head.number,
            file: Arc::new(file),
            head: Some(head),
            end,
        })
    }

    /// Gives up a file.
    pub(super) fn discard(&self, unfinished: &Unfinished) -> io::Result<()> {
        self.remove([unfinished.path.clone()].into_iter())
    }

    /// Opens a log to go on writing it.
    pub(super) fn reopen(&self, segment: &Segment) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.dir.join(&segment.name))
    }

    /// Keeps a file under another name, for somebody to look into.
    pub(super) fn keep_aside(&self, file: &str) -> io::Result<()> {
        match fs::hard_link(self.dir.join(file), self.dir.join(format!("{ASIDE}{file}"))) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes files that are no longer needed.
    pub(super) fn remove(&self, files: impl Iterator<Item = PathBuf>) -> io::Result<()> {
        let mut removed = false;
        for file in files {
            match fs::remove_file(self.dir.join(file)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => removed = true,
            }
        }
        if removed { sync_dir(&self.dir) } else { Ok(()) }
    }

    /// Removes the journal, which belongs to an import that did not succeed. What is not of the journal stays.
    pub(super) fn destroy(self) -> Result<(), OpenError> {
        let listing = self.list()?;
        let segments = listing.segments.iter().map(|segment| PathBuf::from(&segment.name));
        let files = segments.chain(listing.leftovers).chain(listing.aside).chain([PathBuf::from(LOCK)]);
        self.remove(files).map_err(|source| failed("empty", &self.dir, source))?;
        fs::remove_dir(&self.dir).map_err(|source| failed("remove", &self.dir, source))
    }
}

/// A file that is being made.
pub(super) struct Unfinished {
    path: PathBuf,
    pub(super) head: Head,
    pub(super) file: File,
}

/// Takes the newest snapshot, unless it is not whole and there are older files that it was to replace.
fn choose(snapshots: &mut Vec<Segment>, oldest_log: u64) -> io::Result<Option<Segment>> {
    for at in (0..snapshots.len()).rev() {
        let Some(snapshot) = snapshots.get(at) else { continue };
        let is_only = at == 0 && oldest_log > snapshot.number;
        if is_only || (snapshot.head.is_some() && snapshot.is_sealed()?) {
            return Ok(Some(snapshots.remove(at)));
        }
    }
    Ok(None)
}

pub(super) fn failed(action: &'static str, path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { action, path: path.to_owned(), source }
}

/// A directory that holds anything else is not a journal's.
fn refuse_foreign(dir: &Path, access: Access) -> Result<(), OpenError> {
    let ours = |name: &str| {
        let bare = name.strip_prefix(ASIDE).or_else(|| name.strip_suffix(UNFINISHED)).unwrap_or(name);
        name == LOCK || parse(bare).is_some()
    };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(failed("read", dir, error)),
        Ok(entries) => {
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        }
    };
    if let Some(found) = entries.iter().find(|name| !ours(name)) {
        return Err(OpenError::NotAStore { dir: dir.to_owned(), found: format!("found {found}") });
    }
    if access == Access::Existing && !entries.iter().any(|name| parse(name).is_some()) {
        return Err(OpenError::Missing(dir.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(listing: &Listing) -> Vec<&str> {
        listing.segments.iter().map(|segment| segment.name.as_str()).collect()
    }

    fn seal(directory: &Directory, number: u64) {
        let mut snapshot = directory.begin(Kind::Snapshot, number, 0).unwrap();
        let empty = super::super::frame::BatchHead { number: 0, bytes: 0, records: 0 };
        snapshot.file.write_all(&empty.encode(snapshot.head.marker)).unwrap();
        directory.finish(snapshot).unwrap();
    }

    #[test]
    fn the_newest_whole_snapshot_and_the_logs_behind_it_are_valid() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::open(dir.path(), Access::Create).unwrap();
        for number in 1..=4 {
            directory.create(Kind::Log, number, number * 10).unwrap();
        }
        seal(&directory, 2);
        fs::write(dir.path().join("snapshot-0000000003.new"), "half").unwrap();
        let listing = directory.list().unwrap();
        assert_eq!(names(&listing), ["snapshot-0000000002", "log-0000000003", "log-0000000004"]);
        assert_eq!(listing.leftovers.len(), 3);
        // A newer one that is not whole does not replace what is still there.
        directory.create(Kind::Snapshot, 3, 0).unwrap();
        assert_eq!(names(&directory.list().unwrap())[0], "snapshot-0000000002");
        directory.remove(listing.leftovers.into_iter()).unwrap();
        seal(&directory, 3);
        assert_eq!(names(&directory.list().unwrap()), ["snapshot-0000000003", "log-0000000004"]);
        // One that is not whole and alone is read as far as it can be.
        let only = directory.remove(["snapshot-0000000002", "log-0000000003"].map(PathBuf::from).into_iter());
        only.unwrap();
        directory.create(Kind::Snapshot, 3, 0).unwrap();
        assert_eq!(names(&directory.list().unwrap()), ["snapshot-0000000003", "log-0000000004"]);
    }

    #[test]
    fn foreign_missing_and_newer_files_are_refused_and_left() {
        let dir = tempfile::tempdir().unwrap();
        let error = Directory::open(&dir.path().join("missing"), Access::Existing).unwrap_err();
        assert!(matches!(error, OpenError::Missing(_)) && !dir.path().join("missing").exists());
        let directory = Directory::open(dir.path(), Access::Create).unwrap();
        assert!(matches!(Directory::open(dir.path(), Access::Create), Err(OpenError::InUse(_))));
        fs::write(dir.path().join("log-0000000001"), b"callbdjl\x02\0\0\0").unwrap();
        let error = directory.list().unwrap_err();
        assert!(matches!(error, OpenError::Newer { found: 2, supported: FORMAT, .. }), "{error}");
        drop(directory);
        fs::write(dir.path().join("letter.txt"), "dear").unwrap();
        let error = Directory::open(dir.path(), Access::Create).unwrap_err();
        assert!(error.to_string().contains("letter.txt"), "{error}");
    }

    #[test]
    fn files_are_for_their_owner_and_a_destroyed_journal_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let directory = Directory::open(&path, Access::Create).unwrap();
        let log = directory.create(Kind::Log, 1, 0).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join(&log.name)), mode(&path.join(LOCK))), (0o700, 0o600, 0o600));
        directory.keep_aside(&log.name).unwrap();
        directory.keep_aside(&log.name).unwrap();
        assert_eq!(directory.list().unwrap().aside, [path.join("damaged-log-0000000001")]);
        directory.destroy().unwrap();
        assert!(!path.exists());
    }
}
