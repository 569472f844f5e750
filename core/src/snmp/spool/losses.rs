//! What a receiver did not get because it was away for too long, and when somebody is told.

use std::time::Duration;

use crate::time::Timestamp;

/// Shortest time between two words about the losses of one receiver.
const SPACING: Duration = Duration::from_mins(1);

/// Losses of one receiver.
///
/// Telling them is an event, which may push out another entry, which is a loss. So while the receiver is away each word tells at
/// least as many losses as all words before it: where nothing else happens the words end after a few, and in a storm they are few.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Losses {
    /// All of them,
    total: u64,
    /// and so many of them were told.
    told: u64,
    /// Those that were told since the receiver was last there.
    told_lately: u64,
    told_at: Option<Timestamp>,
}

impl Losses {
    /// As they were saved.
    pub(super) fn restored(total: u64, told: u64) -> Self {
        Self { total, told: told.min(total), told_lately: 0, told_at: None }
    }

    /// All, and those that were told.
    pub(super) const fn figures(&self) -> (u64, u64) {
        (self.total, self.told)
    }

    /// It did not get one more.
    pub(super) fn add(&mut self) {
        self.total = self.total.saturating_add(1);
    }

    /// The receiver is there.
    pub(super) fn there(&mut self) {
        self.told_lately = 0;
    }

    /// How many are to be told now, if any; they are told then.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<u64> {
        let untold = self.total - self.told;
        // A wall clock may step back; that shall not keep anything from being told until it catches up.
        let is_time = self.told_at.is_none_or(|at| now < at || now.since(at) >= SPACING);
        if untold == 0 || !is_time || untold < self.told_lately {
            return None;
        }
        self.told = self.total;
        self.told_lately += untold;
        self.told_at = Some(now);
        Some(untold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(minute: u64) -> Timestamp {
        Timestamp::from_millis(1_767_323_045_000).plus(SPACING * u32::try_from(minute).unwrap())
    }

    #[test]
    fn words_that_push_out_entries_themselves_end() {
        let mut losses = Losses::default();
        losses.add();
        let mut words = Vec::new();
        for at in 0..1_000 {
            if let Some(lost) = losses.take(minute(at)) {
                words.push(lost);
                // Three receivers are away, and each word is an entry that all of them miss.
                (0..3).for_each(|_| losses.add());
            }
        }
        assert_eq!(words, [1, 3]);
        losses.there();
        assert_eq!((losses.take(minute(1_001)), losses.figures()), (Some(3), (7, 7)), "now the rest is told");
    }

    #[test]
    fn a_storm_is_told_in_few_words() {
        let mut losses = Losses::default();
        let mut words = 0;
        for second in 0..3_600 {
            (0..1_000).for_each(|_| losses.add());
            words += u32::from(losses.take(minute(0).plus(Duration::from_secs(second))).is_some());
        }
        assert!((5..=8).contains(&words), "{words}");
        assert_eq!(losses.take(minute(0)), None, "less than was told before");
        losses.there();
        assert!(losses.take(minute(0)).is_some(), "the clock stepped back");
    }
}
