//! NOTIFY within a subscription: what a phone is told, when it leaves, and what came of it (RFC 6665, section 4.2.2).

use std::collections::VecDeque;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use callboard_codecs::sip::{BadText, HeaderName, MessageWriter, Method, RequestHead, ViaHead};

use super::Sip;
use super::metrics::NotifyOutcome;
use super::request::{Purpose, Told};
use super::target::request_uri;
use super::time::{Budget, routes, wire};
use crate::dialogue::sip::client::Branch;
use crate::network::counted_as;
use crate::sip::profile::BodyForm;
use crate::sip::subscription::{Dialog, SubscriptionId};
use crate::tally::Tally;
use crate::time::Timestamp;

/// NOTIFYs that wait at the most; one more is lost, as the network may lose it.
const MOST: usize = 65_536;

/// Which part of the NOTIFYs that may wait are those of one address at the most, the inverse of it.
const SHARE: usize = 8;

/// Time that a NOTIFY waits: the answer to the SUBSCRIBE shall be first, which leaves with others of its batch.
const BEHIND_ANSWER: Duration = Duration::from_millis(5);

/// NOTIFYs on their way out.
#[derive(Debug, Default)]
pub(super) struct Notices {
    queue: VecDeque<(Timestamp, Notice)>,
    /// How many of them are for each address.
    sources: Tally<IpAddr>,
    /// Bits of an IPv6 address that count.
    ipv6_prefix: u32,
    budget: Budget,
}

impl Notices {
    pub(super) fn new(ipv6_prefix: u32) -> Self {
        Self { ipv6_prefix, ..Self::default() }
    }

    fn push(&mut self, notice: Notice, now: Timestamp) {
        self.sources.join(self.source(&notice));
        self.queue.push_back((now, notice));
    }

    /// Whom it is counted with.
    fn source(&self, notice: &Notice) -> IpAddr {
        counted_as(notice.dialog.flow.remote.ip(), self.ipv6_prefix)
    }

    fn pop(&mut self) -> Option<Notice> {
        let (_, notice) = self.queue.pop_front()?;
        let source = self.source(&notice);
        self.sources.leave(&source);
        Some(notice)
    }
}

/// What a phone is told.
#[derive(Debug)]
pub(super) struct Notice {
    /// The subscription, unless it is over by this.
    pub(super) subscription: Option<SubscriptionId>,
    pub(super) dialog: Dialog,
    /// `Event`, as in the SUBSCRIBE.
    pub(super) event: Box<str>,
    pub(super) cseq: u32,
    pub(super) state: State,
    /// The URL and how it is told.
    pub(super) body: Option<(BodyForm, Box<str>)>,
}

/// `Subscription-State`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It goes on for so many seconds.
    Active(u32),
    /// It is over: a reason of RFC 6665, section 4.2.2.
    Ended(&'static str),
}

/// A NOTIFY that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Notified {
    subscription: Option<SubscriptionId>,
    cseq: u32,
}

impl Notified {
    /// Whether it is the first of its subscription: nobody has shown yet that a phone is there.
    pub(super) const fn is_first(self) -> bool {
        self.cseq == 1
    }
}

impl Sip {
    /// Have a phone told, soon.
    pub(super) fn notice(&self, notice: Notice, now: Timestamp) {
        let mut notices = self.notices.lock();
        if notices.queue.len() >= MOST {
            drop(notices);
            tracing::debug!("too many NOTIFYs wait: one is lost");
            return self.metrics.notify(NotifyOutcome::Unsent);
        }
        notices.push(notice, now);
    }

    /// Whether NOTIFYs for more than a second wait.
    pub(super) fn has_notices_waiting(&self) -> bool {
        self.notices.lock().queue.len() >= self.settings.plug_and_play.notifies_per_second
    }

    /// Whether `source` has to wait with its question: NOTIFYs for more than a second wait, or more than its part of them are its own.
    pub(super) fn is_to_ask_later(&self, source: IpAddr) -> bool {
        let settings = &self.settings.plug_and_play;
        let share = (settings.notifies_per_second / SHARE).max(1);
        let notices = self.notices.lock();
        let own = notices.sources.of(&counted_as(source, notices.ipv6_prefix));
        let waiting = notices.queue.len();
        // As long as half of it is free, nobody is in anybody's way.
        waiting >= settings.notifies_per_second
            || (waiting >= settings.notifies_per_second / 2
                && own >= share
                && !settings.subscriptions.is_exempt(source))
    }

    /// Send what waits, as far as the rate allows.
    pub(super) fn send_notices(&self, now: Timestamp) {
        while let Some(notice) = self.next_notice(now) {
            self.send_notice(&notice, now);
        }
    }

    fn next_notice(&self, now: Timestamp) -> Option<Notice> {
        let mut notices = self.notices.lock();
        let Notices { queue, budget, .. } = &mut *notices;
        // A clock that stepped back keeps nobody waiting.
        let is_due = |queued: Timestamp| now.since(queued) >= BEHIND_ANSWER || now < queued;
        if !queue.front().is_some_and(|(queued, _)| is_due(*queued))
            || budget.left(now, self.settings.plug_and_play.notifies_per_second) == 0
        {
            return None;
        }
        budget.use_one();
        notices.pop()
    }

    fn send_notice(&self, notice: &Notice, now: Timestamp) {
        let branch = self.next_branch();
        let purpose = Notified { subscription: notice.subscription, cseq: notice.cseq };
        let request = match self.write_notify(notice, branch) {
            Ok(request) => request,
            Err(bad) => {
                tracing::debug!(target = %notice.dialog.target, %bad, "a NOTIFY cannot be written");
                return self.not_notified(purpose, NotifyOutcome::Unsent, true);
            }
        };
        let begun = self.begin(branch, &notice.dialog.flow, &request, Purpose::Notify(purpose), now);
        if let Err((_, fault)) = begun {
            tracing::debug!(target = %notice.dialog.target, ?fault, "a NOTIFY is not sent");
            // With too many requests under way it is only lost; the phone asks again.
            self.not_notified(purpose, NotifyOutcome::Unsent, fault.is_some());
        }
    }

    /// What a phone said to a NOTIFY.
    pub(super) fn notified(&self, notified: Notified, told: Told) {
        match told {
            Told::Status(200..=299) => self.metrics.notify(NotifyOutcome::Accepted),
            // It knows nothing of the subscription, whatever it answered to others.
            Told::Status(481) => {
                let latest = Notified { cseq: u32::MAX, ..notified };
                self.not_notified(latest, NotifyOutcome::Refused, true);
            }
            Told::Status(_) => self.not_notified(notified, NotifyOutcome::Refused, true),
            Told::Nothing => self.not_notified(notified, NotifyOutcome::TimedOut, true),
        }
    }

    /// A phone did not take a NOTIFY: its subscription ends (RFC 6665, section 4.2.2), unless it took a later one.
    fn not_notified(&self, notified: Notified, outcome: NotifyOutcome, ends: bool) {
        self.metrics.notify(outcome);
        let Some(id) = notified.subscription.filter(|_| ends) else { return };
        let mut subscriptions = self.subscriptions.lock();
        if subscriptions.get_mut(id).is_some_and(|one| one.local_cseq <= notified.cseq) {
            subscriptions.end(id);
        }
    }

    fn write_notify(&self, notice: &Notice, branch: Branch) -> Result<Arc<[u8]>, BadText> {
        let dialog = &notice.dialog;
        let names = self.names(branch, &dialog.flow);
        let uri = request_uri(&dialog.target);
        let head = RequestHead {
            method: Method::Notify,
            uri: uri.as_bytes(),
            via: ViaHead {
                transport: wire(dialog.flow.transport),
                sent_by: names.sent_by.as_bytes(),
                branch: names.branch.as_bytes(),
                rport: true,
            },
            routes: &routes(&dialog.routes),
            max_forwards: 70,
            from: dialog.local.as_bytes(),
            to: dialog.remote.as_bytes(),
            call_id: dialog.call_id.as_bytes(),
            cseq: notice.cseq,
        };
        let state = match notice.state {
            State::Active(seconds) => format!("active;expires={seconds}"),
            State::Ended(reason) => format!("terminated;reason={reason}"),
        };
        let mut out = Vec::with_capacity(1_024);
        let writer = MessageWriter::request(&mut out, &head)
            .header(HeaderName::Contact, self.own_contact(&dialog.flow).as_bytes())
            .header(HeaderName::Event, notice.event.as_bytes())
            .header(HeaderName::SubscriptionState, state.as_bytes());
        match &notice.body {
            None => writer.finish()?,
            Some((BodyForm::Url, url)) => writer.finish_with("application/url", url.as_bytes())?,
            Some((BodyForm::ExternalBody, url)) => {
                // The body holds the header of what is meant (RFC 2046, section 5.2.3), which nobody knows here.
                let id = self.keys.tag.hash_one(url.as_bytes());
                let host = names.call_id.split_once('@').map_or("callboard.invalid", |parts| parts.1);
                let body = format!(
                    "Content-Type: application/octet-stream\r\nContent-ID: <{id:016x}@{host}>\r\n\r\n"
                );
                let form = format!("message/external-body;access-type=\"URL\";URL=\"{url}\"");
                writer.finish_with(&form, body.as_bytes())?
            }
        };
        Ok(out.into())
    }
}
