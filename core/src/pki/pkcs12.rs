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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;
    use std::time::Duration;

    use super::*;
    use crate::pki::{Authority, AuthorityParams, KeyKind, Series};

    /// OpenSSL is the independent reader: it opens the store, and the key in it signs for the certificate in it.
    fn read_with_openssl(key: KeyKind, encryption: Encryption, password: &str) {
        let now = jiff::Timestamp::from_second(1_800_000_000).unwrap();
        let authority = Authority::create(&AuthorityParams {
            common_name: "Test authority".to_owned(),
            organisation: "Test".to_owned(),
            lifetime: Duration::from_hours(24 * 3_650),
            key: KeyKind::P256,
            now,
        })
        .unwrap();
        let end = now + jiff::SignedDuration::from_hours(24 * 365);
        let phone = authority.issue_client("00:1a:e8:12:34:56", Series::new(7), key, now, end).unwrap();
        let store = pkcs12(&phone, &[authority.cert_der()], password, encryption).unwrap();

        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("phone.p12"), store).unwrap();
        fs::write(path("ca.pem"), authority.cert_pem()).unwrap();
        let openssl = |arguments: &str| {
            let output = Command::new("openssl").args(arguments.split(' ')).current_dir(&directory).output();
            let output = output.expect("the openssl program is needed for this test");
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "openssl {arguments}: {error}");
            String::from_utf8(output.stdout).unwrap()
        };
        let legacy = if encryption == Encryption::Legacy3Des { " -legacy" } else { "" };
        let read = format!("pkcs12 -in phone.p12 -passin pass:{password} -nodes{legacy}");
        openssl(&format!("{read} -nocerts -out key.pem"));
        openssl(&format!("{read} -clcerts -nokeys -out phone.pem"));
        let chain = openssl(&format!("{read} -cacerts -nokeys"));
        assert!(chain.contains("Test authority"), "{chain}");
        assert_eq!(openssl("pkey -in key.pem -pubout"), openssl("x509 -in phone.pem -noout -pubkey"));
        let subject = openssl("x509 -in phone.pem -noout -subject -serial");
        assert!(subject.contains("00:1a:e8:12:34:56"), "{subject}");
        assert!(subject.contains(&phone.serial_hex.to_uppercase()), "{subject}");
        let at = now.as_second() + 1;
        openssl(&format!("verify -purpose sslclient -attime {at} -CAfile ca.pem phone.pem"));
    }

    #[test]
    fn openssl_reads_the_legacy_form() {
        read_with_openssl(KeyKind::Rsa2048, Encryption::Legacy3Des, "secret");
        read_with_openssl(KeyKind::P256, Encryption::Legacy3Des, "");
    }

    #[test]
    fn openssl_reads_the_modern_form() {
        read_with_openssl(KeyKind::Rsa2048, Encryption::Aes256, "");
        read_with_openssl(KeyKind::P256, Encryption::Aes256, "secret");
    }
}
