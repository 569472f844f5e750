//! Parts of the edge for tests that play the core.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::{ArcSwap, ArcSwapOption};
use callboard_codecs::edge::{RelayDoor, Report};
use tokio::net::TcpStream;

use super::calls::NoCaller;
use super::figures::Figures;
pub(in crate::edge) use super::identity::{Identity, IdentityError};
use super::link::{Link, connect};
use super::{BranchLimits, PendingIds, relay};

/// The relaying half of an edge.
pub(in crate::edge) struct Relays {
    link: Arc<Link>,
    _endpoint: Option<quinn::Endpoint>,
}

impl Relays {
    /// Without a core.
    pub(in crate::edge) fn alone(limits: BranchLimits) -> Self {
        let link = Link {
            cores: Vec::new(),
            first: AtomicUsize::new(0),
            data: std::path::PathBuf::new(),
            limits,
            figures: Arc::new(Figures::new()),
            pending: Arc::new(PendingIds::new(limits.pending)),
            caller: Arc::new(NoCaller),
            identity: ArcSwapOption::empty(),
            current: ArcSwapOption::empty(),
            trouble: ArcSwap::default(),
        };
        Self { link: Arc::new(link), _endpoint: None }
    }

    /// Connected to a core.
    pub(in crate::edge) async fn connect(address: SocketAddr, own: Identity, limits: BranchLimits) -> Self {
        let config = own.quic(&limits.quic).unwrap();
        let (endpoint, connection) = connect(address, config, &limits).await.unwrap();
        let relays = Self { _endpoint: Some(endpoint), ..Self::alone(limits) };
        relays.link.current.store(Some(Arc::new(connection)));
        relays
    }

    /// Relays a phone's connection.
    pub(in crate::edge) fn spawn(&self, door: RelayDoor, phone: TcpStream, client: SocketAddr) {
        tokio::spawn(relay::relay(self.link.clone(), door, phone, client));
    }

    /// What was counted.
    pub(in crate::edge) fn report(&self) -> Report {
        self.link.figures.report()
    }
}
