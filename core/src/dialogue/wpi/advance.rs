//! Messages inside a flow: answers to actions, and the phone's own end of it.

use std::collections::VecDeque;

use callboard_codecs::wpi::{Action, Fragment, PhoneMessage, Reason, ReplyStatus};

use super::flow::{Awaiting, Collecting, Flow, Purpose, Reading, Writing};
use super::open::identity;
use super::tasks::shortened;
use super::{Arrival, Context, Next, Reply, Step};
use crate::device::{Refusal, SecureMode, SecurityChange, TaskType, Written};
use crate::event::{EventDraft, EventKind};
use crate::item::{ItemSet, ItemSetBuilder, ItemWrite};
use crate::service::counted;

impl Flow {
    /// Take a message of this flow that opens none.
    ///
    /// The caller has found the flow by what the message says, and both came to the same door.
    pub fn advance(mut self, ctx: &Context<'_>, message: &PhoneMessage<'_>, arrival: &Arrival) -> Step {
        if let Some(next) = self.repeated(message, arrival) {
            self.touched = ctx.now;
            let learned = self.is_over().then(|| self.learned());
            return Step { flow: self, next, events: Vec::new(), learned };
        }
        let mut events = Vec::new();
        let next = match message.reason {
            Reason::ReplyTo { action, status } => self.answered(ctx, message, action, status, &mut events),
            _ => self.phone_ends(message, &mut events),
        };
        self.conclude(ctx, message.nonce, arrival.digest, next, events)
    }

    /// The reply to a message that was answered before (WPI reference, section 6.5).
    fn repeated(&self, message: &PhoneMessage<'_>, arrival: &Arrival) -> Option<Next> {
        let Reason::ReplyTo { action, .. } = message.reason else { return None };
        if let Awaiting::Over(reply) = &self.awaiting {
            return Some(Next::Finish(reply.clone()));
        }
        let last = self.last.as_ref()?;
        let same = *last.nonce == *message.nonce && last.digest == arrival.digest;
        let stale = action.is_some() && action == self.completed && action != self.awaiting.action();
        (same || stale).then(|| Next::Reply(last.reply.clone()))
    }

    /// The phone ends the flow, or says what nobody understands.
    fn phone_ends(&mut self, message: &PhoneMessage<'_>, events: &mut Vec<EventDraft>) -> Next {
        self.learned.take_back();
        let event = if let Reason::Unknown(word) = &message.reason {
            let text = format!("the phone came with the unknown reason `{word}`");
            EventDraft::about(&self.device, EventKind::FlowAbandoned, text)
        } else {
            let text = clean_up_reason(message);
            self.bootstrapping_given_up(&text);
            EventDraft::about(&self.device, EventKind::PhoneCleanUp, text)
        };
        events.push(event);
        Next::Finish(Reply::clean_up())
    }

    fn answered(
        &mut self,
        ctx: &Context<'_>,
        message: &PhoneMessage<'_>,
        action: Option<Action>,
        status: Option<ReplyStatus>,
        events: &mut Vec<EventDraft>,
    ) -> Next {
        if action.is_some_and(|action| self.awaiting.action() != Some(action)) {
            let text = "the phone answered another action than the one it was asked";
            events.push(EventDraft::about(&self.device, EventKind::FlowAbandoned, text));
            return Next::Finish(Reply::clean_up());
        }
        if let Err(reason) = self.gather(ctx, message) {
            self.too_large(&reason, events);
            return Next::Finish(Reply::clean_up());
        }
        if message.fragment == Fragment::Next {
            return Next::Reply(Reply::bare(Action::GetNextFragment));
        }
        self.completed = self.awaiting.action();
        let awaiting = std::mem::replace(&mut self.awaiting, Awaiting::Nothing);
        match status {
            // In a call; it calls again when it is idle (WPI reference, section 6.4). What was to be written is still
            // the difference then, and tasks still wait.
            Some(ReplyStatus::Busy) => Next::Finish(Reply::clean_up_and_call_back()),
            Some(ReplyStatus::Failed | ReplyStatus::Unknown) => self.failed(ctx, awaiting, events),
            // A missing status is a good one: the phone did answer.
            Some(ReplyStatus::Accepted) | None => self.accepted(ctx, awaiting, events),
        }
    }

    /// Keep the items of a part.
    fn gather(&mut self, ctx: &Context<'_>, message: &PhoneMessage<'_>) -> Result<(), String> {
        let limits = ctx.limits;
        if matches!(self.awaiting, Awaiting::ReadAll(_) | Awaiting::ReadItems(_)) {
            self.identity = identity(&self.identity, &message.items);
            self.dialect = self.identity.dialect();
        }
        let collecting = match &mut self.awaiting {
            Awaiting::ReadAll(collecting) | Awaiting::Tan(collecting) => collecting,
            Awaiting::ReadItems(reading) => &mut reading.answer,
            Awaiting::Write(writing) => &mut writing.answer,
            Awaiting::Nothing | Awaiting::Over(_) => return Ok(()),
        };
        collecting.fragments += 1;
        if collecting.fragments > limits.fragments {
            return Err(format!("more than {} fragments", limits.fragments));
        }
        if collecting.items.len() + message.items.len() > limits.items || message.ignored.too_many > 0 {
            return Err(format!("more than {} items in one answer", limits.items));
        }
        for item in &message.items {
            collecting
                .items
                .push(&item.name, item.index, &item.value, item.status.as_deref(), ctx.vault)
                .map_err(|error| error.to_string())?;
        }
        if collecting.items.bytes() > limits.device_bytes {
            return Err(format!("more than {} bytes in one answer", limits.device_bytes));
        }
        Ok(())
    }

    fn failed(&mut self, ctx: &Context<'_>, awaiting: Awaiting, events: &mut Vec<EventDraft>) -> Next {
        match awaiting {
            Awaiting::ReadAll(_) => {
                let text = "the phone does not let its items be read";
                events.push(EventDraft::about(&self.device, EventKind::ReadRefused, text));
                // Without knowing the phone nothing can be compared, so nothing is written.
                self.to_do.policy = false;
                for task in self.active(ctx, |task| task.task_type == TaskType::ReadAll) {
                    self.fail_task(ctx, &task, "refused by the phone", events);
                }
            }
            Awaiting::ReadItems(reading) => {
                self.end_numbered(ctx, reading.task, Err("refused by the phone".to_owned()), events);
            }
            Awaiting::Tan(_) => {
                return self.check_tan(ctx, &ItemSet::default(), events);
            }
            Awaiting::Write(writing) => return self.write_failed(ctx, writing, events),
            Awaiting::Nothing | Awaiting::Over(_) => {}
        }
        self.proceed(ctx, events)
    }

    fn write_failed(&mut self, ctx: &Context<'_>, writing: Writing, events: &mut Vec<EventDraft>) -> Next {
        match writing.purpose {
            Purpose::Policy => {
                self.applied.get_or_insert_default().refused += writing.batch.len();
                let text = format!("a write of {} items was refused", writing.batch.len());
                events.push(EventDraft::about(&self.device, EventKind::ItemsRefused, text));
                for item in &writing.batch {
                    self.refuse(ctx, item, "failed");
                }
                self.next_batch(Purpose::Policy, writing.rest, 0, ctx, events)
            }
            Purpose::Task(task) => {
                self.end_numbered(ctx, task, Err("refused by the phone".to_owned()), events);
                self.proceed(ctx, events)
            }
            Purpose::Bootstrap { .. } => {
                let text = "the phone refused its credentials";
                self.security_failed(text);
                events.push(EventDraft::about(&self.device, EventKind::SecureModeFailed, text));
                Next::Finish(Reply::clean_up())
            }
            Purpose::Renew => self.stays_old("the phone refused its new certificate", ctx, events),
            Purpose::LeaveSecure => self.stays_secure(ctx, events),
        }
    }

    /// The phone does not take `dls-mode-secure = 0`.
    fn stays_secure(&mut self, ctx: &Context<'_>, events: &mut Vec<EventDraft>) -> Next {
        let reason = "the phone does not leave secure mode";
        self.security_failed(reason);
        events.push(EventDraft::about(&self.device, EventKind::SecureModeFailed, reason));
        self.proceed(ctx, events)
    }

    fn accepted(&mut self, ctx: &Context<'_>, awaiting: Awaiting, events: &mut Vec<EventDraft>) -> Next {
        match awaiting {
            Awaiting::ReadAll(collected) => self.read_complete(ctx, collected, events),
            Awaiting::ReadItems(reading) => self.items_read(ctx, reading, events),
            Awaiting::Tan(collected) => match collected.items.build(ctx.limits.device_items) {
                Ok(answer) => self.check_tan(ctx, &answer, events),
                Err(_) => self.check_tan(ctx, &ItemSet::default(), events),
            },
            Awaiting::Write(writing) => self.written(ctx, writing, events),
            Awaiting::Nothing | Awaiting::Over(_) => self.proceed(ctx, events),
        }
    }

    fn read_complete(
        &mut self,
        ctx: &Context<'_>,
        collected: Collecting,
        events: &mut Vec<EventDraft>,
    ) -> Next {
        let set = match ctx.limits.pack(collected.items) {
            Ok(set) => set,
            Err(reason) => {
                self.too_large(&reason, events);
                return Next::Finish(Reply::clean_up());
            }
        };
        if self.base.contacts.read.is_none() {
            let text = format!("{} with {} items", self.identity.device_type, set.len());
            events.push(EventDraft::about(&self.device, EventKind::DeviceRegistered, text));
        }
        self.reported = set;
        self.known = true;
        self.learned.half_read = false;
        self.learned.update.reported = Some(self.reported.clone());
        self.learned.update.read = Some(ctx.now);
        self.verify_files(ctx, events);
        self.proceed(ctx, events)
    }

    fn items_read(&mut self, ctx: &Context<'_>, reading: Reading, events: &mut Vec<EventDraft>) -> Next {
        if !reading.rest.is_empty() {
            return self
                .count_action(ctx, events)
                .or_else(|| self.read(reading))
                .unwrap_or_else(|| self.proceed(ctx, events));
        }
        let task = reading.task;
        match reading.answer.items.build(ctx.limits.device_items) {
            Ok(answer) => {
                self.merge(ctx, answer.iter().filter(|entry| entry.status.is_none()), events);
                let result = match self.unread(ctx, task, &answer) {
                    0 => Ok(counted(answer.len(), "item", "items")),
                    unread => Err(counted(unread, "item", "items") + " not read"),
                };
                self.end_numbered(ctx, task, result, events);
            }
            Err(error) => self.end_numbered(ctx, task, Err(error.to_string()), events),
        }
        self.proceed(ctx, events)
    }

    /// Lay entries over what is known.
    fn merge<'e>(
        &mut self,
        ctx: &Context<'_>,
        entries: impl Iterator<Item = crate::item::Entry<'e>>,
        events: &mut Vec<EventDraft>,
    ) {
        let mut all = ItemSetBuilder::from_set(&self.reported);
        for entry in entries {
            all.push_entry(&entry);
        }
        self.adopt(ctx, all, events);
    }

    fn adopt(&mut self, ctx: &Context<'_>, all: ItemSetBuilder, events: &mut Vec<EventDraft>) {
        match ctx.limits.pack(all) {
            Ok(set) => {
                self.reported = set;
                self.learned.update.reported = Some(self.reported.clone());
            }
            Err(reason) => self.too_large(&reason, events),
        }
    }

    fn written(&mut self, ctx: &Context<'_>, writing: Writing, events: &mut Vec<EventDraft>) -> Next {
        let Writing { purpose, batch, rest, answer, refused } = writing;
        let Ok(failed) = answer.items.build(ctx.limits.device_items) else {
            // More failed items than a device may have: nobody can say what was taken.
            let answer = Collecting::default();
            return self.write_failed(ctx, Writing { purpose, batch, rest, answer, refused }, events);
        };
        let any_refused = failed.iter().any(|entry| entry.status.is_some());
        match purpose {
            Purpose::Bootstrap { serial, expires } => {
                if any_refused {
                    let reason = "the phone refused some of its credentials";
                    self.security_failed(reason);
                    events.push(EventDraft::about(&self.device, EventKind::SecureModeFailed, reason));
                } else {
                    self.learned.update.security = Some(SecurityChange::Sent { serial, expires });
                }
                return Next::Finish(Reply::clean_up());
            }
            Purpose::Renew if any_refused => {
                return self.stays_old("the phone refused its new certificate", ctx, events);
            }
            // The old one stays good until the phone comes with the new one.
            Purpose::Renew => return self.proceed(ctx, events),
            // The write is accepted as a whole, yet its one item is not: the phone stays where it is.
            Purpose::LeaveSecure if any_refused => {
                return self.stays_secure(ctx, events);
            }
            Purpose::LeaveSecure => {
                // Else it kept a certificate that is good for nothing now, or somebody has it who is not the phone: the
                // device itself was not in secure mode.
                if self.base.security.mode == SecureMode::Disabling {
                    let left = SecurityChange::Left("the phone was told to leave secure mode");
                    self.learned.update.security = Some(left);
                }
                return Next::Finish(Reply::clean_up());
            }
            Purpose::Policy => self.learned.update.wrote = Some(ctx.now),
            Purpose::Task(_) => {}
        }
        let refused_here = self.take_write(ctx, &batch, &failed, events);
        let refused = refused + refused_here;
        match purpose {
            Purpose::Policy => {
                let applied = self.applied.get_or_insert_default();
                applied.refused += refused_here;
                applied.written += batch.len() - refused_here;
            }
            Purpose::Task(task) if rest.is_empty() => {
                let result = match refused {
                    0 => Ok(String::new()),
                    refused => Err(self.refused_items(refused)),
                };
                self.end_numbered(ctx, task, result, events);
            }
            _ => {}
        }
        self.next_batch(purpose, rest, refused, ctx, events)
    }

    fn next_batch(
        &mut self,
        purpose: Purpose,
        rest: VecDeque<Vec<ItemWrite>>,
        refused: usize,
        ctx: &Context<'_>,
        events: &mut Vec<EventDraft>,
    ) -> Next {
        if rest.is_empty() {
            // All of it was answered: onboarding templates have had their chance.
            self.learned.update.onboarded |= matches!(purpose, Purpose::Policy);
            return self.proceed(ctx, events);
        }
        if let Some(end) = self.count_action(ctx, events) {
            return end;
        }
        self.write(purpose, rest, refused).unwrap_or_else(|| self.proceed(ctx, events))
    }

    /// Take over what the phone stored; note what it refused. Returns the number of refused items.
    fn take_write(
        &mut self,
        ctx: &Context<'_>,
        batch: &[ItemWrite],
        failed: &ItemSet,
        events: &mut Vec<EventDraft>,
    ) -> usize {
        let mut all = ItemSetBuilder::from_set(&self.reported);
        let mut refused = Vec::new();
        for item in batch {
            let entry = failed.get(item.key.name_ref(), item.key.index());
            if let Some(status) = entry.and_then(|entry| entry.status) {
                refused.push(format!("{} ({status})", item.key));
                self.refuse(ctx, item, status);
                continue;
            }
            self.learned.update.accepted.push(item.key.clone());
            if reads_back(&item.key, &self.reported) {
                let value = item.value.expose();
                // Sealing fails only without random numbers; then the old value stays until the next read-all.
                let _ = all.push_ref(item.key.name_ref(), item.key.index(), value, None, ctx.vault);
            } else {
                let digest = ctx.vault.digest(item.value.expose());
                self.learned.update.written.push(Written { key: item.key.clone(), digest });
            }
        }
        self.adopt(ctx, all, events);
        if !refused.is_empty() {
            let text =
                format!("refused: {}", refused.iter().take(20).cloned().collect::<Vec<_>>().join(", "));
            events.push(EventDraft::about(&self.device, EventKind::ItemsRefused, text));
        }
        refused.len()
    }

    /// The last so many items that were refused, the first of them by name.
    fn refused_items(&self, count: usize) -> String {
        let all = &self.learned.update.refused;
        let last = &all[all.len().saturating_sub(count)..];
        let names: Vec<_> = last
            .iter()
            .take(NAMED)
            .map(|item| format!("{} ({})", item.key, shortened(&item.status)))
            .collect();
        let more = if count > NAMED { ", ..." } else { "" };
        format!("{} refused: {}{more}", counted(count, "item", "items"), names.join(", "))
    }

    fn refuse(&mut self, ctx: &Context<'_>, item: &ItemWrite, status: &str) {
        self.learned.update.refused.push(Refusal {
            key: item.key.clone(),
            digest: ctx.vault.digest(item.value.expose()),
            status: status.into(),
            at: ctx.now,
        });
    }
}

/// Refused items that the reason of a task names.
const NAMED: usize = 5;

/// Why the phone ends a flow, as far as it says.
pub(crate) fn clean_up_reason(message: &PhoneMessage<'_>) -> String {
    let item = message.items.iter().find(|item| item.name == "cleanup-reason" && !item.value.is_empty());
    item.map_or("no reason given", |item| &item.value).chars().take(200).collect()
}

/// Whether the phone gives this item back when it is read: not if it is write-only, and not if it was reported as
/// unreadable.
fn reads_back(key: &crate::item::ItemKey, reported: &ItemSet) -> bool {
    use callboard_codecs::wpi::catalogue::{self, Access};
    let write_only =
        catalogue::lookup(key.name()).is_some_and(|id| catalogue::entry(id).access == Access::WriteOnly);
    let unreadable = reported.get(key.name_ref(), key.index()).is_some_and(|entry| entry.status.is_some());
    !write_only && !unreadable
}
