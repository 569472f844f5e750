//! Receivers: where notifications of this server go (RFC 3413, `snmpTargetAddrTable` and its neighbours).

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::password::check_community;
use super::registry::State;
use super::resource::{BadAccessRecord, Resource};
use super::shelf::Shelf;
use super::{AccessError, Faults, Version};
use crate::event::{EventKind, Severity};
use crate::name::ResourceName;
use crate::secret::{Sealed, Secret, Vault};
use crate::snmp::protocol::SecurityLevel;
use crate::store::Table;

/// The port of receivers (RFC 3417, section 3.1).
pub const USUAL_PORT: u16 = 162;

/// Time to wait for the answer to an inform, in milliseconds.
pub const TIMEOUT_MILLIS: RangeInclusive<u32> = 100..=60_000;

/// The same if nobody says otherwise.
pub const USUAL_TIMEOUT_MILLIS: u32 = 1_500;

/// Somebody who is told what happens here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Whether it is told now.
    pub enabled: bool,
    /// Where it is.
    pub address: SocketAddr,
    /// In which version, and as whom.
    pub params: TargetParams,
    /// Whether it has to acknowledge.
    pub mode: Mode,
    /// Time to wait for the answer to an inform.
    pub timeout: Duration,
    /// What it is told.
    pub filter: Filter,
}

/// In which version a receiver is told, and as whom (RFC 3413, `snmpTargetParamsTable`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetParams {
    /// Version 1.
    V1 {
        /// With this community.
        community: Secret,
    },
    /// Version 2c.
    V2c {
        /// With this community.
        community: Secret,
    },
    /// Version 3.
    V3 {
        /// As this user, by the name of the resource.
        user: ResourceName,
        /// Protected like this.
        level: SecurityLevel,
    },
}

/// Whether a receiver has to acknowledge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// It has not: what gets lost is lost.
    #[default]
    Trap,
    /// It has, and is told again until it does. There is no such thing in version 1.
    Inform,
}

impl Mode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Trap, Self::Inform];

    /// The word used in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Inform => "inform",
        }
    }
}

/// What a receiver is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Kinds of events, in order and each once; empty for all.
    pub kinds: Box<[EventKind]>,
    /// The lowest severity.
    pub severity: Severity,
}

impl Default for Filter {
    fn default() -> Self {
        Self { kinds: Box::default(), severity: Severity::Info }
    }
}

impl Filter {
    /// Whether events of a kind pass.
    pub fn takes(&self, kind: EventKind) -> bool {
        kind.severity() >= self.severity && (self.kinds.is_empty() || self.kinds.contains(&kind))
    }
}

impl Receiver {
    /// The version that it is told in.
    pub const fn version(&self) -> Version {
        match self.params {
            TargetParams::V1 { .. } => Version::V1,
            TargetParams::V2c { .. } => Version::V2c,
            TargetParams::V3 { .. } => Version::V3,
        }
    }

    /// The community that it is told with.
    pub const fn community(&self) -> Option<&Secret> {
        match &self.params {
            TargetParams::V1 { community } | TargetParams::V2c { community } => Some(community),
            TargetParams::V3 { .. } => None,
        }
    }

    /// The user that it is told as.
    pub const fn user(&self) -> Option<&ResourceName> {
        match &self.params {
            TargetParams::V3 { user, .. } => Some(user),
            TargetParams::V1 { .. } | TargetParams::V2c { .. } => None,
        }
    }
}

/// A receiver that somebody wants to store.
#[derive(Clone, Debug)]
pub struct ReceiverWish {
    /// Whether it is told now.
    pub enabled: bool,
    /// Where it is.
    pub address: SocketAddr,
    /// In which version.
    pub version: Version,
    /// With which community, for versions 1 and 2c. `None` keeps the one that there is.
    pub community: Option<Secret>,
    /// As which user, for version 3.
    pub user: Option<ResourceName>,
    /// How it is protected, for version 3.
    pub level: Option<SecurityLevel>,
    /// Whether it has to acknowledge.
    pub mode: Mode,
    /// Time to wait for the answer to an inform.
    pub timeout: Duration,
    /// What it is told.
    pub filter: Filter,
}

impl ReceiverWish {
    fn params(&mut self, old: Option<&Receiver>, faults: &mut Faults) -> Option<TargetParams> {
        if self.version == Version::V3 {
            if self.community.is_some() {
                faults.add("community", "only with version v1 or v2c; version v3 has user and level");
            }
            if self.user.is_none() {
                faults.add("user", "version v3 needs one");
            }
            if self.level.is_none() {
                faults.add("level", "version v3 needs one");
            }
            return Some(TargetParams::V3 { user: self.user.take()?, level: self.level? });
        }
        for (field, is_given) in [("user", self.user.is_some()), ("level", self.level.is_some())] {
            if is_given {
                faults.add(field, "only with version v3; versions v1 and v2c have a community");
            }
        }
        let community = self.community.take().or_else(|| old.and_then(Receiver::community).cloned());
        if community.is_none() {
            faults.add("community", "versions v1 and v2c need one");
        }
        Some(match self.version {
            Version::V1 => TargetParams::V1 { community: community? },
            _ => TargetParams::V2c { community: community? },
        })
    }
}

/// A receiver in the store.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReceiverRecord {
    enabled: bool,
    address: IpAddr,
    port: u16,
    params: ParamsRecord,
    mode: Mode,
    timeout_millis: u32,
    /// As numbers, which kinds keep for ever.
    kinds: Vec<u32>,
    severity: Severity,
}

#[derive(Debug, Serialize, Deserialize)]
enum ParamsRecord {
    V1(Sealed),
    V2c(Sealed),
    V3(ResourceName, SecurityLevel),
}

impl Resource for Receiver {
    const TABLE: Table = Table::SnmpReceiver;
    const VERSION: u8 = 1;
    const KIND: &'static str = "receiver";
    const KINDS: &'static str = "receivers";
    const LIMIT: usize = 32;

    type Wish = ReceiverWish;
    type Record = ReceiverRecord;

    fn make(
        mut wish: ReceiverWish,
        _: &ResourceName,
        old: Option<&Self>,
        faults: &mut Faults,
    ) -> Option<Self> {
        let params = wish.params(old, faults);
        let ReceiverWish { enabled, address, mode, timeout, mut filter, .. } = wish;
        filter.kinds.sort_unstable();
        let mut kinds = filter.kinds.into_vec();
        kinds.dedup();
        filter.kinds = kinds.into();
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        Some(Self { enabled, address, params: params?, mode, timeout, filter })
    }

    fn check(&self, faults: &mut Faults) {
        let ip = self.address.ip();
        if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::from([255; 4]) {
            faults.add("address", "the address of one receiver");
        }
        if self.address.port() == 0 {
            faults.add("port", "1 to 65535");
        }
        if let Some(community) = self.community() {
            check_community(community, faults);
        }
        if self.mode == Mode::Inform && self.version() == Version::V1 {
            faults.add("mode", "version v1 has no informs");
        }
        if !millis(self.timeout).is_some_and(|millis| TIMEOUT_MILLIS.contains(&millis)) {
            let (least, most) = (TIMEOUT_MILLIS.start(), TIMEOUT_MILLIS.end());
            faults.add("timeout_ms", format!("{least} to {most}"));
        }
    }

    fn fit(&self, _: &ResourceName, state: &State, faults: &mut Faults) -> Result<(), AccessError> {
        let TargetParams::V3 { user, level } = &self.params else { return Ok(()) };
        faults.refer(&state.users, "user", Some(user));
        if state.users.get(user.as_str()).is_some_and(|user| user.level() < *level) {
            faults.add("level", format!("user {user} has no password for {}", level.as_str()));
        }
        Ok(())
    }

    fn used_by(_: &ResourceName, _: &State) -> Vec<String> {
        Vec::new()
    }

    fn pack(&self, vault: &Vault) -> Result<ReceiverRecord, BadAccessRecord> {
        Ok(ReceiverRecord {
            enabled: self.enabled,
            address: self.address.ip(),
            port: self.address.port(),
            params: match &self.params {
                TargetParams::V1 { community } => ParamsRecord::V1(vault.seal(community)?),
                TargetParams::V2c { community } => ParamsRecord::V2c(vault.seal(community)?),
                TargetParams::V3 { user, level } => ParamsRecord::V3(user.clone(), *level),
            },
            mode: self.mode,
            timeout_millis: millis(self.timeout).unwrap_or(u32::MAX),
            kinds: self.filter.kinds.iter().map(|kind| kind.number()).collect(),
            severity: self.filter.severity,
        })
    }

    fn unpack(record: ReceiverRecord, vault: &Vault) -> Result<Self, BadAccessRecord> {
        let kind = |number: &u32| {
            let found = EventKind::ALL.iter().find(|kind| kind.number() == *number).copied();
            found.ok_or_else(|| BadAccessRecord::Wrong(format!("filter.kinds: no kind {number}")))
        };
        let kinds = record.kinds.iter().map(kind).collect::<Result<_, _>>()?;
        Ok(Self {
            enabled: record.enabled,
            address: SocketAddr::new(record.address, record.port),
            params: match record.params {
                ParamsRecord::V1(community) => TargetParams::V1 { community: vault.open(&community)? },
                ParamsRecord::V2c(community) => TargetParams::V2c { community: vault.open(&community)? },
                ParamsRecord::V3(user, level) => TargetParams::V3 { user, level },
            },
            mode: record.mode,
            timeout: Duration::from_millis(record.timeout_millis.into()),
            filter: Filter { kinds, severity: record.severity },
        })
    }

    fn shelf(state: &State) -> &Shelf<Self> {
        &state.receivers
    }

    fn shelf_mut(state: &mut State) -> &mut Shelf<Self> {
        &mut state.receivers
    }
}

fn millis(time: Duration) -> Option<u32> {
    u32::try_from(time.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_passes_kinds_that_are_named_and_matter() {
        let all = Filter::default();
        assert!(EventKind::ALL.iter().all(|kind| all.takes(*kind)));
        let errors = Filter { severity: Severity::Error, ..Filter::default() };
        assert!(errors.takes(EventKind::StoreTrouble) && !errors.takes(EventKind::EndpointLost));
        let kinds = [EventKind::EndpointLost, EventKind::AdminChange].into();
        let named = Filter { kinds, severity: Severity::Warning };
        assert!(named.takes(EventKind::EndpointLost));
        assert!(!named.takes(EventKind::AdminChange) && !named.takes(EventKind::StoreTrouble));
    }
}
