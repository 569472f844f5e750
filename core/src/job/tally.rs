//! How far jobs are, counted from the tasks at the devices.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use foldhash::fast::RandomState;
use metrics::counter;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::JobId;
use crate::device::{DeviceId, Task, TaskId, TaskOutcome, TaskState};
use crate::time::Timestamp;

/// Tasks by how far they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Wait for their phones, or for their time.
    pub pending: u32,
    /// Handed to their phones.
    pub running: u32,
    /// Done.
    pub successful: u32,
    /// Refused, or not possible.
    pub failed: u32,
    /// Not done in time.
    pub timeout: u32,
    /// Taken back.
    pub cancelled: u32,
}

impl Counts {
    /// All that are over.
    pub const fn ended(&self) -> u32 {
        self.successful + self.failed + self.timeout + self.cancelled
    }

    /// All that are not over.
    pub const fn open(&self) -> u32 {
        self.pending + self.running
    }

    fn place(&mut self, state: &TaskState) -> &mut u32 {
        match state {
            TaskState::Pending => &mut self.pending,
            TaskState::Running { .. } => &mut self.running,
            TaskState::Ended { outcome, .. } => match outcome {
                TaskOutcome::Successful => &mut self.successful,
                TaskOutcome::Failed => &mut self.failed,
                TaskOutcome::Timeout => &mut self.timeout,
                TaskOutcome::Cancelled => &mut self.cancelled,
            },
        }
    }
}

/// A task that was handed to its phone, and until when it may take.
type Deadline = (Timestamp, DeviceId, TaskId);

/// Counts the tasks of all devices. The fleet tells it of every change, under the lock of the device's shard.
#[derive(Debug, Default)]
pub struct Tally {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    jobs: HashMap<JobId, Counts, RandomState>,
    /// Of all tasks, those of jobs and others.
    all: Counts,
    deadlines: BTreeSet<Deadline>,
}

impl Tally {
    /// A device's tasks were `old` and are `new`.
    pub fn change(&self, device: &DeviceId, old: &[Task], new: &[Task]) {
        self.count(device, old, new, false);
    }

    /// The tasks of a device that was found in the store: `old` until its record of tasks was read.
    pub fn load(&self, device: &DeviceId, old: &[Task], new: &[Task]) {
        self.count(device, old, new, true);
    }

    fn count(&self, device: &DeviceId, old: &[Task], new: &[Task], loading: bool) {
        if old.is_empty() && new.is_empty() || old == new {
            return;
        }
        let mut inner = self.inner.lock();
        for task in old {
            inner.count(task, |count| *count = count.saturating_sub(1));
            if let TaskState::Running { until, .. } = task.state {
                inner.deadlines.remove(&(until, device.clone(), task.id));
            }
        }
        for task in new {
            if let TaskState::Ended { outcome, .. } = task.state
                && !old.iter().any(|old| old.id == task.id && old.state.is_ended())
                && !loading
            {
                let (kind, outcome) = (task.task_type.as_str(), outcome.as_str());
                counter!("callboard_tasks_ended_total", "type" => kind, "outcome" => outcome).increment(1);
            }
            inner.count(task, |count| *count += 1);
            if let TaskState::Running { until, .. } = task.state {
                inner.deadlines.insert((until, device.clone(), task.id));
            }
        }
    }

    /// How far a job's tasks are.
    pub fn of(&self, job: JobId) -> Counts {
        self.inner.lock().jobs.get(&job).copied().unwrap_or_default()
    }

    /// How far all tasks of all devices are.
    pub fn all(&self) -> Counts {
        self.inner.lock().all
    }

    /// At most `limit` tasks whose phones took too long.
    pub fn overdue(&self, now: Timestamp, limit: usize) -> Vec<(DeviceId, TaskId)> {
        let inner = self.inner.lock();
        let late = inner.deadlines.iter().take_while(|(until, ..)| *until <= now).take(limit);
        late.map(|(_, device, task)| (device.clone(), *task)).collect()
    }

    /// Time until the next task is late.
    pub fn next_deadline(&self, now: Timestamp) -> Option<Duration> {
        self.inner.lock().deadlines.first().map(|(until, ..)| until.since(now))
    }
}

impl Inner {
    fn count(&mut self, task: &Task, change: impl Fn(&mut u32)) {
        change(self.all.place(&task.state));
        let Some(job) = task.job() else { return };
        let counts = self.jobs.entry(job).or_default();
        change(counts.place(&task.state));
        if *counts == Counts::default() {
            self.jobs.remove(&job);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::TaskType;

    fn task(number: u64, job: u64) -> Task {
        Task::of_job(TaskId(number), JobId::from_u64(job), TaskType::Restart, Timestamp::default())
    }

    #[test]
    fn counts_follow_the_tasks() {
        let tally = Tally::default();
        let device: DeviceId = "00:1a:e8:00:00:01".parse().unwrap();
        let job = JobId::from_u64(1);
        let at = Timestamp::from_millis;
        let waiting = vec![task(1, 1), task(2, 2)];
        tally.change(&device, &[], &waiting);
        assert_eq!(tally.of(job), Counts { pending: 1, ..Counts::default() });
        let mut running = waiting.clone();
        running[0].state = TaskState::Running { since: at(5), until: at(10) };
        tally.change(&device, &waiting, &running);
        assert_eq!(tally.of(job), Counts { running: 1, ..Counts::default() });
        assert_eq!(tally.overdue(at(9), 10), []);
        assert_eq!(tally.overdue(at(10), 10), [(device.clone(), TaskId(1))]);
        let mut ended = running.clone();
        ended[0].end(at(11), TaskOutcome::Timeout, "late");
        tally.change(&device, &running, &ended);
        assert_eq!(tally.of(job), Counts { timeout: 1, ..Counts::default() });
        assert_eq!((tally.all().pending, tally.overdue(at(99), 10).len()), (1, 0));
        tally.change(&device, &ended, &[]);
        assert_eq!((tally.of(job), tally.all()), (Counts::default(), Counts::default()));
        assert!(tally.inner.lock().jobs.is_empty());
    }
}
