//! The beginning of a request.

use super::{BadText, MessageWriter, decimal, is_text, is_token, is_uri};
use crate::sip::lex::{self, WORD};
use crate::sip::{HeaderName, Method, Transport};

/// What every request has (RFC 3261, section 8.1.1).
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The method.
    pub method: Method<'a>,
    /// The Request-URI.
    pub uri: &'a [u8],
    /// Our Via.
    pub via: ViaHead<'a>,
    /// The route set: values of Route from the first hop on, with their `<` and `>` (section 12.2.1.1).
    pub routes: &'a [&'a [u8]],
    /// Max-Forwards.
    pub max_forwards: u8,
    /// The value of From, tag included.
    pub from: &'a [u8],
    /// The value of To.
    pub to: &'a [u8],
    /// The Call-ID.
    pub call_id: &'a [u8],
    /// The number of the `CSeq`.
    pub cseq: u32,
}

/// The Via of a request that we send.
#[derive(Clone, Copy, Debug)]
pub struct ViaHead<'a> {
    /// The transport.
    pub transport: Transport<'a>,
    /// Host and port that answers may come to; an IPv6 address in brackets.
    pub sent_by: &'a [u8],
    /// The branch, cookie included (section 8.1.1.7).
    pub branch: &'a [u8],
    /// Ask for the answer at the port the request came from (RFC 3581).
    pub rport: bool,
}

impl<'o> MessageWriter<'o> {
    /// Begins a request.
    pub fn request(out: &'o mut Vec<u8>, head: &RequestHead<'_>) -> Self {
        let mut writer = Self::new(out);
        writer.method(head.method);
        writer.require(is_uri(head.uri), BadText::Uri);
        writer.put(&[b" ", head.uri, b" SIP/2.0\r\n"]);
        writer.via(&head.via);
        let mut writer =
            head.routes.iter().fold(writer, |writer, route| writer.header(HeaderName::Route, route));
        writer.put(&[b"Max-Forwards: "]);
        decimal(writer.out, u64::from(head.max_forwards));
        for (name, value) in [(HeaderName::From, head.from), (HeaderName::To, head.to)] {
            writer.require(!value.is_empty() && is_text(value), BadText::Value(name));
        }
        let is_id = !head.call_id.is_empty() && lex::all(head.call_id, WORD);
        writer.require(is_id, BadText::Value(HeaderName::CallId));
        writer.require(head.cseq < 1 << 31, BadText::CSeq);
        writer.put(&[b"\r\nFrom: ", head.from, b"\r\nTo: ", head.to]);
        writer.put(&[b"\r\nCall-ID: ", head.call_id, b"\r\nCSeq: "]);
        decimal(writer.out, u64::from(head.cseq));
        writer.put(&[b" ", head.method.as_bytes(), b"\r\n"]);
        writer
    }

    fn via(&mut self, via: &ViaHead<'_>) {
        let is_host = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(byte);
        let good = is_token(via.transport.as_bytes())
            && is_token(via.branch)
            && !via.sent_by.is_empty()
            && via.sent_by.iter().all(is_host);
        self.require(good, BadText::Via);
        self.put(&[b"Via: SIP/2.0/", via.transport.as_bytes(), b" ", via.sent_by, b";branch=", via.branch]);
        if via.rport {
            self.put(&[b";rport"]);
        }
        self.end();
    }
}
