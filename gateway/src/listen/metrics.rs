//! Counters and gauges of a door. Handles are made once per door; no label ever holds an address.

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
};
use metrics::{gauge, histogram};

use super::{Door, clock::Doing};
use crate::tls::{self, HandshakeOutcome};

/// Why a connection was shed or closed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Cause {
    /// Too many connections on the door.
    Connections,
    /// Too many connections of its source.
    SourceConnections,
    /// Too many new connections of its source in this second.
    SourceRate,
    /// Too many sources to keep account of.
    Sources,
}

impl Cause {
    const ALL: [Self; 4] = [Self::Connections, Self::SourceConnections, Self::SourceRate, Self::Sources];

    fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::SourceConnections => "source_connections",
            Self::SourceRate => "source_rate",
            Self::Sources => "sources",
        }
    }
}

/// How an HTTP connection broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum HttpError {
    /// What came is not HTTP/1; answered with 400 where that makes sense.
    Parse,
    /// The request's length can be read in two ways; answered with 400.
    AmbiguousLength,
    /// The head is too long; answered with 431 or 414.
    HeadTooLarge,
    /// The peer went away in the middle of a request.
    Incomplete,
    /// The peer went away in the middle of a response.
    Unsent,
    /// Anything else.
    Other,
}

impl HttpError {
    const ALL: [Self; 6] =
        [Self::Parse, Self::AmbiguousLength, Self::HeadTooLarge, Self::Incomplete, Self::Unsent, Self::Other];

    fn label(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::AmbiguousLength => "ambiguous_length",
            Self::HeadTooLarge => "head_too_large",
            Self::Incomplete => "incomplete",
            Self::Unsent => "unsent",
            Self::Other => "other",
        }
    }

    pub(super) fn of(error: &hyper::Error) -> Self {
        if error.is_parse_too_large() {
            Self::HeadTooLarge
        } else if error.is_parse() {
            Self::Parse
        } else if error.is_incomplete_message() {
            Self::Incomplete
        } else if error.is_body_write_aborted() {
            Self::Unsent
        } else {
            Self::Other
        }
    }
}

/// The handles of one door.
pub(super) struct DoorMetrics {
    pub(super) connections: Gauge,
    pub(super) shed_connections: Gauge,
    pub(super) accepted: Counter,
    pub(super) accept_errors: Counter,
    pub(super) handshakes_waiting: Gauge,
    pub(super) handshake_seconds: Histogram,
    rejected: [Counter; Cause::ALL.len()],
    shed: [Counter; Cause::ALL.len()],
    timeouts: [Counter; Doing::ALL.len()],
    http_errors: [Counter; HttpError::ALL.len()],
    handshakes: Vec<(HandshakeOutcome, Counter)>,
}

impl DoorMetrics {
    pub(super) fn new(door: Door, limit: usize) -> Self {
        let door = door.name;
        // Far below 2^52, where a float counts exactly.
        #[allow(clippy::cast_precision_loss)]
        gauge!("callboard_listen_connections_limit", "door" => door).set(limit as f64);
        Self {
            connections: gauge!("callboard_listen_connections", "door" => door),
            shed_connections: gauge!("callboard_listen_shed_connections", "door" => door),
            accepted: counter!("callboard_listen_accepted_total", "door" => door),
            accept_errors: counter!("callboard_listen_accept_errors_total", "door" => door),
            handshakes_waiting: gauge!("callboard_tls_handshakes_waiting", "door" => door),
            handshake_seconds: histogram!("callboard_tls_handshake_seconds", "door" => door),
            rejected: Cause::ALL
                .map(|c| counter!("callboard_listen_rejected_total", "door" => door, "cause" => c.label())),
            shed: Cause::ALL
                .map(|c| counter!("callboard_listen_shed_total", "door" => door, "cause" => c.label())),
            timeouts: Doing::ALL
                .map(|d| counter!("callboard_http_timeouts_total", "door" => door, "phase" => d.label())),
            http_errors: HttpError::ALL
                .map(|e| counter!("callboard_http_errors_total", "door" => door, "cause" => e.label())),
            handshakes: HandshakeOutcome::all()
                .map(|outcome| {
                    let (text, version, key) = outcome.labels();
                    let counter = counter!("callboard_tls_handshakes_total",
                        "door" => door, "outcome" => text, "version" => version, "key" => key);
                    (outcome, counter)
                })
                .collect(),
        }
    }

    pub(super) fn rejected(&self, cause: Cause) {
        self.rejected[cause as usize].increment(1);
    }

    pub(super) fn shed(&self, cause: Cause) {
        self.shed[cause as usize].increment(1);
    }

    pub(super) fn timed_out(&self, doing: Doing) {
        self.timeouts[doing as usize].increment(1);
    }

    pub(super) fn http_error(&self, error: HttpError) {
        self.http_errors[error as usize].increment(1);
    }

    pub(super) fn handshake(&self, outcome: HandshakeOutcome) {
        if let Some((_, counter)) = self.handshakes.iter().find(|(known, _)| *known == outcome) {
            counter.increment(1);
        }
    }
}

/// Tells the installed recorder what the metrics of the doors mean. To be called once, after it is installed.
pub fn describe_metrics() {
    describe_gauge!("callboard_listen_connections", "Open connections that are served normally.");
    describe_gauge!(
        "callboard_listen_connections_limit",
        "Open connections beyond which further ones are shed."
    );
    describe_gauge!("callboard_listen_shed_connections", "Open connections that are told to come later.");
    describe_counter!("callboard_listen_accepted_total", "Connections taken from the kernel's queue.");
    describe_counter!(
        "callboard_listen_accept_errors_total",
        "Failures to take a connection from the kernel's queue."
    );
    describe_counter!("callboard_listen_rejected_total", "Connections closed at once, by cause.");
    describe_counter!("callboard_listen_shed_total", "Connections told to come later, by cause.");
    describe_counter!(
        "callboard_http_timeouts_total",
        "Connections ended by a time-out, by what they were doing."
    );
    describe_counter!("callboard_http_errors_total", "Connections that broke inside HTTP, by cause.");
    describe_counter!(
        "callboard_tls_handshakes_total",
        "Ended TLS handshakes by outcome, version and server key."
    );
    describe_gauge!(
        "callboard_tls_handshakes_waiting",
        "TLS handshakes waiting for their turn on a processor."
    );
    describe_histogram!(
        "callboard_tls_handshake_seconds",
        Unit::Seconds,
        "From the client's first message to the end of a successful TLS handshake."
    );
    tls::describe_metrics();
}
