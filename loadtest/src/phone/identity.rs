//! Who a phone is: everything follows from the seed and the phone's number.

use super::profile::MODELS;

/// Most phones of one run: every MAC address of the vendor's prefix.
pub(crate) const MAX_PHONES: u32 = 1 << 24;

const MASK: u32 = MAX_PHONES - 1;
/// Spreads neighbouring numbers over the address range. Odd, hence invertible modulo 2^24.
const STRIDE: u32 = 0x009E_3779;

/// The individual values of one phone as text, each of a width that is the same for all phones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Index in [`MODELS`].
    pub(crate) model: usize,
    /// `00:1A:E8:…`, as phones write it.
    pub(crate) mac: [u8; 17],
    /// `001ae8…`.
    pub(crate) mac_plain: [u8; 12],
    /// Twelve digits.
    pub(crate) e164: [u8; 12],
    /// `127.1xx.1xx.1xx`: an address of its own where the load test can listen for contact-me, for a million phones.
    /// Behind NAT `192.168.1xx.1xx`.
    pub(crate) ip: [u8; 15],
}

/// All phones of one seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fleet {
    offset: u32,
    seed: u64,
    /// Phones from this number on are behind NAT.
    nat_from: u32,
}

impl Fleet {
    pub(crate) fn new(seed: u64) -> Self {
        #[allow(clippy::cast_possible_truncation)] // 24 bits are meant
        let offset = mix(seed) as u32 & MASK;
        Self { offset, seed, nat_from: u32::MAX }
    }

    /// The same phones; those from `number` on are behind NAT: the address that they name is good for nothing outside.
    pub(crate) fn behind_nat_from(self, number: u32) -> Self {
        Self { nat_from: number, ..self }
    }

    /// The phone of that number (below [`MAX_PHONES`]).
    pub(crate) fn identity(self, number: u32) -> Identity {
        let low = number.wrapping_mul(STRIDE).wrapping_add(self.offset) & MASK;
        let [_, a, b, c] = low.to_be_bytes();
        let octets = [0x00, 0x1A, 0xE8, a, b, c];
        let mut mac = [b':'; 17];
        let mut mac_plain = [0; 12];
        for (i, octet) in octets.into_iter().enumerate() {
            let [high, low] = [octet >> 4, octet & 15].map(usize::from);
            mac[i * 3] = b"0123456789ABCDEF"[high];
            mac[i * 3 + 1] = b"0123456789ABCDEF"[low];
            mac_plain[i * 2] = b"0123456789abcdef"[high];
            mac_plain[i * 2 + 1] = b"0123456789abcdef"[low];
        }
        let mut e164 = *b"498900000000";
        put_digits(&mut e164[4..], number);
        let mut ip = *b"192.168.1xx.1xx";
        if number < self.nat_from {
            ip = *b"127.1xx.1xx.1xx";
            put_digits(&mut ip[5..7], number / 10_000);
        }
        put_digits(&mut ip[9..11], number / 100);
        put_digits(&mut ip[13..15], number);
        #[allow(clippy::cast_possible_truncation)] // a remainder of the model count
        let model = (mix(self.seed ^ u64::from(number)) % MODELS.len() as u64) as usize;
        Identity { model, mac, mac_plain, e164, ip }
    }

    /// The number of the phone that registered as `id` (`00:1a:e8:…`), if it is one of this fleet's prefix.
    pub(crate) fn number(self, id: &str) -> Option<u32> {
        let mut octets = id.split(':').map(|part| u8::from_str_radix(part, 16));
        let mut next = || octets.next()?.ok();
        let vendor = [next()?, next()?, next()?];
        let low = u32::from_be_bytes([0, next()?, next()?, next()?]);
        if vendor != [0x00, 0x1A, 0xE8] {
            return None;
        }
        Some(low.wrapping_sub(self.offset).wrapping_mul(inverse(STRIDE)) & MASK)
    }
}

impl Identity {
    /// The id under which the service must know the phone: its MAC address in lower case.
    pub(crate) fn device_id(&self) -> String {
        String::from_utf8_lossy(&self.mac).to_ascii_lowercase()
    }
}

/// Write the last decimal digits of `value`, as many as there is room for.
pub(crate) fn put_digits(out: &mut [u8], mut value: u32) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789"[(value % 10) as usize];
        value /= 10;
    }
}

/// Newton's iteration for the inverse of an odd number modulo 2^32.
const fn inverse(odd: u32) -> u32 {
    let mut x = odd;
    let mut round = 0;
    while round < 4 {
        x = x.wrapping_mul(2u32.wrapping_sub(odd.wrapping_mul(x)));
        round += 1;
    }
    x
}

/// The finishing step of splitmix64: a bijection that looks random.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_same_seed_and_number_give_the_same_phone() {
        assert_eq!(Fleet::new(7).identity(123), Fleet::new(7).identity(123));
        assert_ne!(Fleet::new(7).identity(123).mac, Fleet::new(8).identity(123).mac);
        assert_ne!(Fleet::new(7).identity(123), Fleet::new(7).identity(124));
    }

    #[test]
    fn identities_are_distinct_and_found_again_by_their_id() {
        let fleet = Fleet::new(42);
        let mut seen = HashSet::new();
        for number in (0..20_000).chain(MAX_PHONES - 1000..MAX_PHONES) {
            let identity = fleet.identity(number);
            assert_eq!(fleet.number(&identity.device_id()), Some(number));
            assert!(seen.insert((identity.mac, identity.e164)));
        }
        assert_eq!(fleet.number("00:01:e3:00:00:01"), None);
        assert_eq!(fleet.number("soft-client"), None);
    }

    #[test]
    fn values_have_their_form() {
        let identity = Fleet::new(1).identity(1_234_567);
        assert_eq!(&identity.e164, b"498901234567");
        assert_eq!(&identity.ip, b"127.123.145.167");
        assert!(identity.mac.starts_with(b"00:1A:E8:"));
        assert!(identity.mac_plain.starts_with(b"001ae8"));
    }

    #[test]
    fn phones_behind_nat_name_a_private_address() {
        let fleet = Fleet::new(1).behind_nat_from(20);
        assert_eq!(&fleet.identity(19).ip, b"127.100.100.119");
        assert_eq!(&fleet.identity(20).ip, b"192.168.100.120");
        assert_eq!(fleet.identity(20).mac, Fleet::new(1).identity(20).mac);
    }

    #[test]
    fn every_model_occurs() {
        let fleet = Fleet::new(3);
        let seen: HashSet<_> = (0..1000).map(|n| fleet.identity(n).model).collect();
        assert_eq!(seen.len(), MODELS.len());
    }
}
