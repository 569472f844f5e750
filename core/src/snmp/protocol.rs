//! Which algorithms a user of SNMP version 3 has (RFC 3414, RFC 3826, RFC 7860), and what protects a message.

use serde::{Deserialize, Serialize};

/// How messages are authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AuthProtocol {
    /// HMAC-MD5-96 (RFC 3414, section 6).
    Md5,
    /// HMAC-SHA-96 (RFC 3414, section 7).
    Sha1,
    /// HMAC-128-SHA-224 (RFC 7860).
    Sha224,
    /// HMAC-192-SHA-256 (RFC 7860).
    Sha256,
    /// HMAC-256-SHA-384 (RFC 7860).
    Sha384,
    /// HMAC-384-SHA-512 (RFC 7860).
    Sha512,
}

impl AuthProtocol {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Md5, Self::Sha1, Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The word used in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha",
            Self::Sha224 => "sha-224",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    /// Bytes of the authentication code in a message.
    pub const fn code_bytes(self) -> usize {
        match self {
            Self::Md5 | Self::Sha1 => 12,
            Self::Sha224 => 16,
            Self::Sha256 => 24,
            Self::Sha384 => 32,
            Self::Sha512 => 48,
        }
    }

    /// Bytes of a key, which is what the hash yields.
    pub const fn key_bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// How messages are encrypted. Two ways to lengthen a key are in use where the hash is shorter than it: vendors chose one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PrivProtocol {
    /// CBC-DES (RFC 3414, section 8).
    Des,
    /// CFB128-AES-128 (RFC 3826).
    Aes128,
    /// AES-192, keys lengthened as draft-blumenthal-aes-usm says: net-snmp's `AES-192`.
    Aes192,
    /// AES-256, keys lengthened as draft-blumenthal-aes-usm says: net-snmp's `AES-256`.
    Aes256,
    /// AES-192, keys lengthened as draft-reeder-snmpv3-usm-3desede says: net-snmp's `AES-192-C`, and what Cisco does.
    Aes192Reeder,
    /// AES-256, keys lengthened as draft-reeder-snmpv3-usm-3desede says: net-snmp's `AES-256-C`, and what Cisco does.
    Aes256Reeder,
}

impl PrivProtocol {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Des, Self::Aes128, Self::Aes192, Self::Aes256, Self::Aes192Reeder, Self::Aes256Reeder];

    /// The word used in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Des => "des",
            Self::Aes128 => "aes-128",
            Self::Aes192 => "aes-192",
            Self::Aes256 => "aes-256",
            Self::Aes192Reeder => "aes-192-c",
            Self::Aes256Reeder => "aes-256-c",
        }
    }

    /// Bytes of the localised key that are used.
    pub const fn key_bytes(self) -> usize {
        match self {
            Self::Des | Self::Aes128 => 16,
            Self::Aes192 | Self::Aes192Reeder => 24,
            Self::Aes256 | Self::Aes256Reeder => 32,
        }
    }
}

/// What protects a message (RFC 3411, section 3.4.3). More protects better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SecurityLevel {
    /// Nothing: also messages of versions 1 and 2c.
    #[default]
    NoAuthNoPriv,
    /// Authenticated.
    AuthNoPriv,
    /// Authenticated and encrypted.
    AuthPriv,
}

impl SecurityLevel {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::NoAuthNoPriv, Self::AuthNoPriv, Self::AuthPriv];

    /// The word used in the API and in metrics, which is the RFC's.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoAuthNoPriv => "noAuthNoPriv",
            Self::AuthNoPriv => "authNoPriv",
            Self::AuthPriv => "authPriv",
        }
    }
}
