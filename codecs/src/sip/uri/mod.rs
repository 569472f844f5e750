//! URIs: `sip`, `sips`, `tel` and whatever else stands where a URI may (RFC 3261, section 19.1; RFC 3966).

mod compare;
mod parts;

use memchr::memchr;

use super::fault::{Malformed, Part};
use super::host::{self, Host};
use super::lex::{self, HEADER, PARAM, PASSWORD, URIC, USER};

pub use parts::{UriHeaders, UriParam, UriParams};

/// Most parameters, and most headers, of one URI. What has more is malformed.
pub const MAX_URI_PARTS: usize = 32;

/// A URI. All of it is slices of what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uri<'a> {
    /// `sip:` or `sips:`.
    Sip(SipUri<'a>),
    /// `tel:`.
    Tel(TelUri<'a>),
    /// Any other scheme: not looked into.
    Other(OtherUri<'a>),
}

/// A SIP or SIPS URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SipUri<'a> {
    /// `sips:`.
    pub secure: bool,
    /// The user as it stands there, escapes included; never empty.
    pub user: Option<&'a [u8]>,
    /// The password as it stands there; may be empty.
    pub password: Option<&'a [u8]>,
    /// The host.
    pub host: Host<'a>,
    /// The port, if it is there.
    pub port: Option<u16>,
    /// The parameters.
    pub params: UriParams<'a>,
    /// The headers behind the question mark.
    pub headers: UriHeaders<'a>,
}

/// A telephone number (RFC 3966).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TelUri<'a> {
    /// The number as it stands there, with its visual separators.
    pub number: &'a [u8],
    /// The parameters.
    pub params: UriParams<'a>,
}

/// A URI of another scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherUri<'a> {
    /// The scheme, to be compared without case.
    pub scheme: &'a [u8],
    /// What stands behind the colon.
    pub rest: &'a [u8],
}

impl<'a> Uri<'a> {
    /// Read a URI that is all of `text`.
    ///
    /// # Errors
    /// If it breaks the grammar, or has more than [`MAX_URI_PARTS`] parameters or headers.
    pub fn read(text: &'a [u8]) -> Result<Self, Malformed> {
        let (scheme, rest) = scheme(text)?;
        let read = if matches!(scheme, [b's' | b'S', b'i' | b'I', b'p' | b'P']) {
            SipUri::read(rest, false).map(Self::Sip)
        } else if scheme.eq_ignore_ascii_case(b"sips") {
            SipUri::read(rest, true).map(Self::Sip)
        } else if scheme.eq_ignore_ascii_case(b"tel") {
            TelUri::read(rest).map(Self::Tel)
        } else if !rest.is_empty() && lex::all(rest, URIC) {
            Ok(Self::Other(OtherUri { scheme, rest }))
        } else {
            Err(Malformed::new(Part::Uri, 0))
        };
        let before = text.len() - rest.len();
        read.map_err(|error| Malformed::new(error.part, before + error.at))
    }

    /// The URI if its scheme is `sip` or `sips`.
    #[must_use]
    pub const fn sip(&self) -> Option<&SipUri<'a>> {
        match self {
            Self::Sip(uri) => Some(uri),
            Self::Tel(_) | Self::Other(_) => None,
        }
    }
}

/// The scheme and what stands behind its colon.
pub(super) fn scheme(text: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    let end = text.iter().position(|byte| !is_scheme(byte)).unwrap_or(text.len());
    let (scheme, rest) = text.split_at(end);
    match (scheme.first(), rest.split_first()) {
        (Some(first), Some((b':', rest))) if first.is_ascii_alphabetic() => Ok((scheme, rest)),
        _ => Err(Malformed::new(Part::Uri, end)),
    }
}

impl<'a> SipUri<'a> {
    /// Reads what stands behind the scheme's colon.
    fn read(text: &'a [u8], secure: bool) -> Result<Self, Malformed> {
        let at = |rest: &[u8]| text.len().saturating_sub(rest.len());
        let (userinfo, hostport) = match memchr(b'@', text) {
            Some(end) => (text.get(..end), text.get(end + 1..).unwrap_or_default()),
            None => (None, text),
        };
        let (user, password) = userinfo.map_or(Ok((None, None)), read_userinfo)?;
        let (rest, host) = host::host(hostport).map_err(|_| Malformed::new(Part::Host, at(hostport)))?;
        let (rest, port) = match rest.strip_prefix(b":") {
            Some(digits) => {
                let (rest, port) = host::port(digits).map_err(|_| Malformed::new(Part::Port, at(digits)))?;
                (rest, Some(port))
            }
            None => (rest, None),
        };
        let end = memchr(b'?', rest).unwrap_or(rest.len());
        let (raw, query) = rest.split_at(end);
        let params = UriParams::read(raw).ok_or(Malformed::new(Part::UriParameter, at(rest)))?;
        let headers = UriHeaders::read(query).ok_or(Malformed::new(Part::UriHeader, at(query)))?;
        Ok(Self { secure, user, password, host, port, params, headers })
    }
}

/// User and password as they stand there.
type UserInfo<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

fn read_userinfo(text: &[u8]) -> Result<UserInfo<'_>, Malformed> {
    let end = memchr(b':', text).unwrap_or(text.len());
    let (user, password) = text.split_at(end);
    let password = password.get(1..);
    if user.is_empty() || !parts::escaped(user, USER) {
        return Err(Malformed::new(Part::UserInfo, 0));
    }
    if !password.is_none_or(|password| parts::escaped(password, PASSWORD)) {
        return Err(Malformed::new(Part::UserInfo, end));
    }
    Ok((Some(user), password))
}

impl<'a> TelUri<'a> {
    fn read(text: &'a [u8]) -> Result<Self, Malformed> {
        let end = memchr(b';', text).unwrap_or(text.len());
        let (number, raw) = text.split_at(end);
        let is_phone = |byte: &u8| byte.is_ascii_hexdigit() || b"+*#-.()".contains(byte);
        if !number.iter().any(u8::is_ascii_hexdigit) || !number.iter().all(is_phone) {
            return Err(Malformed::new(Part::Uri, 0));
        }
        let params = UriParams::read(raw).ok_or(Malformed::new(Part::UriParameter, end))?;
        Ok(Self { number, params })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Option<(Part, usize)> {
        Uri::read(text.as_bytes()).err().map(|error| (error.part, error.at))
    }

    #[test]
    fn a_sip_uri_has_its_parts() {
        let text =
            b"SIPS:alice;day=tuesday:sec%20ret@[2001:db8::1]:5061;transport=tcp;lr;ob;x=%3B?Subject=a%20b&x=";
        let Ok(Uri::Sip(uri)) = Uri::read(text) else { panic!() };
        assert_eq!((uri.secure, uri.port), (true, Some(5061)));
        assert_eq!((uri.user, uri.password), (Some(&b"alice;day=tuesday"[..]), Some(&b"sec%20ret"[..])));
        assert_eq!(uri.params.transport(), Some(&b"tcp"[..]));
        assert!(uri.params.is_loose_router() && uri.params.is_outbound() && !uri.params.is_gruu());
        let headers: Vec<_> = uri.headers.iter().map(|header| (header.name, header.value)).collect();
        assert_eq!(headers, [(&b"Subject"[..], Some(&b"a%20b"[..])), (&b"x"[..], Some(&b""[..]))]);
    }

    #[test]
    fn other_schemes_are_known_as_such() {
        let Ok(Uri::Tel(tel)) = Uri::read(b"tel:+1-201-555-0123;phone-context=example.com") else { panic!() };
        assert_eq!(tel.number, b"+1-201-555-0123");
        assert!(tel.params.get("Phone-Context").is_some());
        let other = Uri::read(b"soap.beep://192.0.2.103:3002");
        assert_eq!(other, Ok(Uri::Other(OtherUri { scheme: b"soap.beep", rest: b"//192.0.2.103:3002" })));
    }

    #[test]
    fn what_is_no_uri_is_found() {
        for (text, part, at) in [
            ("", Part::Uri, 0),
            ("alice", Part::Uri, 5),
            ("1sip:h", Part::Uri, 4),
            ("sip:", Part::Host, 4),
            ("sip:@h", Part::UserInfo, 4),
            ("sip:a b@h", Part::UserInfo, 4),
            ("sip:a%4@h", Part::UserInfo, 4),
            ("sip:a:b%g0@h", Part::UserInfo, 5),
            ("sip:a:b:c@h", Part::UserInfo, 5),
            ("sip:a@b@h", Part::UriParameter, 7),
            ("sip:2001:db8::10", Part::Host, 4),
            ("sip:h:", Part::Port, 6),
            ("sip:h:65536", Part::Port, 6),
            ("sip:h:1x", Part::UriParameter, 7),
            ("sip:h;", Part::UriParameter, 5),
            ("sip:h;;lr", Part::UriParameter, 5),
            ("sip:h;a=b=c", Part::UriParameter, 5),
            ("sip:h?", Part::UriHeader, 5),
            ("sip:h?a", Part::UriHeader, 5),
            ("sip:h?a=b&&c=d", Part::UriHeader, 5),
            ("tel:", Part::Uri, 4),
            ("tel:+", Part::Uri, 4),
            ("isbn:", Part::Uri, 5),
            ("isbn:1 2", Part::Uri, 5),
        ] {
            assert_eq!(fault(text), Some((part, at)), "{text}");
        }
    }

    #[test]
    fn parts_have_a_bound() {
        let params = |count: usize| format!("sip:h{}", ";a".repeat(count));
        assert_eq!(fault(&params(MAX_URI_PARTS)), None);
        assert_eq!(fault(&params(MAX_URI_PARTS + 1)), Some((Part::UriParameter, 5)));
        let headers = |count: usize| format!("sip:h?a={}", "&a=".repeat(count - 1));
        assert_eq!(fault(&headers(MAX_URI_PARTS)), None);
        assert_eq!(fault(&headers(MAX_URI_PARTS + 1)), Some((Part::UriHeader, 5)));
    }
}
