//! Polls by their answers.

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
    /// Nothing waits, and the connection is beyond a limit.
    Later,
    /// It was no poll.
    Bad,
}

/// The counters, made once.
pub(super) struct Polls([Counter; 5]);

impl Polls {
    pub(super) fn new() -> Self {
        let answers = ["idle", "waiting", "early", "later", "bad"];
        Self(answers.map(|answer| counter!("callboard_dcmp_polls_total", "answer" => answer)))
    }

    pub(super) fn count(&self, outcome: Outcome) {
        if let Some(counter) = self.0.get(outcome as usize) {
            counter.increment(1);
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
