//! Whom connections and requests are charged to.

use std::net::IpAddr;

use callboard_core::network::mask;
pub use callboard_core::network::{BadNetwork, Network};

/// An IPv4 address, or an IPv6 network: who has one address of a network has them all (RFC 4291, section 2.5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source(u128);

impl Source {
    /// The source of this address, when `ipv6_prefix` leading bits tell IPv6 networks apart.
    #[must_use]
    pub fn of(address: IpAddr, ipv6_prefix: u32) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(v4.to_ipv6_mapped().to_bits()),
            IpAddr::V6(v6) => Self(v6.to_bits() & mask(ipv6_prefix)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn sources_are_addresses_or_networks() {
        let source = |text: &str| Source::of(ip(text), 64);
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.2"), source("192.0.2.1"));
        assert_eq!(source("2001:db8:0:1::1"), source("2001:db8:0:1:ffff::2"));
        assert_ne!(source("2001:db8:0:1::1"), source("2001:db8:0:2::1"));
        assert_eq!(Source::of(ip("2001:db8:0:1::1"), 48), Source::of(ip("2001:db8:0:2::1"), 48));
        assert_ne!(Source::of(ip("2001:db8::1"), 128), Source::of(ip("2001:db8::2"), 128));
    }
}
