//! Doors behind which bytes are taken as they are: the same admission, no TLS and no HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use super::accept::{Entrance, Incoming};
use super::admission::{Admission, Place};
use super::metrics::DoorMetrics;
use super::{Bound, Limits, Shutdown};

/// A connection's place at a door, to be kept as long as the connection lives.
#[derive(Debug)]
pub struct Seat(#[expect(dead_code, reason = "it counts by being there")] Place);

/// Serves a door until the shutdown begins: accepts and admits, and lets `take` care of the rest. Connections over a limit
/// are closed at once: bytes that are not understood cannot be answered with "later".
///
/// Returns when no connection is left. When the shutdown is stopped, what is open is dropped.
pub fn serve_raw<F, T>(
    bound: Bound,
    limits: Arc<Limits>,
    shutdown: Shutdown,
    take: F,
) -> impl Future<Output = ()> + Send
where
    F: Fn(TcpStream, SocketAddr, Seat) -> T + Send + Sync + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let Bound { door, listener, injected, .. } = bound;
    let metrics = Arc::new(DoorMetrics::new(door, limits.connections));
    let admission = Admission::new(limits, Arc::clone(&metrics));
    let mut entrance = Entrance { door, listener, injected, admission, metrics };
    async move {
        let tasks = TaskTracker::new();
        let spawn = |incoming, place: Place| {
            // Nobody injects into such a door.
            let Incoming::Tcp(socket, peer) = incoming else { return };
            if place.is_shed() {
                return;
            }
            let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
            let (work, stopping) = (take(socket, peer, Seat(place)), shutdown.clone());
            tasks.spawn(async move {
                tokio::select! {
                    () = work => {}
                    () = stopping.stopped() => {}
                }
            });
        };
        tokio::select! {
            () = shutdown.draining() => {}
            () = entrance.accept_all(spawn) => {}
        }
        drop(entrance);
        tasks.close();
        tasks.wait().await;
    }
}
