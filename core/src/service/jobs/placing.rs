//! Giving the devices of a job their tasks.

use super::{CHUNK, begin_secure_mode, concerns_one_device};
use crate::device::{DeviceId, Task, TaskKind, TaskOutcome, forget_oldest, next_task_id};
use crate::fleet::FleetError;
use crate::job::{Job, JobError, Verdict};
use crate::secret::Sealed;
use crate::service::{AdminError, Service};
use crate::store::Ticket;

/// Chunks of one job that are placed before other work has its turn.
const ROUND: usize = 16;

impl Service {
    /// Place some tasks of each job that has not placed all.
    pub(super) async fn place_tasks(&self) {
        let ids: Vec<_> = self.runner.unplaced.lock().keys().copied().collect();
        for id in ids {
            for _ in 0..ROUND {
                let Some(job) = self.jobs.get(id) else {
                    self.runner.unplaced.lock().remove(&id);
                    break;
                };
                let chunk: Vec<_> = {
                    let unplaced = self.runner.unplaced.lock();
                    unplaced.get(&id).into_iter().flatten().take(CHUNK).cloned().collect()
                };
                let placed = if chunk.is_empty() {
                    self.all_placed(&job).await
                } else {
                    self.place(&job, &chunk).await
                };
                if let Err(error) = placed {
                    tracing::warn!(job = %id, %error, "placing tasks goes on later");
                    return;
                }
                if chunk.is_empty() {
                    break;
                }
            }
        }
        if !self.runner.unplaced.lock().is_empty() {
            self.runner.something.notify_one();
        }
    }

    /// No target is left. Records of some may be lost: a job waits for nobody whom nobody knows.
    async fn all_placed(&self, job: &Job) -> Result<(), AdminError> {
        if job.placed < job.targets {
            let missing = job.targets - job.placed;
            tracing::error!(job = %job.id, missing, "records of targets cannot be read: these devices get no task");
            let (_, ticket) = self.jobs.change(job.id, None, |job| {
                job.placed = job.targets;
                Ok(())
            })?;
            ticket.await.map_err(JobError::from)?;
        }
        self.runner.unplaced.lock().remove(&job.id);
        self.jobs.forget_all_targets(job.id);
        Ok(())
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
                Err(error) if concerns_one_device(&error) => {
                    tracing::warn!(job = %job.id, device = %id, %error, "a device cannot take its task");
                }
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
        // From now on they count, whatever becomes of the commit: it is made, or nothing of it is.
        if let Some(targets) = self.runner.unplaced.lock().get_mut(&job.id) {
            targets.drain(..devices.len());
        }
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
        let book = self.jobs.book();
        // What came of a job's task is kept until the job has ended: its counts follow from that.
        let counts =
            |task: &Task| task.job().and_then(|id| book.get(id)).is_some_and(|job| job.ended.is_none());
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
            forget_oldest(&mut new.tasks, counts);
            Ok(new)
        })?;
        self.tell_ended(&known, &device);
        Ok(Some(ticket))
    }

    /// The default PIN, for a job that needs it.
    pub(super) fn pin_for(&self, kind: &TaskKind) -> Option<Result<Sealed, String>> {
        let wants_pin = matches!(kind, TaskKind::SecureModeOn { default_pin: true });
        let seal = || self.around.vault.seal(&self.settings.default_pin).map_err(|error| error.to_string());
        wants_pin.then(seal)
    }
}
