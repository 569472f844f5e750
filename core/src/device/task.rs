//! Work at one device: what waits for its next contact, what it is doing, and what came of the rest.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::item::ItemKey;
use crate::job::{FileAction, JobId, SoftwareDeployment};
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
///
/// Variants are only ever added at the end: records hold their numbers.
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
    /// Boot the phone with factory settings, its certificates excepted.
    FactoryResetKeepCertificates,
    /// Write what the device's templates ask for and it has not.
    ApplyTemplates,
    /// Load other firmware.
    SoftwareDeployment(Box<SoftwareDeployment>),
    /// Fetch and delete files.
    FileDeployment(Vec<FileAction>),
    /// Enter secure mode.
    SecureModeOn {
        /// With the default PIN; else without PIN.
        default_pin: bool,
    },
    /// Leave secure mode.
    SecureModeOff,
    /// Be told by SIP to fetch the configuration.
    CheckSync {
        /// And to restart.
        restart: bool,
    },
}

impl TaskKind {
    /// Which of the types this is.
    pub const fn task_type(&self) -> TaskType {
        match self {
            Self::ReadAll => TaskType::ReadAll,
            Self::ReadItems(_) => TaskType::ReadItems,
            Self::WriteItems(_) => TaskType::WriteItems,
            Self::Restart { factory_reset: false } => TaskType::Restart,
            Self::Restart { factory_reset: true } => TaskType::FactoryReset,
            Self::FactoryResetKeepCertificates => TaskType::FactoryResetKeepCertificates,
            Self::ApplyTemplates => TaskType::ApplyTemplates,
            Self::SoftwareDeployment(_) => TaskType::SoftwareDeployment,
            Self::FileDeployment(_) => TaskType::FileDeployment,
            Self::SecureModeOn { .. } => TaskType::SecureModeOn,
            Self::SecureModeOff => TaskType::SecureModeOff,
            Self::CheckSync { restart: false } => TaskType::CheckSync,
            Self::CheckSync { restart: true } => TaskType::CheckSyncRestart,
        }
    }

    /// The word used in the API, in events and in metrics.
    pub const fn as_str(&self) -> &'static str {
        self.task_type().as_str()
    }
}

macro_rules! task_types {
    ($($(#[$doc:meta])* $variant:ident $word:literal,)*) => {
        /// The types of tasks and of jobs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum TaskType { $($(#[$doc])* $variant,)* }

        impl TaskType {
            /// All types.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word used in the API, in events and in metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

task_types! {
    /// Read all items again.
    ReadAll "read-all",
    /// Read some items.
    ReadItems "read-items",
    /// Write some items.
    WriteItems "write-items",
    /// Boot the phone.
    Restart "restart",
    /// Boot the phone with factory settings.
    FactoryReset "factory-reset",
    /// Boot the phone with factory settings, its certificates excepted.
    FactoryResetKeepCertificates "factory-reset-keep-certificates",
    /// Write what templates ask for.
    ApplyTemplates "apply-templates",
    /// Load other firmware.
    SoftwareDeployment "software-deployment",
    /// Fetch and delete files.
    FileDeployment "file-deployment",
    /// Enter secure mode.
    SecureModeOn "secure-mode-on",
    /// Leave secure mode.
    SecureModeOff "secure-mode-off",
    /// Be told by SIP to fetch the configuration.
    CheckSync "check-sync",
    /// Be told by SIP to fetch the configuration and to restart.
    CheckSyncRestart "check-sync-restart",
}

impl TaskType {
    /// Whether the phone boots for it and does not come back to its flow: no other work can follow.
    pub const fn boots(self) -> bool {
        matches!(
            self,
            Self::Restart
                | Self::FactoryReset
                | Self::FactoryResetKeepCertificates
                | Self::SoftwareDeployment
        )
    }

    /// Whether the phone is told by SIP, not in a flow.
    pub const fn is_check_sync(self) -> bool {
        matches!(self, Self::CheckSync | Self::CheckSyncRestart)
    }

    /// Whether the phone forgets its settings.
    pub const fn resets(self) -> bool {
        matches!(self, Self::FactoryReset | Self::FactoryResetKeepCertificates)
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

/// Where it is said what a task does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Here: the task stands alone.
    Own(TaskKind),
    /// In its job.
    Job(JobId),
}

/// What came of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskOutcome {
    /// Done.
    Successful,
    /// Refused, or not possible.
    Failed,
    /// Not done in its time.
    Timeout,
    /// Taken back before it was done.
    Cancelled,
}

impl TaskOutcome {
    /// All outcomes.
    pub const ALL: [Self; 4] = [Self::Successful, Self::Failed, Self::Timeout, Self::Cancelled];

    /// The word used in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Successful => "successful",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How far a task is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TaskState {
    /// Waits for the phone, or for its time.
    Pending,
    /// Handed to the phone, which does not answer in this flow: its outcome shows later.
    Running {
        /// Since when.
        since: Timestamp,
        /// Without an outcome by then it has failed by time.
        until: Timestamp,
    },
    /// Over.
    Ended {
        /// When it was handed to the phone, if that was before its last flow.
        since: Option<Timestamp>,
        /// When.
        at: Timestamp,
        /// How.
        outcome: TaskOutcome,
        /// In words for people; holds no secret.
        reason: Box<str>,
    },
}

impl TaskState {
    /// Whether it is over.
    pub const fn is_ended(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }
}

/// One piece of work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its number.
    pub id: TaskId,
    /// What it does, in a word.
    pub task_type: TaskType,
    /// What it does.
    pub work: Work,
    /// How far it is.
    pub state: TaskState,
    /// When it was asked for.
    pub created: Timestamp,
}

impl Task {
    /// A task of its own that waits.
    pub const fn own(id: TaskId, kind: TaskKind, created: Timestamp) -> Self {
        Self { id, task_type: kind.task_type(), work: Work::Own(kind), state: TaskState::Pending, created }
    }

    /// A job's task that waits.
    pub const fn of_job(id: TaskId, job: JobId, task_type: TaskType, created: Timestamp) -> Self {
        Self { id, task_type, work: Work::Job(job), state: TaskState::Pending, created }
    }

    /// The job that it belongs to.
    pub const fn job(&self) -> Option<JobId> {
        match self.work {
            Work::Own(_) => None,
            Work::Job(job) => Some(job),
        }
    }

    /// Whether it waits.
    pub fn is_pending(&self) -> bool {
        self.state == TaskState::Pending
    }

    /// Whether it was handed to the phone and its outcome is open.
    pub const fn is_running(&self) -> bool {
        matches!(self.state, TaskState::Running { .. })
    }

    /// Let it end, unless it is over already.
    pub fn end(&mut self, at: Timestamp, outcome: TaskOutcome, reason: impl Into<Box<str>>) {
        let since = match self.state {
            TaskState::Pending => None,
            TaskState::Running { since, .. } => Some(since),
            TaskState::Ended { .. } => return,
        };
        self.state = TaskState::Ended { since, at, outcome, reason: reason.into() };
    }
}

/// Tasks of one device that are over and kept. The oldest go first.
pub const MAX_ENDED_TASKS: usize = 32;

/// Forget the oldest of the tasks that are over, except those that are to be kept.
pub fn forget_oldest(tasks: &mut Vec<Task>, keep: impl Fn(&Task) -> bool) {
    let may_go = |task: &Task| task.state.is_ended() && !keep(task);
    let mut surplus = tasks.iter().filter(|task| may_go(task)).count().saturating_sub(MAX_ENDED_TASKS);
    // They are in the order in which they were asked for.
    tasks.retain(|task| {
        let forget = surplus > 0 && may_go(task);
        surplus -= usize::from(forget);
        !forget
    });
}

/// The number for a new task beside `tasks`: the time, which no earlier task of the device has, except within one
/// millisecond.
pub fn next_task_id(tasks: &[Task], now: Timestamp) -> TaskId {
    let after_last = tasks.iter().map(|task| task.id.0 + 1).max().unwrap_or(0);
    TaskId(now.as_millis().max(after_last))
}

/// How long a phone may take from being told to boot to its start-up, where nothing else is said
/// (WPI reference, section 8.6).
pub const BOOT_TIME: Duration = Duration::from_mins(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn task(number: u64) -> Task {
        Task::own(TaskId(number), TaskKind::ReadAll, Timestamp::from_millis(number))
    }

    #[test]
    fn what_is_over_stays_over() {
        let mut task = task(1);
        task.end(Timestamp::from_millis(5), TaskOutcome::Timeout, "too late");
        let ended = task.state.clone();
        task.end(Timestamp::from_millis(6), TaskOutcome::Successful, "");
        assert_eq!(task.state, ended);
    }

    #[test]
    fn only_the_newest_of_those_that_are_over_are_kept() {
        let mut tasks: Vec<_> = (0..50).map(task).collect();
        for task in tasks.iter_mut().filter(|task| task.id.0 != 3) {
            task.end(Timestamp::from_millis(99), TaskOutcome::Successful, "");
        }
        forget_oldest(&mut tasks, |task| task.id.0 == 1);
        assert_eq!(tasks.len(), MAX_ENDED_TASKS + 2);
        let first: Vec<_> = tasks[..3].iter().map(|task| task.id.0).collect();
        assert_eq!(first, [1, 3, 18]);
    }

    #[test]
    fn numbers_do_not_come_twice() {
        let tasks = [task(10)];
        assert_eq!(next_task_id(&tasks, Timestamp::from_millis(10)), TaskId(11));
        assert_eq!(next_task_id(&tasks, Timestamp::from_millis(20)), TaskId(20));
    }
}
