//! What a protocol brings to a door, and what it gets from it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tower::ServiceExt as _;

use super::ConnInfo;

/// Most that is set aside on the word of a Content-Length header; beyond it a body's buffer grows with what arrives.
const BODY_RESERVE_BYTES: u64 = 64 * 1024;

/// Bytes of a [long body](ConnInfo::expect_long_body) that must come within the time of a whole one.
const PROGRESS_BYTES: usize = 64 * 1024;

/// Answers the requests of one door.
pub trait Handler: Send + Sync + 'static {
    /// Response bodies. `Full<Bytes>` sends a Content-Length; a streaming body is sent chunked.
    type Body: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Unpin + Send + 'static;

    /// Answers one request. The future is dropped when the peer goes away or a time-out strikes.
    fn call(
        &self,
        conn: Arc<ConnInfo>,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// Dialogues that peers have begun and not ended, at this door or elsewhere in the process. As long as there are
    /// some, a draining door goes on taking connections, for peers that make one for every request.
    ///
    /// `None`, as it is unless told otherwise: each request stands for itself, and a draining door closes at once.
    fn open_dialogues(&self) -> Option<usize> {
        None
    }
}

/// A request's body as it arrives. Reading it is what sends `100 Continue` to a peer that asked for it.
#[derive(Debug)]
pub struct RequestBody {
    inner: Incoming,
    conn: Arc<ConnInfo>,
    ended: bool,
    /// Bytes since the clock was told of progress.
    unreported: usize,
}

impl RequestBody {
    pub(super) fn new(inner: Incoming, conn: Arc<ConnInfo>) -> Self {
        let ended = inner.is_end_stream();
        conn.clock.head_ended(ended);
        Self { inner, conn, ended, unreported: 0 }
    }

    fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            self.conn.clock.body_ended();
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(Ok(data)) = frame.as_ref().map(|frame| frame.as_ref().map(Frame::data_ref)) {
            self.unreported += data.map_or(0, Bytes::len);
            if self.unreported >= PROGRESS_BYTES && self.conn.long_body.load(Relaxed) {
                self.unreported = 0;
                self.conn.clock.body_progressed();
            }
        }
        if self.inner.is_end_stream() || frame.is_none() {
            self.end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if !self.ended {
            self.conn.clock.body_abandoned();
        }
    }
}

/// Why [`read_body`] gave up.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The body is longer than allowed. Nothing beyond the limit was kept.
    #[error("body is longer than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The peer went away, or its framing was wrong.
    #[error("body ended early")]
    Aborted(#[source] hyper::Error),
}

/// Reads a whole body of at most `limit` bytes. A body that arrives in one piece is not copied.
pub async fn read_body(mut body: RequestBody, limit: usize) -> Result<Bytes, BodyError> {
    let too_large = || BodyError::TooLarge { limit };
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(BodyError::Aborted)?.into_data() else {
            continue; // Trailers carry nothing for us.
        };
        if first.len() + rest.len() + data.len() > limit {
            return Err(too_large());
        }
        if rest.is_empty() && first.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                let expected = body.size_hint().lower().min(BODY_RESERVE_BYTES);
                rest.reserve(first.len() + data.len() + usize::try_from(expected).unwrap_or(0));
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// Lets any `tower` service answer at a door, for example an axum router. The request carries `Arc<ConnInfo>` as an
/// extension.
#[derive(Debug, Clone)]
pub struct TowerHandler<S>(pub S);

impl<S, B> Handler for TowerHandler<S>
where
    S: tower::Service<Request<RequestBody>, Response = Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Unpin + Send + 'static,
{
    type Body = B;

    async fn call(&self, conn: Arc<ConnInfo>, mut request: Request<RequestBody>) -> Response<B> {
        request.extensions_mut().insert(conn);
        match self.0.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}
