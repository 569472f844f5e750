//! All realms and credentials: kept in memory, changed through the store.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use metrics::{Unit, describe_gauge, gauge};
use parking_lot::RwLock;

use super::domain::Coverage;
use super::index::{ByDevice, ByName};
use super::record::{self, BadCredentialRecord};
use super::{Credential, CredentialError, CredentialLimits, Domain, MAX_DOMAINS, Realm, RealmName, check};
use crate::secret::Vault;
use crate::store::{LoadError, Store, Table, Ticket, Write};

/// Counts realm and credential records that cannot be read.
const UNREADABLE_RECORDS: &str = "callboard_sip_credential_unreadable_records";

/// Unreadable records that are named; the others are only counted.
const NAMED_UNREADABLE: usize = 100;

/// Describe the metrics of this module.
pub fn describe_metrics() {
    describe_gauge!(
        UNREADABLE_RECORDS,
        Unit::Count,
        "Records of SIP realms and credentials that could not be read at the start; their users are unknown"
    );
}

/// What the store held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Realms.
    pub realms: usize,
    /// Credentials.
    pub credentials: usize,
    /// Records that could not be read. They stay where they are.
    pub unreadable: usize,
    /// Which ones and why, the first hundred.
    pub reasons: Vec<String>,
}

impl Loaded {
    fn refuse(&mut self, key: &str, reason: &dyn fmt::Display) {
        self.unreadable += 1;
        if self.reasons.len() < NAMED_UNREADABLE {
            self.reasons.push(format!("{key}: {reason}"));
        }
    }
}

/// All realms and credentials.
///
/// Reading takes a lock that only changes hold alone, for the time that a record needs to be sealed and queued.
pub struct Credentials {
    pub(super) state: RwLock<State>,
    pub(super) store: Arc<dyn Store>,
    pub(super) vault: Arc<Vault>,
    pub(super) limits: CredentialLimits,
    unreadable: AtomicUsize,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) realms: BTreeMap<RealmName, Shelf>,
    coverage: Coverage,
    /// The credentials that belong to devices.
    pub(super) devices: BTreeSet<ByDevice>,
    /// Credentials of all realms.
    pub(super) credentials: usize,
}

/// A realm and its credentials, once for requests and once in their order.
pub(super) struct Shelf {
    pub(super) realm: Arc<Realm>,
    pub(super) names: HashSet<ByName, RandomState>,
    pub(super) order: BTreeSet<ByName>,
}

impl Shelf {
    fn new(realm: Arc<Realm>) -> Self {
        Self { realm, names: HashSet::default(), order: BTreeSet::new() }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.read();
        f.debug_struct("Credentials")
            .field("realms", &state.realms.len())
            .field("credentials", &state.credentials)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// No realms.
    pub fn new(store: Arc<dyn Store>, vault: Arc<Vault>, limits: CredentialLimits) -> Self {
        Self { state: RwLock::default(), store, vault, limits, unreadable: AtomicUsize::new(0) }
    }

    /// Take over what the store holds. A credential whose realm is not there counts as unreadable. Fails at a record of a newer
    /// Callboard.
    pub fn load(&self) -> Result<Loaded, LoadError> {
        let mut state = State::default();
        let mut loaded = Loaded::default();
        self.scan(Table::SipRealm, &mut loaded, |key, value, loaded| {
            let realm = record::decode_realm(value)?;
            if record::realm_key(&realm.name) == key {
                state.coverage.add(&realm);
                state.realms.insert(realm.name.clone(), Shelf::new(Arc::new(realm)));
            } else {
                loaded.refuse(key, &format_args!("holds realm {}", realm.name));
            }
            Ok(())
        })?;
        self.scan(Table::SipCredential, &mut loaded, |key, value, loaded| {
            let mut credential = record::decode_credential(value, &self.vault)?;
            if record::credential_key(&credential.realm, &credential.username) != key {
                loaded.refuse(key, &format_args!("holds {} of {}", credential.username, credential.realm));
            } else if let Some(shelf) = state.realms.get_mut(&credential.realm) {
                // One text for all of a realm.
                credential.realm = shelf.realm.name.clone();
                shelf.names.insert(ByName(Arc::new(credential)));
            } else {
                loaded.refuse(key, &"its realm is not there");
            }
            Ok(())
        })?;
        state.put_in_order();
        loaded.realms = state.realms.len();
        loaded.credentials = state.credentials;
        *self.state.write() = state;
        self.unreadable.store(loaded.unreadable, Ordering::Relaxed);
        #[allow(clippy::cast_precision_loss)] // far below 2^52
        gauge!(UNREADABLE_RECORDS).set(loaded.unreadable as f64);
        Ok(loaded)
    }

    /// Records that could not be read when they were [loaded](Credentials::load).
    pub fn unreadable(&self) -> usize {
        self.unreadable.load(Ordering::Relaxed)
    }

    fn scan(
        &self,
        table: Table,
        loaded: &mut Loaded,
        mut take: impl FnMut(&str, &[u8], &mut Loaded) -> Result<(), BadCredentialRecord>,
    ) -> Result<(), LoadError> {
        let mut newer = None;
        let scan = self.store.scan(table, &mut |key, value| {
            match take(key, value, loaded) {
                Ok(()) => {}
                Err(BadCredentialRecord::Newer(found)) => {
                    newer = Some((Box::from(key), found));
                    return ControlFlow::Break(());
                }
                Err(error) => loaded.refuse(key, &error),
            }
            ControlFlow::Continue(())
        })?;
        if let Some((key, found)) = newer {
            return Err(LoadError::Newer { table, key, found, supported: record::VERSION });
        }
        for damaged in scan.damaged_list {
            loaded.refuse(&damaged.key, &damaged.reason);
        }
        Ok(())
    }

    /// Whether there is any realm.
    pub fn has_realms(&self) -> bool {
        !self.state.read().realms.is_empty()
    }

    /// All realms in the order of their names.
    pub fn realms(&self) -> Vec<Arc<Realm>> {
        self.state.read().realms.values().map(|shelf| shelf.realm.clone()).collect()
    }

    /// One realm.
    pub fn realm(&self, name: &str) -> Option<Arc<Realm>> {
        self.state.read().realms.get(name).map(|shelf| shelf.realm.clone())
    }

    /// The realm that covers the host of a Request-URI. Without one the host is not ours (RFC 3261, section 10.3, step 1). Does
    /// not allocate.
    pub fn realm_of(&self, host: &str) -> Option<Arc<Realm>> {
        let state = self.state.read();
        let name = state.coverage.of(host)?;
        state.realms.get(name).map(|shelf| shelf.realm.clone())
    }

    /// Credentials in a realm; 0 if there is no such realm.
    pub fn count(&self, realm: &str) -> usize {
        self.state.read().realms.get(realm).map_or(0, |shelf| shelf.names.len())
    }

    /// Store a new realm, or other domains of one. The revision is set here: to 1, or to one more than before. `expected` is the
    /// revision that the change is based on.
    pub fn put_realm(
        &self,
        name: RealmName,
        mut domains: Vec<Domain>,
        create: bool,
        expected: Option<u64>,
    ) -> Result<(Arc<Realm>, Ticket), CredentialError> {
        domains.sort_unstable();
        domains.dedup();
        if domains.len() > MAX_DOMAINS {
            return Err(CredentialError::Full { what: "domains in a realm", limit: MAX_DOMAINS });
        }
        let mut state = self.state.write();
        let old = state.realms.get(&name).map(|shelf| shelf.realm.clone());
        match &old {
            None if !create => return Err(CredentialError::UnknownRealm(name)),
            None if state.realms.len() >= self.limits.realms => {
                return Err(CredentialError::Full { what: "realms", limit: self.limits.realms });
            }
            None => {}
            Some(old) => check(old.revision, expected)?,
        }
        state.check_free(&name, &domains)?;
        let revision = old.as_ref().map_or(1, |old| old.revision + 1);
        // One text for all of a realm.
        let name = old.as_ref().map_or(name, |old| old.name.clone());
        let realm = Arc::new(Realm { name, domains: domains.into(), revision });
        let write =
            Write::put(Table::SipRealm, record::realm_key(&realm.name), record::encode_realm(&realm)?);
        let ticket = self.store.submit(vec![write])?;
        if let Some(old) = old {
            state.coverage.remove(&old);
        }
        state.coverage.add(&realm);
        state
            .realms
            .entry(realm.name.clone())
            .and_modify(|shelf| shelf.realm = realm.clone())
            .or_insert_with(|| Shelf::new(realm.clone()));
        Ok((realm, ticket))
    }

    /// Forget a realm. Refused as long as it has credentials.
    pub fn remove_realm(&self, name: &RealmName, expected: Option<u64>) -> Result<Ticket, CredentialError> {
        let mut state = self.state.write();
        let shelf = state.realms.get(name).ok_or_else(|| CredentialError::UnknownRealm(name.clone()))?;
        check(shelf.realm.revision, expected)?;
        let credentials = shelf.names.len();
        if credentials > 0 {
            return Err(CredentialError::RealmInUse { credentials });
        }
        let ticket = self.store.submit(vec![Write::delete(Table::SipRealm, record::realm_key(name))])?;
        if let Some(shelf) = state.realms.remove(name) {
            state.coverage.remove(&shelf.realm);
        }
        Ok(ticket)
    }
}

impl State {
    /// Whether no other realm covers these domains.
    fn check_free(&self, name: &RealmName, domains: &[Domain]) -> Result<(), CredentialError> {
        for domain in domains {
            if let Some(realm) = self.coverage.holder(domain).filter(|other| *other != name) {
                return Err(CredentialError::DomainTaken { domain: domain.clone(), realm: realm.clone() });
            }
        }
        match self.coverage.rest().filter(|other| domains.is_empty() && *other != name) {
            Some(other) => Err(CredentialError::RestTaken(other.clone())),
            None => Ok(()),
        }
    }

    /// Make the orders of what was loaded: at once they come out denser than one by one.
    fn put_in_order(&mut self) {
        for shelf in self.realms.values_mut() {
            shelf.names.shrink_to_fit();
            shelf.order = shelf.names.iter().cloned().collect();
        }
        let all = || self.realms.values().flat_map(|shelf| &shelf.order);
        self.credentials = all().count();
        self.devices =
            all().filter(|one| one.0.device.is_some()).map(|one| ByDevice(one.0.clone())).collect();
    }

    /// A credential takes the place of the one with its names, or is new.
    pub(super) fn place(&mut self, credential: &Arc<Credential>) {
        let Some(shelf) = self.realms.get_mut(&credential.realm) else { return };
        // Sets keep the key that they have.
        if let Some(ByName(old)) = shelf.names.take(credential.username.as_str()) {
            shelf.order.remove(credential.username.as_str());
            self.devices.remove(&ByDevice(old));
        } else {
            self.credentials += 1;
        }
        shelf.names.insert(ByName(credential.clone()));
        shelf.order.insert(ByName(credential.clone()));
        if credential.device.is_some() {
            self.devices.insert(ByDevice(credential.clone()));
        }
    }

    /// A credential goes.
    pub(super) fn displace(&mut self, credential: &Arc<Credential>) {
        let Some(shelf) = self.realms.get_mut(&credential.realm) else { return };
        if shelf.names.remove(credential.username.as_str()) {
            shelf.order.remove(credential.username.as_str());
            self.devices.remove(&ByDevice(credential.clone()));
            self.credentials -= 1;
        }
    }
}
