//! The accept loop of a door, whatever is spoken behind it: connections from its socket, and those that others hand in.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use callboard_core::site::SiteId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Door;
use super::admission::{Admission, Place};
use super::metrics::DoorMetrics;

/// First and longest pause after the system refuses to hand out a connection (no descriptors, no memory).
const BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// A stream of bytes in both directions that is no socket.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection that reached this process another way than through the door's socket.
pub struct Injected {
    /// Its bytes.
    pub stream: Box<dyn Stream>,
    /// Who is at its other end. Admission and handlers take this for the peer's address.
    pub peer: SocketAddr,
    /// The site whose edge brought it.
    pub site: SiteId,
}

impl std::fmt::Debug for Injected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Injected").field("peer", &self.peer).field("site", &self.site).finish_non_exhaustive()
    }
}

/// Hands connections to an open door. They wait in line like those in the backlog of its socket.
#[derive(Debug, Clone)]
pub struct Injector(pub(super) mpsc::Sender<Injected>);

impl Injector {
    /// Hands a connection over, as soon as there is room; `false` if the door is closed.
    pub async fn inject(&self, connection: Injected) -> bool {
        self.0.send(connection).await.is_ok()
    }

    /// Resolves when the door takes no connections any more.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

/// A new connection.
pub(super) enum Incoming {
    Tcp(TcpStream, SocketAddr),
    Injected(Injected),
}

impl Incoming {
    fn peer(&self) -> SocketAddr {
        match self {
            Self::Tcp(_, peer) => *peer,
            Self::Injected(injected) => injected.peer,
        }
    }

    fn site(&self) -> Option<SiteId> {
        match self {
            Self::Tcp(..) => None,
            Self::Injected(injected) => Some(injected.site),
        }
    }
}

/// Where the connections of a door come from, and who may come in.
pub(super) struct Entrance {
    pub(super) door: Door,
    pub(super) listener: TcpListener,
    pub(super) injected: Option<mpsc::Receiver<Injected>>,
    pub(super) admission: Arc<Admission>,
    pub(super) metrics: Arc<DoorMetrics>,
}

impl Entrance {
    /// Accepts for ever, and lets `take` have what is admitted.
    pub(super) async fn accept_all(&mut self, take: impl Fn(Incoming, Place)) {
        let mut pause = BACKOFF.0;
        let mut sweep = interval(Duration::from_secs(1));
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted.map(|(socket, peer)| Incoming::Tcp(socket, peer)),
                Some(injected) = next(&mut self.injected) => Ok(Incoming::Injected(injected)),
                _ = sweep.tick() => {
                    self.admission.sweep();
                    continue;
                }
            };
            match accepted {
                Ok(incoming) => {
                    pause = BACKOFF.0;
                    self.metrics.accepted.increment(1);
                    if let Some(place) = self.admission.admit(incoming.peer().ip(), incoming.site()) {
                        take(incoming, place);
                    }
                }
                Err(error) => {
                    self.metrics.accept_errors.increment(1);
                    if concerns_one_connection(&error) {
                        continue;
                    }
                    tracing::warn!(door = self.door.name, %error, "cannot accept connections");
                    sleep(pause).await;
                    pause = (pause * 2).min(BACKOFF.1);
                }
            }
        }
    }
}

/// The next connection that somebody hands in; `None` if nobody can.
async fn next(injected: &mut Option<mpsc::Receiver<Injected>>) -> Option<Injected> {
    injected.as_mut()?.recv().await
}

/// Errors of a connection that was gone before it was taken; the next one may be well.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
