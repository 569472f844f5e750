//! The keys of a user at one engine, ready for use.

use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

use super::cipher::{Cipher, DecryptionError, Moment, SALT_BYTES};
use super::code::Coder;
use super::key::{self, Key, KeySet};
use super::user::{Fingerprint, UserKeys};
use crate::snmp::protocol::{AuthProtocol, PrivProtocol, SecurityLevel};

/// Why a message of ours cannot be protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtectionError {
    /// The user has no key for authentication.
    #[error("the user has no key for authentication")]
    NoAuthKey,
    /// The user has no key for privacy.
    #[error("the user has no key for privacy")]
    NoPrivacyKey,
    /// The place of the code lies outside of the message, or has another length than the code.
    #[error("there is no place for an authentication code of {0} bytes")]
    NoPlace(usize),
}

/// The keys of a user at one engine (Kul of RFC 3414, section 2.6), made by [`UserKeys::localise`]. What can be computed before a
/// message comes is computed. They show nothing when printed, and their memory is wiped.
pub struct LocalKeys {
    user: Fingerprint,
    engine_id: Box<[u8]>,
    auth: Option<Auth>,
}

struct Auth {
    protocol: AuthProtocol,
    coder: Coder,
    privacy: Option<Privacy>,
}

/// The cipher is made when a message is first encrypted or decrypted. To lengthen a key may take a MiB of hashing, and who invents
/// the ids of engines must not have that done: his messages are refused before.
struct Privacy {
    protocol: PrivProtocol,
    key: Key,
    cipher: OnceLock<Cipher>,
}

impl LocalKeys {
    pub(super) fn new(user: Fingerprint, engine_id: &[u8], keys: Option<KeySet>) -> Self {
        let auth = keys.map(|KeySet { protocol, key, privacy }| Auth {
            protocol,
            coder: Coder::new(protocol, &key),
            privacy: privacy.map(|(protocol, key)| Privacy { protocol, key, cipher: OnceLock::new() }),
        });
        Self { user, engine_id: engine_id.into(), auth }
    }

    /// The best that the keys can do.
    pub fn level(&self) -> SecurityLevel {
        match &self.auth {
            None => SecurityLevel::NoAuthNoPriv,
            Some(Auth { privacy: None, .. }) => SecurityLevel::AuthNoPriv,
            Some(_) => SecurityLevel::AuthPriv,
        }
    }

    /// Bytes of `msgAuthenticationParameters` in a message that is authenticated: none if there is no key.
    pub fn code_bytes(&self) -> usize {
        self.auth.as_ref().map_or(0, |auth| auth.protocol.code_bytes())
    }

    /// Whether the authentication code of a whole message, which stands at `code_at`, is right (RFC 3414, section 6.3.2). A code
    /// of another length than the protocol's is wrong. Takes the same time wherever codes differ.
    pub fn verify(&self, message: &[u8], code_at: Range<usize>) -> bool {
        self.auth.as_ref().is_some_and(|auth| auth.coder.verify(message, code_at))
    }

    /// Write the authentication code of a whole message to `code_at`, over whatever stands there. The place has
    /// [`LocalKeys::code_bytes`].
    pub fn sign(&self, message: &mut [u8], code_at: Range<usize>) -> Result<(), ProtectionError> {
        let auth = self.auth.as_ref().ok_or(ProtectionError::NoAuthKey)?;
        auth.coder.sign(message, code_at).ok_or_else(|| ProtectionError::NoPlace(auth.protocol.code_bytes()))
    }

    /// Decrypt a scoped PDU to `out`, whose content is replaced. `salt` is `msgPrivacyParameters`, `boots` and `time` are those of the
    /// message. Verify the message before.
    ///
    /// With a wrong key rubbish comes out and no error: what cannot be read then is to be counted as one. What pads the text of DES
    /// stays behind it. For the first message at an engine the key may have to be lengthened: with MD5, SHA-1 and, for 256 bits,
    /// SHA-224 by the way of Reeder a MiB or two are hashed for that.
    pub fn decrypt(
        &self,
        salt: &[u8],
        boots: u32,
        time: u32,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), DecryptionError> {
        let cipher = self.cipher().ok_or(DecryptionError::NoKey)?;
        let salt: [u8; SALT_BYTES] = salt.try_into().map_err(|_| DecryptionError::Salt(salt.len()))?;
        out.clear();
        out.extend_from_slice(data);
        cipher.decrypt(Moment { boots, time, salt }, out)
    }

    /// Encrypt a scoped PDU to `out`, whose content is replaced, and give the salt for `msgPrivacyParameters`. `boots` and `time` are
    /// what the message will say. It takes as long as [`LocalKeys::decrypt`].
    ///
    /// No value of `counter` may come again for these keys at the same `boots` and `time`, and of DES not its low half at the same
    /// `boots`. So count up for all messages, and begin at a random number (RFC 3826, section 3.1.2.1).
    pub fn encrypt(
        &self,
        counter: u64,
        boots: u32,
        time: u32,
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<[u8; SALT_BYTES], ProtectionError> {
        let cipher = self.cipher().ok_or(ProtectionError::NoPrivacyKey)?;
        let salt = cipher.salt(boots, counter);
        out.clear();
        out.extend_from_slice(plain);
        cipher.encrypt(Moment { boots, time, salt }, out);
        Ok(salt)
    }

    /// Whether these are the keys of that user at that engine.
    pub(super) fn are_of(&self, user: &UserKeys, engine_id: &[u8]) -> bool {
        self.belong_to(user) && *self.engine_id == *engine_id
    }

    /// Whether these are keys of that user.
    pub(super) fn belong_to(&self, user: &UserKeys) -> bool {
        self.user == user.fingerprint()
    }

    /// What a table finds them by.
    pub(super) fn name(&self) -> (Fingerprint, &[u8]) {
        (self.user, &self.engine_id)
    }

    fn cipher(&self) -> Option<&Cipher> {
        let Auth { protocol: hash, privacy, .. } = self.auth.as_ref()?;
        let Privacy { protocol, key, cipher } = privacy.as_ref()?;
        Some(
            cipher.get_or_init(|| {
                Cipher::new(*protocol, &key::lengthen(*hash, *protocol, key, &self.engine_id))
            }),
        )
    }
}

impl fmt::Debug for LocalKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalKeys(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn keys(auth: AuthProtocol, privacy: Option<PrivProtocol>) -> LocalKeys {
        UserKeys::of_bytes(auth, privacy, 7).localise(b"engine")
    }

    #[test]
    fn nothing_is_done_without_a_key() {
        let none = UserKeys::derive(None, None).unwrap().localise(b"engine");
        let mut message = [0; 40];
        assert_eq!((none.level(), none.code_bytes()), (SecurityLevel::NoAuthNoPriv, 0));
        assert!(!none.verify(&message, 0..0) && !none.verify(&message, 0..12));
        assert_eq!(none.sign(&mut message, 0..12), Err(ProtectionError::NoAuthKey));
        let mut out = Vec::new();
        for keys in [none, keys(AuthProtocol::Md5, None)] {
            assert_eq!(keys.decrypt(&[0; 8], 0, 0, &[0; 8], &mut out), Err(DecryptionError::NoKey));
            assert_eq!(keys.encrypt(0, 0, 0, &[0; 8], &mut out), Err(ProtectionError::NoPrivacyKey));
        }
    }

    #[test]
    fn a_code_has_one_length_and_lies_in_the_message() {
        for auth in AuthProtocol::ALL {
            let (keys, bytes) = (keys(auth, None), auth.code_bytes());
            let mut message = vec![1; 100];
            keys.sign(&mut message, 10..10 + bytes).unwrap();
            assert!(keys.verify(&message, 10..10 + bytes), "{auth:?}");
            #[allow(clippy::reversed_empty_ranges)] // what a careless reader may come with
            let wrong = [10..10, 10..9 + bytes, 10..11 + bytes, 101 - bytes..101, 200..200 + bytes, 50..10];
            for range in wrong {
                assert!(!keys.verify(&message, range.clone()), "{auth:?} {range:?}");
                let before = message.clone();
                assert_eq!(keys.sign(&mut message, range), Err(ProtectionError::NoPlace(bytes)));
                assert_eq!(message, before);
            }
        }
    }

    #[test]
    fn what_cannot_be_decrypted_is_said() {
        let mut out = Vec::new();
        for privacy in PrivProtocol::ALL {
            let keys = keys(AuthProtocol::Sha256, Some(privacy));
            for bytes in [0, 7, 9, 16] {
                let error = keys.decrypt(&vec![0; bytes], 1, 2, &[0; 16], &mut out);
                assert_eq!(error, Err(DecryptionError::Salt(bytes)), "{privacy:?}");
            }
            for bytes in [0, 1, 8, 15, 16, 17] {
                let is_whole = privacy != PrivProtocol::Des || bytes % 8 == 0;
                let expected = if is_whole { Ok(()) } else { Err(DecryptionError::Length(bytes)) };
                let data = vec![0; bytes];
                assert_eq!(keys.decrypt(&[0; 8], 1, 2, &data, &mut out), expected, "{privacy:?}");
            }
        }
    }

    #[test]
    fn salts_are_the_counter() {
        let mut out = Vec::new();
        let mut salt = |privacy| {
            let keys = keys(AuthProtocol::Sha256, Some(privacy));
            keys.encrypt(0x0102_0304_0506_0708, 0x0a0b_0c0d, 9, b"x", &mut out).unwrap()
        };
        assert_eq!(salt(PrivProtocol::Des), [10, 11, 12, 13, 5, 6, 7, 8], "behind boots");
        assert_eq!(salt(PrivProtocol::Aes256), [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    /// The long way of lengthening must not be gone by who cannot authenticate.
    #[test]
    fn the_cipher_is_made_when_it_is_needed() {
        let keys = keys(AuthProtocol::Md5, Some(PrivProtocol::Aes256Reeder));
        let is_made = |keys: &LocalKeys| {
            keys.auth
                .as_ref()
                .and_then(|auth| auth.privacy.as_ref())
                .is_some_and(|it| it.cipher.get().is_some())
        };
        assert!(!keys.verify(&[0; 40], 0..12));
        assert!(!is_made(&keys));
        keys.decrypt(&[0; 8], 1, 2, b"data", &mut Vec::new()).unwrap();
        assert!(is_made(&keys));
    }

    proptest! {
        #[test]
        fn what_was_encrypted_comes_out_again(
            auth in select(AuthProtocol::ALL.as_slice()),
            // Those of Reeder differ in their keys alone, which take long in this build.
            privacy in select([PrivProtocol::Des, PrivProtocol::Aes128, PrivProtocol::Aes192, PrivProtocol::Aes256].as_slice()),
            counter: u64, boots: u32, time: u32,
            plain in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let keys = keys(auth, Some(privacy));
            let (mut encrypted, mut decrypted) = (Vec::new(), Vec::new());
            let salt = keys.encrypt(counter, boots, time, &plain, &mut encrypted).unwrap();
            keys.decrypt(&salt, boots, time, &encrypted, &mut decrypted).unwrap();
            let whole = if privacy == PrivProtocol::Des { plain.len().next_multiple_of(8) } else { plain.len() };
            prop_assert_eq!((encrypted.len(), decrypted.len()), (whole, whole));
            prop_assert_eq!(&decrypted[..plain.len()], &plain[..]);
            if plain.len() >= 16 {
                prop_assert_ne!(&encrypted, &decrypted);
                keys.decrypt(&salt.map(|byte| !byte), boots, time, &encrypted, &mut decrypted).unwrap();
                prop_assert_ne!(&decrypted[..plain.len()], &plain[..], "another salt");
            }
        }

        #[test]
        fn a_signed_message_is_right_until_a_bit_changes(
            auth in select(AuthProtocol::ALL.as_slice()),
            mut message in prop::collection::vec(any::<u8>(), 48..300),
            place: prop::sample::Index, flipped: prop::sample::Index, bit in 0_u8..8,
        ) {
            let keys = keys(auth, None);
            let start = place.index(message.len() - auth.code_bytes() + 1);
            let code_at = start..start + auth.code_bytes();
            keys.sign(&mut message, code_at.clone()).unwrap();
            prop_assert!(keys.verify(&message, code_at.clone()));
            let at = flipped.index(message.len());
            message[at] ^= 1 << bit;
            prop_assert!(!keys.verify(&message, code_at));
        }
    }
}
