//! Authentication codes of messages (RFC 3414, sections 6.3 and 7.3; RFC 7860, section 4.2).

use std::ops::Range;

use hmac::digest::Key as Block;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use zeroize::Zeroize as _;

use super::key::Key;
use crate::snmp::protocol::AuthProtocol;

/// What stands in the place of the code while it is computed.
const ZEROS: [u8; 48] = [0; 48];

/// Computes codes with one key. The key is hashed already: a message costs no more than its own bytes.
pub(super) enum Coder {
    Md5(Hmac<Md5>),
    Sha1(Hmac<Sha1>),
    Sha224(Hmac<Sha224>),
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
}

impl Coder {
    pub(super) fn new(protocol: AuthProtocol, key: &Key) -> Self {
        match protocol {
            AuthProtocol::Md5 => Self::Md5(keyed(key)),
            AuthProtocol::Sha1 => Self::Sha1(keyed(key)),
            AuthProtocol::Sha224 => Self::Sha224(keyed(key)),
            AuthProtocol::Sha256 => Self::Sha256(keyed(key)),
            AuthProtocol::Sha384 => Self::Sha384(keyed(key)),
            AuthProtocol::Sha512 => Self::Sha512(keyed(key)),
        }
    }

    const fn protocol(&self) -> AuthProtocol {
        match self {
            Self::Md5(_) => AuthProtocol::Md5,
            Self::Sha1(_) => AuthProtocol::Sha1,
            Self::Sha224(_) => AuthProtocol::Sha224,
            Self::Sha256(_) => AuthProtocol::Sha256,
            Self::Sha384(_) => AuthProtocol::Sha384,
            Self::Sha512(_) => AuthProtocol::Sha512,
        }
    }

    /// Whether the code in the message is right. A code of another length than the protocol's is wrong.
    pub(super) fn verify(&self, message: &[u8], code_at: Range<usize>) -> bool {
        let Some((parts, code)) = self.split(message, code_at) else { return false };
        match self {
            Self::Md5(mac) => fed(mac, parts).verify_truncated_left(code),
            Self::Sha1(mac) => fed(mac, parts).verify_truncated_left(code),
            Self::Sha224(mac) => fed(mac, parts).verify_truncated_left(code),
            Self::Sha256(mac) => fed(mac, parts).verify_truncated_left(code),
            Self::Sha384(mac) => fed(mac, parts).verify_truncated_left(code),
            Self::Sha512(mac) => fed(mac, parts).verify_truncated_left(code),
        }
        .is_ok()
    }

    /// Write the code into the message. `None` if it cannot have its place there.
    pub(super) fn sign(&self, message: &mut [u8], code_at: Range<usize>) -> Option<()> {
        let (parts, _) = self.split(message, code_at.clone())?;
        let code = match self {
            Self::Md5(mac) => Key::of(&fed(mac, parts).finalize().into_bytes()),
            Self::Sha1(mac) => Key::of(&fed(mac, parts).finalize().into_bytes()),
            Self::Sha224(mac) => Key::of(&fed(mac, parts).finalize().into_bytes()),
            Self::Sha256(mac) => Key::of(&fed(mac, parts).finalize().into_bytes()),
            Self::Sha384(mac) => Key::of(&fed(mac, parts).finalize().into_bytes()),
            Self::Sha512(mac) => Key::of(&fed(mac, parts).finalize().into_bytes()),
        };
        let place = message.get_mut(code_at)?;
        place.copy_from_slice(code.as_bytes().get(..place.len())?);
        Some(())
    }

    /// What the code is computed over, and the code that is there now.
    fn split<'a>(&self, message: &'a [u8], code_at: Range<usize>) -> Option<([&'a [u8]; 3], &'a [u8])> {
        let (before, after) = (message.get(..code_at.start)?, message.get(code_at.end..)?);
        let code = message.get(code_at)?;
        let zeros = ZEROS.get(..self.protocol().code_bytes())?;
        (code.len() == zeros.len()).then_some(([before, zeros, after], code))
    }
}

/// A key that is shorter than a block of its hash is taken with zeros behind it (RFC 2104, section 2), and all of ours are.
fn keyed<M: KeyInit>(key: &Key) -> M {
    let mut block = Block::<M>::default();
    for (to, from) in block.iter_mut().zip(key.as_bytes()) {
        *to = *from;
    }
    let mac = M::new(&block);
    block.as_mut_slice().zeroize();
    mac
}

fn fed<M: Mac + Clone>(mac: &M, parts: [&[u8]; 3]) -> M {
    let mut mac = mac.clone();
    for part in parts {
        mac.update(part);
    }
    mac
}
