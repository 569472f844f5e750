//! Events that repeat themselves: a few of them tell as much as thousands.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::{EventDraft, EventKind};
use crate::device::{DeviceId, TaskId};
use crate::time::Timestamp;

/// What makes two events alike.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Alike {
    kind: EventKind,
    device: Option<DeviceId>,
    task: Option<TaskId>,
}

/// The latest one of its like.
#[derive(Clone, Debug)]
struct Told {
    /// When the first one of this window came.
    since: Timestamp,
    /// The one that was kept last.
    id: u64,
    /// A fingerprint of its text.
    text: u64,
    /// Kept in this window.
    count: usize,
}

/// Which events were kept lately.
///
/// Two maps, of which the older one is thrown away when the newer one is full: memory is bounded, and a flood of others
/// makes it forget early, but never makes it refuse what is new.
#[derive(Debug)]
pub(super) struct Repeats {
    window: Duration,
    most: usize,
    size: usize,
    hasher: RandomState,
    newer: HashMap<Alike, Told, RandomState>,
    older: HashMap<Alike, Told, RandomState>,
}

impl Repeats {
    /// Lets `most` alike through in `window`, of which no two that follow each other are the same. Remembers `size` to
    /// twice as many.
    pub(super) fn new(window: Duration, most: usize, size: usize) -> Self {
        let hasher = RandomState::default();
        Self { window, most, size, hasher, newer: HashMap::default(), older: HashMap::default() }
    }

    /// The event that `draft`, which is about to become event `id`, only repeats; `None` if it is to be kept. Events
    /// before `oldest` are not kept any more: what would repeat one of them is new. So is what comes before the window
    /// began, as wall clocks may step back.
    pub(super) fn repeated(
        &mut self,
        draft: &EventDraft,
        now: Timestamp,
        id: u64,
        oldest: u64,
    ) -> Option<u64> {
        let alike = Alike { kind: draft.kind, device: draft.device.clone(), task: draft.task };
        let text = self.hasher.hash_one(&draft.text);
        let (window, most) = (self.window, self.most);
        let known = self.newer.get_mut(&alike).or_else(|| self.older.get_mut(&alike));
        let lasts = |told: &Told| told.id >= oldest && now >= told.since && now.since(told.since) < window;
        if let Some(told) = known.filter(|told| lasts(told)) {
            if told.text == text || told.count >= most {
                return Some(told.id);
            }
            *told = Told { since: told.since, id, text, count: told.count + 1 };
            return None;
        }
        if self.newer.len() >= self.size {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(alike, Told { since: now, id, text, count: 1 });
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(device: u32, text: &str) -> EventDraft {
        let device = format!("phone-{device}").parse().unwrap();
        EventDraft::about(&device, EventKind::CertificateMismatch, text)
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn the_same_is_told_once_in_a_window() {
        let mut repeats = Repeats::new(Duration::from_mins(1), 3, 10);
        assert_eq!(repeats.repeated(&event(1, "x"), at(0), 1, 1), None);
        assert_eq!(repeats.repeated(&event(1, "x"), at(59), 2, 1), Some(1));
        assert_eq!(repeats.repeated(&event(2, "x"), at(59), 2, 1), None);
        assert_eq!(repeats.repeated(&event(1, "x"), at(60), 3, 1), None);
        let task = event(1, "x").of_task(TaskId(7));
        assert_eq!(repeats.repeated(&task, at(60), 4, 1), None);
    }

    #[test]
    fn what_differs_is_told_a_few_times() {
        let mut repeats = Repeats::new(Duration::from_mins(1), 3, 10);
        let told: Vec<_> =
            (1..=5).map(|n| repeats.repeated(&event(1, &n.to_string()), at(0), n, 1)).collect();
        assert_eq!(told, [None, None, None, Some(3), Some(3)]);
    }

    #[test]
    fn what_would_repeat_an_event_that_is_gone_is_told() {
        let mut repeats = Repeats::new(Duration::from_mins(1), 1, 10);
        assert_eq!(repeats.repeated(&event(1, "x"), at(0), 1, 1), None);
        assert_eq!(repeats.repeated(&event(1, "x"), at(1), 5, 1), Some(1));
        assert_eq!(repeats.repeated(&event(1, "x"), at(2), 5, 2), None);
        assert_eq!(repeats.repeated(&event(1, "y"), at(3), 6, 2), Some(5));
    }

    #[test]
    fn a_clock_that_steps_back_begins_a_new_window() {
        let mut repeats = Repeats::new(Duration::from_mins(1), 1, 10);
        assert_eq!(repeats.repeated(&event(1, "x"), at(3_600), 1, 1), None);
        assert_eq!(repeats.repeated(&event(1, "x"), at(10), 2, 1), None);
        assert_eq!(repeats.repeated(&event(1, "x"), at(69), 3, 1), Some(2));
        assert_eq!(repeats.repeated(&event(1, "x"), at(70), 3, 1), None);
    }

    #[test]
    fn memory_is_bounded_and_new_ones_are_never_left_out() {
        let mut repeats = Repeats::new(Duration::from_mins(1), 3, 10);
        for n in 0..1_000 {
            assert_eq!(repeats.repeated(&event(n, "x"), at(0), n.into(), 1), None);
            assert!(repeats.newer.len() <= 10 && repeats.older.len() <= 10);
        }
        assert_eq!(repeats.repeated(&event(990, "x"), at(0), 1_000, 1), Some(990));
    }
}
