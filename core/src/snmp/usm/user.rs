//! The keys of a user, which hold at every engine: what is kept of the passwords.

use std::fmt;
use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::key::{self, Key, KeySet, MAX_KEY_BYTES};
use super::local::LocalKeys;
use crate::secret::Secret;
use crate::snmp::protocol::{AuthProtocol, PrivProtocol, SecurityLevel};

/// Bytes of a password in UTF-8. RFC 3414, section 11.2, wants eight at least; more than the upper bound protect no better.
pub const PASSWORD_BYTES: RangeInclusive<usize> = 8..=256;

/// Why there are no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeys {
    /// The password for authentication is too short or too long.
    #[error(
        "the authentication password must have {} to {} bytes",
        PASSWORD_BYTES.start(),
        PASSWORD_BYTES.end()
    )]
    AuthPassword,
    /// The password for privacy is too short or too long.
    #[error("the privacy password must have {} to {} bytes", PASSWORD_BYTES.start(), PASSWORD_BYTES.end())]
    PrivacyPassword,
    /// Nothing is encrypted that is not authenticated (RFC 3411, section 3.4.3).
    #[error("privacy needs authentication")]
    PrivacyWithoutAuth,
    /// A stored text holds no keys.
    #[error("a stored text is no set of SNMP keys")]
    Malformed,
}

/// Tells sets of keys apart without showing them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 16]);

/// The keys of a user (Ku of RFC 3414, section 2.6), made once from the passwords.
///
/// They open all engines like the passwords themselves. They show nothing when printed, and their memory is wiped.
#[derive(Clone)]
pub struct UserKeys {
    keys: Option<KeySet>,
    fingerprint: Fingerprint,
}

impl UserKeys {
    /// Make the keys from the passwords: none for a user without authentication.
    ///
    /// A MiB is hashed for each password, which takes between one and ten milliseconds. Do it where blocking is allowed, and keep
    /// [`UserKeys::to_secret`] for the next start.
    pub fn derive(
        auth: Option<(AuthProtocol, &Secret)>,
        privacy: Option<(PrivProtocol, &Secret)>,
    ) -> Result<Self, BadKeys> {
        let Some((protocol, password)) = auth else {
            return if privacy.is_some() { Err(BadKeys::PrivacyWithoutAuth) } else { Ok(Self::new(None)) };
        };
        // Both are looked at before the work begins.
        let password = bytes(password).ok_or(BadKeys::AuthPassword)?;
        let privacy = match privacy {
            Some((privacy, password)) => Some((privacy, bytes(password).ok_or(BadKeys::PrivacyPassword)?)),
            None => None,
        };
        Ok(Self::new(Some(KeySet {
            protocol,
            key: key::of_password(protocol, password),
            privacy: privacy.map(|(privacy, password)| (privacy, key::of_password(protocol, password))),
        })))
    }

    fn new(keys: Option<KeySet>) -> Self {
        let mut new = Self { keys, fingerprint: Fingerprint([0; 16]) };
        let hash = Sha256::digest(new.to_secret().expose());
        for (to, from) in new.fingerprint.0.iter_mut().zip(hash) {
            *to = from;
        }
        new
    }

    /// How its messages are authenticated.
    pub fn auth(&self) -> Option<AuthProtocol> {
        self.keys.as_ref().map(|keys| keys.protocol)
    }

    /// How its messages are encrypted.
    pub fn privacy(&self) -> Option<PrivProtocol> {
        self.keys.as_ref().and_then(|keys| keys.privacy.as_ref()).map(|(protocol, _)| *protocol)
    }

    /// The best that the keys can do.
    pub fn level(&self) -> SecurityLevel {
        match &self.keys {
            None => SecurityLevel::NoAuthNoPriv,
            Some(KeySet { privacy: None, .. }) => SecurityLevel::AuthNoPriv,
            Some(_) => SecurityLevel::AuthPriv,
        }
    }

    /// The keys at an engine: some short hashes, which take a microsecond or a few.
    pub fn localise(&self, engine_id: &[u8]) -> LocalKeys {
        let keys = self.keys.as_ref().map(|keys| keys.localise(engine_id));
        LocalKeys::new(self.fingerprint, engine_id, keys)
    }

    /// The keys as a text to be sealed: `sha-256:KEY aes-128:KEY`, in Base64 without padding. Empty if there are none.
    pub fn to_secret(&self) -> Secret {
        let Some(keys) = &self.keys else { return Secret::default() };
        // Nothing may move while it is written, or a copy stays behind.
        let mut text = String::with_capacity(2 * (MAX_KEY_BYTES * 2 + 16));
        text.push_str(keys.protocol.as_str());
        push_key(&keys.key, &mut text);
        if let Some((protocol, key)) = &keys.privacy {
            text.push(' ');
            text.push_str(protocol.as_str());
            push_key(key, &mut text);
        }
        Secret::new(text)
    }

    /// From what [`UserKeys::to_secret`] gave.
    pub fn from_secret(text: &Secret) -> Result<Self, BadKeys> {
        if text.expose().is_empty() {
            return Ok(Self::new(None));
        }
        Ok(Self::new(Some(read(text.expose()).ok_or(BadKeys::Malformed)?)))
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

#[cfg(test)]
impl UserKeys {
    /// Keys of one byte over and over.
    pub(super) fn of_bytes(auth: AuthProtocol, privacy: Option<PrivProtocol>, byte: u8) -> Self {
        let key = Key::of(&vec![byte; auth.key_bytes()]);
        let privacy = privacy.map(|privacy| (privacy, key.clone()));
        Self::new(Some(KeySet { protocol: auth, key, privacy }))
    }
}

/// They are compared by a hash of theirs.
impl PartialEq for UserKeys {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for UserKeys {}

impl fmt::Debug for UserKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserKeys(…)")
    }
}

fn bytes(password: &Secret) -> Option<&[u8]> {
    let bytes = password.expose().as_bytes();
    PASSWORD_BYTES.contains(&bytes.len()).then_some(bytes)
}

fn push_key(key: &Key, to: &mut String) {
    to.push(':');
    STANDARD_NO_PAD.encode_string(key.as_bytes(), to);
}

fn read(text: &str) -> Option<KeySet> {
    let mut keys = text.split(' ').map(|key| key.split_once(':'));
    let (word, digits) = keys.next()??;
    let protocol = AuthProtocol::ALL.into_iter().find(|protocol| protocol.as_str() == word)?;
    let key = read_key(protocol, digits)?;
    let privacy = match keys.next() {
        None => None,
        Some(key) => {
            let (word, digits) = key?;
            let privacy = PrivProtocol::ALL.into_iter().find(|privacy| privacy.as_str() == word)?;
            Some((privacy, read_key(protocol, digits)?))
        }
    };
    if keys.next().is_some() {
        return None;
    }
    Some(KeySet { protocol, key, privacy })
}

fn read_key(protocol: AuthProtocol, digits: &str) -> Option<Key> {
    // Base64 may ask for some bytes more than come out.
    let mut bytes = Zeroizing::new([0; MAX_KEY_BYTES + 2]);
    let len = STANDARD_NO_PAD.decode_slice(digits, bytes.as_mut_slice()).ok()?;
    (len == protocol.key_bytes()).then(|| Key::of(bytes.get(..len).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(bytes: usize) -> Secret {
        Secret::new("x".repeat(bytes))
    }

    fn both() -> UserKeys {
        let (auth, privacy) = (Secret::new("maplesyrup"), Secret::new("privpass12"));
        UserKeys::derive(Some((AuthProtocol::Sha1, &auth)), Some((PrivProtocol::Aes256Reeder, &privacy)))
            .unwrap()
    }

    #[test]
    fn passwords_have_bounds() {
        let good = secret(8);
        for (bytes, is_good) in [(0, false), (7, false), (8, true), (256, true), (257, false)] {
            let password = secret(bytes);
            let auth = UserKeys::derive(Some((AuthProtocol::Md5, &password)), None);
            assert_eq!(auth.err(), (!is_good).then_some(BadKeys::AuthPassword), "{bytes}");
            let privacy = (PrivProtocol::Des, &password);
            let privacy = UserKeys::derive(Some((AuthProtocol::Md5, &good)), Some(privacy));
            assert_eq!(privacy.err(), (!is_good).then_some(BadKeys::PrivacyPassword), "{bytes}");
        }
        let alone = UserKeys::derive(None, Some((PrivProtocol::Des, &good)));
        assert_eq!(alone, Err(BadKeys::PrivacyWithoutAuth));
    }

    #[test]
    fn the_level_is_what_there_are_keys_for() {
        let nobody = UserKeys::derive(None, None).unwrap();
        assert_eq!((nobody.auth(), nobody.privacy()), (None, None));
        assert_eq!(nobody.level(), SecurityLevel::NoAuthNoPriv);
        let auth = UserKeys::derive(Some((AuthProtocol::Sha224, &secret(8))), None).unwrap();
        assert_eq!((auth.auth(), auth.privacy()), (Some(AuthProtocol::Sha224), None));
        assert_eq!(auth.level(), SecurityLevel::AuthNoPriv);
        let both = both();
        assert_eq!(
            (both.auth(), both.privacy()),
            (Some(AuthProtocol::Sha1), Some(PrivProtocol::Aes256Reeder))
        );
        assert_eq!(both.level(), SecurityLevel::AuthPriv);
    }

    /// Records of older versions must stay readable.
    #[test]
    fn the_stored_form_stays_as_it_is() {
        let text = both().to_secret();
        assert_eq!(text.expose(), "sha:n7XMA4FJezeTUok5/3iNXXkUUhE aes-256-c:kwq9XpAQSldpcUxXaUhnLfoPrno");
        assert_eq!(UserKeys::from_secret(&text).unwrap(), both());
    }

    #[test]
    fn all_keys_can_be_stored() {
        let nobody = UserKeys::derive(None, None).unwrap();
        assert_eq!(nobody.to_secret().expose(), "");
        assert_eq!(UserKeys::from_secret(&nobody.to_secret()), Ok(nobody));
        for auth in AuthProtocol::ALL {
            for privacy in PrivProtocol::ALL.into_iter().map(Some).chain([None]) {
                let keys = UserKeys::of_bytes(auth, privacy, 7);
                let read = UserKeys::from_secret(&keys.to_secret()).unwrap();
                assert_eq!((read.auth(), read.privacy()), (keys.auth(), keys.privacy()));
                assert_eq!(read, keys);
            }
        }
    }

    #[test]
    fn other_texts_are_no_keys() {
        for text in [
            " ",
            "sha",
            "sha:",
            "SHA:n7XMA4FJezeTUok5/3iNXXkUUhE",
            "sha:n7XMA4FJezeTUok5/3iNXXkUUhE=",
            "sha:n7XMA4FJezeTUok5/3iNXXkUUg",
            "md5:n7XMA4FJezeTUok5/3iNXXkUUhE",
            "sha:n7XMA4FJezeTUok5/3iNXXkUUhE ",
            "sha:n7XMA4FJezeTUok5/3iNXXkUUhE aes-128",
            "sha:n7XMA4FJezeTUok5/3iNXXkUUhE aes:n7XMA4FJezeTUok5/3iNXXkUUhE",
            "sha:n7XMA4FJezeTUok5/3iNXXkUUhE aes-128:n7XMA4FJezeTUok5/3iNXXkUUhE ",
            "aes-128:n7XMA4FJezeTUok5/3iNXXkUUhE",
            &format!("sha:{}", "A".repeat(1_000)),
        ] {
            assert_eq!(UserKeys::from_secret(&Secret::new(text)), Err(BadKeys::Malformed), "{text}");
        }
    }

    #[test]
    fn nothing_prints_a_key() {
        let local = both().localise(b"an engine");
        assert_eq!(format!("{:?} {local:?}", both()), "UserKeys(…) LocalKeys(…)");
    }
}
