//! What the callers of the embedded store and its writer share.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::database::{Chunk, Failure};
use super::meter::Meter;
use super::queue::{Group, Queue};
use super::ticket::{Ticket, Waiter};
use super::{CommitError, Health, StoreConfig, StoreError, StoreStats, SubmitError, Table, Write};

/// A caller asks the writer for the next stretch of its scan.
pub(super) struct ScanRequest {
    pub(super) table: Table,
    pub(super) from: Option<Vec<u8>>,
    pub(super) reply: SyncSender<Result<Chunk, Failure>>,
}

/// What the writer should do next.
pub(super) enum Job {
    /// Look at the free space, then flush the first group if there is one.
    Commit,
    Scan(ScanRequest),
    Exit,
}

pub(super) struct Shared {
    config: StoreConfig,
    pub(super) meter: Meter,
    state: Mutex<State>,
    /// Wakes the writer.
    work: Condvar,
    /// Wakes who waits for the writer to end.
    ended: Condvar,
    born: Instant,
    /// Milliseconds from `born` to the start of what the writer is busy with, plus one; 0 when idle.
    busy_since: AtomicU64,
}

struct State {
    queue: Queue,
    scans: VecDeque<ScanRequest>,
    /// A scan waits since the last commit: it is its turn.
    scan_turn: bool,
    mode: Mode,
    stopping: bool,
    ended: Option<Ending>,
    alarm: Alarm,
    last_flush: Instant,
    stats: StoreStats,
}

/// How the writer ended.
#[derive(Debug, Clone)]
enum Ending {
    /// Everything queued is durable.
    Clean,
    /// This many records are not, for this reason.
    Unsaved(usize, CommitError),
}

#[derive(Debug, Clone)]
enum Mode {
    Running,
    NoSpace { free: u64, needed: u64, retry: Instant },
    Failed(Failure),
}

/// Until when the writer sleeps, so that a submission wakes it only if it has to.
#[derive(Debug, Clone, Copy)]
enum Alarm {
    Awake,
    At(Instant),
    Never,
}

impl Shared {
    pub(super) fn new(config: &StoreConfig) -> Self {
        let now = Instant::now();
        let stats = StoreStats {
            queue_bytes_limit: config.queue_bytes,
            queue_records_limit: config.queue_records,
            ..StoreStats::default()
        };
        let state = State {
            queue: Queue::new(config),
            scans: VecDeque::new(),
            scan_turn: false,
            mode: Mode::Running,
            stopping: false,
            ended: None,
            alarm: Alarm::Awake,
            last_flush: now.checked_sub(config.flush_spacing).unwrap_or(now),
            stats,
        };
        Self {
            config: config.clone(),
            meter: Meter::new(),
            state: Mutex::new(state),
            work: Condvar::new(),
            ended: Condvar::new(),
            born: now,
            busy_since: AtomicU64::new(0),
        }
    }

    // For callers.

    pub(super) fn submit(&self, writes: Vec<Write>, waiter: Option<Waiter>) -> Result<(), SubmitError> {
        let mut state = self.state.lock();
        let outcome = match state.refusal() {
            Some(error) => Err(error),
            None => state.queue.push(writes, waiter, Instant::now()),
        };
        if let Err(error) = outcome {
            state.stats.refused += 1;
            drop(state);
            Meter::refused(&error);
            return Err(error);
        }
        self.wake_if_due(state);
        Ok(())
    }

    pub(super) fn submit_waiting(&self, writes: Vec<Write>) -> Result<Ticket, SubmitError> {
        let (waiter, ticket) = Ticket::new();
        self.submit(writes, Some(waiter)).map(|()| ticket)
    }

    pub(super) fn request(&self, request: ScanRequest) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if state.ended.is_some() {
            return Err(state.gone());
        }
        state.scans.push_back(request);
        self.wake_if_due(state);
        Ok(())
    }

    /// Why the writer no longer answers.
    pub(super) fn gone(&self) -> StoreError {
        self.state.lock().gone()
    }

    fn wake_if_due(&self, mut state: MutexGuard<'_, State>) {
        let wake = match state.alarm {
            Alarm::Awake => false,
            Alarm::Never => true,
            Alarm::At(at) => !state.scans.is_empty() || state.due().is_some_and(|due| due < at),
        };
        if wake {
            state.alarm = Alarm::Awake;
            drop(state);
            self.work.notify_one();
        }
    }

    pub(super) fn health(&self) -> Health {
        let busy = self.busy_for();
        let stalled = busy > self.config.stall_after;
        self.meter.stalled.set(f64::from(u8::from(stalled)));
        let state = self.state.lock();
        match &state.mode {
            Mode::Failed(reason) => Health::Failed(Failure::clone(reason)),
            _ if stalled => Health::Stalled { since: busy },
            _ if state.stopping || state.ended.is_some() => Health::Stopped,
            Mode::NoSpace { free, needed, .. } => {
                Health::NoSpace { free_bytes: *free, needed_bytes: *needed }
            }
            Mode::Running => Health::Healthy,
        }
    }

    pub(super) fn stats(&self) -> StoreStats {
        let state = self.state.lock();
        StoreStats {
            queued_bytes: state.queue.queued_bytes(),
            queued_records: state.queue.queued_records(),
            coalesced: state.queue.coalesced(),
            ..state.stats.clone()
        }
    }

    pub(super) fn load(&self) -> f32 {
        let state = self.state.lock();
        if state.refusal().is_some() { 1.0 } else { state.queue.load() }
    }

    /// Tells the writer to flush what is queued and end, and waits for that.
    pub(super) fn stop(&self, deadline: Duration) -> Result<(), StoreError> {
        let until = Instant::now() + deadline;
        let mut state = self.state.lock();
        state.stopping = true;
        state.alarm = Alarm::Awake;
        self.work.notify_one();
        loop {
            match &state.ended {
                Some(Ending::Clean) => return Ok(()),
                Some(Ending::Unsaved(records, reason)) => {
                    return Err(StoreError::Unsaved { records: *records, reason: reason.clone() });
                }
                None => {}
            }
            if self.ended.wait_until(&mut state, until).timed_out() && state.ended.is_none() {
                return Err(StoreError::Deadline(deadline));
            }
        }
    }

    // For the writer.

    /// Sleeps until there is something to do.
    pub(super) fn next(&self) -> Job {
        let mut state = self.state.lock();
        loop {
            let now = Instant::now();
            let due = state.due();
            let commit = due.is_some_and(|at| at <= now);
            // A scan and a stream of commits take turns.
            if !state.scans.is_empty() && (!commit || state.scan_turn) {
                state.scan_turn = false;
                if let Some(request) = state.scans.pop_front() {
                    return Job::Scan(request);
                }
            }
            if commit {
                state.scan_turn = true;
                return Job::Commit;
            }
            if state.stopping {
                return Job::Exit;
            }
            if let Some(at) = due {
                state.alarm = Alarm::At(at);
                self.work.wait_until(&mut state, at);
            } else {
                state.alarm = Alarm::Never;
                self.work.wait(&mut state);
            }
            state.alarm = Alarm::Awake;
        }
    }

    /// Marks the writer busy until [`Shared::idle`].
    pub(super) fn busy(&self) {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.busy_since.store(now + 1, Ordering::Relaxed);
    }

    pub(super) fn idle(&self) {
        self.busy_since.store(0, Ordering::Relaxed);
    }

    fn busy_for(&self) -> Duration {
        match self.busy_since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => self.born.elapsed().saturating_sub(Duration::from_millis(since - 1)),
        }
    }

    /// Whether writing is stopped for want of space.
    pub(super) fn is_out_of_space(&self) -> bool {
        matches!(self.state.lock().mode, Mode::NoSpace { .. })
    }

    /// Whether the database is sound and may be written to.
    pub(super) fn is_writing(&self) -> bool {
        matches!(self.state.lock().mode, Mode::Running)
    }

    /// Stops writing: who waits is told, what is queued stays. Returns whether that is news.
    pub(super) fn out_of_space(&self, free: u64, needed: u64) -> bool {
        let mut state = self.state.lock();
        let news = !matches!(state.mode, Mode::NoSpace { .. });
        let retry = Instant::now() + self.config.space_retry;
        state.mode = Mode::NoSpace { free, needed, retry };
        state.queue.fail_waiters(&CommitError::NoSpace);
        if news {
            self.meter.no_space.increment(1);
        }
        news
    }

    /// There is space. Returns the group to write, if any, and whether the space is news.
    pub(super) fn take(&self) -> (Option<Group>, bool) {
        let mut state = self.state.lock();
        let news = matches!(state.mode, Mode::NoSpace { .. });
        if news {
            state.mode = Mode::Running;
        }
        (state.queue.take(), news)
    }

    /// A group is durable.
    pub(super) fn flushed(&self, records: usize, bytes: usize, took: Duration) {
        let mut state = self.state.lock();
        state.queue.release();
        state.last_flush = Instant::now();
        let (queued_records, queued_bytes) = (state.queue.queued_records(), state.queue.queued_bytes());
        let stats = &mut state.stats;
        stats.batches += 1;
        stats.committed_records += records as u64;
        stats.committed_bytes += bytes as u64;
        stats.last_batch_records = records;
        stats.last_batch_bytes = bytes;
        stats.last_batch_time = took;
        drop(state);
        self.meter.flushed(records, bytes, took);
        self.meter.queued(queued_records, queued_bytes);
    }

    /// The database failed: nothing is written any more, and everybody is told.
    pub(super) fn failed(&self, reason: &Failure) {
        let mut state = self.state.lock();
        state.mode = Mode::Failed(Failure::clone(reason));
        state.queue.fail_waiters(&CommitError::Failed(Failure::clone(reason)));
        self.meter.failed.increment(1);
    }

    #[allow(clippy::cast_precision_loss)] // sizes stay far below 2^52
    pub(super) fn sized(&self, disk: Option<u64>, live: Option<u64>) {
        let mut state = self.state.lock();
        if let Some(disk) = disk {
            state.stats.size_on_disk = disk;
            self.meter.disk_bytes.set(disk as f64);
        }
        state.stats.live_bytes = live;
        if let Some(live) = live {
            self.meter.live_bytes.set(live as f64);
        }
    }

    #[allow(clippy::cast_precision_loss)]
    pub(super) fn met_damage(&self, records: u64) {
        let mut state = self.state.lock();
        state.stats.damaged_records += records;
        self.meter.damaged.set(state.stats.damaged_records as f64);
    }

    /// The writer has ended and the database is closed.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        let left = state.queue.queued_records();
        let reason = match &state.mode {
            Mode::Failed(reason) => CommitError::Failed(Failure::clone(reason)),
            Mode::NoSpace { .. } => CommitError::NoSpace,
            Mode::Running => CommitError::Stopped,
        };
        state.queue.fail_waiters(&CommitError::Stopped);
        state.scans.clear();
        state.ended = Some(if left == 0 { Ending::Clean } else { Ending::Unsaved(left, reason) });
        drop(state);
        self.idle();
        self.ended.notify_all();
    }
}

impl State {
    fn refusal(&self) -> Option<SubmitError> {
        if self.stopping || self.ended.is_some() {
            return Some(SubmitError::Stopped);
        }
        match &self.mode {
            Mode::Running => None,
            Mode::NoSpace { free, needed, .. } => {
                Some(SubmitError::NoSpace { free_bytes: *free, needed_bytes: *needed })
            }
            Mode::Failed(reason) => Some(SubmitError::Failed(Failure::clone(reason))),
        }
    }

    fn gone(&self) -> StoreError {
        match &self.mode {
            Mode::Failed(reason) => StoreError::Database(Failure::clone(reason)),
            _ => StoreError::Stopped,
        }
    }

    /// When to commit next.
    fn due(&self) -> Option<Instant> {
        match &self.mode {
            Mode::Failed(_) => None,
            Mode::NoSpace { .. } if self.stopping => None,
            Mode::NoSpace { retry, .. } => Some(*retry),
            // What is queued when the store stops is due now.
            Mode::Running if self.stopping => self.queue.due(self.last_flush).map(|_| self.last_flush),
            Mode::Running => self.queue.due(self.last_flush),
        }
    }
}
