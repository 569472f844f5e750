//! Bounds and rhythm of the store.

use std::time::Duration;

/// Bounds and rhythm of the store. The defaults are what the embedded store was measured with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// Most bytes (keys and values) made durable with one flush, 4 KiB to 640 KiB. The embedded store
    /// may hang when much more is written between two flushes, hence the upper bound.
    pub flush_bytes: usize,
    /// Longest time a write nobody waits for stays in the queue, while the disk keeps up.
    pub flush_interval: Duration,
    /// Shortest time from one flush to the next, while less than `flush_bytes` is queued. A flush costs
    /// about as much CPU as five records, so a few milliseconds of patience under load pay well; after
    /// a pause the first commit is flushed at once. 0 turns it off.
    pub flush_spacing: Duration,
    /// Most bytes queued or being flushed, keys and values; more is refused.
    pub queue_bytes: usize,
    /// Most records queued or being flushed; more is refused.
    pub queue_records: usize,
    /// Memory for pages of the database, in bytes. The database treats it as a wish, not a bound.
    pub cache_bytes: u64,
    /// Largest record, in bytes of value. Must leave room for keys within `flush_bytes`.
    pub max_record_bytes: usize,
    /// A flush that takes longer makes the store [`Health::Stalled`](super::Health::Stalled).
    pub stall_after: Duration,
    /// Free space, in bytes, below which nothing is written any more; 0 turns the check off. The
    /// embedded store does not survive a full disk undamaged, so keep this well above 64 MiB.
    pub min_free_bytes: u64,
    /// How often free space is looked at again while there is too little.
    pub space_retry: Duration,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            flush_bytes: 512 * 1024,
            flush_interval: Duration::from_millis(50),
            flush_spacing: Duration::from_millis(5),
            queue_bytes: 16 * 1024 * 1024,
            queue_records: 65_536,
            cache_bytes: 32 * 1024 * 1024,
            max_record_bytes: 256 * 1024,
            stall_after: Duration::from_secs(5),
            min_free_bytes: 256 * 1024 * 1024,
            space_retry: Duration::from_secs(1),
        }
    }
}

impl StoreConfig {
    /// Says what is wrong with these values, one sentence per fault; empty when they can be used.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |ok: bool, fault: String| {
            if !ok {
                faults.push(fault);
            }
        };
        check(
            (4 * 1024..=640 * 1024).contains(&self.flush_bytes),
            format!("flush_bytes is {}, allowed are 4096 to 655360", self.flush_bytes),
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
        check(
            self.queue_bytes >= self.flush_bytes,
            format!("queue_bytes is {}, less than flush_bytes ({})", self.queue_bytes, self.flush_bytes),
        );
        check(self.queue_records >= 1, "queue_records is 0, allowed is 1 or more".to_owned());
        check(
            self.max_record_bytes >= 1 && self.max_record_bytes <= self.flush_bytes / 2,
            format!(
                "max_record_bytes is {}, allowed are 1 to half of flush_bytes ({})",
                self.max_record_bytes,
                self.flush_bytes / 2
            ),
        );
        check(!self.stall_after.is_zero(), "stall_after is 0, allowed is more".to_owned());
        check(
            self.min_free_bytes == 0 || self.min_free_bytes >= 16 * 1024 * 1024,
            format!("min_free_bytes is {}, allowed are 0 and 16777216 or more", self.min_free_bytes),
        );
        check(!self.space_retry.is_zero(), "space_retry is 0, allowed is more".to_owned());
        faults
    }
}
