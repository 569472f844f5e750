//! Callboard's outer wall: listeners, TLS, limits, configuration and the glue from sockets to `callboard_core`.

#![forbid(unsafe_code)]

pub mod config;
pub mod listen;
pub mod telemetry;
pub mod tls;
