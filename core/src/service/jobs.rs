//! Jobs: accepting, placing their tasks, and seeing to it that each of them ends.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use metrics::counter;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{AdminError, Service, TaskRequest, counted};
use crate::device::{
    Device, DeviceId, SecureMode, Task, TaskId, TaskKind, TaskOutcome, TaskState, forget_oldest, next_task_id,
};
use crate::dialogue::wpi::ended_event;
use crate::event::{EventDraft, EventKind};
use crate::file::{FileId, Files};
use crate::fleet::{Filter, FleetError};
use crate::job::{Counts, Job, JobEnd, JobError, JobId, JobLoadReport, Schedule, Verdict, verdict};
use crate::secret::Sealed;
use crate::store::{LoadError, Ticket};
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
    /// Take over the jobs that the store holds. Before [`Fleet::load`](crate::fleet::Fleet::load) or after it.
    pub fn load_jobs(&self) -> Result<JobLoadReport, LoadError> {
        let mut report = self.jobs.load()?;
        let now = self.now();
        let mut unplaced = self.runner.unplaced.lock();
        unplaced.extend(report.unplaced.drain(..).map(|(job, targets)| (job, targets.into())));
        let book = self.jobs.book();
        let asleep = book.iter().filter(|job| job.begins() > now).map(|job| job.id);
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

    async fn place_tasks(&self) {
        let ids: Vec<_> = self.runner.unplaced.lock().keys().copied().collect();
        for id in ids {
            while let Some(job) = self.jobs.get(id) {
                let chunk: Vec<_> = {
                    let unplaced = self.runner.unplaced.lock();
                    let Some(targets) = unplaced.get(&id) else { break };
                    targets.iter().take(CHUNK).cloned().collect()
                };
                if chunk.is_empty() {
                    break;
                }
                if let Err(error) = self.place(&job, &chunk).await {
                    tracing::warn!(job = %id, %error, "placing tasks goes on later");
                    return;
                }
                if let Some(targets) = self.runner.unplaced.lock().get_mut(&id) {
                    targets.drain(..chunk.len());
                }
            }
            self.runner.unplaced.lock().remove(&id);
        }
    }

    /// Give these devices their tasks, and remember how many have theirs.
    async fn place(&self, job: &Job, devices: &[DeviceId]) -> Result<(), AdminError> {
        // Nobody is called for its tasks then: somebody has to be when that is over.
        if job.is_held(self.now()) {
            self.runner.held.lock().insert(job.id);
        }
        let mut last = None;
        for id in devices {
            match self.place_one(job, id) {
                Ok(ticket) => last = ticket.or(last),
                Err(FleetError::Unknown(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // Tickets resolve in the order of submissions.
        if let Some(ticket) = last {
            ticket.await.map_err(FleetError::from)?;
        }
        let count = u32::try_from(devices.len()).unwrap_or(u32::MAX);
        let (_, ticket) = self.jobs.change(job.id, None, |job| {
            job.placed = job.placed.saturating_add(count).min(job.targets);
            Ok(())
        })?;
        ticket.await.map_err(JobError::from)?;
        Ok(())
    }

    /// Give one device its task, if it has none of this job.
    fn place_one(&self, job: &Job, id: &DeviceId) -> Result<Option<Ticket>, FleetError> {
        let known = self.fleet.get(id).ok_or_else(|| FleetError::Unknown(id.clone()))?;
        if Self::task_of_job(&known, job.id).is_some() {
            return Ok(None);
        }
        let (now, limit) = (self.now(), self.settings.tasks_per_device);
        let pin = self.pin_for(&job.kind);
        let (device, ticket) = self.fleet.update(id, false, |device| {
            let mut new = device.clone();
            new.revision += 1;
            let is_full = device.open_tasks().count() >= limit;
            let mut task = Task::of_job(next_task_id(&device.tasks, now), job.id, job.kind.task_type(), now);
            match job.verdict(now) {
                Verdict::Over(outcome, reason) => task.end(now, outcome, reason),
                _ if is_full => {
                    let reason = format!("{limit} tasks wait for this device already");
                    task.end(now, TaskOutcome::Failed, reason);
                }
                Verdict::Active => begin_secure_mode(&mut new, &mut task, job, pin.as_ref(), now),
                Verdict::NotActive => {}
            }
            new.tasks.push(task);
            forget_oldest(&mut new.tasks);
            Ok(new)
        })?;
        self.tell_ended(&known, &device);
        Ok(Some(ticket))
    }

    /// The default PIN, for a job that needs it.
    fn pin_for(&self, kind: &TaskKind) -> Option<Result<Sealed, String>> {
        let wants_pin = matches!(kind, TaskKind::SecureModeOn { default_pin: true });
        let seal = || self.around.vault.seal(&self.settings.default_pin).map_err(|error| error.to_string());
        wants_pin.then(seal)
    }

    /// Jobs whose time has come.
    async fn wake_jobs(&self) {
        let now = self.now();
        let book = self.jobs.book();
        let due = |id: &JobId| book.get(*id).is_none_or(|job| job.begins() <= now);
        let awake: Vec<_> = self.runner.asleep.lock().iter().copied().filter(due).collect();
        for id in awake {
            if let Some(job) = book.get(id)
                && let Err(error) = self.begin_job(job).await
            {
                tracing::warn!(job = %id, %error, "beginning a job goes on later");
                return;
            }
            self.runner.asleep.lock().remove(&id);
        }
    }

    async fn begin_job(&self, job: &Arc<Job>) -> Result<(), FleetError> {
        let pin = self.pin_for(&job.kind);
        let of_job = |task: &Task| task.is_pending() && task.job() == Some(job.id);
        if matches!(job.kind, TaskKind::SecureModeOn { .. } | TaskKind::SecureModeOff) {
            self.change_tasks(
                |device| device.tasks.iter().any(of_job),
                |device, now| {
                    let Some(at) = device.tasks.iter().position(of_job) else { return };
                    let mut task = device.tasks[at].clone();
                    begin_secure_mode(device, &mut task, job, pin.as_ref(), now);
                    device.tasks[at] = task;
                },
            )
            .await?;
        }
        self.call_for(&|task| of_job(task)).await;
        Ok(())
    }

    /// Jobs whose restrictions have just ended.
    async fn release_jobs(&self) {
        let now = self.now();
        let book = self.jobs.book();
        let released: HashSet<_> = {
            let mut held = self.runner.held.lock();
            let before = std::mem::take(&mut *held);
            held.extend(book.iter().filter(|job| job.ended.is_none() && job.is_held(now)).map(|job| job.id));
            before.difference(&held).copied().collect()
        };
        if !released.is_empty() {
            self.call_for(&|task| task.is_pending() && task.job().is_some_and(|job| released.contains(&job)))
                .await;
        }
    }

    /// Have the devices come that have such a task.
    async fn call_for(&self, wanted: &(dyn Fn(&Task) -> bool + Sync)) {
        let mut after = None;
        loop {
            let ids = self.fleet.ids_after(after.as_ref(), CHUNK);
            let Some(end) = ids.last() else { return };
            after = Some(end.clone());
            let has_one = |device: &Device| device.tasks.iter().any(wanted);
            for id in ids.iter().filter(|id| self.fleet.look(id, has_one) == Some(true)) {
                self.work_begins(id);
            }
            breathe().await;
        }
    }

    /// End the waiting tasks of jobs that were cancelled, or whose time is over.
    async fn close_jobs(&self) {
        let now = self.now();
        let book = self.jobs.book();
        let over = |job: &&Arc<Job>| {
            job.ended.is_none()
                && job.placed >= job.targets
                && matches!(job.verdict(now), Verdict::Over(..))
                && self.fleet.tally().of(job.id).open() > 0
        };
        let over: Vec<_> = book.iter().filter(over).map(|job| job.id).collect();
        if over.is_empty() {
            return;
        }
        let of_these = |task: &Task| task.job().is_some_and(|job| over.contains(&job));
        let is_over = |device: &Device, task: &Task| of_these(task) && device.may_cancel(task);
        let ended = self
            .change_tasks(
                |device| device.tasks.iter().any(|task| is_over(device, task)),
                |device, now| {
                    let ids: Vec<_> = device
                        .tasks
                        .iter()
                        .filter(|task| is_over(device, task))
                        .map(|task| task.id)
                        .collect();
                    for id in ids {
                        let task = device.tasks.iter().find(|task| task.id == id);
                        if let Some(Verdict::Over(outcome, reason)) =
                            task.map(|task| verdict(task, &book, now))
                        {
                            device.end_task(now, outcome, reason, |task| task.id == id);
                        }
                    }
                },
            )
            .await;
        if let Err(error) = ended {
            tracing::warn!(%error, "ending tasks goes on later");
        }
    }

    /// End tasks whose phones took too long.
    async fn end_late_tasks(&self) {
        let late = self.fleet.tally().overdue(self.now(), LATE);
        let mut last = None;
        for (id, task) in late {
            match self.end_late_task(&id, task) {
                Ok(ticket) => last = Some(ticket),
                Err(FleetError::Unknown(_)) => {}
                Err(error) => {
                    tracing::warn!(device = %id, %error, "ending a task goes on later");
                    return;
                }
            }
        }
        if let Some(ticket) = last
            && let Err(error) = ticket.await
        {
            tracing::warn!(%error, "the end of tasks is not durable yet");
        }
    }

    fn end_late_task(&self, id: &DeviceId, number: TaskId) -> Result<Ticket, FleetError> {
        let now = self.now();
        let known = self.fleet.get(id);
        let (device, ticket) = self.fleet.update(id, false, |device| {
            let mut new = device.clone();
            new.revision += 1;
            let state = new.tasks.iter().find(|task| task.id == number).map(|task| task.state.clone());
            if let Some(TaskState::Running { since, until }) = state
                && until <= now
            {
                let reason = format!("no outcome within {} s", until.since(since).as_secs());
                new.end_task(now, TaskOutcome::Timeout, &reason, |task| task.id == number);
            }
            Ok(new)
        })?;
        if let Some(known) = known {
            self.tell_ended(&known, &device);
        }
        Ok(ticket)
    }

    /// Jobs all of whose tasks are over.
    async fn end_jobs(&self) {
        let now = self.now();
        for job in self.jobs.book().iter().filter(|job| job.ended.is_none() && job.placed >= job.targets) {
            let counts = self.fleet.tally().of(job.id);
            if counts.open() > 0 {
                continue;
            }
            let ended = self.jobs.change(job.id, None, |job| {
                job.ended = Some(JobEnd { at: now, counts });
                Ok(())
            });
            match ended {
                Ok((job, ticket)) => {
                    if let Err(error) = ticket.await {
                        tracing::warn!(job = %job.id, %error, "the end of a job is not durable yet");
                    }
                    let state = job.state(&counts, now).as_str();
                    counter!("callboard_jobs_ended_total", "type" => job.kind.as_str(), "state" => state)
                        .increment(1);
                    let text = format!(
                        "job {}: {}: {} successful, {} failed, {} timeout, {} cancelled",
                        job.id, state, counts.successful, counts.failed, counts.timeout, counts.cancelled
                    );
                    self.record(EventDraft::node(EventKind::JobEnded, text));
                }
                Err(error) => tracing::warn!(job = %job.id, %error, "ending a job goes on later"),
            }
        }
    }

    /// Jobs that ended long ago.
    async fn forget_jobs(&self) {
        let keep = self.settings.jobs.keep_ended;
        if keep.is_zero() {
            return;
        }
        let now = self.now();
        let is_old = |job: &&Arc<Job>| job.ended.as_ref().is_some_and(|end| now.since(end.at) >= keep);
        for job in self.jobs.book().iter().filter(is_old) {
            match self.jobs.remove(job.id, None) {
                Ok(ticket) => drop(ticket.await),
                Err(error) => tracing::warn!(job = %job.id, %error, "forgetting a job goes on later"),
            }
        }
    }

    /// Change the tasks of all devices that are wanted, chunk by chunk.
    async fn change_tasks(
        &self,
        wanted: impl Fn(&Device) -> bool,
        change: impl Fn(&mut Device, Timestamp),
    ) -> Result<(), FleetError> {
        let mut after = None;
        loop {
            let ids = self.fleet.ids_after(after.as_ref(), CHUNK);
            let Some(end) = ids.last() else { return Ok(()) };
            after = Some(end.clone());
            let mut last = None;
            for known in ids.iter().filter_map(|id| self.fleet.get(id)).filter(|device| wanted(device)) {
                let now = self.now();
                let changed = self.fleet.update(&known.id, false, |device| {
                    let mut new = device.clone();
                    new.revision += 1;
                    change(&mut new, now);
                    Ok(new)
                });
                match changed {
                    Ok((device, ticket)) => {
                        self.tell_ended(&known, &device);
                        last = Some(ticket);
                    }
                    Err(FleetError::Unknown(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            match last {
                Some(ticket) => ticket.await?,
                None => breathe().await,
            }
        }
    }

    /// Tell of the tasks that are over now and were not.
    fn tell_ended(&self, old: &Device, new: &Device) {
        for task in &new.tasks {
            let TaskState::Ended { outcome, reason, .. } = &task.state else { continue };
            let was_ended = old.tasks.iter().any(|old| old.id == task.id && old.state.is_ended());
            if !was_ended {
                self.record(ended_event(&new.id, task, *outcome, reason));
            }
        }
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
    device.security = std::mem::take(&mut device.security).chosen(chosen, now, pin);
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
