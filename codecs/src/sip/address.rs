//! `name-addr` and `addr-spec`: From, To, Contact, Route and their like (RFC 3261, sections 20.10, 20.20, 20.34, 20.39).

use std::borrow::Cow;

use memchr::memchr;

use super::fault::{Malformed, Part};
use super::lex::{self, DISPLAY, Parsed, URIC, fail};
use super::params::{self, Params};
use super::uri::{self, Uri};

/// Seconds that stand for an `expires` nobody can read (RFC 3261, section 20.10).
pub const MALFORMED_EXPIRES: u32 = 3_600;

/// An address with its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// The display name as it stands there, with its quotes if it has them.
    pub display_name: Option<&'a [u8]>,
    /// The URI as it stands there, without `<` and `>`. It has a scheme and no white space; the rest is for [`NameAddr::uri`].
    pub raw_uri: &'a [u8],
    /// Parameters of the header field; without `<` and `>` all of them are (section 20.10).
    pub params: Params<'a>,
    /// The first `tag`, empty if it has no value.
    tag: Option<&'a [u8]>,
}

impl<'a> NameAddr<'a> {
    /// Read one address: all of `value`.
    ///
    /// # Errors
    /// If it breaks the grammar.
    pub fn read(value: &'a [u8]) -> Result<Self, Malformed> {
        lex::whole(Part::Address, value, Self::parse(value, |_| true))
    }

    /// The URI.
    ///
    /// # Errors
    /// If it breaks the grammar of its scheme.
    pub fn uri(&self) -> Result<Uri<'a>, Malformed> {
        Uri::read(self.raw_uri)
    }

    /// `tag` of a From or To (section 19.3).
    #[must_use]
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.tag.filter(|tag| !tag.is_empty())
    }

    /// Whether there is a `tag`, be it without value.
    pub(super) const fn has_tag(&self) -> bool {
        self.tag.is_some()
    }

    /// The display name without quotes and backslashes; folds are spaces.
    #[must_use]
    pub fn display(&self) -> Option<Cow<'a, [u8]>> {
        self.display_name.map(|raw| {
            let text = lex::unquoted(raw);
            if text.len() == raw.len() || !text.iter().any(|byte| b"\\\r\n".contains(byte)) {
                return Cow::Borrowed(text);
            }
            Cow::Owned(lex::unescaped(text).collect())
        })
    }

    /// `( name-addr / addr-spec ) *( SEMI generic-param )`.
    pub(super) fn parse(
        value: &'a [u8],
        mut take: impl FnMut(params::Param<'a>) -> bool,
    ) -> Parsed<'a, Self> {
        let start = lex::skip_blank(value);
        let (rest, (display_name, raw_uri)) = match display_name(start) {
            Ok((rest, name)) => {
                let (rest, uri) = bracketed(rest)?;
                (rest, (name, uri))
            }
            Err(error) if start.first() == Some(&b'"') => return Err(error),
            Err(_) => {
                let (rest, uri) = addr_spec(start)?;
                (rest, (None, uri))
            }
        };
        let mut tag = None;
        let (rest, params) = params::params(rest, |param, _| {
            if param.name.len() == 3 && param.is("tag") {
                tag = tag.or(Some(param.text().unwrap_or_default()));
            }
            take(param)
        })?;
        Ok((rest, Self { display_name, raw_uri, params, tag }))
    }
}

/// What stands before a `<`: nothing, a quoted string, or words.
fn display_name(start: &[u8]) -> Parsed<'_, Option<&[u8]>> {
    if start.first() == Some(&b'"') {
        let (rest, name) = lex::quoted(start)?;
        let rest = lex::skip_blank(rest);
        return if rest.first() == Some(&b'<') { Ok((rest, Some(name))) } else { fail(rest) };
    }
    let mut end = start;
    let mut rest = start;
    while rest.first() != Some(&b'<') {
        let (_, after) = rest.split_at(lex::span(rest, DISPLAY));
        if after.len() == rest.len() {
            return fail(rest);
        }
        (end, rest) = (after, lex::skip_blank(after));
    }
    let name = start.get(..start.len() - end.len()).filter(|name| !name.is_empty());
    Ok((rest, name))
}

/// `<`, a URI, `>`.
fn bracketed(start: &[u8]) -> Parsed<'_, &[u8]> {
    let Some(inner) = start.strip_prefix(b"<") else { return fail(start) };
    match memchr(b'>', inner).map(|end| inner.split_at(end)) {
        Some((uri, rest)) if may_be_uri(uri) => Ok((rest.get(1..).unwrap_or_default(), uri)),
        _ => fail(inner),
    }
}

/// A URI that ends where white space or a separator is. One with a question mark would have to stand in `<` and `>`
/// (section 20.10).
fn addr_spec(start: &[u8]) -> Parsed<'_, &[u8]> {
    let is_end = |byte: &u8| !lex::is(*byte, URIC) || b";,?".contains(byte);
    let end = start.iter().position(is_end).unwrap_or(start.len());
    let (uri, rest) = start.split_at(end);
    if may_be_uri(uri) { Ok((rest, uri)) } else { fail(start) }
}

/// Whether this has what URIs of any scheme have.
fn may_be_uri(text: &[u8]) -> bool {
    uri::scheme(text).is_ok_and(|(_, rest)| !rest.is_empty() && lex::all(rest, URIC))
}

/// One value of a Contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact<'a> {
    /// `*`: all bindings (section 10.2.2).
    Star,
    /// An address.
    Address(ContactAddress<'a>),
}

/// An address in a Contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContactAddress<'a> {
    /// The address with all parameters.
    pub address: NameAddr<'a>,
    /// `q` in thousandths, 0 to 1000.
    pub q: Option<u16>,
    /// `expires` in seconds. One that is no number is [`MALFORMED_EXPIRES`], one that is too big the biggest.
    pub expires: Option<u32>,
    /// `+sip.instance` without quotes, `<` and `>` (RFC 5626, section 4.1).
    pub instance: Option<&'a [u8]>,
    /// `reg-id`: 1 to 2^31 - 1 (RFC 5626, section 4.2).
    pub reg_id: Option<u32>,
}

impl<'a> Contact<'a> {
    /// Read one value of a Contact: all of `value`.
    ///
    /// # Errors
    /// If it breaks the grammar.
    pub fn read(value: &'a [u8]) -> Result<Self, Malformed> {
        lex::whole(Part::Contact, value, Self::parse(value))
    }

    pub(super) fn parse(value: &'a [u8]) -> Parsed<'a, Self> {
        if let Some(rest) = lex::skip_blank(value).strip_prefix(b"*") {
            return Ok((rest, Self::Star));
        }
        ContactAddress::parse(value).map(|(rest, address)| (rest, Self::Address(address)))
    }
}

impl<'a> ContactAddress<'a> {
    fn parse(value: &'a [u8]) -> Parsed<'a, Self> {
        let (mut q, mut expires, mut instance, mut reg_id) = (None, None, None, None);
        let (rest, address) = NameAddr::parse(value, |param| {
            let text = param.text();
            match param.name.len() {
                1 if param.is("q") => {
                    let thousandths = text.and_then(thousandths);
                    q = q.or(thousandths);
                    thousandths.is_some()
                }
                7 if param.is("expires") => {
                    expires = expires.or(Some(seconds(text.unwrap_or_default())));
                    true
                }
                13 if param.is("+sip.instance") => {
                    instance = instance.or(text.map(without_brackets));
                    true
                }
                6 if param.is("reg-id") => {
                    let number = text.and_then(lex::number).filter(|number| (1..1 << 31).contains(number));
                    reg_id = reg_id.or(number);
                    number.is_some()
                }
                _ => true,
            }
        })?;
        Ok((rest, Self { address, q, expires, instance, reg_id }))
    }
}

fn without_brackets(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"<").and_then(|text| text.strip_suffix(b">")).unwrap_or(text)
}

/// Seconds as `expires` and Expires have them: junk is an hour, more than fits is as much as fits (section 20.10).
pub(super) fn seconds(text: &[u8]) -> u32 {
    lex::digits(text).map_or(MALFORMED_EXPIRES, |seconds| u32::try_from(seconds).unwrap_or(u32::MAX))
}

/// `qvalue` in thousandths.
fn thousandths(text: &[u8]) -> Option<u16> {
    let (whole, fraction) = match memchr(b'.', text) {
        Some(point) => (text.get(..point)?, text.get(point + 1..)?),
        None => (text, &[][..]),
    };
    let whole = match whole {
        b"0" => 0,
        b"1" => 1_000,
        _ => return None,
    };
    if fraction.len() > 3 || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |at: usize| fraction.get(at).map_or(0, |digit| u16::from(digit - b'0'));
    let fraction = digit(0) * 100 + digit(1) * 10 + digit(2);
    Some(whole + fraction).filter(|value| *value <= 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(value: &str) -> Option<(Option<String>, &str, Option<&str>)> {
        let read = NameAddr::read(value.as_bytes()).ok()?;
        let display = read.display().map(|name| String::from_utf8_lossy(&name).into_owned());
        Some((
            display,
            str::from_utf8(read.raw_uri).unwrap(),
            read.tag().map(|tag| str::from_utf8(tag).unwrap()),
        ))
    }

    #[test]
    fn addresses_come_with_and_without_names() {
        for (value, display, uri, tag) in [
            ("sip:a@b;tag=1", None, "sip:a@b", Some("1")),
            ("<sip:a@b;x=y>;tag=1", None, "sip:a@b;x=y", Some("1")),
            ("\r\n sip:a@b ;   tag    = 1918181833n", None, "sip:a@b", Some("1918181833n")),
            (
                "\"J Rosenberg \\\\\\\"\"  <sip:a@b>\r\n ;\r\n tag = 9",
                Some("J Rosenberg \\\""),
                "sip:a@b",
                Some("9"),
            ),
            ("caller<sip:a@b>", Some("caller"), "sip:a@b", None),
            ("A. G.\tBell <sip:a@b>;tag=", Some("A. G.\tBell"), "sip:a@b", None),
            ("\"Bell, Alexander\"<sip:a,b@c?d=e>", Some("Bell, Alexander"), "sip:a,b@c?d=e", None),
            ("J\u{fc}rgen <tel:+1>", Some("J\u{fc}rgen"), "tel:+1", None),
            ("\"\" <isbn:2983792873>", Some(""), "isbn:2983792873", None),
        ] {
            assert_eq!(parts(value), Some((display.map(str::to_owned), uri, tag)), "{value}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for value in [
            "",
            "\"Mr. J. User <sip:j.user@example.com>",
            "\"Watson, Thomas\" < sip:t.watson@example.org >",
            "Bell, Alexander <sip:a@b>;tag=43",
            "\"a\" sip:a@b",
            "<sip:a@b",
            "<sip:>",
            "<a@b>",
            "sip:a@b?c=d",
            "sip:a@b, sip:c@d",
            "\"Joe\" <sip:joe@example.org>;;;;",
            "<sip:a@b> x",
        ] {
            assert_eq!(parts(value), None, "{value}");
        }
    }

    #[test]
    fn a_contact_has_its_parameters() {
        let value = b"<sip:a@b>;q=0.33;expires=60;+sip.instance=\"<urn:uuid:0>\";reg-id=1";
        let Ok(Contact::Address(contact)) = Contact::read(value) else { panic!() };
        assert_eq!((contact.q, contact.expires, contact.reg_id), (Some(330), Some(60), Some(1)));
        assert_eq!(contact.instance, Some(&b"urn:uuid:0"[..]));
        assert_eq!(Contact::read(b" * "), Ok(Contact::Star));
        for (text, expected) in
            [("280297596632815", u32::MAX), ("0", 0), ("soon", 3_600), ("-1", 3_600), ("", 3_600)]
        {
            let value = format!("<sip:a@b>;expires={text}");
            let Ok(Contact::Address(contact)) = Contact::read(value.as_bytes()) else { panic!() };
            assert_eq!(contact.expires, Some(expected), "{text}");
        }
        for bad in ["<sip:a@b>;q=1.001", "<sip:a@b>;q=2", "<sip:a@b>;reg-id=0", "*;q=1", "<sip:a@b>;q=.5"] {
            assert!(Contact::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
