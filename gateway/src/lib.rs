//! Callboard's outer wall: listeners, TLS, limits, configuration and the glue from sockets to `callboard_core`.

#![forbid(unsafe_code)]

pub mod config;
pub mod contact;
pub mod credentials;
pub mod datagram;
pub mod dcmp;
pub mod edge;
pub mod files;
pub mod listen;
pub mod node;
pub mod phones;
pub mod sip;
pub mod snmp;
pub mod telemetry;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod wpi;
