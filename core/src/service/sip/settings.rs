//! Settings of SIP.

use callboard_codecs::sip::Limits;

use crate::sip::credentials::CredentialLimits;
use crate::sip::digest::DigestSettings;
use crate::sip::location::LocationSettings;
use crate::sip::trust::Trust;

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
            server: "Callboard".into(),
            external_address: None,
        }
    }
}
