//! Jobs: one wish of an administrator for many devices.
//!
//! A job is one record; what it asks of a device is a task in the record of that device's tasks. A task names its job and the
//! job says what is to be done, so that 50,000 tasks are small. How far a job is is counted from the tasks.
//!
//! A job is accepted when its record and those of its targets are durable. Its tasks are then placed at the devices in the
//! background, from where the last process left off.

mod deployment;
mod record;
mod registry;
mod restriction;
mod schedule;
mod tally;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge};
use serde::{Deserialize, Serialize};

pub use deployment::{FileAction, FileSource, Priority, SoftwareDeployment};
pub(crate) use deployment::{FileServer, file_items};
pub use record::{BadJobRecord, VERSION, decode};
pub use registry::{JobBook, JobError, JobLoadReport, Registry};
pub use restriction::{BadRestrictions, Interval, MINUTES_OF_DAY, Restrictions};
pub use schedule::{BadSchedule, Schedule};
pub use tally::{Counts, Tally};

use crate::device::{Task, TaskKind, TaskOutcome, TaskType, Work};
use crate::file::FileId;
use crate::time::Timestamp;

/// Describes the metrics of jobs to the installed recorder; once, at start.
pub fn describe_metrics() {
    describe_gauge!("callboard_jobs", Unit::Count, "Jobs, those that have ended included");
    describe_gauge!("callboard_fleet_tasks", Unit::Count, "Tasks at devices that are not over, by state");
    describe_counter!("callboard_jobs_ended_total", Unit::Count, "Jobs that ended, by type and state");
    describe_counter!("callboard_tasks_ended_total", Unit::Count, "Tasks that ended, by type and outcome");
    // There from the start, so that the first ones count.
    for task_type in TaskType::ALL {
        let kind = task_type.as_str();
        for outcome in TaskOutcome::ALL {
            counter!("callboard_tasks_ended_total", "type" => kind, "outcome" => outcome.as_str())
                .increment(0);
        }
        for state in [JobState::Successful, JobState::Failed, JobState::Timeout, JobState::Cancelled] {
            counter!("callboard_jobs_ended_total", "type" => kind, "state" => state.as_str()).increment(0);
        }
    }
}

/// A job's id: twelve hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(u64);

/// A text that is no job id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a job id has twelve hexadecimal digits")]
pub struct BadJobId;

impl JobId {
    /// From a number, of which the low 48 bits are taken.
    pub const fn from_u64(number: u64) -> Self {
        Self(number & 0xffff_ffff_ffff)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for JobId {
    type Err = BadJobId;

    fn from_str(text: &str) -> Result<Self, BadJobId> {
        let digits =
            text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        digits.then(|| u64::from_str_radix(text, 16).ok()).flatten().map(Self).ok_or(BadJobId)
    }
}

/// The end of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEnd {
    /// When its last task ended.
    pub at: Timestamp,
    /// What came of its tasks.
    pub counts: Counts,
}

/// One wish for many devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Counts changes, from 1.
    pub revision: u64,
    /// What is to be done.
    pub kind: TaskKind,
    /// What its administrator calls it; may be empty.
    pub name: Box<str>,
    /// Who asked for it.
    pub initiator: Box<str>,
    /// When it was accepted.
    pub created: Timestamp,
    /// When it begins; at once if nothing is said.
    pub schedule: Option<Schedule>,
    /// How long its tasks may wait for their phones from its beginning, in seconds; 0 is for ever.
    pub wait_seconds: u32,
    /// How long a phone may take for a task once it was handed to it, in seconds.
    pub running_seconds: u32,
    /// Devices that it was meant for when it was accepted.
    pub targets: u32,
    /// How many of them were given their task, or were gone by then.
    pub placed: u32,
    /// When it was cancelled.
    pub cancelled: Option<Timestamp>,
    /// How it ended.
    pub ended: Option<JobEnd>,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
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
    /// Cancelled before it was done at all devices, or devices were deleted before.
    Cancelled,
}

impl JobState {
    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Created,
        Self::NotActive,
        Self::Running,
        Self::Successful,
        Self::Failed,
        Self::Timeout,
        Self::Cancelled,
    ];

    /// The word used in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::NotActive => "not-active",
            Self::Running => "running",
            Self::Successful => "successful",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a job says of one of its waiting tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be done now.
    Active,
    /// Its time has not come.
    NotActive,
    /// It is over without having been done.
    Over(TaskOutcome, &'static str),
}

impl Job {
    /// When it begins.
    pub fn begins(&self) -> Timestamp {
        self.schedule.as_ref().map_or(self.created, |schedule| schedule.at.max(self.created))
    }

    /// When its tasks no longer wait.
    pub fn closes(&self) -> Option<Timestamp> {
        let wait = Duration::from_secs(self.wait_seconds.into());
        (self.wait_seconds > 0).then(|| self.begins().plus(wait))
    }

    /// How long a phone may take for a task once it was handed to it.
    pub fn running_time(&self) -> Duration {
        Duration::from_secs(self.running_seconds.into())
    }

    /// What is to become of its waiting tasks.
    pub fn verdict(&self, now: Timestamp) -> Verdict {
        if self.cancelled.is_some() {
            Verdict::Over(TaskOutcome::Cancelled, "the job was cancelled")
        } else if self.closes().is_some_and(|closes| closes <= now) {
            Verdict::Over(TaskOutcome::Timeout, "the phone did not call in time")
        } else if self.begins() > now {
            Verdict::NotActive
        } else {
            Verdict::Active
        }
    }

    /// Its state, with what was counted of its tasks.
    pub fn state(&self, counts: &Counts, now: Timestamp) -> JobState {
        let Some(end) = &self.ended else {
            return match self.verdict(now) {
                Verdict::NotActive => JobState::NotActive,
                _ if counts.running + counts.ended() > 0 => JobState::Running,
                _ => JobState::Created,
            };
        };
        if end.counts.failed > 0 {
            JobState::Failed
        } else if end.counts.timeout > 0 {
            JobState::Timeout
        } else if end.counts.cancelled > 0
            || (self.cancelled.is_some() && end.counts.successful == 0)
            // Devices that were deleted before it was done there.
            || end.counts.successful < self.targets
        {
            JobState::Cancelled
        } else {
            JobState::Successful
        }
    }
}

/// What is to become of a waiting task: a job's as its job says, one of its own may be done.
pub fn verdict(task: &Task, jobs: &JobBook, now: Timestamp) -> Verdict {
    match task.job() {
        None => Verdict::Active,
        // It may be mended, by an older or a newer Callboard.
        Some(id) if jobs.is_unreadable(id) => Verdict::NotActive,
        Some(id) => jobs
            .get(id)
            .map_or(Verdict::Over(TaskOutcome::Cancelled, "the job was deleted"), |job| job.verdict(now)),
    }
}

/// Whether a waiting task may be done now.
pub fn is_due(task: &Task, jobs: &JobBook, now: Timestamp) -> bool {
    let kind = match &task.work {
        Work::Own(kind) => Some(kind),
        Work::Job(id) => jobs.get(*id).map(|job| &job.kind),
    };
    let is_held = kind.is_some_and(|kind| is_held(kind, now));
    !is_held && verdict(task, jobs, now) == Verdict::Active
}

/// Whether it is not done at this time of the week.
fn is_held(kind: &TaskKind, now: Timestamp) -> bool {
    matches!(kind, TaskKind::SoftwareDeployment(software) if software.restrictions.hold(now))
}

impl Job {
    /// Whether its phones fetch this file of the server, or will.
    pub fn needs_file(&self, file: FileId) -> bool {
        let is_it = |source: &FileSource| source.stored() == Some(file);
        self.ended.is_none()
            && match &self.kind {
                TaskKind::SoftwareDeployment(software) => is_it(&software.source),
                TaskKind::FileDeployment(files) => files
                    .iter()
                    .any(|action| matches!(action, FileAction::Deploy { source, .. } if is_it(source))),
                _ => false,
            }
    }

    /// Whether it is not done at this time of the week.
    pub fn is_held(&self, now: Timestamp) -> bool {
        is_held(&self.kind, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        Job {
            id: JobId::from_u64(1),
            revision: 1,
            kind: TaskKind::ReadAll,
            name: "".into(),
            initiator: "administrator".into(),
            created: Timestamp::from_millis(1_000),
            schedule: None,
            wait_seconds: 60,
            running_seconds: 900,
            targets: 3,
            placed: 3,
            cancelled: None,
            ended: None,
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_job_begins_and_closes_in_its_time() {
        let mut job = job();
        assert_eq!(job.verdict(at(1)), Verdict::Active);
        assert!(matches!(job.verdict(at(61)), Verdict::Over(TaskOutcome::Timeout, _)));
        job.schedule = Some(Schedule { at: at(100), time_zone: "Europe/Berlin".into() });
        assert_eq!((job.verdict(at(99)), job.verdict(at(100))), (Verdict::NotActive, Verdict::Active));
        assert!(matches!(job.verdict(at(160)), Verdict::Over(TaskOutcome::Timeout, _)));
        job.wait_seconds = 0;
        assert_eq!(job.verdict(at(1_000_000)), Verdict::Active);
        job.cancelled = Some(at(5));
        assert!(matches!(job.verdict(at(6)), Verdict::Over(TaskOutcome::Cancelled, _)));
    }

    #[test]
    fn the_state_follows_the_tasks() {
        let mut job = job();
        let mut counts = Counts { pending: 3, ..Counts::default() };
        assert_eq!(job.state(&counts, at(1)), JobState::Created);
        counts = Counts { pending: 2, running: 1, ..Counts::default() };
        assert_eq!(job.state(&counts, at(1)), JobState::Running);
        job.schedule = Some(Schedule { at: at(100), time_zone: "UTC".into() });
        assert_eq!(job.state(&Counts::default(), at(1)), JobState::NotActive);
        for (counts, state) in [
            (Counts { successful: 3, ..Counts::default() }, JobState::Successful),
            (Counts { successful: 2, failed: 1, timeout: 1, ..Counts::default() }, JobState::Failed),
            (Counts { successful: 2, timeout: 1, ..Counts::default() }, JobState::Timeout),
            (Counts { successful: 2, cancelled: 1, ..Counts::default() }, JobState::Cancelled),
        ] {
            job.ended = Some(JobEnd { at: at(200), counts });
            assert_eq!(job.state(&counts, at(201)), state);
        }
    }

    #[test]
    fn ids_are_twelve_digits() {
        assert_eq!(JobId::from_u64(0xab).to_string(), "0000000000ab");
        assert_eq!("0000000000ab".parse(), Ok(JobId::from_u64(0xab)));
        for bad in ["", "ab", "0000000000AB", "0000000000abc", "00000000000g"] {
            assert_eq!(bad.parse::<JobId>(), Err(BadJobId), "{bad}");
        }
    }
}
