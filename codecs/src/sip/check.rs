//! The checks every message gets before anybody acts upon it (RFC 3261, sections 8.1.1, 8.1.3.3, 8.2, 18.1.2).

use super::address::NameAddr;
use super::fault::{Fault, Malformed, Part};
use super::message::{Headers, Request, Response};
use super::uri::Uri;
use super::values::{self, CSeq};
use super::via::Via;
use super::{HeaderName, Method, lex};

/// Which clients' requests are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// Only those of RFC 3261: the topmost Via has a branch with the cookie, the From has a tag.
    Current,
    /// Those of RFC 2543 too: a request whose topmost Via has no such branch may come without a From tag.
    #[default]
    OldClients,
    /// Branch and From tag may be missing, each for itself, as in the SUBSCRIBEs that some devices send to a multicast group to find
    /// their server.
    Multicast,
}

/// What every request has, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Essentials<'a> {
    /// The Request-URI, of any scheme.
    pub uri: Uri<'a>,
    /// The topmost Via.
    pub via: Via<'a>,
    /// From.
    pub from: NameAddr<'a>,
    /// To.
    pub to: NameAddr<'a>,
    /// Call-ID.
    pub call_id: &'a [u8],
    /// `CSeq`; its method is the request's.
    pub cseq: CSeq<'a>,
    /// Max-Forwards. It may be missing, as in requests of RFC 2543.
    pub max_forwards: Option<u8>,
}

/// What every response has, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseEssentials<'a> {
    /// The topmost Via: that of whom the response is for.
    pub via: Via<'a>,
    /// Whether it is the only one, as it is when we sent the request.
    pub one_via: bool,
    /// From.
    pub from: NameAddr<'a>,
    /// To.
    pub to: NameAddr<'a>,
    /// Call-ID.
    pub call_id: &'a [u8],
    /// `CSeq`.
    pub cseq: CSeq<'a>,
}

/// How a request is to be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status} {reason}: {fault}")]
pub struct Refusal {
    /// The status of the answer.
    pub status: u16,
    /// Its reason phrase.
    pub reason: &'static str,
    /// What is wrong.
    #[source]
    pub fault: Fault,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self { status: fault.status(), reason: fault.reason(), fault }
    }
}

/// Header fields that stand in a message once.
const SINGLE: [HeaderName; 9] = [
    HeaderName::From,
    HeaderName::To,
    HeaderName::CallId,
    HeaderName::CSeq,
    HeaderName::MaxForwards,
    HeaderName::ContentLength,
    HeaderName::ContentType,
    HeaderName::Expires,
    HeaderName::Event,
];

const SINGLE_BITS: u64 = bits(&SINGLE);

const MANDATORY: [HeaderName; 5] =
    [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq];

const MANDATORY_BITS: u64 = bits(&MANDATORY);

const fn bits(names: &[HeaderName]) -> u64 {
    let mut bits = 0;
    let mut at = 0;
    while at < names.len() {
        bits |= names[at].bit();
        at += 1;
    }
    bits
}

impl<'a> Request<'a> {
    /// Judge the request by the rules that hold for all methods, and read what every request has. Other header fields, such as
    /// Contact, are judged when they are read.
    ///
    /// # Errors
    /// What the sender is to be told, if [`Request::is_answerable`]: 505 for another version; 400 for what breaks the grammar,
    /// is missing, stands there twice or does not fit together; 501 for an unknown method whose `CSeq` has another one
    /// (RFC 4475, section 3.1.2.18).
    pub fn check(&self, strictness: Strictness) -> Result<Essentials<'a>, Refusal> {
        if let Some(fault) = self.fault {
            return Err(fault.into());
        }
        self.headers.complete()?;
        let cseq = self.headers.read_cseq()?;
        if cseq.method != self.method {
            return Err(match self.method {
                Method::Other(_) => Fault::UnknownMethodMismatch.into(),
                _ => Fault::MethodMismatch.into(),
            });
        }
        let call_id = self.headers.read_call_id()?;
        let from = self.headers.read_address(HeaderName::From)?;
        let to = self.headers.read_address(HeaderName::To)?;
        let (via, _) = self.headers.read_via()?;
        let needs_tag = match (strictness, via.has_cookie()) {
            (Strictness::Current, false) => return Err(Fault::NoBranch.into()),
            (Strictness::Current | Strictness::OldClients, true) => true,
            (Strictness::OldClients, false) | (Strictness::Multicast, _) => false,
        };
        if needs_tag && from.tag().is_none() {
            return Err(Fault::NoFromTag.into());
        }
        let max_forwards = self.headers.max_forwards().transpose();
        let max_forwards = max_forwards.map_err(|cause| wrong(HeaderName::MaxForwards, cause))?;
        let uri = self.uri().map_err(Fault::RequestUri)?;
        if uri.sip().is_some_and(|uri| !uri.headers.is_empty()) {
            return Err(Fault::RequestUriHeaders.into());
        }
        Ok(Essentials { uri, via, from, to, call_id, cseq, max_forwards })
    }

    /// Whether an answer would find its way: there is a Via, and it is no ACK, to which nothing is answered (section 17.1.1.3). What
    /// is not answerable is dropped.
    #[must_use]
    pub fn is_answerable(&self) -> bool {
        self.method != Method::Ack && self.headers.has(HeaderName::Via)
    }
}

impl<'a> Response<'a> {
    /// Judge the response and read what every response has. A response with a fault is dropped. Whether its Via is ours
    /// (section 18.1.2) is for the caller to see.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<ResponseEssentials<'a>, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.headers.complete()?;
        let cseq = self.headers.read_cseq()?;
        let call_id = self.headers.read_call_id()?;
        let from = self.headers.read_address(HeaderName::From)?;
        let to = self.headers.read_address(HeaderName::To)?;
        let (via, one_via) = self.headers.read_via()?;
        Ok(ResponseEssentials { via, one_via, from, to, call_id, cseq })
    }
}

/// A header field's value that breaks its grammar.
const fn wrong(header: HeaderName, cause: Malformed) -> Fault {
    Fault::Value { header, cause }
}

impl<'a> Headers<'a> {
    /// All mandatory header fields are there, and no single one twice.
    fn complete(&self) -> Result<(), Fault> {
        let missing = MANDATORY_BITS & !self.index.seen;
        let repeated = SINGLE_BITS & self.index.repeated;
        if missing | repeated == 0 {
            return Ok(());
        }
        let is_in = |set: u64| move |name: &&HeaderName| set & name.bit() != 0;
        match (MANDATORY.iter().find(is_in(missing)), SINGLE.iter().find(is_in(repeated))) {
            (Some(name), _) => Err(Fault::Missing(*name)),
            (None, Some(name)) => Err(Fault::Repeated(*name)),
            (None, None) => Ok(()),
        }
    }

    fn read_cseq(&self) -> Result<CSeq<'a>, Fault> {
        let value = self.first(HeaderName::CSeq).ok_or(Fault::Missing(HeaderName::CSeq))?;
        CSeq::read(value).map_err(|cause| wrong(HeaderName::CSeq, cause))
    }

    fn read_call_id(&self) -> Result<&'a [u8], Fault> {
        let value = self.first(HeaderName::CallId).ok_or(Fault::Missing(HeaderName::CallId))?;
        values::call_id(value).map_err(|cause| wrong(HeaderName::CallId, cause))
    }

    fn read_address(&self, name: HeaderName) -> Result<NameAddr<'a>, Fault> {
        let value = self.first(name).ok_or(Fault::Missing(name))?;
        NameAddr::read(value).map_err(|cause| wrong(name, cause))
    }

    /// The topmost Via, and whether it is the only one. The others are counted, not read.
    fn read_via(&self) -> Result<(Via<'a>, bool), Fault> {
        let malformed = |cause| wrong(HeaderName::Via, cause);
        let mut fields = self.all(HeaderName::Via);
        let first = fields.next().ok_or(Fault::Missing(HeaderName::Via))?;
        let topmost = values::each(Part::Via, first, Via::parse).next();
        let via = topmost.ok_or(Fault::Missing(HeaderName::Via))?.map_err(malformed)?;
        let behind = lex::skip_blank(first.get(via.length..).unwrap_or_default());
        let others = behind.strip_prefix(b",").into_iter().chain(fields).flat_map(values::split);
        match others.take(self.index.vias).count() {
            others if others < self.index.vias => Ok((via, others == 0)),
            _ => Err(malformed(Malformed::new(Part::TooMany, 0))),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sip::{Index, Limits, Message, parse};

    use super::*;

    const REGISTER: &str = "REGISTER sip:example.com SIP/2.0\r\n\
        Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\
        Max-Forwards: 70\r\n\
        From: <sip:a@example.com>;tag=1\r\n\
        To: <sip:a@example.com>\r\n\
        Call-ID: 1@h\r\n\
        CSeq: 1 REGISTER\r\n\r\n";

    /// What is wrong with the request, and whether it can be answered.
    fn fault(text: &str, strictness: Strictness) -> (Option<Fault>, bool) {
        match parse(text.as_bytes(), &mut Index::new(), &Limits::default()) {
            Ok(Message::Request(request)) => {
                (request.check(strictness).err().map(|refusal| refusal.fault), request.is_answerable())
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    fn changed(from: &str, to: &str) -> Option<Fault> {
        assert!(REGISTER.contains(from), "{from}");
        fault(&REGISTER.replacen(from, to, 1), Strictness::OldClients).0
    }

    #[test]
    fn what_is_mandatory_must_be_there_once() {
        assert_eq!(fault(REGISTER, Strictness::Current), (None, true));
        assert_eq!(changed("Max-Forwards: 70\r\n", ""), None);
        for (line, name) in [
            ("From: <sip:a@example.com>;tag=1\r\n", HeaderName::From),
            ("To: <sip:a@example.com>\r\n", HeaderName::To),
            ("Call-ID: 1@h\r\n", HeaderName::CallId),
            ("CSeq: 1 REGISTER\r\n", HeaderName::CSeq),
        ] {
            assert_eq!(changed(line, ""), Some(Fault::Missing(name)));
            assert_eq!(changed(line, &line.repeat(2)), Some(Fault::Repeated(name)));
        }
        assert_eq!(
            changed("Max-Forwards: 70\r\n", "Expires: 1\r\nExpires: 1\r\n"),
            Some(Fault::Repeated(HeaderName::Expires))
        );
    }

    #[test]
    fn nothing_is_answered_without_a_via_nor_to_an_ack() {
        let without = REGISTER.replace("Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\n", "");
        assert_eq!(fault(&without, Strictness::OldClients), (Some(Fault::Missing(HeaderName::Via)), false));
        let ack = REGISTER.replace("REGISTER", "ACK");
        assert_eq!(fault(&ack, Strictness::OldClients), (None, false));
    }

    #[test]
    fn values_must_follow_their_grammar() {
        let value = |header, part, at| Some(Fault::Value { header, cause: Malformed::new(part, at) });
        for (from, to, expected) in [
            ("70", "256", value(HeaderName::MaxForwards, Part::Number, 0)),
            ("70", "", value(HeaderName::MaxForwards, Part::Number, 0)),
            ("1@h", "", value(HeaderName::CallId, Part::CallId, 0)),
            ("1@h", "a b", value(HeaderName::CallId, Part::CallId, 1)),
            ("1 REGISTER", "2147483648 REGISTER", value(HeaderName::CSeq, Part::CSeq, 0)),
            ("1 REGISTER", "1 register", Some(Fault::MethodMismatch)),
            ("To: <sip", "To: <", value(HeaderName::To, Part::Address, 1)),
            ("UDP h", "UDP", value(HeaderName::Via, Part::Via, 11)),
            ("sip:example.com", "sip:example.com:", Some(Fault::RequestUri(Malformed::new(Part::Port, 16)))),
            ("sip:example.com", "sip:example.com?a=b", Some(Fault::RequestUriHeaders)),
        ] {
            assert_eq!(changed(from, to), expected, "{to}");
        }
    }

    #[test]
    fn vias_are_counted() {
        let vias = |count: usize| {
            changed("UDP h;", &format!("UDP h;a{},", ",SIP/2.0/UDP i".repeat(count)).replace(",,", ","))
        };
        assert_eq!(vias(68), None);
        let too_many = Fault::Value { header: HeaderName::Via, cause: Malformed::new(Part::TooMany, 0) };
        assert_eq!(vias(70), Some(too_many));
        assert_eq!((too_many.status(), too_many.reason()), (400, "Too Many Vias"));
    }

    #[test]
    fn old_clients_and_groups_may_leave_out_what_they_do() {
        let no_tag = REGISTER.replace(";tag=1", "");
        let no_branch = REGISTER.replace(";branch=z9hG4bK1", ";branch=1");
        let neither = no_tag.replace(";branch=z9hG4bK1", "");
        let judge = |text: &str| {
            [Strictness::Current, Strictness::OldClients, Strictness::Multicast]
                .map(|strictness| fault(text, strictness).0)
        };
        assert_eq!(judge(&no_tag), [Some(Fault::NoFromTag), Some(Fault::NoFromTag), None]);
        assert_eq!(judge(&no_branch), [Some(Fault::NoBranch), None, None]);
        assert_eq!(judge(&neither), [Some(Fault::NoBranch), None, None]);
    }
}
