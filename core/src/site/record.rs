//! A site as bytes in the store.

use super::Site;

/// Version of the record form that this build writes.
pub(super) const VERSION: u8 = 1;

/// A record that cannot be read as a site.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSiteRecord {
    /// Written by a newer Callboard.
    #[error("site record version {0} is newer than this Callboard reads (up to {VERSION})")]
    Newer(u8),
    /// The bytes do not fit the form.
    #[error("malformed site record: {0}")]
    Malformed(postcard::Error),
}

/// Pack a site.
pub fn encode(site: &Site) -> Result<Vec<u8>, BadSiteRecord> {
    postcard::to_extend(site, vec![VERSION]).map_err(BadSiteRecord::Malformed)
}

/// Unpack a site.
pub fn decode(bytes: &[u8]) -> Result<Site, BadSiteRecord> {
    match bytes.split_first() {
        Some((&VERSION, payload)) => postcard::from_bytes(payload).map_err(BadSiteRecord::Malformed),
        Some((&version, _)) if version > VERSION => Err(BadSiteRecord::Newer(version)),
        _ => Err(BadSiteRecord::Malformed(postcard::Error::DeserializeBadEncoding)),
    }
}
