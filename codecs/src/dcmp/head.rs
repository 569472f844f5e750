//! Lines of an HTTP/1 head, and the header fields in them (RFC 9112, sections 2 and 5).

use memchr::memchr;
use nom::bytes::complete::take_while1;
use nom::character::complete::char;
use nom::{IResult, Parser};

/// The lines of a head, one after the other, as far as they have arrived.
pub(super) struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    limit: usize,
}

/// The head is longer than it may be.
pub(super) struct TooLong;

impl<'a> Lines<'a> {
    /// The head at the beginning of `bytes` may have `limit` bytes.
    pub(super) fn new(bytes: &'a [u8], limit: usize) -> Self {
        Self { bytes, at: 0, limit }
    }

    /// The next line without its end; `None` if that has not arrived. A bare line feed ends a line too.
    ///
    /// Each outcome depends on the bytes up to its line only, so it does not matter in which pieces they came.
    pub(super) fn next(&mut self) -> Result<Option<&'a [u8]>, TooLong> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match memchr(b'\n', rest) {
            Some(end) if self.at + end < self.limit => {
                self.at += end + 1;
                let line = rest.get(..end).unwrap_or_default();
                Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
            }
            None if self.bytes.len() < self.limit => Ok(None),
            _ => Err(TooLong),
        }
    }

    /// Bytes of the lines so far.
    pub(super) fn consumed(&self) -> usize {
        self.at
    }
}

/// A character of a token: a method, the name of a field (RFC 9110, section 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// One header field: its name, and its value without white space around it.
pub(super) fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    fn name(line: &[u8]) -> IResult<&[u8], &[u8]> {
        let (rest, name) = take_while1(is_token).parse(line)?;
        let (rest, _) = char(':').parse(rest)?;
        Ok((rest, name))
    }
    let (value, name) = name(line).ok()?;
    let is_text = |byte: &u8| *byte == b'\t' || !byte.is_ascii_control();
    value.iter().all(is_text).then(|| (name, value.trim_ascii()))
}

/// What the fields of a head say about the connection and about a body.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    /// A length as it was told; a second one must be the same.
    pub(super) length: Option<u64>,
    pub(super) encoded: bool,
}

/// A field that cannot be read, or two lengths that differ.
pub(super) struct Malformed;

impl Fields {
    /// Take note of one line.
    pub(super) fn take(&mut self, line: &[u8]) -> Result<(), Malformed> {
        let (name, value) = field(line).ok_or(Malformed)?;
        match name.len() {
            10 if name.eq_ignore_ascii_case(b"connection") => self.connection(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = digits(value).ok_or(Malformed)?;
                if self.length.replace(length).is_some_and(|other| other != length) {
                    return Err(Malformed);
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.encoded = true,
            _ => {}
        }
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) {
        for word in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= word.eq_ignore_ascii_case(b"close");
            self.keep_alive |= word.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// Whether the connection stays open after this message of HTTP/1.`minor` (RFC 9112, section 9.3).
    pub(super) fn keeps(&self, minor: u8) -> bool {
        !self.close && (minor > 0 || self.keep_alive)
    }
}

/// A number in decimal digits and nothing else.
pub(super) fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}
