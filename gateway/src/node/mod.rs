//! One running node: the data directory, the store, the service and the doors, from start to stop.

mod files;
mod housekeeping;
mod journals;
mod settings;
mod sip;
mod snmp;
mod start;

use std::net::SocketAddr;
use std::sync::Arc;

use callboard_core::secret::Secret;
use callboard_core::service::Service;
use callboard_core::time::Timestamp;

use crate::config::Config;
use crate::files::Storage;
use crate::listen::Shutdown;
use crate::telemetry::Health;

pub use files::{DataDir, DataError};
pub(crate) use settings::SystemClock;
pub use start::{Node, StartError, start};

/// What the administration door is made from.
#[derive(Debug, Clone)]
pub struct AdminParts {
    /// The service.
    pub service: Arc<Service>,
    /// The token of its user.
    pub token: Secret,
    /// The configuration.
    pub config: Arc<Config>,
    /// Whether the node is ready.
    pub health: Health,
    /// The doors and where they are.
    pub doors: Vec<(&'static str, SocketAddr)>,
    /// When the node started.
    pub started: Timestamp,
    /// When the node stops.
    pub shutdown: Shutdown,
    /// The files' bytes.
    pub files: Arc<Storage>,
}
