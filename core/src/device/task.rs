//! Work that waits for a device's next contact.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::item::ItemKey;
use crate::secret::Sealed;
use crate::time::Timestamp;

/// Number of a task, unique within its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(pub u64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskKind {
    /// Read all items again.
    ReadAll,
    /// Read these items.
    ReadItems(Vec<ItemKey>),
    /// Write these items.
    WriteItems(Vec<TaskWrite>),
    /// Boot the phone.
    Restart {
        /// Back to factory settings.
        factory_reset: bool,
    },
}

impl TaskKind {
    /// The word used in the API, in events and in metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::ReadAll => "read-all",
            Self::ReadItems(_) => "read-items",
            Self::WriteItems(_) => "write-items",
            Self::Restart { factory_reset: false } => "restart",
            Self::Restart { factory_reset: true } => "factory-reset",
        }
    }
}

/// A value that a task writes, sealed because tasks lie in records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskWrite {
    /// Where it goes.
    pub key: ItemKey,
    /// What is written.
    pub value: Sealed,
}

/// How far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TaskState {
    /// Waits for the phone.
    Pending,
    /// Sent, and the phone does not answer such a task but boots: done at its next `start-up`.
    Sent(Timestamp),
}

/// One piece of work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its number.
    pub id: TaskId,
    /// What is to be done.
    pub kind: TaskKind,
    /// How far it is.
    pub state: TaskState,
    /// When it was asked for.
    pub created: Timestamp,
}
