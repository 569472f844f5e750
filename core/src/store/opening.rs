//! Opening the files of a database: what stands in the way, and what is damage.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::OpenError;
use super::database::{Failure, explained, guarded};

/// How long to wait for the lock of the database's files.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// What the database says when another one has its files.
const LOCKED: &str = "could not acquire lock";

/// Why a database does not open.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenFault {
    /// Its files are there, and cannot be understood.
    #[error("{0}")]
    Failed(Failure),
    /// The operating system does not let it; that says nothing of the data.
    #[error("{action} {path}: {source}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    /// It has lost this many durable commits.
    #[error("the newest {0} commits are missing, although they had been made durable")]
    LostCommits(u64),
}

impl From<Failure> for OpenFault {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl OpenFault {
    /// An error of a file operation of ours.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// An error of the database in `folder`.
    pub(super) fn of(error: sled::Error, folder: &Path) -> Self {
        match error {
            sled::Error::Io(source) if stands_in_the_way(&source) => Self::io("open", folder)(source),
            error => Self::Failed(explained(&error)),
        }
    }

    /// For the operator of the store in `dir`.
    pub(super) fn told_of(self, dir: &Path) -> OpenError {
        let dir = dir.to_owned();
        match self {
            Self::Failed(reason) => OpenError::Damaged { dir, reason: reason.to_string() },
            Self::Io { action, path, source } => OpenError::Io { action, path, source },
            Self::LostCommits(commits) => OpenError::LostCommits { dir, commits },
        }
    }
}

/// Whether an error within the database is due to its surroundings. Damage makes it read beyond files, look
/// for such as never were, or find nonsense: those errors are not among these.
fn stands_in_the_way(error: &io::Error) -> bool {
    use io::ErrorKind::{
        OutOfMemory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StaleNetworkFileHandle,
        StorageFull, TimedOut,
    };
    let kinds = [
        OutOfMemory,
        PermissionDenied,
        QuotaExceeded,
        ReadOnlyFilesystem,
        StaleNetworkFileHandle,
        StorageFull,
        TimedOut,
    ];
    let too_many_files = [Errno::MFILE, Errno::NFILE];
    kinds.contains(&error.kind())
        || Errno::from_io_error(error).is_some_and(|error| too_many_files.contains(&error))
        || error.to_string().contains(LOCKED)
}

/// Makes the folder of a database.
pub(super) fn make(folder: &Path) -> Result<(), OpenFault> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(OpenFault::io("make", folder))
}

/// Opens the database, waiting for threads of one that this process closed just now.
///
/// They may hold the lock of its files a moment longer. No other process can: it would have to hold the
/// lock of the store.
pub(super) fn open_patiently(folder: &Path, cache_bytes: u64) -> Result<sled::Db, OpenFault> {
    let config = sled::Config::default()
        .path(folder)
        .cache_capacity(cache_bytes)
        .mode(sled::Mode::LowSpace)
        .use_compression(false)
        .flush_every_ms(None);
    let end = Instant::now() + LOCK_PATIENCE;
    loop {
        match guarded(|| Ok(config.open()))? {
            Err(error) if error.to_string().contains(LOCKED) && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(2));
            }
            outcome => return outcome.map_err(|error| OpenFault::of(error, folder)),
        }
    }
}

/// Makes the files readable for their owner only; the database makes them as the process may.
pub(super) fn restrict(folder: &Path) -> Result<(), OpenFault> {
    restrict_one(folder, 0o700)?;
    for entry in fs::read_dir(folder).map_err(OpenFault::io("read", folder))? {
        let entry = entry.map_err(OpenFault::io("read", folder))?;
        match entry.file_type() {
            Ok(kind) if kind.is_file() => restrict_one(&entry.path(), 0o600)?,
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(OpenFault::io("read", &entry.path())(error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn restrict_one(path: &Path, mode: u32) -> Result<(), OpenFault> {
    let Err(error) = fs::set_permissions(path, Permissions::from_mode(mode)) else { return Ok(()) };
    match Errno::from_io_error(&error) {
        // A summary that the database has just replaced.
        Some(Errno::NOENT) => Ok(()),
        // The file of another owner, or a file system that has modes of its own.
        Some(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::NOSYS | Errno::ROFS) => {
            let open = fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
            if open {
                tracing::warn!(%error, path = %path.display(), "others may read this file of the store");
            }
            Ok(())
        }
        _ => Err(OpenFault::io("restrict", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(error: Errno) -> sled::Error {
        sled::Error::Io(error.into())
    }

    #[test]
    fn what_the_system_refuses_is_no_damage() {
        let dir = Path::new("store");
        for errno in [Errno::ACCESS, Errno::PERM, Errno::NOSPC, Errno::MFILE, Errno::ROFS, Errno::DQUOT] {
            let told = OpenFault::of(answer(errno), dir).told_of(dir);
            assert!(!told.is_damage() && told.to_string().contains("open store"), "{told}");
        }
        for errno in [Errno::INVAL, Errno::NOENT, Errno::IO] {
            assert!(OpenFault::of(answer(errno), dir).told_of(dir).is_damage(), "{errno:?}");
        }
        let short = sled::Error::Io(io::ErrorKind::UnexpectedEof.into());
        assert!(OpenFault::of(short, dir).told_of(dir).is_damage());
    }

    #[test]
    fn modes_that_cannot_be_changed_are_left() {
        // Nobody may change the mode of what the kernel makes up.
        let fixed = Path::new("/proc/self/status");
        assert!(fs::set_permissions(fixed, Permissions::from_mode(0o600)).is_err());
        restrict_one(fixed, 0o600).unwrap();
        let dir = tempfile::tempdir().unwrap();
        restrict_one(&dir.path().join("gone"), 0o600).unwrap();
        assert!(restrict(&dir.path().join("gone")).is_err());
        let file = dir.path().join("file");
        fs::write(&file, "text").unwrap();
        restrict(dir.path()).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
