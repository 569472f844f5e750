//! The contract of the journal without a disk, for tests of what stands on it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::frame::Records;
use super::pending::Pending;
use super::{Journal, JournalConfig, JournalScan, JournalStats, Position};
use crate::store::{CommitError, Health, StoreError, SubmitError, Ticket};

type Contents = BTreeMap<Box<str>, Vec<u8>>;

/// A journal in memory that commits on the caller's thread, at once unless told to [hold](Self::hold).
///
/// It can play the faults of a disk, and its records outlive it: [`MemoryJournal::reopen`] is a restart.
#[derive(Debug)]
pub struct MemoryJournal {
    config: JournalConfig,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    pending: Pending,
    records: Contents,
    durable: Position,
    state: State,
    held: bool,
    stats: JournalStats,
}

#[derive(Debug, Clone)]
enum State {
    Running,
    NoSpace,
    Failed(Arc<str>),
    Stopped,
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self::new(JournalConfig::default())
    }
}

impl MemoryJournal {
    /// An empty journal with these bounds.
    pub fn new(config: JournalConfig) -> Self {
        Self::with_records(config, Contents::new())
    }

    fn with_records(config: JournalConfig, records: Contents) -> Self {
        let inner = Inner {
            pending: Pending::new(&config),
            records,
            durable: Position::START,
            state: State::Running,
            held: false,
            stats: JournalStats::default(),
        };
        Self { config, inner: Mutex::new(inner) }
    }

    /// What a process would find that starts after this one was killed: everything durable, nothing that was only
    /// queued.
    #[must_use]
    pub fn reopen(&self) -> Self {
        Self::with_records(self.config.clone(), self.inner.lock().records.clone())
    }

    /// Queues what is appended until [`MemoryJournal::release`], as behind a slow disk.
    pub fn hold(&self) {
        self.inner.lock().held = true;
    }

    /// Commits what is queued, and what is appended from now on, at once.
    pub fn release(&self) {
        let mut inner = self.inner.lock();
        inner.held = false;
        inner.commit();
    }

    /// Plays a full disk, or one that has space again.
    pub fn set_no_space(&self, full: bool) {
        let mut inner = self.inner.lock();
        match (&inner.state, full) {
            (State::Running, true) => {
                inner.state = State::NoSpace;
                inner.pending.fail_waiters(&CommitError::NoSpace);
            }
            (State::NoSpace, false) => {
                inner.state = State::Running;
                inner.commit();
            }
            _ => {}
        }
    }

    /// Plays a failed disk: whoever waits is told, nothing is taken any more.
    pub fn fail(&self, reason: &str) {
        let mut inner = self.inner.lock();
        let reason: Arc<str> = reason.into();
        inner.pending.fail_waiters(&CommitError::Failed(Arc::clone(&reason)));
        inner.state = State::Failed(reason);
    }

    /// Number of durable records.
    pub fn len(&self) -> usize {
        self.inner.lock().records.len()
    }

    /// Whether nothing is durable.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The durable value of a key.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.inner.lock().records.get(key).cloned()
    }
}

impl Inner {
    /// Why nothing is taken.
    fn refusal(&self) -> Option<SubmitError> {
        match &self.state {
            State::Running => None,
            State::NoSpace => Some(SubmitError::NoSpace { free_bytes: 0, needed_bytes: 1 }),
            State::Failed(reason) => Some(SubmitError::Failed(Arc::clone(reason))),
            State::Stopped => Some(SubmitError::Stopped),
        }
    }

    /// Why what is queued will not be durable soon.
    fn obstacle(&self) -> Option<CommitError> {
        match &self.state {
            State::NoSpace => Some(CommitError::NoSpace),
            State::Failed(reason) => Some(CommitError::Failed(Arc::clone(reason))),
            State::Running | State::Stopped => None,
        }
    }

    fn commit(&mut self) {
        if self.held || !matches!(self.state, State::Running | State::Stopped) {
            return;
        }
        let Some(batch) = self.pending.take(Vec::new()) else { return };
        for (key, value) in Records::new(batch.record_bytes(), batch.records) {
            match value {
                Some(value) => self.records.insert(key.into(), value.to_vec()),
                None => self.records.remove(key),
            };
        }
        let stats = &mut self.stats;
        stats.batches += 1;
        stats.committed_records += u64::from(batch.records);
        stats.committed_bytes += batch.bytes.len() as u64;
        stats.last_batch_bytes = batch.bytes.len();
        stats.last_batch_records = self.pending.queued_records();
        let (durable, waiters) = self.pending.written();
        self.durable = durable;
        for waiter in waiters {
            // Who has stopped listening does not matter: the record stands.
            let _ = waiter.send(Ok(()));
        }
    }
}

impl Journal for MemoryJournal {
    fn append(&self, key: &str, value: Option<&[u8]>) -> Result<Position, SubmitError> {
        let mut inner = self.inner.lock();
        let outcome = inner.refusal().map_or_else(|| inner.pending.push(key, value, Instant::now), Err);
        match outcome {
            Ok(_) => inner.commit(),
            Err(_) => inner.stats.refused += 1,
        }
        outcome
    }

    fn committed(&self, position: Position) -> Ticket {
        let mut inner = self.inner.lock();
        match inner.obstacle() {
            _ if inner.pending.is_durable(position) => Ticket::resolved(Ok(())),
            Some(reason) => Ticket::resolved(Err(reason)),
            None => inner.pending.wait(position),
        }
    }

    fn durable(&self) -> Position {
        self.inner.lock().durable
    }

    fn scan(&self, visit: &mut dyn FnMut(&str, &[u8]) -> ControlFlow<()>) -> Result<JournalScan, StoreError> {
        let mut report = JournalScan::default();
        // A copy: a visitor may append.
        let records = {
            let inner = self.inner.lock();
            match &inner.state {
                State::Failed(reason) => return Err(StoreError::Database(Arc::clone(reason))),
                State::Stopped => return Err(StoreError::Stopped),
                State::Running | State::NoSpace => inner.records.clone(),
            }
        };
        for (key, value) in &records {
            report.records += 1;
            report.bytes += (key.len() + value.len()) as u64;
            if visit(key, value).is_break() {
                report.stopped = true;
                break;
            }
        }
        Ok(report)
    }

    fn health(&self) -> Health {
        match &self.inner.lock().state {
            State::Running => Health::Healthy,
            State::NoSpace => Health::NoSpace { free_bytes: 0, needed_bytes: 1 },
            State::Failed(reason) => Health::Failed(Arc::clone(reason)),
            State::Stopped => Health::Stopped,
        }
    }

    fn stats(&self) -> JournalStats {
        let inner = self.inner.lock();
        JournalStats {
            queued_bytes: inner.pending.queued_bytes(),
            queued_records: inner.pending.queued_records(),
            queue_bytes_limit: self.config.queue_bytes,
            ..inner.stats.clone()
        }
    }

    fn load(&self) -> f32 {
        let inner = self.inner.lock();
        if inner.refusal().is_some() { 1.0 } else { inner.pending.load() }
    }

    fn shutdown(&self, deadline: Duration) -> Result<(), StoreError> {
        let mut inner = self.inner.lock();
        let records = inner.pending.queued_records();
        if let Some(reason) = inner.obstacle() {
            inner.pending.fail_waiters(&CommitError::Stopped);
            return if records == 0 { Ok(()) } else { Err(StoreError::Unsaved { records, reason }) };
        }
        inner.state = State::Stopped;
        if inner.held && records > 0 {
            return Err(StoreError::Deadline(deadline));
        }
        inner.commit();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_neither_durable_nor_acknowledged() {
        let journal = MemoryJournal::default();
        journal.hold();
        let position = journal.append("a", Some(b"1")).unwrap();
        let mut ticket = journal.committed(position).probe();
        assert!(!ticket.is_resolved() && journal.is_empty() && journal.reopen().is_empty());
        assert!(journal.durable() < position);
        assert!(matches!(journal.shutdown(Duration::ZERO), Err(StoreError::Deadline(_))));
        journal.release();
        assert!(ticket.is_resolved() && journal.durable() == position);
        assert_eq!(journal.reopen().get("a"), Some(b"1".to_vec()));
    }

    #[test]
    fn a_full_disk_keeps_what_was_queued() {
        let journal = MemoryJournal::default();
        journal.hold();
        let position = journal.append("a", Some(b"1")).unwrap();
        let early = journal.committed(position);
        journal.set_no_space(true);
        assert_eq!(early.wait(), Err(CommitError::NoSpace));
        assert_eq!(journal.committed(position).wait(), Err(CommitError::NoSpace));
        assert!(matches!(journal.append("b", None), Err(SubmitError::NoSpace { .. })));
        assert!(!journal.health().is_ready() && journal.load() >= 1.0);
        journal.set_no_space(false);
        journal.release();
        assert_eq!((journal.len(), journal.committed(position).wait()), (1, Ok(())));
    }

    #[test]
    fn a_failed_journal_says_so() {
        let journal = MemoryJournal::default();
        journal.hold();
        let position = journal.append("a", Some(b"1")).unwrap();
        let ticket = journal.committed(position);
        journal.fail("broken");
        assert_eq!(ticket.wait(), Err(CommitError::Failed("broken".into())));
        assert_eq!(journal.append("b", None).unwrap_err(), SubmitError::Failed("broken".into()));
        assert_eq!(journal.health(), Health::Failed("broken".into()));
        assert!(matches!(journal.shutdown(Duration::ZERO), Err(StoreError::Unsaved { records: 1, .. })));
    }
}
