//! Branch edges over QUIC (RFC 9000): one connection per site, TLS 1.3 with certificates of the internal authority on both
//! sides.
//!
//! [`core`] is the side of the server: the door `edge`. [`branch`] is the program `callboard edge`, which stands in the
//! branch: phones come to its doors, and each of their connections is one stream to the core. Flow control goes from end to
//! end: neither side reads what it cannot hand on, so that a slow core slows phones and fills no memory.

pub mod branch;
mod control;
pub mod core;
mod quic;
mod runtime;
#[cfg(test)]
mod tests;

pub use quic::QuicLimits;
