//! A copy of the records to look into: the database changes its files when it opens them.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::MaintenanceError;
use super::directory::{Directory, remove_folder};
use super::space::free_bytes_of;

/// Beside the records, on the same file system; an interrupted run's is removed by whoever opens the store next.
const FOLDER: &str = "records-copy";

/// Space to leave free, and for the summary that the database writes when it opens.
const SPARE: u64 = 64 * 1024 * 1024;

/// The copy; removed when dropped.
pub(super) struct Copy {
    folder: PathBuf,
}

impl Copy {
    /// Copies the records, as clones where the file system can. Nothing of the original is changed.
    pub(super) fn of(directory: &Directory) -> Result<Self, MaintenanceError> {
        let folder = directory.path().join(FOLDER);
        let records = directory.records();
        remove_folder(&folder).map_err(failed("removing the copy of an interrupted run"))?;
        let needed_bytes = bytes_of(&records).map_err(failed("reading the store"))?.saturating_add(SPARE);
        let free_bytes = free_bytes_of(directory.path()).map_err(failed("asking for the free space"))?;
        if free_bytes < needed_bytes {
            return Err(MaintenanceError::NoSpace { free_bytes, needed_bytes });
        }
        let this = Self { folder };
        copy(&records, &this.folder).map_err(failed("copying the store"))?;
        Ok(this)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // Threads of the closed database may still have a hand on it for a moment.
        if let Err(error) = remove_folder(&self.folder).or_else(|_| remove_folder(&self.folder)) {
            tracing::warn!(%error, folder = %self.folder.display(), "the copy was not removed");
        }
    }
}

/// Removes the copy of an interrupted run, which nobody else can be looking into: the directory is locked. One that stays
/// is in nobody's way but takes space.
pub(super) fn remove_interrupted(directory: &Directory) {
    let folder = directory.path().join(FOLDER);
    if folder.symlink_metadata().is_err() {
        return;
    }
    match remove_folder(&folder) {
        Ok(()) => {
            tracing::info!(folder = %folder.display(), "removed the copy that an interrupted check or export left");
        }
        Err(error) => {
            tracing::warn!(%error, folder = %folder.display(), "the copy that an interrupted check or export left stays");
        }
    }
}

fn failed(action: &'static str) -> impl FnOnce(io::Error) -> MaintenanceError {
    move |source| MaintenanceError::Io { action, source }
}

fn bytes_of(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in entries(folder)? {
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_of(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    for entry in entries(from)? {
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else if !Directory::is_unfinished_snapshot(&entry) {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// What lies in a folder; a store that was never used has none.
fn entries(folder: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.collect(),
    }
}
