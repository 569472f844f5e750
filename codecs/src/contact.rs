//! Contact-me, the plain HTTP request that asks a phone to call (WPI reference, section 3), and the head of its answer.
//!
//! Whoever receives such a request may be anybody: the answer is read without trust, and nothing of it is kept but
//! its status and whether it is a phone's.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// The path of the phones' web server that takes contact-me.
pub const PATH: &str = "/contact_dls.html/ContactDLS";

/// The port of that web server.
pub const PORT: u16 = 8085;

/// Bytes of an answer's head that are looked at.
pub const MAX_HEAD_BYTES: usize = 4_096;

/// The `Server` header of phones.
const PHONE: &[u8] = b"DlsClient";

/// A service that a phone is told to call in place of the one it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceAddress {
    /// `dls_ip_addr`.
    pub address: IpAddr,
    /// `dls_ip_port`; without it the phone takes the port that it knows.
    pub port: Option<u16>,
}

/// Append the request for the web server at `target`. `path` is the request target of the address that the phone
/// reported: visible ASCII that begins with `/`.
pub fn write_request(out: &mut Vec<u8>, target: SocketAddr, path: &str, service: Option<ServiceAddress>) {
    let mut form = String::from("ContactMe=true");
    // Writing to a String cannot fail. The colons of an IPv6 address are percent-encoded, as forms have them.
    if let Some(ServiceAddress { address, port }) = service {
        let _ = write!(form, "&dls_ip_addr={}", address.to_string().replace(':', "%3A"));
        if let Some(port) = port {
            let _ = write!(form, "&dls_ip_port={port}");
        }
    }
    let length = form.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {target}\r\n\
         Content-type: application/x-www-form-urlencoded; charset=utf-8\r\n\
         User-Agent: Callboard\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{form}"
    );
    out.extend_from_slice(request.as_bytes());
}

/// What the head of an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// It is the web server of a phone, by its own word.
    pub is_phone: bool,
}

/// What answers does not speak HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not HTTP/1")]
pub struct NotHttp;

/// Read the head of an answer from what has come so far; `None` means that more is needed. With `ended` nothing more
/// comes: a whole status line is enough then. Lines may end without carriage return, as old web servers have them.
///
/// # Errors
/// [`NotHttp`] as soon as that is certain.
pub fn read_head(bytes: &[u8], ended: bool) -> Result<Option<Head>, NotHttp> {
    let bytes = &bytes[..bytes.len().min(MAX_HEAD_BYTES)];
    let full = ended || bytes.len() == MAX_HEAD_BYTES;
    let mut lines = Lines(bytes);
    let Some(first) = lines.next() else {
        let could_be = bytes.iter().zip(b"HTTP/1.").all(|(one, other)| one == other);
        return if could_be && !full { Ok(None) } else { Err(NotHttp) };
    };
    let mut head = Head { status: status(first)?, is_phone: false };
    for line in lines {
        if line.is_empty() {
            return Ok(Some(head));
        }
        head.is_phone |= header(line, b"server").is_some_and(|value| value.starts_with(PHONE));
    }
    Ok(full.then_some(head))
}

/// The whole lines of a text, without their ends.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = memchr::memchr(b'\n', self.0)?;
        let (line, rest) = (&self.0[..end], &self.0[end + 1..]);
        self.0 = rest;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// The status of a status line (RFC 9112, section 4).
fn status(line: &[u8]) -> Result<u16, NotHttp> {
    let rest = line.strip_prefix(b"HTTP/1.").ok_or(NotHttp)?;
    let [minor, b' ', code @ ..] = rest else { return Err(NotHttp) };
    let (digits, after) = code.split_at_checked(3).ok_or(NotHttp)?;
    let good = minor.is_ascii_digit() && digits.iter().all(u8::is_ascii_digit) && digits[0] != b'0';
    if !good || !matches!(after.first(), None | Some(b' ')) {
        return Err(NotHttp);
    }
    Ok(digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0')))
}

/// The value of a header line, if it has that name.
fn header<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let colon = memchr::memchr(b':', line)?;
    line[..colon].eq_ignore_ascii_case(name).then(|| line[colon + 1..].trim_ascii())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(target: &str, service: Option<ServiceAddress>) -> String {
        let mut out = Vec::new();
        write_request(&mut out, target.parse().unwrap(), PATH, service);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_request_is_that_of_the_reference() {
        let service = ServiceAddress { address: "198.51.100.7".parse().unwrap(), port: Some(18_443) };
        let text = request("192.0.2.41:8085", Some(service));
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /contact_dls.html/ContactDLS HTTP/1.1\r\nHost: 192.0.2.41:8085\r\n"));
        assert_eq!(body, "ContactMe=true&dls_ip_addr=198.51.100.7&dls_ip_port=18443");
        assert!(head.lines().any(|line| line == "Content-Length: 57"), "{head}");
        assert!(head.lines().any(|line| line == "Connection: close"), "{head}");
    }

    #[test]
    fn fields_that_are_not_needed_are_left_out() {
        assert!(request("192.0.2.41:8085", None).ends_with("\r\n\r\nContactMe=true"));
        let service = ServiceAddress { address: "2001:db8::7".parse().unwrap(), port: None };
        let text = request("[2001:db8::41]:8085", Some(service));
        assert!(text.contains("\r\nHost: [2001:db8::41]:8085\r\n"), "{text}");
        assert!(text.ends_with("ContactMe=true&dls_ip_addr=2001%3Adb8%3A%3A7"), "{text}");
    }

    #[test]
    fn answers_are_read() {
        let read = |text: &str, ended| read_head(text.as_bytes(), ended);
        let phone = "HTTP/1.1 204 No Content\r\nServer: DlsClient\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(read(phone, false), Ok(Some(Head { status: 204, is_phone: true })));
        let other = "HTTP/1.0 404\nSERVER:nginx\n\n";
        assert_eq!(read(other, false), Ok(Some(Head { status: 404, is_phone: false })));
        // In the body it is not the server's word.
        let body = "HTTP/1.1 200 OK\r\n\r\nServer: DlsClient\r\n";
        assert_eq!(read(body, false), Ok(Some(Head { status: 200, is_phone: false })));
        assert_eq!(read("HTTP/1.1 204 No Content\r\nServer: Dl", false), Ok(None));
        assert_eq!(
            read("HTTP/1.1 204 No Content\r\n", true),
            Ok(Some(Head { status: 204, is_phone: false }))
        );
        assert_eq!(read("HTT", false), Ok(None));
        for bad in ["HTTP/2 200\r\n", "HTTP/1.1 20\r\n", "HTTP/1.1 2000\r\n", "HTTP/1.1 099 x\r\n", "SSH-2.0"]
        {
            assert_eq!(read(bad, false), Err(NotHttp), "{bad:?}");
        }
        assert_eq!(read("", true), Err(NotHttp));
        assert_eq!(read("HTTP/1.1 204", true), Err(NotHttp));
    }

    #[test]
    fn a_head_without_end_is_taken_at_its_bound() {
        let mut text = b"HTTP/1.1 200 OK\r\n".to_vec();
        text.resize(MAX_HEAD_BYTES - 1, b'x');
        assert_eq!(read_head(&text, false), Ok(None));
        text.push(b'x');
        assert_eq!(read_head(&text, false), Ok(Some(Head { status: 200, is_phone: false })));
        assert_eq!(read_head(&[b'H'; MAX_HEAD_BYTES], false), Err(NotHttp));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..6_000), ended: bool) {
            let _ = read_head(&bytes, ended);
        }

        /// However it is cut, the same is read, and nothing is said before it is certain.
        #[test]
        fn cuts_make_no_difference(
            status in 100_u16..1_000,
            server in proptest::option::of("[A-Za-z]{1,12}|DlsClient/1"),
            cut in 0_usize..100,
        ) {
            let line = server.as_ref().map_or_else(String::new, |server| format!("Server: {server}\r\n"));
            let text = format!("HTTP/1.1 {status} Some Words\r\n{line}Content-Length: 0\r\n\r\n");
            let is_phone = server.is_some_and(|server| server.starts_with("DlsClient"));
            let whole = Head { status, is_phone };
            prop_assert_eq!(read_head(text.as_bytes(), false), Ok(Some(whole)));
            let cut = cut.min(text.len() - 1);
            prop_assert_eq!(read_head(&text.as_bytes()[..cut], false), Ok(None));
        }
    }
}
