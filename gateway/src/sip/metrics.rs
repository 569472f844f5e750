//! Figures of SIP's sockets.

use metrics::{Counter, counter, describe_counter};

use crate::datagram::{self, Protocol};

/// SIP, to those who only carry it.
pub const SIP: Protocol = Protocol { word: "sip", name: "SIP" };

/// Tells the installed recorder what these metrics mean.
pub fn describe_metrics() {
    datagram::describe_metrics(SIP);
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
