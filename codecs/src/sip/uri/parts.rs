//! Parameters and headers of URIs, and the escapes in all their parts.

use super::{HEADER, MAX_URI_PARTS, PARAM};
use crate::sip::lex::{self, RESERVED};

/// Whether all of a text belongs to a class or is an escape (`%` and two hexadecimal digits).
pub(super) fn escaped(text: &[u8], class: u16) -> bool {
    let (_, rest) = text.split_at(lex::span(text, class));
    let mut bytes = rest.iter();
    while let Some(byte) = bytes.next() {
        let good = match byte {
            b'%' => [bytes.next(), bytes.next()].iter().all(|digit| digit.is_some_and(u8::is_ascii_hexdigit)),
            byte => lex::is(*byte, class),
        };
        if !good {
            return false;
        }
    }
    true
}

/// One character of a part of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Char {
    pub(super) byte: u8,
    /// It was an escape of a reserved character, which is not that character (RFC 3261, section 19.1.4).
    pub(super) kept: bool,
}

/// The characters of a part whose escapes were checked.
pub(super) fn characters(text: &[u8]) -> impl Iterator<Item = Char> + '_ {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (first, after) = rest.split_first()?;
        let digits = || after.split_at_checked(2).and_then(|(digits, after)| Some((hex(digits)?, after)));
        let escape = if *first == b'%' { digits() } else { None };
        let (byte, kept, after) = match escape {
            Some((byte, after)) => (byte, lex::is(byte, RESERVED), after),
            None => (*first, false, after),
        };
        rest = after;
        Some(Char { byte, kept })
    })
}

fn hex(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

/// Whether two parts are the same once unescaped.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    one == other || characters(one).eq(characters(other))
}

/// The same without case.
pub(super) fn same_in_any_case(one: &[u8], other: &[u8]) -> bool {
    let small = |text| characters(text).map(|char| Char { byte: char.byte.to_ascii_lowercase(), ..char });
    one.eq_ignore_ascii_case(other) || small(one).eq(small(other))
}

/// A parameter or header of a URI, as it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UriParam<'a> {
    /// The name, to be compared without case; may have escapes.
    pub name: &'a [u8],
    /// The value; `None` if there is no `=`. May have escapes.
    pub value: Option<&'a [u8]>,
}

impl<'a> UriParam<'a> {
    fn read(text: &'a [u8], class: u16) -> Option<Self> {
        let equals = text.iter().position(|byte| *byte == b'=').unwrap_or(text.len());
        let (name, value) = text.split_at(equals);
        let value = value.get(1..);
        let good =
            !name.is_empty() && escaped(name, class) && value.is_none_or(|value| escaped(value, class));
        good.then_some(Self { name, value })
    }
}

/// Parameters of a URI: `;name=value`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UriParams<'a>(&'a [u8]);

impl<'a> UriParams<'a> {
    /// `text` is nothing, or begins with a semicolon.
    pub(super) fn read(text: &'a [u8]) -> Option<Self> {
        check(text, b';', PARAM).then_some(Self(text))
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = UriParam<'a>> + use<'a> {
        parts(self.0, b';').filter_map(|part| UriParam::read(part, PARAM))
    }

    /// The first of that name, in any case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<UriParam<'a>> {
        self.find(name.as_bytes())
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<UriParam<'a>> {
        self.iter().find(|param| same_in_any_case(param.name, name))
    }

    /// `transport`: what the URI wants to be reached by (section 19.1.1).
    #[must_use]
    pub fn transport(&self) -> Option<&'a [u8]> {
        self.get("transport").and_then(|param| param.value)
    }

    /// `lr`: the element routes loosely (section 19.1.1).
    #[must_use]
    pub fn is_loose_router(&self) -> bool {
        self.get("lr").is_some()
    }

    /// `ob`: requests go through the flow of the registration (RFC 5626, section 5.2).
    #[must_use]
    pub fn is_outbound(&self) -> bool {
        self.get("ob").is_some()
    }

    /// `gr`: the URI is a GRUU (RFC 5627, section 3.1).
    #[must_use]
    pub fn is_gruu(&self) -> bool {
        self.get("gr").is_some()
    }

    /// They as they stand there.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

/// Headers of a URI: `?name=value&name=value`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UriHeaders<'a>(&'a [u8]);

impl<'a> UriHeaders<'a> {
    /// `text` is nothing, or begins with a question mark.
    pub(super) fn read(text: &'a [u8]) -> Option<Self> {
        let Some(headers) = text.get(1..) else { return Some(Self::default()) };
        let complete = || headers.split(|byte| *byte == b'&').all(|header| header.contains(&b'='));
        // The first one follows the question mark as the others follow their ampersands.
        let good = count(headers, b'&') < MAX_URI_PARTS
            && complete()
            && headers.split(|byte| *byte == b'&').all(|header| UriParam::read(header, HEADER).is_some());
        good.then_some(Self(text))
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = UriParam<'a>> + use<'a> {
        parts(self.0, b'&').filter_map(|part| UriParam::read(part, HEADER))
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn count(text: &[u8], byte: u8) -> usize {
    memchr::memchr_iter(byte, text).count()
}

/// Whether each part, with its separator before it, is a parameter, and there are not too many.
fn check(text: &[u8], separator: u8, class: u16) -> bool {
    text.is_empty()
        || (text.first() == Some(&separator)
            && count(text, separator) <= MAX_URI_PARTS
            && parts(text, separator).all(|part| UriParam::read(part, class).is_some()))
}

/// What stands behind the first byte, cut at separators.
fn parts(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    text.get(1..).into_iter().flat_map(move |text| text.split(move |byte| *byte == separator))
}
