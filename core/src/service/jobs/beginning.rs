//! Beginning jobs when their time has come.

use std::collections::HashSet;
use std::sync::Arc;

use super::{CHUNK, begin_secure_mode, breathe, is_about_secure_mode};
use crate::device::{Device, Task};
use crate::fleet::FleetError;
use crate::job::{Job, JobId, Verdict};
use crate::service::Service;

impl Service {
    /// Jobs whose time has come.
    pub(super) async fn wake_jobs(&self) {
        let now = self.now();
        let book = self.jobs.book();
        let due = |id: &JobId| book.get(*id).is_none_or(|job| job.verdict(now) != Verdict::NotActive);
        let awake: Vec<_> = self.runner.asleep.lock().iter().copied().filter(due).collect();
        for id in awake {
            if let Some(job) = book.get(id).filter(|job| job.verdict(now) == Verdict::Active)
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
        if is_about_secure_mode(&job.kind) {
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
    pub(super) async fn release_jobs(&self) {
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
}
