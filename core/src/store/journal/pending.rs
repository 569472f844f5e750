//! The queue of the journal: what was appended since the writer took the last batch, and who waits for what.

use std::time::Instant;

use super::Position;
use super::config::JournalConfig;
use super::frame::{BATCH_HEAD, Record};
use crate::store::ticket::Waiter;
use crate::store::{CommitError, SubmitError, Ticket};

/// Buffers that grew in a burst are cut to this.
const KEPT: usize = 1024 * 1024;

/// Records that become durable together, with room for their head in front.
#[derive(Debug)]
pub(super) struct Batch {
    /// A head to be filled in, and the records.
    pub(super) bytes: Vec<u8>,
    pub(super) records: u32,
}

impl Batch {
    /// Bytes of the records.
    pub(super) fn record_bytes(&self) -> &[u8] {
        self.bytes.get(BATCH_HEAD..).unwrap_or_default()
    }
}

/// The queue. Its positions count appends: `durable` <= `taken` <= `appended`.
#[derive(Debug)]
pub(super) struct Pending {
    buffer: Vec<u8>,
    records: u32,
    since: Option<Instant>,
    appended: u64,
    taken: u64,
    durable: u64,
    /// Bytes the writer has taken.
    in_flight: usize,
    /// Who waits for what the writer has taken.
    early: Vec<Waiter>,
    /// Who waits for what it has not.
    late: Vec<Waiter>,
    bytes_limit: usize,
    record_limit: usize,
}

impl Pending {
    pub(super) fn new(config: &JournalConfig) -> Self {
        Self {
            buffer: Vec::new(),
            records: 0,
            since: None,
            appended: 0,
            taken: 0,
            durable: 0,
            in_flight: 0,
            early: Vec::new(),
            late: Vec::new(),
            bytes_limit: config.queue_bytes,
            record_limit: config.max_record_bytes,
        }
    }

    /// Queues a record; `now` is asked for the first one only.
    pub(super) fn push(
        &mut self,
        key: &str,
        value: Option<&[u8]>,
        now: impl FnOnce() -> Instant,
    ) -> Result<Position, SubmitError> {
        let record = Record::new(key, value, self.record_limit)?;
        let queued_bytes = self.queued_bytes();
        if queued_bytes + BATCH_HEAD + record.encoded_bytes() > self.bytes_limit {
            return Err(SubmitError::Full { queued_bytes, queued_records: self.queued_records() });
        }
        if self.records == 0 {
            self.buffer.clear();
            self.buffer.resize(BATCH_HEAD, 0);
            self.since = Some(now());
        }
        record.write_to(&mut self.buffer);
        self.records += 1;
        self.appended += 1;
        Ok(Position(self.appended))
    }

    /// Whether everything up to `position` is durable. A position that was never given out is the last one that was.
    pub(super) fn is_durable(&self, position: Position) -> bool {
        position.0.min(self.appended) <= self.durable
    }

    /// A ticket for `position`, which is not durable yet.
    pub(super) fn wait(&mut self, position: Position) -> Ticket {
        let (waiter, ticket) = Ticket::new();
        if position.0 <= self.taken {
            self.early.push(waiter);
        } else {
            self.late.push(waiter);
        }
        ticket
    }

    /// When the oldest record came that the writer has not taken.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Whether somebody waits for what the writer has not taken.
    pub(super) fn is_awaited(&self) -> bool {
        !self.late.is_empty()
    }

    /// Hands everything to the writer, in exchange for a buffer. Until [`Pending::written`] it counts towards the bounds.
    pub(super) fn take(&mut self, mut buffer: Vec<u8>) -> Option<Batch> {
        if self.records == 0 {
            return None;
        }
        if buffer.capacity() > KEPT && self.buffer.len() < KEPT {
            buffer = Vec::new();
        }
        std::mem::swap(&mut self.buffer, &mut buffer);
        let batch = Batch { bytes: buffer, records: std::mem::take(&mut self.records) };
        self.since = None;
        self.taken = self.appended;
        self.in_flight = batch.bytes.len();
        self.early.append(&mut self.late);
        Some(batch)
    }

    /// What the writer took is durable. Returns up to where, and who is to be told.
    pub(super) fn written(&mut self) -> (Position, Vec<Waiter>) {
        self.durable = self.taken;
        self.in_flight = 0;
        (Position(self.durable), std::mem::take(&mut self.early))
    }

    /// Tells everybody who waits that it is not durable; it stays queued.
    pub(super) fn fail_waiters(&mut self, reason: &CommitError) {
        for waiter in self.early.drain(..).chain(self.late.drain(..)) {
            // Who has stopped listening does not matter: the record stays.
            let _ = waiter.send(Err(reason.clone()));
        }
    }

    /// Bytes queued or being flushed, as they are written.
    pub(super) fn queued_bytes(&self) -> usize {
        self.in_flight + if self.records == 0 { 0 } else { self.buffer.len() }
    }

    /// Records queued or being flushed.
    pub(super) fn queued_records(&self) -> usize {
        usize::try_from(self.appended - self.durable).unwrap_or(usize::MAX)
    }

    /// Whether so much is queued that it is flushed without further patience.
    pub(super) fn is_pressing(&self) -> bool {
        self.queued_bytes() >= self.bytes_limit / 4
    }

    /// 0.0 to 1.0.
    #[allow(clippy::cast_precision_loss)] // a share needs no more than 24 bits
    pub(super) fn load(&self) -> f32 {
        (self.queued_bytes() as f32 / self.bytes_limit as f32).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::frame::Records;
    use super::*;
    use crate::store::ticket::Probe;

    const LIMIT: usize = 64 * 1024;

    fn pending() -> Pending {
        Pending::new(&JournalConfig {
            queue_bytes: LIMIT,
            max_record_bytes: LIMIT / 4,
            ..JournalConfig::default()
        })
    }

    fn contents(batch: &Batch) -> Vec<(String, usize)> {
        let records = Records::new(batch.record_bytes(), batch.records);
        records.map(|(key, value)| (key.to_owned(), value.map_or(0, <[u8]>::len))).collect()
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(usize),
        Wait,
        Take,
        Written,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (1_usize..9_000).prop_map(Step::Push),
            2 => Just(Step::Wait),
            1 => Just(Step::Take),
            1 => Just(Step::Written),
        ];
        prop::collection::vec(step, 1..80)
    }

    proptest! {
        /// Whatever happens: the bound holds, records come out once and in order, and a ticket resolves exactly when what
        /// was appended before it is durable.
        #[test]
        fn records_come_out_in_order_and_tickets_follow(steps in steps()) {
            let mut pending = pending();
            let (mut pushed, mut written) = (Vec::new(), Vec::new());
            let mut last = Position::START;
            let mut taken: Option<Batch> = None;
            let mut tickets: Vec<(usize, Probe)> = Vec::new();
            for step in steps {
                match step {
                    Step::Push(bytes) => {
                        let key = pushed.len().to_string();
                        match pending.push(&key, Some(&vec![7; bytes]), Instant::now) {
                            Ok(position) => {
                                prop_assert!(position > last);
                                last = position;
                                pushed.push((key, bytes));
                            }
                            Err(error) => prop_assert!(matches!(error, SubmitError::Full { .. }), "{error}"),
                        }
                    }
                    Step::Wait if pending.is_durable(last) => prop_assert_eq!(written.len(), pushed.len()),
                    Step::Wait => {
                        tickets.push((pushed.len(), pending.wait(last).probe()));
                    }
                    Step::Take if taken.is_none() => {
                        taken = pending.take(Vec::new());
                        prop_assert!(!pending.is_awaited() && pending.since().is_none());
                    }
                    Step::Take => {}
                    Step::Written => {
                        let Some(batch) = taken.take() else { continue };
                        written.extend(contents(&batch));
                        let (position, waiters) = pending.written();
                        prop_assert_eq!(position.appends(), written.len() as u64);
                        for waiter in waiters {
                            let _ = waiter.send(Ok(()));
                        }
                    }
                }
                prop_assert!(pending.queued_bytes() <= LIMIT);
                prop_assert_eq!(pending.queued_records(), pushed.len() - written.len());
                for (needs, ticket) in &mut tickets {
                    prop_assert_eq!(ticket.is_resolved(), *needs <= written.len());
                }
            }
            prop_assert_eq!(&pushed[..written.len()], written.as_slice());
        }
    }

    #[test]
    fn who_waits_is_told_and_the_record_stays() {
        let mut pending = pending();
        let position = pending.push("a", None, Instant::now).unwrap();
        let ticket = pending.wait(position);
        pending.fail_waiters(&CommitError::NoSpace);
        assert_eq!(ticket.wait(), Err(CommitError::NoSpace));
        assert_eq!(contents(&pending.take(Vec::new()).unwrap()), [("a".to_owned(), 0)]);
    }

    #[test]
    fn a_buffer_that_grew_is_not_kept_for_good() {
        let mut pending = pending();
        let large = Vec::with_capacity(2 * KEPT);
        pending.push("a", None, Instant::now).unwrap();
        pending.take(large).unwrap();
        assert_eq!(pending.buffer.capacity(), 0);
    }
}
