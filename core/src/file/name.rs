//! Names of files, and the token that makes a path unguessable.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// Longest name in bytes.
pub const MAX_NAME_BYTES: usize = 100;

/// What a file is called at the phone. It needs no quoting in a URL and is never used as a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileName(Box<str>);

/// A text that can be no name of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("1 to {MAX_NAME_BYTES} of A-Z, a-z, 0-9, `.`, `_` and `-`, beginning with a letter or digit")]
pub struct BadFileName;

impl FileName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FileName {
    type Err = BadFileName;

    fn from_str(text: &str) -> Result<Self, BadFileName> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if begins && text.len() <= MAX_NAME_BYTES && text.bytes().all(fits) {
            Ok(Self(text.into()))
        } else {
            Err(BadFileName)
        }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// 128 unpredictable bits in the path of a file: who was not told the path cannot find it.
#[derive(Clone, Copy)]
pub struct FileToken([u8; 16]);

impl FileToken {
    /// A token of these bits.
    pub fn from_u128(bits: u128) -> Self {
        Self(bits.to_be_bytes())
    }

    /// Read 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let bits = (text.len() == 32 && digits).then(|| u128::from_str_radix(text, 16).ok())?;
        bits.map(Self::from_u128)
    }

    /// Whether it is this one, in a time that does not tell how much of it is right.
    pub fn is(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }

    /// The text of the token. It opens the file: every caller is a place where it may leave.
    pub fn expose(&self) -> Secret {
        Secret::new(format!("{:032x}", u128::from_be_bytes(self.0)))
    }
}

impl fmt::Debug for FileToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["a", "OS60_SIP_V3_R5_12_0.img", "9.wav", &"x".repeat(MAX_NAME_BYTES)] {
            assert_eq!(good.parse::<FileName>().unwrap().as_str(), good);
        }
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        for bad in
            ["", ".", "..", ".hidden", "-x", "_x", "a/b", "a\\b", "a b", "a%2fb", "ä", "a\0", "a\n", &long]
        {
            assert_eq!(bad.parse::<FileName>(), Err(BadFileName), "{bad:?}");
        }
    }

    #[test]
    fn a_token_shows_itself_only_when_asked() {
        let token = FileToken::from_u128(0xab);
        assert_eq!(format!("{token:?}"), "FileToken(…)");
        assert_eq!(token.expose().expose(), "000000000000000000000000000000ab");
        assert!(!token.is(&FileToken::from_u128(0xac)));
        for bad in ["", "ab", "000000000000000000000000000000AB", "+00000000000000000000000000000ab"] {
            assert!(FileToken::parse(bad).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_token_that_is_written_reads_the_same(bits: u128) {
            let token = FileToken::from_u128(bits);
            let read = FileToken::parse(token.expose().expose()).unwrap();
            prop_assert!(read.is(&token));
        }
    }
}
