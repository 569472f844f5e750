//! What one door needs to speak TLS.

use std::sync::Arc;

use callboard_core::device::DeviceId;
use callboard_core::pki::{self, KeyKind};
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SignatureScheme};

use super::TlsError;
use super::handshake::Gate;
use super::keys::Resolver;

/// What a door is for, as far as TLS is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Phones in default mode: no client certificate, no protocol negotiation.
    Phones,
    /// Phones in secure mode: a client certificate of the internal authority is required.
    SecurePhones,
    /// SIP endpoints: a client certificate of the internal authority is taken, none is needed.
    SipPhones,
    /// Browsers and scripts: offers `http/1.1`.
    Admin,
}

/// TLS for one door. Made by [`super::Identity::server`]; certificates change underneath it without a restart.
#[derive(Debug)]
pub struct Server {
    pub(super) config: Arc<ServerConfig>,
    pub(super) gate: Arc<Gate>,
    resolver: Arc<Resolver>,
}

impl Server {
    pub(super) fn new(
        purpose: Purpose,
        resolver: Arc<Resolver>,
        gate: Arc<Gate>,
        authority: &[u8],
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let setup = |error| TlsError::Setup { source: error };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(setup)?;
        let builder = if matches!(purpose, Purpose::SecurePhones | Purpose::SipPhones) {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from(authority)).map_err(setup)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let is_needed = purpose == Purpose::SecurePhones;
            let verifier = if is_needed { verifier } else { verifier.allow_unauthenticated() };
            let verifier =
                verifier.build().map_err(|error| TlsError::Verifier { reason: error.to_string() })?;
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_cert_resolver(resolver.clone());
        // One ticket that says everything, no memory on our side. Phones that open a connection per request use it.
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(setup)?;
        config.send_tls13_tickets = 1;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if purpose == Purpose::Admin {
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
        }
        Ok(Self { config: Arc::new(config), gate, resolver })
    }

    /// The kind of key a client that offers these signatures gets.
    pub(super) fn key_for(&self, offered: &[SignatureScheme]) -> Option<KeyKind> {
        self.resolver.key_for(offered)
    }
}

/// What a phone's certificate says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The device it was issued for.
    pub device: DeviceId,
    /// Its serial number, lower-case hex.
    pub serial: Box<str>,
    /// When it ends.
    pub not_after: jiff::Timestamp,
}

/// Reads a client certificate that TLS has verified. `None` if it names no device: that of an edge does not.
pub fn client_certificate(der: &[u8]) -> Option<ClientCertificate> {
    let facts = pki::inspect(der).ok().filter(|facts| facts.unit.is_none())?;
    let device = facts.common_name?.parse().ok()?;
    Some(ClientCertificate { device, serial: facts.serial_hex.into(), not_after: facts.not_after })
}
