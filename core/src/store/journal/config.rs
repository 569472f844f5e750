//! Bounds and rhythm of the journal.

use std::time::Duration;

const MIB: usize = 1024 * 1024;

/// Bounds and rhythm of the journal. The defaults are what the embedded journal was measured with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalConfig {
    /// What it holds, in a word: label `journal` of its metrics.
    pub holds: &'static str,
    /// Most bytes queued or being flushed, 64 KiB to 256 MiB; more is refused.
    pub queue_bytes: usize,
    /// Largest record, in bytes of value; at most a quarter of `queue_bytes`.
    pub max_record_bytes: usize,
    /// Shortest time from the start of one flush to that of the next, while less than a quarter of `queue_bytes` is
    /// queued. After a pause the first commit is flushed at once. 0 turns it off.
    pub flush_spacing: Duration,
    /// Longest time a record nobody waits for stays in the queue, while the disk keeps up.
    pub flush_interval: Duration,
    /// Bytes of changes since the last compaction from which on the next may begin.
    pub compact_bytes: u64,
    /// Changes since the last compaction, in percent of what that left, from which on the next may begin. Both bounds
    /// must be reached.
    pub compact_percent: u32,
    /// Memory for the records that a scan or a compaction holds at a time, in bytes: 1 MiB or more. Those of more
    /// records read the files as often as it takes.
    pub scan_bytes: usize,
    /// A flush that takes longer makes the journal [`Health::Stalled`](super::Health::Stalled).
    pub stall_after: Duration,
    /// Free space, in bytes, below which nothing is written any more; 0 turns the check off. The journal survives a full
    /// disk, but a [`SledStore`](crate::store::SledStore) beside it does not: give both the same floor.
    pub min_free_bytes: u64,
    /// How often free space is looked at again while there is too little.
    pub space_retry: Duration,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            holds: "bindings",
            queue_bytes: 16 * MIB,
            max_record_bytes: 64 * 1024,
            flush_spacing: Duration::from_micros(1_500),
            flush_interval: Duration::from_millis(50),
            compact_bytes: 128 * MIB as u64,
            compact_percent: 100,
            scan_bytes: 64 * MIB,
            stall_after: Duration::from_secs(5),
            min_free_bytes: 256 * MIB as u64,
            space_retry: Duration::from_secs(1),
        }
    }
}

impl JournalConfig {
    /// Says what is wrong with these values, one sentence per fault; empty when they can be used.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |ok: bool, fault: String| {
            if !ok {
                faults.push(fault);
            }
        };
        check(
            (64 * 1024..=256 * MIB).contains(&self.queue_bytes),
            format!("queue_bytes is {}, allowed are 65536 to 268435456", self.queue_bytes),
        );
        check(
            (1..=self.queue_bytes / 4).contains(&self.max_record_bytes),
            format!(
                "max_record_bytes is {}, allowed are 1 to a quarter of queue_bytes ({})",
                self.max_record_bytes,
                self.queue_bytes / 4
            ),
        );
        check(
            self.flush_interval <= Duration::from_secs(1),
            format!("flush_interval is {:?}, allowed are 0 to 1 s", self.flush_interval),
        );
        check(
            self.flush_spacing <= self.flush_interval,
            format!(
                "flush_spacing is {:?}, more than flush_interval ({:?})",
                self.flush_spacing, self.flush_interval
            ),
        );
        check(self.compact_bytes >= 1, "compact_bytes is 0, allowed is 1 or more".to_owned());
        check(
            self.scan_bytes >= MIB,
            format!("scan_bytes is {}, allowed are 1048576 or more", self.scan_bytes),
        );
        check(!self.stall_after.is_zero(), "stall_after is 0, allowed is more".to_owned());
        check(!self.space_retry.is_zero(), "space_retry is 0, allowed is more".to_owned());
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_can_be_used_and_each_fault_is_told() {
        assert_eq!(JournalConfig::default().faults(), Vec::<String>::new());
        let wrong = JournalConfig {
            holds: "",
            queue_bytes: 0,
            max_record_bytes: 1,
            flush_spacing: Duration::from_secs(3),
            flush_interval: Duration::from_secs(2),
            compact_bytes: 0,
            compact_percent: 0,
            scan_bytes: 0,
            stall_after: Duration::ZERO,
            min_free_bytes: 0,
            space_retry: Duration::ZERO,
        };
        assert_eq!(wrong.faults().len(), 8);
    }
}
