//! What the API asks the process around it.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use callboard_core::time::Timestamp;

/// An open listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorStatus {
    /// Its name, as in the configuration: `wpi`, `admin`.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
}

/// One reason why the node is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CauseStatus {
    /// One of a few fixed words: `starting`, `draining`, `store`, `journal`.
    pub cause: String,
    /// What is the matter, for people.
    pub detail: String,
}

/// What only the process knows.
pub trait NodeStatus: Send + Sync + 'static {
    /// When it started.
    fn started(&self) -> Timestamp;

    /// The listeners that are open.
    fn doors(&self) -> Vec<DoorStatus>;

    /// Why it is not ready; empty when it is.
    fn causes(&self) -> Vec<CauseStatus>;

    /// Resolves when the node begins to drain: event streams end then.
    fn draining(&self) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}
