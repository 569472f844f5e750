//! Connections for protocols that bring a loop of their own: past admission and TLS they get the bytes.

use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::admission::Place;
use super::clock::Doing;
use super::metrics::DoorMetrics;
use super::serve::{Arrived, Life};
use super::{Door, Limits};
use crate::tls::ClientCertificate;

/// Speaks on the connections of one door.
pub trait StreamHandler: Send + Sync + 'static {
    /// Speaks on one connection until it ends. The future is dropped as soon as the process drains: what it has begun must
    /// be such that the peer can ask again.
    ///
    /// Time-outs are up to it; [`StreamConn::limits`] are those of the door.
    fn serve<S>(&self, stream: S, conn: StreamConn) -> impl Future<Output = ()> + Send
    where
        S: AsyncRead + AsyncWrite + Unpin + Send;
}

/// What a peer did when its time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Nothing, between two requests.
    Idle,
    /// It has not sent all of a request.
    Head,
    /// It has not taken all of an answer.
    Write,
}

/// What a [`StreamHandler`] may know about a connection. The connection holds its place as long as this lives.
pub struct StreamConn {
    /// The door it came through.
    pub door: Door,
    /// The peer's address; IPv4 peers of a dual-stack door appear as IPv4.
    pub peer: SocketAddr,
    /// The address of this machine that it came to.
    pub local: Option<IpAddr>,
    client: Option<ClientCertificate>,
    place: Place,
    limits: Arc<Limits>,
    metrics: Arc<DoorMetrics>,
}

impl std::fmt::Debug for StreamConn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamConn")
            .field("door", &self.door)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl StreamConn {
    /// What the client's own certificate says, on doors that ask for one. TLS has verified it.
    pub fn client(&self) -> Option<&ClientCertificate> {
        self.client.as_ref()
    }

    /// Whether the connection is beyond a limit: the peer is to be told so, and the connection to be closed.
    pub fn is_shed(&self) -> bool {
        self.place.is_shed()
    }

    /// Whether the peer's source may ask once more; a yes is counted. One short look at the account of that source, which no
    /// dialogue uses.
    pub fn take_request(&self) -> bool {
        self.place.take_request()
    }

    /// The bounds of the door.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Counts that the connection ends because the peer took too long.
    pub fn timed_out(&self, waiting: Waiting) {
        self.metrics.timed_out(match waiting {
            Waiting::Idle => Doing::Idle,
            Waiting::Head => Doing::Head,
            Waiting::Write => Doing::Write,
        });
    }

    /// One that is let in by these limits, or shed if there are none for it.
    #[cfg(test)]
    pub(crate) fn alone(peer: SocketAddr, limits: Limits) -> Option<Self> {
        Self::some(peer, limits).next()
    }

    /// Two of one source at one door.
    #[cfg(test)]
    pub(crate) fn two(peer: SocketAddr, limits: Limits) -> [Self; 2] {
        let mut some = Self::some(peer, limits);
        std::array::from_fn(|_| some.next().unwrap())
    }

    #[cfg(test)]
    fn some(peer: SocketAddr, limits: Limits) -> impl Iterator<Item = Self> {
        let limits = Arc::new(limits);
        let metrics = Arc::new(DoorMetrics::new(Door::DCMP, limits.connections));
        let admission = super::admission::Admission::new(Arc::clone(&limits), Arc::clone(&metrics));
        std::iter::from_fn(move || {
            let place = admission.admit(peer.ip(), None)?;
            let (limits, metrics) = (Arc::clone(&limits), Arc::clone(&metrics));
            Some(Self { door: Door::DCMP, peer, local: None, client: None, place, limits, metrics })
        })
    }
}

/// Hands connections to a [`StreamHandler`].
pub(super) struct Streams<H> {
    pub(super) handler: Arc<H>,
    pub(super) limits: Arc<Limits>,
    pub(super) metrics: Arc<DoorMetrics>,
    /// The door has closed.
    pub(super) closing: CancellationToken,
    /// The same, for those who look often.
    pub(super) closed: AtomicBool,
}

impl<H: StreamHandler> Life for Streams<H> {
    fn open_dialogues(&self) -> Option<usize> {
        None
    }

    fn close(&self) {
        self.closed.store(true, Relaxed);
        self.closing.cancel();
    }

    fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    async fn live<S>(&self, stream: S, arrived: Arrived)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let conn = StreamConn {
            door: arrived.door,
            peer: arrived.peer,
            local: arrived.local,
            client: arrived.client,
            place: arrived.place,
            limits: Arc::clone(&self.limits),
            metrics: Arc::clone(&self.metrics),
        };
        let mut served = pin!(self.handler.serve(stream, conn));
        let mut closing = pin!(self.closing.cancelled());
        // Waiting for a token takes its lock: once for a connection, not for each of its messages.
        let mut called_by: Option<Waker> = None;
        poll_fn(|cx| {
            if served.as_mut().poll(cx).is_ready() || self.closed.load(Relaxed) {
                return Poll::Ready(());
            }
            if called_by.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                return Poll::Pending;
            }
            called_by = Some(cx.waker().clone());
            closing.as_mut().poll(cx)
        })
        .await;
    }
}
