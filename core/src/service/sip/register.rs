//! REGISTER (RFC 3261, section 10.3; RFC 3327; RFC 5626).

use std::net::IpAddr;

use callboard_codecs::sip::{
    BadText, Contact, ContactAddress, ContactValue, Essentials, HeaderName, Part, SipUri, Uri, write_unfolded,
};
use smallvec::SmallVec;

use super::answer::{Asked, Dates, To};
use super::authenticate::Who;
use super::domain::canonical;
use super::receive::{SUPPORTED, text_of};
use super::{Reaction, Sip, Text};
use crate::device::DeviceId;
use crate::event::{EventDraft, EventKind};
use crate::service::Service;
use crate::sip::binding::Binding;
use crate::sip::identify::{device_in, device_of_instance};
use crate::sip::location::{LocationError, Registered};
use crate::sip::registrar::{ContactWish, Contacts, Refused, Registration};
use crate::store::SubmitError;

/// Longest address-of-record, in bytes: it is a key of the journal.
const MAX_AOR_BYTES: usize = 255;

/// Longest contact, with its parameters, in bytes.
const MAX_CONTACT_BYTES: usize = 1_024;

/// Longest `Path` of all values together, and longest `Call-ID`, in bytes.
const MAX_PATH_BYTES: usize = 1_024;
const MAX_CALL_ID_BYTES: usize = 256;

/// Bytes of `User-Agent` that are kept.
const MAX_USER_AGENT_BYTES: usize = 128;

/// Header fields of vendors in which a phone shows its MAC address.
const MAC_HEADERS: [&str; 2] = ["Aastra-Mac", "X-Mac-Address"];

/// What is answered instead of doing anything.
type Refusal = (u16, &'static str);

/// A contact's text: where its parameters stand in the common buffer.
struct Draft<'a> {
    contact: ContactAddress<'a>,
    uri: &'a str,
    params: std::ops::Range<usize>,
    instance: Option<(u16, u16)>,
    nat: bool,
}

/// Whom a REGISTER is from.
struct From<'a> {
    /// The user that knows a password; empty if nobody was asked for one.
    username: &'a str,
    device: Option<&'a DeviceId>,
    /// Whether the device is more than the sender's own word.
    is_sure: bool,
    /// The credentials were used before, for this very request.
    again: bool,
    /// The URI of `To`.
    domain: SipUri<'a>,
}

/// What a REGISTER says, read.
struct Read<'a> {
    drafts: SmallVec<[Draft<'a>; 2]>,
    all: bool,
    outbound: bool,
}

impl Service {
    pub(super) fn register(
        &self,
        asked: &Asked<'_>,
        essentials: &Essentials<'_>,
        (text, dates): (&mut Text, &mut Dates),
        out: &mut Vec<u8>,
    ) -> Reaction {
        let refuse =
            |(status, reason): Refusal, out: &mut Vec<u8>| self.sip.answer(asked, status, reason, out);
        let Ok(Uri::Sip(to)) = essentials.to.uri() else { return refuse((404, "Not Found"), out) };
        let to = canonical(to);
        if !self.sip.is_own_domain(&to) {
            return refuse((404, "Not Found"), out);
        }
        text.aor.clear();
        to.write_address_of_record(&mut text.aor);
        if self.sip.is_busy_for(&text.aor) {
            return self.sip.answer_later(asked, out);
        }
        let sender = match self.sip.authenticate(asked, self.proven_device(asked.incoming.proof), &to, out) {
            Ok(sender) => sender,
            Err(reaction) => return reaction,
        };
        if !self.may_register(&sender, &to) {
            return refuse((403, "Not Your Address"), out);
        }
        let read = match read(asked, essentials, text) {
            Ok(read) => read,
            Err((421, reason)) => {
                return self.sip.answer_with(asked, (421, reason), To::Known, out, |writer| {
                    writer.list(HeaderName::Require, ["path"])
                });
            }
            Err(refusal) => return refuse(refusal, out),
        };
        let device = self.device_of(asked, &sender, &read, &to);
        let user = sender.credential();
        let from = From {
            username: user.map_or("", |user| user.username.as_str()),
            device: device.as_ref(),
            is_sure: user.is_none_or(|user| user.device.is_some()),
            again: matches!(sender, Who::Again(_)),
            domain: to,
        };
        self.lay(asked, essentials, (text, dates), &read, &from, out)
    }

    /// Do it, and write the answer.
    fn lay(
        &self,
        asked: &Asked<'_>,
        essentials: &Essentials<'_>,
        (text, dates): (&Text, &mut Dates),
        read: &Read<'_>,
        from: &From<'_>,
        out: &mut Vec<u8>,
    ) -> Reaction {
        let (Ok(aor), Ok(params), Ok(path), Ok(call_id)) = (
            str::from_utf8(&text.aor),
            str::from_utf8(&text.params),
            str::from_utf8(&text.path),
            str::from_utf8(essentials.call_id),
        ) else {
            return self.sip.answer(asked, 400, "Not ASCII", out);
        };
        let wishes: SmallVec<[ContactWish<'_>; 2]> =
            read.drafts.iter().map(|draft| draft.wish(params)).collect();
        let contacts = match (&wishes[..], read.all) {
            ([], false) => Contacts::Fetch,
            ([], true) => Contacts::All,
            (wishes, _) => Contacts::Some(wishes),
        };
        let user_agent = self.sip.location.share(shortened(text_of(asked.request, HeaderName::UserAgent)));
        let registration = Registration {
            call_id,
            cseq: essentials.cseq.number,
            contacts,
            expires: asked.request.headers.expires(),
            path,
            user_agent: &user_agent,
            flow: asked.incoming.flow,
            transaction: asked.transaction,
            username: from.username,
            device: from.device,
            is_proven: from.is_sure && from.device.is_some(),
            again: from.again,
            outbound: read.outbound,
        };
        // Phones without a clock set theirs by it.
        let date = dates.text(self.now());
        let listed = self.sip.location.register(aor, &registration, asked.now, |bindings| {
            self.sip.list(asked, bindings, read.outbound, date, out)
        });
        match listed {
            Ok((registered, Ok(_))) => self.registered(asked, aor, (from.device, from.is_sure), &registered),
            Ok((_, Err(bad))) => self.sip.unwritable(asked, bad),
            Err(error) => self.not_registered(asked, &error, &from.domain, out),
        }
    }

    fn registered(
        &self,
        asked: &Asked<'_>,
        aor: &str,
        (device, is_sure): (Option<&DeviceId>, bool),
        registered: &Registered,
    ) -> Reaction {
        self.sip.metrics.answered(asked.request.method, 200);
        if registered.repeated {
            self.sip.metrics.absorbed();
        }
        if registered.back {
            self.endpoint_back(aor, device);
        }
        if let Some(device) = device
            && registered.came
        {
            self.phone_came(asked, device, is_sure);
        }
        Reaction::AnswerAfter(registered.position, registered.place)
    }

    /// A phone has registered anew: it is taken in if nobody knows it, and told what waits for it.
    fn phone_came(&self, asked: &Asked<'_>, id: &DeviceId, is_sure: bool) {
        if self.fleet.look(id, |_| ()).is_some() {
            return self.work_begins(id);
        }
        if !is_sure || !self.sip.settings.take_in {
            return;
        }
        let (now, source) = (self.now(), asked.incoming.flow.remote.ip());
        let agent = shortened(text_of(asked.request, HeaderName::UserAgent));
        let (model, version) = agent.split_once('/').unwrap_or((agent, ""));
        let taken = self.fleet.update_detached(id, true, |device| {
            let mut new = device.clone();
            new.revision += 1;
            new.identity.device_type = model.into();
            new.identity.software_type = "SIP".into();
            new.identity.software_version = version.into();
            new.contacts.first = now;
            new.contacts.last = now;
            new.contacts.source = Some(source);
            Ok(new)
        });
        match taken {
            Ok(_) => self.record(EventDraft::about(id, EventKind::DeviceRegistered, "registered by SIP")),
            Err(error) => tracing::debug!(device = %id, %error, "a phone is not taken in"),
        }
    }

    fn not_registered(
        &self,
        asked: &Asked<'_>,
        error: &LocationError,
        domain: &SipUri<'_>,
        out: &mut Vec<u8>,
    ) -> Reaction {
        let sip = &self.sip;
        match error {
            LocationError::Refused(Refused::TooBrief { min }) => {
                sip.answer_with(asked, (423, "Interval Too Brief"), To::Known, out, |writer| {
                    writer.number(HeaderName::MinExpires, *min)
                })
            }
            LocationError::Refused(Refused::StarWithoutZero) => {
                sip.answer(asked, 400, "Contact * Needs Expires 0", out)
            }
            LocationError::Refused(Refused::SeveralFlows) => {
                sip.answer(asked, 400, "Several Contacts With reg-id", out)
            }
            LocationError::Refused(Refused::OutOfOrder) => sip.answer(asked, 500, "CSeq Out Of Order", out),
            LocationError::Refused(Refused::TooMany { .. }) => {
                sip.answer(asked, 403, "Too Many Contacts", out)
            }
            // That was answered before: only who sent it can say, with another nonce, whether it is meant.
            LocationError::Refused(Refused::Again) => sip.challenge(asked, domain, true, out),
            LocationError::Full { .. }
            | LocationError::Submit(SubmitError::Full { .. } | SubmitError::NoSpace { .. }) => {
                sip.answer_later(asked, out)
            }
            LocationError::Submit(_) | LocationError::Record(_) => {
                tracing::warn!(%error, "a registration cannot be stored");
                sip.answer_later(asked, out)
            }
        }
    }

    /// The device that a registration is of: what is proven first, then what the endpoint says of itself. Numbers in texts
    /// count only if there is such a device.
    fn device_of(
        &self,
        asked: &Asked<'_>,
        sender: &Who,
        read: &Read<'_>,
        to: &SipUri<'_>,
    ) -> Option<DeviceId> {
        let proven = match sender {
            Who::Device(device) => Some(device.clone()),
            Who::User(user) | Who::Again(user) => user.device.clone(),
            Who::Trusted => None,
        };
        let instance = || {
            let instances = read.drafts.iter().filter_map(|draft| draft.contact.instance);
            instances.filter_map(|text| str::from_utf8(text).ok()).find_map(device_of_instance)
        };
        let header = || {
            let named = |name| asked.request.headers.other(name).and_then(|value| str::from_utf8(value).ok());
            MAC_HEADERS.iter().filter_map(|name| named(name)).find_map(device_in)
        };
        let agent = || device_in(text_of(asked.request, HeaderName::UserAgent));
        let contact = || read.drafts.iter().find_map(|draft| device_in(draft.uri));
        proven
            .or_else(instance)
            .or_else(header)
            .or_else(agent)
            .or_else(contact)
            .or_else(|| to.user.and_then(|user| self.lookout.numbers.device(str::from_utf8(user).ok()?)))
    }
}

impl Sip {
    /// The 200 of a REGISTER: all bindings as they are now.
    fn list(
        &self,
        asked: &Asked<'_>,
        bindings: &[Binding],
        outbound: bool,
        date: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize, BadText> {
        let mut writer = asked.begin(200, "OK", out);
        for binding in bindings.iter().filter(|binding| binding.is_current(asked.now)) {
            writer = writer.contact(&ContactValue {
                uri: binding.contact.as_bytes(),
                params: binding.params.as_bytes(),
                expires: Some(binding.expires_in(asked.now)),
            });
        }
        writer = writer.copy(&asked.request.headers, HeaderName::Path);
        if outbound {
            writer = writer.list(HeaderName::Require, ["outbound"]);
            if self.settings.flow_timer > 0 {
                writer = writer.number(HeaderName::FlowTimer, self.settings.flow_timer);
            }
        }
        writer.list(HeaderName::Supported, SUPPORTED).header(HeaderName::Date, date).finish()
    }
}

fn shortened(text: &str) -> &str {
    let mut end = text.len().min(MAX_USER_AGENT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl<'a> Draft<'a> {
    fn wish(&self, params: &'a str) -> ContactWish<'a> {
        ContactWish {
            uri: self.uri,
            params: params.get(self.params.clone()).unwrap_or_default(),
            instance: self.instance,
            reg_id: self.contact.reg_id,
            q: self.contact.q,
            expires: self.contact.expires,
            nat: self.nat,
        }
    }
}

/// Read the contacts and what belongs to them.
fn read<'a>(asked: &Asked<'a>, essentials: &Essentials<'a>, text: &mut Text) -> Result<Read<'a>, Refusal> {
    text.params.clear();
    let headers = &asked.request.headers;
    let mut read = Read { drafts: SmallVec::new(), all: false, outbound: false };
    for contact in headers.contacts() {
        match contact {
            Ok(Contact::Star) => read.all = true,
            Ok(Contact::Address(contact)) => read.drafts.push(draft(asked, contact, text)?),
            Err(bad) if bad.part == Part::TooMany => return Err((400, "Too Many Contacts")),
            Err(_) => return Err((400, "Malformed Contact")),
        }
    }
    if read.all && (!read.drafts.is_empty() || headers.contacts().count() > 1) {
        return Err((400, "Contact * Stands Alone"));
    }
    if text.aor.len() > MAX_AOR_BYTES || essentials.call_id.len() > MAX_CALL_ID_BYTES {
        return Err((400, "Address Or Call-ID Too Long"));
    }
    read_path(asked, text)?;
    read.outbound = is_outbound(asked, &read)?;
    Ok(read)
}

fn draft<'a>(asked: &Asked<'a>, contact: ContactAddress<'a>, text: &mut Text) -> Result<Draft<'a>, Refusal> {
    let uri = contact.address.raw_uri;
    let params = contact.address.params;
    if uri.len() + params.as_bytes().len() > MAX_CONTACT_BYTES {
        return Err((400, "Contact Too Long"));
    }
    // Its scheme may be any, but what is called SIP has to be.
    let parsed = contact.address.uri().map_err(|_| (400, "Malformed Contact"))?;
    let uri = str::from_utf8(uri).map_err(|_| (400, "Malformed Contact"))?;
    let start = text.params.len();
    let mut instance = None;
    for param in params.iter().filter(|param| !param.is("q") && !param.is("expires")) {
        text.params.push(b';');
        text.params.extend_from_slice(param.name);
        let Some(value) = param.value else { continue };
        text.params.push(b'=');
        let at = text.params.len() - start;
        write_unfolded(&mut text.params, value);
        if param.is("+sip.instance") && instance.is_none() {
            let end = text.params.len() - start;
            let quotes = usize::from(value.first() == Some(&b'"'));
            instance = offsets(at + quotes, end - quotes);
        }
    }
    let host = match parsed {
        Uri::Sip(uri) => uri.host.address(),
        _ => None,
    };
    let nat = is_behind_nat(asked.incoming.flow.remote.ip(), host);
    Ok(Draft { contact, uri, params: start..text.params.len(), instance, nat })
}

fn offsets(from: usize, to: usize) -> Option<(u16, u16)> {
    Some((u16::try_from(from).ok()?, u16::try_from(to).ok()?)).filter(|(from, to)| from < to)
}

/// Whether an endpoint names another address than it is seen at. A name says nothing.
fn is_behind_nat(source: IpAddr, named: Option<IpAddr>) -> bool {
    named.is_some_and(|named| named.to_canonical() != source)
}

/// The way back through proxies. Only if the endpoint knows that they stand between (RFC 3327, section 5.3).
fn read_path(asked: &Asked<'_>, text: &mut Text) -> Result<(), Refusal> {
    text.path.clear();
    let headers = &asked.request.headers;
    if !headers.has(HeaderName::Path) {
        return Ok(());
    }
    if !headers.has_option(HeaderName::Supported, "path") {
        return Err((421, "Extension Required"));
    }
    if headers.routes(HeaderName::Path).any(|path| path.is_err()) {
        return Err((400, "Malformed Path"));
    }
    for value in headers.all(HeaderName::Path) {
        if !text.path.is_empty() {
            text.path.push(b',');
        }
        write_unfolded(&mut text.path, value);
    }
    if text.path.len() > MAX_PATH_BYTES { Err((400, "Path Too Long")) } else { Ok(()) }
}

/// Whether the flow is kept for what is sent to the endpoint (RFC 5626, section 6): it wants that, and the first hop is this server
/// or keeps flows too.
fn is_outbound(asked: &Asked<'_>, read: &Read<'_>) -> Result<bool, Refusal> {
    let headers = &asked.request.headers;
    let wants = read.drafts.iter().any(|draft| draft.contact.reg_id.is_some() && draft.instance.is_some());
    if !wants || !headers.has_option(HeaderName::Supported, "outbound") {
        return Ok(false);
    }
    if headers.vias().count() <= 1 {
        return Ok(true);
    }
    let first_hop = headers.routes(HeaderName::Path).filter_map(Result::ok).last();
    let keeps = first_hop.and_then(|path| path.uri().ok()).is_some_and(|uri| match uri {
        Uri::Sip(uri) => uri.params.is_outbound(),
        _ => false,
    });
    if keeps { Ok(true) } else { Err((439, "First Hop Lacks Outbound Support")) }
}
