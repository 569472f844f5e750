//! A disk of a chosen size.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
};

/// A file system in memory that is mounted nowhere: it is reached through this process's descriptor and is gone with
/// it, however the process ends.
#[derive(Debug)]
pub struct Disk {
    root: OwnedFd,
}

/// Name of the file that takes the space away.
const BALLAST: &str = "ballast";

impl Disk {
    /// A disk of `bytes`. Fails where mounting is not allowed, as for everybody but root.
    pub fn new(bytes: u64) -> io::Result<Self> {
        let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "size", bytes.to_string())?;
        fsconfig_create(&context)?;
        let root = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
        Ok(Self { root })
    }

    /// Where it is, for other processes too.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.root.as_raw_fd()))
    }

    /// Free bytes.
    pub fn free(&self) -> u64 {
        let status = rustix::fs::fstatvfs(&self.root).unwrap();
        status.f_bavail * status.f_frsize
    }

    /// Takes space away until only `left` bytes are free.
    pub fn fill(&self, left: u64) {
        let mut file = File::options().create(true).append(true).open(self.ballast()).unwrap();
        let mut take = self.free().saturating_sub(left);
        let block = vec![0; 1 << 20];
        while take > 0 {
            let part = usize::try_from(take.min(1 << 20)).unwrap();
            file.write_all(&block[..part]).unwrap();
            take -= part as u64;
        }
    }

    /// Gives the space back.
    pub fn empty(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        Path::new(&self.path()).join(BALLAST)
    }
}
