//! The embedded store: opening it, and its face to callers.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use super::copy;
use super::database::{Chunk, Database, Failure};
use super::directory::{Access, Directory};
use super::shared::{ScanRequest, Shared};
use super::space::{FreeSpace, free_bytes_of};
use super::writer::Writer;
use super::{
    Health, MaintenanceError, OpenError, ScanReport, Store, StoreConfig, StoreError, StoreStats, SubmitError,
    Table, Ticket, Write,
};

/// Free space needed to open the database, which writes a summary of itself then.
const OPEN_FLOOR: u64 = 64 * 1024 * 1024;

/// The store on the local disk, for one process.
///
/// A thread of its own owns the database; see [`Store`] for what callers may rely on. Dropping the store
/// stops it and waits for as long as [`StoreConfig::stall_after`]; [`Store::shutdown`] tells the outcome.
pub struct SledStore {
    shared: Arc<Shared>,
    stall_after: Duration,
}

/// What opening a store did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// Whether the store is new.
    pub created: bool,
    /// Bytes of the database's files.
    pub size_on_disk: u64,
    /// Files of an interrupted start that were moved out of the way; nothing in them is needed.
    pub set_aside: Vec<PathBuf>,
    /// Folders of an interrupted compaction; the next compaction removes them. The copy of an interrupted check or
    /// export is removed at once.
    pub leftovers: Vec<PathBuf>,
    /// How long it took.
    pub took: Duration,
}

impl SledStore {
    /// Opens the store in `dir`, or makes a new one when the directory is empty or missing.
    pub fn open(dir: &Path, config: &StoreConfig) -> Result<(Arc<Self>, OpenReport), OpenError> {
        let place = dir.to_owned();
        Self::open_with(dir, config, Box::new(move || free_bytes_of(&place)))
    }

    /// Like [`SledStore::open`], asking `space` for the free space instead of the file system; for disks
    /// whose free space the file system does not tell, such as those with quotas.
    pub fn open_with(
        dir: &Path,
        config: &StoreConfig,
        mut space: Box<dyn FreeSpace>,
    ) -> Result<(Arc<Self>, OpenReport), OpenError> {
        let started = Instant::now();
        let (mut directory, database, set_aside) = prepare(dir, Access::Create, config, space.as_mut())?;
        let created = !directory.is_ready();
        directory.mark_ready().map_err(|source| failed_to_write(dir, source))?;
        let leftovers = directory.leftovers();
        let store = Self::run(directory, database, space, config)?;
        let size_on_disk = store.shared.stats().size_on_disk;
        let report = OpenReport { created, size_on_disk, set_aside, leftovers, took: started.elapsed() };
        Ok((Arc::new(store), report))
    }

    /// Opens a new or empty store for an import; nothing else opens it until
    /// [`finish_import`](super::directory::finish_import).
    pub(super) fn open_for_import(dir: &Path, config: &StoreConfig) -> Result<Self, MaintenanceError> {
        let place = dir.to_owned();
        let mut space = move || free_bytes_of(&place);
        let (mut directory, database, _) = prepare(dir, Access::Import, config, &mut space)?;
        for table in Table::ALL {
            let chunk = database.chunk(table, None, 1).map_err(StoreError::Database)?;
            if !chunk.records.is_empty() || !chunk.damaged.is_empty() {
                return Err(MaintenanceError::NotEmpty(dir.to_owned()));
            }
        }
        directory.begin_import().map_err(|source| failed_to_write(dir, source))?;
        Ok(Self::run(directory, database, Box::new(space), config)?)
    }

    /// Hands the database to a thread of its own.
    fn run(
        directory: Directory,
        database: Database,
        space: Box<dyn FreeSpace>,
        config: &StoreConfig,
    ) -> Result<Self, OpenError> {
        let path = directory.path().to_owned();
        let shared = Arc::new(Shared::new(config));
        let writer = Writer::new(database, directory, space, config, Arc::clone(&shared));
        thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Io { action: "start the writer for", path, source })?;
        Ok(Self { shared, stall_after: config.stall_after })
    }

    fn request(&self, table: Table, from: Option<Vec<u8>>) -> Result<Reply, StoreError> {
        let (reply, answer) = sync_channel(1);
        self.shared.request(ScanRequest { table, from, reply })?;
        Ok(answer)
    }
}

type Reply = std::sync::mpsc::Receiver<Result<Chunk, Failure>>;

/// Opens a directory and its database, if the configuration and the disk allow it.
fn prepare(
    dir: &Path,
    access: Access,
    config: &StoreConfig,
    space: &mut dyn FreeSpace,
) -> Result<(Directory, Database, Vec<PathBuf>), OpenError> {
    let faults = config.faults();
    if !faults.is_empty() {
        return Err(OpenError::Config(faults));
    }
    let mut directory = Directory::open(dir, access)?;
    // Before the question for space: it may be what fills the disk.
    copy::remove_interrupted(&directory);
    refuse_full_disk(dir, config.min_free_bytes, space)?;
    let (database, set_aside) = open_database(&mut directory, config.cache_bytes)?;
    Ok((directory, database, set_aside))
}

fn failed_to_write(dir: &Path, source: std::io::Error) -> OpenError {
    OpenError::Io { action: "write", path: dir.to_owned(), source }
}

/// Opens the database of a directory; also for maintenance.
pub(super) fn open_database(
    directory: &mut Directory,
    cache_bytes: u64,
) -> Result<(Database, Vec<PathBuf>), OpenError> {
    let dir = directory.path().to_owned();
    let set_aside = directory.set_unfinished_snapshots_aside().map_err(|source| OpenError::Io {
        action: "tidy",
        path: dir.clone(),
        source,
    })?;
    let database = Database::open(&directory.records(), cache_bytes).map_err(|fault| fault.told_of(&dir))?;
    Ok((database, set_aside))
}

fn refuse_full_disk(dir: &Path, min_free: u64, space: &mut dyn FreeSpace) -> Result<(), OpenError> {
    let needed = min_free.min(OPEN_FLOOR);
    if needed == 0 {
        return Ok(());
    }
    let free = space.free_bytes().map_err(|source| OpenError::Io {
        action: "ask the free space of",
        path: dir.to_owned(),
        source,
    })?;
    if free < needed {
        return Err(OpenError::NoSpace { dir: dir.to_owned(), free_bytes: free, needed_bytes: needed });
    }
    Ok(())
}

impl Store for SledStore {
    fn submit(&self, writes: Vec<Write>) -> Result<Ticket, SubmitError> {
        self.shared.submit_waiting(writes)
    }

    fn submit_detached(&self, writes: Vec<Write>) -> Result<(), SubmitError> {
        self.shared.submit(writes, None)
    }

    fn scan(
        &self,
        table: Table,
        visit: &mut dyn FnMut(&str, &[u8]) -> ControlFlow<()>,
    ) -> Result<ScanReport, StoreError> {
        let mut report = ScanReport::default();
        let mut reply = self.request(table, None)?;
        loop {
            let chunk = reply.recv().map_err(|_| self.shared.gone())?.map_err(StoreError::Database)?;
            // The writer reads the next stretch while this one is visited.
            let next = chunk.next.map(|from| self.request(table, Some(from))).transpose()?;
            chunk.damaged.into_iter().for_each(|record| report.note_damage(record));
            for (key, value) in &chunk.records {
                report.records += 1;
                report.bytes += (key.len() + value.len()) as u64;
                if visit(key, value).is_break() {
                    report.stopped = true;
                    return Ok(report);
                }
            }
            match next {
                Some(next) => reply = next,
                None => return Ok(report),
            }
        }
    }

    fn health(&self) -> Health {
        self.shared.health()
    }

    fn stats(&self) -> StoreStats {
        self.shared.stats()
    }

    fn load(&self) -> f32 {
        self.shared.load()
    }

    fn shutdown(&self, deadline: Duration) -> Result<(), StoreError> {
        self.shared.stop(deadline)
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        // Who cares for the outcome calls `shutdown` first.
        let _ = self.shared.stop(self.stall_after);
    }
}
