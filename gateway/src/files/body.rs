//! The body of a download: read as the connection takes it, at the common pace.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use callboard_core::file::Pieces;
use hyper::body::{Body, Frame, SizeHint};

use super::metrics::Download;
use super::pace::Share;

/// Most bytes sent in one turn: of a thousand downloads each has a turn every third of a second at 50 MB/s.
const TURN_BYTES: usize = 16 * 1024;

/// A body whose length is known.
pub struct FileBody {
    feed: State,
    left: u64,
    download: Download,
}

type Working = Pin<Box<dyn Future<Output = (Feed, io::Result<Bytes>)> + Send>>;

enum State {
    Resting(Feed),
    Working(Working),
    Ended,
}

/// Where the bytes come from, and what they cost.
struct Feed {
    pieces: Box<dyn Pieces>,
    /// Read and not sent yet.
    ahead: Bytes,
    share: Share,
}

impl Feed {
    async fn next(mut self) -> (Self, io::Result<Bytes>) {
        if self.ahead.is_empty() {
            match poll_fn(|cx| self.pieces.poll_next(cx)).await {
                Some(Ok(piece)) => self.ahead = piece,
                Some(Err(error)) => return (self, Err(io::Error::other(error))),
                None => return (self, Err(io::ErrorKind::UnexpectedEof.into())),
            }
        }
        let bytes = self.ahead.split_to(self.ahead.len().min(TURN_BYTES));
        self.share.pay(bytes.len()).await;
        (self, Ok(bytes))
    }
}

impl FileBody {
    /// `length` bytes that come from `pieces`.
    pub(super) fn new(pieces: Box<dyn Pieces>, length: u64, share: Share, download: Download) -> Self {
        let feed = Feed { pieces, ahead: Bytes::new(), share };
        let feed = if length == 0 { State::Ended } else { State::Resting(feed) };
        Self { feed, left: length, download }
    }
}

impl std::fmt::Debug for FileBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileBody").field("left", &self.left).finish_non_exhaustive()
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let mut working: Working = match std::mem::replace(&mut self.feed, State::Ended) {
            State::Ended => return Poll::Ready(None),
            State::Resting(feed) => Box::pin(feed.next()),
            State::Working(working) => working,
        };
        let Poll::Ready((feed, read)) = working.as_mut().poll(cx) else {
            self.feed = State::Working(working);
            return Poll::Pending;
        };
        let bytes = match read {
            Ok(bytes) if bytes.len() as u64 <= self.left => bytes,
            Ok(_) => return Poll::Ready(Some(Err(self.download.broke("more bytes than the file has")))),
            Err(error) => return Poll::Ready(Some(Err(self.download.broke(&error.to_string())))),
        };
        self.left -= bytes.len() as u64;
        self.download.sent(bytes.len());
        if self.left > 0 {
            self.feed = State::Resting(feed);
        } else {
            self.download.ended();
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.feed, State::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
