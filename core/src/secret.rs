//! Values that must not be seen, and the vault that keeps them at rest.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

/// A text that never shows itself: `Debug` prints dots, there is no `Display`, and the memory is wiped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Take a text into custody.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself. Every caller is a place where a secret may leave: keep them few.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A secret as it lies in records: nonce, ciphertext and tag.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed(Box<[u8]>);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(…)")
    }
}

/// Why a secret could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The key has not 32 bytes.
    #[error("the key file must hold exactly 32 bytes")]
    BadKey,
    /// The system gave no random nonce.
    #[error("no random numbers available")]
    NoRandom,
    /// Wrong key, or the sealed bytes were changed.
    #[error("a sealed secret does not open with this key file")]
    Unopenable,
}

/// Seals secrets under the key file of the data directory.
///
/// AES-256-GCM-SIV (RFC 8452): a repeated random nonce over the years of a large fleet does no harm.
pub struct Vault {
    seal: LessSafeKey,
    digest: hmac::Key,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(…)")
    }
}

/// Bytes of the key file.
pub const KEY_LEN: usize = 32;

impl Vault {
    /// Make a vault from the key file's 32 bytes.
    pub fn new(key: &[u8]) -> Result<Self, VaultError> {
        if key.len() != KEY_LEN {
            return Err(VaultError::BadKey);
        }
        // Two independent keys from one file, so that a digest never weakens a seal.
        let root = hmac::Key::new(hmac::HMAC_SHA256, key);
        let mut seal = hmac::sign(&root, b"callboard seal 1").as_ref().to_vec();
        let digest = hmac::sign(&root, b"callboard digest 1");
        let unbound = UnboundKey::new(&AES_256_GCM_SIV, &seal).map_err(|_| VaultError::BadKey);
        seal.zeroize();
        Ok(Self {
            seal: LessSafeKey::new(unbound?),
            digest: hmac::Key::new(hmac::HMAC_SHA256, digest.as_ref()),
        })
    }

    /// Seal a text, appending nonce, ciphertext and tag to `out`.
    pub fn seal_into(&self, text: &str, out: &mut Vec<u8>) -> Result<(), VaultError> {
        let mut nonce = [0_u8; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| VaultError::NoRandom)?;
        out.extend_from_slice(&nonce);
        let start = out.len();
        out.extend_from_slice(text.as_bytes());
        let tag = self
            .seal
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::empty(),
                out.get_mut(start..).unwrap_or_default(),
            )
            .map_err(|_| VaultError::NoRandom)?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Seal a text.
    pub fn seal(&self, text: &Secret) -> Result<Sealed, VaultError> {
        let mut out = Vec::with_capacity(text.expose().len() + SEAL_OVERHEAD);
        self.seal_into(text.expose(), &mut out)?;
        Ok(Sealed(out.into_boxed_slice()))
    }

    /// Open what [`Vault::seal`] made.
    pub fn open(&self, sealed: &Sealed) -> Result<Secret, VaultError> {
        self.open_bytes(&sealed.0)
    }

    /// Open what [`Vault::seal_into`] appended.
    pub fn open_bytes(&self, sealed: &[u8]) -> Result<Secret, VaultError> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or(VaultError::Unopenable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::Unopenable)?;
        let mut buffer = Zeroizing::new(rest.to_vec());
        let plain =
            self.seal.open_in_place(nonce, Aad::empty(), &mut buffer).map_err(|_| VaultError::Unopenable)?;
        let text = std::str::from_utf8(plain).map_err(|_| VaultError::Unopenable)?;
        Ok(Secret::new(text))
    }

    /// A keyed fingerprint of a value: tells whether it changed without keeping it, and cannot be guessed
    /// from without the key file.
    pub fn digest(&self, text: &str) -> u64 {
        let tag = hmac::sign(&self.digest, text.as_bytes());
        tag.as_ref().first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

/// Bytes that sealing adds to a text: nonce and tag.
pub const SEAL_OVERHEAD: usize = NONCE_LEN + 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_what_it_sealed_and_nothing_else() {
        let vault = Vault::new(&[7; KEY_LEN]).unwrap();
        let sealed = vault.seal(&Secret::new("123456")).unwrap();
        assert_eq!(vault.open(&sealed).unwrap().expose(), "123456");
        let other = Vault::new(&[8; KEY_LEN]).unwrap();
        assert_eq!(other.open(&sealed), Err(VaultError::Unopenable));
        let mut bytes = sealed.0.to_vec();
        bytes[NONCE_LEN] ^= 1;
        assert_eq!(vault.open_bytes(&bytes), Err(VaultError::Unopenable));
        assert_eq!(vault.open_bytes(&bytes[..5]), Err(VaultError::Unopenable));
    }

    #[test]
    fn two_seals_of_one_text_differ() {
        let vault = Vault::new(&[7; KEY_LEN]).unwrap();
        let text = Secret::new("x");
        assert_ne!(vault.seal(&text).unwrap(), vault.seal(&text).unwrap());
    }

    #[test]
    fn nothing_prints_a_secret() {
        let vault = Vault::new(&[7; KEY_LEN]).unwrap();
        let secret = Secret::new("hunter2");
        let sealed = vault.seal(&secret).unwrap();
        let shown = format!("{secret:?} {sealed:?} {vault:?}");
        assert!(!shown.contains("hunter2") && !shown.contains('7'), "{shown}");
    }

    #[test]
    fn digests_depend_on_the_key() {
        let one = Vault::new(&[1; KEY_LEN]).unwrap();
        let two = Vault::new(&[2; KEY_LEN]).unwrap();
        assert_eq!(one.digest("a"), one.digest("a"));
        assert_ne!(one.digest("a"), one.digest("b"));
        assert_ne!(one.digest("a"), two.digest("a"));
    }

    #[test]
    fn a_short_key_is_refused() {
        assert!(matches!(Vault::new(&[1; 31]), Err(VaultError::BadKey)));
    }
}
