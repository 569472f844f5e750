//! What to say next.
//!
//! The order inside a flow (WPI reference, section 6.3): TAN and bootstrapping, reading all items, leaving secure
//! mode, policy's writes, tasks, a restart last because the phone leaves without an answer.

use std::collections::VecDeque;

use callboard_codecs::wpi::{Action, EmitError, MAX_MESSAGE_BYTES, split_items};

use super::flow::{Awaiting, Collecting, Flow, Purpose, ToDo, Writing};
use super::reply::item_ref;
use super::{Context, Next, Reply, Step};
use crate::device::{Task, TaskChange, TaskKind, TaskState, TemplateFault};
use crate::event::{EventDraft, EventKind};
use crate::item::{ItemKey, ItemSetBuilder, ItemWrite};
use crate::policy::{DesiredItem, Difference, Facts, difference};

/// The password of a factory reset, a constant of the phones (WPI reference, section 8.13).
const FACTORY_RESET_PASSWORD: &str = "124816";

impl Flow {
    /// The next thing to do, or the end.
    pub(super) fn proceed(&mut self, ctx: &Context<'_>, events: &mut Vec<EventDraft>) -> Next {
        if self.actions >= ctx.limits.actions {
            let text = format!("more than {} messages in one flow", ctx.limits.actions);
            events.push(EventDraft::about(&self.device, EventKind::FlowLoop, text));
            return Next::Finish(Reply::clean_up());
        }
        self.actions += 1;
        if std::mem::take(&mut self.to_do.tan) {
            return self.ask_tan();
        }
        if std::mem::take(&mut self.to_do.credentials) {
            return self.need_credentials(ctx, events);
        }
        if std::mem::take(&mut self.to_do.read_all) {
            return self.read_all();
        }
        if std::mem::take(&mut self.to_do.leave_secure) {
            return self.leave_secure();
        }
        if std::mem::take(&mut self.to_do.policy)
            && let Some(next) = self.apply_policy(ctx, events)
        {
            return next;
        }
        if self.to_do.tasks
            && let Some(next) = self.next_task(ctx, events)
        {
            return next;
        }
        Next::Finish(Reply::clean_up())
    }

    fn read_all(&mut self) -> Next {
        // A read-all need not repeat the basic items; what it repeats overrides them.
        let items = ItemSetBuilder::from_set(&self.opening);
        self.awaiting = Awaiting::ReadAll(Collecting { items, fragments: 0 });
        Next::Reply(Reply::bare(Action::ReadAllItems))
    }

    fn apply_policy(&mut self, ctx: &Context<'_>, events: &mut Vec<EventDraft>) -> Option<Next> {
        let facts = Facts { id: &self.device, identity: &self.identity, assigned: &self.base.templates };
        let desired = ctx.policy.desired(facts, self.occasion);
        let mut view = self.base.as_ref().clone();
        if self.update.forget_refusals {
            view.refused.clear();
            view.written.clear();
        }
        let Difference { writes, mut faults } = difference(desired, &view, &self.reported, ctx.vault);
        self.update.onboarded = true;
        let batches = self.batches(writes, &mut faults);
        if faults != self.base.faults {
            if let Some(first) = faults.first() {
                let text = format!(
                    "{} template items do not apply, first {}: {}",
                    faults.len(),
                    first.key,
                    first.reason
                );
                events.push(EventDraft::about(&self.device, EventKind::TemplateFault, text));
            }
            self.update.faults = Some(faults);
        }
        self.write(Purpose::Policy, batches)
    }

    /// Cut writes into messages. An item that fits into none becomes a fault.
    fn batches(
        &self,
        mut writes: Vec<DesiredItem>,
        faults: &mut Vec<TemplateFault>,
    ) -> VecDeque<Vec<ItemWrite>> {
        loop {
            let items: Vec<_> = writes
                .iter()
                .map(|item| ItemWrite { key: item.key.clone(), value: item.value.clone() })
                .collect();
            let (at, error) = match self.split(&items) {
                Ok(batches) => return batches,
                Err(error) => match unsendable(&items, self) {
                    Some(at) => (at, error),
                    None => return VecDeque::new(),
                },
            };
            let item = writes.remove(at);
            let reason = format!("cannot be sent: {error}").into_boxed_str();
            faults.push(TemplateFault { template: item.template, key: item.key, reason });
        }
    }

    pub(super) fn split(&self, items: &[ItemWrite]) -> Result<VecDeque<Vec<ItemWrite>>, EmitError> {
        let refs: Vec<_> = items.iter().map(item_ref).collect();
        let batches = split_items(&refs, self.max_items, MAX_MESSAGE_BYTES, self.dialect)?;
        Ok(batches
            .into_iter()
            .map(|batch| batch.into_iter().map(|r| ItemWrite::new(r.name, r.index, r.value)).collect())
            .collect())
    }

    /// Send the first batch, if there is one.
    pub(super) fn write(&mut self, purpose: Purpose, mut batches: VecDeque<Vec<ItemWrite>>) -> Option<Next> {
        let batch = batches.pop_front()?;
        let reply = Reply { action: Action::WriteItems, items: batch.clone(), dialect: self.dialect };
        self.awaiting =
            Awaiting::Write(Writing { purpose, batch, rest: batches, answer: Collecting::default() });
        Some(Next::Reply(reply))
    }

    fn next_task(&mut self, ctx: &Context<'_>, events: &mut Vec<EventDraft>) -> Option<Next> {
        let base = self.base.clone();
        let waits = |flow: &Self, task: &Task| {
            task.state == TaskState::Pending
                && !flow.update.tasks.iter().any(
                    |change| matches!(change, TaskChange::Sent(id, _) | TaskChange::Finished(id) if *id == task.id),
                )
        };
        let restarts = |task: &Task| matches!(task.kind, TaskKind::Restart { .. });
        loop {
            let waiting = || base.tasks.iter().filter(|task| waits(self, task));
            let task = waiting().find(|task| !restarts(task)).or_else(|| waiting().next())?;
            match self.start_task(ctx, task) {
                Ok(Some(next)) => return Some(next),
                Ok(None) => self.finish_task(task, events),
                Err(reason) => self.fail_task(task.id, task.kind.as_str(), &reason, events),
            }
        }
    }

    fn start_task(&mut self, ctx: &Context<'_>, task: &Task) -> Result<Option<Next>, String> {
        match &task.kind {
            // Done by the read-all of this flow, which precedes all tasks.
            TaskKind::ReadAll => Ok(None),
            TaskKind::ReadItems(keys) => Ok(Some(self.read_items(keys, task))),
            TaskKind::WriteItems(writes) => {
                let mut items = Vec::with_capacity(writes.len());
                for write in writes {
                    let value = ctx.vault.open(&write.value).map_err(|error| error.to_string())?;
                    items.push(ItemWrite { key: write.key.clone(), value });
                }
                let batches = self.split(&items).map_err(|error| error.to_string())?;
                Ok(self.write(Purpose::Task(task.id), batches))
            }
            TaskKind::Restart { factory_reset } => {
                // Made durable before it leaves: a crash must not boot the phone twice.
                self.update.tasks.push(TaskChange::Sent(task.id, ctx.now));
                Ok(Some(Next::FinishWithoutAnswer(restart(*factory_reset))))
            }
        }
    }

    fn read_items(&mut self, keys: &[ItemKey], task: &Task) -> Next {
        let items = keys
            .iter()
            .map(|key| ItemWrite { key: key.clone(), value: crate::secret::Secret::default() })
            .collect();
        self.awaiting = Awaiting::ReadItems(Collecting::default(), task.id);
        Next::Reply(Reply { action: Action::ReadItems, items, dialect: self.dialect })
    }

    fn finish_task(&mut self, task: &Task, events: &mut Vec<EventDraft>) {
        self.update.tasks.push(TaskChange::Finished(task.id));
        let text = format!("{} done", task.kind.as_str());
        events.push(EventDraft::about(&self.device, EventKind::TaskDone, text));
    }

    pub(super) fn fail_task(
        &mut self,
        id: crate::device::TaskId,
        what: &str,
        reason: &str,
        events: &mut Vec<EventDraft>,
    ) {
        self.update.tasks.push(TaskChange::Finished(id));
        let text = format!("{what} failed: {reason}");
        events.push(EventDraft::about(&self.device, EventKind::TaskFailed, text));
    }

    /// Close a step: remember the exchange, and give the update out if the flow is over.
    pub(super) fn conclude(
        mut self,
        ctx: &Context<'_>,
        nonce: &str,
        digest: u64,
        next: Next,
        events: Vec<EventDraft>,
    ) -> Step {
        self.touched = ctx.now;
        let mut update = None;
        match &next {
            Next::Reply(reply) => self.remember(nonce, digest, reply),
            Next::Finish(reply) | Next::FinishWithoutAnswer(reply) => {
                self.remember(nonce, digest, reply);
                self.awaiting = Awaiting::Over(reply.clone());
                self.to_do = ToDo::default();
                update = Some(std::mem::take(&mut self.update));
            }
            Next::Need(_) | Next::Refuse(_) => {}
        }
        Step { flow: self, next, events, update }
    }
}

/// The first item that no message can carry.
fn unsendable(items: &[ItemWrite], flow: &Flow) -> Option<usize> {
    items.iter().position(|item| flow.split(std::slice::from_ref(item)).is_err())
}

fn restart(factory_reset: bool) -> Reply {
    let mut reply = Reply::bare(Action::Restart);
    if factory_reset {
        reply.items = vec![
            ItemWrite::new("restart-password", None, FACTORY_RESET_PASSWORD),
            ItemWrite::new("restart-type", None, "FactoryReset"),
        ];
    }
    reply
}
