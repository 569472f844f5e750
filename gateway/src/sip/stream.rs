//! SIP over connections: TCP and TLS.
//!
//! What was read is taken apart into messages, all of them are answered, the answers wait for the journal together and leave with
//! one write. Requests of ours go out on the same connection. A connection that its endpoint registered on is the way to that
//! endpoint: when it ends, the endpoint is lost until it comes again (RFC 5626).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use callboard_codecs::sip::{Frame, Framer, Side};
use callboard_core::device::DeviceId;
use callboard_core::service::Service;
use callboard_core::service::sip::{Incoming, Reaction, Scratch};
use callboard_core::sip::binding::{Flow, Transport};
use callboard_core::sip::location::Place;
use callboard_core::store::journal::Position;
use foldhash::fast::RandomState;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};

use super::links::{StreamLink, StreamLinks};
use super::metrics::StreamMetrics;
use crate::listen::{StreamConn, StreamHandler, Waiting, linger};

/// Bytes that are read at once.
const READ_BYTES: usize = 16_384;

/// Bytes of answers after which they leave before more is read.
const ANSWER_BYTES: usize = 262_144;

/// Room that a connection at rest keeps for what it reads and writes.
const KEPT_BYTES: usize = 2_048;

/// Bounds of SIP connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSettings {
    /// Time that a connection may rest. Phones stay connected and send a sign of life every two minutes or so (RFC 5626, section
    /// 4.4.1), or register again.
    pub idle_timeout: Duration,
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
            Flow { transport: self.transport, remote: conn.peer, local: None, connection: link.number };
        let device = conn.client().map(|client| client.device.clone());
        let mut talk = Talk {
            door: self,
            conn: &conn,
            flow,
            device,
            framer: Framer::new(Side::Server, *self.service.sip.limits()),
            scratch: Scratch::default(),
            input: Vec::new(),
            output: Vec::new(),
            position: None,
            ended: Ended { door: self, connection: flow.connection, places: HashSet::default() },
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
    device: Option<DeviceId>,
    framer: Framer,
    scratch: Scratch,
    /// What was read and is not a whole message yet.
    input: Vec<u8>,
    /// Answers that have not left.
    output: Vec<u8>,
    /// They may leave when everything up to here is durable.
    position: Option<Position>,
    ended: Ended<'a>,
}

/// Tells that the connection has ended, however it does.
struct Ended<'a> {
    door: &'a SipStreams,
    connection: u64,
    /// Where addresses-of-record stand that were registered on it.
    places: HashSet<Place, RandomState>,
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
        loop {
            let idle = Instant::now() + self.door.settings.idle_timeout;
            let until = message_ends.map_or(idle, |ends: Instant| ends.min(idle));
            if self.input.len() == self.input.capacity() {
                self.input.reserve(if self.input.is_empty() { KEPT_BYTES } else { READ_BYTES });
            }
            let event = timeout_at(until, async {
                tokio::select! {
                    read = stream.read_buf(&mut self.input) => Event::Read(read.unwrap_or(0)),
                    request = link.requests.recv() => Event::Request(request),
                }
            });
            match event.await {
                Ok(Event::Read(0) | Event::Request(None)) => return End::Gone,
                Ok(Event::Read(_)) => {}
                Ok(Event::Request(Some(request))) => {
                    if self.write(stream, &request).await.is_err() {
                        return End::Gone;
                    }
                    continue;
                }
                Err(_) => {
                    self.conn.timed_out(if message_ends.is_some() { Waiting::Head } else { Waiting::Idle });
                    return End::Gone;
                }
            }
            let whole = self.answer_all(stream).await;
            match whole {
                Ok(()) if self.input.is_empty() => message_ends = None,
                Ok(()) => {
                    let ends = Instant::now() + self.door.settings.message_timeout;
                    message_ends.get_or_insert(ends);
                }
                Err(end) => return end,
            }
        }
    }

    /// Answer all whole messages that were read.
    async fn answer_all<S>(&mut self, stream: &mut S) -> Result<(), End>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let mut used = 0;
        loop {
            let frame = self.framer.next(self.input.get(used..).unwrap_or_default());
            match frame {
                Ok(Frame::More) => break,
                Ok(Frame::Ping(bytes)) => {
                    used += bytes;
                    self.output.extend_from_slice(b"\r\n");
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
                    self.flush(stream).await?;
                    return Err(End::Garbage);
                }
            }
            if self.output.len() >= ANSWER_BYTES {
                self.flush(stream).await?;
            }
        }
        self.input.drain(..used.min(self.input.len()));
        if self.input.is_empty() && self.input.capacity() > KEPT_BYTES {
            self.input = Vec::new();
        }
        self.flush(stream).await
    }

    fn answer(&mut self, from: usize, to: usize) {
        if !self.conn.take_request() {
            return self.door.metrics.over_budget.increment(1);
        }
        let bytes = self.input.get(from..to).unwrap_or_default();
        let incoming = Incoming { bytes, flow: self.flow, device: self.device.as_ref() };
        let now = self.door.service.now();
        let reaction = self.door.service.sip_received(&incoming, &mut self.scratch, now, &mut self.output);
        match reaction {
            Reaction::Nothing | Reaction::Answer => {}
            Reaction::AnswerAfter(position, place) => {
                self.position = self.position.max(Some(position));
                self.ended.places.extend(place);
            }
        }
    }

    /// Send the answers as soon as what they say is durable.
    async fn flush<S>(&mut self, stream: &mut S) -> Result<(), End>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        if let Some(position) = self.position.take()
            && let Err(error) = self.door.service.sip.committed(position).await
        {
            // Whoever asked hears nothing and asks again.
            tracing::debug!(%error, "registrations are not durable: not answered");
            self.output.clear();
            return Err(End::Gone);
        }
        if self.output.is_empty() {
            return Ok(());
        }
        let output = std::mem::take(&mut self.output);
        let written = self.write(stream, &output).await;
        if output.capacity() <= ANSWER_BYTES {
            self.output = output;
            self.output.clear();
        }
        written
    }

    async fn write<S>(&self, stream: &mut S, bytes: &[u8]) -> Result<(), End>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
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

enum Event {
    Read(usize),
    Request(Option<Arc<[u8]>>),
}
