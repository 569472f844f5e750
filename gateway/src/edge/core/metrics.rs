//! Figures of the door `edge`.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

/// How a connection of an edge ended, or began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Outcome {
    /// The edge of a site is in.
    Connected,
    /// A site has enrolled.
    Enrolled,
    /// No certificate was given: the token or the request is not good, or there is no room.
    Token,
    /// The certificate is not that of a site, or not any more.
    Certificate,
    /// The handshake failed.
    Handshake,
    /// Too many handshakes at the same time.
    Busy,
    /// What came is not the protocol.
    Protocol,
    /// Nothing came.
    Silent,
}

impl Outcome {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Connected, "connected"),
        (Self::Enrolled, "enrolled"),
        (Self::Token, "token"),
        (Self::Certificate, "certificate"),
        (Self::Handshake, "handshake"),
        (Self::Busy, "busy"),
        (Self::Protocol, "protocol"),
        (Self::Silent, "silent"),
    ];
}

/// What became of a relayed connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum RelayOutcome {
    /// A door has it.
    Relayed,
    /// Its header did not come or is none.
    Header,
    /// The door it is for is closed.
    NoDoor,
}

impl RelayOutcome {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Relayed, "relayed"), (Self::Header, "header"), (Self::NoDoor, "no_door")];
}

/// The handles.
pub(super) struct CoreMetrics {
    connections: [Counter; Outcome::ALL.len()],
    relayed: [Counter; RelayOutcome::ALL.len()],
    pub(super) relays: Gauge,
    pub(super) sites: Gauge,
    pub(super) pushed_full: Counter,
    pub(super) pushed_delta: Counter,
}

impl CoreMetrics {
    pub(super) fn new() -> Self {
        let pushed = |kind| counter!("callboard_edge_sets_sent_total", "kind" => kind);
        Self {
            connections: Outcome::ALL
                .map(|(_, outcome)| counter!("callboard_edge_connections_total", "outcome" => outcome)),
            relayed: RelayOutcome::ALL
                .map(|(_, outcome)| counter!("callboard_edge_relays_total", "outcome" => outcome)),
            relays: gauge!("callboard_edge_relays"),
            sites: gauge!("callboard_edge_sites_connected"),
            pushed_full: pushed("full"),
            pushed_delta: pushed("delta"),
        }
    }

    pub(super) fn connection(&self, outcome: Outcome) {
        self.connections[outcome as usize].increment(1);
    }

    pub(super) fn relay(&self, outcome: RelayOutcome) {
        self.relayed[outcome as usize].increment(1);
    }
}

/// Tells the installed recorder what these metrics mean.
pub fn describe_metrics() {
    describe_counter!("callboard_edge_connections_total", "Connections to the door of edges, by outcome");
    describe_counter!("callboard_edge_relays_total", "Connections that edges relayed, by outcome");
    describe_gauge!("callboard_edge_relays", "Relayed connections open now");
    describe_gauge!("callboard_edge_sites_connected", "Sites whose edge is connected");
    describe_counter!(
        "callboard_edge_sets_sent_total",
        "Sets of devices with waiting work sent to edges, whole or as a difference"
    );
}
