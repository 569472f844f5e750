//! SIP over datagrams: one socket for each core (`SO_REUSEPORT`), many datagrams with one system call each way.
//!
//! A task for each socket reads what is there, has it answered, sends what may be sent at once, and keeps what waits for the
//! journal until it is durable. It reads on meanwhile, up to a bound: beyond it the system's buffer fills, and then drops.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use callboard_core::service::Service;
use callboard_core::service::sip::{Incoming, Reaction, Scratch};
use callboard_core::sip::binding::{Flow, Transport};
use callboard_core::store::{CommitError, Ticket};
use callboard_core::time::Timestamp;
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::batch::{Batch, Run};
use super::metrics::UdpMetrics;
use super::source::SourceBudget;
use crate::listen::Shutdown;

/// Bytes for one datagram: the largest there is, and several of one size that the system puts together.
const DATAGRAM_BYTES: usize = 65_535;

/// Datagrams that may wait for the journal, of one socket.
const WAITING: usize = 4_096;

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
        allow_fragments(&socket);
        Ok(Self { socket: UdpSocket::from_std(socket)?, state, metrics })
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
    async fn send_batch(&self, batch: &Batch) {
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

    /// Wait for datagrams and take as many as there are, up to the size of the batch.
    fn poll_receive(
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

/// Answers may be larger than a packet, and have the system cut them (RFC 3261, section 18.1.1, bounds requests alone). Sockets of
/// quinn-udp are made for QUIC, which must not be cut.
fn allow_fragments(socket: &std::net::UdpSocket) {
    let v4 = sockopt::set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::DONT);
    let v6 = sockopt::set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::DONT);
    // A socket is of one family, and refuses what is of the other.
    if let (Err(error), Err(_)) = (v4, v6) {
        tracing::warn!(%error, "SIP answers that are larger than a packet will not leave");
    }
}

/// Whether segmentation is what the system did not like.
fn is_refused_offload(error: &io::Error) -> bool {
    // EINVAL, EIO: what Linux says when a path or card cannot cut.
    matches!(error.raw_os_error(), Some(5 | 22))
}

/// Answers what comes in on one socket until the process stops.
pub struct UdpWorker {
    link: Arc<UdpLink>,
    service: Arc<Service>,
    sources: Arc<SourceBudget>,
    scratch: Scratch,
    /// Answers that may leave.
    now: Batch,
    /// Answers of the batch at hand that wait for the journal.
    later: Batch,
    /// Batches that wait, in the order of the journal.
    waiting: VecDeque<(Batch, Ticket)>,
    /// Datagrams in them.
    waiting_datagrams: usize,
    spare: Vec<Batch>,
}

impl std::fmt::Debug for UdpWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UdpWorker").field("waiting", &self.waiting_datagrams).finish_non_exhaustive()
    }
}

/// What a worker goes on with.
enum Event {
    /// So many buffers were filled.
    Received(usize),
    /// The first batch that waits is durable, or will not be.
    Committed(Result<(), CommitError>),
    /// The system refuses to read.
    Failed(io::Error),
}

impl UdpWorker {
    /// A worker for one socket.
    pub fn new(link: Arc<UdpLink>, service: Arc<Service>, sources: Arc<SourceBudget>) -> Self {
        Self {
            link,
            service,
            sources,
            scratch: Scratch::default(),
            now: Batch::default(),
            later: Batch::default(),
            waiting: VecDeque::new(),
            waiting_datagrams: 0,
            spare: Vec::new(),
        }
    }

    /// Serve until the process drains, then send what waits.
    pub async fn run(mut self, shutdown: Shutdown) {
        let mut space = vec![0_u8; DATAGRAM_BYTES * BATCH_SIZE].into_boxed_slice();
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        loop {
            let event = tokio::select! {
                biased;
                () = shutdown.draining() => break,
                event = self.next(&mut space, &mut metas) => event,
            };
            match event {
                Event::Received(buffers) => self.received(&space, &metas[..buffers]).await,
                Event::Committed(outcome) => self.committed(outcome).await,
                Event::Failed(error) => {
                    tracing::warn!(%error, "SIP datagrams cannot be read");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
        while let Some((_, committed)) = self.waiting.front_mut() {
            let outcome = committed.await;
            self.committed(outcome).await;
        }
    }

    async fn next(&mut self, space: &mut [u8], metas: &mut [RecvMeta]) -> Event {
        let (link, waiting) = (&self.link, &mut self.waiting);
        let has_room = self.waiting_datagrams < WAITING;
        std::future::poll_fn(move |cx| {
            if let Some((_, committed)) = waiting.front_mut()
                && let Poll::Ready(outcome) = Pin::new(committed).poll(cx)
            {
                return Poll::Ready(Event::Committed(outcome));
            }
            if !has_room {
                return Poll::Pending;
            }
            let mut buffers = space.chunks_mut(DATAGRAM_BYTES).map(IoSliceMut::new);
            let mut buffers: [IoSliceMut<'_>; BATCH_SIZE] =
                std::array::from_fn(|_| buffers.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
            link.poll_receive(cx, &mut buffers, metas).map(|outcome| match outcome {
                Ok(buffers) => Event::Received(buffers),
                Err(error) => Event::Failed(error),
            })
        })
        .await
    }

    /// Answer what came.
    async fn received(&mut self, space: &[u8], metas: &[RecvMeta]) {
        let now = self.service.steady();
        let mut datagrams = 0;
        for (meta, buffer) in metas.iter().zip(space.chunks(DATAGRAM_BYTES)) {
            let filled = buffer.get(..meta.len).unwrap_or_default();
            for bytes in filled.chunks(meta.stride.max(1)) {
                datagrams += 1;
                self.answer(bytes, meta, now);
            }
        }
        self.link.metrics.received(datagrams);
        if !self.now.is_empty() {
            self.link.send_batch(&self.now).await;
            self.now.clear();
        }
        self.put_off();
    }

    fn answer(&mut self, bytes: &[u8], meta: &RecvMeta, now: Timestamp) {
        // A wildcard socket hears of every group that some program of this machine has joined.
        if meta.dst_ip.is_some_and(|to| to.to_canonical().is_multicast()) {
            return;
        }
        let remote = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
        if !self.sources.take(remote.ip(), now) {
            return self.link.metrics.over_budget();
        }
        let flow = Flow {
            transport: Transport::Udp,
            remote,
            local: meta.dst_ip.map(|local| local.to_canonical()),
            connection: 0,
        };
        let incoming = Incoming { bytes, flow, proof: None };
        let reaction = self.service.sip_received(&incoming, &mut self.scratch, now, self.now.buffer());
        let port = self.scratch.reply_port().unwrap_or(meta.addr.port());
        let to = SocketAddr::new(meta.addr.ip(), port);
        match reaction {
            Reaction::Nothing => {}
            Reaction::Answer => self.now.close(to, meta.dst_ip, None),
            Reaction::AnswerAfter(position, _) => {
                self.later.take_open(&mut self.now);
                self.later.close(to, meta.dst_ip, Some(position));
            }
        }
    }

    /// Answers that wait for the journal go to the end of the line.
    fn put_off(&mut self) {
        let Some(position) = self.later.position() else { return };
        let spare = self.spare.pop().unwrap_or_default();
        let batch = std::mem::replace(&mut self.later, spare);
        self.waiting_datagrams += batch.len();
        self.waiting.push_back((batch, self.service.sip.committed(position)));
    }

    /// The first batch that waits is durable: its answers leave. If it is not, nobody hears anything, and comes again.
    async fn committed(&mut self, outcome: Result<(), CommitError>) {
        let Some((mut batch, _)) = self.waiting.pop_front() else { return };
        self.waiting_datagrams -= batch.len();
        match outcome {
            Ok(()) => self.link.send_batch(&batch).await,
            Err(error) => {
                tracing::debug!(%error, "registrations are not durable: not answered");
                self.link.metrics.uncommitted(batch.len());
            }
        }
        batch.clear();
        self.spare.push(batch);
    }
}
