//! What the edge counts: for its own metrics door, and for the report to the core.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use callboard_codecs::edge::Report;
use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

use crate::dcmp::PollCounts;

/// What became of a phone's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum RelayOutcome {
    /// It is relayed.
    Relayed,
    /// No core is connected: closed at once.
    CoreAway,
    /// The core gave no stream in time.
    NoStream,
}

impl RelayOutcome {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Relayed, "relayed"), (Self::CoreAway, "core_away"), (Self::NoStream, "no_stream")];
}

/// How an attempt to reach a core ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum LinkOutcome {
    /// It is connected.
    Connected,
    /// It is not reached, or refuses.
    Failed,
}

impl LinkOutcome {
    const ALL: [(Self, &'static str); 2] = [(Self::Connected, "connected"), (Self::Failed, "failed")];
}

/// Counters and gauges.
pub(super) struct Figures {
    relays: AtomicU64,
    relayed: AtomicU64,
    refused: AtomicU64,
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
    polls: Arc<PollCounts>,
    calls: AtomicU64,
    open: Gauge,
    connected: Gauge,
    pending: Gauge,
    expiry: Gauge,
    up: Counter,
    down: Counter,
    outcomes: [Counter; RelayOutcome::ALL.len()],
    links: [Counter; LinkOutcome::ALL.len()],
    called: Counter,
}

impl std::fmt::Debug for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Figures").field("report", &self.report()).finish_non_exhaustive()
    }
}

impl Figures {
    pub(super) fn new() -> Self {
        let bytes = |direction| counter!("callboard_branch_relayed_bytes_total", "direction" => direction);
        let zero = || AtomicU64::new(0);
        Self {
            relays: zero(),
            relayed: zero(),
            refused: zero(),
            bytes_up: zero(),
            bytes_down: zero(),
            polls: Arc::default(),
            calls: zero(),
            open: gauge!("callboard_branch_relays"),
            connected: gauge!("callboard_branch_core_connected"),
            pending: gauge!("callboard_branch_pending_devices"),
            expiry: gauge!("callboard_branch_certificate_expiry_timestamp_seconds"),
            up: bytes("up"),
            down: bytes("down"),
            outcomes: RelayOutcome::ALL
                .map(|(_, outcome)| counter!("callboard_branch_relays_total", "outcome" => outcome)),
            links: LinkOutcome::ALL
                .map(|(_, outcome)| counter!("callboard_branch_connects_total", "outcome" => outcome)),
            called: counter!("callboard_branch_calls_total"),
        }
    }

    pub(super) fn relay(&self, outcome: RelayOutcome) {
        self.outcomes[outcome as usize].increment(1);
        let own = if outcome == RelayOutcome::Relayed { &self.relayed } else { &self.refused };
        own.fetch_add(1, Relaxed);
    }

    /// Counts an open relayed connection until it is dropped.
    pub(super) fn open(&self) -> OpenRelay<'_> {
        self.relays.fetch_add(1, Relaxed);
        self.open.increment(1);
        OpenRelay(self)
    }

    pub(super) fn up(&self, bytes: usize) {
        self.up.increment(bytes as u64);
        self.bytes_up.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn down(&self, bytes: usize) {
        self.down.increment(bytes as u64);
        self.bytes_down.fetch_add(bytes as u64, Relaxed);
    }

    /// For the one who answers polls.
    pub(super) fn polls(&self) -> Arc<PollCounts> {
        self.polls.clone()
    }

    pub(super) fn link(&self, outcome: LinkOutcome) {
        self.links[outcome as usize].increment(1);
    }

    pub(super) fn connected(&self, is_connected: bool) {
        self.connected.set(f64::from(u8::from(is_connected)));
    }

    #[allow(clippy::cast_precision_loss)] // gauges are floats
    pub(super) fn pending(&self, devices: usize) {
        self.pending.set(devices as f64);
    }

    #[allow(clippy::cast_precision_loss)] // seconds since 1970 are far below 2^52
    pub(super) fn expiry(&self, at: jiff::Timestamp) {
        self.expiry.set(at.as_second() as f64);
    }

    pub(super) fn call(&self) {
        self.called.increment(1);
        self.calls.fetch_add(1, Relaxed);
    }

    /// As the core is told.
    pub(super) fn report(&self) -> Report {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        Report {
            relays: read(&self.relays),
            relayed: read(&self.relayed),
            refused: read(&self.refused),
            bytes_up: read(&self.bytes_up),
            bytes_down: read(&self.bytes_down),
            polls: self.polls.all(),
            polls_waiting: self.polls.waiting(),
            calls: read(&self.calls),
        }
    }
}

/// An open relayed connection.
pub(super) struct OpenRelay<'a>(&'a Figures);

impl Drop for OpenRelay<'_> {
    fn drop(&mut self) {
        self.0.relays.fetch_sub(1, Relaxed);
        self.0.open.decrement(1);
    }
}

/// Tells the installed recorder what these metrics mean.
pub fn describe_metrics() {
    describe_gauge!("callboard_branch_relays", "Connections of phones that are relayed now");
    describe_gauge!("callboard_branch_core_connected", "1 when a core is connected, else 0");
    describe_gauge!(
        "callboard_branch_pending_devices",
        "Devices of this site with waiting work, as the core told"
    );
    describe_gauge!(
        "callboard_branch_certificate_expiry_timestamp_seconds",
        Unit::Seconds,
        "End of life of the edge's certificate"
    );
    describe_counter!(
        "callboard_branch_relayed_bytes_total",
        Unit::Bytes,
        "Bytes relayed from phones (up) and to phones (down)"
    );
    describe_counter!("callboard_branch_relays_total", "Connections of phones, by what became of them");
    describe_counter!("callboard_branch_connects_total", "Attempts to reach a core, by outcome");
    describe_counter!("callboard_branch_calls_total", "Contact-me calls made for the core");
}
