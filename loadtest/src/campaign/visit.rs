//! One dialogue of a phone in a campaign: what it says, what it is told, and what it writes into the book.

use std::time::Instant;

use super::book::Did;
use super::errand::Crowd;
use super::manner::Manner;
use super::tells_to_poll;
use crate::call::{Nonces, PATH, PHONE_BLOCK};
use crate::fault::Fault;
use crate::phone::message::Say;
use crate::phone::reply::{self, Action, Reply};
use crate::phone::stencil::Fill;
use crate::wire::head::check_cookie;
use crate::wire::link::{self, Link};

/// How a dialogue ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// With `CleanUp`.
    Over,
    /// With `CleanUp`, and the wish that the phone calls when it is idle.
    CallBack,
    /// With "later".
    Later,
    /// The phone was told its task, and left.
    Told,
}

enum Step {
    Say(Say),
    End(Heard),
}

/// A phone in a dialogue.
pub(super) struct Visit<'a> {
    crowd: &'a Crowd,
    number: u32,
    manner: Manner,
    /// It said what it did: the end of the dialogue confirms that.
    has_said: bool,
}

impl<'a> Visit<'a> {
    pub(super) fn new(crowd: &'a Crowd, number: u32) -> Self {
        Self { crowd, number, manner: crowd.manner(number), has_said: false }
    }

    /// Connect, and go through one dialogue.
    pub(super) async fn run(mut self, opening: Say) -> Result<Heard, Fault> {
        let target = self.crowd.target(self.number);
        let source = link::source(self.number, target.sources, PHONE_BLOCK);
        let tls = target.tls.connector(self.number);
        let mut link = Link::open(source, target.addr, tls, Vec::new()).await?;
        let heard = self.talk(&mut link, opening).await?;
        link.close().await;
        Ok(heard)
    }

    async fn talk(&mut self, link: &mut Link, opening: Say) -> Result<Heard, Fault> {
        let crowd = self.crowd;
        let (identity, host) = (crowd.world.fleet.identity(self.number), &crowd.target(self.number).host);
        let messages = crowd.messages(self.number, identity.model);
        let (mut nonces, mut cookie, mut request) = (Nonces::new(None), None, Vec::new());
        let fragments = messages.fragment_count(true);
        let mut say = opening;
        self.has_said = matches!(opening, Say::StartUp { .. });
        loop {
            let nonce = nonces.next();
            let fill = Fill { identity: &identity, generation: 0, nonce: &nonce };
            messages.request(say, fill, (PATH, host), cookie.as_deref(), &mut request);
            let answer = link.exchange(&request).await?;
            let reply = reply::read(answer.body, &nonce)?;
            match answer.head.cookie {
                Some(again) if cookie.is_some() => {
                    return Err(Fault::Cookie(format!("given again: {again}")));
                }
                given if cookie.is_none() && !reply.is_overload() => {
                    check_cookie(given.as_deref())?;
                    cookie = given;
                }
                _ => {}
            }
            match self.hear(say, &reply, fragments)? {
                Step::Say(_) if answer.head.close => return Err(Fault::Ended("more was to be said")),
                Step::Say(next) => say = next,
                Step::End(heard) => return Ok(heard),
            }
        }
    }

    fn hear(&mut self, said: Say, reply: &Reply, fragments: usize) -> Result<Step, Fault> {
        if reply.is_overload() {
            return Ok(Step::End(Heard::Later));
        }
        match (reply.action, said) {
            (Action::CleanUp, _) => self.cleaned_up(said, reply).map(Step::End),
            (Action::ReadAllItems, Say::StartUp { .. } | Say::Solicited) => {
                Ok(Step::Say(Say::Fragment { number: 0, configured: true }))
            }
            (Action::GetNextFragment, Say::Fragment { number, configured }) if number + 1 < fragments => {
                Ok(Step::Say(Say::Fragment { number: number + 1, configured }))
            }
            // It polls already.
            (Action::WriteItems, _) if tells_to_poll(reply) => Ok(Step::Say(Say::Written)),
            (action, _) if action == self.crowd.task_type.action() => {
                if !self.crowd.task_type.is_told_by(reply) {
                    return Err(Fault::Items(format!("{} holds {:?}", action.as_str(), reply.items)));
                }
                Ok(self.told())
            }
            (action, _) => Err(Fault::Action { got: action.as_str(), expected: Action::CleanUp.as_str() }),
        }
    }

    fn cleaned_up(&self, said: Say, reply: &Reply) -> Result<Heard, Fault> {
        if self.has_said {
            self.crowd.book.confirmed(self.number, Instant::now());
        }
        let calls_back = reply.items.iter().any(|item| item.name == "send-solicited" && item.value == "true");
        if calls_back != matches!(said, Say::Unwilling { busy: true, .. }) {
            return Err(Fault::Items(format!("CleanUp after {said:?} holds {:?}", reply.items)));
        }
        Ok(if calls_back { Heard::CallBack } else { Heard::Over })
    }

    /// The phone was told its task.
    fn told(&mut self) -> Step {
        let (book, number) = (&self.crowd.book, self.number);
        let is_first = book.entry(number).told == 0;
        book.told(number, Instant::now());
        let (action, boots) = (self.crowd.task_type.action(), self.crowd.task_type.boots());
        let (did, say) = match self.manner {
            Manner::Disappears => {
                book.is_gone(number);
                return Step::End(Heard::Told);
            }
            Manner::Refuses => (Did::Refused, Say::Unwilling { action, busy: false }),
            Manner::Busy if is_first => (Did::Busy, Say::Unwilling { action, busy: true }),
            _ if boots => return Step::End(Heard::Told),
            Manner::StaysOld => (Did::NotDone, Say::NotWritten),
            _ => (Did::Done, Say::Written),
        };
        book.does(number, did);
        self.has_said = true;
        Step::Say(say)
    }
}
