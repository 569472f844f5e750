//! Where messages end: in streams by their Content-Length, in datagrams with the datagram (RFC 3261, section 18.3), and the
//! keep-alives between them (RFC 5626, section 3.5).

use memchr::memchr;

use super::index::{self, Limits};
use super::{HeaderName, lex, stun};

/// What is at the beginning of a stream's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// It has not arrived completely.
    More,
    /// A client's keep-alive of this many bytes; it is answered with CRLF (RFC 5626, section 4.4.1).
    Ping(usize),
    /// A server's answer to a keep-alive, of this many bytes.
    Pong(usize),
    /// A message of this many bytes, line ends before it included, for [`parse`](super::parse).
    Message(usize),
}

/// A stream in which no message can be found any more. It is to be closed: nothing says where the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadStream {
    /// What arrives is no SIP.
    #[error("these bytes are no SIP")]
    NotSip,
    /// The header fields or the message exceed the limits.
    #[error("the message is too long")]
    TooLong,
    /// A Content-Length that is no number, or two that differ.
    #[error("the Content-Length cannot be understood")]
    ContentLength,
}

/// Which end of a stream reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It accepted the connection: empty lines are a client's keep-alives.
    Server,
    /// It opened the connection: an empty line is the answer to a keep-alive.
    Client,
}

/// Finds messages in the bytes of a stream. It remembers how far it has looked, so that bytes that come one by one cost no more than
/// those that come together.
#[derive(Debug)]
pub struct Framer {
    side: Side,
    limits: Limits,
    /// Bytes of line ends before the message.
    blank: usize,
    /// The message has begun: the line ends before it are over.
    begun: bool,
    /// How far line feeds have been looked for.
    scanned: usize,
    /// Where the present header field begins; the first line counts as one.
    field: usize,
    length: Option<usize>,
    /// Where the message ends, once that is known.
    end: Option<usize>,
}

impl Framer {
    /// A framer for a new connection.
    #[must_use]
    pub const fn new(side: Side, limits: Limits) -> Self {
        Self { side, limits, blank: 0, begun: false, scanned: 0, field: 0, length: None, end: None }
    }

    /// What is at the beginning of `bytes`: all bytes that arrived and were not yet reported as part of a frame. Bytes of a frame are
    /// to be taken away before the next call. The answers are the same however the bytes were cut.
    ///
    /// A message without Content-Length has no body: the header field is mandatory in streams, and closing the connection
    /// would help nobody.
    ///
    /// # Errors
    /// If no message can come of the bytes.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Frame, BadStream> {
        if !self.begun
            && let Some(frame) = self.line_ends(bytes)?
        {
            return Ok(frame);
        }
        if self.end.is_none() {
            self.end = self.head(bytes)?;
        }
        match self.end {
            Some(end) if end <= bytes.len() => Ok(self.done(Frame::Message(end))),
            None if bytes.len() >= self.limits.message_bytes => Err(BadStream::TooLong),
            _ => Ok(Frame::More),
        }
    }

    fn done(&mut self, frame: Frame) -> Frame {
        *self = Self::new(self.side, self.limits);
        frame
    }

    /// Empty lines before a message. A server waits for the second one, which makes a ping of the first; a client
    /// takes each for a pong.
    fn line_ends(&mut self, bytes: &[u8]) -> Result<Option<Frame>, BadStream> {
        loop {
            let length = match bytes.get(self.blank..).unwrap_or_default() {
                [] | [b'\r'] => return Ok(Some(Frame::More)),
                [b'\r', b'\n', ..] => 2,
                [b'\n', ..] => 1,
                [first, ..] if lex::is(*first, lex::TOKEN) => {
                    (self.begun, self.scanned, self.field) = (true, self.blank, self.blank);
                    return Ok(None);
                }
                _ => return Err(BadStream::NotSip),
            };
            let first = self.blank == 0;
            self.blank += length;
            match self.side {
                Side::Client => return Ok(Some(self.done(Frame::Pong(length)))),
                Side::Server if first => {}
                Side::Server => {
                    let length = self.blank;
                    return Ok(Some(self.done(Frame::Ping(length))));
                }
            }
        }
    }

    /// Looks on for the end of the header fields; gives the end of the message.
    fn head(&mut self, bytes: &[u8]) -> Result<Option<usize>, BadStream> {
        loop {
            let Some(found) = bytes.get(self.scanned..).and_then(|rest| memchr(b'\n', rest)) else {
                self.scanned = bytes.len();
                break;
            };
            self.scanned += found;
            let line_end = self.scanned + 1;
            let after = bytes.get(line_end..).unwrap_or_default();
            let body = match after {
                // Whether the header field goes on, or is the last one, is for the next bytes to say.
                [] | [b'\r'] => break,
                [b' ' | b'\t', ..] => {
                    self.scanned = line_end;
                    continue;
                }
                [b'\r', b'\n', ..] => Some(line_end + 2),
                [b'\n', ..] => Some(line_end + 1),
                _ => None,
            };
            self.within(line_end - self.field)?;
            // What bytes beyond the limit would say does not count, or it would matter when they arrive.
            let decided = line_end + if after.first() == Some(&b'\r') { 2 } else { 1 };
            if decided > self.limits.message_bytes {
                return Err(BadStream::TooLong);
            }
            self.take(bytes.get(self.field..line_end).unwrap_or_default())?;
            (self.scanned, self.field) = (line_end, line_end);
            if let Some(body) = body {
                let end = body.saturating_add(self.length.unwrap_or(0));
                return if end > self.limits.message_bytes { Err(BadStream::TooLong) } else { Ok(Some(end)) };
            }
        }
        // The last byte may be the beginning of the empty line.
        self.within(bytes.len().saturating_sub(self.field + 1))?;
        Ok(None)
    }

    fn within(&self, length: usize) -> Result<(), BadStream> {
        if length > self.limits.line_bytes { Err(BadStream::TooLong) } else { Ok(()) }
    }

    /// Takes note of a header field, if it is a Content-Length.
    fn take(&mut self, line: &[u8]) -> Result<(), BadStream> {
        if !line.first().is_some_and(|first| matches!(first, b'C' | b'c' | b'L' | b'l')) {
            return Ok(());
        }
        let Some(entry) = index::field(line, 0, line.len()) else { return Ok(()) };
        if entry.name != HeaderName::ContentLength {
            return Ok(());
        }
        let value = line.get(entry.value..entry.value_end).unwrap_or_default();
        let length = lex::digits(value).ok_or(BadStream::ContentLength)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        match self.length.replace(length) {
            Some(other) if other != length => Err(BadStream::ContentLength),
            _ => Ok(()),
        }
    }
}

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// STUN (RFC 5626, section 8; RFC 8489, section 5): the first two bits are 0, and the magic cookie is there.
    Stun,
    /// A keep-alive that wants no answer: nothing, line ends, or up to four zero bytes.
    KeepAlive,
    /// SIP, or what has to be read as such.
    Sip,
}

impl Datagram {
    /// What these bytes are.
    #[must_use]
    pub fn classify(bytes: &[u8]) -> Self {
        let line_ends = bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        let zeros = bytes.len() <= 4 && bytes.iter().all(|byte| *byte == 0);
        if line_ends || zeros {
            Self::KeepAlive
        } else if stun::is_stun(bytes) {
            Self::Stun
        } else {
            Self::Sip
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { message_bytes: 200, line_bytes: 50, ..Limits::default() }
    }

    fn first(side: Side, bytes: &[u8]) -> Result<Frame, BadStream> {
        Framer::new(side, limits()).next(bytes)
    }

    #[test]
    fn messages_end_by_their_length() {
        for (text, expected) in [
            ("A b SIP/2.0\r\n\r\n", Ok(Frame::Message(15))),
            ("\r\nA b SIP/2.0\r\n\r\nB", Ok(Frame::Message(17))),
            ("A b SIP/2.0\nl: 3\n\nxyz", Ok(Frame::Message(21))),
            ("A b SIP/2.0\r\nCONTENT-LENGTH\t:\r\n 3\r\n\r\nxyzB", Ok(Frame::Message(40))),
            ("A b SIP/2.0\r\nl: 3\r\n\r\nxy", Ok(Frame::More)),
            ("A b SIP/2.0\r\nl: 3\r\nl: 3\r\n\r\nxyz", Ok(Frame::Message(30))),
            ("A b SIP/2.0\r\nl: 3\r\nl: 4\r\n", Ok(Frame::More)),
            ("A b SIP/2.0\r\nl: 3\r\nl: 4\r\n\r\n", Err(BadStream::ContentLength)),
            ("A b SIP/2.0\r\nl: -3\r\nx", Err(BadStream::ContentLength)),
            ("A b SIP/2.0\r\nl: 177\r\n\r\n", Ok(Frame::More)),
            ("A b SIP/2.0\r\nl: 178\r\n\r\n", Err(BadStream::TooLong)),
            ("A b SIP/2.0\r\nl: 99999999999999999999\r\n\r\n", Err(BadStream::TooLong)),
            ("\x16\x03\x01", Err(BadStream::NotSip)),
            ("\rA", Err(BadStream::NotSip)),
            ("", Ok(Frame::More)),
        ] {
            assert_eq!(first(Side::Server, text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn line_ends_between_messages_are_keep_alives() {
        for (text, server, client) in [
            ("\r\n\r\n", Frame::Ping(4), Frame::Pong(2)),
            ("\r\n\r", Frame::More, Frame::Pong(2)),
            ("\r\n", Frame::More, Frame::Pong(2)),
            ("\n\n", Frame::Ping(2), Frame::Pong(1)),
            ("\r", Frame::More, Frame::More),
        ] {
            assert_eq!(first(Side::Server, text.as_bytes()), Ok(server), "{text:?}");
            assert_eq!(first(Side::Client, text.as_bytes()), Ok(client), "{text:?}");
        }
    }

    #[test]
    fn lines_and_messages_have_bounds() {
        let line = |length: usize| format!("A b SIP/2.0\r\na: {}\r\n\r\n", "x".repeat(length));
        assert_eq!(first(Side::Server, line(45).as_bytes()), Ok(Frame::Message(65)));
        assert_eq!(first(Side::Server, line(46).as_bytes()), Err(BadStream::TooLong));
        assert_eq!(first(Side::Server, &[b'x'; 51]), Ok(Frame::More));
        assert_eq!(first(Side::Server, &[b'x'; 52]), Err(BadStream::TooLong));
        let head = "a: b\r\n".repeat(33);
        assert_eq!(first(Side::Server, &head.as_bytes()[..198]), Ok(Frame::More));
        assert_eq!(first(Side::Server, format!("{head}x").as_bytes()).err(), None);
        assert_eq!(first(Side::Server, format!("{head}xy").as_bytes()), Err(BadStream::TooLong));
    }

    /// A line end at the limit, with a byte behind it that could have begun the last line: what it would have meant does not count,
    /// whether or not it is there yet.
    #[test]
    fn bytes_beyond_the_limit_say_nothing() {
        let field = "Content-Length: x\r\n";
        let text = "a: b\r\n".repeat(30) + field + "\rX";
        assert_eq!(text.len(), 201);
        let mut framer = Framer::new(Side::Server, limits());
        let one_by_one = (0..=text.len()).find_map(|end| framer.next(&text.as_bytes()[..end]).err());
        assert_eq!(one_by_one, Some(BadStream::TooLong));
        assert_eq!(first(Side::Server, text.as_bytes()), Err(BadStream::TooLong));
        let earlier = text.replacen("a: b", "a: ", 1);
        assert_eq!(first(Side::Server, earlier.as_bytes()), Err(BadStream::ContentLength));
    }

    /// Bytes that come one by one are looked at once each, with a second look at line ends.
    #[test]
    fn progress_is_remembered() {
        let text = format!("A b SIP/2.0\r\na: {}", "x".repeat(40));
        let mut framer = Framer::new(Side::Server, limits());
        for end in 1..=text.len() {
            assert_eq!(framer.next(&text.as_bytes()[..end]), Ok(Frame::More));
            assert!(framer.scanned + 1 >= end || text.as_bytes()[framer.scanned] == b'\n');
        }
    }

    #[test]
    fn datagrams_are_told_apart() {
        let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42][..], &[0; 12]].concat();
        for (bytes, expected) in [
            (&stun[..], Datagram::Stun),
            (&stun[..19], Datagram::Sip),
            (b"", Datagram::KeepAlive),
            (b"\r\n\r\n", Datagram::KeepAlive),
            (&[0; 4], Datagram::KeepAlive),
            (&[0; 5], Datagram::Sip),
            (b"\r\nOPTIONS", Datagram::Sip),
        ] {
            assert_eq!(Datagram::classify(bytes), expected, "{bytes:?}");
        }
    }
}
