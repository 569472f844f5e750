//! Realms and credentials as bytes in the store.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

use super::{Credential, Domain, Realm, RealmName, Username};
use crate::device::DeviceId;
use crate::secret::{Sealed, Secret, Vault, VaultError};
use crate::sip::digest::{HA1_BYTES, Ha1};
use crate::store::MAX_KEY_BYTES;

/// Version of the record forms of realms and credentials that this build writes.
pub(super) const VERSION: u8 = 1;

/// A record that cannot be read as a realm or a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCredentialRecord {
    /// Written by a newer Callboard.
    #[error("record version {0} is newer than this Callboard reads (up to {VERSION})")]
    Newer(u8),
    /// The bytes do not fit the form.
    #[error("malformed record: {0}")]
    Malformed(postcard::Error),
    /// What is sealed does not open, or holds no hashes.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

#[derive(Serialize, Deserialize)]
struct RealmRecord {
    name: RealmName,
    domains: Box<[Domain]>,
    revision: u64,
}

#[derive(Serialize, Deserialize)]
struct CredentialRecord {
    realm: RealmName,
    username: Username,
    device: Option<DeviceId>,
    revision: u64,
    /// The hashes in hexadecimal digits.
    ha1: Sealed,
}

/// The key of a realm's record: its name.
pub(super) fn realm_key(name: &RealmName) -> &str {
    name.as_str()
}

/// The key of a credential's record: `realm/username`, with `%` and `/` in the realm as `%25` and `%2F`. What is too long for a
/// key is told by its hash; no escape begins like that. Who reads the record compares its names.
pub(super) fn credential_key(realm: &RealmName, username: &Username) -> String {
    let mut key = String::with_capacity(realm.as_str().len() + 1 + username.as_str().len());
    for c in realm.as_str().chars() {
        match c {
            '%' => key.push_str("%25"),
            '/' => key.push_str("%2F"),
            c => key.push(c),
        }
    }
    key.push('/');
    key.push_str(username.as_str());
    if key.len() > MAX_KEY_BYTES {
        let hash = digest(&SHA256, key.as_bytes());
        key.clear();
        key.push_str("%-");
        push_hex(hash.as_ref(), &mut key);
    }
    key
}

/// Pack a realm.
pub(super) fn encode_realm(realm: &Realm) -> Result<Vec<u8>, BadCredentialRecord> {
    let Realm { name, domains, revision } = realm.clone();
    pack(&RealmRecord { name, domains, revision })
}

/// Unpack a realm.
pub(super) fn decode_realm(bytes: &[u8]) -> Result<Realm, BadCredentialRecord> {
    let RealmRecord { name, domains, revision } = unpack(bytes)?;
    Ok(Realm { name, domains, revision })
}

/// Pack a credential, its hashes sealed.
pub(super) fn encode_credential(
    credential: &Credential,
    vault: &Vault,
) -> Result<Vec<u8>, BadCredentialRecord> {
    let mut bytes = credential.ha1.to_bytes();
    let mut digits = String::with_capacity(HA1_BYTES * 2);
    push_hex(&bytes, &mut digits);
    bytes.zeroize();
    pack(&CredentialRecord {
        realm: credential.realm.clone(),
        username: credential.username.clone(),
        device: credential.device.clone(),
        revision: credential.revision,
        ha1: vault.seal(&Secret::new(digits))?,
    })
}

/// Unpack a credential.
pub(super) fn decode_credential(bytes: &[u8], vault: &Vault) -> Result<Credential, BadCredentialRecord> {
    let CredentialRecord { realm, username, device, revision, ha1 } = unpack(bytes)?;
    let ha1 = read_hashes(&vault.open(&ha1)?).ok_or(VaultError::Unopenable)?;
    Ok(Credential { realm, username, device, revision, ha1 })
}

fn read_hashes(digits: &Secret) -> Option<Ha1> {
    let digits = digits.expose().as_bytes();
    let mut bytes = [0; HA1_BYTES];
    if digits.len() != HA1_BYTES * 2 {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    let ha1 = Ha1::from_bytes(&bytes);
    bytes.zeroize();
    Some(ha1)
}

fn push_hex(bytes: &[u8], to: &mut String) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(to, "{byte:02x}");
    }
}

fn pack<T: Serialize>(record: &T) -> Result<Vec<u8>, BadCredentialRecord> {
    postcard::to_extend(record, vec![VERSION]).map_err(BadCredentialRecord::Malformed)
}

fn unpack<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, BadCredentialRecord> {
    match bytes.split_first() {
        Some((&VERSION, payload)) => postcard::from_bytes(payload).map_err(BadCredentialRecord::Malformed),
        Some((&version, _)) if version > VERSION => Err(BadCredentialRecord::Newer(version)),
        _ => Err(BadCredentialRecord::Malformed(postcard::Error::DeserializeBadEncoding)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secret::KEY_LEN;

    fn vault() -> Vault {
        Vault::new(&[1; KEY_LEN]).unwrap()
    }

    #[test]
    fn a_record_shows_no_hash() {
        let (realm, username) = ("phones.example".parse().unwrap(), "100".parse().unwrap());
        let ha1 = Ha1::of("100", "phones.example", &Secret::new("1234")).unwrap();
        let credential = Credential { realm, username, device: None, revision: 3, ha1 };
        let bytes = encode_credential(&credential, &vault()).unwrap();
        let hashes = credential.ha1.to_bytes();
        assert!(hashes.chunks(8).all(|part| !bytes.windows(8).any(|window| window == part)));
        assert_eq!(decode_credential(&bytes, &vault()).unwrap(), credential);
        let other = Vault::new(&[2; KEY_LEN]).unwrap();
        assert_eq!(
            decode_credential(&bytes, &other),
            Err(BadCredentialRecord::Vault(VaultError::Unopenable))
        );
    }

    #[test]
    fn other_sealed_texts_are_no_hashes() {
        for text in ["", "00", &"g".repeat(96), &"0".repeat(95), &"0".repeat(97), &"ä".repeat(48)] {
            assert!(read_hashes(&Secret::new(text)).is_none(), "{text}");
        }
        assert!(read_hashes(&Secret::new("0".repeat(96))).is_some());
    }

    proptest! {
        #[test]
        fn keys_fit_and_tell_all_names_apart(
            one in ("[a%/ ]{0,126}x", "[a%/ ]{0,126}x"),
            other in ("[a%/ ]{0,126}x", "[a%/ ]{0,126}x"),
        ) {
            let key = |(realm, username): &(String, String)| {
                let trimmed = |text: &String| text.trim().to_owned();
                credential_key(&trimmed(realm).parse().unwrap(), &trimmed(username).parse().unwrap())
            };
            let same = one.0.trim() == other.0.trim() && one.1.trim() == other.1.trim();
            prop_assert!(key(&one).len() <= MAX_KEY_BYTES);
            prop_assert_eq!(key(&one) == key(&other), same);
        }

        #[test]
        fn garbage_is_no_record(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let with_version: Vec<u8> = [VERSION].into_iter().chain(bytes.iter().copied()).collect();
            prop_assert!(decode_credential(&with_version, &vault()).is_err());
            // A realm may come out by chance; then it is one.
            if let Ok(realm) = decode_realm(&with_version) {
                prop_assert_eq!(decode_realm(&encode_realm(&realm).unwrap()), Ok(realm));
            }
        }
    }
}
