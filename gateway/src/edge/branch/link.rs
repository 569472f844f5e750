//! The connection to a core: made, kept, made again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use callboard_core::site::SiteToken;
use jiff::Timestamp;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig};
use tokio::net::lookup_host;
use tokio::time::{Instant, sleep, timeout};

use super::enrol::{EnrolError, enrol};
use super::figures::{Figures, LinkOutcome};
use super::identity::{self, Identity, IdentityError};
use super::{BranchLimits, Caller, PendingIds, session};
use crate::edge::quic::{Close, SERVER_NAME, take_large_packets};
use crate::edge::runtime::LastInLine;
use crate::listen::{Door, Shutdown, bind_udp};

/// A connection that lasted this long was a good one: the next attempt comes soon.
const GOOD: Duration = Duration::from_secs(30);

/// Why a core is not reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("{0} cannot be resolved")]
    Name(String),
    /// No socket.
    #[error("no socket: {0}")]
    Socket(#[from] std::io::Error),
    /// No socket, from the system.
    #[error(transparent)]
    Bind(#[from] crate::listen::BindError),
    /// The attempt cannot even begin.
    #[error("{0}")]
    Begin(#[from] quinn::ConnectError),
    /// The handshake failed.
    #[error("{0}")]
    Handshake(#[from] ConnectionError),
    /// No answer.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
}

/// Connects to one address.
pub(super) async fn connect(
    address: SocketAddr,
    config: ClientConfig,
    limits: &BranchLimits,
) -> Result<(Endpoint, Connection), ConnectError> {
    let any = match address.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = bind_udp(Door::EDGE, SocketAddr::new(any, 0), limits.socket_bytes)?.into_socket();
    let mut endpoint = EndpointConfig::default();
    take_large_packets(&mut endpoint);
    let endpoint = Endpoint::new(endpoint, None, socket, Arc::new(LastInLine))?;
    let connecting = endpoint.connect_with(config, address, SERVER_NAME)?;
    let connected = timeout(limits.connect_timeout, connecting).await;
    Ok((endpoint, connected.map_err(|_| ConnectError::Timeout(limits.connect_timeout))??))
}

/// Resolves `HOST:PORT`.
pub(super) async fn resolve(core: &str) -> Result<Vec<SocketAddr>, ConnectError> {
    let found = lookup_host(core).await.map_err(|_| ConnectError::Name(core.to_owned()))?;
    let found: Vec<_> = found.collect();
    if found.is_empty() { Err(ConnectError::Name(core.to_owned())) } else { Ok(found) }
}

/// What all parts of the edge share.
pub(super) struct Link {
    pub(super) cores: Vec<String>,
    /// The place in `cores` of the one that is tried first: that which gave the certificate.
    pub(super) first: AtomicUsize,
    pub(super) data: PathBuf,
    pub(super) limits: BranchLimits,
    pub(super) figures: Arc<Figures>,
    pub(super) pending: Arc<PendingIds>,
    pub(super) caller: Arc<dyn Caller>,
    pub(super) identity: ArcSwapOption<Identity>,
    /// The connection, if there is one. Relays look here without a lock.
    pub(super) current: ArcSwapOption<Connection>,
    /// Why there is none, for people.
    pub(super) trouble: ArcSwap<String>,
}

impl Link {
    /// Gets a certificate for the token, at whichever core answers; tries until the shutdown begins.
    ///
    /// # Errors
    /// When a core refuses for good.
    pub(super) async fn enrol(&self, token: &SiteToken, shutdown: &Shutdown) -> Result<(), EnrolError> {
        let mut pause = self.limits.retry.0;
        loop {
            for (at, core) in self.cores.iter().enumerate() {
                match self.enrol_at(core, token).await {
                    Ok(()) => {
                        self.first.store(at, Relaxed);
                        self.trouble.store(Arc::new("not connected yet".to_owned()));
                        return Ok(());
                    }
                    Err(error) if error.is_passing() => {
                        tracing::warn!(core, %error, "not enrolled yet");
                        self.trouble.store(Arc::new(format!("not enrolled: {error}")));
                    }
                    Err(error) => return Err(error),
                }
            }
            tokio::select! {
                () = sleep(jittered(pause)) => {}
                () = shutdown.draining() => return Ok(()),
            }
            pause = (pause * 2).min(self.limits.retry.1);
        }
    }

    async fn enrol_at(&self, core: &str, token: &SiteToken) -> Result<(), EnrolError> {
        let mut last = EnrolError::Broken(format!("{core} has no address"));
        for address in resolve(core).await? {
            match enrol(address, token, &self.limits).await {
                Ok(identity) => {
                    identity.store(&self.data)?;
                    identity::note_used(token, &self.data)?;
                    tracing::info!(core, site = %identity.site, ends = %identity.not_after, "enrolled");
                    self.take(identity);
                    return Ok(());
                }
                Err(error) if error.is_passing() => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Uses this certificate from the next connection on.
    pub(super) fn take(&self, identity: Identity) {
        self.figures.expiry(identity.not_after);
        self.identity.store(Some(Arc::new(identity)));
    }

    /// Keeps a connection to one of the cores until the shutdown is stopped.
    pub(super) async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let mut pause = self.limits.retry.0;
        let mut at = self.first.load(Relaxed);
        loop {
            let began = Instant::now();
            let core = self.cores.get(at % self.cores.len().max(1)).cloned().unwrap_or_default();
            tokio::select! {
                () = shutdown.stopped() => break,
                () = self.attempt(&core) => {}
            }
            // The one that was good is tried first again.
            if began.elapsed() > GOOD {
                pause = self.limits.retry.0;
            } else {
                at += 1;
            }
            tokio::select! {
                () = shutdown.stopped() => break,
                () = sleep(jittered(pause)) => {}
            }
            if at.is_multiple_of(self.cores.len().max(1)) {
                pause = (pause * 2).min(self.limits.retry.1);
            }
        }
        if let Some(connection) = self.current.swap(None) {
            Close::Done.close(&connection);
        }
    }

    /// Connects to a core and stays with it as long as it goes.
    async fn attempt(self: &Arc<Self>, core: &str) {
        match self.connect(core).await {
            Ok((endpoint, connection)) => {
                self.figures.link(LinkOutcome::Connected);
                self.figures.connected(true);
                tracing::info!(core, address = %connection.remote_address(), "connected to the core");
                self.current.store(Some(Arc::new(connection.clone())));
                self.pending.show(true);
                let reason = session::run(self, &connection).await;
                self.current.store(None);
                self.pending.show(false);
                self.figures.connected(false);
                tracing::warn!(core, reason, "the core is away");
                self.trouble.store(Arc::new(format!("{core}: {reason}")));
                drop(endpoint);
            }
            Err(error) => {
                self.figures.link(LinkOutcome::Failed);
                tracing::warn!(core, %error, "the core is not reached");
                self.trouble.store(Arc::new(format!("{core}: {error}")));
            }
        }
    }

    async fn connect(&self, core: &str) -> Result<(Endpoint, Connection), LinkError> {
        let identity = self.identity.load_full().ok_or(LinkError::NoCertificate)?;
        if !identity.is_good(Timestamp::now()) {
            return Err(LinkError::Ended);
        }
        let config = identity.quic(&self.limits.quic)?;
        let mut last = ConnectError::Name(core.to_owned());
        for address in resolve(core).await? {
            match connect(address, config.clone(), &self.limits).await {
                Ok(connected) => return Ok(connected),
                Err(error) => last = error,
            }
        }
        Err(last.into())
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("there is no certificate yet")]
    NoCertificate,
    #[error("the certificate has ended: a new token is needed")]
    Ended,
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

/// Why a connection ended, for people.
pub(super) fn why(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ApplicationClosed(closed) => match Close::of(closed.error_code) {
            Some(close) => close.text().to_owned(),
            None => error.to_string(),
        },
        _ => error.to_string(),
    }
}

/// Between half and the whole of a pause: edges that lost their core at the same moment do not come back in one.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_differ_and_stay_in_their_bounds() {
        let pause = Duration::from_secs(8);
        let pauses: Vec<_> = (0..50).map(|_| jittered(pause)).collect();
        assert!(pauses.iter().all(|one| (pause / 2..=pause).contains(one)));
        assert!(pauses.iter().any(|one| *one != pauses[0]));
    }
}
