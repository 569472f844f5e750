//! Secrets of users and communities: what they may be, and how they lie in records.

use std::ops::RangeInclusive;

use crate::secret::{Sealed, Secret, Vault, VaultError};

use super::Faults;

/// Bytes of a password: RFC 3414, section 11.2, wants 8 at least.
pub const PASSWORD_BYTES: RangeInclusive<usize> = 8..=256;

/// Bytes of a community.
pub const COMMUNITY_BYTES: RangeInclusive<usize> = 1..=255;

/// A password, and the protocol whose key is made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Password<P> {
    /// The protocol.
    pub protocol: P,
    /// The password.
    pub secret: Secret,
}

impl<P: Copy + PartialEq> Password<P> {
    /// What is wanted, where a password that is not given is the one that there is, if it is for the same protocol. `prefix` begins the
    /// names of the fields.
    pub(super) fn wanted(
        prefix: &str,
        (protocol, secret): (Option<P>, Option<Secret>),
        old: Option<&Self>,
        faults: &mut Faults,
    ) -> Option<Self> {
        let Some(protocol) = protocol else {
            if secret.is_some() {
                faults.add(format!("{prefix}_protocol"), "a password needs its protocol");
            }
            return None;
        };
        let kept = old.filter(|old| old.protocol == protocol).map(|old| old.secret.clone());
        let found = secret.or(kept).map(|secret| Self { protocol, secret });
        if found.is_none() {
            let reason = if old.is_some() {
                "another protocol needs the password again"
            } else {
                "a protocol needs a password"
            };
            faults.add(format!("{prefix}_password"), reason);
        }
        found
    }

    /// Whether it may be one.
    pub(super) fn check(&self, field: &str, faults: &mut Faults) {
        if !PASSWORD_BYTES.contains(&self.secret.expose().len()) {
            let (least, most) = (PASSWORD_BYTES.start(), PASSWORD_BYTES.end());
            faults.add(field, format!("a password has {least} to {most} bytes"));
        }
    }

    pub(super) fn seal(&self, vault: &Vault) -> Result<(P, Sealed), VaultError> {
        Ok((self.protocol, vault.seal(&self.secret)?))
    }

    pub(super) fn open((protocol, sealed): (P, Sealed), vault: &Vault) -> Result<Self, VaultError> {
        Ok(Self { protocol, secret: vault.open(&sealed)? })
    }
}

/// Whether a text may be a community.
pub(super) fn check_community(community: &Secret, faults: &mut Faults) {
    let text = community.expose().as_bytes();
    if !COMMUNITY_BYTES.contains(&text.len()) || !text.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        let (least, most) = (COMMUNITY_BYTES.start(), COMMUNITY_BYTES.end());
        faults.add("community", format!("a community has {least} to {most} printable ASCII characters"));
    }
}
