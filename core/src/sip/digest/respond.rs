//! The other side: answers to challenges.

use std::fmt;

use super::algorithm::Scheme;
use super::hash::{Ha1, Hex, Parts, TooLong, response};

/// Longest `nonce` of somebody else that is answered, in bytes.
const MAX_NONCE_BYTES: usize = 512;

/// Parameters of a challenge that came in (RFC 7616, section 3.3), without quotes and escapes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Received<'a> {
    /// `realm`: says which credentials are asked for.
    pub realm: &'a str,
    /// `nonce`.
    pub nonce: &'a str,
    /// `algorithm`; MD5 if there is none.
    pub algorithm: Option<&'a str>,
    /// `qop`: a list.
    pub qop: Option<&'a str>,
    /// `opaque`: goes back as it came.
    pub opaque: Option<&'a str>,
}

impl Received<'_> {
    /// The scheme, if this side can answer it. Of several challenges of a realm the first that has one is answered (RFC 8760,
    /// section 2.4).
    pub fn scheme(&self) -> Result<Scheme, RespondError> {
        let scheme = Scheme::parse(self.algorithm).ok_or(RespondError::Algorithm)?;
        self.wants_count().map(|_| scheme)
    }

    /// Whether the answer has a `qop`.
    fn wants_count(&self) -> Result<bool, RespondError> {
        let Some(list) = self.qop else { return Ok(false) };
        let has_auth = list.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth"));
        if has_auth { Ok(true) } else { Err(RespondError::Qop) }
    }
}

/// Why a challenge cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RespondError {
    /// An algorithm that is not computed here.
    #[error("the challenge has an unknown algorithm")]
    Algorithm,
    /// No quality of protection but `auth-int`, or one that is unknown.
    #[error("the challenge does not offer qop \"auth\"")]
    Qop,
    /// The nonce is empty or longer than is computed with.
    #[error("the nonce of the challenge has not 1 to {MAX_NONCE_BYTES} bytes")]
    Nonce,
    /// The request has texts longer than are computed with.
    #[error(transparent)]
    TooLong(#[from] TooLong),
}

/// What goes into the `Authorization` header field besides user name, realm, nonce, uri and opaque.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// `response`.
    pub response: Hex,
    /// `algorithm`.
    pub scheme: Scheme,
    /// `nc`, to be written with `qop=auth` and the `cnonce`. Without it none of the three is written; but `cnonce` is if
    /// the scheme is a `-sess` one.
    pub nc: Option<Count>,
}

/// A number of a request under one nonce, as `nc` is written: eight hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Count([u8; 8]);

impl Count {
    fn of(number: u32) -> Self {
        let mut digits = [0; 8];
        for (at, digit) in digits.iter_mut().rev().enumerate() {
            let nibble = (number >> (at * 4)) & 15;
            *digit = char::from_digit(nibble, 16).map_or(b'0', |c| c as u8);
        }
        Self(digits)
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Answer a challenge, for a request with this method and `uri`.
///
/// `cnonce` is unpredictable and of the caller's making, at most 256 bytes; `count` is the number of requests that were
/// answered under this nonce, this one included.
pub fn respond(
    ha1: &Ha1,
    challenge: &Received<'_>,
    method: &str,
    uri: &str,
    cnonce: &str,
    count: u32,
) -> Result<Answer, RespondError> {
    let scheme = challenge.scheme()?;
    if !(1..=MAX_NONCE_BYTES).contains(&challenge.nonce.len()) {
        return Err(RespondError::Nonce);
    }
    let nc = challenge.wants_count()?.then(|| Count::of(count));
    let nonce = challenge.nonce;
    let parts = Parts { scheme, method, uri, nonce, cnonce, nc: nc.as_ref().map(Count::as_str) };
    Ok(Answer { response: response(ha1, &parts)?, scheme, nc })
}
