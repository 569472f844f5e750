//! What happened: a bounded history, a live feed of it, and a tap for who must not miss anything.

mod audit;
mod harmless;
mod kind;
mod log;
mod repeats;
mod tap;

use crate::device::{DeviceId, TaskId};
use crate::time::Timestamp;

pub use audit::{Audit, AuditBarrier, AuditError, Settling, login_failed};
pub use harmless::deceives;
pub use kind::{EventClass, EventKind, Severity};
pub use log::{EventLimits, EventLog, describe_metrics};
pub use tap::Tap;

/// Something that happened, before it has a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventDraft {
    /// What kind.
    pub kind: EventKind,
    /// The device it is about.
    pub device: Option<DeviceId>,
    /// The task of that device it is about.
    pub task: Option<TaskId>,
    /// What exactly, for people. Never holds a secret; may hold anything that a phone sent.
    pub text: String,
}

impl EventDraft {
    /// An event about a device.
    pub fn about(device: &DeviceId, kind: EventKind, text: impl Into<String>) -> Self {
        Self { kind, device: Some(device.clone()), task: None, text: text.into() }
    }

    /// An event about the node.
    pub fn node(kind: EventKind, text: impl Into<String>) -> Self {
        Self { kind, device: None, task: None, text: text.into() }
    }

    /// The same, about a task of the device.
    #[must_use]
    pub fn of_task(self, task: TaskId) -> Self {
        Self { task: Some(task), ..self }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Counts up by one with each event, from the microseconds since 1970 at which the process started: numbers of a
    /// later process are higher.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// What kind.
    pub kind: EventKind,
    /// The device it is about.
    pub device: Option<DeviceId>,
    /// The task of that device it is about.
    pub task: Option<TaskId>,
    /// What exactly, without characters that could deceive a reader.
    pub text: String,
    /// How many alike came after it and were left out for it.
    pub repeated: u32,
}
