//! The life of a connection on which phones poll.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use callboard_codecs::dcmp::{self, Answer, BadPoll, CanonicalId, parse_poll};
use callboard_core::reach::pending::PendingSet;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::metrics::{Outcome, PollCounts, Polls};
use super::recent::Recent;
use crate::listen::{StreamConn, StreamHandler, Waiting, linger};

/// Bytes taken from the system at once: some twenty polls, on the stack for as long as they are worked on.
const READ_BYTES: usize = 2_048;

/// Answers polls.
pub struct DcmpHandler {
    pending: Arc<PendingSet>,
    recent: Recent,
    polls: Polls,
}

impl std::fmt::Debug for DcmpHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DcmpHandler").field("pending", &self.pending).finish_non_exhaustive()
    }
}

impl DcmpHandler {
    /// Tells those who are in `pending` that work waits. A device that asks from one address again within `spacing` is
    /// counted as early, as far as `recent_polls` are remembered.
    pub fn new(pending: Arc<PendingSet>, spacing: Duration, recent_polls: usize) -> Self {
        Self { pending, recent: Recent::new(recent_polls, spacing), polls: Polls::new(None) }
    }

    /// The same; `counts` is kept up to date.
    #[must_use]
    pub fn counting(self, counts: Arc<PollCounts>) -> Self {
        Self { polls: Polls::new(Some(counts)), ..self }
    }

    /// What to tell a device, and under what that counts. Waiting work is told on a connection beyond a limit, too.
    fn answer(&self, id: CanonicalId, conn: &StreamConn, now: Instant) -> (Answer, Outcome) {
        let id = id.as_bytes();
        if self.pending.contains_canonical(id) {
            (Answer::Waiting, Outcome::Waiting)
        } else if conn.is_shed() {
            (Answer::Later, Outcome::Later)
        } else if self.recent.is_early(conn.peer.ip(), id, now) {
            (Answer::Idle, Outcome::Early)
        } else {
            (Answer::Idle, Outcome::Idle)
        }
    }
}

impl StreamHandler for DcmpHandler {
    async fn serve<S>(&self, mut stream: S, conn: StreamConn)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let now = Instant::now();
        let first = now + conn.limits().header_timeout;
        let mut sleep = pin!(sleep_until(first));
        let mut talk = Talk {
            handler: self,
            conn: &conn,
            stream: &mut stream,
            held: Vec::new(),
            stopped: false,
            unsent: b"",
            end: None,
            doing: Waiting::Head,
            deadline: first,
            end_of_life: now + conn.limits().connection_lifetime,
            now,
            answered: false,
            timed_by: None,
        };
        let end = poll_fn(|cx| talk.poll(cx, sleep.as_mut())).await;
        match end {
            End::Gone => {}
            End::Close => {
                // For TLS to say goodbye. One attempt: all that was sent is with the system.
                poll_fn(|cx| {
                    let _ = Pin::new(&mut stream).poll_shutdown(cx);
                    Poll::Ready(())
                })
                .await;
            }
            // Boxed so that its size does not stay with the connection for life.
            End::Linger => Box::pin(linger(&mut stream)).await,
        }
    }
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The peer has gone, or does not take what it asked for.
    Gone,
    /// It is said goodbye to.
    Close,
    /// The same, but it may still be sending what nobody reads.
    Linger,
}

/// One connection.
struct Talk<'a, S> {
    handler: &'a DcmpHandler,
    conn: &'a StreamConn,
    stream: &'a mut S,
    /// Bytes that were read and not worked on: the beginning of a poll, or polls behind an answer that the system does
    /// not take yet. Nothing is set aside while there are none.
    held: Vec<u8>,
    /// What is held was not looked at for the sake of an answer.
    stopped: bool,
    /// The part of an answer that the system has not taken.
    unsent: &'static [u8],
    /// The connection ends after that.
    end: Option<End>,
    doing: Waiting,
    deadline: Instant,
    end_of_life: Instant,
    /// When the task was called.
    now: Instant,
    /// A poll was answered in this call.
    answered: bool,
    /// Who was told to the timer.
    timed_by: Option<Waker>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<'_, S> {
    fn poll(&mut self, cx: &mut Context<'_>, sleep: Pin<&mut Sleep>) -> Poll<End> {
        (self.now, self.answered) = (Instant::now(), false);
        match self.talk(cx) {
            Poll::Ready(end) => Poll::Ready(end),
            Poll::Pending => self.wait(cx, sleep),
        }
    }

    /// Reads, answers and sends as long as that goes on without waiting.
    fn talk(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            ready!(self.send(cx));
            if let Some(end) = self.end {
                return Poll::Ready(end);
            }
            if std::mem::take(&mut self.stopped) {
                self.work_on_held(cx);
                continue;
            }
            let mut space = [MaybeUninit::uninit(); READ_BYTES];
            let mut buffer = ReadBuf::uninit(&mut space);
            match ready!(Pin::new(&mut *self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                _ => return Poll::Ready(End::Gone),
            }
            if self.held.is_empty() {
                let used = self.work(cx, buffer.filled());
                self.held.extend_from_slice(buffer.filled().get(used..).unwrap_or_default());
            } else {
                self.held.extend_from_slice(buffer.filled());
                self.work_on_held(cx);
            }
        }
    }

    fn work_on_held(&mut self, cx: &mut Context<'_>) {
        let mut held = std::mem::take(&mut self.held);
        let used = self.work(cx, &held);
        if used < held.len() {
            held.drain(..used);
            self.held = held;
        }
    }

    /// Answers the polls in `bytes` until one is incomplete or an answer does not go out at once. Returns how many bytes
    /// are done with.
    fn work(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> usize {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            match parse_poll(rest, self.conn.limits().header_bytes) {
                Ok(None) => break,
                Ok(Some((poll, length))) => {
                    used += length;
                    self.answer(poll);
                }
                Err(fault) => self.refuse(fault),
            }
            if self.send(cx).is_pending() {
                self.stopped = true;
            }
            if self.stopped || self.end.is_some() {
                break;
            }
        }
        used
    }

    fn answer(&mut self, poll: dcmp::Poll<'_>) {
        match CanonicalId::read(poll.device) {
            // Whoever asks for too much is not told anything: it would go on.
            Ok(_) if !self.conn.take_request() => {
                self.handler.polls.count(Outcome::Later);
                self.say(Answer::Later, Some(End::Close));
            }
            Ok(id) => {
                let (answer, outcome) = self.handler.answer(id, self.conn, self.now);
                self.handler.polls.count(outcome);
                let keeps = poll.keep_alive && !self.conn.is_shed() && self.now < self.end_of_life;
                self.say(answer, (!keeps).then_some(End::Close));
            }
            Err(fault) => self.refuse(fault.into()),
        }
    }

    fn refuse(&mut self, fault: BadPoll) {
        tracing::debug!(door = self.conn.door.name, source = %self.conn.peer.ip(), %fault, "no poll");
        self.handler.polls.count(Outcome::Bad);
        self.say(fault.answer(), Some(End::Linger));
    }

    fn say(&mut self, answer: Answer, end: Option<End>) {
        self.unsent = answer.bytes(end.is_none());
        self.end = end;
        self.answered = true;
    }

    /// Sends what is to be sent.
    fn send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let has_sent = !self.unsent.is_empty();
        while !self.unsent.is_empty() {
            match ready!(Pin::new(&mut *self.stream).poll_write(cx, self.unsent)) {
                Ok(sent) if sent > 0 => self.unsent = self.unsent.get(sent..).unwrap_or_default(),
                _ => {
                    self.unsent = b"";
                    self.end = Some(End::Gone);
                    return Poll::Ready(());
                }
            }
        }
        if has_sent || self.doing == Waiting::Write {
            // What TLS has made of it goes out, too.
            if ready!(Pin::new(&mut *self.stream).poll_flush(cx)).is_err() {
                self.end = Some(End::Gone);
            }
        }
        Poll::Ready(())
    }

    /// Waits for the peer, but not for ever.
    fn wait(&mut self, cx: &mut Context<'_>, mut sleep: Pin<&mut Sleep>) -> Poll<End> {
        let limits = self.conn.limits();
        let (doing, within) = if !self.unsent.is_empty() || self.stopped || self.end.is_some() {
            (Waiting::Write, limits.write_timeout)
        } else if !self.held.is_empty() || (self.doing == Waiting::Head && !self.answered) {
            (Waiting::Head, limits.header_timeout)
        } else {
            (Waiting::Idle, limits.idle_timeout)
        };
        if doing != self.doing || self.answered {
            (self.doing, self.deadline) = (doing, self.now + within);
        }
        if self.now >= self.deadline {
            self.conn.timed_out(doing);
            return Poll::Ready(if doing == Waiting::Write { End::Gone } else { End::Close });
        }
        // The timer runs on while polls come, and is set anew only when it strikes or has to strike sooner.
        if sleep.is_elapsed() || self.deadline < sleep.deadline() {
            sleep.as_mut().reset(self.deadline);
            self.timed_by = None;
        }
        if self.timed_by.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        self.timed_by = Some(cx.waker().clone());
        match sleep.poll(cx) {
            Poll::Pending => Poll::Pending,
            // It struck between two looks at the clock.
            Poll::Ready(()) => {
                self.timed_by = None;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}
