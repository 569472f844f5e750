//! Credentials in the registry.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use super::index::{ByDevice, ByName, Placed, Spot};
use super::record;
use super::registry::{Credentials, State};
use super::{Credential, CredentialError, CredentialWish, MAX_PER_DEVICE, RealmName, Username, check};
use crate::device::DeviceId;
use crate::sip::digest::Ha1;
use crate::store::{Table, Ticket, Write};

/// Credentials on one page at the most: the lock is held for as long as finding them takes.
pub const MAX_PAGE: usize = 1_000;

/// Which credentials are wanted. Empty fields want all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialFilter {
    /// Of this realm.
    pub realm: Option<RealmName>,
    /// Of this device.
    pub device: Option<DeviceId>,
    /// Whose user name begins so.
    pub username_prefix: Option<String>,
}

/// A part of a list.
#[derive(Clone, Debug, Default)]
pub struct CredentialPage {
    /// The credentials, by realm and user name.
    pub credentials: Vec<Arc<Credential>>,
    /// Where the next page begins: after these names. `None` at the end.
    pub next: Option<(RealmName, Username)>,
}

/// A line of a phone that challenges a request of this server, such as a NOTIFY.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Realm and user name that it registered with, if it had to answer a challenge. Kept beside its registration.
    pub proven: Option<(&'a str, &'a str)>,
    /// Its device, if that is proven too, by a certificate or by the credentials: what a phone only says of itself does not count.
    pub device: Option<&'a DeviceId>,
    /// The user of its address-of-record.
    pub user: &'a str,
}

impl Credentials {
    /// The credential of a user. Does not allocate.
    pub fn find(&self, realm: &str, username: &str) -> Option<Arc<Credential>> {
        self.state.read().find(realm, username).cloned()
    }

    /// What a phone's challenge is answered with: only credentials that the phone itself has, because an answer to a nonce of its
    /// choice lets it try out passwords.
    ///
    /// These are the ones that the line registered with, if the realm is the same. Else they belong to its device: those with the
    /// user of the address-of-record, or the only ones in that realm. Does not allocate.
    pub fn answering(&self, realm: &str, line: &Line<'_>) -> Option<Arc<Credential>> {
        let state = self.state.read();
        if let Some((_, username)) = line.proven.filter(|(own, _)| *own == realm) {
            return state.find(realm, username).cloned();
        }
        let device = line.device?;
        let named = state.find(realm, line.user).filter(|one| one.device.as_ref() == Some(device));
        if named.is_some() {
            return named.cloned();
        }
        let mut own = of_device(&state.devices, Spot { device, realm, username: "" })
            .take_while(|one| one.0.realm.as_str() == realm);
        let only = own.next().filter(|_| own.next().is_none())?;
        Some(only.0.clone())
    }

    /// Store a new credential, or a changed one. The revision is set here: to 1, or to one more than before. `expected` is the
    /// revision that the change is based on.
    pub fn put(
        &self,
        wish: CredentialWish,
        create: bool,
        expected: Option<u64>,
    ) -> Result<(Arc<Credential>, Ticket), CredentialError> {
        let CredentialWish { realm, username, device, password } = wish;
        let ha1 = match &password {
            Some(password) if password.expose().is_empty() => return Err(CredentialError::Password),
            Some(password) => Some(
                Ha1::of(username.as_str(), realm.as_str(), password)
                    .map_err(|_| CredentialError::Password)?,
            ),
            None => None,
        };
        drop(password);
        let mut state = self.state.write();
        let old = state.find(realm.as_str(), username.as_str()).cloned();
        self.check_put(&state, (&realm, &username), old.as_deref(), create, expected)?;
        if let Some(device) = &device
            && old.as_ref().is_none_or(|old| old.device.as_ref() != Some(device))
        {
            check_device(&state, device)?;
        }
        let ha1 = ha1.or_else(|| Some(old.as_ref()?.ha1.clone())).ok_or(CredentialError::Password)?;
        let revision = old.as_ref().map_or(1, |old| old.revision + 1);
        // One text for all of a realm.
        let realm = state.realms.get(&realm).map_or(realm, |shelf| shelf.realm.name.clone());
        let credential = Arc::new(Credential { realm, username, device, revision, ha1 });
        let key = record::credential_key(&credential.realm, &credential.username);
        let value = record::encode_credential(&credential, &self.vault)?;
        let ticket = self.store.submit(vec![Write::put(Table::SipCredential, key, value)])?;
        state.place(&credential);
        Ok((credential, ticket))
    }

    fn check_put(
        &self,
        state: &State,
        (realm, username): (&RealmName, &Username),
        old: Option<&Credential>,
        create: bool,
        expected: Option<u64>,
    ) -> Result<(), CredentialError> {
        if !state.realms.contains_key(realm) {
            return Err(CredentialError::UnknownRealm(realm.clone()));
        }
        match old {
            None if !create => Err(CredentialError::Unknown(realm.clone(), username.clone())),
            None if state.credentials >= self.limits.credentials => {
                Err(CredentialError::Full { what: "credentials", limit: self.limits.credentials })
            }
            None => Ok(()),
            Some(old) => check(old.revision, expected),
        }
    }

    /// Forget a credential.
    pub fn remove(
        &self,
        realm: &RealmName,
        username: &Username,
        expected: Option<u64>,
    ) -> Result<Ticket, CredentialError> {
        let mut state = self.state.write();
        let old = state
            .find(realm.as_str(), username.as_str())
            .cloned()
            .ok_or_else(|| CredentialError::Unknown(realm.clone(), username.clone()))?;
        check(old.revision, expected)?;
        let key = record::credential_key(realm, username);
        let ticket = self.store.submit(vec![Write::delete(Table::SipCredential, key)])?;
        state.displace(&old);
        Ok(ticket)
    }

    /// Whether a device has a credential.
    pub fn has_of(&self, device: &DeviceId) -> bool {
        let state = self.state.read();
        of_device(&state.devices, Spot { device, realm: "", username: "" }).next().is_some()
    }

    /// The credentials behind `after` (realm and user name) that `filter` wants, at most `limit` and never more than
    /// [`MAX_PAGE`].
    pub fn page(
        &self,
        after: Option<(&str, &str)>,
        limit: usize,
        filter: &CredentialFilter,
    ) -> CredentialPage {
        let limit = limit.min(MAX_PAGE);
        let state = self.state.read();
        let prefix = filter.username_prefix.as_deref().unwrap_or_default();
        // One more than is wanted tells whether there is a next page.
        let mut credentials: Vec<Arc<Credential>> = match &filter.device {
            Some(device) => of_device(&state.devices, Spot { device, realm: "", username: "" })
                .filter(|one| after.is_none_or(|after| names(one) > after))
                .filter(|one| filter.realm.as_ref().is_none_or(|realm| one.0.realm == *realm))
                .filter(|one| one.0.username.as_str().starts_with(prefix))
                .map(|one| one.0.clone())
                .take(limit + 1)
                .collect(),
            None => state
                .realms
                .range::<str, _>((
                    after.map_or(Bound::Unbounded, |(realm, _)| Bound::Included(realm)),
                    Bound::Unbounded,
                ))
                .filter(|(realm, _)| filter.realm.as_ref().is_none_or(|wanted| *realm == wanted))
                .flat_map(|(realm, shelf)| {
                    let after = after.filter(|(own, _)| *own == realm.as_str()).map(|(_, username)| username);
                    in_realm(&shelf.order, after, prefix)
                })
                .map(|one| one.0.clone())
                .take(limit + 1)
                .collect(),
        };
        let more = credentials.len() > limit;
        credentials.truncate(limit);
        let next = credentials.last().filter(|_| more).map(|one| (one.realm.clone(), one.username.clone()));
        CredentialPage { credentials, next }
    }
}

impl State {
    fn find(&self, realm: &str, username: &str) -> Option<&Arc<Credential>> {
        self.realms.get(realm)?.names.get(username).map(|one| &one.0)
    }
}

fn names(one: &ByDevice) -> (&str, &str) {
    (one.0.realm.as_str(), one.0.username.as_str())
}

/// The credentials of a device from a place on, in their order.
fn of_device<'a>(devices: &'a BTreeSet<ByDevice>, from: Spot<'a>) -> impl Iterator<Item = &'a ByDevice> {
    let place: &dyn Placed = &from;
    devices
        .range::<dyn Placed + '_, _>((Bound::Included(place), Bound::Unbounded))
        .take_while(move |one| one.0.device.as_ref() == Some(from.device))
}

/// Those of a realm behind `after` whose names begin with `prefix`.
fn in_realm<'a>(
    order: &'a BTreeSet<ByName>,
    after: Option<&str>,
    prefix: &'a str,
) -> impl Iterator<Item = &'a ByName> {
    let from = match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    };
    order
        .range::<str, _>((from, Bound::Unbounded))
        .take_while(move |one| one.0.username.as_str().starts_with(prefix))
}

/// Refuse more credentials of a device than there may be.
fn check_device(state: &State, device: &DeviceId) -> Result<(), CredentialError> {
    let own = of_device(&state.devices, Spot { device, realm: "", username: "" });
    if own.take(MAX_PER_DEVICE).count() == MAX_PER_DEVICE {
        return Err(CredentialError::Full { what: "credentials of this device", limit: MAX_PER_DEVICE });
    }
    Ok(())
}
