//! Packs for bootstrapping with a PIN (item `secure-mode-data`, WPI reference, section 7.4).
//!
//! The vendor's form is not public. [`SimulatorPacker`] is Callboard's own definition of it for simulated phones and
//! does not claim to work with real ones; another [`PinPacker`] can take its place.

use std::num::NonZeroU32;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::pbkdf2;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::PkiError;

/// What a phone finds in its pack.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackContents {
    /// PKCS#12 store with the phone's certificate and key, base64.
    pub client: String,
    /// Certificates of the authorities the phone shall trust, PEM each.
    pub ca: Vec<String>,
    /// Port of the mutual-TLS door.
    pub port: u16,
}

impl std::fmt::Debug for PackContents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackContents")
            .field("ca", &self.ca.len())
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// Makes the text of `secure-mode-data` from its contents and the password part of the PIN.
pub trait PinPacker: Send + Sync {
    /// The pack, base64 text.
    fn pack(&self, contents: &PackContents, password: &str) -> Result<String, PkiError>;
}

const MAGIC: &[u8; 3] = b"OS2";
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
const HEAD_BYTES: usize = MAGIC.len() + SALT_BYTES + NONCE_BYTES;
/// What the OWASP password storage cheat sheet asks of PBKDF2-HMAC-SHA256.
const ROUNDS: NonZeroU32 = NonZeroU32::new(600_000).unwrap();

/// Longest pack [`SimulatorPacker::unpack`] looks at, in base64 characters.
const PACK_BYTES_MAX: usize = 256 * 1024;

/// Callboard's own pack: JSON `{"client":b64,"ca":[pem,..],"port":n}` under AES-256-GCM with a key from
/// PBKDF2-HMAC-SHA256 (600,000 rounds), laid out `"OS2" || salt(16) || nonce(12) || ciphertext || tag`, in base64.
#[derive(Debug, Clone, Copy, Default)]
pub struct SimulatorPacker;

impl PinPacker for SimulatorPacker {
    fn pack(&self, contents: &PackContents, password: &str) -> Result<String, PkiError> {
        let library =
            |error: serde_json::Error| PkiError::Library { what: "packing", reason: error.to_string() };
        let mut sealed = Zeroizing::new(serde_json::to_vec(contents).map_err(library)?);
        let mut salt = [0; SALT_BYTES];
        aws_lc_rs::rand::fill(&mut salt).map_err(|_| PkiError::Random)?;
        let nonce = key(password, &salt)?
            .seal_in_place_append_tag(Aad::empty(), &mut *sealed)
            .map_err(|_| PkiError::Pack { reason: "sealing failed" })?;
        let pack = [MAGIC, salt.as_slice(), nonce.as_ref(), sealed.as_slice()].concat();
        Ok(BASE64.encode(pack))
    }
}

impl SimulatorPacker {
    /// Opens a pack, as the simulated phone does after its user has typed the PIN.
    ///
    /// # Errors
    /// [`PkiError::Pack`] when the text is no pack or the password is wrong; the two are told apart.
    pub fn unpack(&self, pack: &str, password: &str) -> Result<PackContents, PkiError> {
        let refused = |reason| PkiError::Pack { reason };
        if pack.len() > PACK_BYTES_MAX {
            return Err(refused("it is too long"));
        }
        let mut bytes = Zeroizing::new(BASE64.decode(pack.trim()).map_err(|_| refused("it is not base64"))?);
        let (head, sealed) = bytes.split_at_mut_checked(HEAD_BYTES).ok_or(refused("it is too short"))?;
        let (magic, head) = head.split_at(MAGIC.len());
        let (salt, nonce) = head.split_at(SALT_BYTES);
        if magic != MAGIC {
            return Err(refused("it is of another kind"));
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| refused("it is too short"))?;
        let opened = key(password, salt)?
            .open_in_place(nonce, Aad::empty(), sealed)
            .map_err(|_| refused("the password does not open it"))?;
        serde_json::from_slice(opened).map_err(|_| refused("its contents are malformed"))
    }
}

fn key(password: &str, salt: &[u8]) -> Result<RandomizedNonceKey, PkiError> {
    let mut key = Zeroizing::new([0; 32]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, salt, password.as_bytes(), &mut *key);
    RandomizedNonceKey::new(&AES_256_GCM, &*key)
        .map_err(|_| PkiError::Pack { reason: "its key is malformed" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents() -> PackContents {
        PackContents { client: "AAEC".to_owned(), ca: vec!["pem".to_owned()], port: 18444 }
    }

    fn reason(result: Result<PackContents, PkiError>) -> &'static str {
        match result {
            Err(PkiError::Pack { reason }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_pack_opens_with_its_password_only() {
        let pack = SimulatorPacker.pack(&contents(), "483911").unwrap();
        assert_eq!(SimulatorPacker.unpack(&pack, "483911").unwrap(), contents());
        assert_eq!(reason(SimulatorPacker.unpack(&pack, "483912")), "the password does not open it");
    }

    #[test]
    fn layout_is_the_documented_one() {
        let pack = BASE64.decode(SimulatorPacker.pack(&contents(), "1").unwrap()).unwrap();
        let json = serde_json::to_vec(&contents()).unwrap();
        assert_eq!(&pack[..3], b"OS2");
        assert_eq!(pack.len(), 3 + 16 + 12 + json.len() + 16);
        let other = BASE64.decode(SimulatorPacker.pack(&contents(), "1").unwrap()).unwrap();
        assert_ne!(pack[3..31], other[3..31], "salt and nonce are fresh each time");
    }

    #[test]
    fn broken_packs_say_what_is_wrong() {
        assert_eq!(reason(SimulatorPacker.unpack("%", "1")), "it is not base64");
        assert_eq!(reason(SimulatorPacker.unpack("T1Mx", "1")), "it is too short");
        assert_eq!(reason(SimulatorPacker.unpack(&BASE64.encode([b'x'; 64]), "1")), "it is of another kind");
        assert_eq!(reason(SimulatorPacker.unpack(&"A".repeat(PACK_BYTES_MAX + 4), "1")), "it is too long");
    }

    #[test]
    fn debug_hides_the_certificate_store() {
        assert!(!format!("{:?}", contents()).contains("AAEC"));
    }
}
