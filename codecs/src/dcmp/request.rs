//! A phone's poll.

use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::{char, satisfy};
use nom::{IResult, Parser};

use super::head::{Fields, Lines, Malformed, TooLong, is_token};
use super::{Answer, BadId};

/// A phone asks whether work waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll<'a> {
    /// The parameter `device-id` as it stands in the URL, for [`CanonicalId::read`](super::CanonicalId::read). Of several
    /// the first counts.
    pub device: &'a [u8],
    /// The phone may ask again on this connection.
    pub keep_alive: bool,
}

/// A request that is no poll. Nothing behind it can be trusted: the connection is to be closed after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPoll {
    /// Not HTTP/1 as RFC 9112 has it.
    #[error("this is no HTTP/1 request")]
    Malformed,
    /// The head is longer than it may be.
    #[error("the request's head is too long")]
    TooLong,
    /// The path does not end in `/contact-me`.
    #[error("the path does not end in /contact-me")]
    Path,
    /// Neither `GET` nor `HEAD`.
    #[error("the method is neither GET nor HEAD")]
    Method,
    /// The request announces a body.
    #[error("a poll has no body")]
    Body,
    /// The device id.
    #[error(transparent)]
    Id(#[from] BadId),
}

impl BadPoll {
    /// What to tell the sender.
    #[must_use]
    pub const fn answer(self) -> Answer {
        match self {
            Self::Malformed | Self::Body | Self::Id(_) => Answer::BadRequest,
            Self::TooLong => Answer::HeadTooLong,
            Self::Path => Answer::NotFound,
            Self::Method => Answer::NotAllowed,
        }
    }
}

impl From<TooLong> for BadPoll {
    fn from(_: TooLong) -> Self {
        Self::TooLong
    }
}

impl From<Malformed> for BadPoll {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Read the poll at the beginning of `bytes`. Gives it with the number of bytes it takes, or `None` if it has not arrived
/// completely. A head has at most `head_bytes` bytes, blank lines before it included.
///
/// The answer is the same however the bytes were cut: what comes first decides, the request line before the headers.
///
/// # Errors
/// As soon as the bytes cannot become a poll any more.
pub fn parse_poll(bytes: &[u8], head_bytes: usize) -> Result<Option<(Poll<'_>, usize)>, BadPoll> {
    let mut lines = Lines::new(bytes, head_bytes);
    // Empty lines before a request are nothing (RFC 9112, section 2.2).
    let line = loop {
        match lines.next()? {
            None => return Ok(None),
            Some([]) => {}
            Some(line) => break line,
        }
    };
    let (device, minor) = poll_line(line)?;
    let mut fields = Fields::default();
    loop {
        match lines.next()? {
            None => return Ok(None),
            Some([]) => break,
            Some(line) => fields.take(line)?,
        }
        if fields.encoded || fields.length.is_some_and(|length| length > 0) {
            return Err(BadPoll::Body);
        }
    }
    Ok(Some((Poll { device, keep_alive: fields.keeps(minor) }, lines.consumed())))
}

/// The device id and the minor version of HTTP.
fn poll_line(line: &[u8]) -> Result<(&[u8], u8), BadPoll> {
    let (_, (method, target, minor)) = request_line(line).map_err(|_| BadPoll::Malformed)?;
    let query = target.iter().position(|byte| *byte == b'?');
    let (path, query) = target.split_at(query.unwrap_or(target.len()));
    if !path.ends_with(b"/contact-me") {
        return Err(BadPoll::Path);
    }
    if method != b"GET" && method != b"HEAD" {
        return Err(BadPoll::Method);
    }
    let mut parameters = query.get(1..).unwrap_or_default().split(|byte| *byte == b'&');
    let device = parameters.find_map(|parameter| parameter.strip_prefix(b"device-id="));
    Ok((device.ok_or(BadId::Missing)?, minor))
}

/// Method, target and minor version.
type RequestLine<'a> = (&'a [u8], &'a [u8], u8);

/// The parts of a request line (RFC 9112, section 3).
fn request_line(line: &[u8]) -> IResult<&[u8], RequestLine<'_>> {
    let (rest, method) = take_while1(is_token).parse(line)?;
    let (rest, _) = char(' ').parse(rest)?;
    let (rest, target) = take_while1(|byte: u8| byte.is_ascii_graphic()).parse(rest)?;
    let (rest, _) = tag(&b" HTTP/1."[..]).parse(rest)?;
    let (rest, minor) = satisfy(|minor| minor.is_ascii_digit()).parse(rest)?;
    let (rest, _) = nom::combinator::eof(rest)?;
    Ok((rest, (method, target, minor.to_digit(10).and_then(|minor| u8::try_from(minor).ok()).unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: usize = 1_024;

    fn parse(text: &str) -> Result<Option<(Poll<'_>, usize)>, BadPoll> {
        parse_poll(text.as_bytes(), HEAD)
    }

    fn poll(text: &str) -> (&str, bool) {
        let (poll, consumed) = parse(text).unwrap().unwrap();
        assert_eq!(consumed, text.len(), "{text}");
        (str::from_utf8(poll.device).unwrap(), poll.keep_alive)
    }

    #[test]
    fn the_poll_of_the_reference_is_read() {
        let text = "GET /dcmp/contact-me?device-id=00:1A:E8:0A:0B:0C HTTP/1.1\r\nHost: dcmp.example.net:8080\r\n\r\n";
        assert_eq!(poll(text), ("00:1A:E8:0A:0B:0C", true));
    }

    #[test]
    fn what_phones_may_do_otherwise_is_taken() {
        for (text, expected) in [
            ("GET /contact-me?device-id=x HTTP/1.0\r\n\r\n", ("x", false)),
            ("GET /contact-me?device-id=x HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", ("x", true)),
            ("GET /contact-me?device-id=x HTTP/1.1\r\nConnection: TE, close\r\n\r\n", ("x", false)),
            ("HEAD /contact-me?a=b&device-id=x&c HTTP/1.1\n\n", ("x", true)),
            ("\r\n\r\nGET /a/b/contact-me?device-id=x&device-id=y HTTP/1.1\r\n\r\n", ("x", true)),
            (
                "GET http://h:8080/dcmp/contact-me?device-id=x HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
                ("x", true),
            ),
            ("GET /contact-me?device-id= HTTP/1.1\r\nHost:\r\nX-Odd:\t \u{e4}\r\n\r\n", ("", true)),
        ] {
            assert_eq!(poll(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_poll_is_refused() {
        let get = "GET /contact-me?device-id=x HTTP/1.1\r\n";
        for (text, expected) in [
            ("hello\r\n".to_owned(), BadPoll::Malformed),
            ("GET /contact-me?device-id=x\r\n".to_owned(), BadPoll::Malformed),
            ("GET /contact-me?device-id=x HTTP/2.0\r\n".to_owned(), BadPoll::Malformed),
            ("GET  /contact-me?device-id=x HTTP/1.1\r\n".to_owned(), BadPoll::Malformed),
            ("GET /contact-me?device-id=\u{e4} HTTP/1.1\r\n".to_owned(), BadPoll::Malformed),
            ("GET /contact-me?device-id=x HTTP/1.1 \r\n".to_owned(), BadPoll::Malformed),
            ("GET /dcmp?device-id=x HTTP/1.1\r\n".to_owned(), BadPoll::Path),
            ("POST / HTTP/1.1\r\n".to_owned(), BadPoll::Path),
            ("GET /contact-me/?device-id=x HTTP/1.1\r\n".to_owned(), BadPoll::Path),
            ("POST /contact-me?device-id=x HTTP/1.1\r\n".to_owned(), BadPoll::Method),
            ("get /contact-me?device-id=x HTTP/1.1\r\n".to_owned(), BadPoll::Method),
            ("GET /contact-me HTTP/1.1\r\n".to_owned(), BadPoll::Id(BadId::Missing)),
            ("GET /contact-me?Device-Id=x HTTP/1.1\r\n".to_owned(), BadPoll::Id(BadId::Missing)),
            (format!("{get}Content-Length: 1\r\n"), BadPoll::Body),
            (format!("{get}Transfer-Encoding: chunked\r\n"), BadPoll::Body),
            (format!("{get}Content-Length: -0\r\n"), BadPoll::Malformed),
            (format!("{get}Content-Length: 99999999999999999999\r\n"), BadPoll::Malformed),
            (format!("{get} folded: line\r\n"), BadPoll::Malformed),
            (format!("{get}Host : x\r\n"), BadPoll::Malformed),
            (format!("{get}Host: a\rb\r\n"), BadPoll::Malformed),
            (format!("{get}{}: x\r\n", "y".repeat(HEAD)), BadPoll::TooLong),
            ("y".repeat(HEAD), BadPoll::TooLong),
        ] {
            assert_eq!(parse(&text), Err(expected), "{text}");
        }
    }

    #[test]
    fn a_head_may_be_as_long_as_allowed() {
        let head = "GET /contact-me?device-id=x HTTP/1.1\r\n\r\n";
        assert!(parse_poll(head.as_bytes(), head.len()).unwrap().is_some());
        assert_eq!(parse_poll(head.as_bytes(), head.len() - 1), Err(BadPoll::TooLong));
    }

    #[test]
    fn polls_may_follow_each_other() {
        let one = "GET /contact-me?device-id=x HTTP/1.1\r\n\r\n";
        let text = [one, "GET /contact-me?dev"].concat();
        let (_, consumed) = parse(&text).unwrap().unwrap();
        assert_eq!(consumed, one.len());
        assert_eq!(parse(&text[consumed..]), Ok(None));
    }
}
