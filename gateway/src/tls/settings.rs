//! What the operator may say about certificates.

use std::path::PathBuf;
use std::time::Duration;

/// A certificate chain and its private key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFiles {
    /// The certificate, followed by the authorities between it and the root, if any.
    pub certificate: PathBuf,
    /// Its private key, unencrypted.
    pub key: PathBuf,
}

/// Settings of [`super::Identity`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the internal authority and its server certificates are kept. Made if absent, readable for the owner only.
    pub directory: PathBuf,
    /// Names and addresses the internal server certificates are made for. Not empty.
    pub names: Vec<String>,
    /// Organisation in the internal authority's subject.
    pub organisation: String,
    /// Life time of internal server certificates.
    pub lifetime: Duration,
    /// Life time of the internal authority.
    pub authority_lifetime: Duration,
    /// A given certificate with an RSA key.
    pub rsa: Option<KeyFiles>,
    /// A given certificate with an elliptic-curve key. When only one of the two is given, it is the only one used.
    pub ecdsa: Option<KeyFiles>,
    /// How often given files are looked at, and internal certificates checked for renewal.
    pub reload_interval: Duration,
    /// Handshakes whose expensive step may be in progress at the same time; 0 means one per worker thread. A handshake
    /// that waits for its peer does not count.
    pub concurrent_handshakes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        Self {
            directory: PathBuf::from("data/tls"),
            names: vec!["callboard".to_owned(), "localhost".to_owned()],
            organisation: "Callboard".to_owned(),
            lifetime: days(825),
            authority_lifetime: days(7_300),
            rsa: None,
            ecdsa: None,
            reload_interval: Duration::from_secs(10),
            concurrent_handshakes: 0,
        }
    }
}
