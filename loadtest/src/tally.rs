//! Counting what came of the dialogues.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::fault::Fault;

/// Longest time that is told apart, in microseconds.
const MAX_US: u64 = 600_000_000;
/// Faults of one kind that are shown in full.
const SAMPLES: usize = 3;

/// Outcomes and times of dialogues.
pub(crate) struct Tally {
    times: Histogram<u64>,
    /// Dialogues that went as planned.
    pub(crate) done: u64,
    /// Times the service said "later".
    pub(crate) overloads: u64,
    /// Dialogues cut off because the server was killed on purpose.
    pub(crate) interrupted: u64,
    /// Faults by kind.
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// The first faults of each kind in words.
    pub(crate) samples: Vec<String>,
}

impl Tally {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            times: Histogram::new_with_bounds(1, MAX_US, 3)?,
            done: 0,
            overloads: 0,
            interrupted: 0,
            faults: BTreeMap::new(),
            samples: Vec::new(),
        })
    }

    /// A dialogue went as planned and took so long.
    pub(crate) fn record(&mut self, time: Duration) {
        self.done += 1;
        self.times.saturating_record(u64::try_from(time.as_micros()).unwrap_or(MAX_US));
    }

    /// A dialogue of a phone failed.
    pub(crate) fn fault(&mut self, number: u32, fault: &Fault) {
        self.fault_of(number, fault.label(), fault);
    }

    /// The same for what is no dialogue: what went wrong counts under this label.
    pub(crate) fn fault_of(&mut self, number: u32, label: &'static str, fault: &dyn Display) {
        let count = self.faults.entry(label).or_default();
        *count += 1;
        if usize::try_from(*count).is_ok_and(|count| count <= SAMPLES) {
            self.samples.push(format!("phone {number}: {fault}"));
        }
    }

    /// All faults.
    pub(crate) fn errors(&self) -> u64 {
        self.faults.values().sum()
    }

    /// A quantile of the times, in microseconds; `None` if there was no dialogue.
    pub(crate) fn quantile_us(&self, quantile: f64) -> Option<u64> {
        (!self.times.is_empty()).then(|| self.times.value_at_quantile(quantile))
    }

    /// Take over what another one counted.
    pub(crate) fn merge(&mut self, other: Self) {
        // Both histograms have the same bounds, so this cannot fail.
        let _ = self.times.add(other.times);
        self.done += other.done;
        self.overloads += other.overloads;
        self.interrupted += other.interrupted;
        for (kind, count) in other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        let room = 20usize.saturating_sub(self.samples.len());
        self.samples.extend(other.samples.into_iter().take(room));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_adds_up() {
        let mut all = Tally::new().unwrap();
        assert_eq!(all.quantile_us(0.5), None);
        for ms in 1..=10 {
            let mut one = Tally::new().unwrap();
            one.record(Duration::from_millis(ms));
            one.fault(1, &Fault::Chunked);
            all.merge(one);
        }
        assert_eq!((all.done, all.errors(), all.faults["chunked"]), (10, 10, 10));
        let median = all.quantile_us(0.5).unwrap();
        assert!((4_900..=5_100).contains(&median), "{median}");
    }
}
