//! What is counted about files.

use std::io;
use std::sync::Arc;

use callboard_core::file::FileId;
use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};
use tokio::sync::OwnedSemaphorePermit;

const REQUESTS: &str = "callboard_files_requests_total";
const SERVED: &str = "callboard_files_served_bytes_total";
const DOWNLOADS: &str = "callboard_files_downloads";
const DOWNLOADS_LIMIT: &str = "callboard_files_downloads_limit";
const ENDED: &str = "callboard_files_downloads_ended_total";
const UPLOADS: &str = "callboard_files_uploads_total";

/// Describe the metrics of this module.
pub fn describe_metrics() {
    describe_counter!(REQUESTS, "Requests for files at the phones' doors, by outcome");
    describe_counter!(SERVED, Unit::Bytes, "Bytes of files handed over for sending to phones");
    describe_gauge!(DOWNLOADS, Unit::Count, "Downloads of phones under way");
    describe_gauge!(DOWNLOADS_LIMIT, Unit::Count, "Downloads that may be under way");
    describe_counter!(ENDED, "Downloads that ended: complete, left by the phone, or broken at the source");
    describe_counter!(UPLOADS, "Files brought through the API, by outcome");
}

macro_rules! outcomes {
    ($($(#[$doc:meta])* $variant:ident $word:literal,)*) => {
        /// How a request for a file fared.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Outcome { $($(#[$doc])* $variant,)* }

        const WORDS: &[&str] = &[$($word),*];
    };
}

outcomes! {
    /// All of it is sent.
    Full "full",
    /// A part of it is sent.
    Partial "partial",
    /// Its head was wanted.
    Head "head",
    /// The phone has it already.
    NotModified "not_modified",
    /// No such path.
    NotFound "not_found",
    /// Neither GET nor HEAD.
    Method "method",
    /// A part that it has not.
    Range "range",
    /// The connection, or its source, is over its bounds, or the node stops.
    Shed "shed",
    /// As many downloads as may be.
    Busy "busy",
    /// Its bytes cannot be read.
    Failed "failed",
}

/// The counters of the phones' side, made once.
#[derive(Debug)]
pub(super) struct FileMetrics {
    requests: Vec<Counter>,
    served: Counter,
    downloads: Gauge,
    ended: [Counter; 3],
}

impl FileMetrics {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        #[allow(clippy::cast_precision_loss)] // gauges are floats
        gauge!(DOWNLOADS_LIMIT).set(limit as f64);
        let zero = |counter: Counter| {
            counter.increment(0);
            counter
        };
        let downloads = gauge!(DOWNLOADS);
        downloads.set(0.0);
        Arc::new(Self {
            requests: WORDS.iter().map(|word| zero(counter!(REQUESTS, "outcome" => *word))).collect(),
            served: zero(counter!(SERVED)),
            downloads,
            ended: ["complete", "left", "broken"].map(|word| zero(counter!(ENDED, "outcome" => word))),
        })
    }

    pub(super) fn request(&self, outcome: Outcome) {
        if let Some(counter) = self.requests.get(outcome as usize) {
            counter.increment(1);
        }
    }
}

/// One download under way, from its beginning to its drop.
#[derive(Debug)]
pub(super) struct Download {
    metrics: Arc<FileMetrics>,
    file: FileId,
    connection: u64,
    outcome: usize,
    _place: OwnedSemaphorePermit,
}

impl Download {
    pub(super) fn begin(
        metrics: &Arc<FileMetrics>,
        file: FileId,
        connection: u64,
        place: OwnedSemaphorePermit,
    ) -> Self {
        metrics.downloads.increment(1);
        Self { metrics: Arc::clone(metrics), file, connection, outcome: 1, _place: place }
    }

    /// So many bytes were handed over.
    pub(super) fn sent(&self, bytes: usize) {
        self.metrics.served.increment(bytes as u64);
    }

    /// All bytes were handed over.
    pub(super) fn ended(&mut self) {
        self.outcome = 0;
    }

    /// Its bytes stopped coming.
    pub(super) fn broke(&mut self, why: &str) -> io::Error {
        self.outcome = 2;
        tracing::warn!(file = %self.file, why, "a download broke off");
        io::Error::other("the file cannot be read")
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.metrics.downloads.decrement(1);
        if let Some(counter) = self.metrics.ended.get(self.outcome) {
            counter.increment(1);
        }
        tracing::debug!(file = %self.file, conn = self.connection, complete = self.outcome == 0, "download ended");
    }
}

/// Counts what came of uploads.
#[derive(Debug)]
pub(super) struct UploadMetrics {
    done: Counter,
    refused: Counter,
    failed: Counter,
}

impl UploadMetrics {
    pub(super) fn new() -> Self {
        let [done, refused, failed] = ["done", "refused", "failed"].map(|word| {
            let counter = counter!(UPLOADS, "outcome" => word);
            counter.increment(0);
            counter
        });
        Self { done, refused, failed }
    }

    pub(super) fn done(&self) {
        self.done.increment(1);
    }

    pub(super) fn refused(&self) {
        self.refused.increment(1);
    }

    pub(super) fn failed(&self) {
        self.failed.increment(1);
    }
}
