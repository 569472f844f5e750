//! What comes in: told apart, checked, handed on.

use callboard_codecs::sip::{
    Datagram, Essentials, HeaderName, Message, Method, Refusal, Request, Rport, Strictness, Uri, Via, parse,
    stun,
};

use std::net::SocketAddr;

use super::answer::{Asked, To};
use super::{Incoming, Reaction, Scratch};
use crate::service::Service;
use crate::sip::binding::{Flow, Transport};
use crate::time::Timestamp;

/// Methods that are answered otherwise than by 405.
pub(super) const ALLOW: [&str; 5] = ["REGISTER", "OPTIONS", "SUBSCRIBE", "ACK", "CANCEL"];

/// Extensions that a request may require.
pub(super) const SUPPORTED: [&str; 2] = ["path", "outbound"];

/// Most option tags that are named as not supported.
const UNSUPPORTED: usize = 8;

impl Service {
    /// Take one message that came in, and append the answer to `out`.
    pub fn sip_received(
        &self,
        incoming: &Incoming<'_>,
        scratch: &mut Scratch,
        now: Timestamp,
        out: &mut Vec<u8>,
    ) -> Reaction {
        if incoming.flow.transport == Transport::Udp {
            match Datagram::classify(incoming.bytes) {
                Datagram::Sip => {}
                Datagram::KeepAlive => {
                    self.sip.metrics.keep_alive();
                    return Reaction::Nothing;
                }
                Datagram::Stun => return self.stun(incoming, out),
            }
        }
        let Scratch { index, text, dates, reply_port, subscribed } = scratch;
        (*reply_port, *subscribed) = (None, false);
        let start = out.len();
        match parse(incoming.bytes, index, &self.sip.settings.limits) {
            Ok(Message::Request(request)) => {
                let essentials = request.check(Strictness::OldClients);
                let via = essentials.as_ref().ok().map(|essentials| essentials.via);
                *reply_port = via.and_then(|via| named_port(&via, &incoming.flow));
                let port = reply_port.unwrap_or(incoming.flow.remote.port());
                let remote = SocketAddr::new(incoming.flow.remote.ip(), port);
                let incoming = Incoming { flow: Flow { remote, ..incoming.flow }, ..*incoming };
                let asked = Asked::new(&self.sip.keys, &incoming, &request, now);
                let reaction = self.request(&asked, &essentials, (text, dates), out);
                let is_accepted =
                    || out.get(start..).is_some_and(|answer| answer.starts_with(b"SIP/2.0 200 "));
                *subscribed = request.method == Method::Subscribe && is_accepted();
                reaction
            }
            Ok(Message::Response(response)) => {
                self.response(incoming, &response);
                Reaction::Nothing
            }
            Err(bad) => {
                tracing::trace!(source = %incoming.flow.remote, %bad, "no SIP message");
                self.sip.metrics.bad();
                Reaction::Nothing
            }
        }
    }

    /// The keep-alive of phones that want to know their address, too (RFC 5626, section 3.5.2).
    fn stun(&self, incoming: &Incoming<'_>, out: &mut Vec<u8>) -> Reaction {
        let Ok(request) = stun::BindingRequest::read(incoming.bytes) else {
            self.sip.metrics.bad();
            return Reaction::Nothing;
        };
        self.sip.metrics.keep_alive();
        request.write_answer(incoming.flow.remote, out);
        Reaction::Answer
    }

    fn request(
        &self,
        asked: &Asked<'_>,
        essentials: &Result<Essentials<'_>, Refusal>,
        (text, dates): (&mut super::Text, &mut super::Dates),
        out: &mut Vec<u8>,
    ) -> Reaction {
        let request = asked.request;
        self.sip.metrics.request(request.method);
        let essentials = match essentials {
            Ok(essentials) => essentials,
            Err(refusal) => return self.sip.answer(asked, refusal.status, refusal.reason, out),
        };
        match request.method {
            Method::Ack => return Reaction::Nothing,
            // There is never a transaction to cancel: INVITE is refused at once.
            Method::Cancel => return self.sip.answer(asked, 481, "Call/Transaction Does Not Exist", out),
            Method::Register | Method::Options | Method::Subscribe => {}
            Method::Other(_) => return self.not_allowed(asked, 501, "Not Implemented", out),
            _ => return self.not_allowed(asked, 405, "Method Not Allowed", out),
        }
        if let Some(refused) = self.refuse_common(asked, essentials, out) {
            return refused;
        }
        match request.method {
            Method::Register => self.register(asked, essentials, (text, dates), out),
            Method::Subscribe => self.subscribe(asked, essentials, out),
            _ => self.options(asked, essentials, out),
        }
    }

    fn not_allowed(&self, asked: &Asked<'_>, status: u16, reason: &str, out: &mut Vec<u8>) -> Reaction {
        self.sip.answer_with(asked, (status, reason), To::Anybody, out, |writer| {
            writer.list(HeaderName::Allow, ALLOW)
        })
    }

    /// What holds for all methods that are known (RFC 3261, section 8.2.2).
    fn refuse_common(
        &self,
        asked: &Asked<'_>,
        essentials: &Essentials<'_>,
        out: &mut Vec<u8>,
    ) -> Option<Reaction> {
        let Uri::Sip(uri) = essentials.uri else {
            return Some(self.sip.answer(asked, 416, "Unsupported URI Scheme", out));
        };
        // A phone that asks for its profile does not know its domain yet: it writes any.
        if asked.request.method != Method::Subscribe && !self.sip.is_own_domain(&uri) {
            return Some(self.sip.answer(asked, 404, "Not A Domain Of This Server", out));
        }
        let headers = &asked.request.headers;
        let is_unknown =
            |tag: &&[u8]| !SUPPORTED.iter().any(|known| tag.eq_ignore_ascii_case(known.as_bytes()));
        let mut unknown = headers.tokens(HeaderName::Require).filter(is_unknown).take(UNSUPPORTED).peekable();
        unknown.peek()?;
        Some(self.sip.answer_with(asked, (420, "Bad Extension"), To::Anybody, out, |writer| {
            writer.list(HeaderName::Unsupported, unknown)
        }))
    }
}

/// The port that an endpoint wants its answers at, which did not ask for the one that it sent from (RFC 3261, section 18.2.2; RFC
/// 3581, section 4). One that names another address than it has is behind a NAT, and only hears at the port that it sent from.
fn named_port(via: &Via<'_>, flow: &Flow) -> Option<u16> {
    let is_own = via.host.address() == Some(flow.remote.ip());
    let is_named = flow.transport == Transport::Udp && via.rport == Rport::Absent && is_own;
    is_named.then(|| via.port.filter(|port| *port != 0).unwrap_or_else(|| via.transport.default_port()))
}

/// What a request says of its sender, without trust; nothing if it is no text.
pub(super) fn text_of<'a>(request: &Request<'a>, name: HeaderName) -> &'a str {
    request.headers.first(name).and_then(|value| str::from_utf8(value).ok()).unwrap_or_default()
}
