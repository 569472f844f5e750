//! SNMP on the wire: datagrams in at the door of notifications, answers out.
//!
//! What a message means is [`callboard_core::service::snmp`]'s business.

mod worker;

use crate::datagram::Protocol;

pub use worker::{SnmpWorker, serve_snmp};

/// What is spoken at the door of notifications.
pub const TRAP: Protocol = Protocol { word: "snmp_trap", name: "SNMP notification" };

/// Tells the installed recorder what the metrics of the door mean.
pub fn describe_metrics() {
    crate::datagram::describe_metrics(TRAP);
}
