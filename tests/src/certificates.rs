//! Certificates that do not come from the server, and what stands in those that do.

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;

/// A certificate with its key.
#[derive(Clone)]
pub struct Credentials {
    chain: Vec<Vec<u8>>,
    key: Vec<u8>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

impl Credentials {
    /// A chain, its own certificate first, and the key (PKCS#8), all DER.
    pub fn new(chain: Vec<Vec<u8>>, key: Vec<u8>) -> Self {
        Self { chain, key }
    }

    /// The own certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.chain[0]
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.iter().cloned().map(CertificateDer::from).collect()
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.clone()).expect("a private key")
    }
}

/// The kind of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RSA with 2048 bits.
    Rsa2048,
    /// The curve P-256.
    P256,
}

/// A self-signed certificate as an operator may bring it: certificate and key, PEM.
pub fn self_signed(name: &str, kind: Kind) -> (String, String) {
    let key = match kind {
        Kind::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        Kind::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
    };
    let key = key.expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

/// Credentials out of certificate and key, PEM.
pub fn credentials(certificate: &str, key: &str) -> Credentials {
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a private key");
    Credentials::new(vec![der(certificate)], key.secret_der().to_vec())
}

/// The first certificate of a PEM text, DER.
pub fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate in PEM").to_vec()
}

fn parse(der: &[u8]) -> X509Certificate<'_> {
    X509Certificate::from_der(der).expect("an X.509 certificate").1
}

/// The kind of a certificate's key.
pub fn kind(der: &[u8]) -> Kind {
    let certificate = parse(der);
    match certificate.public_key().parsed().expect("a known public key") {
        PublicKey::RSA(key) if key.key_size() == 2048 => Kind::Rsa2048,
        PublicKey::EC(key) if key.key_size() == 256 => Kind::P256,
        other => panic!("another key: {other:?}"),
    }
}

/// The common name of a certificate's subject.
pub fn common_name(der: &[u8]) -> String {
    let certificate = parse(der);
    let name = certificate.subject().iter_common_name().next().expect("a common name");
    name.as_str().expect("text").to_owned()
}

/// The serial number, lower-case hex.
pub fn serial(der: &[u8]) -> String {
    parse(der).raw_serial_as_string().replace(':', "")
}

/// The end of its life, in seconds since 1970.
pub fn not_after(der: &[u8]) -> i64 {
    parse(der).validity().not_after.timestamp()
}
