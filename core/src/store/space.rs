//! Free space of the disk the store lies on.

use std::io;
use std::path::Path;

/// Tells how much space is left for the store.
pub trait FreeSpace: Send + 'static {
    /// Bytes an unprivileged process may still write where the store lies.
    fn free_bytes(&mut self) -> io::Result<u64>;
}

impl<F: FnMut() -> io::Result<u64> + Send + 'static> FreeSpace for F {
    fn free_bytes(&mut self) -> io::Result<u64> {
        self()
    }
}

/// Asks the file system `dir` lies on.
pub(super) fn free_bytes_of(dir: &Path) -> io::Result<u64> {
    let status = rustix::fs::statvfs(dir)?;
    Ok(status.f_bavail.saturating_mul(status.f_frsize))
}

/// The floor of free space, with a gap between stopping and going on so that it does not flutter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Floor {
    stop_below: u64,
    go_on_from: u64,
}

impl Floor {
    /// A floor of `bytes`; 0 for none.
    pub(super) fn new(bytes: u64) -> Self {
        Self { stop_below: bytes, go_on_from: bytes.saturating_add(bytes / 16) }
    }

    pub(super) fn is_off(self) -> bool {
        self.stop_below == 0
    }

    /// Whether to write, given the free space and whether writing is stopped already.
    pub(super) fn allows(self, free: u64, stopped: bool) -> bool {
        free >= if stopped { self.go_on_from } else { self.stop_below }
    }

    /// Free bytes from which on a stopped store goes on.
    pub(super) fn needed(self) -> u64 {
        self.go_on_from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn going_on_needs_more_than_not_stopping() {
        let floor = Floor::new(160);
        assert!(floor.allows(160, false));
        assert!(!floor.allows(159, false));
        assert!(!floor.allows(169, true));
        assert!(floor.allows(170, true));
    }

    #[test]
    fn the_file_system_answers() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free_bytes_of(dir.path()).unwrap() > 0);
        assert!(free_bytes_of(&dir.path().join("missing")).is_err());
    }
}
