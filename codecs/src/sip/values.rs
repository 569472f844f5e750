//! Values of smaller header fields: `CSeq`, Event, Subscription-State, media types, lists.

use memchr::memchr3;

use super::Method;
use super::fault::{Malformed, Part};
use super::lex::{self, Parsed, fail};
use super::params::{self, Params};

/// `CSeq` (RFC 3261, section 20.16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// Below 2^31 (section 8.1.1.5).
    pub number: u32,
    /// The method.
    pub method: Method<'a>,
}

impl<'a> CSeq<'a> {
    /// Read a `CSeq`.
    ///
    /// # Errors
    /// If it is no number below 2^31 and a token.
    pub fn read(value: &'a [u8]) -> Result<Self, Malformed> {
        lex::whole(Part::CSeq, value, Self::parse(value))
    }

    fn parse(value: &'a [u8]) -> Parsed<'a, Self> {
        let end = value.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(value.len());
        let (digits, rest) = value.split_at(end);
        let Some(number) = lex::number(digits).filter(|number| *number < 1 << 31) else { return fail(value) };
        let method = lex::skip_blank(rest);
        if method.len() == rest.len() {
            return fail(rest);
        }
        let (rest, method) = lex::token(method)?;
        Ok((rest, Self { number, method: Method::read(method) }))
    }
}

/// A Call-ID: words with at most one `@` (RFC 3261, section 20.8). What devices write is taken: any characters of words.
pub(super) fn call_id(value: &[u8]) -> Result<&[u8], Malformed> {
    match lex::span(value, lex::WORD) {
        length if length == value.len() && length > 0 => Ok(value),
        at => Err(Malformed::new(Part::CallId, at)),
    }
}

/// Event (RFC 6665, section 8.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The package with its templates, to be compared by case.
    pub package: &'a [u8],
    /// `id`, to be compared by case.
    pub id: Option<&'a [u8]>,
    /// All parameters.
    pub params: Params<'a>,
}

impl<'a> Event<'a> {
    /// Read an Event.
    ///
    /// # Errors
    /// If it breaks the grammar.
    pub fn read(value: &'a [u8]) -> Result<Self, Malformed> {
        let (package, params) = token_and_params(Part::Event, value)?;
        Ok(Self { package, id: params.text("id"), params })
    }
}

/// Subscription-State (RFC 6665, section 8.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionState<'a> {
    /// `active`, `pending`, `terminated` or another token, to be compared without case.
    pub state: &'a [u8],
    /// `expires` in seconds.
    pub expires: Option<u32>,
    /// `reason`, to be compared without case.
    pub reason: Option<&'a [u8]>,
    /// `retry-after` in seconds.
    pub retry_after: Option<u32>,
    /// All parameters.
    pub params: Params<'a>,
}

impl<'a> SubscriptionState<'a> {
    /// Read a Subscription-State.
    ///
    /// # Errors
    /// If it breaks the grammar.
    pub fn read(value: &'a [u8]) -> Result<Self, Malformed> {
        let (state, params) = token_and_params(Part::SubscriptionState, value)?;
        let seconds = |name| params.text(name).and_then(lex::number);
        let (expires, retry_after) = (seconds("expires"), seconds("retry-after"));
        Ok(Self { state, expires, reason: params.text("reason"), retry_after, params })
    }
}

fn token_and_params(part: Part, value: &[u8]) -> Result<(&[u8], Params<'_>), Malformed> {
    let (rest, token) = lex::token(value).map_err(|_| Malformed::new(part, 0))?;
    Ok((token, params::whole(value, rest)?))
}

/// A media type, or the range of an Accept (RFC 3261, sections 20.1 and 20.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType<'a> {
    /// The type, to be compared without case.
    pub kind: &'a [u8],
    /// The subtype, to be compared without case.
    pub subtype: &'a [u8],
    /// All parameters.
    pub params: Params<'a>,
}

impl<'a> MediaType<'a> {
    /// Read a media type.
    ///
    /// # Errors
    /// If it breaks the grammar.
    pub fn read(value: &'a [u8]) -> Result<Self, Malformed> {
        lex::whole(Part::MediaType, value, Self::parse(value))
    }

    fn parse(value: &'a [u8]) -> Parsed<'a, Self> {
        let (rest, kind) = lex::token(value)?;
        let (rest, ()) = lex::separator(b'/', rest)?;
        let (rest, subtype) = lex::token(rest)?;
        let (rest, params) = params::params(rest, |_, _| true)?;
        Ok((rest, Self { kind, subtype, params }))
    }

    /// Whether this is the type of that name, such as `application/sdp`, whatever its parameters.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        name.split_once('/').is_some_and(|(kind, subtype)| {
            self.kind.eq_ignore_ascii_case(kind.as_bytes())
                && self.subtype.eq_ignore_ascii_case(subtype.as_bytes())
        })
    }

    /// Whether this, as a range of an Accept, allows that type.
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        let kind =
            name.split_once('/').is_some_and(|(kind, _)| self.kind.eq_ignore_ascii_case(kind.as_bytes()));
        (self.subtype == b"*" && (kind || self.kind == b"*")) || self.is(name)
    }
}

/// The values of one header field, cut at commas outside of quotes and angle brackets (RFC 3261, section 7.3.1).
pub(super) fn split(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let value = rest?;
        let end = comma(value);
        rest = value.get(end + 1..);
        Some(lex::trim(value.get(..end).unwrap_or_default()))
    })
}

/// Reads the values of one header field one after the other, each with its rule. What a rule leaves over up to the next comma makes its
/// value malformed, and the values behind that are read all the same.
pub(super) fn each<'a, T>(
    part: Part,
    value: &'a [u8],
    rule: impl Fn(&'a [u8]) -> Parsed<'a, T>,
) -> impl Iterator<Item = Result<T, Malformed>> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let value = rest?;
        if let Ok((after, read)) = rule(value) {
            let after = lex::skip_blank(after);
            rest = after.strip_prefix(b",");
            if rest.is_some() || after.is_empty() {
                return Some(Ok(read));
            }
        }
        let end = comma(value);
        rest = value.get(end + 1..);
        let value = value.get(..end).unwrap_or_default();
        Some(lex::whole(part, value, rule(value)))
    })
}

/// Where the next comma is that separates values, or the end.
pub(super) fn comma(value: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = value.get(at..).and_then(|rest| memchr3(b',', b'"', b'<', rest)) {
        at += found;
        let rest = value.get(at..).unwrap_or_default();
        at += match rest.first() {
            Some(b',') => return at,
            Some(b'"') => lex::quoted(rest).map_or(rest.len(), |(_, string)| string.len()),
            _ => memchr::memchr(b'>', rest).map_or(rest.len(), |end| end + 1),
        };
    }
    value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cseq_has_a_number_and_a_method() {
        assert_eq!(CSeq::read(b"0009\r\n  INVITE"), Ok(CSeq { number: 9, method: Method::Invite }));
        assert_eq!(CSeq::read(b"2147483647 x").map(|cseq| cseq.number), Ok(2_147_483_647));
        for (value, at) in [
            (&b"2147483648 x"[..], 0),
            (b"36893488147419103232 REGISTER", 0),
            (b"1", 1),
            (b"1 ", 2),
            (b"", 0),
            (b"1 a b", 4),
        ] {
            assert_eq!(CSeq::read(value), Err(Malformed::new(Part::CSeq, at)));
        }
    }

    #[test]
    fn commas_in_quotes_and_brackets_separate_nothing() {
        let value = b"\"a, \\\",b\" <sip:a,b@c>;x=\"<,\" , <sip:d@e>,,*";
        let parts: Vec<_> = split(value).collect();
        assert_eq!(parts, [&b"\"a, \\\",b\" <sip:a,b@c>;x=\"<,\""[..], b"<sip:d@e>", b"", b"*"]);
        assert_eq!(split(b"").collect::<Vec<_>>(), [&b""[..]]);
        assert_eq!(split(b"\"a,b").count(), 1);
        assert_eq!(split(b"<a,b").count(), 1);
    }

    #[test]
    fn a_call_id_is_words() {
        let odd = b"intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{";
        assert_eq!(call_id(odd), Ok(&odd[..]));
        assert_eq!(call_id(b"a b"), Err(Malformed::new(Part::CallId, 1)));
        assert_eq!(call_id(b""), Err(Malformed::new(Part::CallId, 0)));
    }

    #[test]
    fn events_states_and_types_have_parameters() {
        let event = Event::read(b"ua-profile;profile-type=\"device\";vendor=\"x.y\";id=7").unwrap();
        assert_eq!((event.package, event.id), (&b"ua-profile"[..], Some(&b"7"[..])));
        assert_eq!(event.params.text("vendor"), Some(&b"x.y"[..]));
        let state = SubscriptionState::read(b"terminated;reason=probation;retry-after=60;expires=x").unwrap();
        assert_eq!((state.retry_after, state.expires), (Some(60), None));
        assert_eq!(state.reason, Some(&b"probation"[..]));
        let media = MediaType::read(b"multipart / Mixed;boundary=7a9cbec02ceef655").unwrap();
        assert!(media.is("Multipart/mixed") && !media.is("multipart/*") && media.allows("multipart/mixed"));
        assert!(
            MediaType::read(b"text/*").is_ok_and(|range| range.allows("text/plain") && !range.allows("a/b"))
        );
        assert!(MediaType::read(b"*/*;q=0.1").is_ok_and(|range| range.allows("a/b")));
        assert!(
            Event::read(b"").is_err() && Event::read(b"a b").is_err() && MediaType::read(b"text").is_err()
        );
    }
}
