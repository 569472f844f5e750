//! What the five kinds of resources have in common: a name, a revision, and a record in a table of their own.

use std::fmt;
use std::ops::Deref;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::registry::State;
use super::shelf::Shelf;
use super::{AccessError, Faults};
use crate::name::ResourceName;
use crate::secret::{Vault, VaultError};
use crate::store::Table;

/// A resource with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<R> {
    /// Its name.
    pub name: ResourceName,
    /// Counts changes, from 1; 0 of one that is built in.
    pub revision: u64,
    /// What it is.
    pub value: R,
}

impl<R> Named<R> {
    /// Whether it is built in: it cannot be changed, and is in no record.
    pub const fn is_built_in(&self) -> bool {
        self.revision == 0
    }
}

impl<R> Deref for Named<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.value
    }
}

/// One of the kinds of resources that say who may use SNMP: [`View`](super::View), [`Group`](super::Group), [`User`](super::User),
/// [`Community`](super::Community) and [`Receiver`](super::Receiver). Nobody else can be one: their place is in the registry.
pub trait Resource: fmt::Debug + Send + Sync + Sized + 'static {
    /// Where its records lie, by name.
    const TABLE: Table;
    /// Version of the record form that this build writes.
    const VERSION: u8;
    /// What one is called.
    const KIND: &'static str;
    /// What more of them are called.
    const KINDS: &'static str;
    /// How many there may be.
    const LIMIT: usize;

    /// One that somebody wants to store: secrets may be missing, which then stay.
    type Wish;
    /// What is in a record besides name and revision, with secrets sealed.
    type Record: Serialize + DeserializeOwned;

    /// What is wished, with what stays of `old`. `None` only with a fault.
    fn make(wish: Self::Wish, name: &ResourceName, old: Option<&Self>, faults: &mut Faults) -> Option<Self>;

    /// What is wrong with it, by itself.
    fn check(&self, faults: &mut Faults);

    /// What is wrong with it among the others.
    ///
    /// # Errors
    /// If it is in conflict with another one.
    fn fit(&self, name: &ResourceName, state: &State, faults: &mut Faults) -> Result<(), AccessError>;

    /// What refers to the one of this name, in words.
    fn used_by(name: &ResourceName, state: &State) -> Vec<String>;

    /// One that is always there.
    fn built_in() -> Option<(ResourceName, Self)> {
        None
    }

    /// Seal it for a record.
    ///
    /// # Errors
    /// If there are no random numbers.
    fn pack(&self, vault: &Vault) -> Result<Self::Record, BadAccessRecord>;

    /// Open what was sealed.
    ///
    /// # Errors
    /// If it does not open, or says what cannot be.
    fn unpack(record: Self::Record, vault: &Vault) -> Result<Self, BadAccessRecord>;

    /// Where they stand.
    fn shelf(state: &State) -> &Shelf<Self>;

    /// The same, to be changed.
    fn shelf_mut(state: &mut State) -> &mut Shelf<Self>;
}

/// A record that cannot be read as a resource, or a resource that cannot be made one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAccessRecord {
    /// Written by a newer Callboard.
    #[error("record version {0} is newer than this Callboard reads")]
    Newer(u8),
    /// The bytes do not fit the form.
    #[error("malformed record: {0}")]
    Malformed(postcard::Error),
    /// They say what cannot be.
    #[error("{0}")]
    Wrong(String),
    /// What is sealed does not open, or nothing can be sealed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

#[derive(Serialize, Deserialize)]
struct Frame<T> {
    name: ResourceName,
    revision: u64,
    record: T,
}

/// Pack a resource.
pub(super) fn encode<R: Resource>(resource: &Named<R>, vault: &Vault) -> Result<Vec<u8>, BadAccessRecord> {
    let Named { name, revision, value } = resource;
    let frame = Frame { name: name.clone(), revision: *revision, record: value.pack(vault)? };
    postcard::to_extend(&frame, vec![R::VERSION]).map_err(BadAccessRecord::Malformed)
}

/// Unpack a resource.
pub(super) fn decode<R: Resource>(bytes: &[u8], vault: &Vault) -> Result<Named<R>, BadAccessRecord> {
    let payload = match bytes.split_first() {
        Some((version, payload)) if *version == R::VERSION => payload,
        Some((version, _)) if *version > R::VERSION => return Err(BadAccessRecord::Newer(*version)),
        _ => return Err(BadAccessRecord::Malformed(postcard::Error::DeserializeBadEncoding)),
    };
    let frame: Frame<R::Record> = postcard::from_bytes(payload).map_err(BadAccessRecord::Malformed)?;
    let Frame { name, revision, record } = frame;
    if revision == 0 {
        return Err(BadAccessRecord::Wrong("revision 0".into()));
    }
    let value = R::unpack(record, vault)?;
    let mut faults = Faults::default();
    value.check(&mut faults);
    match faults.into_first() {
        Some(fault) => Err(BadAccessRecord::Wrong(format!("{}: {}", fault.field, fault.reason))),
        None => Ok(Named { name, revision, value }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::{
        Community, Filter, Group, Mode, Password, Receiver, TargetParams, User, Versions, View,
    };
    use super::*;
    use crate::event::{EventKind, Severity};
    use crate::network::Network;
    use crate::secret::{KEY_LEN, Secret};
    use crate::snmp::protocol::{AuthProtocol, PrivProtocol, SecurityLevel};

    fn vault() -> Vault {
        Vault::new(&[3; KEY_LEN]).unwrap()
    }

    fn comes_back<R: Resource + Clone + PartialEq>(name: &ResourceName, revision: u64, value: R) {
        let resource = Named { name: name.clone(), revision, value };
        let bytes = encode(&resource, &vault()).unwrap();
        assert_eq!(decode(&bytes, &vault()), Ok(resource));
    }

    fn is_read<R: Resource + Clone + PartialEq>(bytes: &[u8]) {
        if let Ok(Named { name, revision, value }) = decode::<R>(bytes, &vault()) {
            comes_back(&name, revision, value);
        }
    }

    fn name() -> impl Strategy<Value = ResourceName> {
        "[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,63}".prop_map(|text| text.parse().unwrap())
    }

    fn level() -> impl Strategy<Value = SecurityLevel> {
        prop::sample::select(SecurityLevel::ALL.to_vec())
    }

    fn networks() -> impl Strategy<Value = Box<[Network]>> {
        let known = ["192.0.2.0/24", "::/0", "2001:db8::7"].map(|text| text.parse().unwrap());
        prop::collection::vec(prop::sample::select(known.to_vec()), 0..4).prop_map(Into::into)
    }

    prop_compose! {
        fn user()(
            auth in prop::option::of((prop::sample::select(AuthProtocol::ALL.to_vec()), ".{8,20}")),
            privacy in prop::option::of((prop::sample::select(PrivProtocol::ALL.to_vec()), ".{8,20}")),
            user_name in "[ -~]{1,32}",
            group in prop::option::of(name()),
            notifications in prop::option::of(level()),
            networks in networks(),
        ) -> User {
            let auth = auth.map(|(protocol, word)| Password { protocol, secret: Secret::new(word) });
            let privacy = privacy.map(|(protocol, word)| Password { protocol, secret: Secret::new(word) });
            let privacy = privacy.filter(|_| auth.is_some());
            let mut user = User { user_name: user_name.parse().unwrap(), auth, privacy, group, notifications: None, networks };
            user.notifications = notifications.filter(|level| *level <= user.level());
            user
        }
    }

    prop_compose! {
        fn receiver()(
            v1 in any::<bool>(),
            community in "[ -~]{1,255}",
            to_user in prop::option::of((name(), level())),
            (ip, port) in (1..0xe000_0000_u32, 1..=u16::MAX),
            (enabled, informs) in (any::<bool>(), any::<bool>()),
            millis in 100..=60_000_u64,
            kinds in prop::sample::subsequence(EventKind::ALL.to_vec(), 0..EventKind::ALL.len()),
            severity in prop::sample::select(vec![Severity::Info, Severity::Warning, Severity::Error]),
        ) -> Receiver {
            let community = Secret::new(community);
            let params = match to_user {
                Some((user, level)) => TargetParams::V3 { user, level },
                None if v1 => TargetParams::V1 { community },
                None => TargetParams::V2c { community },
            };
            let mode = if informs && !matches!(params, TargetParams::V1 { .. }) { Mode::Inform } else { Mode::Trap };
            let address = (std::net::Ipv4Addr::from(ip), port).into();
            let filter = Filter { kinds: kinds.into(), severity };
            Receiver { enabled, address, params, mode, timeout: Duration::from_millis(millis), filter }
        }
    }

    proptest! {
        #[test]
        fn views_and_groups_come_back(
            name in name(),
            revision in 1..u64::MAX,
            include in prop::collection::vec("[0-2](\\.([0-9]|\\*)){0,9}", 1..9),
            exclude in prop::collection::vec("[0-2](\\.([0-9]|\\*)){0,9}", 0..9),
            views in prop::array::uniform3(prop::option::of(name())),
        ) {
            let subtrees = |texts: Vec<String>| texts.into_iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
            comes_back(&name, revision, View::new(subtrees(include), subtrees(exclude)));
            if views.iter().any(Option::is_some) {
                comes_back(&name, revision, Group { views });
            }
        }

        #[test]
        fn users_communities_and_receivers_come_back(
            name in name(),
            revision in 1..u64::MAX,
            user in user(),
            community in "[ -~]{1,255}",
            (v1, notifications) in any::<(bool, bool)>(),
            receiver in receiver(),
        ) {
            let (group, networks) = (user.group.clone(), user.networks.clone());
            comes_back(&name, revision, user);
            let (community, versions) = (Secret::new(community), Versions { v1, v2c: !v1 });
            comes_back(&name, revision, Community { community, versions, group, notifications, networks });
            comes_back(&name, revision, receiver);
        }

        #[test]
        fn garbage_is_no_resource(mut bytes in prop::collection::vec(any::<u8>(), 0..200), is_current in any::<bool>()) {
            if let (true, Some(version)) = (is_current, bytes.first_mut()) {
                *version = 1;
            }
            is_read::<View>(&bytes);
            is_read::<Group>(&bytes);
            is_read::<User>(&bytes);
            is_read::<Community>(&bytes);
            is_read::<Receiver>(&bytes);
        }

        /// Whatever a record is changed into, it is read as something that may be, or not at all.
        #[test]
        fn a_spoilt_record_is_refused_or_sound(user in user(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let resource = Named { name: "u".parse().unwrap(), revision: 1, value: user };
            let mut bytes = encode(&resource, &vault()).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(read) = decode::<User>(&bytes, &vault()) {
                let mut faults = Faults::default();
                read.check(&mut faults);
                prop_assert!(faults.is_empty());
            }
        }
    }
}
