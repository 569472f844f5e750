//! What the spool says about itself.

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

use super::queue::Receiver;
use crate::time::Timestamp;

const ENTRIES: &str = "callboard_snmp_spool_entries";
const BYTES: &str = "callboard_snmp_spool_bytes";
const UNWRITTEN: &str = "callboard_snmp_spool_unwritten_entries";
const WAITING: &str = "callboard_snmp_spool_waiting";
const LOST: &str = "callboard_snmp_spool_lost_total";

/// Tells the installed recorder what the metrics of the spool mean.
pub fn describe_metrics() {
    describe_gauge!(ENTRIES, Unit::Count, "Events that wait for receivers of informs");
    describe_gauge!(BYTES, Unit::Bytes, "Memory that they take, as far as can be told");
    describe_gauge!(UNWRITTEN, Unit::Count, "Those of them that the journal has not taken yet");
    describe_gauge!(WAITING, Unit::Count, "Events that a receiver has not acknowledged");
    describe_counter!(
        LOST,
        Unit::Count,
        "Events that a receiver did not get, because too many waited or too long"
    );
}

/// Figures of the spool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpoolStats {
    /// Events that wait.
    pub entries: usize,
    /// Memory that they take, in bytes, as far as can be told.
    pub bytes: usize,
    /// Those of them that the journal has not taken, and that a crash would lose.
    pub unwritten: usize,
    /// The receivers, by name.
    pub receivers: Vec<ReceiverStats>,
}

/// Figures of one receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverStats {
    /// Its name.
    pub name: Box<str>,
    /// Events that it has not acknowledged.
    pub waiting: usize,
    /// When the oldest of them happened.
    pub oldest: Option<Timestamp>,
    /// Events that it did not get, because too many waited or too long.
    pub lost: u64,
    /// Number of the last event that it acknowledged, 0 before the first.
    pub acknowledged: u64,
}

/// Handles, made once.
pub(super) struct Meter {
    entries: Gauge,
    bytes: Gauge,
    unwritten: Gauge,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self { entries: gauge!(ENTRIES), bytes: gauge!(BYTES), unwritten: gauge!(UNWRITTEN) }
    }

    #[allow(clippy::cast_precision_loss)] // gauges are floats
    pub(super) fn set(&self, entries: usize, bytes: usize, unwritten: usize) {
        self.entries.set(entries as f64);
        self.bytes.set(bytes as f64);
        self.unwritten.set(unwritten as f64);
    }
}

/// Handles of one receiver.
pub(super) struct ReceiverMeter {
    waiting: Gauge,
    lost: Counter,
}

impl std::fmt::Debug for ReceiverMeter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReceiverMeter(…)")
    }
}

impl ReceiverMeter {
    pub(super) fn new(name: &str) -> Self {
        let name = name.to_owned();
        let lost = counter!(LOST, "receiver" => name.clone());
        // A series that is there from the beginning shows its first loss as a rise.
        lost.increment(0);
        Self { waiting: gauge!(WAITING, "receiver" => name), lost }
    }

    pub(super) fn lost(&self) {
        self.lost.increment(1);
    }

    /// The receiver is no more.
    pub(super) fn gone(&self) {
        self.waiting.set(0.0);
    }
}

impl Receiver {
    #[allow(clippy::cast_precision_loss)] // gauges are floats
    pub(super) fn publish(&self) {
        self.meter.waiting.set(self.waiting.len() as f64);
    }
}
