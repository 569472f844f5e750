//! The embedded journal: opening it, and its face to callers.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::directory::Access;
use super::files::Files;
use super::merge::Merge;
use super::opening::{JournalOpenReport, open};
use super::shared::Shared;
use super::writer::Writer;
use super::{Journal, JournalConfig, JournalScan, JournalStats, Position};
use crate::store::space::{FreeSpace, free_bytes_of};
use crate::store::{Health, OpenError, StoreError, SubmitError, Ticket};

/// The journal on the local disk, for one process.
///
/// A thread of its own writes it; see [`Journal`] for what callers may rely on. Dropping the journal stops it and waits for
/// as long as [`JournalConfig::stall_after`]; [`Journal::shutdown`] tells the outcome.
pub struct FileJournal {
    shared: Arc<Shared>,
}

impl FileJournal {
    /// Opens the journal in `dir`, or makes a new one when the directory is empty or missing.
    ///
    /// Damage in the files is no error here: [`Journal::scan`] tells it. Data of a newer version is.
    pub fn open(dir: &Path, config: &JournalConfig) -> Result<(Arc<Self>, JournalOpenReport), OpenError> {
        let place = dir.to_owned();
        Self::open_with(dir, config, Box::new(move || free_bytes_of(&place)))
    }

    /// Like [`FileJournal::open`], asking `space` for the free space instead of the file system; for disks whose free
    /// space the file system does not tell, such as those with quotas.
    pub fn open_with(
        dir: &Path,
        config: &JournalConfig,
        space: Box<dyn FreeSpace>,
    ) -> Result<(Arc<Self>, JournalOpenReport), OpenError> {
        let faults = config.faults();
        if !faults.is_empty() {
            return Err(OpenError::Config(faults));
        }
        let opened = open(dir, Access::Create)?;
        let shared = Arc::new(Shared::new(config, Files::new(opened.segments)));
        let writer = Writer::new(opened.log, Arc::new(opened.directory), space, Arc::clone(&shared));
        thread::Builder::new().name("journal-writer".to_owned()).spawn(move || writer.run()).map_err(
            |source| OpenError::Io { action: "start the writer for", path: dir.to_owned(), source },
        )?;
        Ok((Arc::new(Self { shared }), opened.report))
    }
}

impl Journal for FileJournal {
    fn append(&self, key: &str, value: Option<&[u8]>) -> Result<Position, SubmitError> {
        self.shared.append(key, value)
    }

    fn committed(&self, position: Position) -> Ticket {
        self.shared.committed(position)
    }

    fn durable(&self) -> Position {
        self.shared.durable()
    }

    fn scan(&self, visit: &mut dyn FnMut(&str, &[u8]) -> ControlFlow<()>) -> Result<JournalScan, StoreError> {
        let read = |error: io::Error| StoreError::Database(error.to_string().into());
        let segments = self.shared.files.all();
        let go_on = || self.shared.gone().is_none();
        let mut broken_off = false;
        let merge = Merge { segments: &segments, memory: self.shared.config.scan_bytes, go_on: &go_on };
        let scan = merge.run(&mut |key, value| {
            let flow = visit(key, value);
            broken_off = flow.is_break();
            flow
        });
        // It may have ended because the journal did.
        if let Some(error) = self.shared.gone().filter(|_| !broken_off) {
            return Err(error);
        }
        let scan = scan.map_err(read)?;
        if !scan.stopped {
            self.shared.scanned(&scan.damage);
        }
        Ok(scan)
    }

    fn health(&self) -> Health {
        self.shared.health()
    }

    fn stats(&self) -> JournalStats {
        self.shared.stats()
    }

    fn load(&self) -> f32 {
        self.shared.load()
    }

    fn shutdown(&self, deadline: Duration) -> Result<(), StoreError> {
        self.shared.stop(deadline)
    }
}

impl Drop for FileJournal {
    fn drop(&mut self) {
        // Who cares for the outcome calls `shutdown` first.
        let _ = self.shared.stop(self.shared.config.stall_after);
    }
}
