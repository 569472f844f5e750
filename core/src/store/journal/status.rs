//! What the journal says about itself.

use std::time::Duration;

/// Figures about the journal since it was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JournalStats {
    /// Bytes queued or being flushed, as they are written.
    pub queued_bytes: usize,
    /// Records queued or being flushed.
    pub queued_records: usize,
    /// Bound of `queued_bytes`.
    pub queue_bytes_limit: usize,
    /// Groups made durable.
    pub batches: u64,
    /// Records made durable.
    pub committed_records: u64,
    /// Bytes made durable, as they are written.
    pub committed_bytes: u64,
    /// Appends refused, for whatever reason.
    pub refused: u64,
    /// Bytes of changes since the last compaction.
    pub log_bytes: u64,
    /// Bytes of what the last compaction left.
    pub snapshot_bytes: u64,
    /// Compactions that ended well.
    pub compactions: u64,
    /// Whether one is under way.
    pub compacting: bool,
    /// Damage met by the last scan, or by a compaction after it: records known to be lost or unreadable, or 1 if their
    /// number is not known.
    pub damaged_records: u64,
    /// Records of the last group.
    pub last_batch_records: usize,
    /// Bytes of the last group.
    pub last_batch_bytes: usize,
    /// Time the last group took from being taken to being durable.
    pub last_batch_time: Duration,
}

/// What a scan met.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JournalScan {
    /// Records visited.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// What could not be read.
    pub damage: Damage,
    /// Whether the visitor ended the scan before its time.
    pub stopped: bool,
}

/// What cannot be read of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Damage {
    /// Stretches that cannot be read, all of them counted.
    pub stretches: u64,
    /// Records in them, as far as their number is known.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first [`Damage::LISTED`] stretches, and at least one of each damaged file.
    pub list: Vec<Stretch>,
}

impl Damage {
    /// Number of stretches listed.
    pub const LISTED: usize = 1_000;

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.stretches == 0
    }

    /// Adds a stretch.
    pub(super) fn note(&mut self, stretch: Stretch) {
        self.stretches += 1;
        self.records += stretch.records.unwrap_or(0);
        self.bytes += stretch.bytes;
        // They come file by file, and what is kept aside is found by this list.
        let of_another_file = self.list.last().is_none_or(|last| last.file != stretch.file);
        if self.list.len() < Self::LISTED || of_another_file {
            self.list.push(stretch);
        }
    }

    /// Records known to be damaged, and at least 1 if there is damage.
    pub(super) fn count(&self) -> u64 {
        if self.is_none() { 0 } else { self.records.max(1) }
    }
}

/// A stretch of a file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Name of the file.
    pub file: String,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is; 0 for what is not there at all.
    pub bytes: u64,
    /// How many records it holds, if that is known.
    pub records: Option<u64>,
    /// What is wrong with it.
    pub reason: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_damaged_file_is_listed_and_the_list_is_bounded() {
        let mut damage = Damage::default();
        for at in 0..2 * Damage::LISTED as u64 {
            let file = if at < 1_500 { "log-1" } else { "log-2" }.to_owned();
            damage.note(Stretch { file, offset: at, bytes: 2, records: Some(3), reason: "spoilt" });
        }
        assert_eq!((damage.stretches, damage.bytes, damage.count()), (2_000, 4_000, 6_000));
        assert_eq!(damage.list.len(), Damage::LISTED + 1);
        assert_eq!(damage.list.last().map(|stretch| stretch.offset), Some(1_500));
        let mut unknown = Damage::default();
        unknown.note(Stretch {
            file: "log-1".to_owned(),
            offset: 0,
            bytes: 0,
            records: None,
            reason: "gone",
        });
        assert_eq!((unknown.count(), Damage::default().count()), (1, 0));
    }
}
