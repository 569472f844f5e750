//! Users of SNMP version 3 (RFC 3414).

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::receiver::TargetParams;
use super::registry::State;
use super::resource::{BadAccessRecord, Resource};
use super::shelf::Shelf;
use super::{AccessError, Faults, Password, Receiver, check_networks, is_from};
use crate::event::deceives;
use crate::name::ResourceName;
use crate::network::Network;
use crate::secret::{Sealed, Secret, Vault};
use crate::snmp::protocol::{AuthProtocol, PrivProtocol, SecurityLevel};
use crate::store::Table;

/// Longest name of a user in messages, in bytes (RFC 3414, section 2.4).
pub const MAX_USER_NAME_BYTES: usize = 32;

/// The name of a user as it stands in messages: 1 to [`MAX_USER_NAME_BYTES`] bytes of printable text, letter case counting.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(Box<str>);

/// A text that can be no name of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a user's name in messages has 1 to {MAX_USER_NAME_BYTES} bytes of printable text")]
pub struct BadUserName;

impl UserName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = BadUserName;

    fn from_str(text: &str) -> Result<Self, BadUserName> {
        let fits = (1..=MAX_USER_NAME_BYTES).contains(&text.len()) && !text.chars().any(deceives);
        if fits { Ok(Self(text.into())) } else { Err(BadUserName) }
    }
}

impl Borrow<[u8]> for UserName {
    fn borrow(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for UserName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for UserName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A user: what protects its messages, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name in messages. No two users have the same.
    pub user_name: UserName,
    /// How its messages are authenticated, if they can be.
    pub auth: Option<Password<AuthProtocol>>,
    /// How its messages are encrypted, if they can be; never without `auth`.
    pub privacy: Option<Password<PrivProtocol>>,
    /// As whom it asks the agent; without one it may not.
    pub group: Option<ResourceName>,
    /// The lowest level at which notifications of devices are taken from it; without one none are.
    pub notifications: Option<SecurityLevel>,
    /// Where its messages may come from; empty for everywhere.
    pub networks: Box<[Network]>,
}

impl User {
    /// The highest level that its messages can have.
    pub const fn level(&self) -> SecurityLevel {
        match (&self.auth, &self.privacy) {
            (None, _) => SecurityLevel::NoAuthNoPriv,
            (Some(_), None) => SecurityLevel::AuthNoPriv,
            (Some(_), Some(_)) => SecurityLevel::AuthPriv,
        }
    }

    /// Whether notifications are taken from it that came at a level.
    pub fn may_notify(&self, level: SecurityLevel) -> bool {
        self.notifications.is_some_and(|lowest| level >= lowest)
    }

    /// Whether its messages may come from an address.
    pub fn is_from(&self, source: IpAddr) -> bool {
        is_from(&self.networks, source)
    }
}

/// A user that somebody wants to store.
#[derive(Clone, Debug, Default)]
pub struct UserWish {
    /// Its name in messages; that of the resource if it is not given.
    pub user_name: Option<UserName>,
    /// How its messages are authenticated.
    pub auth_protocol: Option<AuthProtocol>,
    /// With which password. `None` keeps the one that there is, if the protocol stays.
    pub auth_password: Option<Secret>,
    /// How its messages are encrypted.
    pub priv_protocol: Option<PrivProtocol>,
    /// With which password; as for `auth_password`.
    pub priv_password: Option<Secret>,
    /// As whom it asks.
    pub group: Option<ResourceName>,
    /// The lowest level of its notifications.
    pub notifications: Option<SecurityLevel>,
    /// Where it may come from.
    pub networks: Vec<Network>,
}

/// A user in the store.
#[derive(Debug, Serialize, Deserialize)]
pub struct UserRecord {
    user_name: UserName,
    auth: Option<(AuthProtocol, Sealed)>,
    privacy: Option<(PrivProtocol, Sealed)>,
    group: Option<ResourceName>,
    notifications: Option<SecurityLevel>,
    networks: Box<[Network]>,
}

impl Resource for User {
    const TABLE: Table = Table::SnmpUser;
    const VERSION: u8 = 1;
    const KIND: &'static str = "user";
    const KINDS: &'static str = "users";
    const LIMIT: usize = 1_000;

    type Wish = UserWish;
    type Record = UserRecord;

    fn make(wish: UserWish, name: &ResourceName, old: Option<&Self>, faults: &mut Faults) -> Option<Self> {
        let auth = Password::wanted(
            "auth",
            (wish.auth_protocol, wish.auth_password),
            old.and_then(|old| old.auth.as_ref()),
            faults,
        );
        let privacy = Password::wanted(
            "priv",
            (wish.priv_protocol, wish.priv_password),
            old.and_then(|old| old.privacy.as_ref()),
            faults,
        );
        let user_name = wish.user_name.or_else(|| {
            let own = name.as_str().parse();
            own.map_err(|bad: BadUserName| faults.add("user_name", bad.to_string())).ok()
        });
        let (group, notifications, networks) = (wish.group, wish.notifications, wish.networks.into());
        // What is missing would look like another fault.
        if !faults.is_empty() {
            return None;
        }
        Some(Self { user_name: user_name?, auth, privacy, group, notifications, networks })
    }

    fn check(&self, faults: &mut Faults) {
        if let Some(auth) = &self.auth {
            auth.check("auth_password", faults);
        }
        if let Some(privacy) = &self.privacy {
            privacy.check("priv_password", faults);
            if self.auth.is_none() {
                faults.add(
                    "priv_protocol",
                    "only messages that are authenticated can be encrypted: auth_protocol is needed, too",
                );
            }
        }
        if let Some(level) = self.notifications.filter(|level| *level > self.level()) {
            faults.add("notifications", format!("the user has no password for {}", level.as_str()));
        }
        check_networks(&self.networks, faults);
    }

    fn fit(&self, name: &ResourceName, state: &State, faults: &mut Faults) -> Result<(), AccessError> {
        faults.refer(&state.groups, "group", self.group.as_ref());
        if let Some(other) = state.users.other(name, |user| user.user_name == self.user_name) {
            return Err(AccessError::Taken { kind: Self::KIND, name: other, what: "user_name" });
        }
        let level_of = |receiver: &Receiver| match &receiver.params {
            TargetParams::V3 { user, level } if user == name => Some(*level),
            _ => None,
        };
        let needs = |receiver: &Receiver| level_of(receiver).is_some_and(|level| level > self.level());
        match state.receivers.labels(needs).into_iter().next() {
            Some(by) => Err(AccessError::Needed { by }),
            None => Ok(()),
        }
    }

    fn used_by(name: &ResourceName, state: &State) -> Vec<String> {
        state.receivers.labels(|receiver| receiver.user() == Some(name))
    }

    fn pack(&self, vault: &Vault) -> Result<UserRecord, BadAccessRecord> {
        Ok(UserRecord {
            user_name: self.user_name.clone(),
            auth: self.auth.as_ref().map(|auth| auth.seal(vault)).transpose()?,
            privacy: self.privacy.as_ref().map(|privacy| privacy.seal(vault)).transpose()?,
            group: self.group.clone(),
            notifications: self.notifications,
            networks: self.networks.clone(),
        })
    }

    fn unpack(record: UserRecord, vault: &Vault) -> Result<Self, BadAccessRecord> {
        let UserRecord { user_name, auth, privacy, group, notifications, networks } = record;
        let auth = auth.map(|auth| Password::open(auth, vault)).transpose()?;
        let privacy = privacy.map(|privacy| Password::open(privacy, vault)).transpose()?;
        Ok(Self { user_name, auth, privacy, group, notifications, networks })
    }

    fn shelf(state: &State) -> &Shelf<Self> {
        &state.users
    }

    fn shelf_mut(state: &mut State) -> &mut Shelf<Self> {
        &mut state.users
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_is_printable_text() {
        for good in ["a", "noc user", "Müller", &"x".repeat(32)] {
            assert_eq!(good.parse::<UserName>().unwrap().as_str(), good);
        }
        for bad in ["", "a\n", "a\u{202e}b", "\0", &"x".repeat(33), &"ü".repeat(17)] {
            assert_eq!(bad.parse::<UserName>(), Err(BadUserName), "{bad:?}");
        }
    }
}
