//! One socket of a door for datagrams.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::batch::{Batch, Run};
use super::metrics::{Protocol, UdpMetrics};

/// One of the sockets of a door.
#[derive(Debug)]
pub struct UdpLink {
    socket: UdpSocket,
    state: UdpSocketState,
    metrics: Arc<UdpMetrics>,
}

impl UdpLink {
    /// Take over a non-blocking socket.
    pub fn new(socket: std::net::UdpSocket, metrics: Arc<UdpMetrics>) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        allow_fragments(&socket, metrics.protocol());
        Ok(Self { socket: UdpSocket::from_std(socket)?, state, metrics })
    }

    /// The figures of its door.
    pub fn metrics(&self) -> &UdpMetrics {
        &self.metrics
    }

    pub(super) const fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Send one datagram now. What the system does not take is lost, as any datagram may be.
    pub fn send(&self, to: SocketAddr, from: Option<IpAddr>, bytes: &[u8]) -> io::Result<()> {
        self.send_run(&Run { to, from, bytes, length: bytes.len(), datagrams: 1 })
    }

    fn send_run(&self, run: &Run<'_>) -> io::Result<()> {
        let transmit = Transmit {
            destination: run.to,
            ecn: None,
            contents: run.bytes,
            segment_size: (run.datagrams > 1).then_some(run.length),
            src_ip: run.from,
        };
        self.socket.try_io(Interest::WRITABLE, || self.state.try_send((&self.socket).into(), &transmit))
    }

    /// Send all of a batch, waiting for room as long as the system has none.
    pub async fn send_batch(&self, batch: &Batch) {
        for run in batch.runs(self.state.max_gso_segments()) {
            match self.send_patiently(&run).await {
                Ok(()) => self.metrics.sent(run.datagrams),
                // The network card's driver may not cut them: one by one.
                Err(error) if run.datagrams > 1 && is_refused_offload(&error) => self.send_singly(&run).await,
                Err(error) => self.metrics.unsent(run.datagrams, &error),
            }
        }
    }

    async fn send_singly(&self, run: &Run<'_>) {
        for bytes in run.bytes.chunks(run.length) {
            let single = Run { bytes, length: bytes.len(), datagrams: 1, ..*run };
            match self.send_patiently(&single).await {
                Ok(()) => self.metrics.sent(1),
                Err(error) => self.metrics.unsent(1, &error),
            }
        }
    }

    async fn send_patiently(&self, run: &Run<'_>) -> io::Result<()> {
        loop {
            match self.send_run(run) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.socket.writable().await?,
                outcome => return outcome,
            }
        }
    }

    /// Wait for datagrams and take as many as there are, up to the number of buffers.
    pub(super) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.socket.poll_recv_ready(cx))?;
            let received = self
                .socket
                .try_io(Interest::READABLE, || self.state.recv((&self.socket).into(), buffers, metas));
            match received {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }
}

/// Answers may be larger than a packet, and have the system cut them (of SIP, RFC 3261, section 18.1.1, bounds requests alone).
/// Sockets of quinn-udp are made for QUIC, which must not be cut.
fn allow_fragments(socket: &std::net::UdpSocket, protocol: Protocol) {
    let v4 = sockopt::set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::DONT);
    let v6 = sockopt::set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::DONT);
    // A socket is of one family, and refuses what is of the other.
    if let (Err(error), Err(_)) = (v4, v6) {
        let protocol = protocol.name;
        tracing::warn!(protocol, %error, "answers that are larger than a packet will not leave");
    }
}

/// Whether segmentation is what the system did not like.
fn is_refused_offload(error: &io::Error) -> bool {
    // EINVAL, EIO: what Linux says when a path or card cannot cut.
    matches!(error.raw_os_error(), Some(5 | 22))
}
