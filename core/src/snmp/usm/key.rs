//! From a password to the key that is used at one engine (RFC 3414, section 2.6 and appendix A.2).

use std::iter;

use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use zeroize::{Zeroize as _, Zeroizing};

use crate::snmp::protocol::{AuthProtocol, PrivProtocol};

/// Bytes of the longest key, which is that of SHA-512. Two keys of SHA-224 in a row fit as well.
pub(super) const MAX_KEY_BYTES: usize = 64;

/// Bytes that are hashed for a password: the password over and over (RFC 3414, appendix A.2).
const EXPANDED_BYTES: usize = 1 << 20;

/// Bytes that are handed to the hash at a time, at least: few enough to stay in the processor's cache.
const PIECE_BYTES: usize = 4_096;

/// A key, which is what a hash yields, or several of them in a row. Its memory is wiped.
#[derive(Clone)]
pub(super) struct Key {
    bytes: Zeroizing<[u8; MAX_KEY_BYTES]>,
    len: usize,
}

impl Key {
    /// A key of these bytes, of the first [`MAX_KEY_BYTES`] of them.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut key = Self { bytes: Zeroizing::new([0; MAX_KEY_BYTES]), len: 0 };
        key.append(bytes);
        key
    }

    fn append(&mut self, bytes: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(self.len).zip(bytes) {
            *to = *from;
            self.len += 1;
        }
    }

    /// The bytes.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// `N` bytes from one on, which are zeros where the key is shorter.
    pub(super) fn part<const N: usize>(&self, from: usize) -> Zeroizing<[u8; N]> {
        let mut part = Zeroizing::new([0; N]);
        for (to, from) in part.iter_mut().zip(self.as_bytes().iter().skip(from)) {
            *to = *from;
        }
        part
    }
}

/// The keys of a user, for all engines or for one. There is none for privacy without one for authentication.
#[derive(Clone)]
pub(super) struct KeySet {
    pub(super) protocol: AuthProtocol,
    pub(super) key: Key,
    pub(super) privacy: Option<(PrivProtocol, Key)>,
}

impl KeySet {
    /// The keys at an engine. That of privacy comes from the hash of authentication too (RFC 3414, section 2.6).
    pub(super) fn localise(&self, engine_id: &[u8]) -> Self {
        let local = |key| localise(self.protocol, key, engine_id);
        let privacy = self.privacy.as_ref().map(|(privacy, key)| (*privacy, local(key)));
        Self { protocol: self.protocol, key: local(&self.key), privacy }
    }
}

/// The key of a user, Ku: a MiB is hashed for it.
pub(super) fn of_password(hash: AuthProtocol, password: &[u8]) -> Key {
    let times = PIECE_BYTES.div_ceil(password.len().max(1));
    let piece = Zeroizing::new(password.repeat(times));
    let whole = EXPANDED_BYTES.checked_div(piece.len()).unwrap_or(0);
    let rest = piece.get(..EXPANDED_BYTES - whole * piece.len()).unwrap_or_default();
    digest(hash, iter::repeat_n(&**piece, whole).chain([rest]))
}

/// The key of a user at an engine, Kul (RFC 3414, section 2.6).
fn localise(hash: AuthProtocol, key: &Key, engine_id: &[u8]) -> Key {
    digest(hash, [key.as_bytes(), engine_id, key.as_bytes()].into_iter())
}

/// The key of a cipher: the localised key, lengthened where it is too short for it. The second way of lengthening hashes a MiB.
pub(super) fn lengthen(hash: AuthProtocol, privacy: PrivProtocol, localised: &Key, engine_id: &[u8]) -> Key {
    let mut key = localised.clone();
    let mut piece = localised.clone();
    while key.len < privacy.key_bytes() {
        piece = match privacy {
            // draft-reeder-snmpv3-usm-3desede: each piece is the password of the next.
            PrivProtocol::Aes192Reeder | PrivProtocol::Aes256Reeder => {
                localise(hash, &of_password(hash, piece.as_bytes()), engine_id)
            }
            // draft-blumenthal-aes-usm: each piece is the hash of all before it.
            PrivProtocol::Des | PrivProtocol::Aes128 | PrivProtocol::Aes192 | PrivProtocol::Aes256 => {
                digest(hash, iter::once(key.as_bytes()))
            }
        };
        key.append(piece.as_bytes());
    }
    key
}

fn digest<'a>(hash: AuthProtocol, parts: impl Iterator<Item = &'a [u8]>) -> Key {
    match hash {
        AuthProtocol::Md5 => digest_by::<Md5>(parts),
        AuthProtocol::Sha1 => digest_by::<Sha1>(parts),
        AuthProtocol::Sha224 => digest_by::<Sha224>(parts),
        AuthProtocol::Sha256 => digest_by::<Sha256>(parts),
        AuthProtocol::Sha384 => digest_by::<Sha384>(parts),
        AuthProtocol::Sha512 => digest_by::<Sha512>(parts),
    }
}

fn digest_by<'a, H: Digest>(parts: impl Iterator<Item = &'a [u8]>) -> Key {
    let mut hash = H::new();
    for part in parts {
        hash.update(part);
    }
    let mut out = hash.finalize();
    let key = Key::of(&out);
    out.as_mut_slice().zeroize();
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The engine of RFC 3414, appendix A.3.
    const ENGINE: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

    fn unhex(digits: &str) -> Vec<u8> {
        let digit = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        (0..digits.len()).step_by(2).map(digit).collect()
    }

    /// The key of `maplesyrup` at [`ENGINE`].
    fn maplesyrup(hash: AuthProtocol) -> Key {
        localise(hash, &of_password(hash, b"maplesyrup"), &ENGINE)
    }

    /// For MD5 and SHA-1 those of RFC 3414, appendix A.3; the others were computed by another program.
    #[test]
    fn keys_are_those_of_the_vectors() {
        for (hash, user, localised) in [
            (AuthProtocol::Md5, "9faf3283884e92834ebc9847d8edd963", "526f5eed9fcce26f8964c2930787d82b"),
            (
                AuthProtocol::Sha1,
                "9fb5cc0381497b3793528939ff788d5d79145211",
                "6695febc9288e36282235fc7151f128497b38f3f",
            ),
            (
                AuthProtocol::Sha224,
                "282a5867ee9aac639ad59df9572c7d3ac0fbc13a905b6df07dbbf00b",
                "0bd8827c6e29f8065e08e09237f177e410f69b90e1782be682075674",
            ),
            (
                AuthProtocol::Sha256,
                "ab51014d1e077f6017df2b12bee5f5aa72993177e9bb569c4dff5a4ca0b4afac",
                "8982e0e549e866db361a6b625d84cccc11162d453ee8ce3a6445c2d6776f0f8b",
            ),
            (
                AuthProtocol::Sha384,
                "e06eccdf2c68a06ed034723c9c26e0db3b669e1e2efed49150b55377a2e98f38\
                 3c86fb836857444654b287c93f51ff64",
                "3b298f16164a11184279d5432bf169e2d2a48307de02b3d3f7e2b4f36eb6f045\
                 5a53689a3937eea07319a633d2ccba78",
            ),
            (
                AuthProtocol::Sha512,
                "7e4396de5aadc77be853819b98c9406265b3a9c37cc3176569847a4e4f6fba63\
                 dd3a73d04924d31a63f95a601f9385af6be4ed1b37f87d040f7c6ed6f8d38a91",
                "22a5a36cedfcc085807a128d7bc6c2382167ad6c0dbc5fdff856740f3d84c099\
                 ad1ea87a8db096714d9788bd544047c9021e4229ce27e4c0a69250adfcffbb0b",
            ),
        ] {
            let key = of_password(hash, b"maplesyrup");
            assert_eq!(key.as_bytes(), unhex(user), "{hash:?}");
            assert_eq!(localise(hash, &key, &ENGINE).as_bytes(), unhex(localised), "{hash:?}");
        }
    }

    #[test]
    fn short_keys_are_lengthened_in_two_ways() {
        const MD5: &str = "526f5eed9fcce26f8964c2930787d82b";
        const SHA1: &str = "6695febc9288e36282235fc7151f128497b38f3f";
        for (hash, privacy, begin, rest) in [
            (AuthProtocol::Sha1, PrivProtocol::Aes192, SHA1, "505e07eb"),
            (AuthProtocol::Sha1, PrivProtocol::Aes192Reeder, SHA1, "9b8b6d78"),
            (AuthProtocol::Sha1, PrivProtocol::Aes256, SHA1, "505e07eb9af25568fa1f5dbe"),
            (AuthProtocol::Sha1, PrivProtocol::Aes256Reeder, SHA1, "9b8b6d78936ba6e7d19dfd9c"),
            (AuthProtocol::Md5, PrivProtocol::Aes256, MD5, "fa24a92467426c2f4b09192be10dfaec"),
            (AuthProtocol::Md5, PrivProtocol::Aes256Reeder, MD5, "79eff44a90650ee0a3a40abfac5acc12"),
        ] {
            let key = lengthen(hash, privacy, &maplesyrup(hash), &ENGINE);
            let expected = unhex(&[begin, rest].concat());
            assert_eq!(key.as_bytes().get(..privacy.key_bytes()), Some(&*expected), "{privacy:?}");
        }
    }

    #[test]
    fn a_key_that_is_long_enough_stays_as_it_is() {
        let key = maplesyrup(AuthProtocol::Sha256);
        for privacy in PrivProtocol::ALL {
            let long = lengthen(AuthProtocol::Sha256, privacy, &key, &ENGINE);
            assert_eq!(long.as_bytes(), key.as_bytes(), "{privacy:?}");
        }
    }

    #[test]
    fn a_password_may_be_longer_than_what_is_handed_over_at_a_time() {
        // 2^20 is no multiple of 5000: what is left over must be hashed too.
        let password = [b'a'; 5_000];
        let expected = digest(AuthProtocol::Sha1, iter::once(&*vec![b'a'; EXPANDED_BYTES]));
        assert_eq!(of_password(AuthProtocol::Sha1, &password).as_bytes(), expected.as_bytes());
    }
}
