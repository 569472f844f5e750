//! Phones of a campaign that cannot be called: each polls once in an interval, and comes when work waits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use callboard_codecs::dcmp::write_poll;
use tokio::task::JoinSet;

use super::errand::Crowd;
use super::manner::Manner;
use crate::fault::Fault;
use crate::poller::{BASE, Line, PATIENCE};
use crate::wire::link::source;

/// Connections at one door that the polls share.
const LINES: u32 = 16;

/// What the answers were.
#[derive(Default)]
pub(crate) struct Answers {
    /// No work waits.
    pub(crate) idle: AtomicU64,
    /// Work waits.
    pub(crate) busy: AtomicU64,
}

/// All polls at one door.
struct Door {
    crowd: Arc<Crowd>,
    answers: Arc<Answers>,
    addr: SocketAddr,
    numbers: Vec<u32>,
    interval: Duration,
    start: Instant,
    turns: AtomicU64,
}

/// Let phones poll at the doors of the server and of the edges, until the set is dropped.
pub(crate) fn begin(
    crowd: &Arc<Crowd>,
    doors: &[SocketAddr],
    interval: Duration,
    answers: &Arc<Answers>,
) -> JoinSet<()> {
    let mut polling = JoinSet::new();
    for (numbers, addr) in crowd.polling().into_iter().zip(doors) {
        if numbers.is_empty() {
            continue;
        }
        let door = Arc::new(Door {
            crowd: Arc::clone(crowd),
            answers: Arc::clone(answers),
            addr: *addr,
            numbers,
            interval,
            start: Instant::now(),
            turns: AtomicU64::new(0),
        });
        for line in 0..LINES {
            let door = Arc::clone(&door);
            polling.spawn(async move { door.work(line).await });
        }
    }
    polling
}

impl Door {
    async fn work(&self, line: u32) {
        let (mut connection, mut request) = (Line::new(), Vec::new());
        let (host, phones) = (self.addr.to_string(), self.numbers.len() as u64);
        loop {
            let turn = self.turns.fetch_add(1, Ordering::Relaxed);
            #[allow(clippy::cast_precision_loss)] // far below 2^52
            let due = self.start + self.interval.mul_f64(turn as f64 / phones as f64);
            tokio::time::sleep_until(due.into()).await;
            let at = usize::try_from(turn % phones).unwrap_or_default();
            let number = self.numbers[at];
            if self.crowd.manner(number) == Manner::Silent || !self.crowd.book.is_free(number) {
                continue;
            }
            request.clear();
            let device = self.crowd.world.fleet.identity(number).device_id();
            write_poll(&mut request, BASE, &host, &device, true);
            self.poll(number, line, &mut connection, &request).await;
        }
    }

    async fn poll(&self, number: u32, line: u32, connection: &mut Line, request: &[u8]) {
        let way = self.crowd.ways.of(number);
        let mark = self.crowd.outages.mark(way);
        let poll = connection.poll(request, source(line, u16::MAX, 1), self.addr);
        let answer = tokio::time::timeout(PATIENCE, poll).await;
        match answer.unwrap_or(Err(Fault::Timeout(PATIENCE.as_secs()))) {
            Ok(200) => drop(self.answers.idle.fetch_add(1, Ordering::Relaxed)),
            Ok(202) => {
                self.answers.busy.fetch_add(1, Ordering::Relaxed);
                self.crowd.come(number);
            }
            Ok(got) => {
                self.crowd.tally(|tally| tally.fault(number, &Fault::Poll { got, expected: 200 }));
            }
            Err(fault) => {
                connection.hang_up();
                if !self.crowd.outages.excuse(way, mark) {
                    self.crowd.tally(|tally| tally.fault(number, &fault));
                }
            }
        }
    }
}
