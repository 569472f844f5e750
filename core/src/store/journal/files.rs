//! The files in use: shared by the writer, scans and the compaction.

use parking_lot::Mutex;

use super::segment::{FIRST, Kind, Segment};

/// The files in use, oldest first; the last one is the log being written.
#[derive(Debug)]
pub(super) struct Files {
    segments: Mutex<Vec<Segment>>,
}

/// Bytes of the files in use, without their heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sizes {
    /// Of changes since the last compaction.
    pub(super) log: u64,
    /// Of what that left.
    pub(super) snapshot: u64,
}

impl Files {
    pub(super) fn new(segments: Vec<Segment>) -> Self {
        Self { segments: Mutex::new(segments) }
    }

    /// What can be read now.
    pub(super) fn all(&self) -> Vec<Segment> {
        self.segments.lock().clone()
    }

    /// What can be read now and is no longer written.
    pub(super) fn closed(&self) -> Vec<Segment> {
        let mut segments = self.all();
        segments.pop();
        segments
    }

    /// The log being written is durable up to `end`.
    pub(super) fn grown(&self, end: u64) -> Sizes {
        let mut segments = self.segments.lock();
        if let Some(log) = segments.last_mut() {
            log.end = end;
        }
        sizes(&segments)
    }

    /// From now on `log` is written.
    pub(super) fn rolled(&self, log: Segment) {
        self.segments.lock().push(log);
    }

    /// `snapshot` stands for everything up to its number. Returns the files that are no longer needed.
    pub(super) fn compacted(&self, snapshot: Segment) -> Vec<Segment> {
        let mut segments = self.segments.lock();
        let replaced = segments.partition_point(|segment| segment.number <= snapshot.number);
        segments.splice(..replaced, [snapshot]).collect()
    }

    pub(super) fn sizes(&self) -> Sizes {
        sizes(&self.segments.lock())
    }
}

fn sizes(segments: &[Segment]) -> Sizes {
    let mut sizes = Sizes::default();
    for segment in segments {
        let bytes = segment.end.saturating_sub(FIRST);
        match segment.kind {
            Kind::Log => sizes.log += bytes,
            Kind::Snapshot => sizes.snapshot += bytes,
        }
    }
    sizes
}
