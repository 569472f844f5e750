//! Callboard's outer wall: listeners, TLS, limits, configuration and the glue from sockets to `callboard_core`.

#![forbid(unsafe_code)]

pub mod config;
pub mod credentials;
pub mod edge;
mod files;
pub mod listen;
pub mod node;
pub mod telemetry;
pub mod tls;
pub mod wpi;
