//! Polls by their answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use metrics::{Counter, counter, describe_counter, describe_gauge};

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing waits.
    Idle,
    /// Work waits.
    Waiting,
    /// Nothing waits, and the device asked a moment ago.
    Early,
    /// Its source asks too often, or nothing waits and the connection is beyond a limit.
    Later,
    /// It was no poll.
    Bad,
}

/// Polls that were answered, for those who tell others of them.
#[derive(Debug, Default)]
pub struct PollCounts {
    all: AtomicU64,
    waiting: AtomicU64,
}

impl PollCounts {
    /// All but what was no poll.
    pub fn all(&self) -> u64 {
        self.all.load(Relaxed)
    }

    /// Those that were told that work waits.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Relaxed)
    }
}

/// The counters, made once.
pub(super) struct Polls {
    answers: [Counter; 5],
    counts: Option<Arc<PollCounts>>,
}

impl Polls {
    pub(super) fn new(counts: Option<Arc<PollCounts>>) -> Self {
        let answers = ["idle", "waiting", "early", "later", "bad"];
        let answers = answers.map(|answer| counter!("callboard_dcmp_polls_total", "answer" => answer));
        Self { answers, counts }
    }

    pub(super) fn count(&self, outcome: Outcome) {
        if let Some(counter) = self.answers.get(outcome as usize) {
            counter.increment(1);
        }
        if let Some(counts) = self.counts.as_ref().filter(|_| outcome != Outcome::Bad) {
            counts.all.fetch_add(1, Relaxed);
            counts.waiting.fetch_add(u64::from(outcome == Outcome::Waiting), Relaxed);
        }
    }
}

/// Describes the figures of this door to the installed recorder; once, at start.
pub fn describe_metrics() {
    describe_counter!(
        "callboard_dcmp_polls_total",
        "Polls of phones by answer: idle and early are 200, waiting is 202, later is 503, bad is what was no poll."
    );
    describe_gauge!(
        "callboard_dcmp_pending_devices",
        "Devices that are told at their next poll that work waits."
    );
}
