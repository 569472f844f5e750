//! What the outside may know about the running server: logs, metrics and health.

mod door;
mod health;
mod logs;
mod metrics;
mod process;
mod runtime;
#[cfg(test)]
pub(crate) mod sink;

pub use door::Door;
pub use health::{Cause, Health};
pub use logs::{LogError, install as install_logs};
pub use metrics::{InstallError, Metrics, install as install_metrics};
