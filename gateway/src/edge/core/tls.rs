//! TLS of the door `edge`: version 1.3, a certificate of the internal authority, and one asked of the edge.

use std::sync::Arc;

use callboard_codecs::edge::ALPN;
use callboard_core::pki::{Authority, KeyKind, PkiError};
use callboard_core::time::Timestamp;
use quinn::crypto::rustls::QuicServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::CoreLimits;
use crate::edge::quic::SERVER_NAME;
use crate::tls::TlsError;

/// Certificates begin to be valid this much earlier: clocks of branches may be late.
const BACKDATED: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// Everything that QUIC needs, with a new certificate. Its key is nowhere but in memory.
pub(in crate::edge) fn server_config(
    authority: &Authority,
    limits: &CoreLimits,
    now: Timestamp,
) -> Result<quinn::ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let root = CertificateDer::from(authority.cert_der().to_vec());
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).map_err(|source| TlsError::Setup { source })?;
    // Without a certificate an edge may enrol, and nothing else.
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(|error| TlsError::Verifier { reason: error.to_string() })?;
    let now = now.to_jiff();
    let end = now.checked_add(limits.own_lifetime).map_err(|_| PkiError::Lifetime)?;
    let names = [SERVER_NAME.to_owned()];
    let issued =
        authority.issue_server(&names, KeyKind::P256, now - BACKDATED, end.min(authority.not_after()))?;
    let key = PrivateKeyDer::from_pem_slice(issued.key.expose().as_bytes()).map_err(|_| PkiError::Key)?;
    // The authority goes along: an edge that enrols knows its fingerprint only.
    let chain = vec![CertificateDer::from(issued.certificate_der), root];
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|builder| builder.with_client_cert_verifier(verifier).with_single_cert(chain, key))
        .map_err(|source| TlsError::Setup { source })?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Each connection shows its certificate: a revoked one must not come back by a ticket.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    let crypto = QuicServerConfig::try_from(config)
        .map_err(|error| TlsError::Verifier { reason: error.to_string() })?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(limits.quic.stranger());
    Ok(config)
}
