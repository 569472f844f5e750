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
    /// Choose a mode. Tasks that are under way to an earlier choice come to nothing: what was chosen for them is not any more.
    pub fn choose_secure_mode(&mut self, mode: SecureMode, at: Timestamp, pin: Option<Sealed>) {
        self.security = std::mem::take(&mut self.security).chosen(mode, at, pin);
        for task in self.tasks.iter_mut().filter(|task| task.is_running() && task.is_about_secure_mode()) {
            task.end(at, TaskOutcome::Cancelled, "another mode was chosen");
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
        if let Some(id) = self.tasks.iter().find(chosen).map(|task| task.id) {
            self.end_task(at, TaskOutcome::Failed, reason, |task| task.id == id);
        }
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
        for task in self.tasks.iter_mut().filter(|task| !task.state.is_ended() && which(task)) {
            if outcome != TaskOutcome::Successful && has_chosen(task, &self.security) {
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
