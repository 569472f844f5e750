//! Who may ask and tell by SNMP, and who is told.
//!
//! Five kinds of resources, each a record: a [`View`] is a part of the tree of object identifiers, a [`Group`] says which view may be read
//! at which level of security, a [`User`] (version 3) or a [`Community`] (versions 1 and 2c) is of a group and may bring notifications,
//! and a [`Receiver`] is told what happens here. It is the view-based access control of RFC 3415 as far as it is of use here: nothing
//! can be written, and there is one context.
//!
//! A resource refers to others by name. What refers and what is referred to cannot be parted by administrators; if an import
//! brings one without the other, the reference leads nowhere and gives no access.

mod community;
mod group;
mod password;
mod receiver;
mod registry;
mod resource;
mod shelf;
mod snapshot;
mod subtree;
#[cfg(test)]
mod tests;
mod user;
mod view;

use std::fmt;
use std::net::IpAddr;

use crate::name::ResourceName;
use crate::network::Network;
use crate::policy::Fault;
use crate::store::{CommitError, SubmitError};

pub use callboard_codecs::snmp::Version;
pub use community::{Community, CommunityWish, Versions};
pub use group::Group;
pub use password::{COMMUNITY_BYTES, PASSWORD_BYTES, Password};
pub use receiver::{
    Filter, Mode, Receiver, ReceiverWish, TIMEOUT_MILLIS, TargetParams, USUAL_PORT, USUAL_TIMEOUT_MILLIS,
};
pub use registry::Access;
pub use resource::{BadAccessRecord, Named, Resource};
pub use snapshot::{KnownCommunity, KnownUser, Snapshot, Target};
pub use subtree::{BadSubtree, Subtree};
pub use user::{BadUserName, MAX_USER_NAME_BYTES, User, UserName, UserWish};
pub use view::{ALL, MAX_SUBTREES, View};

/// Networks of one user or community there may be: all of them are looked at for a message.
pub const MAX_NETWORKS: usize = 64;

/// Unreadable records that are named; the others are only counted.
const NAMED_UNREADABLE: usize = 100;

/// What refers to a resource that is to be deleted: so many are named.
const NAMED_USERS: usize = 3;

/// What the store held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadedAccess {
    /// Users.
    pub users: usize,
    /// Communities.
    pub communities: usize,
    /// Receivers.
    pub receivers: usize,
    /// Records that could not be read, which stay where they are: how many.
    pub unreadable: usize,
    /// Which ones and why, the first hundred.
    pub reasons: Vec<String>,
}

impl LoadedAccess {
    fn refuse(&mut self, reason: fmt::Arguments<'_>) {
        self.unreadable += 1;
        if self.reasons.len() < NAMED_UNREADABLE {
            self.reasons.push(reason.to_string());
        }
    }
}

/// Why a resource was not changed, or the change is not known to be durable ([`AccessError::Commit`]).
#[derive(Clone, Debug, thiserror::Error)]
pub enum AccessError {
    /// No such resource.
    #[error("no {kind} {name}")]
    Unknown {
        /// What it would be.
        kind: &'static str,
        /// Its name.
        name: ResourceName,
    },
    /// As many as may be.
    #[error("there are {limit} {kinds} already")]
    Full {
        /// Of what.
        kinds: &'static str,
        /// The bound.
        limit: usize,
    },
    /// Somebody else changed it meanwhile.
    #[error("the resource has revision {current}, not {expected}")]
    Revision {
        /// What the caller had.
        expected: u64,
        /// What it is.
        current: u64,
    },
    /// It is always there, as it is.
    #[error("{kind} {name} is built in and cannot be changed")]
    BuiltIn {
        /// What it is.
        kind: &'static str,
        /// Its name.
        name: ResourceName,
    },
    /// Others refer to it.
    #[error("{kind} {name} is used by {by}")]
    InUse {
        /// What it is.
        kind: &'static str,
        /// Its name.
        name: ResourceName,
        /// By whom, in words.
        by: String,
    },
    /// Another one has what only one may have.
    #[error("{kind} {name} has this {what} already")]
    Taken {
        /// What it is.
        kind: &'static str,
        /// Its name.
        name: ResourceName,
        /// What it has.
        what: &'static str,
    },
    /// A receiver could not be told any more.
    #[error("{by} is told as this user at a level for which there would be no password")]
    Needed {
        /// Which one, in words.
        by: String,
    },
    /// Fields are wrong.
    #[error("{} fields are wrong", .0.len())]
    Fields(Vec<Fault>),
    /// The store does not take it.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The change is made, but the store could not make it durable yet.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// It cannot be packed.
    #[error(transparent)]
    Record(#[from] BadAccessRecord),
}

impl AccessError {
    fn in_use(kind: &'static str, name: &ResourceName, users: &[String]) -> Self {
        let by = match users.split_at_checked(NAMED_USERS) {
            Some((named, [_, ..])) => format!("{} and {} more", named.join(", "), users.len() - NAMED_USERS),
            _ => users.join(", "),
        };
        Self::InUse { kind, name: name.clone(), by }
    }
}

/// What is wrong with a resource that somebody wants to store.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.0.push(Fault { field: field.into(), reason: reason.into() });
    }

    /// A name in a field must lead somewhere.
    fn refer<R: Resource>(&mut self, shelf: &shelf::Shelf<R>, field: &str, name: Option<&ResourceName>) {
        if let Some(name) = name.filter(|name| shelf.get(name.as_str()).is_none()) {
            self.add(field, format!("no {} {name}", R::KIND));
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn into_first(self) -> Option<Fault> {
        self.0.into_iter().next()
    }

    /// What was made, if nothing is wrong with it.
    fn none_in<R>(self, made: Option<R>) -> Result<R, AccessError> {
        match made {
            Some(made) if self.is_empty() => Ok(made),
            _ => Err(AccessError::Fields(self.0)),
        }
    }
}

fn check_networks(networks: &[Network], faults: &mut Faults) {
    if networks.len() > MAX_NETWORKS {
        faults.add("networks", format!("at most {MAX_NETWORKS}"));
    }
}

/// Whether an address is of one of these networks; all are if there are none.
fn is_from(networks: &[Network], source: IpAddr) -> bool {
    networks.is_empty() || networks.iter().any(|network| network.contains(source))
}
