//! Settings of SIP.

use callboard_codecs::sip::Limits;

use crate::network::Network;
use crate::sip::credentials::CredentialLimits;
use crate::sip::digest::DigestSettings;
use crate::sip::location::LocationSettings;
use crate::sip::subscription::Bounds;
use crate::sip::trust::Trust;

/// Whose requests for a profile are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileRequests {
    /// Nobody's.
    Off,
    /// Those sent to the multicast group.
    Multicast,
    /// Those sent to this server's own addresses, too.
    All,
}

/// Networks that cannot be reached from elsewhere: private (RFC 1918, RFC 4193), link-local, loopback.
const NEAR: [&str; 8] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "127.0.0.0/8",
    "fc00::/7",
    "fe80::/10",
    "::1/128",
];

/// Plug and play: phones that ask for their profile.
#[derive(Clone, Debug)]
pub struct PlugAndPlay {
    /// Whose requests are taken.
    pub requests: ProfileRequests,
    /// Where they may come from if they are neither trusted nor proven. A sender's address can be forged, and the NOTIFY is
    /// repeated: others could be flooded through this server.
    pub networks: Vec<Network>,
    /// Subscriptions there may be.
    pub subscriptions: Bounds,
    /// Shortest life of one, in seconds, at most 3,600.
    pub min_expires: u32,
    /// Longest life of one, in seconds, which is also that of one that asks for none.
    pub max_expires: u32,
    /// NOTIFYs in one second; those beyond wait, and nobody new is told then.
    pub notifies_per_second: usize,
}

impl PlugAndPlay {
    /// The networks that requests come from by default.
    pub fn near() -> Vec<Network> {
        NEAR.iter().filter_map(|network| network.parse().ok()).collect()
    }
}

impl Default for PlugAndPlay {
    fn default() -> Self {
        Self {
            requests: ProfileRequests::Multicast,
            networks: Self::near(),
            subscriptions: Bounds::new(100_000, 1_000),
            min_expires: 300,
            max_expires: 86_400,
            notifies_per_second: 200,
        }
    }
}

/// Settings of SIP.
#[derive(Clone, Debug)]
pub struct SipSettings {
    /// Bounds on messages.
    pub limits: Limits,
    /// Bounds on bindings.
    pub location: LocationSettings,
    /// Digest authentication.
    pub digest: DigestSettings,
    /// Realm in challenges to those in a domain that no realm covers. No user is in it.
    pub default_realm: Box<str>,
    /// Bounds on realms and credentials.
    pub credentials: CredentialLimits,
    /// Who need not authenticate.
    pub trust: Trust,
    /// Requests of this server that may be under way.
    pub client_transactions: usize,
    /// Answers that are kept for repeated requests.
    pub server_transactions: usize,
    /// OPTIONS that ask endpoints whether they are there, in one second.
    pub pings_per_second: usize,
    /// Seconds after which an endpoint that keeps its flow should give a sign of life (RFC 5626, section 4.4.1); 0: it is not told.
    pub flow_timer: u32,
    /// Seconds that who is told "later" should wait, at least; up to twice as many are told, at random.
    pub retry_after: u32,
    /// How full the journal may be, of 1, before new endpoints are told "later"; those that refresh are from halfway between this
    /// and 1 on.
    pub busy_from: f32,
    /// Whether phones that register become devices, if it is proven or trusted which they are.
    pub take_in: bool,
    /// Plug and play.
    pub plug_and_play: PlugAndPlay,
    /// What this server calls itself in `From` and `Server`.
    pub server: Box<str>,
    /// The address that requests of this server name as its own, for others than those it came from.
    pub external_address: Option<Box<str>>,
}

impl Default for SipSettings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            location: LocationSettings::default(),
            digest: DigestSettings::default(),
            default_realm: "callboard".into(),
            credentials: CredentialLimits::default(),
            trust: Trust::default(),
            client_transactions: 100_000,
            server_transactions: 65_536,
            pings_per_second: 2_000,
            flow_timer: 120,
            retry_after: 20,
            busy_from: 0.5,
            take_in: true,
            plug_and_play: PlugAndPlay::default(),
            server: "Callboard".into(),
            external_address: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_near_networks_are_networks() {
        assert_eq!(PlugAndPlay::near().len(), NEAR.len());
    }
}
