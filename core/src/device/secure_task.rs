//! What tasks have to do with secure mode: a job chooses it, and what it chose goes with its task.

use super::{Device, SecureMode, Security, Task, TaskOutcome, TaskState, TaskType};
use crate::secret::Sealed;
use crate::time::Timestamp;

impl Task {
    /// Whether it is about entering or leaving secure mode.
    pub const fn is_about_secure_mode(&self) -> bool {
        matches!(self.task_type, TaskType::SecureModeOn | TaskType::SecureModeOff)
    }
}

/// Whether the present choice of the mode was made for this task, which is under way.
fn has_chosen(task: &Task, security: &Security) -> bool {
    matches!(task.state, TaskState::Running { since, .. } if since == security.since)
}

impl Device {
    /// Choose a mode. Tasks that are under way to it go on with this choice; those to another one come to nothing.
    pub fn choose_secure_mode(&mut self, mode: SecureMode, at: Timestamp, pin: Option<Sealed>) {
        self.security = std::mem::take(&mut self.security).chosen(mode, at, pin);
        self.settle_secure_mode(at);
        let mode = self.security.mode;
        for task in self.tasks.iter_mut().filter(|task| task.is_about_secure_mode()) {
            let TaskState::Running { since, .. } = &mut task.state else { continue };
            let is_wanted = match task.task_type {
                TaskType::SecureModeOn => mode.is_enabling(),
                _ => mode == SecureMode::Disabling,
            };
            if is_wanted {
                *since = at;
            } else {
                task.end(at, TaskOutcome::Cancelled, "another mode was chosen");
            }
        }
    }

    /// Tasks that wait for a secure mode are done when the device is in it.
    pub(super) fn settle_secure_mode(&mut self, at: Timestamp) {
        let mode = self.security.mode;
        for task in self.tasks.iter_mut().filter(|task| task.is_running()) {
            let reached = match task.task_type {
                TaskType::SecureModeOn => mode == SecureMode::Secure,
                TaskType::SecureModeOff => mode == SecureMode::Off,
                _ => false,
            };
            if reached {
                task.end(at, TaskOutcome::Successful, "");
            }
        }
    }

    /// What was chosen came to nothing: so did the task that it was chosen for.
    pub(super) fn fail_secure_mode(&mut self, at: Timestamp, reason: &str) {
        let chosen = |task: &&Task| task.is_about_secure_mode() && has_chosen(task, &self.security);
        let ids: Vec<_> = self.tasks.iter().filter(chosen).map(|task| task.id).collect();
        self.end_task(at, TaskOutcome::Failed, reason, |task| ids.contains(&task.id));
    }

    /// End tasks, those under way included. What was chosen for one that does not succeed is taken back, unless its phone is
    /// on the way already.
    pub fn end_task(
        &mut self,
        at: Timestamp,
        outcome: TaskOutcome,
        reason: &str,
        which: impl Fn(&Task) -> bool,
    ) {
        // What another task wants too stays.
        let is_shared = self
            .tasks
            .iter()
            .any(|task| task.is_about_secure_mode() && has_chosen(task, &self.security) && !which(task));
        for task in self.tasks.iter_mut().filter(|task| !task.state.is_ended() && which(task)) {
            if outcome != TaskOutcome::Successful && !is_shared && has_chosen(task, &self.security) {
                take_back(&mut self.security, task.task_type, at);
            }
            task.end(at, outcome, reason);
        }
    }

    /// Whether a task that was not handed out in any message could still be cancelled: one about secure mode whose phone has
    /// not taken a step, or that is under way to a mode which is not the chosen one.
    pub fn may_cancel(&self, task: &Task) -> bool {
        let is_under_way = task.is_about_secure_mode() && task.is_running();
        task.is_pending() || (is_under_way && !(has_chosen(task, &self.security) && self.security.sent))
    }

    /// The phone does not do a factory reset that it was told to do: it keeps its certificate.
    pub(crate) fn reset_refused(&mut self, task: &Task, at: Timestamp) {
        if task.task_type == TaskType::FactoryReset && has_chosen(task, &self.security) {
            stay_secure(&mut self.security, at);
        }
    }

    /// Whether the phone is to be told of another mode, and knows nothing of it.
    pub fn awaits_mode(&self) -> bool {
        let security = &self.security;
        // Told to forget its certificate: it comes by itself when it has.
        let resets = |task: &Task| task.task_type == TaskType::FactoryReset && has_chosen(task, security);
        match security.mode {
            _ if security.fault.is_some() => false,
            SecureMode::Disabling => !self.tasks.iter().any(resets),
            mode => mode.is_enabling() && !security.sent,
        }
    }
}

fn take_back(security: &mut Security, task_type: TaskType, at: Timestamp) {
    match task_type {
        TaskType::SecureModeOn if security.mode.is_enabling() && !security.sent => {
            let mode = security.towards_off();
            *security = std::mem::take(security).chosen(mode, at, None);
        }
        TaskType::SecureModeOff => stay_secure(security, at),
        _ => {}
    }
}

/// A device that was to leave secure mode does not.
fn stay_secure(security: &mut Security, at: Timestamp) {
    if security.mode == SecureMode::Disabling && security.certificate_serial.is_some() {
        security.enter(SecureMode::Secure, at);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{TaskId, TaskKind};
    use super::*;

    const ON: TaskKind = TaskKind::SecureModeOn { default_pin: false };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    /// Chooses a mode as a job of this kind does, and begins its task.
    fn choose(device: &mut Device, number: u64, kind: TaskKind, mode: SecureMode) {
        let now = at(number);
        device.choose_secure_mode(mode, now, None);
        let mut task = Task::own(TaskId(number), kind, now);
        task.state = TaskState::Running { since: now, until: at(1_000_000) };
        device.tasks.push(task);
    }

    fn outcomes(device: &Device) -> Vec<Option<TaskOutcome>> {
        let outcome = |task: &Task| match &task.state {
            TaskState::Ended { outcome, .. } => Some(*outcome),
            TaskState::Pending | TaskState::Running { .. } => None,
        };
        device.tasks.iter().map(outcome).collect()
    }

    fn device() -> Device {
        Device::new("00:1a:e8:01:02:03".parse().unwrap())
    }

    #[test]
    fn another_mode_ends_the_tasks_of_the_one_before_and_the_same_mode_does_not() {
        let mut device = device();
        choose(&mut device, 1, ON, SecureMode::EnablingNoPin);
        choose(&mut device, 2, ON, SecureMode::EnablingNoPin);
        assert_eq!(outcomes(&device), [None, None]);
        device.security.enter(SecureMode::Secure, at(3));
        device.settle_secure_mode(at(3));
        assert_eq!(outcomes(&device), [Some(TaskOutcome::Successful); 2]);
        choose(&mut device, 4, TaskKind::SecureModeOff, SecureMode::Disabling);
        choose(&mut device, 5, ON, SecureMode::EnablingNoPin);
        assert_eq!(outcomes(&device)[2..], [Some(TaskOutcome::Cancelled), None]);
    }

    #[test]
    fn what_two_tasks_want_is_taken_back_with_the_last_of_them() {
        let mut device = device();
        choose(&mut device, 1, ON, SecureMode::EnablingNoPin);
        choose(&mut device, 2, ON, SecureMode::EnablingNoPin);
        for (number, mode) in [(1, SecureMode::EnablingNoPin), (2, SecureMode::Off)] {
            let task = device.tasks.iter().find(|task| task.id.0 == number).unwrap().clone();
            assert!(device.may_cancel(&task));
            device.end_task(at(9), TaskOutcome::Cancelled, "", |task| task.id.0 == number);
            assert_eq!(device.security.mode, mode);
        }
        assert_eq!(outcomes(&device), [Some(TaskOutcome::Cancelled); 2]);
    }

    #[test]
    fn a_phone_with_its_credentials_is_not_called_back() {
        let mut device = device();
        choose(&mut device, 1, ON, SecureMode::EnablingNoPin);
        device.security.sent = true;
        assert!(!device.may_cancel(&device.tasks[0]));
        // Under way to what is not the choice any more, as records of older versions may hold it.
        device.security.since = at(5);
        assert!(device.may_cancel(&device.tasks[0]));
    }
}
