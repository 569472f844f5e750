//! Phones that ask whether work waits for them (WPI reference, section 9): over connections that many of them share, or a
//! new one each time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use callboard_codecs::dcmp::{parse_answer, write_poll};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::call::World;
use crate::fault::Fault;
use crate::tally::Tally;
use crate::wire::link::{connect_tcp, source};

/// Longest answer in bytes.
const MAX_ANSWER: usize = 1_024;
/// Path of the URL that phones are given.
pub(crate) const BASE: &str = "/dcmp/";
/// Longest time of one poll.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Where and how phones poll.
#[derive(Clone)]
pub(crate) struct Polling {
    pub(crate) world: Arc<World>,
    pub(crate) addr: SocketAddr,
    pub(crate) phones: u32,
    /// Of so many phones one has work waiting; 0: none has.
    pub(crate) busy_every: u32,
    /// A new connection for each poll.
    pub(crate) fresh: bool,
    pub(crate) sources: u16,
    pub(crate) concurrency: u32,
    pub(crate) pace: Pace,
}

/// How fast.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// So many polls, spread evenly: each phone asks once in an interval.
    Interval { interval: Duration, polls: u64 },
    /// As fast as the answers come, for so long.
    Flat(Duration),
}

impl Polling {
    /// Whether work waits for a phone.
    pub(crate) fn is_busy(&self, number: u32) -> bool {
        self.busy_every > 0 && number.is_multiple_of(self.busy_every)
    }

    /// Poll to the end. Gives what came of it, and how long it took.
    pub(crate) async fn run(&self) -> anyhow::Result<(Tally, Duration)> {
        let (cursor, start) = (Arc::new(AtomicU64::new(0)), Instant::now());
        let mut workers = JoinSet::new();
        for worker in 0..self.concurrency {
            let (polling, cursor) = (self.clone(), Arc::clone(&cursor));
            workers.spawn(async move { polling.work(worker, &cursor, start).await });
        }
        let mut all = Tally::new()?;
        while let Some(tally) = workers.join_next().await {
            all.merge(tally??);
        }
        Ok((all, start.elapsed()))
    }

    async fn work(&self, worker: u32, cursor: &AtomicU64, start: Instant) -> anyhow::Result<Tally> {
        let mut tally = Tally::new()?;
        let mut line = Line::new();
        let (mut request, host) = (Vec::new(), self.addr.to_string());
        loop {
            let turn = cursor.fetch_add(1, Ordering::Relaxed);
            if !self.await_turn(turn, start).await {
                return Ok(tally);
            }
            let number = u32::try_from(turn % u64::from(self.phones)).unwrap_or_default();
            request.clear();
            let device = self.world.fleet.identity(number).device_id();
            write_poll(&mut request, BASE, &host, &device, !self.fresh);
            let from = if self.fresh { number } else { worker };
            let (began, expected) = (Instant::now(), if self.is_busy(number) { 202 } else { 200 });
            let poll = line.poll(&request, source(from, self.sources, 1), self.addr);
            match tokio::time::timeout(PATIENCE, poll).await {
                Ok(Ok(status)) if status == expected => tally.record(began.elapsed()),
                Ok(Ok(got)) => tally.fault(number, &Fault::Poll { got, expected }),
                Ok(Err(fault)) => {
                    line.hang_up();
                    tally.fault(number, &fault);
                }
                Err(_) => {
                    line.hang_up();
                    tally.fault(number, &Fault::Timeout(PATIENCE.as_secs()));
                }
            }
        }
    }

    /// Wait for the moment of a poll; `false` if the run is over.
    async fn await_turn(&self, turn: u64, start: Instant) -> bool {
        match self.pace {
            Pace::Flat(length) => start.elapsed() < length,
            Pace::Interval { interval, polls } => {
                #[allow(clippy::cast_precision_loss)] // far below 2^52
                let due = start + interval.mul_f64(turn as f64 / f64::from(self.phones));
                if turn < polls {
                    tokio::time::sleep_until(due.into()).await;
                }
                turn < polls
            }
        }
    }
}

/// A connection, if there is one.
pub(crate) struct Line {
    stream: Option<TcpStream>,
    buffer: [u8; MAX_ANSWER],
}

impl Line {
    pub(crate) fn new() -> Self {
        Self { stream: None, buffer: [0; MAX_ANSWER] }
    }

    /// Make a new connection for the next poll.
    pub(crate) fn hang_up(&mut self) {
        self.stream = None;
    }

    /// Send a request and read the status of its answer. A connection that the server has closed meanwhile is made anew.
    pub(crate) async fn poll(
        &mut self,
        request: &[u8],
        source: std::net::Ipv4Addr,
        addr: SocketAddr,
    ) -> Result<u16, Fault> {
        if let Some(stream) = self.stream.take() {
            match self.ask(stream, request).await {
                Err(fault) if fault.is_disconnect() => {}
                done => return done,
            }
        }
        let stream = connect_tcp(source, addr).await?;
        self.ask(stream, request).await
    }

    async fn ask(&mut self, mut stream: TcpStream, request: &[u8]) -> Result<u16, Fault> {
        let broken = |doing| move |source| Fault::Broken { doing, source };
        stream.write_all(request).await.map_err(broken("sending"))?;
        let mut filled = 0;
        loop {
            let room = self.buffer.get_mut(filled..).unwrap_or_default();
            match stream.read(room).await.map_err(broken("waiting for an answer"))? {
                0 => return Err(Fault::Ended("waiting for an answer")),
                read => filled += read,
            }
            let bytes = self.buffer.get(..filled).unwrap_or_default();
            let answer = parse_answer(bytes, MAX_ANSWER).map_err(|error| Fault::Head(error.to_string()))?;
            let Some((told, length)) = answer else { continue };
            if length < filled {
                return Err(Fault::Trailing(filled - length));
            }
            if told.keep_alive {
                self.stream = Some(stream);
            }
            return Ok(told.status);
        }
    }
}
