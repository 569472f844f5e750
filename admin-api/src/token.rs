//! The administrator's token: only its digest is kept.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

/// Who has the token: there is one administrator.
pub(crate) const ADMINISTRATOR: &str = "administrator";

/// Fewest characters of a token.
pub const MIN_TOKEN_CHARACTERS: usize = 16;

/// A text that cannot be the administrator's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an administrator token has at least {MIN_TOKEN_CHARACTERS} visible ASCII characters without blanks")]
pub struct BadToken;

/// Knows whether a text is the administrator's token. Keeps the SHA-256 digest of it, and shows not even that.
#[derive(Clone)]
pub struct AccessToken {
    digest: [u8; SHA256_OUTPUT_LEN],
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(…)")
    }
}

impl AccessToken {
    /// Take a token as it stands in its file; white space around it does not count.
    pub fn new(text: &str) -> Result<Self, BadToken> {
        let text = text.trim();
        if text.len() < MIN_TOKEN_CHARACTERS || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(BadToken);
        }
        Ok(Self { digest: sha256(text) })
    }

    /// Whether `text` is the token. Takes the same time whatever the difference is.
    pub fn is(&self, text: &str) -> bool {
        verify_slices_are_equal(&self.digest, &sha256(text)).is_ok()
    }
}

fn sha256(text: &str) -> [u8; SHA256_OUTPUT_LEN] {
    let mut out = [0; SHA256_OUTPUT_LEN];
    // SHA-256 has this length; `zip` only spares a conversion that cannot fail.
    for (to, from) in out.iter_mut().zip(digest(&SHA256, text.as_bytes()).as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_is_the_token() {
        let token = AccessToken::new(" 0123456789abcdef\n").unwrap();
        assert!(token.is("0123456789abcdef"));
        for other in ["", "0123456789abcde", "0123456789abcdeF", "0123456789abcdef "] {
            assert!(!token.is(other), "{other:?}");
        }
    }

    #[test]
    fn weak_tokens_are_refused() {
        for text in ["", "  \n", "0123456789abcde", "0123456789 abcdef", "0123456789abcdeä"] {
            assert_eq!(AccessToken::new(text).unwrap_err(), BadToken, "{text:?}");
        }
    }

    #[test]
    fn does_not_print() {
        let token = AccessToken::new("0123456789abcdef").unwrap();
        assert_eq!(format!("{token:?}"), "AccessToken(…)");
    }
}
