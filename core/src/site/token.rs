//! Tokens: what an administrator hands to a branch, once.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use super::SiteId;
use crate::secret::Secret;
use crate::time::Random;

/// Bytes of randomness in a token.
pub const TOKEN_SECRET_BYTES: usize = 32;

/// How each token begins, so that people and scanners of secrets know it.
const PREFIX: &str = "callboard-edge";

/// A token for one enrolment: `callboard-edge.SITE.SECRET.AUTHORITY`.
///
/// The last part is the fingerprint of the internal authority: by it the edge knows the core before it sends the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SiteToken {
    /// The site that it is for.
    pub site: SiteId,
    /// What proves it, base64url.
    pub secret: Secret,
    /// SHA-256 of the authority's certificate (DER).
    pub authority: [u8; 32],
}

impl fmt::Debug for SiteToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SiteToken").field("site", &self.site).finish_non_exhaustive()
    }
}

/// A text that is no token. What it holds is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no enrolment token: {PREFIX}, a site id and two codes of 43 characters are expected, with dots between"
)]
pub struct BadToken;

impl SiteToken {
    /// A new token.
    pub fn new(site: SiteId, authority: [u8; 32], random: &dyn Random) -> Self {
        let mut bytes = [0; TOKEN_SECRET_BYTES];
        for half in bytes.chunks_mut(16) {
            half.copy_from_slice(&random.next_u128().to_be_bytes());
        }
        Self { site, secret: Secret::new(BASE64.encode(bytes)), authority }
    }

    /// The whole text, to be given to the branch.
    pub fn text(&self) -> Secret {
        let authority = BASE64.encode(self.authority);
        Secret::new(format!("{PREFIX}.{}.{}.{authority}", self.site, self.secret.expose()))
    }

    /// What is kept of it.
    pub fn digest(&self) -> [u8; 32] {
        fingerprint(self.secret.expose().as_bytes())
    }

    /// Whether this is the token that the digest was made from. Takes the same time in either case.
    pub fn is(&self, kept: &[u8; 32]) -> bool {
        verify_slices_are_equal(&self.digest(), kept).is_ok()
    }
}

impl FromStr for SiteToken {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let mut parts = text.trim().split('.');
        let mut next = || parts.next().ok_or(BadToken);
        if next()? != PREFIX {
            return Err(BadToken);
        }
        let site = next()?.parse().map_err(|_| BadToken)?;
        let secret = next()?;
        let whole = |part: &str| <[u8; 32]>::try_from(BASE64.decode(part).ok()?).ok();
        let authority = whole(next()?).ok_or(BadToken)?;
        if whole(secret).is_none() || parts.next().is_some() {
            return Err(BadToken);
        }
        Ok(Self { site, secret: Secret::new(secret), authority })
    }
}

/// SHA-256.
pub fn fingerprint(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap_or([0; 32])
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dice;

    impl Random for Dice {
        fn next_u128(&self) -> u128 {
            0x0123_4567_89ab_cdef_0123_4567_89ab_cdef
        }
    }

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let token = SiteToken::new(SiteId::from_u64(7), [9; 32], &Dice);
        let text = token.text();
        assert!(text.expose().starts_with("callboard-edge.000000000007."));
        let read: SiteToken = format!(" {}\n", text.expose()).parse().unwrap();
        assert_eq!(read, token);
        assert!(read.is(&token.digest()) && !read.is(&[0; 32]));
        assert!(!format!("{token:?}").contains(token.secret.expose()));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let good = SiteToken::new(SiteId::from_u64(7), [9; 32], &Dice).text();
        let good = good.expose();
        let wrong = [
            String::new(),
            good.replace("edge", "egde"),
            good.replace("000000000007", "7"),
            good[..good.len() - 1].to_owned(),
            format!("{good}."),
            good.replace('.', ":"),
        ];
        for text in wrong {
            assert_eq!(text.parse::<SiteToken>(), Err(BadToken), "{text}");
        }
    }
}
