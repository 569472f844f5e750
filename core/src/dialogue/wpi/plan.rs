//! What to say next.
//!
//! The order inside a flow (WPI reference, section 6.3): TAN and bootstrapping, a new certificate, reading all items,
//! leaving secure mode, firmware, policy's writes, tasks about items, files, a restart last because the phone leaves
//! without an answer.

use std::collections::VecDeque;

use callboard_codecs::wpi::{Action, Dialect, EmitError, ItemRef, MAX_MESSAGE_BYTES, split_items};

use super::flow::{Awaiting, Collecting, Flow, Purpose, Reading, ToDo, Writing};
use super::reply::item_ref;
use super::tasks::Stage;
use super::{Context, Need, Next, Reply, Step};
use crate::device::{Device, TemplateFault};
use crate::event::{EventDraft, EventKind};
use crate::item::{ItemSetBuilder, ItemWrite};
use crate::policy::{DesiredItem, Difference, Facts, difference};

impl Flow {
    /// The next thing to do, or the end.
    pub(super) fn proceed(&mut self, ctx: &Context<'_>, events: &mut Vec<EventDraft>) -> Next {
        match self.next(ctx, events) {
            // Only what goes on is counted.
            next @ (Next::Reply(_) | Next::Need(_)) => self.count_action(ctx, events).unwrap_or(next),
            end @ Next::Finish(_) => end,
        }
    }

    fn next(&mut self, ctx: &Context<'_>, events: &mut Vec<EventDraft>) -> Next {
        if std::mem::take(&mut self.to_do.tan) {
            return self.ask_tan();
        }
        if std::mem::take(&mut self.to_do.credentials) {
            return self.need_credentials(ctx, events);
        }
        // First of all in its flow: making a certificate takes a while, and nothing is promised yet.
        if std::mem::take(&mut self.to_do.renewal) {
            return Next::Need(Need { device: self.device.clone(), password: None, renews: true });
        }
        if std::mem::take(&mut self.to_do.read_all) {
            return self.read_all();
        }
        if std::mem::take(&mut self.to_do.leave_secure) {
            return self.leave_secure();
        }
        // Alone: the phone boots, and other firmware may want other settings.
        if self.to_do.tasks
            && let Some(next) = self.next_task(ctx, Stage::Software, events)
        {
            return next;
        }
        if std::mem::take(&mut self.to_do.policy)
            && let Some(next) = self.apply_policy(ctx, events)
        {
            return next;
        }
        for stage in [Stage::Items, Stage::Files, Stage::Boot] {
            if self.to_do.tasks
                && let Some(next) = self.next_task(ctx, stage, events)
            {
                return next;
            }
        }
        Next::Finish(Reply::clean_up())
    }

    /// Count a message that asks the phone for an answer; the end of the flow if that is one too many.
    pub(super) fn count_action(&mut self, ctx: &Context<'_>, events: &mut Vec<EventDraft>) -> Option<Next> {
        if self.actions >= ctx.limits.actions {
            let text = format!("more than {} messages in one flow", ctx.limits.actions);
            events.push(EventDraft::about(&self.device, EventKind::FlowLoop, text));
            return Some(Next::Finish(Reply::clean_up()));
        }
        self.actions += 1;
        None
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
        if self.learned.update.forget_refusals {
            view.refused.clear();
            view.written.clear();
        }
        let mut polling = self.polling_items(ctx, &view);
        // What a template says of these items is an administrator's own word.
        polling.retain(|item| !desired.items.iter().any(|wanted| wanted.key == item.key));
        let Difference { writes, mut faults, refused } =
            difference(desired, &view, &self.reported, ctx.vault);
        let batches = self.batches(writes, &polling, &mut faults);
        let applied = self.applied.get_or_insert_default();
        (applied.refused_before, applied.faults) = (refused, faults.len() - refused);
        // With something to write, onboarding templates have had their chance when the phone has taken it.
        self.learned.update.onboarded = batches.is_empty();
        if faults != self.base.faults {
            if let Some(first) = faults.first() {
                let what = if faults.len() == 1 { "item does" } else { "items do" };
                let (count, key, reason) = (faults.len(), &first.key, &first.reason);
                let text = format!("{count} template {what} not apply, first {key}: {reason}");
                events.push(EventDraft::about(&self.device, EventKind::TemplateFault, text));
            }
            self.learned.update.faults = Some(faults);
        }
        self.write(Purpose::Policy, batches, 0)
    }

    /// The name or address of what the phone called, without a port.
    fn called_host(&self) -> Option<&str> {
        let (_, authority) = self.called.as_deref()?.split_once("://")?;
        let end = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
        Some(&authority[..end.unwrap_or(authority.len())])
    }

    /// Where and how often the phone is to poll. It need not keep that over a restart, whatever it says, so it is told
    /// after each `start-up` (WPI reference, section 9.3); else only what it does not have. What it refused is not
    /// repeated.
    fn polling_items(&self, ctx: &Context<'_>, view: &Device) -> Vec<ItemWrite> {
        let has = |item: &ItemWrite| {
            let entry = self.reported.get(item.key.name_ref(), None).filter(|entry| entry.status.is_none());
            entry.is_some_and(|entry| entry.value.equals(item.value.expose(), ctx.vault))
        };
        let is_refused = |item: &ItemWrite| {
            let refusal = view.refused.iter().find(|refusal| refusal.key == item.key);
            refusal.is_some_and(|refusal| refusal.digest == ctx.vault.digest(item.value.expose()))
        };
        let mut items = ctx.polling.items_for(&self.base, self.learned.update.route.site, self.called_host());
        items.retain(|item| !is_refused(item) && (self.learned.update.started || !has(item)));
        items
    }

    /// Cut writes into messages, those of policy first. One of a template that fits into none becomes a fault.
    fn batches(
        &self,
        mut writes: Vec<DesiredItem>,
        more: &[ItemWrite],
        faults: &mut Vec<TemplateFault>,
    ) -> VecDeque<Vec<ItemWrite>> {
        let plain = |item: &DesiredItem| ItemWrite { key: item.key.clone(), value: item.value.clone() };
        let all = |writes: &[DesiredItem]| {
            self.split(&writes.iter().map(plain).chain(more.iter().cloned()).collect::<Vec<_>>())
        };
        all(&writes)
            .or_else(|_| {
                writes.retain(|item| {
                    let Err(error) = self.split(&[plain(item)]) else { return true };
                    let reason = format!("cannot be sent: {error}").into_boxed_str();
                    faults.push(TemplateFault { template: item.template, key: item.key.clone(), reason });
                    false
                });
                all(&writes)
            })
            .unwrap_or_default()
    }

    /// Cut items into messages that this phone takes.
    pub(super) fn split(&self, items: &[ItemWrite]) -> Result<VecDeque<Vec<ItemWrite>>, EmitError> {
        cut(items, self.max_items, self.dialect)
    }

    /// Send the first batch, if there is one. Of those before it `refused` items were not taken.
    pub(super) fn write(
        &mut self,
        purpose: Purpose,
        mut batches: VecDeque<Vec<ItemWrite>>,
        refused: usize,
    ) -> Option<Next> {
        let batch = batches.pop_front()?;
        Some(self.send(purpose, batch, batches, refused))
    }

    /// Send a batch.
    pub(super) fn send(
        &mut self,
        purpose: Purpose,
        batch: Vec<ItemWrite>,
        rest: VecDeque<Vec<ItemWrite>>,
        refused: usize,
    ) -> Next {
        let reply = Reply { action: Action::WriteItems, items: batch.clone(), dialect: self.dialect };
        self.awaiting =
            Awaiting::Write(Writing { purpose, batch, rest, answer: Collecting::default(), refused });
        Next::Reply(reply)
    }

    /// Ask for the next items of a task, if there are any left.
    pub(super) fn read(&mut self, mut reading: Reading) -> Option<Next> {
        let items = reading.rest.pop_front()?;
        reading.answer.fragments = 0;
        self.awaiting = Awaiting::ReadItems(reading);
        Some(Next::Reply(Reply { action: Action::ReadItems, items, dialect: self.dialect }))
    }

    /// Close a step: remember the exchange, and give out what was learned if the flow is over.
    pub(super) fn conclude(
        mut self,
        ctx: &Context<'_>,
        nonce: &str,
        digest: u64,
        next: Next,
        events: Vec<EventDraft>,
    ) -> Step {
        self.touched = ctx.now;
        let mut learned = None;
        match &next {
            Next::Reply(reply) => self.remember(nonce, digest, reply),
            Next::Finish(reply) => {
                self.remember(nonce, digest, reply);
                self.awaiting = Awaiting::Over(reply.clone());
                self.to_do = ToDo::default();
                learned = Some(self.learned());
            }
            Next::Need(_) => {}
        }
        Step { flow: self, next, events, learned }
    }
}

/// Cut items into messages. Batches of a `ReadItems` are a little smaller than they could be.
pub(super) fn cut(
    items: &[ItemWrite],
    max_items: Option<u32>,
    dialect: Dialect,
) -> Result<VecDeque<Vec<ItemWrite>>, EmitError> {
    let refs: Vec<_> = items.iter().map(item_ref).collect();
    let batches = split_items(&refs, max_items, MAX_MESSAGE_BYTES, dialect)?;
    let own = |item: ItemRef<'_>| ItemWrite::new(item.name, item.index, item.value);
    Ok(batches.into_iter().map(|batch| batch.into_iter().map(own).collect()).collect())
}
