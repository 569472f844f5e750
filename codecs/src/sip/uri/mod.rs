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
        let read = if scheme.eq_ignore_ascii_case(b"sip") {
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
