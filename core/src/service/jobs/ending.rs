//! Seeing to it that each task and each job ends.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use metrics::counter;

use super::{CHUNK, LATE, breathe, concerns_one_device};
use crate::device::{Device, DeviceId, Task, TaskId, TaskOutcome, TaskState};
use crate::dialogue::wpi::ended_event;
use crate::event::{EventDraft, EventKind};
use crate::fleet::FleetError;
use crate::job::{Job, JobEnd, JobId, Verdict, verdict};
use crate::service::Service;
use crate::store::Ticket;
use crate::time::Timestamp;

impl Service {
    /// End the waiting tasks of jobs that were cancelled, or whose time is over.
    pub(super) async fn close_jobs(&self) {
        let now = self.now();
        let book = self.jobs.book();
        let over = |job: &&Arc<Job>| {
            job.ended.is_none()
                && job.placed >= job.targets
                && matches!(job.verdict(now), Verdict::Over(..))
                && self.may_have_waiting(job.id)
        };
        let over: HashSet<_> = book.iter().filter(over).map(|job| job.id).collect();
        if over.is_empty() {
            return;
        }
        let of_these = |task: &Task| task.job().is_some_and(|job| over.contains(&job));
        let is_over = |device: &Device, task: &Task| of_these(task) && device.may_cancel(task);
        let goes_on = |task: &Task| of_these(task) && task.is_running() && task.is_about_secure_mode();
        let ended = self
            .change_tasks(
                |device| device.tasks.iter().any(|task| is_over(device, task) || goes_on(task)),
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
                    let left: Vec<_> =
                        device.tasks.iter().filter(|task| goes_on(task)).filter_map(Task::job).collect();
                    for job in left.into_iter().filter_map(|id| book.get(id)) {
                        let_go_on(device, job, now);
                    }
                },
            )
            .await;
        match ended {
            Ok(()) => {
                let mut closed = self.runner.closed.lock();
                closed.extend(over);
                closed.retain(|id| book.get(*id).is_some_and(|job| job.ended.is_none()));
            }
            Err(error) => tracing::warn!(%error, "ending tasks goes on later"),
        }
    }

    /// Whether a job that is over may have tasks that wait, so that a walk over the fleet is worth it.
    fn may_have_waiting(&self, job: JobId) -> bool {
        let counts = self.fleet.tally().of(job);
        counts.pending > 0 || (counts.running > 0 && !self.runner.closed.lock().contains(&job))
    }

    /// End tasks whose phones took too long.
    pub(super) async fn end_late_tasks(&self) {
        let late = self.fleet.tally().overdue(self.now(), LATE);
        let mut last = None;
        for (id, task) in late {
            match self.end_late_task(&id, task) {
                Ok(ticket) => last = Some(ticket),
                Err(FleetError::Unknown(_)) => {}
                Err(error) if concerns_one_device(&error) => {
                    tracing::debug!(device = %id, %error, "a task cannot be ended");
                }
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
    pub(super) async fn end_jobs(&self) {
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
                    let mut text = format!(
                        "job {}: {}: {} successful, {} failed, {} timeout, {} cancelled",
                        job.id, state, counts.successful, counts.failed, counts.timeout, counts.cancelled
                    );
                    let gone = job.targets.saturating_sub(counts.ended());
                    if gone > 0 {
                        let _ = write!(text, ", {gone} gone");
                    }
                    self.record(EventDraft::node(EventKind::JobEnded, text));
                }
                Err(error) => tracing::warn!(job = %job.id, %error, "ending a job goes on later"),
            }
        }
    }

    /// Jobs that ended long ago.
    pub(super) async fn forget_jobs(&self) {
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
    pub(super) async fn change_tasks(
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
                    Err(error) if concerns_one_device(&error) => {
                        tracing::warn!(device = %known.id, %error, "its tasks stay as they are");
                    }
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
    pub(in crate::service) fn tell_ended(&self, old: &Device, new: &Device) {
        for task in &new.tasks {
            let TaskState::Ended { outcome, reason, .. } = &task.state else { continue };
            let was_ended = old.tasks.iter().any(|old| old.id == task.id && old.state.is_ended());
            if !was_ended {
                self.record(ended_event(&new.id, task, *outcome, reason));
            }
        }
    }
}

/// A phone that is on its way into secure mode when its job is cancelled goes on, but not for ever.
fn let_go_on(device: &mut Device, job: &Job, now: Timestamp) {
    let until = now.plus(job.running_time());
    for task in device.tasks.iter_mut().filter(|task| task.job() == Some(job.id)) {
        if let TaskState::Running { until: old, .. } = &mut task.state {
            *old = until.min(*old);
        }
    }
}
