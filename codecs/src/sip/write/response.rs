//! The beginning of a response: what it takes over from its request (RFC 3261, section 8.2.6).

use std::net::SocketAddr;

use super::{BadText, MessageWriter, address, decimal, is_text, is_token, write_unfolded};
use crate::sip::{Essentials, HeaderName, NameAddr, Request, Rport, Via, lex};

/// How a request is answered.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// The status, 100 to 699.
    pub status: u16,
    /// The reason phrase.
    pub reason: &'a str,
    /// The tag that the To gets if it has none and the status is above 100.
    pub to_tag: &'a [u8],
    /// Where the request came from, for the topmost Via; `None` leaves that as it is.
    pub source: Option<SocketAddr>,
}

impl<'o> MessageWriter<'o> {
    /// Begins the response to a request: status line, all Vias, From, To, Call-ID, `CSeq`, as far as the request has them. A request
    /// that was refused can be answered too, if [`Request::is_answerable`].
    ///
    /// The topmost Via is told where the request came from, if it says something else or asks for it (RFC 3261,
    /// section 18.2.1; RFC 3581, section 4).
    pub fn response(out: &'o mut Vec<u8>, request: &Request<'_>, reply: &Reply<'_>) -> Self {
        let headers = &request.headers;
        let via = reply.source.and_then(|_| headers.values(HeaderName::Via).next());
        let via = via.and_then(|value| Via::read(value).ok());
        let tagged = headers.first(HeaderName::To).is_some_and(has_tag);
        Self::begin_response(out, request, reply, via.as_ref(), tagged)
    }

    /// Begins the same response to a request that was not refused, with what [`Request::check`] has read: so it is not read again.
    pub fn response_to(
        out: &'o mut Vec<u8>,
        request: &Request<'_>,
        read: &Essentials<'_>,
        reply: &Reply<'_>,
    ) -> Self {
        let tagged = read.to.has_tag();
        Self::begin_response(out, request, reply, Some(&read.via), tagged)
    }

    fn begin_response(
        out: &'o mut Vec<u8>,
        request: &Request<'_>,
        reply: &Reply<'_>,
        via: Option<&Via<'_>>,
        tagged: bool,
    ) -> Self {
        let mut writer = Self::new(out);
        writer.require((100..700).contains(&reply.status), BadText::Status);
        writer.require(is_text(reply.reason.as_bytes()), BadText::Reason);
        writer.put(&[b"SIP/2.0 "]);
        decimal(writer.out, u64::from(reply.status));
        writer.put(&[b" ", reply.reason.as_bytes(), b"\r\n"]);
        writer.vias(request, via, reply.source);
        let headers = &request.headers;
        if reply.status == 100 {
            // The sender measures the way with it (RFC 3261, section 8.2.6.1).
            writer = writer.copy(headers, HeaderName::Timestamp);
        }
        writer.take_over(request, HeaderName::From);
        writer.to(request, reply, tagged);
        writer.take_over(request, HeaderName::CallId);
        writer.take_over(request, HeaderName::CSeq);
        writer
    }

    fn take_over(&mut self, request: &Request<'_>, name: HeaderName) {
        if let Some(value) = request.headers.first(name) {
            self.begin(name);
            write_unfolded(self.out, value);
            self.end();
        }
    }

    fn vias(&mut self, request: &Request<'_>, topmost: Option<&Via<'_>>, source: Option<SocketAddr>) {
        let mut known = topmost.zip(source);
        for value in request.headers.all(HeaderName::Via) {
            self.begin(HeaderName::Via);
            match known.take() {
                Some((via, source)) => write_topmost(self.out, value, via, source),
                None => write_unfolded(self.out, value),
            }
            self.end();
        }
    }

    fn to(&mut self, request: &Request<'_>, reply: &Reply<'_>, tagged: bool) {
        let Some(value) = request.headers.first(HeaderName::To) else { return };
        self.begin(HeaderName::To);
        write_unfolded(self.out, value);
        if reply.status > 100 && !tagged {
            self.require(is_token(reply.to_tag), BadText::Tag);
            self.put(&[b";tag=", reply.to_tag]);
        }
        self.end();
    }
}

/// Whether a To has a tag. One that cannot be read has none if the word is not in it.
fn has_tag(value: &[u8]) -> bool {
    match NameAddr::read(value) {
        Ok(to) => to.has_tag(),
        Err(_) => value.windows(4).any(|window| {
            window.first().is_some_and(|before| b"; \t\n".contains(before))
                && window.get(1..).is_some_and(|word| word.eq_ignore_ascii_case(b"tag"))
        }),
    }
}

/// The header field with the topmost Via, which is `via`, and perhaps others behind it.
fn write_topmost(out: &mut Vec<u8>, value: &[u8], via: &Via<'_>, source: SocketAddr) {
    let from = source.ip().to_canonical();
    let same = via.host.address().is_some_and(|host| host.to_canonical() == from);
    let wanted = via.rport == Rport::Empty;
    let (head, rest) = value.split_at(via.length.min(value.len()));
    if same && !wanted && via.received.is_none() {
        return write_unfolded(out, value);
    }
    if let (Some(end), true, None) = (via.bare_rport, wanted, via.received) {
        let (before, behind) = head.split_at(end.min(head.len()));
        write_unfolded(out, before);
        out.push(b'=');
        decimal(out, u64::from(source.port()));
        write_unfolded(out, behind);
    } else {
        write_params(out, head, via, source);
    }
    out.extend_from_slice(b";received=");
    address(out, from);
    write_unfolded(out, lex::skip_blank(rest));
}

/// The Via with its parameters one by one: without `received`, and `rport` with the port if that is wanted.
fn write_params(out: &mut Vec<u8>, head: &[u8], via: &Via<'_>, source: SocketAddr) {
    let wanted = via.rport == Rport::Empty;
    let params = via.params.as_bytes().len();
    write_unfolded(out, head.get(..head.len().saturating_sub(params)).unwrap_or_default());
    for param in via.params.iter().filter(|param| !param.is("received")) {
        out.push(b';');
        out.extend_from_slice(param.name);
        if wanted && param.is("rport") {
            out.push(b'=');
            decimal(out, u64::from(source.port()));
        } else if let Some(value) = param.value {
            out.push(b'=');
            write_unfolded(out, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{Index, Limits, Message, parse};

    fn request(via: &str, to: &str) -> String {
        format!(
            "OPTIONS sip:h SIP/2.0\r\nv: {via}\r\nf: <sip:a@h>\r\n ;tag=1\r\nt: {to}\r\ni: 1\r\nCSeq: 1\r\n\tOPTIONS\r\n\
             Via: SIP/2.0/TCP old\r\nTimestamp: 54\r\n\r\n"
        )
    }

    fn answer(text: &str, reply: &Reply<'_>) -> Result<String, BadText> {
        let mut index = Index::new();
        let Ok(Message::Request(request)) = parse(text.as_bytes(), &mut index, &Limits::default()) else {
            panic!()
        };
        let mut out = b"before".to_vec();
        let written = MessageWriter::response(&mut out, &request, reply).finish();
        let text = String::from_utf8(out).unwrap().split_off(6);
        assert_eq!(written.unwrap_or(0), text.len());
        written.map(|_| text)
    }

    fn reply(status: u16) -> Reply<'static> {
        Reply { status, reason: "OK", to_tag: b"9", source: "192.0.2.4:1024".parse().ok() }
    }

    #[test]
    fn a_response_takes_over_what_it_has_to() {
        let expected = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h:5060;branch=z9hG4bK1;received=192.0.2.4\r\nVia: SIP/2.0/TCP old\r\n\
            From: <sip:a@h> ;tag=1\r\nTo: <sip:b@h>;tag=9\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
        let text = request("SIP/2.0/UDP h:5060;branch=z9hG4bK1", "<sip:b@h>");
        assert_eq!(answer(&text, &reply(200)).as_deref(), Ok(expected));
        let trying = expected
            .replace("200", "100")
            .replace("old\r\n", "old\r\nTimestamp: 54\r\n")
            .replace(";tag=9", "");
        assert_eq!(answer(&text, &reply(100)), Ok(trying));
    }

    #[test]
    fn the_topmost_via_is_told_where_the_request_came_from() {
        for (via, expected) in [
            ("SIP/2.0/UDP h", "SIP/2.0/UDP h;received=192.0.2.4"),
            ("SIP/2.0/UDP 192.0.2.4:9;branch=x", "SIP/2.0/UDP 192.0.2.4:9;branch=x"),
            ("SIP/2.0/UDP [::ffff:192.0.2.4]", "SIP/2.0/UDP [::ffff:192.0.2.4]"),
            ("SIP/2.0/UDP 192.0.2.5;branch=x", "SIP/2.0/UDP 192.0.2.5;branch=x;received=192.0.2.4"),
            (
                "SIP/2.0/UDP 192.0.2.4;rport;branch=x",
                "SIP/2.0/UDP 192.0.2.4;rport=1024;branch=x;received=192.0.2.4",
            ),
            ("SIP/2.0/UDP h;rport= ;a=\"b\"", "SIP/2.0/UDP h;rport=1024;a=\"b\";received=192.0.2.4"),
            ("SIP/2.0/UDP h;rport;x;rport=8", "SIP/2.0/UDP h;rport=1024;x;rport=8;received=192.0.2.4"),
            ("SIP/2.0/UDP h\r\n ;rport\r\n ;x", "SIP/2.0/UDP h ;rport=1024 ;x;received=192.0.2.4"),
            ("SIP/2.0/UDP h;rport;received=1.2.3.4", "SIP/2.0/UDP h;rport=1024;received=192.0.2.4"),
            ("SIP/2.0/UDP h;rport=7", "SIP/2.0/UDP h;rport=7;received=192.0.2.4"),
            ("SIP/2.0/UDP h;received=1.2.3.4;x", "SIP/2.0/UDP h;x;received=192.0.2.4"),
            (
                "SIP/2.0/UDP h;x , SIP/2.0/UDP i;rport",
                "SIP/2.0/UDP h;x;received=192.0.2.4, SIP/2.0/UDP i;rport",
            ),
            ("SIP/2.0/UDP h\r\n ;x\r\n =y", "SIP/2.0/UDP h;x=y;received=192.0.2.4"),
            ("SIP/2.0/UDP 192.0.2.15;;,\r\n ;,,", "SIP/2.0/UDP 192.0.2.15;;, ;,,"),
        ] {
            let text = answer(&request(via, "<sip:b@h>"), &reply(200)).unwrap();
            assert_eq!(text.lines().nth(1), Some(format!("Via: {expected}").as_str()));
        }
        let mut unknown = reply(200);
        unknown.source = None;
        let text = answer(&request("SIP/2.0/UDP h;rport", "<sip:b@h>"), &unknown).unwrap();
        assert!(text.contains("\r\nVia: SIP/2.0/UDP h;rport\r\n"));
        unknown.source = "[2001:db8::1]:5062".parse().ok();
        let text = answer(&request("SIP/2.0/UDP h;rport", "<sip:b@h>"), &unknown).unwrap();
        assert!(text.contains(";rport=5062;received=2001:db8::1\r\n"));
    }

    #[test]
    fn a_to_gets_one_tag() {
        for (to, expected) in [
            ("<sip:b@h>;tag=3", "<sip:b@h>;tag=3"),
            ("sip:b@h ; TAG = 3", "sip:b@h ; TAG = 3"),
            ("\";tag=\" <sip:b@h;tag=4>", "\";tag=\" <sip:b@h;tag=4>;tag=9"),
            ("\"open <sip:b@h>", "\"open <sip:b@h>;tag=9"),
            ("\"open <sip:b@h>; Tag=3", "\"open <sip:b@h>; Tag=3"),
        ] {
            let text = answer(&request("SIP/2.0/UDP h", to), &reply(404)).unwrap();
            assert_eq!(text.lines().nth(4), Some(format!("To: {expected}").as_str()));
        }
    }

    #[test]
    fn what_would_break_the_response_is_refused() {
        let text = request("SIP/2.0/UDP h", "<sip:b@h>");
        for (changed, bad) in [
            (Reply { status: 99, ..reply(200) }, BadText::Status),
            (Reply { status: 700, ..reply(200) }, BadText::Status),
            (Reply { reason: "OK\r\nVia: x", ..reply(200) }, BadText::Reason),
            (Reply { to_tag: b"9\r\nx: y", ..reply(200) }, BadText::Tag),
            (Reply { to_tag: b"", ..reply(200) }, BadText::Tag),
        ] {
            assert_eq!(answer(&text, &changed), Err(bad));
        }
    }
}
