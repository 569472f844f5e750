//! What those who answer messages read: everything looked up already, never changed.

use std::borrow::Borrow;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use super::receiver::TargetParams;
use super::registry::State;
use super::resource::Named;
use super::{Community, Group, Receiver, User, Version, View};
use crate::name::ResourceName;
use crate::snmp::protocol::SecurityLevel;

/// Who may use SNMP, and who is told by it, at one time.
#[derive(Default)]
pub struct Snapshot {
    generation: u64,
    /// The last number that was given to the keys of a user.
    key_generations: u64,
    users: HashSet<ByKey<KnownUser>, RandomState>,
    communities: HashSet<ByKey<KnownCommunity>, RandomState>,
    targets: Box<[Arc<Target>]>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("generation", &self.generation)
            .field("users", &self.users.len())
            .field("communities", &self.communities.len())
            .field("receivers", &self.targets.len())
            .finish_non_exhaustive()
    }
}

impl Snapshot {
    /// Another number with each change, 0 before anything is loaded.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The user of a name as it stands in messages. Does not allocate.
    pub fn user(&self, user_name: &[u8]) -> Option<&Arc<KnownUser>> {
        self.users.get(user_name).map(|found| &found.0)
    }

    /// The community of a text as it stands in messages. Does not allocate. The hash has a random seed, so that the time this takes
    /// tells nothing of the texts that are known.
    pub fn community(&self, text: &[u8]) -> Option<&Arc<KnownCommunity>> {
        self.communities.get(text).map(|found| &found.0)
    }

    /// All users, in no order.
    pub fn users(&self) -> impl Iterator<Item = &Arc<KnownUser>> {
        self.users.iter().map(|found| &found.0)
    }

    /// All receivers in the order of their names, those that are switched off among them.
    pub fn receivers(&self) -> &[Arc<Target>] {
        &self.targets
    }

    /// What holds after a change.
    pub(super) fn next(&self, state: &State) -> Self {
        let mut next = Self {
            generation: self.generation + 1,
            key_generations: self.key_generations,
            ..Self::default()
        };
        let views: BTreeMap<_, _> =
            state.views.all().map(|view| (&view.name, Arc::new(view.value.clone()))).collect();
        let groups: BTreeMap<_, _> =
            state.groups.all().map(|group| (&group.name, Reads::of(group, &views))).collect();
        let reads = |group: &Option<ResourceName>| {
            group.as_ref().and_then(|group| groups.get(group)).cloned().unwrap_or_default()
        };
        let before: BTreeMap<_, _> = self.users().map(|known| (&known.user.name, known)).collect();
        let mut users = BTreeMap::new();
        for user in state.users.all() {
            let kept = before.get(&user.name).filter(|known| known.has_keys_of(user));
            let key_generation = kept.map_or_else(|| next.new_keys(), |known| known.key_generation);
            let known = KnownUser { user: user.clone(), reads: reads(&user.group), key_generation };
            users.insert(&user.name, Arc::new(known));
        }
        for community in state.communities.all() {
            let known = KnownCommunity { community: community.clone(), reads: reads(&community.group) };
            // Two with one text are made by an import only: the first by name counts, as with users.
            next.add_community(known);
        }
        let targets = state.receivers.all().map(|receiver| {
            let user = receiver.user().and_then(|user| users.get(user)).cloned();
            Arc::new(Target { receiver: receiver.clone(), user })
        });
        next.targets = targets.collect();
        for known in users.into_values() {
            if !next.users.contains(known.key()) {
                next.users.insert(ByKey(known));
            }
        }
        next
    }

    fn add_community(&mut self, known: KnownCommunity) {
        if !self.communities.contains(known.key()) {
            self.communities.insert(ByKey(Arc::new(known)));
        }
    }

    fn new_keys(&mut self) -> u64 {
        self.key_generations += 1;
        self.key_generations
    }
}

/// Views that may be read, by level of security.
#[derive(Clone, Debug, Default)]
struct Reads([Option<Arc<View>>; 3]);

impl Reads {
    /// An entry whose view is not there gives nothing: it does not make way for one of a lower level.
    fn of(group: &Group, views: &BTreeMap<&ResourceName, Arc<View>>) -> Self {
        Self(SecurityLevel::ALL.map(|level| group.view(level).and_then(|name| views.get(name)).cloned()))
    }

    fn view(&self, level: SecurityLevel) -> Option<&Arc<View>> {
        let [none, auth, privacy] = &self.0;
        match level {
            SecurityLevel::NoAuthNoPriv => none.as_ref(),
            SecurityLevel::AuthNoPriv => auth.as_ref(),
            SecurityLevel::AuthPriv => privacy.as_ref(),
        }
    }
}

/// A user, with what it may read.
#[derive(Clone, Debug)]
pub struct KnownUser {
    /// The user, with its passwords.
    pub user: Arc<Named<User>>,
    /// Names the user's protocols and passwords: another number when one of them changes. No two users have the same, nor had they since
    /// the process started, so keys that were derived can be kept by it.
    pub key_generation: u64,
    reads: Reads,
}

impl KnownUser {
    /// What it may read at a level, if anything.
    pub fn view(&self, level: SecurityLevel) -> Option<&Arc<View>> {
        self.reads.view(level)
    }

    fn has_keys_of(&self, user: &User) -> bool {
        self.user.auth == user.auth && self.user.privacy == user.privacy
    }
}

/// A community, with what it may read.
#[derive(Clone, Debug)]
pub struct KnownCommunity {
    /// The community.
    pub community: Arc<Named<Community>>,
    reads: Reads,
}

impl KnownCommunity {
    /// Whether messages of a version with it may come from an address.
    pub fn is_good(&self, version: Version, source: IpAddr) -> bool {
        self.community.is_good(version, source)
    }

    /// What it may read, if anything.
    pub fn view(&self) -> Option<&Arc<View>> {
        self.reads.view(SecurityLevel::NoAuthNoPriv)
    }
}

/// A receiver, with the user that it is told as.
#[derive(Clone, Debug)]
pub struct Target {
    /// The receiver.
    pub receiver: Arc<Named<Receiver>>,
    /// The user, if it is told in version 3 and its user is there.
    pub user: Option<Arc<KnownUser>>,
}

impl Target {
    /// Whether it can be told: in version 3 its user must be there, with the passwords that the level needs. An import may have brought a
    /// receiver without.
    pub fn is_complete(&self) -> bool {
        match &self.receiver.params {
            TargetParams::V1 { .. } | TargetParams::V2c { .. } => true,
            TargetParams::V3 { level, .. } => {
                self.user.as_ref().is_some_and(|known| known.user.level() >= *level)
            }
        }
    }
}

/// What stands in messages for something that is known.
trait Keyed {
    fn key(&self) -> &[u8];
}

impl Keyed for KnownUser {
    fn key(&self) -> &[u8] {
        self.user.user_name.as_str().as_bytes()
    }
}

impl Keyed for KnownCommunity {
    fn key(&self) -> &[u8] {
        self.community.community.expose().as_bytes()
    }
}

/// Something that is found by what stands in messages for it.
struct ByKey<T>(Arc<T>);

impl<T: Keyed> Borrow<[u8]> for ByKey<T> {
    fn borrow(&self) -> &[u8] {
        self.0.key()
    }
}

// All three as those of the bytes that it lends.
impl<T: Keyed> Hash for ByKey<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key().hash(state);
    }
}

impl<T: Keyed> PartialEq for ByKey<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl<T: Keyed> Eq for ByKey<T> {}
