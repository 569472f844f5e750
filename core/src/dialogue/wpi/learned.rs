//! What a flow learned about its device.

use super::ended_event;
use crate::device::{Device, DeviceUpdate, SecurityChange, Task, TaskChange, TaskId, TaskOutcome, TaskState};
use crate::event::{EventDraft, EventKind};
use crate::time::Timestamp;

/// What a flow learned, to be laid over the device as it is when the flow ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// The changes themselves.
    pub update: DeviceUpdate,
    /// The phone's items are not what they were, and have not been read again to the end: it counts as unknown until
    /// they are (WPI reference, section 6.4).
    pub half_read: bool,
    /// The device was not there when the flow began. If it was and is gone now, an administrator deleted it.
    pub is_new: bool,
    /// Tasks marked as sent by a reply that did not leave: they wait again.
    pub unsent: Vec<TaskId>,
}

impl Learned {
    /// That these tasks, marked as sent, wait again.
    pub fn unsent(tasks: Vec<TaskId>) -> Self {
        Self { unsent: tasks, ..Self::default() }
    }

    /// That the phone refused these tasks.
    pub fn refused(tasks: impl IntoIterator<Item = TaskId>, at: Timestamp) -> Self {
        let refused = |id| {
            let reason = "refused by the phone".into();
            TaskChange::Ended { id, at, outcome: TaskOutcome::Failed, reason }
        };
        let tasks = tasks.into_iter().map(refused).collect();
        Self { update: DeviceUpdate { tasks, ..DeviceUpdate::default() }, ..Self::default() }
    }

    /// Tasks that the flow's last reply hands to the phone, and when.
    pub fn sent(&self) -> Vec<(TaskId, Timestamp)> {
        let sent = |change: &TaskChange| match change {
            TaskChange::Sent { id, at, .. } => Some((*id, *at)),
            TaskChange::Ended { .. } => None,
        };
        self.update.tasks.iter().filter_map(sent).collect()
    }

    /// Lay the changes over `device`, as a new revision, and add what is to be told of it.
    #[must_use]
    pub fn lay_over(self, device: &Device, news: &mut Vec<EventDraft>) -> Device {
        news.extend(self.news(device));
        let new = self.apply(device);
        // A dialogue tells itself of the tasks that it ends; those about secure mode end with the mode.
        for task in new.tasks.iter().filter(|task| task.is_about_secure_mode()) {
            if let TaskState::Ended { outcome, reason, .. } = &task.state
                && device.tasks.iter().any(|old| old.id == task.id && !old.state.is_ended())
            {
                news.push(ended_event(&new.id, task, *outcome, reason));
            }
        }
        new
    }

    /// Lay the changes over `device`, as a new revision.
    #[must_use]
    pub fn apply(self, device: &Device) -> Device {
        let mut new = self.update.apply(device);
        if self.half_read {
            new.contacts.read = None;
        }
        let is_unsent = |task: &&Task| self.unsent.contains(&task.id) && task.is_running();
        for task in new.tasks.iter().filter(is_unsent).cloned().collect::<Vec<_>>() {
            new.reset_refused(&task, new.contacts.last);
        }
        for task in new.tasks.iter_mut().filter(|task| is_unsent(&&**task)) {
            task.state = TaskState::Pending;
        }
        new
    }

    /// The step of the device into secure mode, within it or out of it, if `device` takes it. To be told once the changes
    /// are laid over that device: what an administrator chose meanwhile may stand against it.
    pub fn news(&self, device: &Device) -> Option<EventDraft> {
        let (change, security) = (self.update.security.as_ref()?, &device.security);
        if !change.is_taken_in(security) {
            return None;
        }
        let (kind, text) = match change {
            SecurityChange::Secured { .. } if security.mode.needs_pin() => {
                (EventKind::SecureModeEntered, "PIN and TAN are right")
            }
            SecurityChange::Secured { .. } => {
                (EventKind::SecureModeEntered, "the phone came with its certificate")
            }
            SecurityChange::Renewed { serial } if security.certificate_serial.as_ref() != Some(serial) => {
                (EventKind::CertificateRenewed, "the phone came with its new certificate")
            }
            SecurityChange::Left(how) => (EventKind::SecureModeLeft, *how),
            _ => return None,
        };
        Some(EventDraft::about(&device.id, kind, text))
    }

    /// The flow's last reply does not leave: what it would have set off has not happened.
    pub fn take_back(&mut self) {
        let unsent = &mut self.unsent;
        self.update.tasks.retain(|change| match change {
            TaskChange::Sent { id, .. } => {
                unsent.push(*id);
                false
            }
            TaskChange::Ended { .. } => true,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::TaskKind;

    fn device() -> Device {
        let mut device = Device::new("00:1a:e8:00:00:01".parse().unwrap());
        device.contacts.read = Some(Timestamp::from_millis(1));
        let kind = TaskKind::Restart { factory_reset: false };
        device.tasks.push(Task::own(TaskId(1), kind, Timestamp::default()));
        device
    }

    #[test]
    fn a_restart_that_did_not_leave_waits_again() {
        let at = Timestamp::from_millis(5);
        let until = Timestamp::from_millis(99);
        let tasks = vec![TaskChange::Sent { id: TaskId(1), at, until }];
        let update = DeviceUpdate { tasks, ..DeviceUpdate::default() };
        let mut learned = Learned { update, ..Learned::default() };
        let sent = learned.clone().apply(&device());
        assert_eq!(sent.tasks[0].state, TaskState::Running { since: at, until });
        assert_eq!(learned.sent(), [(TaskId(1), at)]);
        learned.take_back();
        assert_eq!(learned.apply(&sent).tasks[0].state, TaskState::Pending);
    }

    #[test]
    fn a_half_read_device_is_unknown() {
        let learned = Learned { half_read: true, ..Learned::default() };
        assert_eq!(learned.apply(&device()).contacts.read, None);
    }
}
