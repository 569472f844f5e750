//! The parameters of an `Authorization` header field.

use super::algorithm::Scheme;
use super::hash::{Hex, Parts};

/// Longest user name that is looked up, in bytes.
const MAX_USERNAME_BYTES: usize = 128;
/// Longest `uri`, in bytes.
const MAX_URI_BYTES: usize = 1_024;
/// Longest `cnonce`, in bytes.
const MAX_CNONCE_BYTES: usize = 256;
/// Longest method, in bytes.
const MAX_METHOD_BYTES: usize = 64;

/// Parameters of `Authorization: Digest` (RFC 7616, section 3.4), without quotes and escapes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Authorization<'a> {
    /// `username`.
    pub username: &'a str,
    /// `realm`.
    pub realm: &'a str,
    /// `nonce`.
    pub nonce: &'a str,
    /// `uri`. It is what the client computed with and need not be the Request-URI, which proxies rewrite; whether it names the
    /// same resource is the caller's question.
    pub uri: &'a str,
    /// `response`.
    pub response: &'a str,
    /// `algorithm`; MD5 if there is none.
    pub algorithm: Option<&'a str>,
    /// `cnonce`.
    pub cnonce: Option<&'a str>,
    /// `qop`.
    pub qop: Option<&'a str>,
    /// `nc`.
    pub nc: Option<&'a str>,
    /// `opaque`: challenges of this server have none, so it is not looked at.
    pub opaque: Option<&'a str>,
}

/// Why credentials cannot be judged. The text can stand in the reason of a 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAuthorization {
    /// A parameter that must be there is missing or empty.
    #[error("Authorization without {0}")]
    Missing(&'static str),
    /// A parameter is longer than it may be.
    #[error("Authorization with too long {0}")]
    TooLong(&'static str),
    /// A parameter is not of its form.
    #[error("Authorization with bad {0}")]
    Malformed(&'static str),
    /// A `qop` that was not offered.
    #[error("Authorization with unknown qop")]
    Qop,
    /// There is no `qop`, and the configuration wants it.
    #[error("Authorization without qop")]
    NoQop,
}

/// Credentials in their form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checked<'a> {
    pub(super) parts: Parts<'a>,
    /// The number `nc`, if there is a `qop`.
    pub(super) count: Option<u32>,
}

impl<'a> Authorization<'a> {
    /// Check the form. `scheme` is that of the parameter `algorithm`.
    pub(super) fn check(&self, scheme: Scheme, method: &'a str) -> Result<Checked<'a>, BadAuthorization> {
        bounded("username", self.username, MAX_USERNAME_BYTES)?;
        bounded("uri", self.uri, MAX_URI_BYTES)?;
        bounded("method", method, MAX_METHOD_BYTES)?;
        if self.response.len() != scheme.algorithm.bytes() * 2
            || !self.response.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            return Err(BadAuthorization::Malformed("response"));
        }
        let counted = match self.qop {
            None => None,
            Some(qop) if qop.eq_ignore_ascii_case("auth") => Some(self.count()?),
            Some(_) => return Err(BadAuthorization::Qop),
        };
        let cnonce = match self.cnonce {
            Some(cnonce) => {
                bounded("cnonce", cnonce, MAX_CNONCE_BYTES)?;
                cnonce
            }
            None if counted.is_some() || scheme.session => return Err(BadAuthorization::Missing("cnonce")),
            None => "",
        };
        let nc = counted.map(|(nc, _)| nc);
        let parts = Parts { scheme, method, uri: self.uri, nonce: self.nonce, cnonce, nc };
        Ok(Checked { parts, count: counted.map(|(_, count)| count) })
    }

    /// The `nc` as it is written, which is what the client hashed, and its number. Eight digits are meant (RFC 7616,
    /// section 3.4); fewer are taken.
    fn count(&self) -> Result<(&'a str, u32), BadAuthorization> {
        let nc = self.nc.filter(|nc| !nc.is_empty()).ok_or(BadAuthorization::Missing("nc"))?;
        let is_hex = nc.len() <= 8 && nc.bytes().all(|byte| byte.is_ascii_hexdigit());
        let count = is_hex.then(|| u32::from_str_radix(nc, 16).ok()).flatten();
        Ok((nc, count.ok_or(BadAuthorization::Malformed("nc"))?))
    }

    /// Whether this is the `response`.
    pub(super) fn is_answered_by(&self, response: &Hex) -> bool {
        response.is(self.response)
    }
}

fn bounded(name: &'static str, value: &str, most: usize) -> Result<(), BadAuthorization> {
    match value.len() {
        0 => Err(BadAuthorization::Missing(name)),
        len if len > most => Err(BadAuthorization::TooLong(name)),
        _ => Ok(()),
    }
}
