//! The beginning of a response: what it takes over from its request (RFC 3261, section 8.2.6).

use std::net::SocketAddr;

use super::{BadText, MessageWriter, decimal, display, is_text, is_token, write_unfolded};
use crate::sip::{HeaderName, NameAddr, Request, Rport, Via, lex};

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
        let mut writer = Self::new(out);
        writer.require((100..700).contains(&reply.status), BadText::Status);
        writer.require(is_text(reply.reason.as_bytes()), BadText::Reason);
        writer.put(&[b"SIP/2.0 "]);
        decimal(writer.out, u64::from(reply.status));
        writer.put(&[b" ", reply.reason.as_bytes(), b"\r\n"]);
        writer.vias(request, reply.source);
        let headers = &request.headers;
        if reply.status == 100 {
            // The sender measures the way with it (RFC 3261, section 8.2.6.1).
            writer = writer.copy(headers, HeaderName::Timestamp);
        }
        writer.take_over(request, HeaderName::From);
        writer.to(request, reply);
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

    fn vias(&mut self, request: &Request<'_>, source: Option<SocketAddr>) {
        let mut source = source;
        for value in request.headers.all(HeaderName::Via) {
            self.begin(HeaderName::Via);
            match source.take() {
                Some(source) => topmost(self.out, value, source),
                None => write_unfolded(self.out, value),
            }
            self.end();
        }
    }

    fn to(&mut self, request: &Request<'_>, reply: &Reply<'_>) {
        let Some(value) = request.headers.first(HeaderName::To) else { return };
        self.begin(HeaderName::To);
        write_unfolded(self.out, value);
        if reply.status > 100 && !has_tag(value) {
            self.require(is_token(reply.to_tag), BadText::Tag);
            self.put(&[b";tag=", reply.to_tag]);
        }
        self.end();
    }
}

/// Whether a To has a tag. One that cannot be read has none if the word is not in it.
fn has_tag(value: &[u8]) -> bool {
    match NameAddr::read(value) {
        Ok(to) => to.params.get("tag").is_some(),
        Err(_) => value.windows(4).any(|window| {
            window.first().is_some_and(|before| b"; \t\n".contains(before))
                && window.get(1..).is_some_and(|word| word.eq_ignore_ascii_case(b"tag"))
        }),
    }
}

/// The header field with the topmost Via. One that cannot be read is copied as it is.
fn topmost(out: &mut Vec<u8>, value: &[u8], source: SocketAddr) {
    let Ok((rest, via)) = Via::parse(value) else { return write_unfolded(out, value) };
    let address = source.ip().to_canonical();
    let same = via.host.address().is_some_and(|host| host.to_canonical() == address);
    let wanted = via.rport == Rport::Empty;
    if same && !wanted && via.received.is_none() {
        return write_unfolded(out, value);
    }
    let params = via.params.as_bytes().len();
    write_unfolded(out, value.get(..value.len() - rest.len() - params).unwrap_or_default());
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
    out.extend_from_slice(b";received=");
    display(out, &address);
    let rest = lex::trim(rest);
    write_unfolded(out, rest);
}
