//! What the callers of the embedded journal and its writer share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::files::{Files, Sizes};
use super::meter::Meter;
use super::pending::{Batch, Pending};
use super::{Damage, JournalConfig, JournalStats, Position};
use crate::store::{CommitError, Health, StoreError, SubmitError, Ticket};

/// What the writer should do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// Look at the free space, then flush what is queued.
    Commit,
    Exit,
}

pub(super) struct Shared {
    pub(super) config: JournalConfig,
    pub(super) meter: Meter,
    pub(super) files: Files,
    /// Tells the compaction to give up.
    stop: AtomicBool,
    compacting: AtomicBool,
    /// Bytes of changes from which on the next compaction is tried.
    compact_from: AtomicU64,
    state: Mutex<State>,
    /// Wakes the writer.
    work: Condvar,
    /// Wakes who waits for the writer to end.
    ended: Condvar,
    durable: AtomicU64,
    born: Instant,
    /// Milliseconds from `born` to the start of what the writer is busy with, plus one; 0 when idle.
    busy_since: AtomicU64,
}

struct State {
    pending: Pending,
    mode: Mode,
    stopping: bool,
    ended: Option<Ending>,
    alarm: Alarm,
    /// When the last flush began.
    last_flush: Instant,
    stats: JournalStats,
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
    Failed(Arc<str>),
}

/// Until when the writer sleeps, so that an append wakes it only if it has to.
#[derive(Debug, Clone, Copy)]
enum Alarm {
    Awake,
    At(Instant),
    Never,
}

impl Shared {
    pub(super) fn new(config: &JournalConfig, files: Files) -> Self {
        let now = Instant::now();
        let state = State {
            pending: Pending::new(config),
            mode: Mode::Running,
            stopping: false,
            ended: None,
            alarm: Alarm::Awake,
            last_flush: now.checked_sub(config.flush_spacing).unwrap_or(now),
            stats: JournalStats { queue_bytes_limit: config.queue_bytes, ..JournalStats::default() },
        };
        let meter = Meter::new(config.holds);
        let sizes = files.sizes();
        meter.sized(sizes.log, sizes.snapshot);
        Self {
            config: config.clone(),
            meter,
            files,
            stop: AtomicBool::new(false),
            compacting: AtomicBool::new(false),
            compact_from: AtomicU64::new(0),
            state: Mutex::new(state),
            work: Condvar::new(),
            ended: Condvar::new(),
            durable: AtomicU64::new(0),
            born: now,
            busy_since: AtomicU64::new(0),
        }
    }

    // For callers.

    pub(super) fn append(&self, key: &str, value: Option<&[u8]>) -> Result<Position, SubmitError> {
        let mut state = self.state.lock();
        let outcome = match state.refusal() {
            Some(error) => Err(error),
            None => state.pending.push(key, value, Instant::now),
        };
        match &outcome {
            Ok(_) => self.wake_if_due(state),
            Err(error) => {
                state.stats.refused += 1;
                drop(state);
                self.meter.refused(error);
            }
        }
        outcome
    }

    pub(super) fn committed(&self, position: Position) -> Ticket {
        if position <= self.durable() {
            return Ticket::resolved(Ok(()));
        }
        let mut state = self.state.lock();
        if state.pending.is_durable(position) {
            return Ticket::resolved(Ok(()));
        }
        if let Some(reason) = state.obstacle() {
            return Ticket::resolved(Err(reason));
        }
        let ticket = state.pending.wait(position);
        self.wake_if_due(state);
        ticket
    }

    pub(super) fn durable(&self) -> Position {
        Position(self.durable.load(Ordering::Acquire))
    }

    fn wake_if_due(&self, mut state: MutexGuard<'_, State>) {
        let wake = match state.alarm {
            Alarm::Awake => false,
            Alarm::Never => true,
            Alarm::At(at) => state.due(&self.config).is_some_and(|due| due < at),
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
            Mode::Failed(reason) => Health::Failed(Arc::clone(reason)),
            _ if stalled => Health::Stalled { since: busy },
            _ if state.stopping || state.ended.is_some() => Health::Stopped,
            Mode::NoSpace { free, needed, .. } => {
                Health::NoSpace { free_bytes: *free, needed_bytes: *needed }
            }
            Mode::Running => Health::Healthy,
        }
    }

    pub(super) fn stats(&self) -> JournalStats {
        let sizes = self.files.sizes();
        let state = self.state.lock();
        JournalStats {
            queued_bytes: state.pending.queued_bytes(),
            queued_records: state.pending.queued_records(),
            log_bytes: sizes.log,
            snapshot_bytes: sizes.snapshot,
            compacting: self.compacting.load(Ordering::Acquire),
            ..state.stats.clone()
        }
    }

    pub(super) fn load(&self) -> f32 {
        let state = self.state.lock();
        if state.refusal().is_some() { 1.0 } else { state.pending.load() }
    }

    /// Why the files are not read any more.
    pub(super) fn gone(&self) -> Option<StoreError> {
        let state = self.state.lock();
        match &state.mode {
            Mode::Failed(reason) => Some(StoreError::Database(Arc::clone(reason))),
            _ if state.stopping || state.ended.is_some() => Some(StoreError::Stopped),
            _ => None,
        }
    }

    /// Tells the writer to flush what is queued and end, and waits for that.
    pub(super) fn stop(&self, deadline: Duration) -> Result<(), StoreError> {
        let until = Instant::now() + deadline;
        self.stop.store(true, Ordering::Release);
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
            let due = state.due(&self.config);
            if due.is_some_and(|at| at <= Instant::now()) {
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

    /// Whether nothing has failed.
    pub(super) fn is_sound(&self) -> bool {
        !matches!(self.state.lock().mode, Mode::Failed(_))
    }

    /// Stops writing: who waits is told, what is queued or taken stays. Returns whether that is news.
    pub(super) fn out_of_space(&self, free: u64, needed: u64) -> bool {
        let mut state = self.state.lock();
        let news = !matches!(state.mode, Mode::NoSpace { .. });
        let retry = Instant::now() + self.config.space_retry;
        state.mode = Mode::NoSpace { free, needed, retry };
        state.pending.fail_waiters(&CommitError::NoSpace);
        if news {
            self.meter.no_space.increment(1);
        }
        news
    }

    /// Takes what is queued, in exchange for a buffer.
    pub(super) fn take(&self, buffer: Vec<u8>) -> Option<Batch> {
        let mut state = self.state.lock();
        state.last_flush = Instant::now();
        state.pending.take(buffer)
    }

    /// What was taken is durable. Returns whether there had been no space before.
    pub(super) fn flushed(&self, records: u32, bytes: usize, took: Duration) -> bool {
        let mut state = self.state.lock();
        let (position, waiters) = state.pending.written();
        self.durable.store(position.0, Ordering::Release);
        let news = matches!(state.mode, Mode::NoSpace { .. });
        state.mode = Mode::Running;
        let queued = state.pending.queued_bytes();
        let stats = &mut state.stats;
        stats.batches += 1;
        stats.committed_records += u64::from(records);
        stats.committed_bytes += bytes as u64;
        stats.last_batch_records = usize::try_from(records).unwrap_or(usize::MAX);
        stats.last_batch_bytes = bytes;
        stats.last_batch_time = took;
        drop(state);
        for waiter in waiters {
            // Who has stopped listening does not matter: the record stands.
            let _ = waiter.send(Ok(()));
        }
        self.meter.flushed(records, bytes, took, queued);
        news
    }

    /// There is space again, and nothing to write. Returns whether that is news.
    pub(super) fn has_space(&self) -> bool {
        let mut state = self.state.lock();
        let news = matches!(state.mode, Mode::NoSpace { .. });
        state.mode = Mode::Running;
        news
    }

    /// Writing failed: nothing is written any more, and everybody is told.
    pub(super) fn failed(&self, reason: &Arc<str>) {
        let mut state = self.state.lock();
        state.mode = Mode::Failed(Arc::clone(reason));
        state.pending.fail_waiters(&CommitError::Failed(Arc::clone(reason)));
        self.meter.failed.increment(1);
    }

    /// A scan met this damage.
    pub(super) fn scanned(&self, damage: &Damage) {
        let mut state = self.state.lock();
        state.stats.damaged_records = damage.count();
        self.meter.damaged(state.stats.damaged_records);
    }

    /// The writer has ended and the files are closed.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        let left = state.pending.queued_records();
        let reason = match &state.mode {
            Mode::Failed(reason) => CommitError::Failed(Arc::clone(reason)),
            Mode::NoSpace { .. } => CommitError::NoSpace,
            Mode::Running => CommitError::Stopped,
        };
        state.pending.fail_waiters(&CommitError::Stopped);
        state.ended = Some(if left == 0 { Ending::Clean } else { Ending::Unsaved(left, reason) });
        drop(state);
        self.idle();
        self.ended.notify_all();
    }

    // For the compaction.

    /// Whether the compaction may go on.
    pub(super) fn may_compact(&self) -> bool {
        !self.stop.load(Ordering::Acquire)
    }

    /// Begins a compaction if there is enough to gain and none is under way. If it does not end well, the next begins
    /// when as much again was written.
    pub(super) fn begin_compaction(&self, sizes: Sizes) -> bool {
        let config = &self.config;
        let enough = sizes.log >= config.compact_bytes.max(self.compact_from.load(Ordering::Relaxed))
            && sizes.log.saturating_mul(100) >= sizes.snapshot.saturating_mul(config.compact_percent.into());
        if !enough || self.compacting.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.compact_from.store(sizes.log.saturating_add(config.compact_bytes), Ordering::Relaxed);
        true
    }

    /// A compaction ended, well or not.
    pub(super) fn end_compaction(&self) {
        self.compacting.store(false, Ordering::Release);
    }

    /// A compaction ended well, and met this damage.
    pub(super) fn compacted(&self, damage: &Damage, took: Duration) {
        let mut state = self.state.lock();
        state.stats.compactions += 1;
        // What a scan met at the start is met again here.
        state.stats.damaged_records = state.stats.damaged_records.max(damage.count());
        self.meter.damaged(state.stats.damaged_records);
        drop(state);
        self.compact_from.store(0, Ordering::Relaxed);
        self.meter.compacted(took);
        let sizes = self.files.sizes();
        self.meter.sized(sizes.log, sizes.snapshot);
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
            Mode::Failed(reason) => Some(SubmitError::Failed(Arc::clone(reason))),
        }
    }

    /// Why what is queued will not be durable soon.
    fn obstacle(&self) -> Option<CommitError> {
        match &self.mode {
            Mode::Failed(reason) => Some(CommitError::Failed(Arc::clone(reason))),
            _ if self.ended.is_some() => Some(CommitError::Stopped),
            Mode::NoSpace { .. } => Some(CommitError::NoSpace),
            Mode::Running => None,
        }
    }

    /// When to commit next.
    fn due(&self, config: &JournalConfig) -> Option<Instant> {
        match &self.mode {
            Mode::Failed(_) => return None,
            Mode::NoSpace { .. } if self.stopping => return None,
            Mode::NoSpace { retry, .. } => return Some(*retry),
            Mode::Running => {}
        }
        let since = self.pending.since()?;
        // What is queued when the journal stops is due now.
        Some(if self.stopping || self.pending.is_pressing() {
            since
        } else if self.pending.is_awaited() {
            since.max(self.last_flush + config.flush_spacing)
        } else {
            since + config.flush_interval
        })
    }
}
