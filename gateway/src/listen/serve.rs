//! The accept loop.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use callboard_core::site::SiteId;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accept::{Entrance, Incoming, Injected, Stream};
use super::admission::{Admission, Place};
use super::clock::{Clock, Timeouts};
use super::connection::{Shared, drive, http};
use super::framing::Verdict;
use super::metrics::DoorMetrics;
use super::stream::{StreamHandler, Streams};
use super::{Bound, ConnInfo, Door, Handler, Limits, Shutdown};
use crate::tls::{self, ClientCertificate, HandshakeOutcome};

/// How often a draining door looks whether dialogues are open.
const DRAIN_TICK: Duration = Duration::from_millis(100);

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// One open door.
struct Open<L> {
    door: Door,
    tls: Option<Arc<tls::Server>>,
    limits: Arc<Limits>,
    metrics: Arc<DoorMetrics>,
    shutdown: Shutdown,
    life: L,
}

/// A connection that was let in, and has shaken hands.
pub(super) struct Arrived {
    pub(super) door: Door,
    /// IPv4 peers of a dual-stack door appear as IPv4.
    pub(super) peer: SocketAddr,
    /// The address of this machine that it came to, if it came straight.
    pub(super) local: Option<IpAddr>,
    /// The site whose edge brought it.
    pub(super) site: Option<SiteId>,
    pub(super) client: Option<ClientCertificate>,
    pub(super) place: Place,
}

/// What becomes of the connections of a door.
pub(super) trait Life: Send + Sync + 'static {
    /// As [`Handler::open_dialogues`].
    fn open_dialogues(&self) -> Option<usize>;

    /// The door closes for good.
    fn close(&self);

    /// Cancelled by [`Life::close`].
    fn closing(&self) -> &CancellationToken;

    /// From the first byte to the last.
    fn live<S>(&self, stream: S, arrived: Arrived) -> impl Future<Output = ()> + Send
    where
        S: AsyncRead + AsyncWrite + Unpin + Send;
}

impl<H: Handler> Life for Shared<H> {
    fn open_dialogues(&self) -> Option<usize> {
        self.handler.open_dialogues()
    }

    fn close(&self) {
        self.closing.cancel();
    }

    fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    async fn live<S>(&self, stream: S, arrived: Arrived)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let Arrived { door, peer, site, client, place, .. } = arrived;
        let info = ConnInfo {
            door,
            peer,
            site,
            client,
            id: NEXT_ID.fetch_add(1, Relaxed),
            flow: Mutex::new(None),
            place,
            in_dialogue: AtomicBool::new(false),
            long_body: AtomicBool::new(false),
            shutdown: self.shutdown.clone(),
            framing: Verdict::default(),
            clock: Clock::new(Arc::clone(&self.timeouts)),
        };
        drive(stream, Arc::new(info), self).await;
    }
}

/// Serves a door until the shutdown has drained it: accepts, admits, shakes hands, and lets `handler` answer.
///
/// While it drains it goes on accepting as long as the handler has dialogues open; [`ConnInfo::shed`] turns away
/// whoever begins one.
///
/// Without `tls` the door speaks plain HTTP. Returns when no connection is left, which takes at most
/// `limits.drain_timeout` from the beginning of the drain, or less if the shutdown is stopped.
pub fn serve<H: Handler>(
    bound: Bound,
    tls: Option<Arc<tls::Server>>,
    limits: Arc<Limits>,
    handler: Arc<H>,
    shutdown: Shutdown,
) -> impl Future<Output = ()> + Send {
    let metrics = Arc::new(DoorMetrics::new(bound.door, limits.connections));
    let shared = Shared {
        handler,
        http: http(&limits),
        metrics: Arc::clone(&metrics),
        timeouts: Arc::new(Timeouts::new(&limits)),
        drain_timeout: limits.drain_timeout,
        buffers_timeout: limits.buffers_timeout,
        shutdown: shutdown.clone(),
        closing: CancellationToken::new(),
    };
    run(bound, tls, limits, metrics, shutdown, shared)
}

/// Like [`serve`], with a handler that takes whole connections. They end when the drain begins.
pub fn serve_streams<H: StreamHandler>(
    bound: Bound,
    tls: Option<Arc<tls::Server>>,
    limits: Arc<Limits>,
    handler: Arc<H>,
    shutdown: Shutdown,
) -> impl Future<Output = ()> + Send {
    let metrics = Arc::new(DoorMetrics::new(bound.door, limits.connections));
    let streams = Streams {
        handler,
        limits: Arc::clone(&limits),
        metrics: Arc::clone(&metrics),
        closing: CancellationToken::new(),
        closed: AtomicBool::new(false),
    };
    run(bound, tls, limits, metrics, shutdown, streams)
}

fn run<L: Life>(
    bound: Bound,
    tls: Option<Arc<tls::Server>>,
    limits: Arc<Limits>,
    metrics: Arc<DoorMetrics>,
    shutdown: Shutdown,
    life: L,
) -> impl Future<Output = ()> + Send {
    let Bound { door, listener, injected, .. } = bound;
    let admission = Admission::new(Arc::clone(&limits), Arc::clone(&metrics));
    let mut entrance = Entrance { door, listener, injected, admission, metrics: Arc::clone(&metrics) };
    let open = Arc::new(Open { door, tls, limits, metrics, shutdown: shutdown.clone(), life });
    async move {
        let tasks = TaskTracker::new();
        let take = |incoming, place| match incoming {
            Incoming::Tcp(socket, peer) => {
                let local = socket.local_addr().ok().map(|address| address.ip().to_canonical());
                let from = Origin { peer, local, site: None };
                tasks.spawn(connection(Arc::clone(&open), socket, from, place));
            }
            Incoming::Injected(Injected { stream, peer, site }) => {
                tasks.spawn(connection(
                    Arc::clone(&open),
                    stream,
                    Origin { peer, local: None, site: Some(site) },
                    place,
                ));
            }
        };
        tokio::select! {
            () = shutdown.draining() => {}
            () = entrance.accept_all(&take) => {}
        }
        tracing::debug!(door = door.name, connections = tasks.len(), "draining");
        tokio::select! {
            () = dialogues_over(&open) => {}
            () = entrance.accept_all(&take) => {}
        }
        drop(entrance);
        open.life.close();
        tasks.close();
        tracing::debug!(door = door.name, connections = tasks.len(), "closed");
        tasks.wait().await;
    }
}

/// Waits until no dialogue is open, or the drain is over.
async fn dialogues_over<L: Life>(open: &Open<L>) {
    let end = open.shutdown.began() + open.limits.drain_timeout;
    let over = async {
        while open.life.open_dialogues().is_some() {
            // First the pause: a dialogue that was let in just before the drain has begun by its end.
            sleep(DRAIN_TICK).await;
            if open.life.open_dialogues() == Some(0) {
                return;
            }
        }
    };
    tokio::select! {
        () = over => {}
        () = sleep_until(end) => {}
        () = open.shutdown.stopped() => {}
    }
}

/// Who is at the other end of a connection, and which way it came.
#[derive(Debug, Clone, Copy)]
struct Origin {
    peer: SocketAddr,
    local: Option<IpAddr>,
    site: Option<SiteId>,
}

/// The task of one connection. It holds its place until it ends.
async fn connection<S: Stream, L: Life>(open: Arc<Open<L>>, socket: S, from: Origin, place: Place) {
    let shed = place.is_shed();
    let Origin { peer, local, site } = from;
    let canonical = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let arrived = |client, place| Arrived { door: open.door, peer: canonical, local, site, client, place };
    match &open.tls {
        None => open.life.live(socket, arrived(None, place)).await,
        Some(server) => {
            // Boxed so that its size does not stay with the connection for life.
            if let Some(done) = Box::pin(shake_hands(&open, server, (socket, peer), shed)).await {
                open.life.live(done.stream, arrived(done.client, place)).await;
            }
        }
    }
}

/// The handshake, within its time-out and as long as the door is not closed.
async fn shake_hands<S: Stream, L: Life>(
    open: &Open<L>,
    server: &tls::Server,
    (socket, peer): (S, SocketAddr),
    shed: bool,
) -> Option<tls::Handshake<S>> {
    let deadline = Instant::now() + open.limits.handshake_timeout;
    let metrics = &open.metrics;
    let result = tokio::select! {
        () = open.life.closing().cancelled() => return None,
        result = timeout_at(deadline, server.accept(socket, shed, &metrics.handshakes_waiting)) => result,
    };
    match result {
        Ok(Ok(done)) => {
            metrics.handshake(HandshakeOutcome::Done(done.version, done.key));
            metrics.handshake_seconds.record(done.took);
            Some(done)
        }
        Ok(Err(error)) => {
            metrics.handshake(error.outcome());
            tracing::debug!(door = open.door.name, source = %peer.ip(), %error, "handshake failed");
            None
        }
        Err(_) => {
            metrics.handshake(HandshakeOutcome::Timeout);
            None
        }
    }
}
