//! Refusals that repeat themselves: one event a minute tells of them.

use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use crate::device::DeviceId;
use crate::event::{EventDraft, EventKind};
use crate::time::Timestamp;

/// An event of one kind about one device is told once in this time.
const QUIET: Duration = Duration::from_mins(1);
/// Devices and kinds remembered. With more of them at once, events are left out.
const KEPT: usize = 4_096;

/// Which refusals were told of lately.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<(DeviceId, EventKind), Told, RandomState>>);

#[derive(Debug)]
struct Told {
    at: Timestamp,
    /// Left out since then.
    more: u32,
}

impl Refusals {
    /// The event to record for this one, unless one like it was recorded within the last minute.
    pub(super) fn tell(&self, mut event: EventDraft, now: Timestamp) -> Option<EventDraft> {
        let Some(device) = event.device.clone() else { return Some(event) };
        let mut told = self.0.lock();
        let key = (device, event.kind);
        if let Some(last) = told.get_mut(&key) {
            if now.since(last.at) < QUIET {
                last.more = last.more.saturating_add(1);
                return None;
            }
            if last.more > 0 {
                event.text = format!("{}, and {} times before", event.text, last.more);
            }
        } else if told.len() >= KEPT {
            told.retain(|_, last| now.since(last.at) < QUIET);
            if told.len() >= KEPT {
                return None;
            }
        }
        told.insert(key, Told { at: now, more: 0 });
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(device: u32) -> EventDraft {
        let device = format!("phone-{device}").parse().unwrap();
        EventDraft::about(&device, EventKind::CertificateMismatch, "refused")
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn one_a_minute_for_each_device() {
        let refusals = Refusals::default();
        assert!(refusals.tell(event(1), at(0)).is_some());
        assert!(refusals.tell(event(1), at(1)).is_none());
        assert!(refusals.tell(event(1), at(59)).is_none());
        assert!(refusals.tell(event(2), at(59)).is_some());
        let next = refusals.tell(event(1), at(60)).unwrap();
        assert_eq!(next.text, "refused, and 2 times before");
        assert_eq!(refusals.tell(event(1), at(120)).unwrap().text, "refused");
    }

    #[test]
    fn memory_is_bounded_and_free_again_after_a_minute() {
        let refusals = Refusals::default();
        let told = (0..5_000).filter(|n| refusals.tell(event(*n), at(0)).is_some()).count();
        assert_eq!((told, refusals.0.lock().len()), (KEPT, KEPT));
        assert!(refusals.tell(event(5_000), at(60)).is_some());
        assert_eq!(refusals.0.lock().len(), 1);
    }
}
