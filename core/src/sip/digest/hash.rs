//! Hashes of texts that are joined by colons, without the heap: a registrar computes three per request.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use md5::{Digest as _, Md5};
use zeroize::Zeroize as _;

use super::algorithm::{Algorithm, Scheme};
use crate::secret::Secret;

/// Longest password, in bytes.
pub const MAX_PASSWORD_BYTES: usize = 256;

/// Room for the longest text that is hashed: a request URI at its bound, or an answer with all fields at theirs.
const ROOM: usize = 1_152;

/// A text is longer than a digest is computed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {ROOM} bytes in one hash")]
pub struct TooLong;

/// A text on the stack, wiped when it goes.
struct Joined {
    bytes: [u8; ROOM],
    len: usize,
}

impl Joined {
    fn of(parts: &[&[u8]]) -> Result<Self, TooLong> {
        let mut joined = Self { bytes: [0; ROOM], len: 0 };
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                joined.push(b":")?;
            }
            joined.push(part)?;
        }
        Ok(joined)
    }

    fn push(&mut self, part: &[u8]) -> Result<(), TooLong> {
        let end = self.len + part.len();
        self.bytes.get_mut(self.len..end).ok_or(TooLong)?.copy_from_slice(part);
        self.len = end;
        Ok(())
    }

    fn text(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        if let Some(used) = self.bytes.get_mut(..self.len) {
            used.zeroize();
        }
    }
}

/// A hash as lower-case hexadecimal digits: 32 or 64 of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hex {
    digits: [u8; 64],
    len: usize,
}

impl Hex {
    fn of(hash: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = Self { digits: [0; 64], len: 0 };
        for (pair, byte) in hex.digits.chunks_exact_mut(2).zip(hash) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            hex.len += 2;
        }
        hex
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.digits.get(..self.len).unwrap_or_default()
    }

    /// Whether these are the digits of `text`, in any letter case. Takes the same time wherever they differ.
    pub(super) fn is(&self, text: &str) -> bool {
        if text.len() != self.len {
            return false;
        }
        let mut other = [0; 64];
        for (to, from) in other.iter_mut().zip(text.bytes()) {
            *to = from.to_ascii_lowercase();
        }
        let other = other.get(..self.len).unwrap_or_default();
        verify_slices_are_equal(self.as_bytes(), other).is_ok()
    }
}

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hex(…)")
    }
}

/// The hash of `parts` with colons between them.
pub(super) fn hash(algorithm: Algorithm, parts: &[&[u8]]) -> Result<Hex, TooLong> {
    let joined = Joined::of(parts)?;
    Ok(match algorithm {
        Algorithm::Md5 => Hex::of(&Md5::digest(joined.text())),
        Algorithm::Sha256 => Hex::of(digest(&SHA256, joined.text()).as_ref()),
    })
}

/// What is kept of a password: the hash of `username:realm:password` by each algorithm (RFC 7616, section 3.4.2).
///
/// It opens its realm like the password itself. It shows nothing when printed, and its memory is wiped.
#[derive(Clone, PartialEq, Eq)]
pub struct Ha1 {
    md5: [u8; 16],
    sha256: [u8; 32],
}

/// Bytes of an [`Ha1`].
pub(crate) const HA1_BYTES: usize = 48;

impl Ha1 {
    /// Of a password, which has at most [`MAX_PASSWORD_BYTES`].
    pub fn of(username: &str, realm: &str, password: &Secret) -> Result<Self, TooLong> {
        if password.expose().len() > MAX_PASSWORD_BYTES {
            return Err(TooLong);
        }
        let joined = Joined::of(&[username.as_bytes(), realm.as_bytes(), password.expose().as_bytes()])?;
        let mut ha1 = Self { md5: Md5::digest(joined.text()).into(), sha256: [0; 32] };
        ha1.sha256.copy_from_slice(digest(&SHA256, joined.text()).as_ref());
        Ok(ha1)
    }

    /// From bytes that [`Ha1::to_bytes`] gave, or that are random, for somebody who does not exist.
    pub(crate) fn from_bytes(bytes: &[u8; HA1_BYTES]) -> Self {
        let mut ha1 = Self { md5: [0; 16], sha256: [0; 32] };
        let (md5, sha256) = bytes.split_at(ha1.md5.len());
        ha1.md5.copy_from_slice(md5);
        ha1.sha256.copy_from_slice(sha256);
        ha1
    }

    /// The hashes in a row. The caller wipes them.
    pub(crate) fn to_bytes(&self) -> [u8; HA1_BYTES] {
        let mut bytes = [0; HA1_BYTES];
        let (md5, sha256) = bytes.split_at_mut(self.md5.len());
        md5.copy_from_slice(&self.md5);
        sha256.copy_from_slice(&self.sha256);
        bytes
    }

    fn hex(&self, algorithm: Algorithm) -> Hex {
        match algorithm {
            Algorithm::Md5 => Hex::of(&self.md5),
            Algorithm::Sha256 => Hex::of(&self.sha256),
        }
    }
}

impl Drop for Ha1 {
    fn drop(&mut self) {
        self.md5.zeroize();
        self.sha256.zeroize();
    }
}

impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ha1(…)")
    }
}

/// What a response is computed over, besides the password.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    pub(super) scheme: Scheme,
    pub(super) method: &'a str,
    /// The parameter `uri`.
    pub(super) uri: &'a str,
    pub(super) nonce: &'a str,
    /// Needed with `nc` and for `-sess`; else empty.
    pub(super) cnonce: &'a str,
    /// The parameter `nc` as it is written; only with it `qop` is `auth`.
    pub(super) nc: Option<&'a str>,
}

/// The `response` (RFC 7616, section 3.4.1; without `qop`, RFC 2617, section 3.2.2.1).
pub(super) fn response(ha1: &Ha1, parts: &Parts<'_>) -> Result<Hex, TooLong> {
    let algorithm = parts.scheme.algorithm;
    let [nonce, cnonce] = [parts.nonce.as_bytes(), parts.cnonce.as_bytes()];
    let mut key = ha1.hex(algorithm);
    if parts.scheme.session {
        key = hash(algorithm, &[key.as_bytes(), nonce, cnonce])?;
    }
    let request = hash(algorithm, &[parts.method.as_bytes(), parts.uri.as_bytes()])?;
    match parts.nc {
        Some(nc) => {
            hash(algorithm, &[key.as_bytes(), nonce, nc.as_bytes(), cnonce, b"auth", request.as_bytes()])
        }
        None => hash(algorithm, &[key.as_bytes(), nonce, request.as_bytes()]),
    }
}
