//! Tasks inside a flow: what is done when, what the phone is told, and what came of it.

use std::time::Duration;

use callboard_codecs::wpi::{Action, PhoneMessage, Reason};

use super::flow::{Applied, Collecting, Flow, Purpose, Reading};
use super::open::same_version;
use super::{Context, Next, Reply};
use crate::device::{BOOT_TIME, Task, TaskChange, TaskId, TaskKind, TaskOutcome, TaskState, TaskType, Work};
use crate::event::{EventDraft, EventKind};
use crate::item::{Entry, ItemKey, ItemSet, ItemWrite, NameRef};
use crate::job::{FileAction, FileServer, SoftwareDeployment, Verdict, file_items, verdict};
use crate::policy::carried;
use crate::secret::Secret;
use crate::service::counted;
use crate::time::Timestamp;

/// The password of a factory reset, a constant of the phones (WPI reference, section 8.13).
const FACTORY_RESET_PASSWORD: &str = "124816";
/// No second firmware within this time (WPI reference, section 6.6).
const DEPLOYMENT_GUARD: Duration = Duration::from_mins(15);
/// A phone that fetches files is not asked for its inventory before this time.
const FETCH_TIME: Duration = Duration::from_secs(20);

/// What is done together in a flow, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Firmware.
    Software,
    /// Reading and writing.
    Items,
    /// Fetching and deleting files.
    Files,
    /// Booting.
    Boot,
}

impl Stage {
    const fn of(task_type: TaskType) -> Option<Self> {
        Some(match task_type {
            TaskType::SoftwareDeployment => Self::Software,
            TaskType::ReadAll | TaskType::ReadItems | TaskType::WriteItems | TaskType::ApplyTemplates => {
                Self::Items
            }
            TaskType::FileDeployment => Self::Files,
            TaskType::Restart | TaskType::FactoryReset | TaskType::FactoryResetKeepCertificates => Self::Boot,
            // Secure mode is chosen at the device, and done by bootstrapping; check-sync is done by SIP.
            TaskType::SecureModeOn
            | TaskType::SecureModeOff
            | TaskType::CheckSync
            | TaskType::CheckSyncRestart => return None,
        })
    }
}

/// What the first step of a task is.
enum Start {
    /// Say this.
    Say(Next),
    /// It is done.
    Done(String),
    /// Not now: it waits on.
    Later,
}

impl Applied {
    /// What came of the templates; an error if the phone did not take all.
    fn outcome(self) -> Result<String, String> {
        let refused = self.refused + self.refused_before;
        if refused > 0 {
            return Err(counted(refused, "item", "items") + " refused");
        }
        let mut text = counted(self.written, "item", "items") + " written";
        if self.faults > 0 {
            let faults = counted(self.faults, "item", "items");
            text = format!("{text}, {faults} of the templates do not apply");
        }
        Ok(text)
    }
}

impl Flow {
    /// What tasks were waiting for shows in an opening message.
    pub(super) fn note_tasks(
        &mut self,
        ctx: &Context<'_>,
        message: &PhoneMessage<'_>,
        events: &mut Vec<EventDraft>,
    ) {
        let base = self.base.clone();
        // The phone has no answer to this message yet, and so was told nothing in the flow that it opened.
        let is_repeated = base.opened_with == ctx.vault.digest(message.nonce);
        for task in &base.tasks {
            match task.state {
                TaskState::Running { since, .. }
                    if is_repeated && since >= base.contacts.last && !task.is_about_secure_mode() =>
                {
                    self.learned.unsent.push(task.id);
                }
                TaskState::Pending => {
                    if let Verdict::Over(outcome, reason) = verdict(task, ctx.jobs, ctx.now) {
                        self.end_task(ctx, task, outcome, reason, events);
                    }
                }
                TaskState::Running { since, until } if task.task_type.boots() => {
                    self.note_boot(ctx, message, task, (since, until), events);
                }
                TaskState::Running { .. } if task.task_type == TaskType::FileDeployment => {
                    if message.reason == Reason::Status {
                        self.note_file_status(ctx, message, task, events);
                    }
                }
                TaskState::Running { .. } | TaskState::Ended { .. } => {}
            }
        }
    }

    /// A boot that was asked for is done when the phone is back. One that speaks for something else long after has not
    /// booted.
    fn note_boot(
        &mut self,
        ctx: &Context<'_>,
        message: &PhoneMessage<'_>,
        task: &Task,
        (since, until): (Timestamp, Timestamp),
        events: &mut Vec<EventDraft>,
    ) {
        if message.reason != Reason::StartUp {
            if until <= ctx.now {
                let minutes = until.since(since).as_secs().div_ceil(60);
                let reason = format!("no start-up within {minutes} min");
                self.end_task(ctx, task, TaskOutcome::Timeout, &reason, events);
            }
            return;
        }
        if task.task_type == TaskType::SoftwareDeployment {
            return self.note_version(ctx, task, events);
        }
        let reason = format!("after {} s", ctx.now.since(since).as_secs());
        self.finish_task(ctx, task, &reason, events);
        if task.task_type.resets() {
            self.known = false;
            self.learned.update.forget_refusals = true;
        }
    }

    /// Whether firmware was taken shows in the version that a phone reports when it has booted, and in nothing else.
    fn note_version(&mut self, ctx: &Context<'_>, task: &Task, events: &mut Vec<EventDraft>) {
        let Some(TaskKind::SoftwareDeployment(software)) = kind_of(task, ctx) else {
            return self.end_task(ctx, task, TaskOutcome::Cancelled, "the job was deleted", events);
        };
        let version = self.identity.software_version.clone();
        if same_version(&version, &software.version) {
            self.finish_task(ctx, task, &version, events);
        } else {
            let reason = format!("booted with {version}, not with {}", software.version);
            self.fail_task(ctx, task, &reason, events);
        }
    }

    /// The phone reports how a file deployment went (WPI reference, sections 8.7 and 8.8).
    fn note_file_status(
        &mut self,
        ctx: &Context<'_>,
        message: &PhoneMessage<'_>,
        task: &Task,
        events: &mut Vec<EventDraft>,
    ) {
        let Some(TaskKind::FileDeployment(files)) = kind_of(task, ctx) else { return };
        let told = |name: &str, index: Option<u32>| {
            let found = message.items.iter().find(|item| item.name == name && item.index == index);
            found.map(|item| item.value.trim())
        };
        let status_of = |file: &FileAction| {
            let is_it = |index: Option<u32>| {
                let of_type = told("file-deployment-type", index);
                of_type.is_none_or(|told| told.eq_ignore_ascii_case(file.file_type()))
            };
            let names = message.items.iter().filter(|item| item.name == "file-deployment-name");
            let mut named = names.filter(|item| item.value.trim() == file.name());
            told("file-deployment-status", named.find(|item| is_it(item.index))?.index)
        };
        let mut failed = Vec::new();
        let mut open = 0;
        for file in files {
            match status_of(file) {
                Some(status) if status.eq_ignore_ascii_case("ok") => {}
                Some(status) => failed.push(format!("{} ({})", file.name(), shortened(status))),
                None => open += 1,
            }
        }
        if !failed.is_empty() {
            self.fail_task(ctx, task, &failed.join(", "), events);
        } else if open == 0 {
            self.finish_task(ctx, task, &counted(files.len(), "file", "files"), events);
        }
    }

    /// Whether files were sent long enough ago that the phone's inventory tells what came of them: it promises no status
    /// for several files or for a deletion.
    pub(super) fn has_files_to_verify(&self, ctx: &Context<'_>) -> bool {
        self.base.tasks.iter().any(|task| self.is_to_verify(ctx, task))
    }

    fn is_to_verify(&self, ctx: &Context<'_>, task: &Task) -> bool {
        matches!(task.state, TaskState::Running { since, .. } if ctx.now.since(since) >= FETCH_TIME)
            && task.task_type == TaskType::FileDeployment
            && !self.is_changed(task.id)
    }

    /// Compare the inventory that was just read with the files that were sent.
    pub(super) fn verify_files(&mut self, ctx: &Context<'_>, events: &mut Vec<EventDraft>) {
        let base = self.base.clone();
        for task in &base.tasks {
            let Some(TaskKind::FileDeployment(files)) = kind_of(task, ctx) else { continue };
            if self.is_to_verify(ctx, task)
                && files.iter().all(|file| self.is_there(file) == file.is_deployed())
            {
                self.finish_task(ctx, task, &counted(files.len(), "file", "files"), events);
            }
        }
    }

    fn is_there(&self, file: &FileAction) -> bool {
        let text = |entry: Option<Entry<'_>>| {
            entry.and_then(|entry| entry.value.text()).map(|text| text.trim().to_owned())
        };
        let is = |name: &str, index, wanted: &str| {
            let told = text(self.reported.get(NameRef::of(name), index));
            told.is_none_or(|told| told.eq_ignore_ascii_case(wanted))
        };
        self.reported.iter().any(|entry| {
            entry.name.text() == "file-deployment-name"
                && text(Some(entry)).is_some_and(|name| name == file.name())
                && is("file-deployment-type", entry.index, file.file_type())
                && is("file-deployment-status", entry.index, "ok")
        })
    }

    /// How many of the items that a task asks for the phone did not give.
    pub(super) fn unread(&self, ctx: &Context<'_>, task: TaskId, answer: &ItemSet) -> usize {
        let task = self.base.tasks.iter().find(|known| known.id == task);
        let Some(TaskKind::ReadItems(keys)) = task.and_then(|task| kind_of(task, ctx)) else { return 0 };
        let was_given = |key: &&ItemKey| {
            answer.iter().any(|entry| {
                entry.status.is_none()
                    && entry.name == key.name_ref()
                    && (key.index().is_none() || entry.index == key.index())
            })
        };
        keys.iter().filter(|key| !was_given(key)).count()
    }

    /// Whether this flow has changed a task.
    fn is_changed(&self, id: TaskId) -> bool {
        self.learned.update.tasks.iter().any(|change| change.id() == id)
    }

    /// The tasks that wait, may be done now, and were not done in this flow.
    pub(super) fn active(&self, ctx: &Context<'_>, wanted: impl Fn(&Task) -> bool) -> Vec<Task> {
        let is_active = |task: &&Task| {
            task.is_pending()
                && wanted(task)
                && !self.is_changed(task.id)
                && !self.postponed.contains(&task.id)
                && verdict(task, ctx.jobs, ctx.now) == Verdict::Active
        };
        self.base.tasks.iter().filter(is_active).cloned().collect()
    }

    /// Whether a task of this type waits and may be done now.
    pub(super) fn waits(&self, ctx: &Context<'_>, task_type: TaskType) -> bool {
        !self.active(ctx, |task| task.task_type == task_type).is_empty()
    }

    /// Begin the next task of a stage.
    pub(super) fn next_task(
        &mut self,
        ctx: &Context<'_>,
        stage: Stage,
        events: &mut Vec<EventDraft>,
    ) -> Option<Next> {
        for task in self.active(ctx, |task| Stage::of(task.task_type) == Some(stage)) {
            match self.start_task(ctx, &task) {
                Ok(Start::Say(next)) => return Some(next),
                Ok(Start::Done(reason)) => self.finish_task(ctx, &task, &reason, events),
                Ok(Start::Later) => self.postponed.push(task.id),
                Err(reason) => self.fail_task(ctx, &task, &reason, events),
            }
        }
        None
    }

    fn start_task(&mut self, ctx: &Context<'_>, task: &Task) -> Result<Start, String> {
        let Some(kind) = kind_of(task, ctx) else { return Err("the job was deleted".to_owned()) };
        match kind {
            // Done by the read-all of this flow, which precedes all tasks.
            TaskKind::ReadAll => Ok(match self.learned.update.read {
                Some(_) => Start::Done(counted(self.reported.len(), "item", "items")),
                // Its time came in the middle of the flow.
                None => Start::Later,
            }),
            TaskKind::ReadItems(keys) => {
                let name = |key: &ItemKey| ItemWrite { key: key.clone(), value: Secret::default() };
                let items: Vec<_> = keys.iter().map(name).collect();
                let rest = self.split(&items).map_err(|error| error.to_string())?;
                Ok(said(self.read(Reading { task: task.id, answer: Collecting::default(), rest })))
            }
            TaskKind::WriteItems(writes) => {
                let mut items = Vec::with_capacity(writes.len());
                for write in writes {
                    let value = ctx.vault.open(&write.value).map_err(|error| error.to_string())?;
                    items.push(ItemWrite { key: write.key.clone(), value: carried(self.dialect, &value) });
                }
                let batches = self.split(&items).map_err(|error| error.to_string())?;
                Ok(said(self.write(Purpose::Task(task.id), batches, 0)))
            }
            // Done by policy's writes, which precede all tasks about items.
            TaskKind::ApplyTemplates => match self.applied {
                Some(applied) => applied.outcome().map(Start::Done),
                // This flow is about something else.
                None => Ok(Start::Later),
            },
            TaskKind::SoftwareDeployment(software) => self.start_software(ctx, task, software),
            TaskKind::FileDeployment(files) => {
                let items = file_items(files, self.file_server(ctx)).map_err(|error| error.to_string())?;
                Ok(Start::Say(self.send_out(ctx, task, Action::FileDeployment, items)))
            }
            TaskKind::Restart { .. } | TaskKind::FactoryResetKeepCertificates => {
                Ok(Start::Say(self.send_out(ctx, task, Action::Restart, restart_items(kind))))
            }
            TaskKind::SecureModeOn { .. } | TaskKind::SecureModeOff | TaskKind::CheckSync { .. } => {
                Ok(Start::Later)
            }
        }
    }

    fn start_software(
        &mut self,
        ctx: &Context<'_>,
        task: &Task,
        software: &SoftwareDeployment,
    ) -> Result<Start, String> {
        let identity = &self.identity;
        if !identity.software_type.trim().eq_ignore_ascii_case(software.software_type.trim()) {
            return Err(format!(
                "the phone has firmware `{}`, this is `{}`",
                identity.software_type, software.software_type
            ));
        }
        if !software.is_for(&identity.device_type) {
            return Err(format!("not for device type `{}`", identity.device_type));
        }
        if same_version(&identity.software_version, &software.version) {
            return Ok(Start::Done(format!("has {} already", identity.software_version)));
        }
        if software.restrictions.hold(ctx.now) || self.was_deployed_lately(ctx) {
            return Ok(Start::Later);
        }
        let items = software.items(self.file_server(ctx)).map_err(|error| error.to_string())?;
        Ok(Start::Say(self.send_out(ctx, task, Action::SoftwareDeployment, items)))
    }

    /// Where this phone finds the server's own files: at the address that is configured, else at the one that it called.
    fn file_server<'a>(&'a self, ctx: &Context<'a>) -> FileServer<'a> {
        FileServer {
            files: ctx.files,
            address: ctx.files_address.or(self.called.as_deref()),
            vault: ctx.vault,
        }
    }

    fn was_deployed_lately(&self, ctx: &Context<'_>) -> bool {
        self.base.tasks.iter().any(|task| {
            let since = match task.state {
                TaskState::Running { since, .. } | TaskState::Ended { since: Some(since), .. } => since,
                TaskState::Pending | TaskState::Ended { since: None, .. } => return false,
            };
            task.task_type == TaskType::SoftwareDeployment && ctx.now.since(since) < DEPLOYMENT_GUARD
        })
    }

    /// End the flow with a message that the phone does not answer in it. That it was said is durable before it leaves: a
    /// crash must not have it done twice.
    fn send_out(&mut self, ctx: &Context<'_>, task: &Task, action: Action, items: Vec<ItemWrite>) -> Next {
        let job = task.job().and_then(|id| ctx.jobs.get(id));
        let until = ctx.now.plus(job.map_or(BOOT_TIME, |job| job.running_time()));
        self.learned.update.tasks.push(TaskChange::Sent { id: task.id, at: ctx.now, until });
        Next::Finish(Reply { action, items, dialect: self.dialect })
    }

    fn end_task(
        &mut self,
        ctx: &Context<'_>,
        task: &Task,
        outcome: TaskOutcome,
        reason: &str,
        events: &mut Vec<EventDraft>,
    ) {
        let (id, at) = (task.id, ctx.now);
        self.learned.update.tasks.push(TaskChange::Ended { id, at, outcome, reason: reason.into() });
        events.push(ended_event(&self.device, task, outcome, reason));
    }

    pub(super) fn finish_task(
        &mut self,
        ctx: &Context<'_>,
        task: &Task,
        reason: &str,
        events: &mut Vec<EventDraft>,
    ) {
        self.end_task(ctx, task, TaskOutcome::Successful, reason, events);
    }

    pub(super) fn fail_task(
        &mut self,
        ctx: &Context<'_>,
        task: &Task,
        reason: &str,
        events: &mut Vec<EventDraft>,
    ) {
        self.end_task(ctx, task, TaskOutcome::Failed, reason, events);
    }

    /// End a task by its number, with what came of it in words.
    pub(super) fn end_numbered(
        &mut self,
        ctx: &Context<'_>,
        id: TaskId,
        result: Result<String, String>,
        events: &mut Vec<EventDraft>,
    ) {
        let base = self.base.clone();
        let Some(task) = base.tasks.iter().find(|task| task.id == id) else { return };
        match result {
            Ok(text) => self.finish_task(ctx, task, &text, events),
            Err(text) => self.fail_task(ctx, task, &text, events),
        }
    }
}

/// That a task is over.
pub(crate) fn ended_event(
    device: &crate::device::DeviceId,
    task: &Task,
    outcome: TaskOutcome,
    reason: &str,
) -> EventDraft {
    let what = task.task_type.as_str();
    let (kind, text) = match outcome {
        TaskOutcome::Successful if reason.is_empty() => (EventKind::TaskDone, format!("{what} done")),
        TaskOutcome::Successful => (EventKind::TaskDone, format!("{what} done, {reason}")),
        TaskOutcome::Cancelled => (EventKind::TaskCancelled, format!("{what} cancelled: {reason}")),
        TaskOutcome::Failed | TaskOutcome::Timeout => {
            (EventKind::TaskFailed, format!("{what} failed: {reason}"))
        }
    };
    EventDraft::about(device, kind, text).of_task(task.id)
}

/// What a task does, if its job is still there.
fn kind_of<'a>(task: &'a Task, ctx: &'a Context<'_>) -> Option<&'a TaskKind> {
    match &task.work {
        Work::Own(kind) => Some(kind),
        Work::Job(id) => ctx.jobs.get(*id).map(|job| &job.kind),
    }
}

fn said(next: Option<Next>) -> Start {
    next.map_or_else(|| Start::Done(String::new()), Start::Say)
}

pub(super) fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

fn restart_items(kind: &TaskKind) -> Vec<ItemWrite> {
    let restart_type = match kind {
        TaskKind::Restart { factory_reset: true } => "FactoryReset",
        TaskKind::FactoryResetKeepCertificates => "FactoryResetKeepCertificates",
        _ => return Vec::new(),
    };
    vec![
        ItemWrite::new("restart-password", None, FACTORY_RESET_PASSWORD),
        ItemWrite::new("restart-type", None, restart_type),
    ]
}
