//! The branch's side: the program `callboard edge`.
//!
//! It has doors for phones, and one connection to a core. Connections of phones are relayed as they are; what they say is
//! not understood here. Polls are answered here by
//! [`crate::dcmp`], from the set of devices with waiting work that the core pushes.

mod calls;
mod enrol;
mod figures;
mod identity;
mod link;
mod pending;
mod relay;
mod session;
mod start;

use std::time::Duration;

use super::QuicLimits;

pub use calls::{Caller, Calling};
pub use enrol::EnrolError;
pub use figures::describe_metrics;
pub use pending::PendingIds;
pub use start::{Branch, BranchError, BranchParts, start};

#[cfg(test)]
pub(super) mod testing;

/// Bounds of the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BranchLimits {
    /// Bounds of the connection to the core.
    pub quic: QuicLimits,
    /// Time for a connection to a core, and for a part of an enrolment.
    pub connect_timeout: Duration,
    /// Time that a phone's connection waits for a stream to the core.
    pub open_timeout: Duration,
    /// Time that a peer may take to read what is relayed to it.
    pub write_timeout: Duration,
    /// Time between two reports to the core.
    pub report_interval: Duration,
    /// First and longest pause between two attempts to reach a core.
    pub retry: (Duration, Duration),
    /// Devices with waiting work that are kept.
    pub pending: usize,
    /// Bytes that the system may hold of the connection in each direction.
    pub socket_bytes: usize,
}
