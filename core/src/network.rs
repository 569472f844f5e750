//! Networks of IP addresses.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A network in the notation of RFC 4632, section 3.1, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

/// A text that names no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadNetwork {
    /// What stands before the slash is no address.
    #[error("no IP address")]
    Address,
    /// What stands behind the slash is no length of a prefix.
    #[error("the prefix must be a number of at most {0}")]
    Prefix(u32),
    /// The address has ones behind its prefix, so one of both is not meant.
    #[error("the address has bits set behind its prefix")]
    HostBits,
}

impl Network {
    /// Whether the address belongs to it. IPv4 addresses in their IPv6 form are IPv4 addresses.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let (own, other) = (own.to_ipv6_mapped(), other.to_ipv6_mapped());
                shares(own, other, self.prefix + 96)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => shares(own, other, self.prefix),
            _ => false,
        }
    }

    /// Its first and its last address.
    #[must_use]
    pub fn bounds(&self) -> (IpAddr, IpAddr) {
        match self.address {
            IpAddr::V4(v4) => {
                let host = u32::MAX.checked_shr(self.prefix).unwrap_or(0);
                (self.address, Ipv4Addr::from_bits(v4.to_bits() | host).into())
            }
            IpAddr::V6(v6) => (self.address, Ipv6Addr::from_bits(v6.to_bits() | !mask(self.prefix)).into()),
        }
    }
}

fn shares(one: Ipv6Addr, other: Ipv6Addr, prefix: u32) -> bool {
    (one.to_bits() ^ other.to_bits()) & mask(prefix) == 0
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| BadNetwork::Address)?;
        let (most, bits) = match address {
            IpAddr::V4(v4) => (32, u128::from(v4.to_bits()) << 96),
            IpAddr::V6(v6) => (128, v6.to_bits()),
        };
        let prefix = prefix.map_or(Some(most), |text| text.parse().ok().filter(|prefix| *prefix <= most));
        let prefix = prefix.ok_or(BadNetwork::Prefix(most))?;
        if bits & !mask(prefix) != 0 {
            return Err(BadNetwork::HostBits);
        }
        // IPv4 in its IPv6 form. A shorter prefix would have left bits of ::ffff:0:0/96 behind it.
        Ok(match address.to_canonical() {
            own @ IpAddr::V4(_) if address.is_ipv6() => Self { address: own, prefix: prefix - 96 },
            own => Self { address: own, prefix },
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Whom an address is counted with: itself, or the first address of its IPv6 network of `prefix` bits, of which whoever has one has all.
pub fn counted_as(address: IpAddr, prefix: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & mask(prefix)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// A number of 128 bits with this many leading ones.
#[must_use]
pub fn mask(prefix: u32) -> u128 {
    u128::MAX.checked_shl(128 - prefix.min(128)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        for (network, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.7", "::ffff:192.0.2.7", "192.0.2.6"),
            ("::ffff:192.0.2.0/120", "192.0.2.255", "192.0.3.0"),
            ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("::ffff:0:0/96", "203.0.113.9", "2001:db8::1"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.contains(ip(inside)) && !network.contains(ip(outside)), "{network}");
            assert_eq!(network.to_string().parse(), Ok(network));
        }
    }

    #[test]
    fn a_network_knows_its_ends() {
        for (network, first, last) in [
            ("192.0.2.0/24", "192.0.2.0", "192.0.2.255"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
            ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
            ("2001:db8::/126", "2001:db8::", "2001:db8::3"),
            ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            assert_eq!(network.parse::<Network>().unwrap().bounds(), (ip(first), ip(last)), "{network}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        let network = |text: &str| text.parse::<Network>();
        assert_eq!(network("proxy.example.net"), Err(BadNetwork::Address));
        assert_eq!(network(""), Err(BadNetwork::Address));
        assert_eq!(network("192.0.2.0/33"), Err(BadNetwork::Prefix(32)));
        assert_eq!(network("2001:db8::/x"), Err(BadNetwork::Prefix(128)));
        assert_eq!(network("::ffff:0:0/95"), Err(BadNetwork::HostBits));
        assert_eq!(network("192.0.2.1/24"), Err(BadNetwork::HostBits));
        assert_eq!(network("2001:db8::1/64"), Err(BadNetwork::HostBits));
    }
}
