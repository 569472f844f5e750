//! What a phone says when its flow is over.

use callboard_codecs::wpi::{Action, PhoneMessage, Reason, ReplyStatus};

use super::WpiResponse;
use crate::device::{DeviceId, DeviceUpdate, SecurityChange, Task, TaskOutcome, TaskState, TaskType};
use crate::dialogue::wpi::{Learned, Reply, clean_up_reason, ended_event};
use crate::event::{EventDraft, EventKind};
use crate::service::{Outcome, Service};

impl Service {
    /// Answer a message of a flow that is over.
    pub(super) async fn after_the_end(
        &self,
        device: &DeviceId,
        last: Reply,
        message: &PhoneMessage<'_>,
    ) -> WpiResponse {
        let done = match message.reason {
            // Nobody answers these but a phone that does not want them. Told again it would refuse again.
            Reason::ReplyTo { action: Some(action), status }
                if last.action == action && is_unanswered(action) =>
            {
                self.hand_out_refused(device, action, status).await
            }
            Reason::ReplyTo { .. } => return WpiResponse::plain(last, Outcome::Repeated),
            Reason::CleanUp => self.given_up(device, message).await.map(|()| Reply::clean_up()),
            _ => Ok(Reply::clean_up()),
        };
        done.map_or_else(|response| response, |reply| WpiResponse::plain(reply, Outcome::Finished))
    }

    /// The phone does not do what it was told: a busy one is told again when it is idle, for another the task has failed.
    async fn hand_out_refused(
        &self,
        device: &DeviceId,
        action: Action,
        status: Option<ReplyStatus>,
    ) -> Result<Reply, WpiResponse> {
        let Some(known) = self.fleet.get(device) else { return Ok(Reply::clean_up()) };
        // What it was told last: another one of the kind may be under way since an earlier flow.
        let handed_out = |task: &Task| match task.state {
            TaskState::Running { since, .. } if action_of(task.task_type) == Some(action) => Some(since),
            _ => None,
        };
        let last = known.tasks.iter().filter_map(handed_out).max();
        let refused: Vec<_> =
            known.tasks.iter().filter(|task| last.is_some() && handed_out(task) == last).collect();
        if refused.is_empty() || !matches!(status, Some(ReplyStatus::Busy | ReplyStatus::Failed)) {
            return Ok(Reply::clean_up());
        }
        let ids = refused.iter().map(|task| task.id);
        if status == Some(ReplyStatus::Busy) {
            self.save_or_later(device, Learned::unsent(ids.collect())).await?;
            self.flow_is_over(device);
            return Ok(Reply::clean_up_and_call_back());
        }
        self.save_or_later(device, Learned::refused(ids, self.now())).await?;
        for task in refused {
            self.record(ended_event(device, task, TaskOutcome::Failed, "refused by the phone"));
        }
        Ok(Reply::clean_up())
    }

    /// A `clean-up` outside of any flow: the phone gave up what it was told before (WPI reference, section 7.4).
    pub(super) async fn given_up(
        &self,
        device: &DeviceId,
        message: &PhoneMessage<'_>,
    ) -> Result<(), WpiResponse> {
        let Some(known) = self.fleet.get(device) else { return Ok(()) };
        let text = clean_up_reason(message);
        self.record(EventDraft::about(device, EventKind::PhoneCleanUp, text.clone()));
        if !known.security.mode.is_enabling() {
            return Ok(());
        }
        let choice = known.security.choice();
        let security = Some(SecurityChange::Failed { reason: text.into(), choice });
        let update = DeviceUpdate { security, ..DeviceUpdate::default() };
        self.save_or_later(device, Learned { update, ..Learned::default() }).await
    }
}

/// Whether a phone that does what it is told does not answer it in the flow.
const fn is_unanswered(action: Action) -> bool {
    matches!(action, Action::Restart | Action::SoftwareDeployment | Action::FileDeployment)
}

/// What a phone is told for a task that it does not answer in the flow.
const fn action_of(task_type: TaskType) -> Option<Action> {
    match task_type {
        TaskType::Restart | TaskType::FactoryReset | TaskType::FactoryResetKeepCertificates => {
            Some(Action::Restart)
        }
        TaskType::SoftwareDeployment => Some(Action::SoftwareDeployment),
        TaskType::FileDeployment => Some(Action::FileDeployment),
        _ => None,
    }
}
