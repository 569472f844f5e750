//! The accept loop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use callboard_core::site::SiteId;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accept::{Entrance, Incoming, Injected, Stream};
use super::admission::{Admission, Place};
use super::clock::{Clock, Timeouts};
use super::connection::{Shared, drive, http};
use super::framing::Verdict;
use super::metrics::DoorMetrics;
use super::{Bound, ConnInfo, Door, Handler, Limits, Shutdown};
use crate::tls::{self, HandshakeOutcome};

/// How often a draining door looks whether dialogues are open.
const DRAIN_TICK: Duration = Duration::from_millis(100);

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// One open door.
struct Open<H> {
    door: Door,
    tls: Option<Arc<tls::Server>>,
    limits: Arc<Limits>,
    timeouts: Arc<Timeouts>,
    metrics: Arc<DoorMetrics>,
    shared: Shared<H>,
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
    let Bound { door, listener, injected, .. } = bound;
    let metrics = Arc::new(DoorMetrics::new(door, limits.connections));
    let admission = Admission::new(Arc::clone(&limits), Arc::clone(&metrics));
    let mut entrance = Entrance { door, listener, injected, admission, metrics: Arc::clone(&metrics) };
    let open = Arc::new(Open {
        door,
        tls,
        timeouts: Arc::new(Timeouts::new(&limits)),
        shared: Shared {
            handler,
            http: http(&limits),
            metrics: Arc::clone(&metrics),
            drain_timeout: limits.drain_timeout,
            buffers_timeout: limits.buffers_timeout,
            shutdown: shutdown.clone(),
            closing: CancellationToken::new(),
        },
        metrics,
        limits,
    });
    async move {
        let tasks = TaskTracker::new();
        let take = |incoming, place| match incoming {
            Incoming::Tcp(socket, peer) => {
                tasks.spawn(connection(Arc::clone(&open), socket, Origin { peer, site: None }, place));
            }
            Incoming::Injected(Injected { stream, peer, site }) => {
                tasks.spawn(connection(Arc::clone(&open), stream, Origin { peer, site: Some(site) }, place));
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
        open.shared.closing.cancel();
        tasks.close();
        tracing::debug!(door = door.name, connections = tasks.len(), "closed");
        tasks.wait().await;
    }
}

/// Waits until no dialogue is open, or the drain is over.
async fn dialogues_over<H: Handler>(open: &Open<H>) {
    let end = open.shared.shutdown.began() + open.limits.drain_timeout;
    let over = async {
        while open.shared.handler.open_dialogues().is_some() {
            // First the pause: a dialogue that was let in just before the drain has begun by its end.
            sleep(DRAIN_TICK).await;
            if open.shared.handler.open_dialogues() == Some(0) {
                return;
            }
        }
    };
    tokio::select! {
        () = over => {}
        () = sleep_until(end) => {}
        () = open.shared.shutdown.stopped() => {}
    }
}

/// Who is at the other end of a connection, and which way it came.
#[derive(Debug, Clone, Copy)]
struct Origin {
    peer: SocketAddr,
    site: Option<SiteId>,
}

/// The task of one connection. It holds its place until it ends.
async fn connection<S: Stream, H: Handler>(open: Arc<Open<H>>, socket: S, from: Origin, place: Place) {
    let shed = place.is_shed();
    let Origin { peer, site } = from;
    let info = |client, place| {
        Arc::new(ConnInfo {
            door: open.door,
            peer: SocketAddr::new(peer.ip().to_canonical(), peer.port()),
            site,
            client,
            id: NEXT_ID.fetch_add(1, Relaxed),
            flow: Mutex::new(None),
            place,
            in_dialogue: AtomicBool::new(false),
            shutdown: open.shared.shutdown.clone(),
            framing: Verdict::default(),
            clock: Clock::new(Arc::clone(&open.timeouts)),
        })
    };
    match &open.tls {
        None => drive(socket, info(None, place), &open.shared).await,
        Some(server) => {
            // Boxed so that its size does not stay with the connection for life.
            if let Some(done) = Box::pin(shake_hands(&open, server, (socket, peer), shed)).await {
                drive(done.stream, info(done.client, place), &open.shared).await;
            }
        }
    }
}

/// The handshake, within its time-out and as long as the door is not closed.
async fn shake_hands<S: Stream, H>(
    open: &Open<H>,
    server: &tls::Server,
    (socket, peer): (S, SocketAddr),
    shed: bool,
) -> Option<tls::Handshake<S>> {
    let deadline = Instant::now() + open.limits.handshake_timeout;
    let metrics = &open.metrics;
    let result = tokio::select! {
        () = open.shared.closing.cancelled() => return None,
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
