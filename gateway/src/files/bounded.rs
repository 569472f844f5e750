//! Answers of providers: they must go on coming, and come to an end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use object_store::client::HttpError;
use tokio::time::{Instant, Sleep, sleep};

use super::outbound::OutboundError;

/// Bytes that must come within the patience: who sends less holds a place for nothing.
const PROGRESS_BYTES: u64 = 16 << 10;

/// How long a body is waited for. The time that its reader takes is not the sender's.
struct Pace {
    patience: Duration,
    /// Since when it is being waited for.
    waiting: Option<Instant>,
    /// Time that was waited since enough came, and what came since.
    waited: Duration,
    bytes: u64,
    sleep: Pin<Box<Sleep>>,
}

impl Pace {
    fn new(patience: Duration) -> Self {
        Self { patience, waiting: None, waited: Duration::ZERO, bytes: 0, sleep: Box::pin(sleep(patience)) }
    }

    /// Nothing is there. Ready when that has been so for too long.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.waiting.is_none() {
            let now = Instant::now();
            self.waiting = Some(now);
            self.sleep.as_mut().reset(now + self.patience.saturating_sub(self.waited));
        }
        self.sleep.as_mut().poll(cx)
    }

    fn came(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.waited += self.waiting.take().map_or(Duration::ZERO, |since| since.elapsed());
        if self.bytes >= PROGRESS_BYTES {
            (self.waited, self.bytes) = (Duration::ZERO, 0);
        }
    }
}

/// A body that must go on coming, and must not be too long.
pub(super) struct Bounded {
    inner: Incoming,
    pace: Pace,
    left: u64,
    limit: u64,
}

impl Bounded {
    /// At most `limit` bytes of a body of which each [`PROGRESS_BYTES`] come within `patience`.
    pub(super) fn new(inner: Incoming, patience: Duration, limit: u64) -> Self {
        Self { inner, pace: Pace::new(patience), left: limit, limit }
    }
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
            ready!(self.pace.poll_waiting(cx));
            return Poll::Ready(Some(Err(OutboundError::Timeout(self.pace.patience).into_http())));
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.pace.came(bytes);
                Some(match self.left.checked_sub(bytes) {
                    Some(left) => {
                        self.left = left;
                        Ok(frame)
                    }
                    None => Err(OutboundError::TooLong(self.limit).into_http()),
                })
            }
            Some(Err(error)) => Some(Err(OutboundError::Http(error).into_http())),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_the_time_of_the_sender_counts() {
        let second = Duration::from_secs(1);
        let mut pace = Pace::new(10 * second);
        let waits = |pace: &mut Pace, time| {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            assert!(pace.poll_waiting(&mut cx).is_pending());
            tokio::time::advance(time)
        };
        let is_over = |pace: &mut Pace| {
            pace.poll_waiting(&mut Context::from_waker(std::task::Waker::noop())).is_ready()
        };
        // Enough comes, however late within its time.
        for _ in 0..5 {
            waits(&mut pace, 9 * second).await;
            pace.came(PROGRESS_BYTES);
        }
        // The reader takes its time, twice; then too little comes.
        for _ in 0..2 {
            tokio::time::advance(100 * second).await;
            waits(&mut pace, 4 * second).await;
            assert!(!is_over(&mut pace));
            pace.came(PROGRESS_BYTES / 4);
        }
        waits(&mut pace, 3 * second).await;
        assert!(is_over(&mut pace));
    }
}
