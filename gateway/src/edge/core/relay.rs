//! Relayed connections: from a stream to the door that the phone meant.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use callboard_codecs::edge::{RELAY_HEADER_BYTES, RelayHeader, read_relay_header};
use callboard_core::site::SiteId;
use quinn::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::Hub;
use super::metrics::RelayOutcome;
use crate::edge::quic::Close;
use crate::listen::Injected;

/// The shortest header.
const SHORT_HEADER_BYTES: usize = 9;

/// Both halves of a relayed connection.
struct Relayed {
    send: SendStream,
    receive: RecvStream,
    _counted: Counted,
}

/// Counts a relayed connection as long as it lives.
struct Counted {
    hub: Arc<Hub>,
    site: Arc<AtomicU64>,
    _token: TaskTrackerToken,
}

impl Counted {
    fn new(hub: &Arc<Hub>, site: &Arc<AtomicU64>) -> Self {
        site.fetch_add(1, Relaxed);
        hub.metrics.relays.increment(1);
        Self { hub: Arc::clone(hub), site: Arc::clone(site), _token: hub.relays.token() }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.site.fetch_sub(1, Relaxed);
        self.hub.metrics.relays.decrement(1);
    }
}

impl AsyncRead for Relayed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.receive), cx, buffer)
    }
}

impl AsyncWrite for Relayed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.send), cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.send), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut self.send), cx)
    }
}

/// Reads the header of a new stream and hands the rest over.
pub(super) async fn relay(
    hub: Arc<Hub>,
    site: SiteId,
    count: Arc<AtomicU64>,
    (mut send, mut receive): (SendStream, RecvStream),
) {
    let counted = Counted::new(&hub, &count);
    let Ok(Some(header)) = timeout(hub.limits.header_timeout, header(&mut receive)).await else {
        let _ = send.reset(Close::Protocol.code());
        return hub.metrics.relay(RelayOutcome::Header);
    };
    let Some(door) = hub.doors.get(&header.door) else {
        let _ = send.reset(Close::Done.code());
        return hub.metrics.relay(RelayOutcome::NoDoor);
    };
    let stream = Box::new(Relayed { send, receive, _counted: counted });
    let taken = door.inject(Injected { stream, peer: header.client, site }).await;
    hub.metrics.relay(if taken { RelayOutcome::Relayed } else { RelayOutcome::NoDoor });
}

async fn header(receive: &mut RecvStream) -> Option<RelayHeader> {
    let mut bytes = [0; RELAY_HEADER_BYTES];
    let (short, rest) = bytes.split_at_mut(SHORT_HEADER_BYTES);
    receive.read_exact(short).await.ok()?;
    if let Some((header, _)) = read_relay_header(short).ok()? {
        return Some(header);
    }
    receive.read_exact(rest).await.ok()?;
    read_relay_header(&bytes).ok()?.map(|(header, _)| header)
}
