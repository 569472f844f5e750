//! Storage providers: where files may lie besides the node's own folder (vendor guide, section 10).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::record::{BadId, id};
use crate::secret::Sealed;
use crate::time::Timestamp;

id! {
    /// A provider's id: twelve hexadecimal digits.
    ProviderId, "provider"
}

/// Where the files of a provider are, and what opens it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// A folder of a web server.
    Http {
        /// The folder's address, `http` or `https`.
        url: Box<str>,
        /// User of basic authentication (RFC 7617); empty if none is needed.
        username: Box<str>,
        /// Its password.
        password: Option<Sealed>,
    },
    /// A bucket of an S3-compatible server.
    S3 {
        /// The server's address, `http` or `https`; the bucket is part of the path, not of the name.
        url: Box<str>,
        /// The bucket.
        bucket: Box<str>,
        /// Its region.
        region: Box<str>,
        /// The access key.
        access_key: Box<str>,
        /// The secret that belongs to it.
        secret: Option<Sealed>,
    },
}

impl Place {
    /// The word used in the API.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Http { .. } => "http",
            Self::S3 { .. } => "s3",
        }
    }

    /// The server's address.
    pub fn url(&self) -> &str {
        match self {
            Self::Http { url, .. } | Self::S3 { url, .. } => url,
        }
    }
}

/// A storage provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// Its id.
    pub id: ProviderId,
    /// Counts changes, from 1.
    pub revision: u64,
    /// What people call it; unique.
    pub name: Box<str>,
    /// Where its files are.
    pub place: Place,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub changed: Timestamp,
}

/// One thing wrong with a provider that somebody wants to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderFault {
    /// The field.
    pub field: &'static str,
    /// Why, and what is allowed.
    pub reason: String,
}

impl Provider {
    /// Everything wrong with it but what its address leads to; empty if it may be stored.
    pub fn faults(&self) -> Vec<ProviderFault> {
        let mut faults = Vec::new();
        let mut require = |holds: bool, field: &'static str, reason: &str| {
            if !holds {
                faults.push(ProviderFault { field, reason: reason.to_owned() });
            }
        };
        require(is_text(&self.name, 1, 128), "name", "1 to 128 characters, no control characters");
        match &self.place {
            Place::Http { username, password, .. } => {
                let plain = is_text(username, 0, 256) && !username.contains(':');
                require(plain, "username", "at most 256 characters, no colon, no control characters");
                require(password.is_none() || !username.is_empty(), "username", "a password needs a user");
            }
            Place::S3 { bucket, region, access_key, secret, .. } => {
                let word = |text: &str, most: usize| {
                    let fits = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
                    (1..=most).contains(&text.len()) && text.bytes().all(fits)
                };
                let dots = !matches!(&**bucket, "." | "..");
                require(word(bucket, 63) && dots, "bucket", "1 to 63 of A-Z, a-z, 0-9, `.`, `-` and `_`");
                require(word(region, 64), "region", "1 to 64 of A-Z, a-z, 0-9, `.`, `-` and `_`");
                require(
                    is_text(access_key, 0, 256),
                    "access_key",
                    "at most 256 characters, no control characters",
                );
                let both = secret.is_some() != access_key.is_empty();
                require(both, "access_key", "`access_key` and `secret` are given together or not at all");
            }
        }
        faults
    }
}

fn is_text(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}
