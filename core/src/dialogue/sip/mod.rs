//! SIP transactions (RFC 3261, section 17) without sockets and clocks.
//!
//! What we send is a [`client::ClientTransactions`] entry until it is answered or given up. What we are sent is answered without
//! state wherever the answer comes out the same again (RFC 3261, section 8.2.7); requests of which that cannot be said
//! are remembered in [`server::ServerTransactions`].

pub mod client;
pub mod server;

use std::time::Duration;

/// Estimate of a round trip, and the first pause before a repetition (RFC 3261, section 17.1.1.1).
pub const T1: Duration = Duration::from_millis(500);

/// Longest pause between two repetitions.
pub const T2: Duration = Duration::from_secs(4);

/// Life of a transaction: timers B, F, H and J.
pub const T1_64: Duration = Duration::from_secs(32);
