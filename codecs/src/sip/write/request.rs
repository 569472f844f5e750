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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::ContactValue;

    const HEAD: RequestHead<'static> = RequestHead {
        method: Method::Notify,
        uri: b"sip:a@192.0.2.1:5062;transport=tcp",
        via: ViaHead {
            transport: Transport::Tcp,
            sent_by: b"[2001:db8::1]:5060",
            branch: b"z9hG4bK7",
            rport: true,
        },
        routes: &[b"<sip:edge;lr>", b"<sip:core;lr>"],
        max_forwards: 70,
        from: b"<sip:server@example.com>;tag=1",
        to: b"<sip:a@example.com>",
        call_id: b"5@example.com",
        cseq: 3,
    };

    #[test]
    fn a_request_is_written_in_order() {
        let mut out = Vec::new();
        let contact = ContactValue {
            uri: b"sip:server@example.com",
            params: b";+sip.instance=\"<urn:x>\"",
            expires: None,
        };
        let writer = MessageWriter::request(&mut out, &HEAD)
            .contact(&contact)
            .header(HeaderName::Event, b"check-sync");
        let length = writer.other("X-Fleet", b"1").finish_with("text/plain", b"body").unwrap();
        let expected = "NOTIFY sip:a@192.0.2.1:5062;transport=tcp SIP/2.0\r\n\
            Via: SIP/2.0/TCP [2001:db8::1]:5060;branch=z9hG4bK7;rport\r\nRoute: <sip:edge;lr>\r\nRoute: <sip:core;lr>\r\n\
            Max-Forwards: 70\r\nFrom: <sip:server@example.com>;tag=1\r\nTo: <sip:a@example.com>\r\nCall-ID: 5@example.com\r\n\
            CSeq: 3 NOTIFY\r\nContact: <sip:server@example.com>;+sip.instance=\"<urn:x>\"\r\nEvent: check-sync\r\nX-Fleet: 1\r\n\
            Content-Type: text/plain\r\nContent-Length: 4\r\n\r\nbody";
        assert_eq!(str::from_utf8(&out), Ok(expected));
        assert_eq!(length, out.len());
    }

    #[test]
    fn what_would_break_the_request_is_refused() {
        let via = HEAD.via;
        for (head, bad) in [
            (RequestHead { method: Method::Other(b"NO WAY"), ..HEAD }, BadText::Method),
            (RequestHead { method: Method::Other(b""), ..HEAD }, BadText::Method),
            (RequestHead { uri: b"sip:a b", ..HEAD }, BadText::Uri),
            (RequestHead { uri: b"", ..HEAD }, BadText::Uri),
            (RequestHead { via: ViaHead { sent_by: b"h;x", ..via }, ..HEAD }, BadText::Via),
            (RequestHead { via: ViaHead { branch: b"a\r\nb: c", ..via }, ..HEAD }, BadText::Via),
            (RequestHead { routes: &[b"<sip:a>\n"], ..HEAD }, BadText::Value(HeaderName::Route)),
            (RequestHead { from: b"", ..HEAD }, BadText::Value(HeaderName::From)),
            (RequestHead { to: b"<sip:a>\r\nx: y", ..HEAD }, BadText::Value(HeaderName::To)),
            (RequestHead { call_id: b"a b", ..HEAD }, BadText::Value(HeaderName::CallId)),
            (RequestHead { cseq: 1 << 31, ..HEAD }, BadText::CSeq),
        ] {
            let mut out = b"kept".to_vec();
            assert_eq!(MessageWriter::request(&mut out, &head).finish(), Err(bad));
            assert_eq!(out, b"kept");
        }
    }
}
