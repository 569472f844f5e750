//! Many phones at once.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use tokio::task::JoinSet;

use crate::call::{Called, Caller, Space, Target, World};
use crate::fault::Fault;
use crate::ledger::{Ledger, Phase, State};
use crate::phone::dialogue::Plan;
use crate::tally::Tally;

/// Everything that the dialogues of a run share.
pub(crate) struct Drive {
    pub(crate) world: Arc<World>,
    pub(crate) target: Arc<Target>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) plan: Plan,
    pub(crate) numbers: Range<u32>,
    /// Dialogues under way at most.
    pub(crate) concurrency: u32,
    /// Phones that start per second; without it each starts when another one is done.
    pub(crate) rate: Option<f64>,
    /// Begin again with the first phone after the last one, with changed settings, until `stop`.
    pub(crate) endless: bool,
    /// Which of `numbers` begins.
    pub(crate) first: u32,
    /// Set before the server is killed: phones stop calling, and lost connections are no faults.
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) progress: ProgressBar,
}

/// What came of a run.
pub(crate) struct Driven {
    pub(crate) tally: Tally,
    pub(crate) time: Duration,
}

/// Which phone is next, and when.
struct Schedule {
    cursor: AtomicU32,
    start: Instant,
}

impl Drive {
    /// Let all phones call.
    pub(crate) async fn run(self) -> anyhow::Result<Driven> {
        let drive = Arc::new(self);
        let schedule = Arc::new(Schedule { cursor: AtomicU32::new(0), start: Instant::now() });
        let mut tasks = JoinSet::new();
        let phones = drive.numbers.end - drive.numbers.start;
        for _ in 0..drive.concurrency.min(phones).max(1) {
            tasks.spawn(work(Arc::clone(&drive), Arc::clone(&schedule)));
        }
        let mut tally = Tally::new()?;
        while let Some(result) = tasks.join_next().await {
            tally.merge(result??);
        }
        Ok(Driven { tally, time: schedule.start.elapsed() })
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn next(&self, schedule: &Schedule) -> Option<(u32, Option<Instant>)> {
        let phones = self.numbers.end - self.numbers.start;
        let count = schedule.cursor.fetch_add(1, Ordering::Relaxed);
        if self.is_stopped() || (!self.endless && count >= phones) {
            return None;
        }
        let due = self.rate.map(|rate| schedule.start + Duration::from_secs_f64(f64::from(count) / rate));
        Some((self.numbers.start + (self.first % phones + count % phones) % phones, due))
    }
}

async fn work(drive: Arc<Drive>, schedule: Arc<Schedule>) -> anyhow::Result<Tally> {
    let mut tally = Tally::new()?;
    let mut space = Space::default();
    while let Some((number, due)) = drive.next(&schedule) {
        if let Some(due) = due {
            tokio::time::sleep_until(due.into()).await;
        }
        let Some(mut state) = drive.ledger.begin(number, drive.endless) else {
            tokio::task::yield_now().await;
            continue;
        };
        let result = one_phone(&drive, number, due, &mut state, &mut space, &mut tally).await;
        match result {
            Ok(time) => {
                state.phase = Phase::Settled;
                tally.record(time);
                drive.progress.inc(1);
            }
            Err(fault) if drive.is_stopped() && fault.is_disconnect() => tally.interrupted += 1,
            Err(fault) => tally.fault(number, &fault),
        }
        drive.ledger.end(number, state);
    }
    Ok(tally)
}

/// One phone, until its dialogue is over. Gives the time of the dialogue that was let through; with a rate, the time
/// since it was due, so that a late start counts.
async fn one_phone(
    drive: &Drive,
    number: u32,
    due: Option<Instant>,
    state: &mut State,
    space: &mut Space,
    tally: &mut Tally,
) -> Result<Duration, Fault> {
    let caller = Caller { world: &drive.world, target: &drive.target, number, plan: drive.plan };
    let patience = drive.target.patience;
    for attempt in 0..patience.overload_tries {
        match caller.call(state, space).await? {
            Called::Done { link, time } => {
                let time = due.filter(|_| attempt == 0).map_or(time, |due| due.elapsed());
                space.keep(link.close().await);
                return Ok(time);
            }
            Called::Later => {
                tally.overloads += 1;
                tokio::time::sleep(patience.overload.mul_f64(1.0 + rand::random::<f64>())).await;
                if drive.is_stopped() {
                    return Err(Fault::Ended("waiting after overload"));
                }
            }
        }
    }
    Err(Fault::Overload(patience.overload_tries))
}
