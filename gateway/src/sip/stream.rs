//! SIP over connections: TCP and TLS.
//!
//! What was read is taken apart into messages, all of them are answered, the answers wait for the journal together and leave with
//! one write; meanwhile the next messages are read. Requests of ours go out on the same connection. A connection that its endpoint registered on is the way to that
//! endpoint: when it ends, the endpoint is lost until it comes again (RFC 5626).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use callboard_codecs::sip::{Frame, Framer, Side};
use callboard_core::service::Service;
use callboard_core::service::sip::{ClientProof, Incoming, Scratch};
use callboard_core::sip::binding::{Flow, Transport};
use callboard_core::sip::location::Place;
use callboard_core::store::CommitError;
use foldhash::fast::RandomState;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};

use super::links::{StreamLink, StreamLinks};
use super::metrics::StreamMetrics;
use super::outbox::Outbox;
use crate::listen::{StreamConn, StreamHandler, Waiting, linger};

/// Bytes that are read at once.
const READ_BYTES: usize = 16_384;

/// Room that a connection at rest keeps for what it reads and writes.
const KEPT_BYTES: usize = 2_048;

/// Bounds of SIP connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSettings {
    /// Time that a connection may rest. Phones stay connected and send a sign of life every two minutes or so (RFC 5626, section
    /// 4.4.1), or register again.
    pub idle_timeout: Duration,
    /// Time from one message to the next as long as nobody has registered on it: it must not cost nothing to stay.
    pub unregistered_timeout: Duration,
    /// Time for the whole of a message from its first byte on.
    pub message_timeout: Duration,
}

/// Answers SIP on the connections of one door.
pub struct SipStreams {
    pub(super) service: Arc<Service>,
    pub(super) links: Arc<StreamLinks>,
    pub(super) transport: Transport,
    pub(super) settings: StreamSettings,
    pub(super) metrics: Arc<StreamMetrics>,
}

impl std::fmt::Debug for SipStreams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SipStreams").field("transport", &self.transport).finish_non_exhaustive()
    }
}

impl SipStreams {
    /// Answers for `transport`, which is not UDP.
    pub fn new(
        service: Arc<Service>,
        links: Arc<StreamLinks>,
        transport: Transport,
        settings: StreamSettings,
        metrics: Arc<StreamMetrics>,
    ) -> Self {
        Self { service, links, transport, settings, metrics }
    }
}

impl StreamHandler for SipStreams {
    async fn serve<S>(&self, mut stream: S, conn: StreamConn)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let link = self.links.enter();
        let flow =
            Flow { transport: self.transport, remote: conn.peer, local: conn.local, connection: link.number };
        let mut talk = Talk {
            door: self,
            conn: &conn,
            flow,
            framer: Framer::new(Side::Server, *self.service.sip.limits()),
            scratch: Scratch::default(),
            input: Vec::new(),
            outbox: Outbox::default(),
            ended: Ended {
                door: self,
                connection: flow.connection,
                places: HashSet::default(),
                swept_at: UNSWEPT_PLACES,
            },
            messages: 0,
            subscribed: false,
        };
        let end = talk.run(&mut stream, link).await;
        if end == End::Garbage {
            Box::pin(linger(&mut stream)).await;
        }
    }
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The peer has gone, or time is over.
    Gone,
    /// What came cannot be taken apart: nobody knows where the next message begins. The peer may still be sending.
    Garbage,
}

/// One connection.
struct Talk<'a> {
    door: &'a SipStreams,
    conn: &'a StreamConn,
    flow: Flow,
    framer: Framer,
    scratch: Scratch,
    /// What was read and is not a whole message yet.
    input: Vec<u8>,
    outbox: Outbox,
    ended: Ended<'a>,
    /// Messages that came.
    messages: u64,
    /// Whether somebody wants to hear of changes on it.
    subscribed: bool,
}

/// Tells that the connection has ended, however it does.
struct Ended<'a> {
    door: &'a SipStreams,
    connection: u64,
    /// Where addresses-of-record stand that were registered on it, and some that are gone.
    places: HashSet<Place, RandomState>,
    /// At how many those that are gone are taken out.
    swept_at: usize,
}

/// Places that are kept before any of them is looked at.
const UNSWEPT_PLACES: usize = 64;

impl Ended<'_> {
    fn add(&mut self, place: Place) {
        self.places.insert(place);
        if self.places.len() >= self.swept_at {
            let location = &self.door.service.sip.location;
            self.places.retain(|place| location.is_held(*place, self.connection));
            self.swept_at = (self.places.len() * 2).max(UNSWEPT_PLACES);
        }
    }
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        for place in &self.places {
            self.door.service.sip_connection_closed(*place, self.connection);
        }
    }
}

impl Talk<'_> {
    async fn run<S>(&mut self, stream: &mut S, mut link: StreamLink) -> End
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let mut message_ends = None;
        let settings = self.door.settings;
        let mut idle_ends = Instant::now() + settings.unregistered_timeout;
        loop {
            // Nobody is late whom this server does not read from.
            let message = message_ends.filter(|_| self.outbox.has_room());
            let until = message.map_or(idle_ends, |ends: Instant| ends.min(idle_ends));
            let Ok(event) = self.next(stream, &mut link, until).await else {
                self.conn.timed_out(if message_ends.is_some() { Waiting::Head } else { Waiting::Idle });
                return End::Gone;
            };
            let end = match event {
                Event::Read(0) | Event::Request(None) => Some(End::Gone),
                Event::Read(_) => {
                    let before = self.messages;
                    let (now, answered) = (Instant::now(), self.answer_all());
                    if self.subscribed || !self.ended.places.is_empty() {
                        idle_ends = now + settings.idle_timeout;
                    } else if self.messages != before {
                        idle_ends = now + settings.unregistered_timeout;
                    }
                    // What is left is the beginning of the next message, if one ended here.
                    let began = message_ends.filter(|_| answered == Ok(false));
                    message_ends =
                        (!self.input.is_empty()).then(|| began.unwrap_or(now + settings.message_timeout));
                    answered.err()
                }
                Event::Request(Some(request)) => {
                    self.outbox.push(&request);
                    None
                }
                Event::Committed(Ok(())) => {
                    self.outbox.committed();
                    None
                }
                Event::Committed(Err(error)) => {
                    // Whoever asked hears nothing and asks again.
                    tracing::debug!(%error, "registrations are not durable: not answered");
                    return End::Gone;
                }
            };
            let sent = self.send(stream).await;
            if let Some(end) = end {
                return if sent.is_ok() { self.finish(stream, end).await } else { End::Gone };
            }
            if sent.is_err() {
                return End::Gone;
            }
        }
    }

    /// What happens next. An endpoint that does not take its answers is not read from.
    async fn next<S>(
        &mut self,
        stream: &mut S,
        link: &mut StreamLink,
        until: Instant,
    ) -> Result<Event, Elapsed>
    where
        S: AsyncRead + Unpin,
    {
        if self.input.len() == self.input.capacity() {
            self.input.reserve(if self.input.is_empty() { KEPT_BYTES } else { READ_BYTES });
        }
        let has_room = self.outbox.has_room();
        timeout_at(until, async {
            tokio::select! {
                committed = self.outbox.commit() => Event::Committed(committed),
                read = stream.read_buf(&mut self.input), if has_room => Event::Read(read.unwrap_or(0)),
                request = link.requests.recv() => Event::Request(request),
            }
        })
        .await
    }

    /// Answer all whole messages that were read. Whether there were any.
    fn answer_all(&mut self) -> Result<bool, End> {
        let mut used = 0;
        loop {
            let frame = self.framer.next(self.input.get(used..).unwrap_or_default());
            match frame {
                Ok(Frame::More) => break,
                Ok(Frame::Ping(bytes)) => {
                    used += bytes;
                    self.outbox.push(b"\r\n");
                    self.door.metrics.pings.increment(1);
                }
                Ok(Frame::Pong(bytes)) => used += bytes,
                Ok(Frame::Message(bytes)) => {
                    self.answer(used, used + bytes);
                    used += bytes;
                }
                Err(fault) => {
                    tracing::debug!(door = self.conn.door.name, source = %self.conn.peer.ip(), %fault, "no SIP");
                    self.door.metrics.garbage.increment(1);
                    return Err(End::Garbage);
                }
            }
        }
        self.input.drain(..used.min(self.input.len()));
        if self.input.is_empty() && self.input.capacity() > KEPT_BYTES {
            self.input = Vec::new();
        }
        Ok(used > 0)
    }

    fn answer(&mut self, from: usize, to: usize) {
        self.messages += 1;
        if !self.conn.take_request() {
            return self.door.metrics.over_budget.increment(1);
        }
        let service = &self.door.service;
        let bytes = self.input.get(from..to).unwrap_or_default();
        let proof =
            self.conn.client().map(|client| ClientProof { device: &client.device, serial: &client.serial });
        let incoming = Incoming { bytes, flow: self.flow, proof };
        let (now, scratch) = (service.steady(), &mut self.scratch);
        let place = self.outbox.answer(|out| service.sip_received(&incoming, scratch, now, out));
        self.subscribed |= self.scratch.has_subscribed();
        if let Some(place) = place {
            self.ended.add(place);
        }
    }

    /// Send what may leave.
    async fn send<S>(&mut self, stream: &mut S) -> Result<(), End>
    where
        S: AsyncWrite + Unpin + Send,
    {
        let bytes = self.outbox.take(self.door.service.sip.location.journal());
        if bytes.is_empty() {
            return Ok(());
        }
        let written = self.write(stream, &bytes).await;
        self.outbox.sent(bytes);
        written
    }

    /// The connection ends; what was answered before leaves nevertheless.
    async fn finish<S>(&mut self, stream: &mut S, end: End) -> End
    where
        S: AsyncWrite + Unpin + Send,
    {
        while self.outbox.is_waiting() {
            let committed = timeout(self.conn.limits().write_timeout, self.outbox.commit()).await;
            if !matches!(committed, Ok(Ok(()))) {
                return End::Gone;
            }
            self.outbox.committed();
            if self.send(stream).await.is_err() {
                return End::Gone;
            }
        }
        end
    }

    async fn write<S>(&self, stream: &mut S, bytes: &[u8]) -> Result<(), End>
    where
        S: AsyncWrite + Unpin + Send,
    {
        let write = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        match timeout(self.conn.limits().write_timeout, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => {
                self.conn.timed_out(Waiting::Write);
                Err(End::Gone)
            }
        }
    }
}

/// What a connection goes on with.
enum Event {
    /// So many bytes came; 0: no more will.
    Read(usize),
    /// A request of this server is to be sent; `None`: no more will.
    Request(Option<Arc<[u8]>>),
    /// The answers that waited are durable, or will not be.
    Committed(Result<(), CommitError>),
}
