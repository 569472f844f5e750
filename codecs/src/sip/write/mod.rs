//! Writing messages: appended to a buffer, each piece checked, what a request has copied once.

mod request;
mod response;
mod text;

use super::lex::{self, TOKEN};
use super::message::Headers;
use super::{HeaderName, Method};

pub use request::{RequestHead, ViaHead};
pub use response::Reply;
pub use text::write_unfolded;
pub(super) use text::{address, decimal};

/// A value of the caller that must not stand where it was to be written: it would break the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadText {
    /// A method that is no token.
    #[error("the method is no token")]
    Method,
    /// A URI with white space, control characters or bytes beyond ASCII.
    #[error("the URI has bytes that no URI has")]
    Uri,
    /// A status that is not 100 to 699.
    #[error("the status is not between 100 and 699")]
    Status,
    /// A reason phrase with control characters.
    #[error("the reason phrase has control characters")]
    Reason,
    /// A Via whose pieces are not tokens and a host.
    #[error("the Via has bytes that do not belong there")]
    Via,
    /// A tag that is no token.
    #[error("the tag is no token")]
    Tag,
    /// A `CSeq` of 2^31 or above.
    #[error("the CSeq is too big")]
    CSeq,
    /// The name of a header field is no token, or its length belongs to the writer.
    #[error("this is no name for a header field")]
    Name,
    /// A header field's value with control characters, or a list's element that is no token.
    #[error("the value of {} has bytes that do not belong there", .0.as_str())]
    Value(HeaderName),
}

/// Writes one message. Begin with [`MessageWriter::request`] or [`MessageWriter::response`], add header fields, and end with
/// [`MessageWriter::finish`]. Nothing is allocated as long as the buffer has room.
///
/// What was wrong is kept until the end, where the message is taken back. A writer that is dropped before leaves half a message.
#[derive(Debug)]
#[must_use = "a message ends with finish()"]
pub struct MessageWriter<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    bad: Option<BadText>,
}

/// A binding in a Contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContactValue<'a> {
    /// The URI without `<` and `>`.
    pub uri: &'a [u8],
    /// Further parameters as they are to stand there, the first semicolon included; may be empty.
    pub params: &'a [u8],
    /// `expires` in seconds.
    pub expires: Option<u32>,
}

/// A Digest challenge for one algorithm (RFC 7616, section 3.3; RFC 8760, section 2.4). No value may have quotes or backslashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChallengeValue<'a> {
    /// `realm`.
    pub realm: &'a str,
    /// `nonce`.
    pub nonce: &'a str,
    /// `opaque`.
    pub opaque: Option<&'a str>,
    /// `algorithm`, such as `SHA-256`.
    pub algorithm: &'a str,
    /// `qop`: `auth`, or a list; empty for a challenge of RFC 2069.
    pub qop: &'a str,
    /// The nonce was too old.
    pub stale: bool,
}

/// Whether a text has no control characters but tabs.
fn is_text(text: &[u8]) -> bool {
    text.iter().fold(0, |found, byte| found | u8::from(*byte == 0x7F)) == 0
        && (!lex::may_have_control(text) || text.iter().all(|byte| *byte >= b' ' || *byte == b'\t'))
}

/// Whether a text may stand in quotes as it is.
fn is_quotable(text: &[u8]) -> bool {
    is_text(text) && !text.iter().any(|byte| b"\"\\".contains(byte))
}

fn is_uri(text: &[u8]) -> bool {
    !text.is_empty() && lex::all(text, lex::URIC)
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && lex::all(text, TOKEN)
}

impl<'o> MessageWriter<'o> {
    fn new(out: &'o mut Vec<u8>) -> Self {
        let start = out.len();
        Self { out, start, bad: None }
    }

    /// Keeps the first thing that is wrong.
    fn require(&mut self, good: bool, bad: BadText) {
        if !good {
            self.bad = self.bad.or(Some(bad));
        }
    }

    fn put(&mut self, pieces: &[&[u8]]) {
        for piece in pieces {
            self.out.extend_from_slice(piece);
        }
    }

    fn begin(&mut self, name: HeaderName) {
        self.require(!matches!(name, HeaderName::Other | HeaderName::ContentLength), BadText::Name);
        self.put(&[name.line_start().as_bytes()]);
    }

    fn end(&mut self) {
        self.put(&[b"\r\n"]);
    }

    /// Adds a header field.
    pub fn header(mut self, name: HeaderName, value: &[u8]) -> Self {
        self.require(is_text(value), BadText::Value(name));
        self.begin(name);
        self.put(&[value, b"\r\n"]);
        self
    }

    /// Adds a header field whose name is no [`HeaderName`].
    pub fn other(mut self, name: &str, value: &[u8]) -> Self {
        let known = HeaderName::recognise(name.as_bytes());
        self.require(is_token(name.as_bytes()) && known == HeaderName::Other, BadText::Name);
        self.require(is_text(value), BadText::Value(HeaderName::Other));
        self.put(&[name.as_bytes(), b": ", value, b"\r\n"]);
        self
    }

    /// Adds a header field with a number: Expires, Min-Expires, Retry-After, Flow-Timer.
    pub fn number(mut self, name: HeaderName, value: u32) -> Self {
        self.begin(name);
        decimal(self.out, u64::from(value));
        self.end();
        self
    }

    /// Adds a header field with a list: Allow, Supported, Unsupported, Require, Accept, Allow-Events. Elements are tokens, media types
    /// or media ranges. An empty list is written too: it says that there is nothing.
    pub fn list<T: AsRef<[u8]>>(mut self, name: HeaderName, values: impl IntoIterator<Item = T>) -> Self {
        self.begin(name);
        let mut between: &[u8] = b"";
        for value in values {
            let value = value.as_ref();
            let good =
                !value.is_empty() && value.iter().all(|byte| lex::is(*byte, TOKEN) || b"/;=".contains(byte));
            self.require(good, BadText::Value(name));
            self.put(&[between, value]);
            between = b", ";
        }
        self.end();
        self
    }

    /// Adds a Contact.
    pub fn contact(mut self, contact: &ContactValue<'_>) -> Self {
        let begins = contact.params.is_empty() || contact.params.starts_with(b";");
        let good = is_uri(contact.uri) && begins && is_text(contact.params);
        self.require(good, BadText::Value(HeaderName::Contact));
        self.begin(HeaderName::Contact);
        self.put(&[b"<", contact.uri, b">", contact.params]);
        if let Some(expires) = contact.expires {
            self.put(&[b";expires="]);
            decimal(self.out, u64::from(expires));
        }
        self.end();
        self
    }

    /// Adds a WWW-Authenticate or Proxy-Authenticate. For several algorithms it is called for each, the one most wanted first
    /// (RFC 8760, section 2.4).
    pub fn challenge(mut self, name: HeaderName, challenge: &ChallengeValue<'_>) -> Self {
        let ChallengeValue { realm, nonce, opaque, algorithm, qop, stale } = *challenge;
        let quoted = [realm, nonce, opaque.unwrap_or_default(), qop];
        let good = quoted.iter().all(|text| is_quotable(text.as_bytes())) && is_token(algorithm.as_bytes());
        self.require(good, BadText::Value(name));
        self.begin(name);
        self.put(&[b"Digest realm=\"", realm.as_bytes(), b"\", nonce=\"", nonce.as_bytes(), b"\""]);
        if let Some(opaque) = opaque {
            self.put(&[b", opaque=\"", opaque.as_bytes(), b"\""]);
        }
        self.put(&[b", algorithm=", algorithm.as_bytes()]);
        if !qop.is_empty() {
            self.put(&[b", qop=\"", qop.as_bytes(), b"\""]);
        }
        if stale {
            self.put(&[b", stale=true"]);
        }
        self.end();
        self
    }

    /// Copies all header fields of that name from a message, such as Record-Route or Path; folds become spaces.
    pub fn copy(mut self, headers: &Headers<'_>, name: HeaderName) -> Self {
        for value in headers.all(name) {
            self.begin(name);
            write_unfolded(self.out, value);
            self.end();
        }
        self
    }

    /// Ends the message without a body. Gives its length in bytes.
    ///
    /// # Errors
    /// The first text that must not stand where it was to be written; the buffer is as it was before the message.
    pub fn finish(self) -> Result<usize, BadText> {
        self.end_with(b"")
    }

    /// Ends the message with a body of a media type. Gives its length in bytes.
    ///
    /// # Errors
    /// As for [`MessageWriter::finish`].
    pub fn finish_with(self, content_type: &str, body: &[u8]) -> Result<usize, BadText> {
        self.header(HeaderName::ContentType, content_type.as_bytes()).end_with(body)
    }

    fn end_with(mut self, body: &[u8]) -> Result<usize, BadText> {
        self.put(&[b"Content-Length: "]);
        decimal(self.out, body.len() as u64);
        self.put(&[b"\r\n\r\n", body]);
        if let Some(bad) = self.bad {
            self.out.truncate(self.start);
            return Err(bad);
        }
        Ok(self.out.len() - self.start)
    }

    fn method(&mut self, method: Method<'_>) {
        self.require(is_token(method.as_bytes()), BadText::Method);
        self.put(&[method.as_bytes()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(add: impl FnOnce(MessageWriter<'_>) -> MessageWriter<'_>) -> Result<String, BadText> {
        let mut out = Vec::new();
        let result = add(MessageWriter::new(&mut out)).finish();
        result.map(|_| String::from_utf8(out).unwrap().replace("Content-Length: 0\r\n\r\n", ""))
    }

    #[test]
    fn header_fields_have_their_forms() {
        let challenge = ChallengeValue {
            realm: "example.com",
            nonce: "abc",
            opaque: None,
            algorithm: "SHA-256",
            qop: "auth",
            stale: true,
        };
        let all = written(|writer| {
            let contact = ContactValue { uri: b"sip:a@h", params: b";q=0.5", expires: Some(60) };
            writer
                .contact(&contact)
                .number(HeaderName::MinExpires, 60)
                .list(HeaderName::Allow, ["REGISTER", "OPTIONS"])
                .list(HeaderName::Unsupported, [b"gruu"])
                .list(HeaderName::Supported, [""; 0])
                .challenge(HeaderName::WwwAuthenticate, &challenge)
                .challenge(
                    HeaderName::ProxyAuthenticate,
                    &ChallengeValue { opaque: Some(""), qop: "", stale: false, ..challenge },
                )
        });
        let expected = "Contact: <sip:a@h>;q=0.5;expires=60\r\nMin-Expires: 60\r\nAllow: REGISTER, OPTIONS\r\n\
            Unsupported: gruu\r\nSupported: \r\n\
            WWW-Authenticate: Digest realm=\"example.com\", nonce=\"abc\", algorithm=SHA-256, qop=\"auth\", stale=true\r\n\
            Proxy-Authenticate: Digest realm=\"example.com\", nonce=\"abc\", opaque=\"\", algorithm=SHA-256\r\n";
        assert_eq!(all.as_deref(), Ok(expected));
    }

    #[test]
    fn nothing_can_be_smuggled_in() {
        let contact = ContactValue { uri: b"sip:a@h", params: b"", expires: None };
        let challenge = ChallengeValue {
            realm: "r",
            nonce: "n",
            opaque: None,
            algorithm: "MD5",
            qop: "auth",
            stale: false,
        };
        let value = |name| Err(BadText::Value(name));
        let date = HeaderName::Date;
        for (result, expected) in [
            (written(|writer| writer.header(date, b"a\r\nb: c")), value(date)),
            (written(|writer| writer.header(date, b"a\0")), value(date)),
            (written(|writer| writer.header(HeaderName::Other, b"a")), Err(BadText::Name)),
            (written(|writer| writer.header(HeaderName::ContentLength, b"1")), Err(BadText::Name)),
            (written(|writer| writer.other("l", b"1")), Err(BadText::Name)),
            (written(|writer| writer.other("x y", b"1")), Err(BadText::Name)),
            (written(|writer| writer.other("X-A", b"1\n")), value(HeaderName::Other)),
            (written(|writer| writer.list(HeaderName::Allow, ["A, B"])), value(HeaderName::Allow)),
            (written(|writer| writer.list(HeaderName::Allow, [""])), value(HeaderName::Allow)),
            (
                written(|writer| writer.contact(&ContactValue { uri: b"sip:a>", ..contact })),
                value(HeaderName::Contact),
            ),
            (
                written(|writer| writer.contact(&ContactValue { params: b"q=1", ..contact })),
                value(HeaderName::Contact),
            ),
            (
                written(|writer| writer.contact(&ContactValue { params: b";\r", ..contact })),
                value(HeaderName::Contact),
            ),
            (
                written(|writer| writer.challenge(date, &ChallengeValue { realm: "a\"b", ..challenge })),
                value(date),
            ),
            (
                written(|writer| writer.challenge(date, &ChallengeValue { nonce: "a\\", ..challenge })),
                value(date),
            ),
            (
                written(|writer| writer.challenge(date, &ChallengeValue { algorithm: "", ..challenge })),
                value(date),
            ),
        ] {
            assert_eq!(result, expected);
        }
    }
}
