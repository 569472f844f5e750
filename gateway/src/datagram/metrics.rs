//! Figures of the sockets for datagrams.

use std::io;

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

/// What is spoken at a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// In the names of metrics.
    pub word: &'static str,
    /// For people.
    pub name: &'static str,
}

impl Protocol {
    fn metric(self, rest: &str) -> String {
        format!("callboard_{}_{rest}", self.word)
    }
}

/// Tells the installed recorder what the metrics of a door of this protocol mean.
pub fn describe_metrics(protocol: Protocol) {
    let name = protocol.name;
    let counters = [
        ("datagrams_received_total", format!("Datagrams that came in at the {name} door")),
        ("datagrams_sent_total", format!("Datagrams that left the {name} door")),
        ("datagrams_unsent_total", "Datagrams that the system did not take".to_owned()),
        (
            "datagrams_dropped_total",
            format!("Datagrams that the system dropped because the {name} sockets were full"),
        ),
        ("over_budget_total", format!("{name} messages of sources that sent too many, by transport")),
    ];
    for (rest, meaning) in counters {
        describe_counter!(protocol.metric(rest), meaning);
    }
    let meaning = format!("How full the fullest of the {name} sockets is, 0 to 1");
    describe_gauge!(protocol.metric("backlog_ratio"), meaning);
}

/// Handles for the datagrams of one door.
#[derive(Debug)]
pub struct UdpMetrics {
    protocol: Protocol,
    received: Counter,
    sent: Counter,
    unsent: Counter,
    over_budget: Counter,
}

impl UdpMetrics {
    /// Of the door of a protocol.
    pub fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            received: counter!(protocol.metric("datagrams_received_total")),
            sent: counter!(protocol.metric("datagrams_sent_total")),
            unsent: counter!(protocol.metric("datagrams_unsent_total")),
            over_budget: counter!(protocol.metric("over_budget_total"), "transport" => "udp"),
        }
    }

    /// What is spoken there.
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// So many came in.
    pub(super) fn received(&self, datagrams: usize) {
        self.received.increment(datagrams as u64);
    }

    /// So many left.
    pub fn sent(&self, datagrams: usize) {
        self.sent.increment(datagrams as u64);
    }

    /// So many did not.
    pub fn unsent(&self, datagrams: usize, error: &io::Error) {
        let protocol = self.protocol.name;
        tracing::debug!(protocol, datagrams, %error, "datagrams are not sent");
        self.unsent.increment(datagrams as u64);
    }

    /// One came from a source that sent too many.
    pub fn over_budget(&self) {
        self.over_budget.increment(1);
    }
}

/// Handles for what waits in the sockets of one door.
#[derive(Debug)]
pub(super) struct BacklogMetrics {
    pub(super) dropped: Counter,
    pub(super) fullest: Gauge,
}

impl BacklogMetrics {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self {
            dropped: counter!(protocol.metric("datagrams_dropped_total")),
            fullest: gauge!(protocol.metric("backlog_ratio")),
        }
    }
}
