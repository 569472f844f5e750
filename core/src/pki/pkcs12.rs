//! PKCS#12 stores (RFC 7292): the form in which a phone takes its client certificate.

use p12_keystore::{
    Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, PrivateKey, PrivateKeyChain,
};
use x509_parser::pem::Pem;
use zeroize::Zeroizing;

use super::{IssuedClient, PkiError};

/// Rounds of key derivation. The password travels beside the store inside TLS, so this only has to satisfy readers;
/// the old phones' processors are slow.
const ROUNDS: u32 = 2048;

/// How keys and certificates inside the store are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// PBE with SHA-1 and triple DES, authenticated by HMAC-SHA-1: what old firmware reads.
    Legacy3Des,
    /// PBES2 with AES-256, authenticated by HMAC-SHA-256.
    Aes256,
}

/// Packs a phone's key and certificate, and the `chain` of authorities (DER) above it, into one store.
///
/// The entry's friendly name is the device id. An empty password is allowed: what phones expect is not public.
pub fn pkcs12(
    client: &IssuedClient,
    chain: &[&[u8]],
    password: &str,
    encryption: Encryption,
) -> Result<Vec<u8>, PkiError> {
    let key = key_der(client)?;
    let key = PrivateKey::from_der(&key).map_err(|_| PkiError::Key)?;
    let certificates = std::iter::once(client.issued.certificate_der.as_slice())
        .chain(chain.iter().copied())
        .map(Certificate::from_der)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| PkiError::Certificate { reason: "it is not X.509" })?;
    let mut store = KeyStore::new();
    let entry = PrivateKeyChain::new(client.serial_hex.as_bytes(), key, certificates);
    store.add_entry(&client.device_id, KeyStoreEntry::PrivateKeyChain(entry));
    let (cipher, mac) = match encryption {
        Encryption::Legacy3Des => {
            (EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc, MacAlgorithm::HmacSha1)
        }
        Encryption::Aes256 => (EncryptionAlgorithm::PbeWithHmacSha256AndAes256, MacAlgorithm::HmacSha256),
    };
    store
        .writer(password)
        .encryption_algorithm(cipher)
        .encryption_iterations(ROUNDS)
        .mac_algorithm(mac)
        .mac_iterations(ROUNDS)
        .write()
        .map_err(|error| PkiError::Library { what: "packing a certificate", reason: error.to_string() })
}

fn key_der(client: &IssuedClient) -> Result<Zeroizing<Vec<u8>>, PkiError> {
    match Pem::iter_from_buffer(client.issued.key.expose().as_bytes()).next() {
        Some(Ok(block)) => Ok(Zeroizing::new(block.contents)),
        _ => Err(PkiError::Key),
    }
}
