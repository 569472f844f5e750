//! The node's own folder: a file per id, written beside and moved in when it is whole and on the disk.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use callboard_core::file::{FileId, Firmware, HEAD_BYTES, TAIL_BYTES, recognise};

/// Bytes written before the disk is made to keep them: the end of a large upload must not wait for all of it.
const SYNC_BYTES: u64 = 16 << 20;

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    root: PathBuf,
    /// Free bytes below which nothing is written; 0 turns the check off.
    min_free: u64,
}

impl Folder {
    /// Open the folder, or make it, readable for its owner only. What interrupted uploads left is removed.
    pub(super) fn open(root: PathBuf, min_free: u64) -> io::Result<Self> {
        let coming = root.join("coming");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&coming)?;
        for entry in fs::read_dir(&coming)? {
            let path = entry?.path();
            tracing::info!(file = %path.display(), "left by an interrupted upload, removed");
            fs::remove_file(path)?;
        }
        Ok(Self { root, min_free })
    }

    /// Remove files that no record knows: their upload was interrupted after they were moved in, or their deletion before they
    /// were removed. Other things in the folder stay.
    pub(super) fn sweep(&self, known: &HashSet<FileId>) -> io::Result<()> {
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let id = entry.file_name().to_str().and_then(|name| name.parse::<FileId>().ok());
            if id.is_some_and(|id| !known.contains(&id)) && entry.file_type()?.is_file() {
                tracing::info!(file = %entry.path().display(), "a file without a record, removed");
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Where the file of an id lies. Nothing else ever becomes part of a path.
    pub(super) fn path(&self, id: FileId) -> PathBuf {
        self.root.join(id.to_string())
    }

    /// Free bytes and those that are needed, if `more` bytes would leave too little.
    pub(super) fn lacks(&self, more: u64) -> io::Result<Option<(u64, u64)>> {
        if self.min_free == 0 {
            return Ok(None);
        }
        let status = rustix::fs::statvfs(&self.root)?;
        let free = status.f_bavail.saturating_mul(status.f_frsize);
        let needed = self.min_free.saturating_add(more);
        Ok((free < needed).then_some((free, needed)))
    }

    /// Begin to write the file of an id.
    pub(super) fn begin(&self, id: FileId) -> io::Result<Incoming> {
        let path = self.root.join("coming").join(id.to_string());
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Incoming {
            file,
            coming: Placed(Some(path)),
            digest: digest::Context::new(&digest::SHA256),
            size: 0,
            unsynced: 0,
            head: Vec::new(),
            tail: Vec::new(),
        })
    }

    /// Open the file of an id, which must have this many bytes.
    pub(super) fn read(&self, id: FileId, size: u64) -> io::Result<File> {
        let file = File::open(self.path(id))?;
        let found = file.metadata()?.len();
        if found != size {
            return Err(io::Error::other(format!("the file has {found} bytes, not {size}")));
        }
        Ok(file)
    }

    /// Remove the file of an id.
    pub(super) fn remove(&self, id: FileId) -> io::Result<()> {
        fs::remove_file(self.path(id))
    }
}

/// A file that goes when this is dropped, unless it is kept.
#[derive(Debug)]
pub(super) struct Placed(Option<PathBuf>);

impl Placed {
    /// The file stays.
    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(file = %path.display(), %error, "a file cannot be removed");
        }
    }
}

/// A file on its way; what is written goes when it is dropped.
pub(super) struct Incoming {
    file: File,
    coming: Placed,
    digest: digest::Context,
    size: u64,
    unsynced: u64,
    head: Vec<u8>,
    tail: Vec<u8>,
}

/// A file that is whole and on the disk, under its name.
pub(super) struct Whole {
    pub(super) placed: Placed,
    pub(super) size: u64,
    pub(super) digest: [u8; 32],
    pub(super) firmware: Option<Firmware>,
}

impl Incoming {
    /// Bytes written.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Write what comes next.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.digest.update(bytes);
        self.size += bytes.len() as u64;
        let missing = HEAD_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..missing]);
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]);
        let beyond = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..beyond);
        self.unsynced += bytes.len() as u64;
        if self.unsynced >= SYNC_BYTES {
            self.unsynced = 0;
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// Make it durable under its name.
    pub(super) fn finish(self, folder: &Folder, id: FileId) -> io::Result<Whole> {
        self.file.sync_all()?;
        let path = folder.path(id);
        let Some(coming) = &self.coming.0 else { return Err(io::ErrorKind::NotFound.into()) };
        fs::rename(coming, &path)?;
        self.coming.keep();
        let placed = Placed(Some(path));
        sync_directory(&folder.root)?;
        let mut digest = [0; 32];
        digest.copy_from_slice(self.digest.finish().as_ref());
        Ok(Whole { placed, size: self.size, digest, firmware: recognise(&self.head, &self.tail) })
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> FileId {
        FileId::from_u64(number)
    }

    fn names(path: &Path) -> Vec<String> {
        let names =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path().join("files"), 0).unwrap();
        let bytes: Vec<u8> = (0..1_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        for piece in [1, 7, 400, 1_000] {
            let mut incoming = folder.begin(id(1)).unwrap();
            bytes.chunks(piece).for_each(|piece| incoming.write(piece).unwrap());
            assert_eq!(
                (&incoming.head, &incoming.tail),
                (&bytes[..HEAD_BYTES].to_vec(), &bytes[1_000 - TAIL_BYTES..].to_vec())
            );
            let whole = incoming.finish(&folder, id(1)).unwrap();
            assert_eq!(
                (whole.size, &whole.digest[..]),
                (1_000, digest::digest(&digest::SHA256, &bytes).as_ref())
            );
            assert_eq!(fs::read(folder.path(id(1))).unwrap(), bytes);
            drop(whole);
            assert!(!folder.path(id(1)).exists(), "nobody kept it");
        }
        let mut given_up = folder.begin(id(2)).unwrap();
        given_up.write(b"half").unwrap();
        drop(given_up);
        assert_eq!(names(&dir.path().join("files")), ["coming"]);
        assert!(names(&dir.path().join("files/coming")).is_empty());
    }

    #[test]
    fn a_start_removes_what_a_crash_left() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path().to_owned(), 0).unwrap();
        for (name, text) in
            [("coming/00000000000a", "half"), ("000000000001", "known"), ("000000000002", "orphan")]
        {
            fs::write(dir.path().join(name), text).unwrap();
        }
        fs::write(dir.path().join("README"), "somebody else's").unwrap();
        drop(folder);
        let folder = Folder::open(dir.path().to_owned(), 0).unwrap();
        folder.sweep(&HashSet::from([id(1)])).unwrap();
        assert_eq!(names(dir.path()), ["000000000001", "README", "coming"]);
        assert!(names(&dir.path().join("coming")).is_empty());
        assert!(
            folder.read(id(1), 5).is_ok() && folder.read(id(1), 6).is_err() && folder.read(id(2), 6).is_err()
        );
    }

    #[test]
    fn a_full_disk_is_seen_before_it_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let open = |min_free| Folder::open(dir.path().to_owned(), min_free).unwrap();
        assert_eq!(open(1).lacks(1).unwrap(), None);
        assert!(open(u64::MAX - 1).lacks(1).unwrap().is_some());
        assert_eq!(open(0).lacks(u64::MAX).unwrap(), None, "the check is off");
    }
}
