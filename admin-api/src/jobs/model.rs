//! Jobs and their tasks on the wire.

use callboard_core::device::{self, Device, TaskKind, TaskOutcome};
use callboard_core::job::{self, Counts, Verdict};
use callboard_core::service::Service;
use callboard_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::TaskType;
use super::work::Work;
use crate::time::text;

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum JobState {
    /// Accepted, and no device has begun.
    Created,
    /// Waits for its time.
    NotActive,
    /// At least one device has begun.
    Running,
    /// Done at all devices.
    Successful,
    /// Failed at one device at least.
    Failed,
    /// Not done in time at one device at least, and failed at none.
    Timeout,
    /// Cancelled before it was done at all devices.
    Cancelled,
}

impl JobState {
    const fn of(state: job::JobState) -> Self {
        match state {
            job::JobState::Created => Self::Created,
            job::JobState::NotActive => Self::NotActive,
            job::JobState::Running => Self::Running,
            job::JobState::Successful => Self::Successful,
            job::JobState::Failed => Self::Failed,
            job::JobState::Timeout => Self::Timeout,
            job::JobState::Cancelled => Self::Cancelled,
        }
    }
}

/// How far a job's task is at a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TaskState {
    /// Waits for the phone.
    Created,
    /// Waits for its time.
    NotActive,
    /// Handed to the phone; its outcome is open.
    Running,
    /// Done.
    Successful,
    /// Refused, or not possible.
    Failed,
    /// Not done in time.
    Timeout,
    /// Taken back before it was done.
    Cancelled,
}

impl TaskState {
    /// The state of a task that stands alone.
    const fn of_own(task: &device::Task) -> Self {
        match &task.state {
            device::TaskState::Pending => Self::Created,
            device::TaskState::Running { .. } => Self::Running,
            device::TaskState::Ended { outcome, .. } => match outcome {
                TaskOutcome::Successful => Self::Successful,
                TaskOutcome::Failed => Self::Failed,
                TaskOutcome::Timeout => Self::Timeout,
                TaskOutcome::Cancelled => Self::Cancelled,
            },
        }
    }

    /// The state of any task.
    pub(crate) fn in_book(task: &device::Task, jobs: &job::JobBook, now: Timestamp) -> Self {
        let job = task.job().and_then(|id| jobs.get(id));
        job.map_or_else(|| Self::of_own(task), |job| Self::of(task, job, now))
    }

    /// The state of a job's task.
    pub(super) fn of(task: &device::Task, job: &job::Job, now: Timestamp) -> Self {
        match (Self::of_own(task), job.verdict(now)) {
            (Self::Created, Verdict::NotActive) => Self::NotActive,
            (state, _) => state,
        }
    }
}

/// The job's tasks by how far they are.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Progress {
    /// Devices that it is meant for.
    devices: u32,
    /// Wait for their phones, or for their time.
    waiting: u32,
    /// Handed to their phones.
    running: u32,
    /// Done.
    successful: u32,
    /// Refused, or not possible.
    failed: u32,
    /// Not done in time.
    timeout: u32,
    /// Taken back.
    cancelled: u32,
    /// Devices that were deleted before it was done there.
    gone: u32,
}

impl Progress {
    pub(super) fn of(job: &job::Job, counts: &Counts) -> Self {
        Self {
            devices: job.targets,
            waiting: counts.pending,
            running: counts.running,
            successful: counts.successful,
            failed: counts.failed,
            timeout: counts.timeout,
            cancelled: counts.cancelled,
            gone: job.targets.saturating_sub(counts.open() + counts.ended()),
        }
    }
}

/// When a job begins.
#[derive(Debug, Serialize, ToSchema)]
struct Schedule {
    /// The moment.
    #[schema(format = DateTime)]
    at: String,
    /// The time zone in which it was said.
    time_zone: String,
}

/// One wish for many devices.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Job {
    /// Its id.
    pub(super) id: String,
    /// Its revision.
    revision: u64,
    /// What it does.
    r#type: TaskType,
    /// How far it is.
    pub(super) state: JobState,
    /// What it is called; may be empty.
    name: String,
    /// Who asked for it.
    initiator: String,
    /// When it was accepted.
    #[schema(format = DateTime)]
    created: String,
    /// When it begins, if that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<Schedule>,
    /// Seconds that its tasks may wait for their phones from its beginning; 0 is for ever.
    wait_seconds: u32,
    /// When its tasks no longer wait for their phones; null is never.
    #[schema(format = DateTime)]
    closes: Option<String>,
    /// Seconds that a phone may take for a task once it was handed to it.
    running_seconds: u32,
    /// When it was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    cancelled: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    ended: Option<String>,
    /// Seconds from its beginning to its end, or until now.
    execution_seconds: u64,
    /// Its tasks by how far they are.
    progress: Progress,
    /// With `software-deployment`: the version that phones shall have.
    #[serde(skip_serializing_if = "Option::is_none")]
    software_version: Option<String>,
    /// What it does in detail; not in lists and not in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    work: Option<Work>,
}

impl Job {
    pub(super) fn of(job: &job::Job, service: &Service) -> Self {
        let now = service.now();
        let counts = service.job_counts(job);
        let until = job.ended.as_ref().map_or(now, |end| end.at);
        let software_version = match &job.kind {
            TaskKind::SoftwareDeployment(software) => Some(software.version.to_string()),
            _ => None,
        };
        Self {
            id: job.id.to_string(),
            revision: job.revision,
            r#type: TaskType::of(job.kind.task_type()),
            state: JobState::of(job.state(&counts, now)),
            name: job.name.to_string(),
            initiator: job.initiator.to_string(),
            created: text(job.created),
            schedule: job.schedule.as_ref().map(|schedule| Schedule {
                at: text(schedule.at),
                time_zone: schedule.time_zone.to_string(),
            }),
            wait_seconds: job.wait_seconds,
            closes: job.closes().map(text),
            running_seconds: job.running_seconds,
            cancelled: job.cancelled.map(text),
            ended: job.ended.as_ref().map(|end| text(end.at)),
            execution_seconds: until.since(job.begins()).as_secs(),
            progress: Progress::of(job, &counts),
            software_version,
            work: None,
        }
    }

    /// With what it does in detail.
    pub(super) fn whole(job: &job::Job, service: &Service) -> Self {
        Self { work: Some(Work::of(&job.kind)), ..Self::of(job, service) }
    }

    pub(super) fn is(&self, state: Option<JobState>, task_type: Option<TaskType>) -> bool {
        state.is_none_or(|state| self.state == state) && task_type.is_none_or(|wanted| self.r#type == wanted)
    }
}

/// A job's task at a device.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JobTask {
    /// The device's id.
    device: String,
    /// The number of its user.
    e164: String,
    /// Its type.
    device_type: String,
    /// The task's number at the device.
    id: u64,
    /// How far it is.
    state: TaskState,
    /// When it was handed to the phone, if that was before the phone's last contact for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    started: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    ended: Option<String>,
    /// How it ended, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl JobTask {
    pub(super) fn of(device: &Device, task: &device::Task, job: &job::Job, now: Timestamp) -> Self {
        let times = Times::of(task);
        Self {
            device: device.id.to_string(),
            e164: device.identity.e164.to_string(),
            device_type: device.identity.device_type.to_string(),
            id: task.id.0,
            state: TaskState::of(task, job, now),
            started: times.started,
            ended: times.ended,
            reason: times.reason,
        }
    }
}

/// When a task was what, as texts.
pub(crate) struct Times {
    /// Handed to the phone.
    pub(crate) started: Option<String>,
    /// Over.
    pub(crate) ended: Option<String>,
    /// How it ended.
    pub(crate) reason: Option<String>,
}

impl Times {
    /// Those of a task.
    pub(crate) fn of(task: &device::Task) -> Self {
        match &task.state {
            device::TaskState::Pending => Self { started: None, ended: None, reason: None },
            device::TaskState::Running { since, .. } => {
                Self { started: Some(text(*since)), ended: None, reason: None }
            }
            device::TaskState::Ended { since, at, reason, .. } => Self {
                started: since.map(text),
                ended: Some(text(*at)),
                reason: Some(reason.to_string()).filter(|reason| !reason.is_empty()),
            },
        }
    }
}
