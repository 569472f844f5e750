//! Sites: branches whose phones reach the core through an edge.
//!
//! A site is a record with a name. It gets a token that is good for one enrolment; the edge that brings it gets a
//! certificate of the internal authority and is known by its serial number from then on. What a connected edge tells is
//! kept in memory only ([`Live`]). Which devices of a site have waiting work is told to its edge ([`Members`]).

mod live;
mod members;
mod record;
mod registry;
mod token;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::store::Store;
use crate::time::Timestamp;

pub use live::{Cut, Figures, Live, LiveSite, Presence, Session};
pub use members::{Members, Update};
pub use record::{BadSiteRecord, decode, encode};
pub use registry::{EnrolError, Registry, SiteError, describe_metrics};
pub use token::{BadToken, SiteToken, TOKEN_SECRET_BYTES, fingerprint};

/// Longest name of a site, in characters.
pub const MAX_NAME_CHARS: usize = 128;

/// A site's id: twelve hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SiteId(u64);

/// Where something came from: the sender's address, and the site whose edge named it. Branches use the same private networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The site whose edge relayed it; `None` if it came by itself.
    pub site: Option<SiteId>,
    /// The sender's address.
    pub address: IpAddr,
}

/// A text that is no site's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a site id is twelve lower-case hexadecimal digits")]
pub struct BadSiteId;

impl SiteId {
    /// From a number, of which the low 48 bits are taken.
    pub const fn from_u64(number: u64) -> Self {
        Self(number & 0xffff_ffff_ffff)
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

impl fmt::Debug for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SiteId {
    type Err = BadSiteId;

    fn from_str(text: &str) -> Result<Self, BadSiteId> {
        let digits =
            text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        digits.then(|| u64::from_str_radix(text, 16).ok()).flatten().map(Self).ok_or(BadSiteId)
    }
}

/// What is kept of an enrolment token: never the token itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// SHA-256 of its secret.
    pub digest: [u8; 32],
    /// When it ends.
    pub expires: Timestamp,
    /// When it was used.
    pub used: Option<Timestamp>,
}

/// What is kept of an edge's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteCertificate {
    /// Serial number, lower-case hex.
    pub serial: Box<str>,
    /// When it ends.
    pub expires: Timestamp,
}

/// A site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Its id.
    pub id: SiteId,
    /// Counts changes, from 1.
    pub revision: u64,
    /// What people call it; unique.
    pub name: Box<str>,
    /// Its latest token.
    pub enrolment: Enrolment,
    /// The certificate of its edge.
    pub certificate: Option<SiteCertificate>,
    /// The one before a renewal: good until the new one was seen.
    pub previous: Option<SiteCertificate>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub changed: Timestamp,
}

/// Bounds and settings of sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteSettings {
    /// Sites there may be.
    pub sites: usize,
    /// How long a token may be used.
    pub token_lifetime: std::time::Duration,
    /// SHA-256 of the internal authority's certificate; it is a part of each token.
    pub authority: [u8; 32],
}

impl Default for SiteSettings {
    fn default() -> Self {
        Self { sites: 1_000, token_lifetime: std::time::Duration::from_hours(24), authority: [0; 32] }
    }
}

/// Everything about sites.
#[derive(Debug)]
pub struct Sites {
    /// Their records.
    pub registry: Registry,
    /// Those whose edge is connected, or was.
    pub live: Live,
    /// Bounds and settings.
    pub settings: SiteSettings,
}

impl Sites {
    /// No sites yet: call [`Registry::load`] before doors open.
    pub fn new(store: Arc<dyn Store>, settings: SiteSettings) -> Self {
        Self { registry: Registry::new(store, settings.sites), live: Live::default(), settings }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_spelling() {
        let id = SiteId::from_u64(0xabc);
        assert_eq!((id.to_string().as_str(), "000000000abc".parse()), ("000000000abc", Ok(id)));
        for bad in ["abc", "000000000ABC", "+00000000abc", "0000000000abc", ""] {
            assert_eq!(bad.parse::<SiteId>(), Err(BadSiteId), "{bad}");
        }
    }
}
