//! Finding the parts of a message: one pass over the bytes that notes where each header field is.

use memchr::memchr;
use nom::Parser;
use nom::character::complete::{char, digit1};
use nom::sequence::separated_pair;

use super::fault::{BadMessage, Fault};
use super::lex::{self, Parsed, TOKEN};
use super::message::{Headers, Message, Request, Response};
use super::{HeaderName, Method};

/// What one message may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message, body included: 65 535, the most a datagram holds.
    pub message_bytes: usize,
    /// Header fields: 128.
    pub headers: usize,
    /// Bytes of one header field with the lines that continue it, and of the first line: 8 192.
    pub line_bytes: usize,
    /// Values of Via: 70, as no message makes more hops (RFC 3261, section 8.1.1.6).
    pub vias: usize,
    /// Values of Contact: 10.
    pub contacts: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes: 65_535, headers: 128, line_bytes: 8_192, vias: 70, contacts: 10 }
    }
}

/// Where one header field is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) name: HeaderName,
    /// The first byte of the name.
    pub(super) start: usize,
    pub(super) name_end: usize,
    /// The value without white space around it.
    pub(super) value: usize,
    pub(super) value_end: usize,
}

/// Places of a message's header fields. Kept and used again, it costs no allocation for messages with as many header fields as one
/// before.
#[derive(Debug, Default)]
pub struct Index {
    pub(super) entries: Vec<Entry>,
    /// Names that stand there, as bits.
    pub(super) seen: u64,
    /// Names that stand there more than once.
    pub(super) repeated: u64,
    pub(super) vias: usize,
    pub(super) contacts: usize,
}

/// What was found while reading.
struct Found<'a> {
    body: &'a [u8],
    fault: Option<Fault>,
}

/// Read the message in a datagram, or one that a [`Framer`](super::Framer) has cut out of a stream.
///
/// What can still be answered is given back with what is wrong noted in it: see [`Request::check`] and [`Response::check`].
/// Lines end with CRLF; a bare line feed is taken too. The body ends by its Content-Length, and what follows it is ignored
/// (RFC 3261, section 18.3).
///
/// # Errors
/// If this is no message, or exceeds the limits.
pub fn parse<'a>(bytes: &'a [u8], index: &'a mut Index, limits: &Limits) -> Result<Message<'a>, BadMessage> {
    if bytes.len() > limits.message_bytes {
        return Err(BadMessage::TooLong);
    }
    let blank = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let start = bytes.iter().position(|byte| !blank(byte)).ok_or(BadMessage::Empty)?;
    let rest = bytes.get(start..).unwrap_or_default();
    let end = memchr(b'\n', rest).ok_or(BadMessage::StartLine)?;
    if end >= limits.line_bytes {
        return Err(BadMessage::LineTooLong { at: start });
    }
    let line = rest.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b"SIP/")) {
        let (status, reason, fault) = status_line(line).ok_or(BadMessage::StartLine)?;
        let found = index.fill(bytes, start + end + 1, limits, fault)?;
        let headers = Headers { bytes, index };
        return Ok(Message::Response(Response {
            status,
            reason,
            headers,
            body: found.body,
            fault: found.fault,
        }));
    }
    let (method, raw_uri, fault) = request_line(line).ok_or(BadMessage::StartLine)?;
    let found = index.fill(bytes, start + end + 1, limits, fault)?;
    let headers = Headers { bytes, index };
    let method = Method::read(method);
    Ok(Message::Request(Request { method, raw_uri, headers, body: found.body, fault: found.fault }))
}

/// Whether a `SIP-Version` is ours.
fn is_ours(text: &[u8]) -> Option<bool> {
    if text == b"SIP/2.0" {
        return Some(true);
    }
    let number =
        text.get(..4).filter(|name| name.eq_ignore_ascii_case(b"SIP/")).and_then(|_| text.get(4..))?;
    let mut rule = separated_pair(digit1, char('.'), digit1);
    let parsed: Parsed<'_, (&[u8], &[u8])> = rule.parse(number);
    let (rest, (major, minor)) = parsed.ok()?;
    rest.is_empty().then_some(lex::digits(major) == Some(2) && lex::digits(minor) == Some(0))
}

/// Method, Request-URI and what is wrong. White space that has no place there is noted, as the sender can be told.
fn request_line(line: &[u8]) -> Option<(&[u8], &[u8], Option<Fault>)> {
    let (rest, method) = lex::token(line).ok()?;
    let rest = rest.strip_prefix(b" ")?;
    let trimmed = lex::trim(rest);
    let space = trimmed.iter().rposition(|byte| lex::is(*byte, lex::BLANK))?;
    let (before, after) = trimmed.split_at(space);
    let ours = is_ours(after.get(1..).unwrap_or_default())?;
    let uri = lex::trim(before);
    let spaced = trimmed.len() != rest.len() || uri.len() != before.len() || after.first() != Some(&b' ');
    let blank = uri.is_empty() || uri.iter().any(|byte| !byte.is_ascii_graphic());
    let fault = match (ours, spaced || blank) {
        (false, _) => Some(Fault::Version),
        (true, true) => Some(Fault::StartLine),
        (true, false) => None,
    };
    Some((method, uri, fault))
}

/// Status, reason and what is wrong. The space before an empty reason may be missing, as some senders have it.
fn status_line(line: &[u8]) -> Option<(u16, &[u8], Option<Fault>)> {
    let end = memchr(b' ', line)?;
    let (name, rest) = line.split_at(end);
    let fault = (!is_ours(name)?).then_some(Fault::Version);
    let (status, reason) = rest.get(1..)?.split_at_checked(3)?;
    let status = lex::number(status).filter(|status| (100..700).contains(status))?;
    match reason.split_first() {
        None => Some((status, reason, fault)),
        Some((b' ', reason)) => Some((status, reason, fault)),
        Some(_) => None,
    }
}

impl Index {
    /// An index without room; it grows with the first messages.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: Vec::new(), seen: 0, repeated: 0, vias: 0, contacts: 0 }
    }

    /// The first header field of that name.
    pub(super) fn first(&self, name: HeaderName) -> Option<&Entry> {
        if self.seen & name.bit() == 0 {
            return None;
        }
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Notes the header fields from `at` on, and finds the body.
    fn fill<'a>(
        &mut self,
        bytes: &'a [u8],
        mut at: usize,
        limits: &Limits,
        mut fault: Option<Fault>,
    ) -> Result<Found<'a>, BadMessage> {
        self.entries.clear();
        (self.seen, self.repeated) = (0, 0);
        (self.vias, self.contacts) = (limits.vias, limits.contacts);
        let body = loop {
            match bytes.get(at..).unwrap_or_default() {
                [b'\r', b'\n', body @ ..] | [b'\n', body @ ..] => break body,
                [] => {
                    fault = fault.or(Some(Fault::NoEnd));
                    break &[];
                }
                _ => {}
            }
            let next = line_end(bytes, at);
            if next - at > limits.line_bytes {
                return Err(BadMessage::LineTooLong { at });
            }
            match field(bytes, at, next) {
                Some(_) if self.entries.len() >= limits.headers => return Err(BadMessage::TooManyHeaders),
                Some(entry) => self.push(entry),
                None => fault = fault.or(Some(Fault::HeaderLine { at })),
            }
            at = next;
        };
        let (body, short) = self.cut(bytes, body);
        Ok(Found { body, fault: fault.or(short) })
    }

    fn push(&mut self, entry: Entry) {
        let bit = entry.name.bit();
        self.repeated |= self.seen & bit;
        self.seen |= bit;
        self.entries.push(entry);
    }

    /// The body by its Content-Length (RFC 3261, section 18.3).
    fn cut<'a>(&self, bytes: &[u8], rest: &'a [u8]) -> (&'a [u8], Option<Fault>) {
        let Some(entry) = self.first(HeaderName::ContentLength) else { return (rest, None) };
        match lex::digits(bytes.get(entry.value..entry.value_end).unwrap_or_default()) {
            None => (rest, Some(Fault::ContentLength)),
            Some(length) => match usize::try_from(length).ok().and_then(|length| rest.get(..length)) {
                Some(body) => (body, None),
                None => (rest, Some(Fault::ShortBody)),
            },
        }
    }
}

/// Where the header field at `at` ends: behind the line feed that no white space follows.
fn line_end(bytes: &[u8], at: usize) -> usize {
    let mut from = at;
    while let Some(found) = bytes.get(from..).and_then(|rest| memchr(b'\n', rest)) {
        from += found + 1;
        if !matches!(bytes.get(from), Some(b' ' | b'\t')) {
            return from;
        }
    }
    bytes.len()
}

/// The header field between two places: `token *( SP / HTAB ) ":" value` (section 7.3.1).
pub(super) fn field(bytes: &[u8], start: usize, end: usize) -> Option<Entry> {
    let line = bytes.get(start..end)?;
    let colon = lex::find_near(line, b':')?;
    let (mut name, rest) = line.split_at(colon);
    while let [before @ .., b' ' | b'\t'] = name {
        name = before;
    }
    let known = HeaderName::recognise(name);
    // Names that are known are tokens.
    if known == HeaderName::Other && (name.is_empty() || !lex::all(name, TOKEN)) {
        return None;
    }
    let raw = lex::skip_blank(rest.get(1..)?);
    let value = end - raw.len();
    let value_end = value + lex::trim_end(raw).len();
    Some(Entry { name: known, start, name_end: start + name.len(), value, value_end })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\n";

    /// What is wrong with a request, and its body.
    fn request(text: &str) -> Result<(Option<Fault>, Vec<u8>), BadMessage> {
        match parse(text.as_bytes(), &mut Index::new(), &Limits::default())? {
            Message::Request(request) => Ok((request.fault, request.body.to_vec())),
            Message::Response(_) => panic!("{text}"),
        }
    }

    #[test]
    fn a_body_ends_by_its_length() {
        for (rest, fault, body) in [
            ("\r\nbody", None, "body"),
            ("l: 2\r\n\r\nbody", None, "bo"),
            ("Content-Length :\r\n 4\r\n\r\nbody", None, "body"),
            ("l: 5\r\n\r\nbody", Some(Fault::ShortBody), "body"),
            ("l: 99999999999999999999\r\n\r\n", Some(Fault::ShortBody), ""),
            ("l: -1\r\n\r\nbody", Some(Fault::ContentLength), "body"),
            ("l:\r\n\r\nbody", Some(Fault::ContentLength), "body"),
            ("", Some(Fault::NoEnd), ""),
            ("Subject: x", Some(Fault::NoEnd), ""),
            ("no field\r\n\r\nb", Some(Fault::HeaderLine { at: HEAD.len() }), "b"),
            (": x\r\n\r\n", Some(Fault::HeaderLine { at: HEAD.len() }), ""),
            ("a\r\n : x\r\n\r\n", Some(Fault::HeaderLine { at: HEAD.len() }), ""),
            ("Subject: bare\n\nbody", None, "body"),
        ] {
            assert_eq!(request(&format!("{HEAD}{rest}")), Ok((fault, body.as_bytes().to_vec())), "{rest:?}");
        }
    }

    #[test]
    fn first_lines_say_what_a_message_is() {
        for (line, fault) in [
            ("\r\n\r\nOPTIONS sip:h SIP/2.0", None),
            ("OPTIONS sip:h sip/2.0", None),
            ("OPTIONS sip:h SIP/02.00", None),
            ("OPTIONS sip:h SIP/3.0", Some(Fault::Version)),
            ("OPTIONS  sip:h SIP/2.0", Some(Fault::StartLine)),
            ("OPTIONS sip:h\tSIP/2.0", Some(Fault::StartLine)),
            ("OPTIONS sip:h SIP/2.0 ", Some(Fault::StartLine)),
            ("OPTIONS sip:\u{e4} SIP/2.0", Some(Fault::StartLine)),
        ] {
            assert_eq!(request(&format!("{line}\r\n\r\n")), Ok((fault, Vec::new())), "{line:?}");
        }
        for line in [
            "OPTIONS",
            "OPTIONS sip:h",
            "GET / HTTP/1.1",
            "O<S sip:h SIP/2.0",
            "OPTIONS sip:h SIP/2",
            " x y SIP/2.0",
        ] {
            assert_eq!(request(&format!("{line}\r\n\r\n")), Err(BadMessage::StartLine), "{line:?}");
        }
        assert_eq!(request("OPTIONS sip:h SIP/2.0"), Err(BadMessage::StartLine));
        assert_eq!(request("\r\n\n"), Err(BadMessage::Empty));
    }

    #[test]
    fn status_lines_have_three_digits() {
        let read = |text: &str| match parse(text.as_bytes(), &mut Index::new(), &Limits::default()) {
            Ok(Message::Response(response)) => Some((response.status, response.reason.to_vec())),
            _ => None,
        };
        assert_eq!(read("SIP/2.0 200 OK\r\n\r\n"), Some((200, b"OK".to_vec())));
        assert_eq!(read("SIP/2.0 699\r\n\r\n"), Some((699, Vec::new())));
        for bad in
            ["SIP/2.0 99 x", "SIP/2.0 700 x", "SIP/2.0 0200 OK", "SIP/2.0 20x", "SIP/2.0", "SIP/x 200 OK"]
        {
            assert_eq!(read(&format!("{bad}\r\n\r\n")), None, "{bad}");
        }
    }

    #[test]
    fn limits_hold() {
        let text = format!("{HEAD}Subject: {}\r\n x\r\n\r\n", "y".repeat(20));
        let with = |limits: Limits| parse(text.as_bytes(), &mut Index::new(), &limits).map(|_| ()).err();
        let all = Limits::default();
        let field = text.len() - HEAD.len() - 2;
        assert_eq!(with(Limits { message_bytes: text.len(), headers: 2, line_bytes: field, ..all }), None);
        assert_eq!(with(Limits { message_bytes: text.len() - 1, ..all }), Some(BadMessage::TooLong));
        assert_eq!(with(Limits { headers: 1, ..all }), Some(BadMessage::TooManyHeaders));
        let at = HEAD.len();
        assert_eq!(with(Limits { line_bytes: field - 1, ..all }), Some(BadMessage::LineTooLong { at }));
        assert_eq!(with(Limits { line_bytes: 24, ..all }), Some(BadMessage::LineTooLong { at }));
        assert_eq!(with(Limits { line_bytes: 10, ..all }), Some(BadMessage::LineTooLong { at: 0 }));
    }

    #[test]
    fn an_index_forgets_the_message_before() {
        let mut index = Index::new();
        let two = format!("{HEAD}{}\r\n", "Via: SIP/2.0/UDP i\r\nSubject: x\r\n");
        assert!(parse(two.as_bytes(), &mut index, &Limits::default()).is_ok());
        assert_eq!((index.entries.len(), index.repeated), (3, HeaderName::Via.bit()));
        let one = format!("{HEAD}\r\n");
        assert!(parse(one.as_bytes(), &mut index, &Limits::default()).is_ok());
        assert_eq!((index.entries.len(), index.repeated, index.seen), (1, 0, HeaderName::Via.bit()));
    }
}
