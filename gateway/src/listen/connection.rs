//! The life of one connection after the handshake: requests one after the other, under one timer.
//!
//! A connection that does nothing holds no HTTP state at all. Its parser and buffers (16 kB) are made when a first byte
//! arrives and given back after [`Limits::buffers_timeout`] of silence, so that idle phones cost little more than their TLS state.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue, TRANSFER_ENCODING};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::clock::{Clock, Doing, Timeouts};
use super::framing::Framing;
use super::io::{Outgoing, Watched};
use super::metrics::{DoorMetrics, HttpError};
use super::{ConnInfo, Handler, Limits, Phase, RequestBody, Shutdown};

/// After a response that did not wait for the whole request, what the peer still sends is read and dropped for this
/// long and up to this much; closing at once would make the peer's system throw the response away.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 256 * 1024;

/// Smallest read buffer hyper accepts.
const HTTP_BUFFER_MIN: usize = 8 * 1024;

/// What the connections of one door share.
pub(super) struct Shared<H> {
    pub(super) handler: Arc<H>,
    pub(super) http: http1::Builder,
    pub(super) metrics: Arc<DoorMetrics>,
    pub(super) timeouts: Arc<Timeouts>,
    pub(super) drain_timeout: Duration,
    pub(super) buffers_timeout: Duration,
    pub(super) shutdown: Shutdown,
    /// The door has closed for good: what is not in the middle of a request ends.
    pub(super) closing: CancellationToken,
}

/// HTTP/1 as the doors speak it.
pub(super) fn http(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    // Our own clock does what hyper's timer would, for all phases and with one timer.
    http.header_read_timeout(None)
        .half_close(false)
        .keep_alive(true)
        // Old phones' HTTP is not known to fold case.
        .title_case_headers(true)
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(HTTP_BUFFER_MIN));
    http
}

/// Serves `stream` until it ends.
pub(super) async fn drive<S, H>(stream: S, conn: Arc<ConnInfo>, shared: &Shared<H>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    H: Handler,
{
    let clock = &conn.clock;
    let first = clock.deadline().unwrap_or_else(Instant::now);
    let draining = pin!(shared.shutdown.draining());
    let mut watch = Watch {
        conn: &conn,
        clock,
        sleep: pin!(sleep_until(first)),
        draining,
        shutdown: &shared.shutdown,
        closing: &shared.closing,
        drain_timeout: shared.drain_timeout,
        buffers_timeout: shared.buffers_timeout,
        drain: None,
    };
    let mut io =
        Watched { inner: stream, ahead: Bytes::new(), framing: Framing::new(), conn: Arc::clone(&conn) };
    loop {
        if io.ahead.is_empty() {
            match watch.first_byte(&mut io).await {
                Ok(Some(byte)) => io.ahead = byte,
                Ok(None) => return,
                Err(strike) => {
                    if strike == Strike::Deadline {
                        shared.metrics.timed_out(clock.doing());
                    }
                    return goodbye(&mut io).await;
                }
            }
        }
        // Boxed, as is lingering, so that a parked connection does not carry their size.
        match Box::pin(exchange(&mut io, &mut watch, shared)).await {
            Outcome::Parked(unread) => io.ahead = unread,
            Outcome::Closed { unread: false } => return,
            Outcome::Closed { unread: true } => return Box::pin(linger(&mut io.inner)).await,
            Outcome::Silent => return goodbye(&mut io).await,
        }
    }
}

/// How a run of requests ended.
enum Outcome {
    /// The connection is idle; these bytes (normally none) are read but not understood yet.
    Parked(Bytes),
    /// HTTP has closed it. `unread`: the peer may still be sending.
    Closed { unread: bool },
    /// It is to be closed between two requests.
    Silent,
}

/// Serves requests until the connection falls idle for a while or ends.
async fn exchange<S, H, D>(io: &mut Watched<S>, watch: &mut Watch<'_, D>, shared: &Shared<H>) -> Outcome
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    H: Handler,
    D: Future<Output = ()>,
{
    let conn = Arc::clone(&io.conn);
    let service = service_fn(|request| answer(shared, Arc::clone(&conn), request));
    let mut http = shared.http.serve_connection(TokioIo::new(io), service);
    if watch.drain.as_ref().is_some_and(|drain| drain.told) {
        Pin::new(&mut http).graceful_shutdown();
    }
    loop {
        let step = poll_fn(|cx| match Pin::new(&mut http).poll(cx) {
            Poll::Ready(result) => Poll::Ready(Ok(result)),
            Poll::Pending => watch.poll(cx, true).map(Err),
        });
        match step.await {
            Ok(Ok(())) => return Outcome::Closed { unread: conn.clock.is_abandoned() },
            Ok(Err(error)) => {
                let kind = HttpError::of(&error);
                shared.metrics.http_error(kind);
                tracing::debug!(conn = conn.id, door = conn.door.name, error = %error, "connection broke");
                return Outcome::Closed {
                    unread: matches!(kind, HttpError::Parse | HttpError::HeadTooLarge),
                };
            }
            Err(Strike::Draining) => Pin::new(&mut http).graceful_shutdown(),
            Err(Strike::Park) => {
                let unread = http.into_parts().read_buf;
                // Even empty it would hold on to its buffer.
                return Outcome::Parked(if unread.is_empty() { Bytes::new() } else { unread });
            }
            Err(Strike::Deadline) => {
                let doing = conn.clock.doing();
                shared.metrics.timed_out(doing);
                return if doing == Doing::Idle {
                    Outcome::Silent
                } else {
                    Outcome::Closed { unread: false }
                };
            }
            Err(Strike::Stopped) => return Outcome::Closed { unread: false },
        }
    }
}

/// Puts one request before the handler and keeps the clock informed.
async fn answer<H: Handler>(
    shared: &Shared<H>,
    conn: Arc<ConnInfo>,
    request: Request<Incoming>,
) -> Result<Response<Outgoing<H::Body>>, Infallible> {
    // Nothing is looked at behind a chunked request: whatever a proxy takes for its end, nobody can hide a request there.
    let is_chunked = request.headers().contains_key(TRANSFER_ENCODING);
    let request = request.map(|body| RequestBody::new(body, Arc::clone(&conn)));
    let mut response = if conn.framing.next_is_ambiguous() {
        shared.metrics.http_error(HttpError::AmbiguousLength);
        conn.clock.body_abandoned();
        let mut refusal = Response::new(None);
        *refusal.status_mut() = StatusCode::BAD_REQUEST;
        refusal
    } else {
        shared.handler.call(Arc::clone(&conn), request).await.map(Some)
    };
    conn.clock.answered();
    let drained = shared.shutdown.phase() != Phase::Running && !conn.in_dialogue();
    if conn.place.is_shed() || conn.clock.is_old() || conn.clock.is_abandoned() || is_chunked || drained {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|inner| Outgoing { inner, conn }))
}

/// Closes our side of a connection with nothing in flight. One attempt: the system's buffer is empty.
async fn goodbye<S: AsyncRead + AsyncWrite + Unpin>(io: &mut Watched<S>) {
    poll_fn(|cx| {
        let _ = Pin::new(&mut *io).poll_shutdown(cx);
        Poll::Ready(())
    })
    .await;
}

/// Closes our side, then reads and drops what the peer still sends, for a while.
pub async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let drop_rest = async {
        let _ = stream.shutdown().await;
        let mut left = LINGER_BYTES;
        let mut waste = [0; 1024];
        while left > 0 {
            match stream.read(&mut waste).await {
                Ok(0) | Err(_) => return,
                Ok(n) => left = left.saturating_sub(n),
            }
        }
    };
    let _ = timeout(LINGER, drop_rest).await;
}

/// What the timer has to say.
#[derive(Debug, PartialEq, Eq)]
enum Strike {
    /// The present phase has lasted too long, or the drain has.
    Deadline,
    /// The connection has been idle long enough to give its buffers back.
    Park,
    /// The process shuts down. Said once: as soon as the connection rests outside of a dialogue, or when its door has
    /// closed. One that has not asked anything yet may be in the middle of a dialogue: it gets its answer.
    Draining,
    /// The process does not wait any longer.
    Stopped,
}

/// The one timer of a connection.
struct Watch<'a, D> {
    conn: &'a ConnInfo,
    clock: &'a Clock,
    sleep: Pin<&'a mut Sleep>,
    draining: Pin<&'a mut D>,
    shutdown: &'a Shutdown,
    closing: &'a CancellationToken,
    drain_timeout: Duration,
    buffers_timeout: Duration,
    /// Set once draining has begun.
    drain: Option<Drain<'a>>,
}

struct Drain<'a> {
    end: Instant,
    /// [`Strike::Draining`] was said.
    told: bool,
    closing: Pin<Box<dyn Future<Output = ()> + Send + 'a>>,
    stopped: Pin<Box<dyn Future<Output = ()> + Send + 'a>>,
}

impl<D: Future<Output = ()>> Watch<'_, D> {
    /// Ready when something is to be done about the connection. To be polled after everything else: what ran before
    /// may have moved the deadline.
    fn poll(&mut self, cx: &mut Context<'_>, may_park: bool) -> Poll<Strike> {
        if self.drain.is_none() && self.draining.as_mut().poll(cx).is_ready() {
            self.drain = Some(Drain {
                end: self.shutdown.began() + self.drain_timeout,
                told: false,
                closing: Box::pin(self.closing.cancelled()),
                stopped: Box::pin(self.shutdown.stopped()),
            });
        }
        if let Some(drain) = &mut self.drain {
            if drain.stopped.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Strike::Stopped);
            }
            let rests = self.clock.doing() == Doing::Idle && !self.conn.in_dialogue();
            if !drain.told && (rests || drain.closing.as_mut().poll(cx).is_ready()) {
                drain.told = true;
                return Poll::Ready(Strike::Draining);
            }
        }
        loop {
            let park = self.clock.idle_since().filter(|_| may_park).map(|since| since + self.buffers_timeout);
            let drained = self.drain.as_ref().map(|drain| drain.end);
            let end = [self.clock.deadline(), drained].into_iter().flatten().min();
            let Some(due) = [end, park].into_iter().flatten().min() else {
                return Poll::Pending;
            };
            if self.sleep.is_elapsed() || due < self.sleep.deadline() {
                self.sleep.as_mut().reset(due);
            }
            ready!(self.sleep.as_mut().poll(cx));
            let now = Instant::now();
            if end.is_some_and(|end| now >= end) {
                return Poll::Ready(Strike::Deadline);
            }
            if park.is_some_and(|park| now >= park) {
                return Poll::Ready(Strike::Park);
            }
        }
    }

    /// Waits for the first byte of a request without any buffer. `Ok(None)` when the peer has gone.
    async fn first_byte<S: AsyncRead + Unpin>(
        &mut self,
        io: &mut Watched<S>,
    ) -> Result<Option<Bytes>, Strike> {
        poll_fn(|cx| {
            let mut byte = [0];
            let mut buf = ReadBuf::new(&mut byte);
            match Pin::new(&mut *io).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    Poll::Ready(Ok(Some(Bytes::copy_from_slice(buf.filled()))))
                }
                Poll::Ready(_) => Poll::Ready(Ok(None)),
                Poll::Pending => self.poll(cx, false).map(Err),
            }
        })
        .await
    }
}
