//! SIP over datagrams: one socket for each core (`SO_REUSEPORT`), many datagrams with one system call each way.
//!
//! A task for each socket reads what is there, has it answered, sends what may be sent at once, and keeps what waits for the
//! journal until it is durable. It reads on meanwhile, up to a bound: beyond it the system's buffer fills, and then drops.

use std::collections::VecDeque;
use std::future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use callboard_core::service::Service;
use callboard_core::service::sip::{Incoming, Reaction, Scratch};
use callboard_core::sip::binding::{Flow, Transport};
use callboard_core::store::journal::Position;
use callboard_core::store::{CommitError, Ticket};
use callboard_core::time::Timestamp;
use metrics::{Counter, counter};

use crate::datagram::{Batch, Received, SourceBudget, UdpLink, UdpReader};
use crate::listen::Shutdown;

/// Datagrams that may wait for the journal, of one socket.
const WAITING: usize = 4_096;

/// Pause after the system refused to read.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers what comes in on one socket until the process stops.
pub struct UdpWorker {
    link: Arc<UdpLink>,
    service: Arc<Service>,
    sources: Arc<SourceBudget>,
    scratch: Scratch,
    /// Answers that may leave.
    now: Batch,
    /// Answers of the batch at hand that wait for the journal,
    later: Batch,
    /// and up to where.
    later_position: Option<Position>,
    /// Batches that wait, in the order of the journal.
    waiting: VecDeque<(Batch, Ticket)>,
    /// Datagrams in them.
    waiting_datagrams: usize,
    spare: Vec<Batch>,
    uncommitted: Counter,
}

impl std::fmt::Debug for UdpWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UdpWorker").field("waiting", &self.waiting_datagrams).finish_non_exhaustive()
    }
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
            later_position: None,
            waiting: VecDeque::new(),
            waiting_datagrams: 0,
            spare: Vec::new(),
            uncommitted: counter!("callboard_sip_uncommitted_total"),
        }
    }

    /// Serve until the process drains, then send what waits.
    pub async fn run(mut self, shutdown: Shutdown) {
        let mut reader = UdpReader::new(self.link.clone());
        loop {
            tokio::select! {
                biased;
                () = shutdown.draining() => break,
                outcome = first(&mut self.waiting) => self.committed(outcome).await,
                read = reader.read(), if self.waiting_datagrams < WAITING => match read {
                    Ok(()) => self.received(&reader).await,
                    Err(error) => {
                        tracing::warn!(%error, "SIP datagrams cannot be read");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
            }
        }
        while !self.waiting.is_empty() {
            let outcome = first(&mut self.waiting).await;
            self.committed(outcome).await;
        }
    }

    /// Answer what came.
    async fn received(&mut self, reader: &UdpReader) {
        let now = self.service.steady();
        for datagram in reader.datagrams() {
            self.answer(&datagram, now);
        }
        if !self.now.is_empty() {
            self.link.send_batch(&self.now).await;
            self.now.clear();
        }
        self.put_off();
    }

    fn answer(&mut self, datagram: &Received<'_>, now: Timestamp) {
        let remote = datagram.remote();
        if !self.sources.take(remote.ip(), now) {
            return self.link.metrics().over_budget();
        }
        let flow = Flow { transport: Transport::Udp, remote, local: datagram.local(), connection: 0 };
        let incoming = Incoming { bytes: datagram.bytes, flow, proof: None };
        let reaction = self.service.sip_received(&incoming, &mut self.scratch, now, self.now.buffer());
        let port = self.scratch.reply_port().unwrap_or(remote.port());
        let to = SocketAddr::new(datagram.from.ip(), port);
        match reaction {
            Reaction::Nothing => {}
            Reaction::Answer => self.now.close(to, datagram.to),
            Reaction::AnswerAfter(position, _) => {
                self.later.take_open(&mut self.now);
                self.later.close(to, datagram.to);
                self.later_position = self.later_position.max(Some(position));
            }
        }
    }

    /// Answers that wait for the journal go to the end of the line.
    fn put_off(&mut self) {
        let Some(position) = self.later_position.take() else { return };
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
                self.uncommitted.increment(batch.len() as u64);
            }
        }
        batch.clear();
        self.spare.push(batch);
    }
}

/// Whether the first batch that waits is durable, or will not be.
async fn first(waiting: &mut VecDeque<(Batch, Ticket)>) -> Result<(), CommitError> {
    match waiting.front_mut() {
        Some((_, ticket)) => ticket.await,
        None => future::pending().await,
    }
}
