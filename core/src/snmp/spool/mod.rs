//! The spool: events that wait for receivers of informs, until each of them has acknowledged them.
//!
//! An event is one entry, whoever wants it. Each receiver gets its entries in their order and each at least once: what it
//! acknowledged shortly before a crash it may get again. Who wants an event is asked when it happens; what a receiver wants later
//! changes nothing in what waits for it. An entry that nobody waits for is deleted.
//!
//! Entries are bounded in number, memory and age. Beyond a bound the oldest goes, and for each receiver that had not got it, it is
//! counted: [`Spool::take_losses`]. So a receiver that is away slows nobody, and costs the others nothing but the room that it takes.
//!
//! Entries are appended to a [`Journal`] as they come. If it takes none (its queue or the disk is full) they wait in memory, within
//! the same bounds, and are written when it takes them again; a crash before loses them. Whoever must not go on before an event is
//! durable asks [`Spool::settled`], and is told then.

mod entry;
mod journaled;
mod load;
mod losses;
#[cfg(test)]
mod model_tests;
mod queue;
mod record;
mod stats;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::event::Event;
use crate::store::journal::Journal;
use crate::store::{SubmitError, Ticket};
use crate::time::Timestamp;
use journaled::Journaled;
use losses::Losses;
use queue::{Queue, Saved};
use record::SavedReceiver;
use stats::Meter;

pub use entry::{Entry, Kind};
pub use load::SpoolReport;
pub use stats::{ReceiverStats, SpoolStats, describe_metrics};

/// Records that were refused and are tried again with one push, and with one tick.
const AGAIN_AT_PUSH: usize = 1_000;
const AGAIN_AT_TICK: usize = 10_000;

/// Entries that one tick finds too old: events wait for the lock meanwhile.
const EXPIRED_AT_TICK: usize = 10_000;

/// Acknowledgements of a receiver after which it is saved without waiting for the next tick.
const ACKNOWLEDGEMENTS: u32 = 1_000;

/// Bounds on the [`Spool`]. Beyond one of them the oldest entries go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolLimits {
    /// Entries that wait.
    pub entries: usize,
    /// Memory for them, in bytes, as far as can be told.
    pub bytes: usize,
    /// Age of an entry.
    pub age: Duration,
}

impl Default for SpoolLimits {
    fn default() -> Self {
        Self { entries: 200_000, bytes: 64 * 1024 * 1024, age: Duration::from_hours(7 * 24) }
    }
}

/// An entry waits in memory only, because the journal does not take it now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {number} of the spool waits in memory only: {source}")]
pub struct NotWritten {
    /// Its number.
    pub number: u64,
    /// Why.
    pub source: SubmitError,
}

/// What a receiver did not get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Its name.
    pub receiver: Box<str>,
    /// Events.
    pub events: u64,
}

/// Events that wait for receivers of informs.
pub struct Spool {
    limits: SpoolLimits,
    inner: Mutex<Inner>,
    newest: watch::Sender<u64>,
    meter: Meter,
}

struct Inner {
    queue: Queue,
    journaled: Journaled,
    /// Numbers of entries that are over, while they are deleted.
    ended: Vec<u64>,
    /// Receivers that want the entry at hand.
    wanted: Vec<u64>,
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Inner {
    /// Remove the oldest entries until there is room for one more of `bytes`.
    fn make_room(&mut self, limits: &SpoolLimits, bytes: usize) {
        let Self { queue, journaled, ended, .. } = self;
        while queue.len() > 0 && (queue.len() >= limits.entries || queue.bytes() + bytes > limits.bytes) {
            queue.evict(ended);
        }
        journaled.delete(ended);
    }

    /// Remove what is too old. Entries stand in the order in which they came: one that a clock dated ahead keeps those behind it.
    fn expire(&mut self, age: Duration, now: Timestamp) {
        let Self { queue, journaled, ended, .. } = self;
        for _ in 0..EXPIRED_AT_TICK {
            if queue.oldest().is_none_or(|at| now.since(at) <= age) {
                break;
            }
            queue.evict(ended);
        }
        journaled.delete(ended);
    }
}

impl Spool {
    /// An empty one. Call [`Spool::load`] before anything else.
    pub fn new(journal: Arc<dyn Journal>, limits: SpoolLimits) -> Self {
        let inner = Inner {
            queue: Queue::default(),
            journaled: Journaled::new(journal),
            ended: Vec::new(),
            wanted: Vec::new(),
        };
        Self { limits, inner: Mutex::new(inner), newest: watch::Sender::new(0), meter: Meter::new() }
    }

    /// The journal, for its figures.
    pub fn journal(&self) -> Arc<dyn Journal> {
        self.inner.lock().journaled.journal().clone()
    }

    /// From now on there are these receivers. One that is new begins with the next event; one that is not named any more is
    /// forgotten, and so is what waited for it.
    pub fn set_receivers<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let names: Vec<_> = names.into_iter().collect();
        let mut inner = self.inner.lock();
        let Inner { queue, journaled, ended, .. } = &mut *inner;
        let is_gone = |name: &&str| !names.contains(name);
        let gone: Vec<Box<str>> =
            queue.receivers.keys().map(|name| &**name).filter(is_gone).map(Into::into).collect();
        for name in &gone {
            if let Some(id) = queue.remove_receiver(name, ended) {
                journaled.forget(id);
            }
        }
        journaled.delete(ended);
        for name in names {
            if !queue.receivers.contains_key(name) {
                let id = journaled.give();
                let losses = Losses::default();
                let new = SavedReceiver { id, name: name.into(), passed: id, acknowledged: 0, losses };
                queue.put_receiver(new, Saved::Never);
            }
        }
        if let Err(error) = journaled.save(queue, |saved| saved == Saved::Never) {
            tracing::debug!(%error, "a new receiver is written with the first event for it");
        }
    }

    /// Take an event in for the receivers that want it, and give it a number; `None` if nobody does.
    ///
    /// Cheap: a record is queued, nothing waits. It is durable when [`Spool::settled`] says so.
    ///
    /// # Errors
    /// If the journal does not take it. It waits for its receivers all the same, and for the journal.
    pub fn push(
        &self,
        event: &Event,
        mut wants: impl FnMut(&str) -> bool,
    ) -> Result<Option<u64>, NotWritten> {
        let mut inner = self.inner.lock();
        let Inner { queue, wanted, .. } = &mut *inner;
        wanted.clear();
        wanted
            .extend(queue.receivers.iter().filter(|(name, _)| wants(name)).map(|(_, receiver)| receiver.id));
        if wanted.is_empty() {
            return Ok(None);
        }
        wanted.sort_unstable();
        let Inner { queue, journaled, .. } = &mut *inner;
        journaled.catch_up(queue, AGAIN_AT_PUSH);
        let number = journaled.give();
        let entry = Entry::new(number, event);
        // Before it is written: so the journal holds no more than there may be, wherever a crash cuts it.
        let bytes = entry.memory(inner.wanted.len());
        inner.make_room(&self.limits, bytes);
        let Inner { queue, journaled, wanted, .. } = &mut *inner;
        queue.insert(entry, wanted);
        let written = journaled.write(queue, number);
        self.newest.send_replace(number);
        written.map(|()| Some(number)).map_err(|source| NotWritten { number, source })
    }

    /// Resolves when everything is durable that was pushed before the call and still waits; `None` if it is.
    ///
    /// # Errors
    /// Why the journal did not take an entry that still waits.
    pub fn settled(&self) -> Result<Option<Ticket>, SubmitError> {
        self.inner.lock().journaled.settled()
    }

    /// The oldest entry behind `after` that this receiver has not acknowledged. With 0 it is the oldest of all; with the number of
    /// one that is under way it is the next.
    pub fn next(&self, receiver: &str, after: u64) -> Option<Arc<Entry>> {
        self.inner.lock().queue.next(receiver, after).cloned()
    }

    /// This receiver has got all its entries up to `number`.
    pub fn acknowledge(&self, receiver: &str, number: u64) {
        let mut inner = self.inner.lock();
        let Inner { queue, journaled, ended, .. } = &mut *inner;
        queue.acknowledge(receiver, number, ended);
        journaled.delete(ended);
        let is_far_behind = |saved| matches!(saved, Saved::Behind(ACKNOWLEDGEMENTS..));
        if queue.receivers.get(receiver).is_some_and(|receiver| is_far_behind(receiver.saved)) {
            // The next tick does it if it fails.
            let _ = journaled.save(queue, is_far_behind);
        }
    }

    /// Wait for what comes: the number of the newest entry, each time it changes.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Remove what is too old, write what the journal did not take, save how far receivers are, and publish figures. To be called
    /// about once a second.
    pub fn tick(&self, now: Timestamp) {
        let mut inner = self.inner.lock();
        inner.expire(self.limits.age, now);
        let Inner { queue, journaled, .. } = &mut *inner;
        journaled.catch_up(queue, AGAIN_AT_TICK);
        if let Err(error) = journaled.save(queue, |_| true) {
            tracing::debug!(%error, "how far receivers of informs are is not saved");
        }
        self.meter.set(queue.len(), queue.bytes(), journaled.unwritten());
        queue.receivers.values().for_each(queue::Receiver::publish);
    }

    /// What receivers did not get and nobody was told of; it is told with this. While a receiver is away each word about it counts
    /// at least as many as all before, so that telling by an event, which waits in this spool too, comes to an end.
    pub fn take_losses(&self, now: Timestamp) -> Vec<Loss> {
        let mut inner = self.inner.lock();
        let mut losses = Vec::new();
        for (name, receiver) in &mut inner.queue.receivers {
            if let Some(events) = receiver.losses.take(now) {
                receiver.changed(0);
                losses.push(Loss { receiver: name.clone(), events });
            }
        }
        losses
    }

    /// Figures, for people.
    pub fn stats(&self) -> SpoolStats {
        let inner = self.inner.lock();
        let queue = &inner.queue;
        let at = |number: &u64| queue.get(*number).map(|entry| entry.at);
        let receivers = queue.receivers.iter().map(|(name, receiver)| ReceiverStats {
            name: name.clone(),
            waiting: receiver.waiting.len(),
            oldest: receiver.waiting.front().and_then(at),
            lost: receiver.losses.figures().0,
            acknowledged: receiver.acknowledged,
        });
        SpoolStats {
            entries: queue.len(),
            bytes: queue.bytes(),
            unwritten: inner.journaled.unwritten(),
            receivers: receivers.collect(),
        }
    }
}
