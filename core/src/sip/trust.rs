//! Who need not answer a challenge: addresses of trusted networks, and phones that a certificate proves.

use std::net::IpAddr;

use crate::device::DeviceId;
use crate::network::Network;

/// Trusted networks there may be: all of them are looked at for a request.
pub const MAX_TRUSTED_NETWORKS: usize = 256;

/// What is trusted without a digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    networks: Box<[Network]>,
    certificates: bool,
}

/// More networks than [`MAX_TRUSTED_NETWORKS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at most {MAX_TRUSTED_NETWORKS} networks can be trusted, not {0}")]
pub struct TooManyNetworks(pub usize);

/// Whether a request must be authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    /// It may pass as it is.
    Trusted {
        /// The device that its certificate proves. `None` says that only the address is trusted: what device it is stays the
        /// sender's own word.
        device: Option<&'a DeviceId>,
    },
    /// It must answer a challenge.
    Asked,
}

impl Trust {
    /// Trust requests from `networks`, and with `certificates` those of phones whose TLS client certificate names a device.
    pub fn new(networks: Vec<Network>, certificates: bool) -> Result<Self, TooManyNetworks> {
        if networks.len() > MAX_TRUSTED_NETWORKS {
            return Err(TooManyNetworks(networks.len()));
        }
        Ok(Self { networks: networks.into(), certificates })
    }

    /// How a request stands that came from `source` over a connection whose client certificate proves `certificate`.
    ///
    /// The caller has verified the certificate. `source` is an address that the sender cannot choose: over UDP a network is to
    /// be trusted only if nobody outside can send in its name, and an address that an edge named is one of its site's network.
    pub fn of<'a>(&self, source: IpAddr, certificate: Option<&'a DeviceId>) -> Standing<'a> {
        match certificate {
            Some(device) if self.certificates => Standing::Trusted { device: Some(device) },
            _ if self.networks.iter().any(|network| network.contains(source)) => {
                Standing::Trusted { device: None }
            }
            _ => Standing::Asked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(networks: &[&str], certificates: bool) -> Trust {
        Trust::new(networks.iter().map(|network| network.parse().unwrap()).collect(), certificates).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn nobody_is_trusted_unless_told() {
        let phone = "00:1a:e8:0a:0b:0c".parse().unwrap();
        assert_eq!(Trust::default().of(ip("127.0.0.1"), Some(&phone)), Standing::Asked);
    }

    #[test]
    fn networks_are_trusted_in_both_spellings_of_their_addresses() {
        let trust = trust(&["192.0.2.0/24", "2001:db8::/32"], false);
        for inside in ["192.0.2.9", "::ffff:192.0.2.9", "2001:db8:1::2"] {
            assert_eq!(trust.of(ip(inside), None), Standing::Trusted { device: None }, "{inside}");
        }
        for outside in ["192.0.3.9", "2001:db9::1"] {
            assert_eq!(trust.of(ip(outside), None), Standing::Asked, "{outside}");
        }
    }

    #[test]
    fn a_certificate_counts_only_where_certificates_do() {
        let phone = "00:1a:e8:0a:0b:0c".parse().unwrap();
        let proven = Standing::Trusted { device: Some(&phone) };
        assert_eq!(trust(&[], true).of(ip("203.0.113.1"), Some(&phone)), proven);
        assert_eq!(trust(&["203.0.113.0/24"], true).of(ip("203.0.113.1"), Some(&phone)), proven);
        assert_eq!(trust(&[], true).of(ip("203.0.113.1"), None), Standing::Asked);
        let by_network = trust(&["203.0.113.0/24"], false).of(ip("203.0.113.1"), Some(&phone));
        assert_eq!(
            by_network,
            Standing::Trusted { device: None },
            "a proof that does not count names nobody"
        );
    }

    #[test]
    fn the_list_is_bounded() {
        let network: Network = "192.0.2.0/24".parse().unwrap();
        assert!(Trust::new(vec![network; MAX_TRUSTED_NETWORKS], false).is_ok());
        assert_eq!(
            Trust::new(vec![network; MAX_TRUSTED_NETWORKS + 1], false),
            Err(TooManyNetworks(MAX_TRUSTED_NETWORKS + 1))
        );
    }
}
