//! The commit queue: submissions in groups, later values of a key in the place of earlier ones.
//!
//! A group is what one flush makes durable. A unit of several writes goes into one group whole, so it is
//! atomic. A single write may also replace its key's value in an older group that still waits: that
//! changes no order anybody can see, because a later group never holds an older value of that key.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt};

use super::ticket::Waiter;
use super::{CommitError, MAX_KEY_BYTES, StoreConfig, SubmitError, Table, Write};

/// What a queued record costs beside its key and value: the place in the map, headers on disk.
const RECORD_OVERHEAD: usize = 64;

/// The key of a record.
pub(super) type RecordKey = (Table, Box<str>);

/// Writes that become durable together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) writes: HashMap<RecordKey, Option<Vec<u8>>>,
    pub(super) waiters: Vec<Waiter>,
    /// Keys, values and overhead.
    pub(super) bytes: usize,
    /// When its first write came.
    pub(super) since: Instant,
}

impl Group {
    fn new(now: Instant) -> Self {
        Self { writes: HashMap::new(), waiters: Vec::new(), bytes: 0, since: now }
    }

    /// Tells everybody who waits for this group.
    pub(super) fn resolve(&mut self, outcome: &Result<(), CommitError>) {
        for waiter in self.waiters.drain(..) {
            // Who has stopped listening does not matter: the write stands.
            let _ = waiter.send(outcome.clone());
        }
    }

    /// Bytes by which the group would grow; negative when values shrink.
    fn growth(&self, write: &Write) -> isize {
        let new = cost(&write.key, write.value.as_deref());
        let old = self
            .writes
            .get(&(write.table, write.key.clone()))
            .map_or(0, |value| cost(&write.key, value.as_deref()));
        new.cast_signed() - old.cast_signed()
    }
}

fn cost(key: &str, value: Option<&[u8]>) -> usize {
    RECORD_OVERHEAD + key.len() + value.map_or(0, <[u8]>::len)
}

/// The bounded queue of groups.
#[derive(Debug)]
pub(super) struct Queue {
    groups: VecDeque<Group>,
    /// Bytes and records of the group the writer has taken.
    taken: (usize, usize),
    bytes: usize,
    records: usize,
    coalesced: u64,
    group_limit: usize,
    bytes_limit: usize,
    records_limit: usize,
    record_limit: usize,
    interval: Duration,
    spacing: Duration,
}

impl Queue {
    pub(super) fn new(config: &StoreConfig) -> Self {
        Self {
            groups: VecDeque::new(),
            taken: (0, 0),
            bytes: 0,
            records: 0,
            coalesced: 0,
            group_limit: config.flush_bytes,
            bytes_limit: config.queue_bytes,
            records_limit: config.queue_records,
            record_limit: config.max_record_bytes,
            interval: config.flush_interval,
            spacing: config.flush_spacing,
        }
    }

    /// Queues a unit, or nothing of it.
    pub(super) fn push(
        &mut self,
        writes: Vec<Write>,
        waiter: Option<Waiter>,
        now: Instant,
    ) -> Result<(), SubmitError> {
        let unit_bytes = self.check(&writes)?;
        if writes.is_empty() {
            if let Some(waiter) = waiter {
                let _ = waiter.send(Ok(()));
            }
            return Ok(());
        }
        let place = self.place(&writes, unit_bytes);
        let (bytes, records) = self.growth(place, &writes, unit_bytes);
        if self.queued_bytes().saturating_add_signed(bytes) > self.bytes_limit
            || self.queued_records() + records > self.records_limit
        {
            return Err(SubmitError::Full {
                queued_bytes: self.queued_bytes(),
                queued_records: self.queued_records(),
            });
        }
        let place = place.unwrap_or_else(|| {
            self.groups.push_back(Group::new(now));
            self.groups.len() - 1
        });
        self.insert(place, writes, waiter);
        Ok(())
    }

    /// Bytes of the unit as if none of it were queued yet.
    fn check(&self, writes: &[Write]) -> Result<usize, SubmitError> {
        let mut total = 0;
        for write in writes {
            if write.key.is_empty() || write.key.len() > MAX_KEY_BYTES || write.key.contains('\0') {
                return Err(SubmitError::BadKey(write.key.clone()));
            }
            let bytes = write.value.as_ref().map_or(0, Vec::len);
            if bytes > self.record_limit {
                return Err(SubmitError::TooLarge {
                    key: write.key.clone(),
                    bytes,
                    limit: self.record_limit,
                });
            }
            total += cost(&write.key, write.value.as_deref());
        }
        if total > self.group_limit {
            let key = writes.first().map_or_else(Box::default, |write| write.key.clone());
            return Err(SubmitError::TooLarge { key, bytes: total, limit: self.group_limit });
        }
        Ok(total)
    }

    /// The group the unit goes into; `None` for a new one.
    fn place(&self, writes: &[Write], unit_bytes: usize) -> Option<usize> {
        let last = self.groups.len().checked_sub(1)?;
        if let [write] = writes {
            let key = (write.table, write.key.clone());
            let newest = self.groups.iter().rposition(|group| group.writes.contains_key(&key));
            if let Some(index) = newest
                && self.fits(index, self.groups[index].growth(write))
            {
                return Some(index);
            }
        }
        // The whole unit is counted, replaced values or not: a few bytes of a group go unused at worst.
        self.fits(last, unit_bytes.cast_signed()).then_some(last)
    }

    fn fits(&self, index: usize, growth: isize) -> bool {
        self.groups[index].bytes.saturating_add_signed(growth) <= self.group_limit
    }

    /// Bytes and records by which the queue grows.
    fn growth(&self, place: Option<usize>, writes: &[Write], unit_bytes: usize) -> (isize, usize) {
        match (place, writes) {
            (Some(index), [write]) => {
                let group = &self.groups[index];
                let known = group.writes.contains_key(&(write.table, write.key.clone()));
                (group.growth(write), usize::from(!known))
            }
            _ => (unit_bytes.cast_signed(), writes.len()),
        }
    }

    fn insert(&mut self, place: usize, writes: Vec<Write>, waiter: Option<Waiter>) {
        let group = &mut self.groups[place];
        for write in writes {
            let new = cost(&write.key, write.value.as_deref());
            match group.writes.entry((write.table, write.key)) {
                Entry::Occupied(mut entry) => {
                    let old = cost(&entry.key().1, entry.get().as_deref());
                    entry.insert(write.value);
                    group.bytes = group.bytes - old + new;
                    self.bytes = self.bytes - old + new;
                    self.coalesced += 1;
                }
                Entry::Vacant(entry) => {
                    entry.insert(write.value);
                    group.bytes += new;
                    self.bytes += new;
                    self.records += 1;
                }
            }
        }
        group.waiters.extend(waiter);
    }

    /// When the first group should be flushed, given the end of the last flush; `None` when nothing is
    /// queued.
    pub(super) fn due(&self, last_flush: Instant) -> Option<Instant> {
        let first = self.groups.front()?;
        Some(if self.groups.len() > 1 {
            first.since
        } else if first.waiters.is_empty() {
            first.since + self.interval
        } else {
            first.since.max(last_flush + self.spacing)
        })
    }

    /// Hands the first group to the writer. It counts towards the bounds until [`Queue::release`].
    pub(super) fn take(&mut self) -> Option<Group> {
        let group = self.groups.pop_front()?;
        self.bytes -= group.bytes;
        self.records -= group.writes.len();
        self.taken = (group.bytes, group.writes.len());
        Some(group)
    }

    /// The writer is done with the group it took.
    pub(super) fn release(&mut self) {
        self.taken = (0, 0);
    }

    /// Tells everybody who waits that the writes are not durable; the writes stay queued.
    pub(super) fn fail_waiters(&mut self, reason: &CommitError) {
        for group in &mut self.groups {
            group.resolve(&Err(reason.clone()));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub(super) fn queued_bytes(&self) -> usize {
        self.bytes + self.taken.0
    }

    pub(super) fn queued_records(&self) -> usize {
        self.records + self.taken.1
    }

    pub(super) fn coalesced(&self) -> u64 {
        self.coalesced
    }

    /// 0.0 to 1.0, by bytes or by records, whichever is fuller.
    #[allow(clippy::cast_precision_loss)] // a share needs no more than 24 bits
    pub(super) fn load(&self) -> f32 {
        let bytes = self.queued_bytes() as f32 / self.bytes_limit as f32;
        let records = self.queued_records() as f32 / self.records_limit as f32;
        bytes.max(records).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::store::Ticket;

    const LIMIT: usize = 4_096;

    fn queue() -> Queue {
        let config = StoreConfig {
            flush_bytes: LIMIT,
            max_record_bytes: LIMIT / 2,
            queue_bytes: 3 * LIMIT,
            queue_records: 30,
            ..StoreConfig::default()
        };
        Queue::new(&config)
    }

    fn put(key: &str, bytes: usize, mark: u8) -> Write {
        Write::put(Table::Device, key, vec![mark; bytes])
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(Vec<(u8, usize)>),
        Take,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let push = prop::collection::vec((0_u8..12, 0_usize..1_500), 1..4).prop_map(Step::Push);
        prop::collection::vec(prop_oneof![6 => push, 1 => Just(Step::Take)], 1..80)
    }

    proptest! {
        /// Whatever is submitted: bounds hold, the books are right, units stay whole, and applying the
        /// groups in order ends at what submitting the units one by one would end at. After each group
        /// the state is one that a sequence of units leads to, as far as units of several keys go.
        #[test]
        fn groups_are_bounded_whole_and_in_order(steps in steps()) {
            let mut queue = queue();
            let mut submitted: BTreeMap<u8, u8> = BTreeMap::new();
            let mut applied: BTreeMap<u8, u8> = BTreeMap::new();
            // For each unit of several keys, those of its values that were not replaced later.
            let mut units: Vec<BTreeMap<u8, u8>> = Vec::new();
            let mut tickets = Vec::new();
            let mut mark = 0_u8;
            let mut steps = steps;
            steps.extend(std::iter::repeat_n(Step::Take, 80));
            for step in steps {
                match step {
                    Step::Push(writes) => {
                        mark = mark.wrapping_add(1);
                        let unit = writes.iter().map(|(key, bytes)| put(&key.to_string(), bytes + 1, mark));
                        let (waiter, ticket) = Ticket::new();
                        if queue.push(unit.collect(), Some(waiter), Instant::now()).is_ok() {
                            tickets.push(ticket);
                            let unit: BTreeMap<u8, u8> = writes.iter().map(|(key, _)| (*key, mark)).collect();
                            for older in &mut units {
                                older.retain(|key, _| !unit.contains_key(key));
                            }
                            submitted.extend(&unit);
                            units.push(unit);
                        }
                    }
                    Step::Take => {
                        let Some(mut group) = queue.take() else { continue };
                        prop_assert!(group.bytes <= LIMIT);
                        let mut sum = 0;
                        for ((_, key), value) in &group.writes {
                            let value = value.as_ref().unwrap();
                            sum += cost(key, Some(value));
                            applied.insert(key.parse().unwrap(), value[0]);
                        }
                        prop_assert_eq!(sum, group.bytes);
                        queue.release();
                        group.resolve(&Ok(()));
                        for unit in &units {
                            let there = unit.iter().filter(|(key, mark)| applied.get(key) == Some(mark)).count();
                            prop_assert!(there == 0 || there == unit.len(), "half a unit was applied");
                        }
                    }
                }
                prop_assert!(queue.queued_bytes() <= 3 * LIMIT && queue.queued_records() <= 30);
            }
            prop_assert_eq!((queue.queued_bytes(), queue.queued_records()), (0, 0));
            prop_assert_eq!(applied, submitted);
            for ticket in tickets {
                prop_assert_eq!(ticket.wait(), Ok(()));
            }
        }
    }

    #[test]
    fn writes_are_due_when_somebody_waits_or_the_interval_is_over() {
        let mut queue = queue();
        let start = Instant::now();
        let flushed = start.checked_sub(Duration::from_millis(1)).unwrap();
        assert_eq!(queue.due(flushed), None);
        queue.push(vec![put("a", 1, 0)], None, start).unwrap();
        assert_eq!(queue.due(flushed), Some(start + Duration::from_millis(50)));
        let (waiter, _ticket) = Ticket::new();
        queue.push(vec![put("b", 1, 0)], Some(waiter), start).unwrap();
        assert_eq!(queue.due(flushed), Some(flushed + Duration::from_millis(5)));
        let long_ago = start.checked_sub(Duration::from_secs(1)).unwrap();
        assert_eq!(queue.due(long_ago), Some(start));
        for key in ["c", "d", "e"] {
            queue.push(vec![put(key, 2_000, 0)], None, start).unwrap();
        }
        assert_eq!(queue.due(flushed), Some(start), "a full group waits for nothing");
    }

    #[test]
    fn a_failed_wait_leaves_the_write_queued() {
        let mut queue = queue();
        let (waiter, ticket) = Ticket::new();
        queue.push(vec![put("a", 1, 7)], Some(waiter), Instant::now()).unwrap();
        queue.fail_waiters(&CommitError::NoSpace);
        assert_eq!(ticket.wait(), Err(CommitError::NoSpace));
        assert_eq!(queue.take().unwrap().writes.len(), 1);
    }
}
