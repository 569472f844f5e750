//! The phones' TLS: full handshakes only, the server's certificate is not checked (WPI reference, section 1.4).

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion};
use tokio_rustls::TlsConnector;

/// Which kind of certificate a phone can check signatures of, so that the server has to use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Key {
    P256,
    Rsa,
}

impl Key {
    /// Name in the report.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::Rsa => "rsa",
        }
    }
}

/// The TLS version that phones offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Version {
    #[value(name = "1.2")]
    Tls12,
    #[value(name = "1.3")]
    Tls13,
}

impl Version {
    /// Name in the report.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

/// Accepts any certificate; of the handshake's signature it may check the form only.
#[derive(Debug)]
struct AnyCertificate {
    schemes: Vec<SignatureScheme>,
    algorithms: Option<WebPkiSupportedAlgorithms>,
}

impl AnyCertificate {
    fn checked(
        &self,
        check: impl FnOnce(&WebPkiSupportedAlgorithms) -> Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.algorithms.as_ref().map_or_else(|| Ok(HandshakeSignatureValid::assertion()), check)
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.checked(|algorithms| verify_tls12_signature(message, cert, dss, algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.checked(|algorithms| verify_tls13_signature(message, cert, dss, algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// How phones connect.
#[derive(Clone)]
pub(crate) struct PhoneTls {
    checking: TlsConnector,
    trusting: TlsConnector,
}

impl PhoneTls {
    pub(crate) fn new(key: Key, version: Version) -> anyhow::Result<Self> {
        Ok(Self { checking: connector(key, version, true)?, trusting: connector(key, version, false)? })
    }

    /// The connector of one phone. One phone in 64 checks the handshake's signature; the others save those cycles,
    /// because the generator shares its cores with the server and would hide what the server costs.
    pub(crate) fn connector(&self, number: u32) -> &TlsConnector {
        if number.is_multiple_of(64) { &self.checking } else { &self.trusting }
    }
}

fn connector(key: Key, version: Version, check: bool) -> anyhow::Result<TlsConnector> {
    use SignatureScheme as S;
    let schemes = match key {
        Key::P256 => vec![S::ECDSA_NISTP256_SHA256],
        Key::Rsa => vec![S::RSA_PSS_SHA256, S::RSA_PKCS1_SHA256, S::RSA_PSS_SHA384, S::RSA_PKCS1_SHA384],
    };
    // One suite and one group each, so that all servers under test do the same work.
    let suite = match (version, key) {
        (Version::Tls13, _) => cipher_suite::TLS13_AES_128_GCM_SHA256,
        (Version::Tls12, Key::P256) => cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        (Version::Tls12, Key::Rsa) => cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    };
    let version: &'static SupportedProtocolVersion = match version {
        Version::Tls12 => &rustls::version::TLS12,
        Version::Tls13 => &rustls::version::TLS13,
    };
    let provider = CryptoProvider {
        cipher_suites: vec![suite],
        kx_groups: vec![kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    build(provider, &[version], schemes, check)
}

/// For the admin API, whose certificate is self-signed: any certificate, any good suite.
pub(crate) fn admin_connector() -> anyhow::Result<TlsConnector> {
    let provider = aws_lc_rs::default_provider();
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    build(provider, rustls::DEFAULT_VERSIONS, schemes, true)
}

fn build(
    provider: CryptoProvider,
    versions: &[&'static SupportedProtocolVersion],
    schemes: Vec<SignatureScheme>,
    check: bool,
) -> anyhow::Result<TlsConnector> {
    let algorithms = check.then_some(provider.signature_verification_algorithms);
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate { schemes, algorithms }))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}
