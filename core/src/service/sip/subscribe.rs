//! SUBSCRIBE: phones that ask for their profile (RFC 6665; event package `ua-profile`, RFC 6080), also those that ask a multicast
//! group for anybody who knows ("plug and play").
//!
//! No password is asked for: a phone that is new has none. What counts is where it asks from, and that a rule fits.

use std::net::SocketAddr;
use std::sync::Arc;

use callboard_codecs::sip::{
    Essentials, Event, HeaderName, Message, Method, Request, Rport, Strictness, Via, parse,
};

use super::answer::{Asked, To};
use super::metrics::ProfileRequest;
use super::notify::{Notice, State};
use super::{Incoming, ProfileRequests, Reaction, Scratch, Sip};
use crate::device::DeviceId;
use crate::service::Service;
use crate::sip::binding::Flow;
use crate::sip::profile::{Asker, BodyForm, Profile};
use crate::sip::subscription::{Accepts, Dialog, Subscription, SubscriptionId};
use crate::sip::trust::Standing;
use crate::time::Timestamp;

/// The event package.
const PACKAGE: &str = "ua-profile";

/// Longest `From`, `To`, `Event`, contact and `Call-ID` of a subscription, in bytes each.
const MAX_TEXT_BYTES: usize = 512;

/// Longest way through proxies, in bytes.
const MAX_ROUTES_BYTES: usize = 1_024;

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    /// To an address of this server.
    Unicast,
    /// To a group: only who tells a profile answers.
    Multicast,
}

/// Why a phone is not told its profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// This status.
    Status(u16, &'static str),
    /// Not an event package of this server, or none (RFC 6665, section 4.2.1.1).
    BadEvent,
    /// It asks for less time than there is.
    TooBrief(u32),
    /// No rule is for it.
    NoRule,
    /// It asks from a network from which nobody may.
    Forbidden,
    /// There is too much to do.
    Later,
}

/// A SUBSCRIBE as far as it was read.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) asked: &'a Asked<'a>,
    pub(super) essentials: &'a Essentials<'a>,
    pub(super) event: Event<'a>,
}

impl Service {
    /// Answer a SUBSCRIBE.
    pub(super) fn subscribe(
        &self,
        asked: &Asked<'_>,
        essentials: &Essentials<'_>,
        out: &mut Vec<u8>,
    ) -> Reaction {
        if self.sip.repeat_answer(asked, out) {
            return Reaction::Answer;
        }
        self.take_subscribe(asked, essentials, Arrival::Unicast, out)
            .unwrap_or_else(|refused| self.refuse_subscribe(asked, refused, out))
    }

    /// Take one datagram that was sent to a multicast group, and append the answer to `out`. Gives where the answer goes; nothing
    /// is answered to whatever is not a request for a profile that this server tells.
    pub fn sip_multicast(
        &self,
        incoming: &Incoming<'_>,
        scratch: &mut Scratch,
        now: Timestamp,
        out: &mut Vec<u8>,
    ) -> Option<SocketAddr> {
        let message = parse(incoming.bytes, &mut scratch.index, &self.sip.settings.limits);
        let Ok(Message::Request(request)) = message else { return None };
        if request.method != Method::Subscribe {
            return None;
        }
        let essentials = request.check(Strictness::Multicast).ok()?;
        self.sip.metrics.request(request.method);
        let to = answer_address(&essentials.via, incoming.flow.remote);
        let incoming = Incoming { flow: Flow { remote: to, ..incoming.flow }, ..*incoming };
        let asked = Asked::new(&self.sip.keys, &incoming, &request, now);
        if self.sip.repeat_answer(&asked, out) {
            return Some(to);
        }
        match self.take_subscribe(&asked, &essentials, Arrival::Multicast, out) {
            Ok(reaction) => (reaction == Reaction::Answer).then_some(to),
            Err(refused) => {
                self.sip.metrics.profile_request(refused.outcome());
                tracing::trace!(source = %incoming.flow.remote, ?refused, "a request to the group is not answered");
                None
            }
        }
    }

    fn take_subscribe(
        &self,
        asked: &Asked<'_>,
        essentials: &Essentials<'_>,
        arrival: Arrival,
        out: &mut Vec<u8>,
    ) -> Result<Reaction, Refused> {
        if self.sip.settings.plug_and_play.requests == ProfileRequests::Off {
            return Err(Refused::BadEvent);
        }
        let wish = Wish { asked, essentials, event: read_event(asked.request)? };
        match (essentials.to.tag(), arrival) {
            (None, _) => self.subscribe_anew(&wish, arrival, out),
            (Some(tag), Arrival::Unicast) => self.resubscribe(&wish, tag, out),
            (Some(_), Arrival::Multicast) => Err(Refused::Status(481, "Subscription Does Not Exist")),
        }
    }

    /// A SUBSCRIBE outside of a dialogue: with `Expires: 0` it asks once, else again and again.
    fn subscribe_anew(
        &self,
        wish: &Wish<'_>,
        arrival: Arrival,
        out: &mut Vec<u8>,
    ) -> Result<Reaction, Refused> {
        let (asked, settings) = (wish.asked, &self.sip.settings.plug_and_play);
        if arrival == Arrival::Unicast && settings.requests != ProfileRequests::All {
            return Err(Refused::BadEvent);
        }
        if !self.sip.may_ask(asked, self.proven_device(asked.incoming.proof)) {
            return Err(Refused::Forbidden);
        }
        let asker = Asker::of(asked.request, wish.essentials, &wish.event).ok_or(Refused::NoRule)?;
        let changes = self.sip.subscriptions.lock().changes();
        let profile = self.profile_of(&asker).ok_or(Refused::NoRule)?;
        let accepts = accepted(asked.request);
        let form = accepts.choose(profile.form).ok_or(Refused::Status(406, "Not Acceptable"))?;
        let seconds = self.sip.granted(asked.request)?;
        if self.sip.is_busy() || self.sip.is_to_ask_later(asked.incoming.flow.remote.ip()) {
            return Err(Refused::Later);
        }
        let mut one = new_subscription(wish, asker, accepts, profile)?;
        one.expires = asked.now.plus(std::time::Duration::from_secs(seconds.into()));
        let id = tag_number(asked.tag()).ok_or(Refused::Status(500, "Server Internal Error"))?;
        let subscription = (seconds > 0).then_some(id);
        let state = if seconds > 0 { State::Active(seconds) } else { State::Ended("timeout") };
        let notice = one.notice(subscription, state, Some(form));
        if seconds > 0 {
            let mut subscriptions = self.sip.subscriptions.lock();
            subscriptions.add(id, one).map_err(|full| {
                tracing::debug!(source = %asked.incoming.flow.remote, %full, "a phone is not subscribed");
                Refused::Later
            })?;
            subscriptions.looked_up_after(changes);
        }
        Ok(self.sip.accept_subscribe(asked, seconds, notice, out))
    }

    fn refuse_subscribe(&self, asked: &Asked<'_>, refused: Refused, out: &mut Vec<u8>) -> Reaction {
        let sip = &self.sip;
        sip.metrics.profile_request(refused.outcome());
        match refused {
            Refused::Status(status, reason) => sip.answer(asked, status, reason, out),
            Refused::NoRule => sip.answer(asked, 404, "No Profile", out),
            Refused::Forbidden => sip.answer(asked, 403, "Not From This Network", out),
            Refused::Later => sip.answer_later(asked, out),
            Refused::BadEvent => sip.answer_with(asked, (489, "Bad Event"), To::Anybody, out, |writer| {
                writer.list(HeaderName::AllowEvents, sip.events())
            }),
            Refused::TooBrief(least) => {
                sip.answer_with(asked, (423, "Interval Too Brief"), To::Anybody, out, |writer| {
                    writer.number(HeaderName::MinExpires, least)
                })
            }
        }
    }
}

impl Refused {
    const fn outcome(self) -> ProfileRequest {
        match self {
            Self::NoRule => ProfileRequest::NoRule,
            Self::Forbidden => ProfileRequest::Forbidden,
            Self::Later => ProfileRequest::Busy,
            Self::Status(..) | Self::BadEvent | Self::TooBrief(_) => ProfileRequest::Refused,
        }
    }
}

impl Sip {
    /// Event packages that may be subscribed to at this server's own addresses.
    pub(super) fn events(&self) -> &'static [&'static str] {
        if self.settings.plug_and_play.requests == ProfileRequests::All { &[PACKAGE] } else { &[] }
    }

    /// The answer that this very request got before, if it comes again.
    fn repeat_answer(&self, asked: &Asked<'_>, out: &mut Vec<u8>) -> bool {
        let Some(answer) = self.servers.lock().get(asked.transaction, asked.now) else { return false };
        self.metrics.absorbed();
        out.extend_from_slice(&answer);
        true
    }

    /// Whether somebody may ask: from a network that is near, or because it is known who it is.
    pub(super) fn may_ask(&self, asked: &Asked<'_>, proven: Option<&DeviceId>) -> bool {
        let source = asked.incoming.flow.remote.ip();
        self.settings.plug_and_play.networks.iter().any(|network| network.contains(source))
            || self.settings.trust.of(source, proven) != Standing::Asked
    }

    /// How many seconds a subscription gets; 0 for one that ends at once.
    pub(super) fn granted(&self, request: &Request<'_>) -> Result<u32, Refused> {
        let settings = &self.settings.plug_and_play;
        match request.headers.expires() {
            Some(seconds @ 1..) if seconds < settings.min_expires => {
                Err(Refused::TooBrief(settings.min_expires))
            }
            Some(seconds) => Ok(seconds.min(settings.max_expires)),
            None => Ok(settings.max_expires),
        }
    }

    /// Write the 200, remember it for the same request if that comes again, and have the phone told.
    pub(super) fn accept_subscribe(
        &self,
        asked: &Asked<'_>,
        seconds: u32,
        notice: Notice,
        out: &mut Vec<u8>,
    ) -> Reaction {
        let start = out.len();
        let contact = self.own_contact(&asked.incoming.flow);
        let reaction = self.answer_with(asked, (200, "OK"), To::Known, out, |writer| {
            writer
                .copy(&asked.request.headers, HeaderName::RecordRoute)
                .header(HeaderName::Contact, contact.as_bytes())
                .number(HeaderName::Expires, seconds)
        });
        if reaction != Reaction::Answer {
            // Without an answer there is no subscription.
            if let Some(id) = notice.subscription {
                self.subscriptions.lock().end(id);
            }
            return reaction;
        }
        if let Some(answer) = out.get(start..)
            && !asked.incoming.flow.transport.is_reliable()
        {
            self.servers.lock().keep(asked.transaction, Arc::from(answer), asked.now);
        }
        self.metrics.profile_request(ProfileRequest::Told);
        self.notice(notice, asked.now);
        reaction
    }
}

impl Subscription {
    /// The next NOTIFY; with its URL if there is a form for it.
    pub(super) fn notice(
        &mut self,
        subscription: Option<SubscriptionId>,
        state: State,
        form: Option<BodyForm>,
    ) -> Notice {
        self.local_cseq += 1;
        Notice {
            subscription,
            dialog: self.dialog.clone(),
            event: self.event.clone(),
            cseq: self.local_cseq,
            state,
            body: form.map(|form| (form, self.profile.url.clone())),
        }
    }
}

/// The number in a tag of ours.
pub(super) fn tag_number(tag: &str) -> Option<SubscriptionId> {
    let is_ours = tag.len() == 16 && tag.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_ours.then(|| u64::from_str_radix(tag, 16).ok()).flatten()
}

fn read_event<'a>(request: &Request<'a>) -> Result<Event<'a>, Refused> {
    match request.headers.event() {
        Some(Err(_)) => Err(Refused::Status(400, "Malformed Event")),
        Some(Ok(event)) if event.package == PACKAGE.as_bytes() => Ok(event),
        Some(Ok(_)) | None => Err(Refused::BadEvent),
    }
}

/// Which forms of a URL a request accepts. Without a word about it: both.
fn accepted(request: &Request<'_>) -> Accepts {
    if !request.headers.has(HeaderName::Accept) {
        return Accepts { url: true, external_body: true };
    }
    let mut accepts = Accepts { url: false, external_body: false };
    for range in request.headers.accepts().filter_map(Result::ok) {
        accepts.url |= range.allows(BodyForm::Url.media_type());
        accepts.external_body |= range.allows(BodyForm::ExternalBody.media_type());
    }
    accepts
}

fn new_subscription(
    wish: &Wish<'_>,
    asker: Asker,
    accepts: Accepts,
    profile: Profile,
) -> Result<Subscription, Refused> {
    let headers = &wish.asked.request.headers;
    let to = bounded(headers.first(HeaderName::To).unwrap_or_default())?;
    let remote_tag = wish.essentials.from.tag().map(bounded).transpose()?;
    Ok(Subscription {
        dialog: Dialog {
            call_id: bounded(wish.essentials.call_id)?,
            local: format!("{to};tag={}", wish.asked.tag()).into(),
            remote: bounded(headers.first(HeaderName::From).unwrap_or_default())?,
            remote_tag,
            target: read_target(wish.asked.request)?,
            routes: read_routes(wish.asked.request)?,
            flow: wish.asked.incoming.flow,
        },
        event: bounded(headers.first(HeaderName::Event).unwrap_or_default())?,
        event_id: wish.event.id.map(bounded).transpose()?,
        asker,
        accepts,
        profile,
        since: wish.asked.now,
        expires: wish.asked.now,
        remote_cseq: wish.essentials.cseq.number,
        local_cseq: 0,
    })
}

/// A text in the form in which it is kept: on one line, and not too long.
fn bounded(value: &[u8]) -> Result<Box<str>, Refused> {
    if value.len() > MAX_TEXT_BYTES {
        return Err(Refused::Status(400, "Address, Event Or Call-ID Too Long"));
    }
    let mut text = Vec::with_capacity(value.len());
    callboard_codecs::sip::write_unfolded(&mut text, value);
    let text = String::from_utf8(text).map_err(|_| Refused::Status(400, "Not Text"))?;
    Ok(text.into())
}

/// Where requests to the phone go: its one `Contact`, a SIP URI (RFC 6665, section 4.1.2.2).
pub(super) fn read_target(request: &Request<'_>) -> Result<Box<str>, Refused> {
    use callboard_codecs::sip::Contact;
    let mut contacts = request.headers.contacts();
    let contact = match (contacts.next(), contacts.next()) {
        (Some(Ok(Contact::Address(contact))), None) => contact,
        (None, _) => return Err(Refused::Status(400, "Missing Contact")),
        (Some(Ok(_)), Some(Ok(_))) => return Err(Refused::Status(400, "More Than One Contact")),
        _ => return Err(Refused::Status(400, "Malformed Contact")),
    };
    match contact.address.uri() {
        Ok(uri) if uri.sip().is_some() => bounded(contact.address.raw_uri),
        _ => Err(Refused::Status(400, "Malformed Contact")),
    }
}

/// `Record-Route`, which requests to the phone follow (RFC 3261, section 12.1.1).
fn read_routes(request: &Request<'_>) -> Result<Box<str>, Refused> {
    let mut text = Vec::new();
    for value in request.headers.all(HeaderName::RecordRoute) {
        if !text.is_empty() {
            text.push(b',');
        }
        callboard_codecs::sip::write_unfolded(&mut text, value);
    }
    if text.len() > MAX_ROUTES_BYTES {
        return Err(Refused::Status(400, "Record-Route Too Long"));
    }
    if request.headers.routes(HeaderName::RecordRoute).any(|route| route.is_err()) {
        return Err(Refused::Status(400, "Malformed Record-Route"));
    }
    String::from_utf8(text).map(Into::into).map_err(|_| Refused::Status(400, "Malformed Record-Route"))
}

/// Where the answer to a request goes that came from `source` (RFC 3261, section 18.2.2; RFC 3581, section 4): to nobody but the
/// sender itself, whatever its Via says.
fn answer_address(via: &Via<'_>, source: SocketAddr) -> SocketAddr {
    let named = via.port.filter(|port| *port != 0).unwrap_or_else(|| via.transport.default_port());
    let port = if via.rport == Rport::Absent { named } else { source.port() };
    SocketAddr::new(source.ip(), port)
}
