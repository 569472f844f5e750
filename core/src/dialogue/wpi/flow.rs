//! The state of one flow.

use std::collections::VecDeque;
use std::sync::Arc;

use callboard_codecs::wpi::{Action, Dialect};

use super::{Learned, Reply};
use crate::device::{Device, DeviceId, Identity, TaskId};
use crate::item::{ItemSet, ItemSetBuilder, ItemWrite};
use crate::policy::Occasion;
use crate::time::Timestamp;

/// One chain of requests and replies, from an opening message to its end.
#[derive(Debug)]
pub struct Flow {
    pub(super) device: DeviceId,
    /// Why the phone called, as a label.
    pub(super) reason: &'static str,
    /// The serial number of its certificate, if it came to the secure door.
    pub(super) certificate: Option<Box<str>>,
    pub(super) opened: Timestamp,
    pub(super) touched: Timestamp,
    /// The device as it was when the flow began.
    pub(super) base: Arc<Device>,
    /// Who the phone says it is.
    pub(super) identity: Identity,
    pub(super) dialect: Dialect,
    /// Scheme, host and port under which the phone called, as far as it said so.
    pub(super) called: Option<Box<str>>,
    /// Items of the opening message.
    pub(super) opening: ItemSet,
    /// What is known of the phone's items by now.
    pub(super) reported: ItemSet,
    /// All items are known.
    pub(super) known: bool,
    pub(super) occasion: Occasion,
    /// Largest number of items in one service message; `None` is no limit.
    pub(super) max_items: Option<u32>,
    /// What policy wrote in this flow, once it was asked.
    pub(super) applied: Option<Applied>,
    /// Tasks that cannot be done now and wait on.
    pub(super) postponed: Vec<TaskId>,
    /// Everything learned so far.
    pub(super) learned: Learned,
    pub(super) awaiting: Awaiting,
    pub(super) to_do: ToDo,
    /// Service messages sent that go on with it.
    pub(super) actions: u32,
    pub(super) last: Option<Exchange>,
    /// The action whose answer came last: its repetition gets the same reply again.
    pub(super) completed: Option<Action>,
}

/// What the flow still has to see to.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // a list of things to do, each done or not
pub(super) struct ToDo {
    pub(super) tan: bool,
    pub(super) credentials: bool,
    pub(super) renewal: bool,
    pub(super) read_all: bool,
    pub(super) leave_secure: bool,
    pub(super) policy: bool,
    pub(super) tasks: bool,
}

/// What came of policy's writes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Applied {
    /// Items that the phone took.
    pub(super) written: usize,
    /// Items that it refused.
    pub(super) refused: usize,
    /// Items that it refused earlier, which are not written again.
    pub(super) refused_before: usize,
    /// Template items that do not apply to it.
    pub(super) faults: usize,
}

/// The answer that the flow waits for.
#[derive(Debug)]
pub(super) enum Awaiting {
    /// None: a step is being taken.
    Nothing,
    /// All items.
    ReadAll(Collecting),
    /// Some items, for a task.
    ReadItems(Reading),
    /// The last characters of the PIN.
    Tan(Collecting),
    /// The result of a write.
    Write(Writing),
    /// None any more; the reply to repeat if the phone repeats its message.
    Over(Reply),
}

impl Awaiting {
    /// The action that is to be answered.
    pub(super) const fn action(&self) -> Option<Action> {
        match self {
            Self::Nothing | Self::Over(_) => None,
            Self::ReadAll(_) => Some(Action::ReadAllItems),
            Self::ReadItems(_) | Self::Tan(_) => Some(Action::ReadItems),
            Self::Write(_) => Some(Action::WriteItems),
        }
    }
}

/// Items of a phone message that may come in fragments.
#[derive(Debug, Default)]
pub(super) struct Collecting {
    pub(super) items: ItemSetBuilder,
    pub(super) fragments: u32,
}

/// A read of chosen items under way.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) task: TaskId,
    pub(super) answer: Collecting,
    /// What is asked for after it.
    pub(super) rest: VecDeque<Vec<ItemWrite>>,
}

/// A write under way.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) purpose: Purpose,
    /// What was sent and is not answered yet.
    pub(super) batch: Vec<ItemWrite>,
    /// What goes out after it.
    pub(super) rest: VecDeque<Vec<ItemWrite>>,
    /// Failed items of the answer, which may come in fragments too.
    pub(super) answer: Collecting,
    /// Items refused in the batches before.
    pub(super) refused: usize,
}

/// Why something is written.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    Policy,
    Task(TaskId),
    Bootstrap {
        serial: Box<str>,
        expires: Timestamp,
    },
    /// A new certificate for a phone that is in secure mode.
    Renew,
    LeaveSecure,
}

/// A request and what was answered.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) nonce: Box<str>,
    pub(super) digest: u64,
    pub(super) reply: Reply,
}

impl Flow {
    /// About as many bytes as the flow keeps of what its phone sent.
    pub fn bytes(&self) -> usize {
        let collected = match &self.awaiting {
            Awaiting::ReadAll(answer) | Awaiting::Tan(answer) => answer.items.bytes(),
            Awaiting::ReadItems(reading) => reading.answer.items.bytes(),
            Awaiting::Write(writing) => writing.answer.items.bytes(),
            Awaiting::Nothing | Awaiting::Over(_) => 0,
        };
        let reported =
            if self.reported.is_same(&self.base.reported) { 0 } else { self.reported.as_bytes().len() };
        collected + reported + self.opening.as_bytes().len()
    }

    /// The device.
    pub const fn device(&self) -> &DeviceId {
        &self.device
    }

    /// Why the phone called, as a label.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// Service messages sent so far that went on with it; the one that ends it does not count.
    pub const fn actions(&self) -> u32 {
        self.actions
    }

    /// When it was opened.
    pub const fn opened(&self) -> Timestamp {
        self.opened
    }

    /// When its last message came.
    pub const fn touched(&self) -> Timestamp {
        self.touched
    }

    /// Whether the last reply was given; the flow stays only to repeat it.
    pub const fn is_over(&self) -> bool {
        matches!(self.awaiting, Awaiting::Over(_))
    }

    /// What the flow learned so far.
    pub(super) fn learned(&self) -> Learned {
        let mut learned = self.learned.clone();
        learned.update.identity = (self.identity != self.base.identity).then(|| self.identity.clone());
        learned
    }

    /// What an abandoned flow learned, with nothing in it that needs the flow's end to be true.
    ///
    /// A flow that is over is abandoned only if its last reply never left: that waits for the flow to be durable.
    pub fn abandon(self) -> Learned {
        let mut learned = self.learned();
        learned.take_back();
        learned
    }

    /// Remember the exchange, so that a retransmission gets the same reply.
    pub(super) fn remember(&mut self, nonce: &str, digest: u64, reply: &Reply) {
        self.last = Some(Exchange { nonce: nonce.into(), digest, reply: reply.clone() });
    }
}
