//! The contract of the store without a disk, for tests of what stands on it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::queue::Queue;
use super::{
    CommitError, DamagedRecord, Health, ScanReport, Store, StoreConfig, StoreError, StoreStats, SubmitError,
    Table, Ticket, Write,
};

/// A store in memory that commits on the caller's thread, at once unless told to [hold](Self::hold).
///
/// It can play the faults of a disk, and its records outlive it: [`MemoryStore::reopen`] is a restart.
#[derive(Debug)]
pub struct MemoryStore {
    config: StoreConfig,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    queue: Queue,
    records: BTreeMap<(Table, Box<str>), Vec<u8>>,
    /// Keys whose records cannot be read until they are written or deleted.
    damaged: BTreeSet<(Table, Box<str>)>,
    state: State,
    held: bool,
    stats: StoreStats,
}

#[derive(Debug, Clone)]
enum State {
    Running,
    NoSpace,
    Failed(Arc<str>),
    Stopped,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(StoreConfig::default())
    }
}

impl MemoryStore {
    /// An empty store with these bounds.
    pub fn new(config: StoreConfig) -> Self {
        Self::with_records(config, BTreeMap::new())
    }

    fn with_records(config: StoreConfig, records: BTreeMap<(Table, Box<str>), Vec<u8>>) -> Self {
        let queue = Queue::new(&config);
        let inner = Inner {
            queue,
            records,
            damaged: BTreeSet::new(),
            state: State::Running,
            held: false,
            stats: StoreStats::default(),
        };
        Self { config, inner: Mutex::new(inner) }
    }

    /// What a process would find that starts after this one was killed: everything durable, nothing
    /// that was only queued.
    #[must_use]
    pub fn reopen(&self) -> Self {
        Self::with_records(self.config.clone(), self.inner.lock().records.clone())
    }

    /// Queues what is submitted until [`MemoryStore::release`], as behind a slow disk.
    pub fn hold(&self) {
        self.inner.lock().held = true;
    }

    /// Commits what is queued, and what is submitted from now on, at once.
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
                inner.queue.fail_waiters(&CommitError::NoSpace);
            }
            (State::NoSpace, false) => {
                inner.state = State::Running;
                inner.commit();
            }
            _ => {}
        }
    }

    /// Plays a failed database: whoever waits is told, nothing is taken any more.
    pub fn fail(&self, reason: &str) {
        let mut inner = self.inner.lock();
        let reason: Arc<str> = reason.into();
        inner.queue.fail_waiters(&CommitError::Failed(Arc::clone(&reason)));
        inner.state = State::Failed(reason);
    }

    /// Plays a record that the disk has spoilt: scans skip and list it, until its key is written or deleted.
    pub fn damage(&self, table: Table, key: &str) {
        self.inner.lock().damaged.insert((table, key.into()));
    }

    /// Number of durable records.
    pub fn len(&self) -> usize {
        self.inner.lock().records.len()
    }

    /// Whether nothing is durable.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The durable record of a key.
    pub fn get(&self, table: Table, key: &str) -> Option<Vec<u8>> {
        self.inner.lock().records.get(&(table, key.into())).cloned()
    }

    fn push(&self, writes: Vec<Write>, ticket: bool) -> Result<Option<Ticket>, SubmitError> {
        let mut inner = self.inner.lock();
        let (waiter, ticket) = if ticket {
            let (waiter, ticket) = Ticket::new();
            (Some(waiter), Some(ticket))
        } else {
            (None, None)
        };
        let outcome = inner.refusal().map_or_else(|| inner.queue.push(writes, waiter, Instant::now()), Err);
        if let Err(error) = outcome {
            inner.stats.refused += 1;
            return Err(error);
        }
        inner.commit();
        Ok(ticket)
    }
}

impl Inner {
    fn refusal(&self) -> Option<SubmitError> {
        match &self.state {
            State::Running => None,
            State::NoSpace => Some(SubmitError::NoSpace { free_bytes: 0, needed_bytes: 1 }),
            State::Failed(reason) => Some(SubmitError::Failed(Arc::clone(reason))),
            State::Stopped => Some(SubmitError::Stopped),
        }
    }

    fn commit(&mut self) {
        if self.held || !matches!(self.state, State::Running | State::Stopped) {
            return;
        }
        while let Some(mut group) = self.queue.take() {
            self.stats.batches += 1;
            self.stats.committed_records += group.writes.len() as u64;
            self.stats.committed_bytes += group.bytes as u64;
            self.stats.last_batch_records = group.writes.len();
            self.stats.last_batch_bytes = group.bytes;
            for (key, value) in group.writes.drain() {
                self.damaged.remove(&key);
                match value {
                    Some(value) => self.records.insert(key, value),
                    None => self.records.remove(&key),
                };
            }
            self.queue.release();
            group.resolve(&Ok(()));
        }
    }
}

impl Store for MemoryStore {
    fn submit(&self, writes: Vec<Write>) -> Result<Ticket, SubmitError> {
        self.push(writes, true)?.ok_or(SubmitError::Stopped)
    }

    fn submit_detached(&self, writes: Vec<Write>) -> Result<(), SubmitError> {
        self.push(writes, false).map(drop)
    }

    fn scan(
        &self,
        table: Table,
        visit: &mut dyn FnMut(&str, &[u8]) -> ControlFlow<()>,
    ) -> Result<ScanReport, StoreError> {
        let mut report = ScanReport::default();
        for (_, key) in self.inner.lock().damaged.iter().filter(|(of, _)| *of == table) {
            let (key, reason) = (key.to_string(), "spoilt");
            report.note_damage(DamagedRecord { table: Some(table), key, reason });
        }
        let mut after = Bound::Included((table, Box::<str>::default()));
        // The lock is not held while visiting: a visitor may submit.
        loop {
            let next = {
                let inner = self.inner.lock();
                match &inner.state {
                    State::Failed(reason) => return Err(StoreError::Database(Arc::clone(reason))),
                    State::Stopped => return Err(StoreError::Stopped),
                    State::Running | State::NoSpace => {}
                }
                inner
                    .records
                    .range((after, Bound::Unbounded))
                    .next()
                    .map(|(key, value)| (key.clone(), value.clone()))
            };
            let Some((key, value)) = next.filter(|(key, _)| key.0 == table) else { return Ok(report) };
            if self.inner.lock().damaged.contains(&key) {
                after = Bound::Excluded(key);
                continue;
            }
            report.records += 1;
            report.bytes += (key.1.len() + value.len()) as u64;
            if visit(&key.1, &value).is_break() {
                report.stopped = true;
                return Ok(report);
            }
            after = Bound::Excluded(key);
        }
    }

    fn health(&self) -> Health {
        match &self.inner.lock().state {
            State::Running => Health::Healthy,
            State::NoSpace => Health::NoSpace { free_bytes: 0, needed_bytes: 1 },
            State::Failed(reason) => Health::Failed(Arc::clone(reason)),
            State::Stopped => Health::Stopped,
        }
    }

    fn stats(&self) -> StoreStats {
        let inner = self.inner.lock();
        let live = inner.records.iter().map(|(key, value)| (key.1.len() + value.len()) as u64).sum();
        StoreStats {
            queued_bytes: inner.queue.queued_bytes(),
            queued_records: inner.queue.queued_records(),
            queue_bytes_limit: self.config.queue_bytes,
            queue_records_limit: self.config.queue_records,
            live_bytes: Some(live),
            coalesced: inner.queue.coalesced(),
            ..inner.stats.clone()
        }
    }

    fn load(&self) -> f32 {
        let inner = self.inner.lock();
        if inner.refusal().is_some() { 1.0 } else { inner.queue.load() }
    }

    fn shutdown(&self, deadline: Duration) -> Result<(), StoreError> {
        let mut inner = self.inner.lock();
        let reason = match &inner.state {
            State::Running | State::Stopped if inner.held && !inner.queue.is_empty() => {
                inner.state = State::Stopped;
                return Err(StoreError::Deadline(deadline));
            }
            State::Running | State::Stopped => {
                inner.state = State::Stopped;
                inner.commit();
                return Ok(());
            }
            State::NoSpace => CommitError::NoSpace,
            State::Failed(reason) => CommitError::Failed(Arc::clone(reason)),
        };
        let records = inner.queue.queued_records();
        inner.queue.fail_waiters(&CommitError::Stopped);
        if records == 0 { Ok(()) } else { Err(StoreError::Unsaved { records, reason }) }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;

    use super::*;

    fn put(key: &str) -> Vec<Write> {
        vec![Write::put(Table::Device, key, vec![1])]
    }

    #[test]
    fn what_is_held_is_neither_durable_nor_acknowledged() {
        let store = MemoryStore::default();
        store.hold();
        let mut ticket = Box::pin(store.submit(put("a")).unwrap());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(ticket.as_mut().poll(&mut context).is_pending());
        assert!(store.is_empty() && store.reopen().is_empty());
        assert!(matches!(store.shutdown(Duration::ZERO), Err(StoreError::Deadline(_))));
        store.release();
        assert!(ticket.as_mut().poll(&mut context).is_ready());
        assert_eq!(store.reopen().get(Table::Device, "a"), Some(vec![1]));
    }

    #[test]
    fn a_full_disk_keeps_what_was_queued() {
        let store = MemoryStore::default();
        store.hold();
        let ticket = store.submit(put("a")).unwrap();
        store.set_no_space(true);
        assert_eq!(ticket.wait(), Err(CommitError::NoSpace));
        assert!(matches!(store.submit(put("b")), Err(SubmitError::NoSpace { .. })));
        assert!(!store.health().is_ready());
        store.set_no_space(false);
        store.release();
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn a_failed_store_says_so() {
        let store = MemoryStore::default();
        store.hold();
        let ticket = store.submit(put("a")).unwrap();
        store.fail("broken");
        assert_eq!(ticket.wait(), Err(CommitError::Failed("broken".into())));
        assert_eq!(store.submit(put("b")).unwrap_err(), SubmitError::Failed("broken".into()));
        assert_eq!(store.health(), Health::Failed("broken".into()));
        assert!(matches!(store.shutdown(Duration::ZERO), Err(StoreError::Unsaved { records: 1, .. })));
    }
}
