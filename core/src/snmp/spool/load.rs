//! Taking over what the journal holds.

use std::ops::ControlFlow;

use super::entry::Entry;
use super::queue::Saved;
use super::record::{self, BadRecord, Record, SavedReceiver};
use super::{Inner, Spool};
use crate::store::LoadError;

/// What was found in the journal at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpoolReport {
    /// Entries that wait.
    pub entries: usize,
    /// Receivers that were known.
    pub receivers: usize,
    /// Entries that nobody waits for any more; they are deleted.
    pub ended: usize,
    /// Records that cannot be read. They stay, and what they told is not sent.
    pub unreadable: u64,
    /// Stretches of the journal that are damaged. What stood in them is lost.
    pub damaged: usize,
    /// The first of them and what is wrong with them, for the log.
    pub examples: Vec<String>,
}

/// Unreadable records named in a report.
const EXAMPLES: usize = 20;

/// What a scan has found, in no order.
#[derive(Default)]
struct Found {
    entries: Vec<(Entry, Vec<u64>)>,
    receivers: Vec<SavedReceiver>,
    taken: u64,
}

impl Spool {
    /// Take over what the journal holds; once, before anything else. Fails at a record of a newer Callboard.
    ///
    /// What is stored is taken over whatever the bounds are now; the next push keeps them.
    pub fn load(&self) -> Result<SpoolReport, LoadError> {
        let mut report = SpoolReport::default();
        let mut found = Found::default();
        let mut newer = None;
        let journal = self.journal();
        let scan = journal.scan(&mut |key, value| {
            match record::read(key, value) {
                Ok(Record::Entry(entry, receivers)) => found.entries.push((entry, receivers)),
                Ok(Record::Receiver(receiver)) => found.receivers.push(receiver),
                Ok(Record::Taken(number)) => found.taken = number,
                Err(BadRecord::Newer(version)) => {
                    newer = Some((Box::<str>::from(key), version));
                    return ControlFlow::Break(());
                }
                Err(error) => {
                    report.unreadable += 1;
                    if report.examples.len() < EXAMPLES {
                        report.examples.push(format!("{key}: {error}"));
                    }
                }
            }
            ControlFlow::Continue(())
        })?;
        if let Some((key, version)) = newer {
            return Err(LoadError::NewerNotification { key, found: version, supported: record::VERSION });
        }
        report.damaged = scan.damage.list.len();
        let mut inner = self.inner.lock();
        report.ended = inner.take_over(found);
        (report.entries, report.receivers) = (inner.queue.len(), inner.queue.receivers.len());
        Ok(report)
    }
}

impl Inner {
    /// Returns how many entries nobody waits for.
    fn take_over(&mut self, mut found: Found) -> usize {
        let Self { queue, journaled, ended, .. } = self;
        let numbers = found.entries.iter().map(|(entry, _)| entry.number);
        let of_receivers = found.receivers.iter().flat_map(|receiver| [receiver.id, receiver.passed]);
        let given = numbers.chain(of_receivers).max().unwrap_or(0);
        journaled.resume(given, found.taken);
        found.receivers.sort_unstable_by_key(|receiver| receiver.id);
        for receiver in found.receivers {
            // One of the same name that came before it was removed, but its record was not.
            if let Some(id) = queue.remove_receiver(&receiver.name, ended) {
                journaled.forget(id);
            }
            queue.put_receiver(receiver, Saved::Same);
        }
        found.entries.sort_unstable_by_key(|(entry, _)| entry.number);
        for (entry, receivers) in found.entries {
            let waits = |receiver: &&super::queue::Receiver| {
                receiver.passed < entry.number && receivers.contains(&receiver.id)
            };
            let mut waiting: Vec<u64> = queue.receivers.values().filter(waits).map(|one| one.id).collect();
            waiting.sort_unstable();
            if waiting.is_empty() {
                ended.push(entry.number);
            } else {
                queue.insert(entry, &waiting);
            }
        }
        let count = ended.len();
        journaled.delete(ended);
        count
    }
}
