//! The phase a connection is in and how long it may stay there.
//!
//! Everything that belongs to one connection runs in one task, so plain relaxed atomics suffice. Setting a deadline is
//! two stores; the connection's one timer looks at it when it fires and is set anew only if the deadline moved closer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use super::Limits;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Doing {
    /// Nothing: between two requests.
    Idle,
    /// Waiting for the rest of a request's head (or its first byte, on a new connection).
    Head,
    /// Waiting for the rest of a request's body.
    Body,
    /// Waiting for the handler.
    Handler,
    /// Sending a response.
    Write,
}

impl Doing {
    pub(super) const ALL: [Self; 5] = [Self::Idle, Self::Head, Self::Body, Self::Handler, Self::Write];

    /// The metric label `phase`.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Head => "header",
            Self::Body => "body",
            Self::Handler => "handler",
            Self::Write => "write",
        }
    }
}

const NEVER: u64 = u64::MAX;

/// Bytes of a response that a peer must take within its time.
const PART_BYTES: usize = 16 * 1024;

/// The time-outs of a door, in milliseconds since its start.
#[derive(Debug)]
pub(super) struct Timeouts {
    base: Instant,
    header: u64,
    body: u64,
    handler: u64,
    write: u64,
    idle: u64,
    lifetime: u64,
}

impl Timeouts {
    pub(super) fn new(limits: &Limits) -> Self {
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(NEVER / 4).min(NEVER / 4);
        Self {
            base: Instant::now(),
            header: millis(limits.header_timeout),
            body: millis(limits.body_timeout),
            handler: millis(limits.handler_timeout),
            write: millis(limits.write_timeout),
            idle: millis(limits.idle_timeout),
            lifetime: millis(limits.connection_lifetime),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_millis()).unwrap_or(NEVER)
    }
}

/// The clock of one connection.
#[derive(Debug)]
pub(super) struct Clock {
    timeouts: Arc<Timeouts>,
    born: u64,
    deadline: AtomicU64,
    doing: AtomicU8,
    /// The response has been handed over completely; the next complete flush makes the connection idle.
    responded: AtomicBool,
    /// A request's body was not read to its end, so the peer may still be sending when we close.
    abandoned: AtomicBool,
    /// Our side is closing; the connection is never idle again.
    closing: AtomicBool,
    /// Bytes of the response that were taken since its time began anew.
    taken: AtomicUsize,
}

impl Clock {
    /// A new connection: its first byte is due within the header time-out.
    pub(super) fn new(timeouts: Arc<Timeouts>) -> Self {
        let born = timeouts.now();
        Self {
            born,
            deadline: AtomicU64::new(born + timeouts.header),
            doing: AtomicU8::new(Doing::Head as u8),
            responded: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            taken: AtomicUsize::new(0),
            timeouts,
        }
    }

    pub(super) fn doing(&self) -> Doing {
        let doing = self.doing.load(Relaxed);
        Doing::ALL.into_iter().find(|d| *d as u8 == doing).unwrap_or(Doing::Idle)
    }

    fn enter(&self, doing: Doing, within: u64) {
        self.doing.store(doing as u8, Relaxed);
        self.deadline.store(self.timeouts.now().saturating_add(within), Relaxed);
    }

    /// Bytes of the peer arrived.
    pub(super) fn received(&self) {
        if self.doing() == Doing::Idle {
            self.enter(Doing::Head, self.timeouts.header);
        }
    }

    /// A request's head is complete.
    pub(super) fn head_ended(&self, without_body: bool) {
        self.responded.store(false, Relaxed);
        if without_body {
            self.enter(Doing::Handler, self.timeouts.handler);
        } else {
            self.enter(Doing::Body, self.timeouts.body);
        }
    }

    /// A good part of a long body has come.
    pub(super) fn body_progressed(&self) {
        if self.doing() == Doing::Body {
            self.enter(Doing::Body, self.timeouts.body);
        }
    }

    /// The body was read to its end.
    pub(super) fn body_ended(&self) {
        if self.doing() == Doing::Body {
            self.enter(Doing::Handler, self.timeouts.handler);
        }
    }

    /// The handler does not want the rest of the body.
    pub(super) fn body_abandoned(&self) {
        self.abandoned.store(true, Relaxed);
        self.body_ended();
    }

    /// Whether the peer may still be sending what nobody reads.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Relaxed)
    }

    /// The handler has answered; the response's bytes come next.
    pub(super) fn answered(&self) {
        self.taken.store(0, Relaxed);
        self.enter(Doing::Write, self.timeouts.write);
    }

    /// The whole response has been handed over for sending.
    pub(super) fn responded(&self) {
        self.responded.store(true, Relaxed);
    }

    /// Response bytes are on their way and not yet taken by the system.
    pub(super) fn unsent(&self) {
        if self.doing() == Doing::Write && self.deadline.load(Relaxed) == NEVER {
            self.enter(Doing::Write, self.timeouts.write);
        }
    }

    /// The system has taken bytes. With a source that is faster than the peer there are always more, so that a long response has
    /// its time anew for each part; a peer that takes a few bytes now and then does not get it.
    pub(super) fn taken(&self, bytes: usize) {
        let taken = self.taken.load(Relaxed).saturating_add(bytes);
        let is_part = taken >= PART_BYTES;
        self.taken.store(if is_part { 0 } else { taken }, Relaxed);
        if is_part && self.doing() == Doing::Write && !self.closing.load(Relaxed) {
            self.enter(Doing::Write, self.timeouts.write);
        }
    }

    /// The system has taken all bytes there were. A response that streams may now wait for its source as long as it likes.
    pub(super) fn sent(&self) {
        if self.doing() != Doing::Write || self.closing.load(Relaxed) {
            return;
        }
        if self.responded.load(Relaxed) {
            self.enter(Doing::Idle, self.timeouts.idle);
            let end = self.born.saturating_add(self.timeouts.lifetime);
            self.deadline.fetch_min(end, Relaxed);
        } else {
            self.deadline.store(NEVER, Relaxed);
        }
    }

    /// Our side says goodbye, which may have to wait for the peer as any other writing.
    pub(super) fn closing(&self) {
        if !self.closing.swap(true, Relaxed) {
            self.enter(Doing::Write, self.timeouts.write);
        }
    }

    /// Whether the connection is as old as it may become.
    pub(super) fn is_old(&self) -> bool {
        self.timeouts.now() >= self.born.saturating_add(self.timeouts.lifetime)
    }

    /// When the present phase must have ended; `None` if it may last.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.deadline.load(Relaxed) {
            NEVER => None,
            at => self.timeouts.base.checked_add(Duration::from_millis(at)),
        }
    }

    /// When the connection became idle, if it is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        if self.doing() != Doing::Idle {
            return None;
        }
        let since = self.deadline.load(Relaxed).saturating_sub(self.timeouts.idle);
        self.timeouts.base.checked_add(Duration::from_millis(since))
    }
}
