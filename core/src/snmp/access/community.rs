//! Communities: who may ask and tell by versions 1 and 2c.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::password::check_community;
use super::registry::State;
use super::resource::{BadAccessRecord, Resource};
use super::shelf::Shelf;
use super::{AccessError, Faults, Version, check_networks, is_from};
use crate::name::ResourceName;
use crate::network::Network;
use crate::secret::{Sealed, Secret, Vault};
use crate::store::Table;

/// A community: the text that stands in messages, and what those may do that bring it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Community {
    /// The text. No two communities have the same.
    pub community: Secret,
    /// The versions whose messages it is good for: those of version 3 have users instead.
    pub versions: Versions,
    /// As whom it asks the agent; without one it may not.
    pub group: Option<ResourceName>,
    /// Whether notifications of devices are taken with it.
    pub notifications: bool,
    /// Where its messages may come from; empty for everywhere.
    pub networks: Box<[Network]>,
}

/// Versions that have communities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// Version 1.
    pub v1: bool,
    /// Version 2c.
    pub v2c: bool,
}

impl Versions {
    /// Whether a version is one of them.
    pub const fn contains(self, version: Version) -> bool {
        match version {
            Version::V1 => self.v1,
            Version::V2c => self.v2c,
            Version::V3 => false,
        }
    }
}

impl Community {
    /// Whether messages of a version with it may come from an address.
    pub fn is_good(&self, version: Version, source: IpAddr) -> bool {
        self.versions.contains(version) && is_from(&self.networks, source)
    }
}

/// A community that somebody wants to store.
#[derive(Clone, Debug)]
pub struct CommunityWish {
    /// The text. `None` keeps the one that there is.
    pub community: Option<Secret>,
    /// The versions that it is good for.
    pub versions: Versions,
    /// As whom it asks.
    pub group: Option<ResourceName>,
    /// Whether notifications are taken with it.
    pub notifications: bool,
    /// Where it may come from.
    pub networks: Vec<Network>,
}

/// A community in the store.
#[derive(Debug, Serialize, Deserialize)]
pub struct CommunityRecord {
    community: Sealed,
    versions: Versions,
    group: Option<ResourceName>,
    notifications: bool,
    networks: Box<[Network]>,
}

impl Resource for Community {
    const TABLE: Table = Table::SnmpCommunity;
    const VERSION: u8 = 1;
    const KIND: &'static str = "community";
    const KINDS: &'static str = "communities";
    const LIMIT: usize = 1_000;

    type Wish = CommunityWish;
    type Record = CommunityRecord;

    fn make(wish: CommunityWish, _: &ResourceName, old: Option<&Self>, faults: &mut Faults) -> Option<Self> {
        let Some(community) = wish.community.or_else(|| old.map(|old| old.community.clone())) else {
            faults.add("community", "a new one needs its text");
            return None;
        };
        let CommunityWish { versions, group, notifications, networks, .. } = wish;
        Some(Self { community, versions, group, notifications, networks: networks.into() })
    }

    fn check(&self, faults: &mut Faults) {
        check_community(&self.community, faults);
        if !self.versions.v1 && !self.versions.v2c {
            faults.add("versions", "v1, v2c or both");
        }
        check_networks(&self.networks, faults);
    }

    fn fit(&self, name: &ResourceName, state: &State, faults: &mut Faults) -> Result<(), AccessError> {
        faults.refer(&state.groups, "group", self.group.as_ref());
        match state.communities.other(name, |other| other.community == self.community) {
            Some(other) => Err(AccessError::Taken { kind: Self::KIND, name: other, what: "text" }),
            None => Ok(()),
        }
    }

    fn used_by(_: &ResourceName, _: &State) -> Vec<String> {
        Vec::new()
    }

    fn pack(&self, vault: &Vault) -> Result<CommunityRecord, BadAccessRecord> {
        Ok(CommunityRecord {
            community: vault.seal(&self.community)?,
            versions: self.versions,
            group: self.group.clone(),
            notifications: self.notifications,
            networks: self.networks.clone(),
        })
    }

    fn unpack(record: CommunityRecord, vault: &Vault) -> Result<Self, BadAccessRecord> {
        let CommunityRecord { community, versions, group, notifications, networks } = record;
        Ok(Self { community: vault.open(&community)?, versions, group, notifications, networks })
    }

    fn shelf(state: &State) -> &Shelf<Self> {
        &state.communities
    }

    fn shelf_mut(state: &mut State) -> &mut Shelf<Self> {
        &mut state.communities
    }
}
