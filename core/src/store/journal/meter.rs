//! A journal's metrics.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Unit, counter, gauge, histogram};

use crate::store::SubmitError;

const RECORDS: &str = "callboard_journal_records_total";
const WRITTEN: &str = "callboard_journal_written_bytes_total";
const BATCH_RECORDS: &str = "callboard_journal_commit_batch_records";
const FLUSH_SECONDS: &str = "callboard_journal_flush_seconds";
const QUEUE_BYTES: &str = "callboard_journal_queue_bytes";
const COMMITS: &str = "callboard_journal_commits_total";
const REFUSED: &str = "callboard_journal_refused_total";
const BYTES: &str = "callboard_journal_bytes";
const COMPACTIONS: &str = "callboard_journal_compactions_total";
const COMPACTION_SECONDS: &str = "callboard_journal_compaction_seconds";
const DAMAGED: &str = "callboard_journal_damaged_records";
const STALLED: &str = "callboard_journal_stalled";

const REFUSED_CAUSES: [&str; 5] = ["full", "no_space", "failed", "stopped", "invalid"];

/// Describes the metrics of journals to the installed recorder.
pub(in crate::store) fn describe_metrics() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!(RECORDS, Unit::Count, "Records made durable");
    describe_counter!(WRITTEN, Unit::Bytes, "Bytes written for them");
    describe_histogram!(BATCH_RECORDS, Unit::Count, "Records made durable with one flush");
    describe_histogram!(FLUSH_SECONDS, Unit::Seconds, "Time to write and flush one group of records");
    describe_gauge!(QUEUE_BYTES, Unit::Bytes, "Bytes queued or being flushed");
    describe_counter!(COMMITS, Unit::Count, "Groups of records, by outcome: durable, no_space, failed");
    describe_counter!(
        REFUSED,
        Unit::Count,
        "Appends refused, by cause: full, no_space, failed, stopped, invalid"
    );
    describe_gauge!(
        BYTES,
        Unit::Bytes,
        "Bytes of the journal, by kind: log (changes since the last compaction), snapshot (what that left)"
    );
    describe_counter!(COMPACTIONS, Unit::Count, "Compactions, by outcome: done, no_space, failed");
    describe_histogram!(COMPACTION_SECONDS, Unit::Seconds, "Time of a compaction that ended well");
    describe_gauge!(DAMAGED, Unit::Count, "Records that cannot be read, as far as their number is known");
    describe_gauge!(STALLED, Unit::Count, "1 while a flush takes longer than it should, else 0");
}

/// Handles, made once.
pub(super) struct Meter {
    holds: &'static str,
    records: Counter,
    written: Counter,
    batch_records: Histogram,
    flush_seconds: Histogram,
    queue_bytes: Gauge,
    durable: Counter,
    pub(super) no_space: Counter,
    pub(super) failed: Counter,
    log_bytes: Gauge,
    snapshot_bytes: Gauge,
    compacted: Counter,
    pub(super) compaction_no_space: Counter,
    pub(super) compaction_failed: Counter,
    compaction_seconds: Histogram,
    damaged: Gauge,
    pub(super) stalled: Gauge,
}

impl Meter {
    /// Of the journal of what `holds` says.
    pub(super) fn new(holds: &'static str) -> Self {
        // At zero from the start: an increase over a counter that appears with its first count is lost.
        for cause in REFUSED_CAUSES {
            counter!(REFUSED, "journal" => holds, "cause" => cause).increment(0);
        }
        let commits = |outcome: &'static str| counter!(COMMITS, "journal" => holds, "outcome" => outcome);
        let compactions =
            |outcome: &'static str| counter!(COMPACTIONS, "journal" => holds, "outcome" => outcome);
        Self {
            holds,
            records: counter!(RECORDS, "journal" => holds),
            written: counter!(WRITTEN, "journal" => holds),
            batch_records: histogram!(BATCH_RECORDS, "journal" => holds),
            flush_seconds: histogram!(FLUSH_SECONDS, "journal" => holds),
            queue_bytes: gauge!(QUEUE_BYTES, "journal" => holds),
            durable: commits("durable"),
            no_space: commits("no_space"),
            failed: commits("failed"),
            log_bytes: gauge!(BYTES, "journal" => holds, "kind" => "log"),
            snapshot_bytes: gauge!(BYTES, "journal" => holds, "kind" => "snapshot"),
            compacted: compactions("done"),
            compaction_no_space: compactions("no_space"),
            compaction_failed: compactions("failed"),
            compaction_seconds: histogram!(COMPACTION_SECONDS, "journal" => holds),
            damaged: gauge!(DAMAGED, "journal" => holds),
            stalled: gauge!(STALLED, "journal" => holds),
        }
    }

    #[allow(clippy::cast_precision_loss)] // sizes stay far below 2^52
    pub(super) fn flushed(&self, records: u32, bytes: usize, took: Duration, queued: usize) {
        self.records.increment(u64::from(records));
        self.written.increment(bytes as u64);
        self.batch_records.record(f64::from(records));
        self.flush_seconds.record(took.as_secs_f64());
        self.queue_bytes.set(queued as f64);
        self.durable.increment(1);
    }

    #[allow(clippy::cast_precision_loss)]
    pub(super) fn sized(&self, log: u64, snapshot: u64) {
        self.log_bytes.set(log as f64);
        self.snapshot_bytes.set(snapshot as f64);
    }

    pub(super) fn compacted(&self, took: Duration) {
        self.compacted.increment(1);
        self.compaction_seconds.record(took.as_secs_f64());
    }

    #[allow(clippy::cast_precision_loss)]
    pub(super) fn damaged(&self, records: u64) {
        self.damaged.set(records as f64);
    }

    /// Refusals are rare, so their handles are not kept.
    pub(super) fn refused(&self, error: &SubmitError) {
        let cause = match error {
            SubmitError::Full { .. } => "full",
            SubmitError::NoSpace { .. } => "no_space",
            SubmitError::Failed(_) => "failed",
            SubmitError::Stopped => "stopped",
            SubmitError::TooLarge { .. } | SubmitError::BadKey(_) => "invalid",
        };
        counter!(REFUSED, "journal" => self.holds, "cause" => cause).increment(1);
    }
}
