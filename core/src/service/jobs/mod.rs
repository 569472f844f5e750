//! Jobs: accepting, placing their tasks, and seeing to it that each of them ends.

mod beginning;
mod ending;
mod placing;

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{AdminError, Service, TaskRequest, counted};
use crate::device::{Device, DeviceId, SecureMode, Task, TaskKind, TaskOutcome, TaskState};
use crate::event::{EventDraft, EventKind};
use crate::file::{FileId, Files};
use crate::fleet::{Filter, FleetError};
use crate::job::{Counts, Job, JobError, JobId, JobLoadReport, Schedule};
use crate::secret::Sealed;
use crate::store::{LoadError, SubmitError};
use crate::time::Timestamp;

/// Bounds and times of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobSettings {
    /// Jobs.
    pub jobs: usize,
    /// How long a phone may take for a task once it was handed to it, where the job does not say.
    pub running_time: Duration,
    /// The same for firmware.
    pub software_time: Duration,
    /// How long tasks wait for their phones, where the job does not say; zero is for ever.
    pub wait: Duration,
    /// Jobs that ended this long ago are forgotten; zero is never.
    pub keep_ended: Duration,
}

impl Default for JobSettings {
    fn default() -> Self {
        Self {
            jobs: 1_000,
            running_time: Duration::from_mins(15),
            software_time: Duration::from_mins(30),
            wait: Duration::from_hours(7 * 24),
            keep_ended: Duration::ZERO,
        }
    }
}

/// What an administrator wants of many devices.
#[derive(Clone, Debug)]
pub struct JobRequest {
    /// What is to be done.
    pub wish: TaskRequest,
    /// At which devices.
    pub targets: Vec<DeviceId>,
    /// What it is called; may be empty.
    pub name: Box<str>,
    /// Who asks.
    pub initiator: Box<str>,
    /// When it begins; at once if nothing is said.
    pub schedule: Option<Schedule>,
    /// How long its tasks wait for their phones, in seconds; 0 is for ever.
    pub wait_seconds: Option<u32>,
    /// How long a phone may take for a task once it was handed to it, in seconds.
    pub running_seconds: Option<u32>,
}

/// Devices whose tasks are placed or ended before their commit is waited for.
const CHUNK: usize = 256;
/// Late tasks that are ended in one round.
const LATE: usize = 1_000;

/// What the background work on jobs remembers. Everything can be found again from the records.
#[derive(Debug, Default)]
pub(super) struct Runner {
    /// Targets of jobs whose tasks are not all placed, from the first that is missing on.
    unplaced: Mutex<HashMap<JobId, VecDeque<DeviceId>>>,
    /// Jobs that wait for their time.
    asleep: Mutex<HashSet<JobId>>,
    /// Jobs that are not done at this time of the week.
    held: Mutex<HashSet<JobId>>,
    /// Jobs that are over, at whose devices nothing waits any more.
    closed: Mutex<HashSet<JobId>>,
    /// There is something to do.
    something: Notify,
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

/// Lets others run: a walk over a large fleet takes a while.
async fn breathe() {
    let mut breathed = false;
    poll_fn(|context| {
        if std::mem::replace(&mut breathed, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Service {
    /// Take over the jobs that the store holds. Before [`Fleet::load`](crate::fleet::Fleet::load): whom work waits for follows from them.
    pub fn load_jobs(&self) -> Result<JobLoadReport, LoadError> {
        let mut report = self.jobs.load()?;
        let now = self.now();
        let mut unplaced = self.runner.unplaced.lock();
        unplaced.extend(report.unplaced.drain(..).map(|(job, targets)| (job, targets.into())));
        let book = self.jobs.book();
        // Jobs about secure mode begin with a choice at each device, which the last process may not have made everywhere.
        let begins =
            |job: &&Arc<Job>| job.ended.is_none() && (job.begins() > now || is_about_secure_mode(&job.kind));
        let asleep = book.iter().filter(begins).map(|job| job.id);
        self.runner.asleep.lock().extend(asleep);
        self.runner.held.lock().extend(book.iter().filter(|job| job.is_held(now)).map(|job| job.id));
        Ok(report)
    }

    /// Accept a job. When this returns it is durable: it will be done at each of its targets, or be told why not.
    pub async fn submit_job(&self, request: JobRequest) -> Result<Arc<Job>, AdminError> {
        self.jobs.check_room()?;
        // From before they are looked at until the job is known: nobody deletes them meanwhile.
        let _held = HeldFiles::of(&self.files, &request.wish);
        let kind = self.task_kind(request.wish)?;
        if matches!(kind, TaskKind::SecureModeOn { default_pin: true }) {
            self.check_default_pin("type")?;
        }
        let settings = &self.settings.jobs;
        let running = match kind {
            TaskKind::SoftwareDeployment(_) => settings.software_time,
            _ => settings.running_time,
        };
        let id = self.new_job_id();
        let targets = distinct(request.targets);
        let Ok(count) = u32::try_from(targets.len()) else {
            return Err(AdminError::field("targets", "too many devices"));
        };
        let job = Job {
            id,
            revision: 1,
            kind,
            name: request.name,
            initiator: request.initiator,
            created: self.now(),
            schedule: request.schedule,
            wait_seconds: request.wait_seconds.unwrap_or_else(|| seconds(settings.wait)),
            running_seconds: request.running_seconds.unwrap_or_else(|| seconds(running)),
            targets: count,
            placed: 0,
            cancelled: None,
            ended: None,
        };
        let job = self.accept(job, &targets).await?;
        let what = job.kind.as_str();
        let text = format!("job {id}: {what} at {}", counted(targets.len(), "device", "devices"));
        self.record(EventDraft::node(EventKind::JobAccepted, text));
        self.runner.something.notify_one();
        Ok(job)
    }

    /// Targets first: a job whose record is there has all of them.
    async fn accept(&self, job: Job, targets: &[DeviceId]) -> Result<Arc<Job>, JobError> {
        let id = job.id;
        let stored = async {
            for ticket in self.jobs.store_targets(id, targets)? {
                ticket.await?;
            }
            let (job, ticket) = self.jobs.insert(job)?;
            // At once: whoever asked may go away while the commit is waited for.
            self.runner.unplaced.lock().insert(id, targets.iter().cloned().collect());
            if job.begins() > job.created {
                self.runner.asleep.lock().insert(id);
            }
            ticket.await?;
            Ok(job)
        };
        let stored: Result<_, JobError> = stored.await;
        if stored.is_err() && self.jobs.get(id).is_none() {
            self.jobs.drop_targets(id, targets);
        }
        stored
    }

    fn new_job_id(&self) -> JobId {
        loop {
            #[allow(clippy::cast_possible_truncation)] // any bits do
            let id = JobId::from_u64(self.around.random.next_u128() as u64);
            if self.jobs.get(id).is_none() {
                return id;
            }
        }
    }

    /// Take a job back: what was not handed to a phone yet is not done.
    pub async fn cancel_job(&self, id: JobId, expected: Option<u64>) -> Result<Arc<Job>, AdminError> {
        let now = self.now();
        let (job, ticket) = self.jobs.change(id, expected, |job| {
            if job.ended.is_some() {
                return Err(JobError::State("the job has ended"));
            }
            job.cancelled.get_or_insert(now);
            Ok(())
        })?;
        ticket.await.map_err(JobError::from)?;
        self.admin_event(None, format!("job {id} cancelled"));
        self.runner.something.notify_one();
        Ok(job)
    }

    /// Forget a job that has ended, and what came of it.
    pub async fn delete_job(&self, id: JobId, expected: Option<u64>) -> Result<(), AdminError> {
        self.jobs.remove(id, expected)?.await.map_err(JobError::from)?;
        self.admin_event(None, format!("job {id} deleted"));
        Ok(())
    }

    /// How far a job's tasks are: those that are not placed yet wait.
    pub fn job_counts(&self, job: &Job) -> Counts {
        if let Some(end) = &job.ended {
            return end.counts;
        }
        let mut counts = self.fleet.tally().of(job.id);
        // Tasks are there before it is durable that they are: none counts twice.
        let counted = counts.open() + counts.ended();
        let unplaced = job.targets.saturating_sub(job.placed);
        counts.pending += unplaced.min(job.targets.saturating_sub(counted));
        counts
    }

    /// The task of a job at a device.
    pub fn task_of_job(device: &Device, job: JobId) -> Option<&Task> {
        device.tasks.iter().find(|task| task.job() == Some(job))
    }

    /// Resolves when there may be something to do for [`Service::work_on_jobs`] before its next second.
    pub async fn jobs_wait(&self) {
        self.runner.something.notified().await;
    }

    /// Do what is to be done for jobs now: place tasks, end those whose time is over, end jobs. To be called about once a
    /// second, by one task. What the store does not take now is done in a later call.
    pub async fn work_on_jobs(&self) {
        self.place_tasks().await;
        self.wake_jobs().await;
        self.release_jobs().await;
        self.close_jobs().await;
        self.end_late_tasks().await;
        self.end_jobs().await;
        self.forget_jobs().await;
    }

    /// The devices that a filter wants, all of them, as targets of a job.
    pub fn targets(&self, filter: &Filter, go_on: &dyn Fn() -> bool) -> Vec<DeviceId> {
        let mut targets = Vec::new();
        let mut after = None;
        loop {
            let page = self.fleet.page_while(after.as_ref(), usize::MAX, filter, go_on);
            targets.extend(page.devices.iter().map(|device| device.id.clone()));
            match page.next {
                Some(next) if go_on() => after = Some(next),
                _ => return targets,
            }
        }
    }
}

/// Whether a store's refusal is about the one device whose record it is.
const fn concerns_one_device(error: &FleetError) -> bool {
    matches!(error, FleetError::Record(_) | FleetError::Submit(SubmitError::TooLarge { .. }))
}

/// Whether a job chooses a secure mode at its devices.
const fn is_about_secure_mode(kind: &TaskKind) -> bool {
    matches!(kind, TaskKind::SecureModeOn { .. } | TaskKind::SecureModeOff)
}

/// A task that is about secure mode begins with the choice of the mode, and is done when the device is in it.
fn begin_secure_mode(
    device: &mut Device,
    task: &mut Task,
    job: &Job,
    pin: Option<&Result<Sealed, String>>,
    now: Timestamp,
) {
    let pin = match pin {
        Some(Err(reason)) => return task.end(now, TaskOutcome::Failed, reason.as_str()),
        Some(Ok(pin)) => Some(pin.clone()),
        None => None,
    };
    let mode = device.security.mode;
    let (wanted, chosen) = match job.kind {
        TaskKind::SecureModeOn { default_pin: true } => (SecureMode::Secure, SecureMode::EnablingDefaultPin),
        TaskKind::SecureModeOn { default_pin: false } => (SecureMode::Secure, SecureMode::EnablingNoPin),
        TaskKind::SecureModeOff => (SecureMode::Off, device.security.towards_off()),
        _ => return,
    };
    if mode == wanted {
        return task.end(now, TaskOutcome::Successful, format!("{} already", wanted.as_str()));
    }
    device.choose_secure_mode(chosen, now, pin);
    if chosen == wanted {
        return task.end(now, TaskOutcome::Successful, "");
    }
    let until = job.closes().unwrap_or(Timestamp::from_millis(u64::MAX));
    task.state = TaskState::Running { since: now, until };
}

/// Files of this server that stay as long as this does.
struct HeldFiles<'a> {
    files: &'a Files,
    held: Vec<FileId>,
}

impl<'a> HeldFiles<'a> {
    /// Those that a wish names. One that is not there is told of when the wish is looked at.
    fn of(files: &'a Files, wish: &TaskRequest) -> Self {
        let held = wish.stored_files().into_iter().filter(|id| files.hold(*id).is_ok()).collect();
        Self { files, held }
    }
}

impl Drop for HeldFiles<'_> {
    fn drop(&mut self) {
        for id in &self.held {
            self.files.release(*id);
        }
    }
}

/// Each device once, in order.
fn distinct(mut targets: Vec<DeviceId>) -> Vec<DeviceId> {
    targets.sort_unstable();
    targets.dedup();
    targets
}
