//! The accept loop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::{Admission, Place};
use super::clock::{Clock, Timeouts};
use super::connection::{Shared, drive, http};
use super::framing::Verdict;
use super::metrics::DoorMetrics;
use super::{Bound, ConnInfo, Door, Handler, Limits, Shutdown};
use crate::tls::{self, HandshakeOutcome};

/// First and longest pause after the system refuses to hand out a connection (no descriptors, no memory).
const BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

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
    admission: Arc<Admission>,
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
    let Bound { door, listener, .. } = bound;
    let metrics = Arc::new(DoorMetrics::new(door, limits.connections));
    let open = Arc::new(Open {
        door,
        tls,
        timeouts: Arc::new(Timeouts::new(&limits)),
        admission: Admission::new(Arc::clone(&limits), Arc::clone(&metrics)),
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
        tokio::select! {
            () = shutdown.draining() => {}
            () = accept_all(&listener, &open, &tasks) => {}
        }
        tracing::debug!(door = door.name, connections = tasks.len(), "draining");
        tokio::select! {
            () = dialogues_over(&open) => {}
            () = accept_all(&listener, &open, &tasks) => {}
        }
        drop(listener);
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

/// Accepts for ever.
async fn accept_all<H: Handler>(listener: &TcpListener, open: &Arc<Open<H>>, tasks: &TaskTracker) {
    let mut pause = BACKOFF.0;
    let mut sweep = interval(Duration::from_secs(1));
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = sweep.tick() => {
                open.admission.sweep();
                continue;
            }
        };
        match accepted {
            Ok((socket, peer)) => {
                pause = BACKOFF.0;
                open.metrics.accepted.increment(1);
                if let Some(place) = open.admission.admit(peer.ip()) {
                    tasks.spawn(connection(Arc::clone(open), socket, peer, place));
                }
            }
            Err(error) => {
                open.metrics.accept_errors.increment(1);
                if concerns_one_connection(&error) {
                    continue;
                }
                tracing::warn!(door = open.door.name, %error, "cannot accept connections");
                sleep(pause).await;
                pause = (pause * 2).min(BACKOFF.1);
            }
        }
    }
}

/// Errors of a connection that was gone before it was taken; the next one may be well.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// The task of one connection. It holds its place until it ends.
async fn connection<H: Handler>(open: Arc<Open<H>>, socket: TcpStream, peer: SocketAddr, place: Place) {
    let shed = place.is_shed();
    let info = |client, place| {
        Arc::new(ConnInfo {
            door: open.door,
            peer: SocketAddr::new(peer.ip().to_canonical(), peer.port()),
            client,
            id: NEXT_ID.fetch_add(1, Relaxed),
            flow: Mutex::new(None),
            place,
            in_dialogue: AtomicBool::new(false),
            long_body: AtomicBool::new(false),
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
async fn shake_hands<H>(
    open: &Open<H>,
    server: &tls::Server,
    (socket, peer): (TcpStream, SocketAddr),
    shed: bool,
) -> Option<tls::Handshake<TcpStream>> {
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
