//! The core's side: the door `edge`.
//!
//! A connection without certificate may enrol and nothing else. One with the certificate of a site is its edge: the first
//! stream is the control stream, each further one is a phone's connection, which is handed to the door that the phone meant
//! and is served there like any other.

mod calls;
mod endpoint;
mod enrol;
mod metrics;
mod relay;
mod session;
mod tls;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use callboard_codecs::edge::RelayDoor;
use callboard_core::event::{EventDraft, EventKind};
use callboard_core::pki::{Authority, SITE_UNIT, inspect};
use callboard_core::service::Service;
use callboard_core::site::SiteId;
use parking_lot::Mutex;
use quinn::{Connection, Endpoint, Incoming};
use rustls::pki_types::CertificateDer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::task::TaskTracker;

use super::QuicLimits;
use super::quic::Close;
use crate::edge::runtime::LastInLine;
use crate::listen::{BoundUdp, Door, Injector, Shutdown};
use crate::tls::TlsError;

pub use calls::{CallError, CallTarget};
pub use metrics::describe_metrics;
use metrics::{CoreMetrics, Outcome};

#[cfg(test)]
pub(super) mod testing {
    pub(in crate::edge) use super::tls::server_config;
}

/// How often the door looks whether its own certificate has to be renewed.
const RENEWAL_TICK: Duration = Duration::from_hours(1);

/// How long the end of the connections is waited for when the door closes.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// Streams of an edge beside its relayed connections.
const CONTROL_STREAMS: usize = 1;

/// Bounds of the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreLimits {
    /// Bounds of a connection.
    pub quic: QuicLimits,
    /// Relayed connections of one site.
    pub relays_per_site: usize,
    /// Handshakes at the same time; further ones are refused. As many connections without certificate may be there beside them.
    pub handshakes: usize,
    /// Enrolments at the same time; further ones are told to come later.
    pub enrolments: usize,
    /// Time for a handshake.
    pub handshake_timeout: Duration,
    /// Time for the first frame, and for the header of a relayed connection.
    pub header_timeout: Duration,
    /// Time that an edge may take to read a frame.
    pub write_timeout: Duration,
    /// Life time of the certificates of edges.
    pub certificate_lifetime: Duration,
    /// Life time of the door's own certificate.
    pub own_lifetime: Duration,
}

/// The edges and what they share.
pub struct Hub {
    service: Arc<Service>,
    authority: Arc<Authority>,
    doors: HashMap<RelayDoor, Injector>,
    limits: CoreLimits,
    metrics: CoreMetrics,
    /// Tells the sets of this process from those of another.
    epoch: u64,
    enrolments: Semaphore,
    /// Places of connections that showed no certificate.
    strangers: Semaphore,
    callers: Mutex<HashMap<SiteId, mpsc::Sender<calls::Wanted>>>,
    calls: AtomicU64,
    /// One token per relayed connection.
    relays: TaskTracker,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// The open door.
#[derive(Debug)]
pub struct EdgeDoor {
    endpoint: Endpoint,
    hub: Arc<Hub>,
}

/// Why the door does not open.
#[derive(Debug, thiserror::Error)]
pub enum EdgeDoorError {
    /// Its certificate or its settings.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The socket.
    #[error("door edge: {0}")]
    Socket(#[from] std::io::Error),
}

impl EdgeDoor {
    /// Opens the door on its socket. `doors` are the doors that relayed connections may be for. The metrics recorder must be
    /// installed before.
    pub fn open(
        bound: BoundUdp,
        service: Arc<Service>,
        authority: Arc<Authority>,
        doors: HashMap<RelayDoor, Injector>,
        limits: CoreLimits,
    ) -> Result<Self, EdgeDoorError> {
        let config = tls::server_config(&authority, &limits, service.now())?;
        let endpoint = Endpoint::new(
            endpoint::config(service.vault()),
            Some(config),
            bound.into_socket(),
            Arc::new(LastInLine),
        )?;
        let hub = Arc::new(Hub {
            service,
            authority,
            doors,
            metrics: CoreMetrics::new(),
            epoch: rand::random::<u64>().max(1),
            enrolments: Semaphore::new(limits.enrolments),
            strangers: Semaphore::new(limits.handshakes),
            limits,
            callers: Mutex::default(),
            calls: AtomicU64::new(1),
            relays: TaskTracker::new(),
        });
        Ok(Self { endpoint, hub })
    }

    /// The edges, for those who have something to tell them.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Serves edges until the shutdown has drained the phones' doors. Those that are connected go on relaying meanwhile.
    pub async fn serve(self, shutdown: Shutdown) {
        let Self { endpoint, hub } = self;
        let tasks = TaskTracker::new();
        let handshakes = Arc::new(Semaphore::new(hub.limits.handshakes));
        let mut renewal = interval(RENEWAL_TICK);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut issued = hub.service.now();
        loop {
            tokio::select! {
                () = shutdown.draining() => break,
                incoming = endpoint.accept() => match incoming {
                    Some(incoming) => hub.take(incoming, &handshakes, &tasks),
                    None => break,
                },
                _ = renewal.tick() => hub.renew_own(&endpoint, &mut issued),
            }
        }
        tokio::select! {
            () = hub.drained() => {}
            () = shutdown.stopped() => {}
        }
        endpoint.close(Close::Done.code(), Close::Done.text().as_bytes());
        tasks.close();
        tasks.wait().await;
        let _ = timeout(CLOSE_PATIENCE, endpoint.wait_idle()).await;
    }
}

impl Hub {
    /// Lets a new connection in, if there is room. An address that is not proven yet is asked to prove itself, which costs
    /// no memory here (RFC 9000, section 8.1).
    fn take(self: &Arc<Self>, incoming: Incoming, handshakes: &Arc<Semaphore>, tasks: &TaskTracker) {
        if !incoming.remote_address_validated() {
            // It may be refused only if it was asked before.
            let _ = incoming.retry();
            return;
        }
        let Ok(place) = Arc::clone(handshakes).try_acquire_owned() else {
            self.metrics.connection(Outcome::Busy);
            return incoming.refuse();
        };
        drop(tasks.spawn(Arc::clone(self).connection(incoming, place)));
    }

    async fn connection(self: Arc<Self>, incoming: Incoming, place: OwnedSemaphorePermit) {
        let address = incoming.remote_address();
        let connecting = async { incoming.accept()?.await };
        let connection = match timeout(self.limits.handshake_timeout, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                tracing::debug!(%address, %error, "an edge's handshake failed");
                return self.metrics.connection(Outcome::Handshake);
            }
            Err(_) => return self.metrics.connection(Outcome::Handshake),
        };
        let chain = connection.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'_>>>().ok());
        let Some(certificate) = chain.as_ref().and_then(|chain| chain.first()) else {
            return self.stranger(&connection, place).await;
        };
        drop(place);
        let Some((site, serial)) = self.site_of(certificate, address) else {
            self.metrics.connection(Outcome::Certificate);
            return Close::Revoked.close(&connection);
        };
        self.limits.quic.widen(&connection, self.limits.relays_per_site + CONTROL_STREAMS);
        session::serve(&self, &connection, site, &serial).await;
    }

    /// Whoever showed no certificate has a place of its own until it is gone: else it would cost nothing to stay.
    async fn stranger(self: &Arc<Self>, connection: &Connection, handshake: OwnedSemaphorePermit) {
        let Ok(_place) = self.strangers.try_acquire() else {
            self.metrics.connection(Outcome::Busy);
            return Close::Silent.close(connection);
        };
        drop(handshake);
        enrol::serve(self, connection).await;
    }

    /// The site that a certificate speaks for. TLS has verified that the authority issued it.
    fn site_of(&self, certificate: &[u8], address: SocketAddr) -> Option<(SiteId, String)> {
        let facts = inspect(certificate).ok()?;
        let site = facts.unit.as_deref().filter(|unit| *unit == SITE_UNIT);
        let site: Option<SiteId> = site.and(facts.common_name.as_deref()).and_then(|name| name.parse().ok());
        let reason = match site {
            Some(site) if self.service.sites.registry.admits(site, &facts.serial_hex) => {
                return Some((site, facts.serial_hex));
            }
            Some(site) => {
                format!("{address} came with a certificate of site {site} that is not good any more")
            }
            None => format!("{address} came to the door of edges with the certificate of a phone"),
        };
        self.service.record(EventDraft::node(EventKind::SiteRefused, reason));
        None
    }

    /// Resolves when no phone's door takes connections any more, and all relayed ones are over.
    async fn drained(&self) {
        for door in self.doors.values() {
            door.closed().await;
        }
        self.relays.close();
        self.relays.wait().await;
        // The last answers are on their way.
        sleep(Duration::from_millis(50)).await;
    }

    /// A new certificate for the door, when two thirds of the life of the present one are over.
    fn renew_own(&self, endpoint: &Endpoint, issued: &mut callboard_core::time::Timestamp) {
        let now = self.service.now();
        if now.since(*issued) < self.limits.own_lifetime * 2 / 3 {
            return;
        }
        match tls::server_config(&self.authority, &self.limits, now) {
            Ok(config) => {
                endpoint.set_server_config(Some(config));
                *issued = now;
                tracing::info!(door = Door::EDGE.name, "certificate of the door replaced");
            }
            Err(error) => tracing::error!(%error, "the certificate of the door edge is not replaced"),
        }
    }
}
