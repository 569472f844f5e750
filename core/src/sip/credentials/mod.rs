//! Realms, and the credentials of SIP users in them.
//!
//! A realm is a record, and each credential is one. Of a password only its hashes are kept ([`Ha1`]); they
//! open the realm as the password does, so they lie sealed in the store and leave this module only to be computed with. All
//! credentials are in memory: a request is judged without the disk.

mod domain;
mod index;
mod name;
mod record;
mod registry;
#[cfg(test)]
mod tests;
mod users;

use std::sync::Arc;

use crate::device::DeviceId;
use crate::secret::{Secret, VaultError};
use crate::store::{CommitError, SubmitError};

use super::digest::{Ha1, Known};
pub use domain::{BadDomain, Domain};
pub use name::{BadName, MAX_NAME_BYTES, RealmName, Username};
pub use record::BadCredentialRecord;
pub use registry::{Credentials, Loaded, describe_metrics};
pub use users::{CredentialFilter, CredentialPage, Line, MAX_PAGE};

/// Domains of one realm there may be.
pub const MAX_DOMAINS: usize = 64;

/// Credentials of one device there may be.
pub const MAX_PER_DEVICE: usize = 256;

/// Bounds on realms and credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialLimits {
    /// Realms.
    pub realms: usize,
    /// Credentials, those of all realms together.
    pub credentials: usize,
}

impl Default for CredentialLimits {
    fn default() -> Self {
        Self { realms: 1_000, credentials: 1_200_000 }
    }
}

/// A protection domain: the text that phones are challenged with, and the hosts whose requests are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realm {
    /// The text of challenges. It goes into the hashes of all passwords, so a realm cannot be renamed.
    pub name: RealmName,
    /// What it covers, in order and each once. Without any it covers what no other realm does.
    pub domains: Box<[Domain]>,
    /// Counts changes, from 1.
    pub revision: u64,
}

/// What a user name of a realm leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its realm.
    pub realm: RealmName,
    /// The user name of the digest. Many phones have the user of their address-of-record here, others a name of its own.
    pub username: Username,
    /// The device that it belongs to, if it is known.
    pub device: Option<DeviceId>,
    /// Counts changes, from 1.
    pub revision: u64,
    ha1: Ha1,
}

impl Known for Arc<Credential> {
    fn ha1(&self) -> &Ha1 {
        &self.ha1
    }
}

/// A credential that somebody wants to store.
#[derive(Clone, Debug)]
pub struct CredentialWish {
    /// Its realm, which must be there.
    pub realm: RealmName,
    /// Its user name.
    pub username: Username,
    /// The device that it belongs to.
    pub device: Option<DeviceId>,
    /// The password, of 1 to [`MAX_PASSWORD_BYTES`](super::digest::MAX_PASSWORD_BYTES) bytes. It is hashed and forgotten. `None`
    /// keeps the one that there is.
    pub password: Option<Secret>,
}

/// Why realms or credentials were not changed, or the change is not known to be durable ([`CredentialError::Commit`]).
#[derive(Clone, Debug, thiserror::Error)]
pub enum CredentialError {
    /// No such realm.
    #[error("no realm {0}")]
    UnknownRealm(RealmName),
    /// No such credential.
    #[error("no user {1} in realm {0}")]
    Unknown(RealmName, Username),
    /// As many as may be.
    #[error("there are {limit} {what} already")]
    Full {
        /// Realms or credentials, or those of what.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// Another realm covers the domain.
    #[error("realm {realm} covers {domain} already")]
    DomainTaken {
        /// Which one.
        domain: Domain,
        /// Who.
        realm: RealmName,
    },
    /// Another realm has no domains: it covers what no other does.
    #[error("realm {0} covers all other domains already; name the domains of one of them")]
    RestTaken(RealmName),
    /// The realm has credentials.
    #[error("the realm has {credentials} credentials; delete them first")]
    RealmInUse {
        /// How many.
        credentials: usize,
    },
    /// Somebody else changed it meanwhile.
    #[error("the resource has revision {current}, not {expected}")]
    Revision {
        /// What the caller had.
        expected: u64,
        /// What it is.
        current: u64,
    },
    /// A new credential needs one, and no password is empty or longer than is hashed.
    #[error("a password has 1 to {} bytes", super::digest::MAX_PASSWORD_BYTES)]
    Password,
    /// The store does not take it.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The change is made, but the store could not make it durable yet.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// It cannot be packed.
    #[error(transparent)]
    Record(#[from] BadCredentialRecord),
    /// The hashes cannot be sealed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Refuse a change that is based on another revision than there is.
fn check(current: u64, expected: Option<u64>) -> Result<(), CredentialError> {
    match expected {
        Some(expected) if expected != current => Err(CredentialError::Revision { expected, current }),
        _ => Ok(()),
    }
}
