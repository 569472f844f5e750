//! Peers that a registrar must survive while its phones refresh.

mod datagrams;
mod malformed;
mod streams;
mod trace;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What attackers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Datagrams that are no SIP, or bad SIP.
    Malformed,
    /// Wrong answers to challenges, from a few addresses, for the names of phones.
    WrongPassword,
    /// Good requests of nobody, as short as they can be, each from another address.
    Spoofed,
    /// Header fields of 1 MB over TCP.
    LongHeader,
    /// TCP connections that say nothing.
    HalfOpen,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Malformed, Self::WrongPassword, Self::Spoofed, Self::LongHeader, Self::HalfOpen];

    /// Name in the report.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::WrongPassword => "wrong_password",
            Self::Spoofed => "spoofed",
            Self::LongHeader => "long_header",
            Self::HalfOpen => "half_open",
        }
    }
}

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Force {
    pub(crate) udp: SocketAddr,
    pub(crate) tcp: SocketAddr,
    /// Datagrams per second; a hundredth of it are the connections per second with long header fields.
    pub(crate) rate: f64,
    /// Connections that say nothing.
    pub(crate) half_open: u32,
    /// Phones whose names are tried.
    pub(crate) phones: u32,
    pub(crate) seed: u64,
}

/// What the attackers have seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) datagrams: u64,
    pub(crate) datagram_bytes: u64,
    pub(crate) answers: u64,
    pub(crate) answer_bytes: u64,
    /// Answers to datagrams that had one already.
    pub(crate) second_answers: u64,
    /// Answers that belong to no datagram that is known.
    pub(crate) stray_answers: u64,
    /// Bytes of an answer for each byte of its datagram, at most.
    pub(crate) amplification: f64,
    /// Statuses of answers: what they would be glad to see is a 200.
    pub(crate) successes: u64,
    /// Long header fields that were refused, or cut off; and those that were taken.
    pub(crate) long_refused: u64,
    pub(crate) long_taken: u64,
    /// Silent connections that were open at the same time, at most; those that were not let in; those that were ended.
    pub(crate) held: u64,
    pub(crate) not_let_in: u64,
    pub(crate) ended: u64,
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Self) {
        self.datagrams += other.datagrams;
        self.datagram_bytes += other.datagram_bytes;
        self.answers += other.answers;
        self.answer_bytes += other.answer_bytes;
        self.second_answers += other.second_answers;
        self.stray_answers += other.stray_answers;
        self.amplification = self.amplification.max(other.amplification);
        self.successes += other.successes;
        self.long_refused += other.long_refused;
        self.long_taken += other.long_taken;
        self.held = self.held.max(other.held);
        self.not_let_in += other.not_let_in;
        self.ended += other.ended;
    }
}

/// Counters that many connections share.
#[derive(Default)]
struct Counters {
    long_refused: AtomicU64,
    long_taken: AtomicU64,
    held: AtomicU64,
    held_most: AtomicU64,
    not_let_in: AtomicU64,
    ended: AtomicU64,
}

/// Wait until the attack is over.
async fn over(stop: &mut watch::Receiver<bool>) {
    // Whoever could tell has told, or has gone.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// An attack that is under way; dropping it ends it.
pub(crate) struct Attack {
    stop: watch::Sender<bool>,
    tasks: JoinSet<anyhow::Result<Seen>>,
    counters: Arc<Counters>,
}

impl Attack {
    pub(crate) fn start(kind: Kind, force: Force) -> anyhow::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let counters = Arc::new(Counters::default());
        let mut tasks = JoinSet::new();
        match kind {
            Kind::Malformed | Kind::WrongPassword | Kind::Spoofed => {
                let attacker = datagrams::Attacker::new(kind, &force)?;
                tasks.spawn(attacker.run(force.rate, stopped));
            }
            Kind::LongHeader => {
                tasks.spawn(streams::long_headers(force, Arc::clone(&counters), stopped));
            }
            Kind::HalfOpen => {
                tasks.spawn(streams::half_open(force, Arc::clone(&counters), stopped));
            }
        }
        Ok(Self { stop, tasks, counters })
    }

    /// End it; gives what the attackers saw.
    pub(crate) async fn end(mut self) -> anyhow::Result<Seen> {
        self.stop.send_replace(true);
        let mut seen = Seen::default();
        while let Some(part) = self.tasks.join_next().await {
            seen.add(&part.context("attackers")??);
        }
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        seen.long_refused = of(&self.counters.long_refused);
        seen.long_taken = of(&self.counters.long_taken);
        seen.held = of(&self.counters.held_most);
        seen.not_let_in = of(&self.counters.not_let_in);
        seen.ended = of(&self.counters.ended);
        Ok(seen)
    }
}
