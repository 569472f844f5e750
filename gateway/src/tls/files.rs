//! Key and certificate files: written whole or not at all, keys for the owner only.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

/// Makes a directory for secrets (mode 0700) if it is not there yet.
pub(super) fn secret_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Replaces `path` by `content`, for the owner only.
pub(super) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    crate::files::replace(path, content, 0o600)
}

/// What changes when a file is written anew: enough to notice, cheap to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint {
    modified: (i64, i64),
    length: u64,
    inode: u64,
}

impl Fingerprint {
    /// `None` when the file cannot be looked at.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let data = fs::metadata(path).ok()?;
        Some(Self { modified: (data.mtime(), data.mtime_nsec()), length: data.len(), inode: data.ino() })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn secrets_are_for_the_owner_and_replaced_whole() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("a/b");
        secret_directory(&directory).unwrap();
        secret_directory(&directory).unwrap();
        let path = directory.join("key.pem");
        fs::write(directory.join("key.new"), "left by a crash").unwrap();
        write(&path, b"one").unwrap();
        let before = Fingerprint::of(&path);
        write(&path, b"two, longer").unwrap();
        assert_ne!(before, Fingerprint::of(&path));
        assert_eq!(fs::read(&path).unwrap(), b"two, longer");
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&path)), (0o700, 0o600));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "no temporary file stays");
    }
}
