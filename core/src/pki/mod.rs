//! The internal certificate authority: server certificates for the doors, individual client certificates for phones,
//! and the packs in which a phone receives its own (WPI reference, sections 7.3 and 7.4).
//!
//! Bytes in, bytes out. Files and clocks belong to the caller; key generation, serial numbers, salts and nonces
//! come from the operating system through aws-lc-rs.

mod authority;
mod inspect;
mod packer;
mod pkcs12;
mod secret;
mod series;
mod site;

pub use authority::{Authority, AuthorityParams, Issued, IssuedClient};
pub use inspect::{CertificateFacts, inspect};
pub use packer::{PackContents, PinPacker, SimulatorPacker};
pub use pkcs12::{Encryption, pkcs12};
pub use secret::PrivateKeyPem;
pub use series::Series;
pub use site::{IssuedSite, SITE_UNIT, SiteRequest};

/// Longest common name X.509 permits (RFC 5280, appendix A, `ub-common-name`), in bytes here so that any text fits.
pub const COMMON_NAME_BYTES: usize = 64;

/// Longest life time a certificate may be given. Beyond it, dates stop being representable by old phones.
pub const LIFETIME_DAYS_MAX: i64 = 20 * 366;

/// The kinds of key Callboard makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// RSA with a modulus of 2048 bits, for phones whose firmware knows nothing newer.
    Rsa2048,
    /// Elliptic curve P-256.
    P256,
}

impl KeyKind {
    /// The word used in configuration and in metric labels: `rsa` or `ecdsa`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Rsa2048 => "rsa",
            Self::P256 => "ecdsa",
        }
    }
}

/// What can go wrong when certificates are made, read or packed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// A common name, device id or organisation is empty, too long or holds a control character.
    #[error("{field} must be 1 to {COMMON_NAME_BYTES} bytes of text without control characters")]
    Name {
        /// Which text.
        field: &'static str,
    },
    /// A subject alternative name is neither an address nor a DNS name.
    #[error("subject name {name:?} is neither an IP address nor a DNS name")]
    SubjectName {
        /// The refused name.
        name: String,
    },
    /// No subject alternative name was given for a server certificate.
    #[error("a server certificate needs at least one subject name")]
    NoSubjectName,
    /// The end does not come after the start, or is too far from it.
    #[error("life time must be positive and at most {LIFETIME_DAYS_MAX} days")]
    Lifetime,
    /// A certificate text or its DER could not be read.
    #[error("certificate cannot be read: {reason}")]
    Certificate {
        /// What was wrong with it; never its content.
        reason: &'static str,
    },
    /// A private key could not be read. The cause is withheld on purpose.
    #[error("private key cannot be read")]
    Key,
    /// A request for a certificate cannot be read, is not signed by its own key, or its key is not P-256.
    #[error("request for a certificate cannot be used: {reason}")]
    Request {
        /// What was wrong with it; never its content.
        reason: &'static str,
    },
    /// Certificate and private key do not belong together.
    #[error("certificate and private key do not belong together")]
    KeyMismatch,
    /// Making a key, a certificate or a PKCS#12 store failed inside the library.
    #[error("{what} failed: {reason}")]
    Library {
        /// The step that failed.
        what: &'static str,
        /// The library's words; these never hold key material.
        reason: String,
    },
    /// The system's random source failed.
    #[error("the system has no randomness to give")]
    Random,
    /// A PIN pack is no pack, or the password does not open it.
    #[error("pack cannot be opened: {reason}")]
    Pack {
        /// Which step failed.
        reason: &'static str,
    },
}
