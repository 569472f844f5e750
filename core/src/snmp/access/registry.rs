//! All resources together: they refer to each other, so one lock is over all changes.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::RwLock;

use super::resource::{Named, Resource};
use super::shelf::Shelf;
use super::snapshot::Snapshot;
use super::{AccessError, Community, Faults, Group, LoadedAccess, Receiver, User, View};
use crate::name::ResourceName;
use crate::secret::Vault;
use crate::store::{LoadError, Store, Ticket};

/// All of each kind.
#[derive(Debug, Default)]
pub struct State {
    pub(super) views: Shelf<View>,
    pub(super) groups: Shelf<Group>,
    pub(super) users: Shelf<User>,
    pub(super) communities: Shelf<Community>,
    pub(super) receivers: Shelf<Receiver>,
}

/// Who may use SNMP, and who is told by it. Administrators change it behind a lock; whoever answers messages reads a
/// [`Snapshot`].
pub struct Access {
    state: RwLock<State>,
    snapshot: ArcSwap<Snapshot>,
    store: Arc<dyn Store>,
    vault: Arc<Vault>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("snapshot", &self.snapshot.load()).finish_non_exhaustive()
    }
}

impl Access {
    /// Nobody may do anything.
    pub fn new(store: Arc<dyn Store>, vault: Arc<Vault>) -> Self {
        Self { state: RwLock::default(), snapshot: ArcSwap::default(), store, vault }
    }

    /// Take over what the store holds.
    ///
    /// # Errors
    /// At a record of a newer Callboard.
    pub fn load(&self) -> Result<LoadedAccess, LoadError> {
        let (store, vault) = (&*self.store, &*self.vault);
        let mut loaded = LoadedAccess::default();
        let state = State {
            views: Shelf::load(store, vault, &mut loaded)?,
            groups: Shelf::load(store, vault, &mut loaded)?,
            users: Shelf::load(store, vault, &mut loaded)?,
            communities: Shelf::load(store, vault, &mut loaded)?,
            receivers: Shelf::load(store, vault, &mut loaded)?,
        };
        loaded.users = state.users.stored();
        loaded.communities = state.communities.stored();
        loaded.receivers = state.receivers.stored();
        let mut current = self.state.write();
        *current = state;
        self.publish(&current);
        Ok(loaded)
    }

    /// What holds now, for those who answer messages: one load of a pointer, no lock.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// All of a kind in the order of their names.
    pub fn all<R: Resource>(&self) -> Vec<Arc<Named<R>>> {
        R::shelf(&self.state.read()).all().cloned().collect()
    }

    /// One of them.
    pub fn get<R: Resource>(&self, name: &str) -> Option<Arc<Named<R>>> {
        R::shelf(&self.state.read()).get(name).cloned()
    }

    /// Store a new resource, or another form of one. The revision is set here: to 1, or to one more than before. `expected` is the
    /// revision that the change is based on; 0 with `create` is for one that must not be there. It holds from now on, and is durable
    /// when the ticket resolves.
    ///
    /// # Errors
    /// Why it is not stored; nothing is changed then.
    pub fn put<R: Resource>(
        &self,
        name: ResourceName,
        wish: R::Wish,
        create: bool,
        expected: Option<u64>,
    ) -> Result<(Arc<Named<R>>, Ticket), AccessError> {
        let mut state = self.state.write();
        let old = R::shelf(&state).to_be_put(&name, create, expected)?;
        let mut faults = Faults::default();
        let value = R::make(wish, &name, old.as_ref().map(|old| &old.value), &mut faults);
        let fit = match &value {
            Some(value) => {
                value.check(&mut faults);
                value.fit(&name, &state, &mut faults)
            }
            None => Ok(()),
        };
        let value = faults.none_in(value)?;
        fit?;
        let revision = old.map_or(1, |old| old.revision + 1);
        let resource = Named { name, revision, value };
        let stored = R::shelf_mut(&mut state).put(resource, &*self.store, &self.vault)?;
        self.publish(&state);
        Ok(stored)
    }

    /// Forget a resource that no other refers to.
    ///
    /// # Errors
    /// Why it stays.
    pub fn remove<R: Resource>(
        &self,
        name: &ResourceName,
        expected: Option<u64>,
    ) -> Result<Ticket, AccessError> {
        let mut state = self.state.write();
        R::shelf(&state).to_be_removed(name, expected)?;
        let users = R::used_by(name, &state);
        if !users.is_empty() {
            return Err(AccessError::in_use(R::KIND, name, &users));
        }
        let ticket = R::shelf_mut(&mut state).remove(name, &*self.store)?;
        self.publish(&state);
        Ok(ticket)
    }

    /// Called with the lock held, so that the newest state is the newest snapshot.
    fn publish(&self, state: &State) {
        let next = self.snapshot.load().next(state);
        self.snapshot.store(Arc::new(next));
    }
}
