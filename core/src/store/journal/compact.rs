//! Compaction: the last values of all keys in old files become one snapshot that takes their place.

use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::directory::{Directory, Unfinished};
use super::frame::{BATCH_HEAD, BatchHead, Record};
use super::merge::Merge;
use super::segment::{FIRST, Kind, Segment};
use super::shared::Shared;
use super::status::JournalScan;

/// Bytes of a batch of a snapshot: what one damaged head costs.
const BATCH: usize = 32 * 1024;

/// Bytes written between two flushes, so that a flush of the log never waits for all of a snapshot.
const SYNC_EVERY: u64 = 4 * 1024 * 1024;

/// A file that becomes a snapshot.
struct Snapshot {
    unfinished: Unfinished,
    /// Room for a head, and records.
    batch: Vec<u8>,
    records: u32,
    batches: u64,
    end: u64,
    unsynced: u64,
}

impl Snapshot {
    fn new(unfinished: Unfinished) -> Self {
        Self { unfinished, batch: vec![0; BATCH_HEAD], records: 0, batches: 0, end: FIRST, unsynced: 0 }
    }

    fn push(&mut self, key: &str, value: &[u8]) -> io::Result<()> {
        // It was checked when it was appended, against a bound that may have been another.
        let record = Record::new(key, Some(value), usize::MAX).map_err(io::Error::other)?;
        record.write_to(&mut self.batch);
        self.records += 1;
        if self.batch.len() < BATCH { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> io::Result<()> {
        let bytes = write_batch(&self.unfinished, self.end, self.batches, self.records, &mut self.batch)?;
        self.end += bytes;
        self.unsynced += bytes;
        self.batches += 1;
        self.records = 0;
        self.batch.truncate(BATCH_HEAD);
        if self.unsynced >= SYNC_EVERY {
            self.unfinished.file.sync_data()?;
            self.unsynced = 0;
        }
        Ok(())
    }

    /// Writes what is left, and the empty batch that tells a whole snapshot.
    fn seal(mut self) -> io::Result<Unfinished> {
        if self.records > 0 {
            self.write()?;
        }
        self.write()?;
        Ok(self.unfinished)
    }
}

fn write_batch(to: &Unfinished, at: u64, number: u64, records: u32, batch: &mut [u8]) -> io::Result<u64> {
    let bytes = u32::try_from(batch.len().saturating_sub(BATCH_HEAD)).map_err(io::Error::other)?;
    let head = BatchHead { number, bytes, records }.encode(to.head.marker);
    if let Some(place) = batch.first_chunk_mut() {
        *place = head;
    }
    to.file.write_all_at(batch, at)?;
    Ok(batch.len() as u64)
}

/// Makes a snapshot of `segments`; `next_batch` is the number of the first batch behind them. What could not be read whole
/// is kept aside. `None` when `go_on` ended it.
///
/// The log of the next number must be there: without it the snapshot would look as if something were missing.
pub(super) fn compact(
    directory: &Directory,
    segments: &[Segment],
    next_batch: u64,
    memory: usize,
    go_on: &dyn Fn() -> bool,
) -> io::Result<Option<(Segment, JournalScan)>> {
    let Some(newest) = segments.last() else { return Ok(None) };
    let unfinished = directory.begin(Kind::Snapshot, newest.number, next_batch)?;
    let mut snapshot = Snapshot::new(unfinished);
    let mut failure = None;
    let merge = Merge { segments, memory, go_on };
    let scan = merge.run(&mut |key, value| match snapshot.push(key, value) {
        Ok(()) if go_on() => ControlFlow::Continue(()),
        Ok(()) => ControlFlow::Break(()),
        Err(error) => {
            failure = Some(error);
            ControlFlow::Break(())
        }
    });
    let scan = match (scan, failure) {
        (Ok(scan), None) => scan,
        (Err(error), _) | (_, Some(error)) => {
            // What is left of it is removed at the next start at the latest.
            let _ = directory.discard(&snapshot.unfinished);
            return Err(error);
        }
    };
    if scan.stopped {
        directory.discard(&snapshot.unfinished)?;
        return Ok(None);
    }
    let damaged = scan.damage.list.iter().filter(|stretch| stretch.bytes > 0);
    for stretch in damaged {
        directory.keep_aside(&stretch.file)?;
    }
    let segment = directory.finish(snapshot.seal()?)?;
    Ok(Some((segment, scan)))
}

/// A compaction beside the writer.
pub(super) struct Compaction {
    pub(super) directory: Arc<Directory>,
    pub(super) shared: Arc<Shared>,
    pub(super) next_batch: u64,
}

impl Drop for Compaction {
    fn drop(&mut self) {
        self.shared.end_compaction();
    }
}

impl Compaction {
    /// Compacts all files that are no longer written.
    pub(super) fn run(self) {
        if let Err(error) = self.compact() {
            self.shared.meter.compaction_failed.increment(1);
            tracing::error!(%error, "the journal was not compacted; it grows until it is");
        }
    }

    fn compact(&self) -> io::Result<()> {
        let started = Instant::now();
        let shared = &self.shared;
        let go_on = || shared.may_compact();
        let segments = shared.files.closed();
        let memory = shared.config.scan_bytes;
        let Some((snapshot, scan)) = compact(&self.directory, &segments, self.next_batch, memory, &go_on)?
        else {
            return Ok(());
        };
        let bytes = snapshot.end;
        let replaced = shared.files.compacted(snapshot);
        shared.compacted(&scan.damage, started.elapsed());
        if !scan.damage.is_none() {
            let (records, stretches) = (scan.damage.records, scan.damage.stretches);
            tracing::error!(records, stretches, "files of the journal are damaged; they were kept aside");
        }
        tracing::debug!(records = scan.records, bytes, took = ?started.elapsed(), "the journal was compacted");
        self.directory.remove(replaced.iter().map(|segment| PathBuf::from(&segment.name)))
    }
}
