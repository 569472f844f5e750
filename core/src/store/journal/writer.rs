//! The one thread that writes the journal.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::compact::Compaction;
use super::directory::Directory;
use super::files::Sizes;
use super::frame::{BATCH_HEAD, BatchHead};
use super::pending::Batch;
use super::segment::{Kind, Segment};
use super::shared::{Job, Shared};
use crate::store::space::{Floor, FreeSpace};

/// The log being written.
pub(super) struct Log {
    file: Arc<File>,
    number: u64,
    marker: u64,
    end: u64,
    next_batch: u64,
}

impl Log {
    /// The log in `segment`, whose file can be written, behind its last whole batch. `None` without a sound head.
    pub(super) fn new(segment: &Segment, next_batch: u64) -> Option<Self> {
        let head = segment.head?;
        let file = Arc::clone(&segment.file);
        Some(Self { file, number: head.number, marker: head.marker, end: segment.end, next_batch })
    }

    /// The number of the batch that is written next.
    pub(super) fn next_batch(&self) -> u64 {
        self.next_batch
    }

    /// Writes a batch and makes it durable. After an error the same batch may be tried again: it is written over what is
    /// left of it.
    pub(super) fn write(&mut self, batch: &mut [u8], records: u32) -> io::Result<()> {
        let bytes = u32::try_from(batch.len().saturating_sub(BATCH_HEAD)).map_err(io::Error::other)?;
        let head = BatchHead { number: self.next_batch, bytes, records };
        if let Some(place) = batch.first_chunk_mut() {
            *place = head.encode(self.marker);
        }
        self.file.write_all_at(batch, self.end)?;
        self.file.sync_data()?;
        self.end += batch.len() as u64;
        self.next_batch += 1;
        Ok(())
    }
}

/// The writer, and everything that must go when it ends, in this order.
pub(super) struct Writer {
    log: Log,
    directory: Arc<Directory>,
    space: Box<dyn FreeSpace>,
    floor: Floor,
    /// A batch for which there was no space.
    kept: Option<Batch>,
    /// A buffer to swap with the queue's.
    spare: Vec<u8>,
    compaction: Option<JoinHandle<()>>,
    end: End,
}

/// Tells the callers when the writer has ended, even if it panicked.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.failed(&Arc::from("the writer of the journal panicked"));
        }
        self.0.end();
    }
}

impl Writer {
    pub(super) fn new(
        log: Log,
        directory: Arc<Directory>,
        space: Box<dyn FreeSpace>,
        shared: Arc<Shared>,
    ) -> Self {
        let floor = Floor::new(shared.config.min_free_bytes);
        let (kept, spare, compaction) = (None, Vec::new(), None);
        Self { log, directory, space, floor, kept, spare, compaction, end: End(shared) }
    }

    fn shared(&self) -> &Shared {
        &self.end.0
    }

    /// Works until the journal is stopped.
    pub(super) fn run(mut self) {
        // The state of the disk is known before the first append is answered from it.
        self.has_space();
        loop {
            let job = self.shared().next();
            self.shared().busy();
            match job {
                Job::Commit => self.commit(),
                Job::Exit => return self.close(),
            }
            self.shared().idle();
        }
    }

    /// Ends the log with an empty batch: from then on damage to the last records is not taken for the torn end that a kill
    /// leaves.
    fn close(mut self) {
        if self.shared().stats().batches > 0 && self.shared().is_sound() && self.kept.is_none() {
            let mut empty = [0; BATCH_HEAD];
            if let Err(error) = self.log.write(&mut empty, 0) {
                tracing::warn!(%error, "the journal has no mark of its end; nothing is lost");
            }
        }
        if let Some(compaction) = self.compaction.take() {
            // It told of its panic.
            let _ = compaction.join();
        }
        let Self { directory, end, .. } = self;
        // Who hears of the end may open the directory at once.
        drop(directory);
        drop(end);
    }

    fn commit(&mut self) {
        if !self.has_space() {
            return;
        }
        let spare = std::mem::take(&mut self.spare);
        let batch = self.kept.take().or_else(|| self.shared().take(spare));
        let Some(mut batch) = batch else {
            if self.shared().has_space() {
                tracing::info!("the disk of the journal has space again");
            }
            return;
        };
        let started = Instant::now();
        match self.log.write(&mut batch.bytes, batch.records) {
            Ok(()) => self.written(batch, started),
            Err(error) if is_full(&error) => {
                self.kept = Some(batch);
                if self.shared().out_of_space(0, 1) {
                    tracing::error!(%error, "the disk of the journal is full, commits are stopped");
                }
            }
            Err(error) => {
                tracing::error!(%error, records = batch.records, "the journal failed; restart needed");
                self.shared().failed(&Arc::from(format!("writing the journal: {error}")));
            }
        }
    }

    fn written(&mut self, batch: Batch, started: Instant) {
        let sizes = self.shared().files.grown(self.log.end);
        if self.shared().flushed(batch.records, batch.bytes.len(), started.elapsed()) {
            tracing::info!("the disk of the journal has space again, commits go on");
        }
        self.shared().meter.sized(sizes.log, sizes.snapshot);
        self.spare = batch.bytes;
        if self.shared().begin_compaction(sizes) {
            self.compact(sizes);
        }
    }

    /// Looks whether there is space to write; says so to everybody if not.
    fn has_space(&mut self) -> bool {
        if self.floor.is_off() {
            return true;
        }
        let free = self.free_bytes();
        if self.floor.allows(free, self.shared().is_out_of_space()) {
            return true;
        }
        let needed = self.floor.needed();
        if self.shared().out_of_space(free, needed) {
            tracing::error!(free, needed, "the disk of the journal is nearly full, commits are stopped");
        }
        false
    }

    /// A file system that does not answer is not one to write to.
    fn free_bytes(&mut self) -> u64 {
        self.space.free_bytes().unwrap_or_else(|error| {
            tracing::warn!(%error, "free space of the journal's disk is unknown");
            0
        })
    }

    /// Goes on with a new log, and has all files before it compacted beside the writer.
    fn compact(&mut self, sizes: Sizes) {
        let compaction = Compaction {
            directory: Arc::clone(&self.directory),
            shared: Arc::clone(&self.end.0),
            next_batch: self.log.next_batch,
        };
        // Half of the floor may be used: in the end the compaction gives space back.
        let needed = sizes.log + sizes.snapshot + self.shared().config.min_free_bytes / 2;
        let free = self.free_bytes();
        if free < needed {
            self.shared().meter.compaction_no_space.increment(1);
            tracing::warn!(free, needed, "too little space to compact the journal");
            return;
        }
        let begun = self.roll().and_then(|()| {
            thread::Builder::new().name("journal-compact".to_owned()).spawn(move || compaction.run())
        });
        match begun {
            // The one before has ended.
            Ok(thread) => self.compaction = Some(thread),
            Err(error) => {
                self.shared().meter.compaction_failed.increment(1);
                tracing::error!(%error, "compacting the journal could not be begun");
            }
        }
    }

    fn roll(&mut self) -> io::Result<()> {
        let (number, next_batch) = (self.log.number + 1, self.log.next_batch);
        let segment = self.directory.create(Kind::Log, number, next_batch)?;
        self.log = Log::new(&segment, next_batch).ok_or_else(|| io::Error::other("a new log has no head"))?;
        self.shared().files.rolled(segment);
        Ok(())
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
