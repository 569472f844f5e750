//! Nonces that need no memory until they are used.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use foldhash::quality::FixedState;
use std::hash::BuildHasher as _;
use zeroize::Zeroizing;

use crate::site::Origin;
use crate::time::{Random, Timestamp};

/// Characters of a nonce.
pub const NONCE_CHARS: usize = 56;

const TIME_BYTES: usize = 6;
const NUMBER_BYTES: usize = 8;
const PLACE_BYTES: usize = 16;
const MAC_BYTES: usize = 12;
const SAID_BYTES: usize = TIME_BYTES + NUMBER_BYTES + PLACE_BYTES;
const NONCE_BYTES: usize = SAID_BYTES + MAC_BYTES;
/// Longest realm that goes into the code, in bytes.
const MAX_REALM_BYTES: usize = 128;

/// The text of a nonce: letters, digits, `-` and `_`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce([u8; NONCE_CHARS]);

impl Nonce {
    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a request comes from, as far as nonces and failures tell places apart: an IPv4 address or an IPv6 network of 64 bits,
/// in which a phone changes its address by itself, at a site or at none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    network: u64,
    site: u64,
}

impl Place {
    pub(super) fn of(origin: Origin) -> Self {
        let network = match origin.address.to_canonical() {
            // Apart from all IPv6 networks: none begins with 0000:ffff.
            IpAddr::V4(v4) => 0x0000_ffff_0000_0000 | u64::from(v4.to_bits()),
            #[allow(clippy::cast_possible_truncation)] // the upper half is meant
            IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
        };
        // Sites are few and name themselves: they need to be told apart, not to be kept from lying.
        let site = origin.site.map_or(0, |site| FixedState::default().hash_one(site));
        Self { network, site }
    }

    fn to_bytes(self) -> [u8; PLACE_BYTES] {
        (u128::from(self.network) << 64 | u128::from(self.site)).to_be_bytes()
    }
}

/// What became of a nonce that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returned {
    /// It is ours and still good. It is the one of this number.
    Good(u64),
    /// It was ours, or may have been before a restart; the phone gets another one and tries again by itself.
    Stale,
    /// Nobody here made it.
    Unknown,
}

/// Makes nonces and knows them again.
///
/// A nonce says when it was made, its number and for which place, and a code that only this server can make over that and the
/// realm. The key of the code is made at the start: what was handed out before a restart cannot be proven any more. Whatever has
/// the form and a time before the start is then taken for stale, not for unknown, so that phones try again without asking
/// their users.
pub(super) struct Mint {
    key: hmac::Key,
    started: Timestamp,
    lifetime: Duration,
    /// Number of the next nonce. They rise whatever the clock does.
    next: AtomicU64,
}

impl fmt::Debug for Mint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mint(…)")
    }
}

impl Mint {
    pub(super) fn new(random: &dyn Random, lifetime: Duration, now: Timestamp) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        for half in key.chunks_exact_mut(16) {
            half.copy_from_slice(&random.next_u128().to_le_bytes());
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_ref());
        Self { key, started: now, lifetime, next: AtomicU64::new(0) }
    }

    /// A nonce for this realm and place.
    pub(super) fn issue(&self, realm: &str, place: Place, now: Timestamp) -> Nonce {
        let mut bytes = [0; NONCE_BYTES];
        let (said, code) = bytes.split_at_mut(SAID_BYTES);
        let (time, rest) = said.split_at_mut(TIME_BYTES);
        let (number, where_to) = rest.split_at_mut(NUMBER_BYTES);
        // The lower six bytes last until the year 10889.
        time.copy_from_slice(now.as_millis().to_be_bytes().split_at(8 - TIME_BYTES).1);
        number.copy_from_slice(&self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        where_to.copy_from_slice(&place.to_bytes());
        code.copy_from_slice(&self.code(said, realm));
        let mut text = [b'A'; NONCE_CHARS];
        // Exactly as many characters as it takes: it cannot fail.
        let written = URL_SAFE_NO_PAD.encode_slice(bytes, &mut text);
        debug_assert_eq!(written, Ok(NONCE_CHARS));
        Nonce(text)
    }

    /// Judge a nonce that came back.
    pub(super) fn judge(&self, text: &str, realm: &str, place: Place, now: Timestamp) -> Returned {
        let mut bytes = [0; NONCE_BYTES];
        if text.len() != NONCE_CHARS || URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) != Ok(NONCE_BYTES) {
            return Returned::Unknown;
        }
        let (said, code) = bytes.split_at(SAID_BYTES);
        let (time, rest) = said.split_at(TIME_BYTES);
        let (number, made_for) = rest.split_at(NUMBER_BYTES);
        let made = Timestamp::from_millis(big_endian(time));
        if verify_slices_are_equal(&self.code(said, realm), code).is_err() {
            return if made < self.started { Returned::Stale } else { Returned::Unknown };
        }
        // Not older than it may be. One from the future is ours too: the clock was set back.
        if now.since(made) > self.lifetime || made_for != place.to_bytes() {
            return Returned::Stale;
        }
        Returned::Good(big_endian(number))
    }

    /// The code over what a nonce says and the realm.
    fn code(&self, said: &[u8], realm: &str) -> [u8; MAC_BYTES] {
        let mut text = [0; SAID_BYTES + MAX_REALM_BYTES];
        let realm = realm.as_bytes().iter().take(MAX_REALM_BYTES);
        let mut len = 0;
        for (to, from) in text.iter_mut().zip(said.iter().chain(realm)) {
            *to = *from;
            len += 1;
        }
        let tag = hmac::sign(&self.key, text.get(..len).unwrap_or_default());
        tag.as_ref().first_chunk().copied().unwrap_or_default()
    }
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
