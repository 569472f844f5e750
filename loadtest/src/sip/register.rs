//! Writing REGISTER (RFC 3261, section 10.2). The same request comes out the same, so that nothing is kept to send it again.

use super::company::{Company, DOMAIN, Site};
use super::fault::Fault;
use super::pass::Pass;

/// What a branch of ours begins with, after the cookie of RFC 3261.
const BRANCH: &str = "z9hG4bKl";

/// A phone's registration.
pub(super) struct Register<'a> {
    pub(super) company: &'a Company,
    pub(super) site: &'a Site,
    pub(super) number: u32,
    pub(super) cseq: u32,
    pub(super) pass: Option<&'a Pass>,
}

impl Register<'_> {
    /// Append it. Its length depends on nothing but the digits of its `CSeq` and on whether it has credentials, so that
    /// requests of many phones leave with one system call.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let Self { company, site, number, cseq, pass } = *self;
        let mut text = |part: &str| out.extend_from_slice(part.as_bytes());
        text("REGISTER sip:");
        text(DOMAIN);
        text(" SIP/2.0\r\nVia: SIP/2.0/");
        text(site.transport.in_via());
        text(" ");
        text(&site.local);
        text(";branch=");
        text(BRANCH);
        hex(out, number);
        hex(out, cseq);
        out.extend_from_slice(b";rport\r\nMax-Forwards: 70\r\nFrom: <sip:p");
        address(out, number);
        out.extend_from_slice(b">;tag=");
        hex(out, company.run);
        out.extend_from_slice(b"\r\nTo: <sip:p");
        address(out, number);
        out.extend_from_slice(b">\r\nCall-ID: ");
        hex(out, number);
        out.push(b'-');
        hex(out, company.run);
        out.push(b'@');
        out.extend_from_slice(DOMAIN.as_bytes());
        out.extend_from_slice(b"\r\nCSeq: ");
        decimal(out, cseq, 1);
        out.extend_from_slice(b" REGISTER\r\nContact: <sip:p");
        decimal(out, number, 8);
        out.push(b'@');
        out.extend_from_slice(site.local.as_bytes());
        out.extend_from_slice(b";transport=");
        out.extend_from_slice(site.transport.as_str().as_bytes());
        out.extend_from_slice(b">\r\nExpires: ");
        decimal(out, company.expires, 1);
        out.extend_from_slice(b"\r\nUser-Agent: loadtest\r\n");
        if let Some(pass) = pass {
            authorization(out, number, cseq, pass)?;
        }
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        Ok(())
    }
}

/// `user@domain`, without the user's first letter.
fn address(out: &mut Vec<u8>, number: u32) {
    decimal(out, number, 8);
    out.push(b'@');
    out.extend_from_slice(DOMAIN.as_bytes());
}

fn authorization(out: &mut Vec<u8>, number: u32, cseq: u32, pass: &Pass) -> Result<(), Fault> {
    let uri = ["sip:", DOMAIN].concat();
    let mut cnonce = Vec::with_capacity(16);
    hex(&mut cnonce, number.wrapping_mul(0x85eb_ca6b));
    hex(&mut cnonce, cseq.wrapping_mul(0xc2b2_ae35));
    let cnonce = String::from_utf8_lossy(&cnonce);
    let answer = pass.answer(&uri, &cnonce)?;
    let mut text = |part: &str| out.extend_from_slice(part.as_bytes());
    text("Authorization: Digest username=\"");
    text(&super::user(number));
    text("\", realm=\"");
    text(&pass.realm);
    text("\", nonce=\"");
    text(&pass.nonce);
    text("\", uri=\"");
    text(&uri);
    text("\", response=\"");
    text(answer.response.as_str());
    text("\", algorithm=");
    text(answer.scheme.name());
    if let Some(nc) = answer.nc {
        text(", qop=auth, nc=");
        text(nc.as_str());
        text(", cnonce=\"");
        text(&cnonce);
        text("\"");
    }
    if let Some(opaque) = &pass.opaque {
        text(", opaque=\"");
        text(opaque);
        text("\"");
    }
    text("\r\n");
    Ok(())
}

/// Eight hexadecimal digits.
pub(super) fn hex(out: &mut Vec<u8>, number: u32) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend((0..8).rev().map(|at| DIGITS[(number >> (4 * at) & 15) as usize]));
}

/// Decimal digits, at least so many.
fn decimal(out: &mut Vec<u8>, mut number: u32, least: usize) {
    let mut digits = [b'0'; 10];
    let mut at = digits.len();
    while number > 0 {
        at -= 1;
        // Below ten.
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits[at.min(digits.len() - least)..]);
}

/// The phone and the `CSeq` in a branch of ours.
pub(super) fn read_branch(branch: &[u8]) -> Option<(u32, u32)> {
    let digits = branch.strip_prefix(BRANCH.as_bytes()).filter(|digits| digits.len() == 16)?;
    let text = str::from_utf8(digits).ok()?;
    let (number, cseq) = text.split_at(8);
    Some((u32::from_str_radix(number, 16).ok()?, u32::from_str_radix(cseq, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use callboard_codecs::sip::{Contact, Index, Limits, Message, Strictness, parse};

    use super::super::{Digest, Transport};
    use super::*;

    #[test]
    fn a_registration_is_a_good_request_and_always_the_same() {
        let company = Company { run: 7, expires: 600, digest: Digest::None };
        let site = Site::new(Transport::Tcp, "127.1.0.9:4000".parse().unwrap());
        let register = Register { company: &company, site: &site, number: 42, cseq: 10, pass: None };
        let (mut one, mut two) = (Vec::new(), Vec::new());
        register.write(&mut one).unwrap();
        register.write(&mut two).unwrap();
        assert_eq!(one, two);
        let mut index = Index::new();
        let Ok(Message::Request(request)) = parse(&one, &mut index, &Limits::default()) else {
            panic!("no request: {}", String::from_utf8_lossy(&one));
        };
        let essentials = request.check(Strictness::Current).unwrap();
        assert_eq!((essentials.cseq.number, request.headers.expires()), (10, Some(600)));
        assert_eq!(essentials.call_id, company.call_id(42).as_bytes());
        assert_eq!(essentials.via.branch.and_then(read_branch), Some((42, 10)));
        assert_eq!(essentials.to.raw_uri, b"sip:p00000042@load.test");
        let contact = request.headers.contacts().next();
        let Some(Ok(Contact::Address(contact))) = contact else { panic!("no contact") };
        assert_eq!(contact.address.raw_uri, site.contact(42).as_bytes());
    }

    #[test]
    fn numbers_are_written_and_read() {
        let written = |number, least| {
            let mut out = Vec::new();
            decimal(&mut out, number, least);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(0, 1), "0");
        assert_eq!(written(42, 8), "00000042");
        assert_eq!(written(u32::MAX, 8), u32::MAX.to_string());
        let mut branch = BRANCH.as_bytes().to_vec();
        hex(&mut branch, 0xdead_beef);
        hex(&mut branch, 1);
        assert_eq!(read_branch(&branch), Some((0xdead_beef, 1)));
        assert_eq!(read_branch(b"z9hG4bKl0123"), None);
        assert_eq!(read_branch(b"z9hG4bKm0123456789abcdef"), None);
    }
}
