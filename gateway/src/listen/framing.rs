//! Finds requests whose length can be read in two ways (RFC 9112, section 6.3).
//!
//! Two parsers in a row that read such a request differently let a peer hide one request in another. The HTTP parser
//! decides for one reading and drops the header that says otherwise, so the bytes are looked at before it gets them:
//! only far enough to find the heads and, in them, the headers that tell lengths. Whatever is no HTTP at all is left to
//! the parser, which ends the connection.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes kept of a line: enough for the longest header that tells a length plainly.
const LINE_BYTES: usize = 48;

/// Follows the requests of one connection.
#[derive(Debug)]
pub(super) struct Framing {
    place: Place,
    line: [u8; LINE_BYTES],
    /// Length of the line, also when it is longer than what is kept.
    line_bytes: usize,
    /// Heads that have ended.
    heads: u64,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Head(Head),
    /// In a body of which this much is missing.
    Body(u64),
    /// Nothing that follows is looked at: the connection ends with the request at hand.
    Last,
}

/// What a head has said so far.
#[derive(Debug, Clone, Copy, Default)]
struct Head {
    begun: bool,
    lengths: u8,
    length: u64,
    encodings: u8,
    /// A length that is not told plainly.
    odd: bool,
}

impl Head {
    fn header(&mut self, line: &[u8], is_whole: bool) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            self.lengths = self.lengths.saturating_add(1);
            match std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok()) {
                Some(length) if is_whole => self.length = length,
                _ => self.odd = true,
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.encodings = self.encodings.saturating_add(1);
            self.odd |= !(is_whole && value.eq_ignore_ascii_case(b"chunked"));
        }
    }

    fn is_ambiguous(&self) -> bool {
        self.odd || u16::from(self.lengths) + u16::from(self.encodings) > 1
    }
}

impl Framing {
    pub(super) fn new() -> Self {
        let place = Place::Head(Head::default());
        Self { place, line: [0; LINE_BYTES], line_bytes: 0, heads: 0 }
    }

    /// Bytes of the peer, in their order.
    pub(super) fn see(&mut self, mut bytes: &[u8], verdict: &Verdict) {
        while !bytes.is_empty() {
            match self.place {
                Place::Last => return,
                Place::Body(missing) => {
                    let here = usize::try_from(missing).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[here..];
                    self.body(missing - here as u64);
                }
                Place::Head(head) => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    let (part, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
                    self.keep(part);
                    bytes = rest.get(1..).unwrap_or_default();
                    if end.is_some() {
                        self.line_ended(head, verdict);
                    }
                }
            }
        }
    }

    fn keep(&mut self, part: &[u8]) {
        let room = self.line.get_mut(self.line_bytes..).unwrap_or_default();
        let kept = part.len().min(room.len());
        room[..kept].copy_from_slice(&part[..kept]);
        self.line_bytes = self.line_bytes.saturating_add(part.len());
    }

    fn line_ended(&mut self, mut head: Head, verdict: &Verdict) {
        let bytes = std::mem::take(&mut self.line_bytes);
        let line = &self.line[..bytes.min(LINE_BYTES)];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match (head.begun, line.is_empty()) {
            // Empty lines before a request are nothing (RFC 9112, section 2.2).
            (false, true) => {}
            (false, false) => head.begun = true,
            (true, false) => head.header(line, bytes <= LINE_BYTES),
            (true, true) => return self.head_ended(head, verdict),
        }
        self.place = Place::Head(head);
    }

    fn head_ended(&mut self, head: Head, verdict: &Verdict) {
        self.heads += 1;
        if head.is_ambiguous() {
            verdict.ambiguous.store(self.heads, Relaxed);
        }
        if head.is_ambiguous() || head.encodings > 0 {
            self.place = Place::Last;
        } else {
            self.body(head.length);
        }
    }

    fn body(&mut self, missing: u64) {
        self.place = if missing == 0 { Place::Head(Head::default()) } else { Place::Body(missing) };
    }
}

/// What was found, for those who answer. One task owns the connection, so relaxed atomics suffice.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// The number of the ambiguous request; 0 is none.
    ambiguous: AtomicU64,
    /// Requests that were asked about.
    asked: AtomicU64,
}

impl Verdict {
    /// Whether the next request is ambiguous. To be asked once for each.
    pub(super) fn next_is_ambiguous(&self) -> bool {
        self.asked.fetch_add(1, Relaxed) + 1 == self.ambiguous.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The number of the ambiguous request when the bytes come in pieces of this size.
    fn ambiguous(text: &str, piece: usize) -> u64 {
        let (mut framing, verdict) = (Framing::new(), Verdict::default());
        text.as_bytes().chunks(piece).for_each(|bytes| framing.see(bytes, &verdict));
        verdict.ambiguous.load(Relaxed)
    }

    fn post(headers: &[&str], body: &str) -> String {
        format!("POST / HTTP/1.1\r\nHost: x\r\n{}\r\n\r\n{body}", headers.join("\r\n"))
    }

    #[test]
    fn plain_requests_are_plain() {
        let long = format!("X-Long: {}", "content-length: 1, ".repeat(20));
        let lying_body = "\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n";
        let length = format!("Content-Length: {}", lying_body.len());
        for text in [
            post(&["Content-Length: 5"], "hello"),
            post(&["content-length:5", "Content-Lengths: 6", &long], "hello"),
            post(&["TRANSFER-ENCODING: Chunked"], "5\r\nhello\r\n0\r\n\r\n"),
            post(&[&length], lying_body),
            post(&["X: y"], ""),
            post(&["Content-Length: 0"], ""),
            "GET / HTTP/1.1\nHost: x\n\n".to_owned(),
        ] {
            for piece in [1, 7, 1_000] {
                assert_eq!(ambiguous(&text, piece), 0, "{text}");
            }
        }
    }

    #[test]
    fn lengths_that_contradict_are_found_in_the_request_that_has_them() {
        let padded = format!("Content-Length:{}5", " ".repeat(60));
        for headers in [
            ["Transfer-Encoding: chunked", "Content-Length: 5"],
            ["content-length: 5", "transfer-encoding: chunked"],
            ["Content-Length: 5", "Content-Length: 5"],
            ["Content-Length: 5", "Content-Length: 6"],
            ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
            ["Transfer-Encoding: gzip, chunked", "X: y"],
            ["Transfer-Encoding: identity", "X: y"],
            ["Content-Length: 5, 5", "X: y"],
            [&padded, "X: y"],
        ] {
            for piece in [1, 7, 1_000] {
                let bad = post(&headers, "hello");
                assert_eq!(ambiguous(&bad, piece), 1, "{bad}");
                let third =
                    [post(&["Content-Length: 5"], "hello"), "\r\n".to_owned(), post(&["X: y"], ""), bad]
                        .concat();
                assert_eq!(ambiguous(&third, piece), 3, "{third}");
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "(GET|POST|[Cc]ontent-[Ll]ength: ?[0-9]{1,2}|Transfer-Encoding: chunked|[a-z:]{0,60}|\r?\n|(\r\n){2}){0,40}", piece in 1_usize..50) {
            prop_assert_eq!(ambiguous(&text, piece), ambiguous(&text, text.len().max(1)));
        }
    }
}
