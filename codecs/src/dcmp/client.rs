//! The phone's side: asking, and reading the answer.

use super::head::{Fields, Lines, digits};

/// An answer as a phone sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The status code.
    pub status: u16,
    /// The connection stays open.
    pub keep_alive: bool,
}

/// Bytes that are no answer of a DCMP server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// Not HTTP/1.
    #[error("this is no HTTP/1 answer")]
    Malformed,
    /// Longer than it may be.
    #[error("the answer is too long")]
    TooLong,
    /// Its length is not told by `Content-Length`.
    #[error("the answer does not say how long it is")]
    NoLength,
}

/// Append a poll to `out`. `base` is the path that `dcmp-url` names, with its slash at the end; `device` the id as the phone
/// registered it.
pub fn write_poll(out: &mut Vec<u8>, base: &str, host: &str, device: &str, keep_alive: bool) {
    out.extend_from_slice(b"GET ");
    out.extend_from_slice(base.as_bytes());
    out.extend_from_slice(b"contact-me?device-id=");
    for byte in device.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            out.push(byte);
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            let digit = |half: u8| HEX.get(usize::from(half)).copied().unwrap_or_default();
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(host.as_bytes());
    out.extend_from_slice(if keep_alive { b"\r\n\r\n" } else { b"\r\nConnection: close\r\n\r\n" });
}

/// Read the answer at the beginning of `bytes`, which may have `most` bytes with its body. Gives it with the number of bytes
/// it takes, or `None` if it has not arrived completely.
///
/// # Errors
/// As soon as the bytes cannot become an answer any more.
pub fn parse_answer(bytes: &[u8], most: usize) -> Result<Option<(Told, usize)>, BadAnswer> {
    let mut lines = Lines::new(bytes, most);
    let Some(line) = lines.next().map_err(|_| BadAnswer::TooLong)? else { return Ok(None) };
    let (minor, status) = status_line(line).ok_or(BadAnswer::Malformed)?;
    let mut fields = Fields::default();
    loop {
        match lines.next().map_err(|_| BadAnswer::TooLong)? {
            None => return Ok(None),
            Some([]) => break,
            Some(line) => fields.take(line).map_err(|_| BadAnswer::Malformed)?,
        }
    }
    let length = fields.length.filter(|_| !fields.encoded).ok_or(BadAnswer::NoLength)?;
    let end = usize::try_from(length).ok().and_then(|length| lines.consumed().checked_add(length));
    let end = end.filter(|end| *end <= most).ok_or(BadAnswer::TooLong)?;
    let told = Told { status, keep_alive: fields.keeps(minor) };
    Ok((bytes.len() >= end).then_some((told, end)))
}

fn status_line(line: &[u8]) -> Option<(u8, u16)> {
    let (minor, rest) = line.strip_prefix(b"HTTP/1.")?.split_first()?;
    let code = rest.strip_prefix(b" ")?.get(..3)?;
    Some((minor.checked_sub(b'0').filter(|minor| *minor < 10)?, u16::try_from(digits(code)?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcmp::Answer;

    #[test]
    fn our_answers_are_read_as_they_are_meant() {
        for answer in Answer::ALL {
            for keep_alive in [false, true] {
                let bytes = answer.bytes(keep_alive);
                let told = Told { status: answer.status(), keep_alive };
                assert_eq!(parse_answer(bytes, 4_096), Ok(Some((told, bytes.len()))));
                for end in 0..bytes.len() {
                    assert_eq!(parse_answer(&bytes[..end], 4_096), Ok(None), "{end}");
                }
            }
        }
    }

    #[test]
    fn bodies_are_part_of_an_answer() {
        let text = b"HTTP/1.0 200 OK\r\nServer: x\r\ncontent-length: 2\r\n\r\nokHTTP";
        let told = Told { status: 200, keep_alive: false };
        assert_eq!(parse_answer(text, 4_096), Ok(Some((told, text.len() - 4))));
        assert_eq!(parse_answer(&text[..text.len() - 5], 4_096), Ok(None));
    }

    #[test]
    fn what_is_no_answer_is_told() {
        for (text, expected) in [
            ("SIP/2.0 200 OK\r\n", BadAnswer::Malformed),
            ("HTTP/1.1 2x0 OK\r\n", BadAnswer::Malformed),
            ("HTTP/1.1 200 OK\r\n\r\n", BadAnswer::NoLength),
            ("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", BadAnswer::TooLong),
            (&"x".repeat(200), BadAnswer::TooLong),
        ] {
            assert_eq!(parse_answer(text.as_bytes(), 200), Err(expected), "{text}");
        }
    }
}
