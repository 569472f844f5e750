//! A challenge that a phone may answer, again and again as long as the nonce is good (RFC 7616, section 3.4).

use callboard_codecs::sip::{Challenge, DigestChallenge, HeaderName, Response};
use callboard_core::secret::Secret;
use callboard_core::sip::digest::{Answer, Ha1, Received, respond};

use super::fault::Fault;
use super::{Digest, password, user};

/// A challenge, and what the phone needs to answer it.
pub(super) struct Pass {
    ha1: Ha1,
    pub(super) realm: String,
    pub(super) nonce: String,
    pub(super) opaque: Option<String>,
    algorithm: Option<String>,
    qop: Option<String>,
    /// Requests that were answered under this nonce.
    pub(super) count: u32,
}

impl Pass {
    /// Take the challenge of a 401 that is to be answered with this digest.
    pub(super) fn of(response: &Response<'_>, number: u32, digest: Digest) -> Result<Self, Fault> {
        let mut challenges = response.headers.challenges(HeaderName::WwwAuthenticate);
        let wanted = challenges.find_map(|challenge| match challenge {
            Ok(Challenge::Digest(challenge)) if is_by(&challenge, digest) => Some(challenge),
            _ => None,
        });
        let wanted = wanted.ok_or_else(|| Fault::Challenge(format!("none for {}", digest.as_str())))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let realm = text(wanted.realm);
        let ha1 = Ha1::of(&user(number), &realm, &Secret::new(password(number)));
        Ok(Self {
            ha1: ha1.map_err(|error| Fault::Challenge(error.to_string()))?,
            realm,
            nonce: text(wanted.nonce),
            opaque: wanted.opaque.map(text),
            algorithm: wanted.algorithm.map(text),
            qop: wanted.qop.map(text),
            count: 0,
        })
    }

    /// The answer for the request with this number under the nonce: the same one for the same number.
    pub(super) fn answer(&self, uri: &str, cnonce: &str) -> Result<Answer, Fault> {
        let received = Received {
            realm: &self.realm,
            nonce: &self.nonce,
            algorithm: self.algorithm.as_deref(),
            qop: self.qop.as_deref(),
            opaque: self.opaque.as_deref(),
        };
        let answer = respond(&self.ha1, &received, "REGISTER", uri, cnonce, self.count);
        answer.map_err(|error| Fault::Challenge(error.to_string()))
    }
}

fn is_by(challenge: &DigestChallenge<'_>, digest: Digest) -> bool {
    let algorithm = challenge.algorithm.unwrap_or(b"MD5");
    match digest {
        Digest::None => false,
        Digest::Md5 => algorithm.eq_ignore_ascii_case(b"MD5"),
        Digest::Sha256 => algorithm.eq_ignore_ascii_case(b"SHA-256"),
    }
}

/// Whether the server says that the nonce was too old, and nothing else was wrong.
pub(super) fn is_stale(response: &Response<'_>) -> bool {
    let mut challenges = response.headers.challenges(HeaderName::WwwAuthenticate);
    challenges.any(|challenge| matches!(challenge, Ok(Challenge::Digest(digest)) if digest.stale))
}
