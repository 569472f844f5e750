//! The store's metrics.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Unit, counter, gauge, histogram};

use super::SubmitError;

const BATCH_RECORDS: &str = "callboard_store_commit_batch_records";
const BATCH_BYTES: &str = "callboard_store_commit_batch_bytes";
const FLUSH_SECONDS: &str = "callboard_store_flush_seconds";
const QUEUE_BYTES: &str = "callboard_store_queue_bytes";
const QUEUE_RECORDS: &str = "callboard_store_queue_records";
const COMMITS: &str = "callboard_store_commits_total";
const REFUSED: &str = "callboard_store_refused_total";
const DAMAGED: &str = "callboard_store_damaged_records";
const BYTES: &str = "callboard_store_bytes";
const STALLED: &str = "callboard_store_stalled";

const REFUSED_CAUSES: [&str; 5] = ["full", "no_space", "failed", "stopped", "invalid"];

/// Describes the metrics of the store and of the journal to the installed recorder; once, at start.
pub fn describe_metrics() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    super::journal::describe_metrics();
    describe_histogram!(BATCH_RECORDS, Unit::Count, "Records made durable with one flush");
    describe_histogram!(BATCH_BYTES, Unit::Bytes, "Bytes of keys and values made durable with one flush");
    describe_histogram!(FLUSH_SECONDS, Unit::Seconds, "Time to write and flush one group of records");
    describe_gauge!(QUEUE_BYTES, Unit::Bytes, "Bytes queued or being flushed");
    describe_gauge!(QUEUE_RECORDS, Unit::Count, "Records queued or being flushed");
    describe_counter!(COMMITS, Unit::Count, "Groups of records, by outcome: durable, no_space, failed");
    describe_counter!(
        REFUSED,
        Unit::Count,
        "Submissions refused, by cause: full, no_space, failed, stopped, invalid"
    );
    describe_gauge!(DAMAGED, Unit::Count, "Damaged records met by scans since the start");
    describe_gauge!(BYTES, Unit::Bytes, "Bytes of the store, by kind: disk (files), live (records)");
    describe_gauge!(STALLED, Unit::Count, "1 while a flush takes longer than it should, else 0");
}

/// Handles, made once.
pub(super) struct Meter {
    pub(super) batch_records: Histogram,
    pub(super) batch_bytes: Histogram,
    pub(super) flush_seconds: Histogram,
    pub(super) queue_bytes: Gauge,
    pub(super) queue_records: Gauge,
    pub(super) durable: Counter,
    pub(super) no_space: Counter,
    pub(super) failed: Counter,
    pub(super) damaged: Gauge,
    pub(super) disk_bytes: Gauge,
    pub(super) live_bytes: Gauge,
    pub(super) stalled: Gauge,
}

impl Meter {
    pub(super) fn new() -> Self {
        // At zero from the start: an increase over a counter that appears with its first count is lost.
        for cause in REFUSED_CAUSES {
            counter!(REFUSED, "cause" => cause).increment(0);
        }
        Self {
            batch_records: histogram!(BATCH_RECORDS),
            batch_bytes: histogram!(BATCH_BYTES),
            flush_seconds: histogram!(FLUSH_SECONDS),
            queue_bytes: gauge!(QUEUE_BYTES),
            queue_records: gauge!(QUEUE_RECORDS),
            durable: counter!(COMMITS, "outcome" => "durable"),
            no_space: counter!(COMMITS, "outcome" => "no_space"),
            failed: counter!(COMMITS, "outcome" => "failed"),
            damaged: gauge!(DAMAGED),
            disk_bytes: gauge!(BYTES, "kind" => "disk"),
            live_bytes: gauge!(BYTES, "kind" => "live"),
            stalled: gauge!(STALLED),
        }
    }

    #[allow(clippy::cast_precision_loss)] // sizes stay far below 2^52
    pub(super) fn flushed(&self, records: usize, bytes: usize, took: Duration) {
        self.batch_records.record(records as f64);
        self.batch_bytes.record(bytes as f64);
        self.flush_seconds.record(took.as_secs_f64());
        self.durable.increment(1);
    }

    #[allow(clippy::cast_precision_loss)]
    pub(super) fn queued(&self, records: usize, bytes: usize) {
        self.queue_records.set(records as f64);
        self.queue_bytes.set(bytes as f64);
    }

    /// Refusals are rare, so their handles are not kept.
    pub(super) fn refused(error: &SubmitError) {
        let cause = match error {
            SubmitError::Full { .. } => "full",
            SubmitError::NoSpace { .. } => "no_space",
            SubmitError::Failed(_) => "failed",
            SubmitError::Stopped => "stopped",
            SubmitError::TooLarge { .. } | SubmitError::BadKey(_) => "invalid",
        };
        counter!(REFUSED, "cause" => cause).increment(1);
    }
}
