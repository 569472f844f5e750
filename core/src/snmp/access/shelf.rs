//! All resources of one kind: kept in memory by name, changed through the store.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::resource::{self, BadAccessRecord, Named, Resource};
use super::{AccessError, LoadedAccess};
use crate::name::ResourceName;
use crate::secret::Vault;
use crate::store::{LoadError, Store, Ticket, Write};

/// All resources of one kind, those that are built in among them.
#[derive(Debug)]
pub struct Shelf<R> {
    entries: BTreeMap<ResourceName, Arc<Named<R>>>,
}

impl<R: Resource> Default for Shelf<R> {
    fn default() -> Self {
        let built_in = R::built_in().map(|(name, value)| {
            let resource = Named { name: name.clone(), revision: 0, value };
            (name, Arc::new(resource))
        });
        Self { entries: built_in.into_iter().collect() }
    }
}

impl<R: Resource> Shelf<R> {
    /// What the store holds.
    pub(super) fn load(
        store: &dyn Store,
        vault: &Vault,
        loaded: &mut LoadedAccess,
    ) -> Result<Self, LoadError> {
        let (mut shelf, mut newer) = (Self::default(), None);
        let mut refuse = |key: &str, reason: &dyn fmt::Display| {
            loaded.refuse(format_args!("{} {key}: {reason}", R::TABLE.name()));
        };
        let scan = store.scan(R::TABLE, &mut |key, value| {
            match resource::decode::<R>(value, vault) {
                Ok(found) if found.name.as_str() != key => refuse(key, &format_args!("holds {}", found.name)),
                Ok(found) if shelf.get(key).is_some() => {
                    refuse(key, &format_args!("{} is built in", found.name));
                }
                Ok(found) => {
                    shelf.entries.insert(found.name.clone(), Arc::new(found));
                }
                Err(BadAccessRecord::Newer(found)) => {
                    newer = Some((Box::from(key), found));
                    return ControlFlow::Break(());
                }
                Err(error) => refuse(key, &error),
            }
            ControlFlow::Continue(())
        })?;
        if let Some((key, found)) = newer {
            return Err(LoadError::Newer { table: R::TABLE, key, found, supported: R::VERSION });
        }
        for damaged in scan.damaged_list {
            refuse(&damaged.key, &damaged.reason);
        }
        Ok(shelf)
    }

    /// All in the order of their names.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Named<R>>> {
        self.entries.values()
    }

    /// One of them.
    pub(super) fn get(&self, name: &str) -> Option<&Arc<Named<R>>> {
        self.entries.get(name)
    }

    /// How many are stored.
    pub(super) fn stored(&self) -> usize {
        self.all().filter(|one| !one.is_built_in()).count()
    }

    /// The name of the first for which this holds, but for the one of this name.
    pub(super) fn other(&self, name: &ResourceName, holds: impl Fn(&R) -> bool) -> Option<ResourceName> {
        self.all().find(|one| one.name != *name && holds(one)).map(|one| one.name.clone())
    }

    /// Those for which this holds, in words.
    pub(super) fn labels(&self, holds: impl Fn(&R) -> bool) -> Vec<String> {
        self.all().filter(|one| holds(one)).map(|one| format!("{} {}", R::KIND, one.name)).collect()
    }

    /// The one that is to be changed, or `None` if it is to be made.
    pub(super) fn to_be_put(
        &self,
        name: &ResourceName,
        create: bool,
        expected: Option<u64>,
    ) -> Result<Option<Arc<Named<R>>>, AccessError> {
        match self.get(name.as_str()) {
            None if !create => Err(unknown::<R>(name)),
            None if self.stored() >= R::LIMIT => Err(AccessError::Full { kinds: R::KINDS, limit: R::LIMIT }),
            None => Ok(None),
            Some(old) => check(old, expected).map(|()| Some(old.clone())),
        }
    }

    /// Put one in its place.
    pub(super) fn put(
        &mut self,
        resource: Named<R>,
        store: &dyn Store,
        vault: &Vault,
    ) -> Result<(Arc<Named<R>>, Ticket), AccessError> {
        let write = Write::put(R::TABLE, resource.name.as_str(), resource::encode(&resource, vault)?);
        let ticket = store.submit(vec![write])?;
        let resource = Arc::new(resource);
        self.entries.insert(resource.name.clone(), resource.clone());
        Ok((resource, ticket))
    }

    /// Whether one may go, as far as is known here.
    pub(super) fn to_be_removed(
        &self,
        name: &ResourceName,
        expected: Option<u64>,
    ) -> Result<(), AccessError> {
        check(self.get(name.as_str()).ok_or_else(|| unknown::<R>(name))?, expected)
    }

    /// Take one away.
    pub(super) fn remove(&mut self, name: &ResourceName, store: &dyn Store) -> Result<Ticket, AccessError> {
        let ticket = store.submit(vec![Write::delete(R::TABLE, name.as_str())])?;
        self.entries.remove(name);
        Ok(ticket)
    }
}

fn unknown<R: Resource>(name: &ResourceName) -> AccessError {
    AccessError::Unknown { kind: R::KIND, name: name.clone() }
}

fn check<R: Resource>(resource: &Named<R>, expected: Option<u64>) -> Result<(), AccessError> {
    let current = resource.revision;
    if resource.is_built_in() {
        return Err(AccessError::BuiltIn { kind: R::KIND, name: resource.name.clone() });
    }
    match expected {
        Some(expected) if expected != current => Err(AccessError::Revision { expected, current }),
        _ => Ok(()),
    }
}
