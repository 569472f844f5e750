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

#[cfg(test)]
mod tests {
    use super::super::MAX_PASSWORD_BYTES;
    use super::*;
    use crate::secret::Secret;

    fn ha1(username: &str, realm: &str, password: &str) -> Ha1 {
        Ha1::of(username, realm, &Secret::new(password)).unwrap()
    }

    /// RFC 7616, section 3.9.1 (with erratum 4495), RFC 2617, section 3.5, and the SIP examples of
    /// draft-smith-sipping-auth-examples-01, sections 3.1 to 3.4.
    #[test]
    fn the_vectors_of_the_documents_come_out() {
        let http = ("Mufasa", "http-auth@example.org", "Circle of Life", "GET", "/dir/index.html");
        let old = ("Mufasa", "testrealm@host.com", "Circle Of Life", "GET", "/dir/index.html");
        let sip = ("bob", "biloxi.com", "zanzibar", "INVITE", "sip:bob@biloxi.com");
        let (new_nonce, old_nonce) =
            ("7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "dcd98b7102dd2f0e8b11d0f600bfb0c093");
        let new_cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        for (who, nonce, cnonce, algorithm, qop, expected) in [
            (
                http,
                new_nonce,
                new_cnonce,
                Some("MD5"),
                Some("auth, auth-int"),
                "8ca523f5e9506fed4657c9700eebdbec",
            ),
            (
                http,
                new_nonce,
                new_cnonce,
                Some("SHA-256"),
                Some("auth, auth-int"),
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
            (old, old_nonce, "0a4f113b", None, Some("auth,auth-int"), "6629fae49393a05397450978507c4ef1"),
            (sip, old_nonce, "0a4f113b", None, None, "bf57e4e0d0bffc0fbaedce64d59add5e"),
            (sip, old_nonce, "0a4f113b", None, Some("auth"), "89eb0059246c02b2f6ee02c7961d5ea3"),
            (sip, old_nonce, "0a4f113b", Some("MD5"), Some("auth"), "89eb0059246c02b2f6ee02c7961d5ea3"),
            (sip, old_nonce, "0a4f113b", Some("MD5-sess"), Some("auth"), "e4e4ea61d186d07a92c9e1f6919902e9"),
            // Computed with another implementation: no document has one.
            (
                sip,
                old_nonce,
                "0a4f113b",
                Some("SHA-256-sess"),
                Some("auth"),
                "5da59c9ca40954be9d5063a15a174066c8251be2c10cf47c144c366dc7daf792",
            ),
        ] {
            let (username, realm, password, method, uri) = who;
            let received = Received { realm, nonce, algorithm, qop, opaque: None };
            let answer = respond(&ha1(username, realm, password), &received, method, uri, cnonce, 1).unwrap();
            assert_eq!(answer.response.as_str(), expected, "{algorithm:?} {qop:?}");
            assert_eq!(answer.nc.map(|nc| nc.to_string()).as_deref(), qop.map(|_| "00000001"));
        }
    }

    #[test]
    fn challenges_that_cannot_be_answered_say_why() {
        let own = ha1("100", "phones.example", "1234");
        let good = Received { realm: "phones.example", nonce: "n", ..Received::default() };
        let answer = |received: Received<'_>, uri| respond(&own, &received, "NOTIFY", uri, "c", 0x00ab_cdef);
        let counted = answer(Received { qop: Some("auth"), ..good }, "sip:phones.example").unwrap();
        assert_eq!(counted.nc.map(|nc| nc.to_string()).as_deref(), Some("00abcdef"));
        let (long_nonce, long_uri) = ("n".repeat(513), "u".repeat(2_000));
        let error = |received, uri| answer(received, uri).unwrap_err();
        assert_eq!(
            error(Received { algorithm: Some("SHA-512-256"), ..good }, "sip:phones.example"),
            RespondError::Algorithm
        );
        assert_eq!(
            error(Received { qop: Some("auth-int"), ..good }, "sip:phones.example"),
            RespondError::Qop
        );
        assert_eq!(error(Received { nonce: "", ..good }, "sip:phones.example"), RespondError::Nonce);
        assert_eq!(error(Received { nonce: &long_nonce, ..good }, "sip:phones.example"), RespondError::Nonce);
        assert_eq!(error(good, &long_uri), RespondError::TooLong(TooLong));
        assert_eq!(
            Ha1::of("100", "phones.example", &Secret::new("x".repeat(MAX_PASSWORD_BYTES + 1))),
            Err(TooLong)
        );
    }
}
