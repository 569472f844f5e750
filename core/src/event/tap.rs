//! Whoever hears of every event there and then, while the history keeps only the newest.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::Event;

/// Hears of every event that is recorded, in the order of their numbers. Those that are only counted as repetitions of
/// another it does not hear of.
///
/// It is called under the log's lock, by whoever records: it must be quick, wait for nothing, and neither record an event
/// nor read the log.
pub trait Tap: Send + Sync + 'static {
    /// This event has been recorded.
    fn recorded(&self, event: &Event);
}

/// Where a [`Tap`] is put, once.
#[derive(Default)]
pub(super) struct TapPlace(OnceLock<Arc<dyn Tap>>);

impl TapPlace {
    /// Only the first one stays.
    pub(super) fn set(&self, tap: Arc<dyn Tap>) {
        let _ = self.0.set(tap);
    }

    pub(super) fn tell(&self, event: &Event) {
        if let Some(tap) = self.0.get() {
            tap.recorded(event);
        }
    }
}

impl fmt::Debug for TapPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TapPlace").field(&self.0.get().is_some()).finish()
    }
}
