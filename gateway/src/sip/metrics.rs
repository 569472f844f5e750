//! Figures of SIP's sockets.

use std::io;

use metrics::{Counter, counter, describe_counter, describe_gauge};

/// Tells the installed recorder what these metrics mean.
pub fn describe_metrics() {
    describe_counter!("callboard_sip_datagrams_received_total", "Datagrams that came in at the SIP door");
    describe_counter!("callboard_sip_datagrams_sent_total", "Datagrams that left the SIP door");
    describe_counter!("callboard_sip_datagrams_unsent_total", "Datagrams that the system did not take");
    describe_counter!(
        "callboard_sip_datagrams_dropped_total",
        "Datagrams that the system dropped because the SIP sockets were full"
    );
    describe_gauge!("callboard_sip_backlog_ratio", "How full the fullest of the SIP sockets is, 0 to 1");
    describe_counter!(
        "callboard_sip_over_budget_total",
        "SIP messages of sources that sent too many, by transport"
    );
    describe_counter!(
        "callboard_sip_uncommitted_total",
        "Answers that did not leave because what they say is not durable"
    );
    describe_counter!(
        "callboard_sip_multicast_datagrams_total",
        "Datagrams to the SIP group that may be requests for a profile"
    );
    describe_counter!("callboard_sip_pings_total", "Keep-alives on SIP connections");
    describe_counter!(
        "callboard_sip_streams_broken_total",
        "SIP connections that were closed because what came is no SIP"
    );
}

/// Handles for the datagrams of one door.
#[derive(Debug)]
pub struct UdpMetrics {
    received: Counter,
    sent: Counter,
    unsent: Counter,
    over_budget: Counter,
    uncommitted: Counter,
}

impl Default for UdpMetrics {
    fn default() -> Self {
        Self {
            received: counter!("callboard_sip_datagrams_received_total"),
            sent: counter!("callboard_sip_datagrams_sent_total"),
            unsent: counter!("callboard_sip_datagrams_unsent_total"),
            over_budget: counter!("callboard_sip_over_budget_total", "transport" => "udp"),
            uncommitted: counter!("callboard_sip_uncommitted_total"),
        }
    }
}

impl UdpMetrics {
    pub(super) fn received(&self, datagrams: u64) {
        self.received.increment(datagrams);
    }

    pub(super) fn sent(&self, datagrams: usize) {
        self.sent.increment(datagrams as u64);
    }

    pub(super) fn unsent(&self, datagrams: usize, error: &io::Error) {
        tracing::debug!(datagrams, %error, "SIP datagrams are not sent");
        self.unsent.increment(datagrams as u64);
    }

    pub(super) fn over_budget(&self) {
        self.over_budget.increment(1);
    }

    pub(super) fn uncommitted(&self, answers: usize) {
        self.uncommitted.increment(answers as u64);
    }
}

/// Handles for the connections of one door.
#[derive(Debug)]
pub struct StreamMetrics {
    pub(super) pings: Counter,
    pub(super) garbage: Counter,
    pub(super) over_budget: Counter,
}

impl StreamMetrics {
    /// For a transport by its word.
    pub fn new(transport: &'static str) -> Self {
        Self {
            pings: counter!("callboard_sip_pings_total", "transport" => transport),
            garbage: counter!("callboard_sip_streams_broken_total", "transport" => transport),
            over_budget: counter!("callboard_sip_over_budget_total", "transport" => transport),
        }
    }
}
