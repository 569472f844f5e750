//! A flow and its phones: runs a phase to its end.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::batch::Batch;
use super::lane::{Counts, Lane};
use super::stream::StreamLink;
use super::udp::UdpLink;
use super::work::Part;

/// What the phones of a phase are told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Go,
    /// The server is going to be killed: a connection that ends is no fault.
    Expect,
    /// Leave everything as it is.
    Stop,
}

/// The clock of a fleet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// Microseconds since it was started.
    pub(super) fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn at(self, micros: u64) -> Instant {
        self.0 + Duration::from_micros(micros)
    }
}

/// The counts of a phase, which all flows share.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Counts>>);

impl Shared {
    pub(super) fn new(counts: Counts) -> Self {
        Self(Arc::new(Mutex::new(counts)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Counts> {
        // Counts are whole after each change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) enum Link {
    Udp(UdpLink),
    Stream(StreamLink),
}

impl Link {
    async fn send(&mut self, batch: &Batch) -> io::Result<()> {
        match self {
            Self::Udp(link) => link.send(batch).await,
            Self::Stream(link) => {
                link.send(batch);
                Ok(())
            }
        }
    }

    async fn receive(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        match self {
            Self::Udp(link) => link.receive(|bytes, _| take(bytes)).await,
            Self::Stream(link) => link.receive(take).await,
        }
    }
}

pub(super) struct Line {
    pub(super) lane: Lane,
    pub(super) link: Link,
}

impl Line {
    /// Run a phase. Gives how many registrations were under way when it was stopped.
    pub(super) async fn run(
        &mut self,
        part: Part,
        clock: Clock,
        shared: &Shared,
        mut signal: watch::Receiver<Signal>,
    ) -> u64 {
        self.lane.begin(part, clock.now());
        match self.drive(clock, shared, &mut signal).await {
            Ok(cut) => cut,
            Err(_) if *signal.borrow() != Signal::Go => self.lane.cut(),
            Err(error) => {
                self.lane.broken(&error.to_string(), &mut shared.lock());
                0
            }
        }
    }

    async fn drive(
        &mut self,
        clock: Clock,
        shared: &Shared,
        signal: &mut watch::Receiver<Signal>,
    ) -> io::Result<u64> {
        let mut batch = Batch::default();
        loop {
            self.lane.tick(clock.now(), &mut batch, &mut shared.lock());
            if !batch.is_empty() {
                self.link.send(&batch).await?;
                batch.clear();
            }
            if self.lane.is_done() {
                return Ok(0);
            }
            let due = self.lane.next_due().map(|due| clock.at(due));
            let wait = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            let (lane, out) = (&mut self.lane, &mut batch);
            tokio::select! {
                biased;
                stopped = signal.wait_for(|signal| *signal == Signal::Stop) => {
                    // Whoever could tell to stop has gone, or has told it.
                    drop(stopped);
                    return Ok(self.lane.cut());
                }
                received = self.link.receive(|bytes| {
                    lane.received(bytes, clock.now(), out, &mut shared.lock());
                }) => received?,
                () = wait => {}
            }
        }
    }
}
