//! Whom connections and requests are charged to.

use std::net::IpAddr;

use callboard_core::network::mask;
pub use callboard_core::network::{BadNetwork, Network};
use callboard_core::site::{Origin, SiteId};

/// An IPv4 address, or an IPv6 network: who has one address of a network has them all (RFC 4291, section 2.5.4). Those that the
/// edge of a site names are others: branches use the same private networks, and no edge uses up what others have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source {
    network: u128,
    site: Option<SiteId>,
}

impl Source {
    /// The source of what comes from there, when `ipv6_prefix` leading bits tell IPv6 networks apart.
    #[must_use]
    pub fn of(Origin { site, address }: Origin, ipv6_prefix: u32) -> Self {
        let network = match address.to_canonical() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
            IpAddr::V6(v6) => v6.to_bits() & mask(ipv6_prefix),
        };
        Self { network, site }
    }

    /// The same if it has bounds: nothing in an exempt network has, unless it is an edge that says so of its phones.
    #[must_use]
    pub fn bounded(origin: Origin, ipv6_prefix: u32, exempt: &[Network]) -> Option<Self> {
        let is_exempt = || exempt.iter().any(|network| network.contains(origin.address));
        (origin.site.is_some() || !is_exempt()).then(|| Self::of(origin, ipv6_prefix))
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
        let of = |text: &str, prefix| Source::of(Origin { site: None, address: ip(text) }, prefix);
        let source = |text: &str| of(text, 64);
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.2"), source("192.0.2.1"));
        assert_eq!(source("2001:db8:0:1::1"), source("2001:db8:0:1:ffff::2"));
        assert_ne!(source("2001:db8:0:1::1"), source("2001:db8:0:2::1"));
        assert_eq!(of("2001:db8:0:1::1", 48), of("2001:db8:0:2::1", 48));
        assert_ne!(of("2001:db8::1", 128), of("2001:db8::2", 128));
    }

    #[test]
    fn sites_have_sources_of_their_own_and_no_exempt_ones() {
        let exempt = ["192.0.2.0/24".parse().unwrap()];
        let bounded = |site: Option<u64>, address| {
            let origin = Origin { site: site.map(SiteId::from_u64), address: ip(address) };
            Source::bounded(origin, 64, &exempt)
        };
        assert_eq!(bounded(None, "192.0.2.1"), None);
        assert!(bounded(None, "198.51.100.1").is_some() && bounded(Some(1), "192.0.2.1").is_some());
        assert_ne!(bounded(Some(1), "192.0.2.1"), bounded(Some(2), "192.0.2.1"));
        assert_ne!(bounded(Some(1), "198.51.100.1"), bounded(None, "198.51.100.1"));
    }
}
