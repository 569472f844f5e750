//! The one thread that owns the database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::database::{Chunk, Database, Failure};
use super::directory::Directory;
use super::live::Live;
use super::queue::Group;
use super::shared::{Job, ScanRequest, Shared};
use super::space::{Floor, FreeSpace};
use super::{CommitError, StoreConfig, Table};

/// How much one stretch of a scan reads, in bytes.
const SCAN_BYTES: usize = 1024 * 1024;

/// How often the size of the files is looked at, while there are commits.
const SIZE_EVERY: Duration = Duration::from_secs(5);

/// The writer, and everything that must go when it ends, in this order.
pub(super) struct Writer {
    database: Database,
    directory: Directory,
    cache_bytes: u64,
    space: Box<dyn FreeSpace>,
    floor: Floor,
    live: Live,
    sized: Instant,
    end: End,
}

/// Tells the callers when the writer has ended, even if it panicked.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.failed(&Failure::from("the writer of the store panicked"));
        }
        self.0.end();
    }
}

impl Writer {
    pub(super) fn new(
        database: Database,
        directory: Directory,
        space: Box<dyn FreeSpace>,
        config: &StoreConfig,
        shared: Arc<Shared>,
    ) -> Self {
        let mut this = Self {
            live: if database.is_empty() { Live::empty() } else { Live::new() },
            database,
            directory,
            cache_bytes: config.cache_bytes,
            space,
            floor: Floor::new(config.min_free_bytes),
            sized: Instant::now(),
            end: End(shared),
        };
        this.look_at_size();
        this
    }

    fn shared(&self) -> &Shared {
        &self.end.0
    }

    /// Works until the store is stopped.
    pub(super) fn run(mut self) {
        // The state of the disk is known before the first submission is answered from it.
        self.has_space();
        loop {
            let job = self.shared().next();
            self.shared().busy();
            match job {
                Job::Commit => self.commit(),
                Job::Scan(request) => self.scan(&request),
                Job::Exit => return self.close(),
            }
            self.shared().idle();
        }
    }

    /// Closes the database so that nothing of it has to be guessed at the next start.
    ///
    /// The database takes the first unreadable entry of its log for the end of what was written before
    /// a crash, and cuts the rest off. It does not do so for what its summary covers, and it writes the
    /// summary when it opens. So after work it is opened once more: from then on damage to its files is
    /// an error and not a loss.
    fn close(self) {
        let Self { database, directory, cache_bytes, end, .. } = self;
        let worked = end.0.stats().batches > 0 && end.0.is_writing();
        drop(database);
        if worked && let Err(fault) = Database::open(&directory.records(), cache_bytes) {
            let reason = Failure::from(fault.to_string());
            tracing::error!(%reason, "the store was closed and does not open again");
            end.0.failed(&reason);
        }
        // Who hears of the end may open the directory at once.
        drop(directory);
        drop(end);
    }

    fn commit(&mut self) {
        if !self.has_space() {
            return;
        }
        let (group, news) = self.shared().take();
        if news {
            tracing::info!("the disk of the store has space again, commits go on");
        }
        let Some(mut group) = group else { return };
        let (records, bytes) = (group.writes.len(), group.bytes);
        let started = Instant::now();
        match self.write(&mut group) {
            Ok(()) => {
                self.shared().flushed(records, bytes, started.elapsed());
                group.resolve(&Ok(()));
                if self.sized.elapsed() >= SIZE_EVERY {
                    self.look_at_size();
                }
            }
            Err(reason) => {
                tracing::error!(%reason, records, "the database failed; restart needed");
                self.shared().failed(&reason);
                group.resolve(&Err(CommitError::Failed(reason)));
            }
        }
    }

    fn write(&mut self, group: &mut Group) -> Result<(), Failure> {
        let live = &mut self.live;
        let writes = std::mem::take(&mut group.writes);
        self.database.apply(writes, |key, replaced| live.replaced(key.0, &key.1, replaced))?;
        self.database.sync()
    }

    /// Looks whether there is space to write; says so to everybody if not.
    fn has_space(&mut self) -> bool {
        if self.floor.is_off() {
            return true;
        }
        // A file system that does not answer is not one to write to.
        let free = self.space.free_bytes().unwrap_or_else(|error| {
            tracing::warn!(%error, "free space of the store's disk is unknown");
            0
        });
        if self.floor.allows(free, self.shared().is_out_of_space()) {
            return true;
        }
        let needed = self.floor.needed();
        if self.shared().out_of_space(free, needed) {
            tracing::error!(free, needed, "the disk of the store is nearly full, commits are stopped");
        }
        false
    }

    fn scan(&mut self, request: &ScanRequest) {
        let chunk = self.database.chunk(request.table, request.from.as_deref(), SCAN_BYTES);
        match &chunk {
            Ok(chunk) => self.note_scan(request.table, request.from.as_deref(), chunk),
            Err(reason) => tracing::error!(%reason, table = request.table.name(), "a scan failed"),
        }
        // Who has stopped scanning does not listen any more.
        let _ = request.reply.send(chunk);
    }

    fn note_scan(&mut self, table: Table, from: Option<&[u8]>, chunk: &Chunk) {
        self.live.scanned(table, from, chunk);
        if !chunk.damaged.is_empty() {
            self.shared().met_damage(chunk.damaged.len() as u64);
        }
        if chunk.next.is_none() {
            self.shared().sized(None, self.live.total());
        }
    }

    fn look_at_size(&mut self) {
        self.sized = Instant::now();
        match self.database.size_on_disk() {
            Ok(disk) => self.shared().sized(Some(disk), self.live.total()),
            Err(reason) => tracing::warn!(%reason, "the size of the store is unknown"),
        }
    }
}
