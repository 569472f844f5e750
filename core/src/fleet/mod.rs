//! The fleet: all devices, in memory, in shards, each change on its way to the store before anybody sees it.

mod list;
mod load;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::FixedState;
use metrics::{Unit, describe_gauge, gauge};
use parking_lot::RwLock;

use crate::device::{self, BadRecord, Device, DeviceId, DeviceState, SecureMode, Task};
use crate::intern::Interner;
use crate::item::Dictionary;
use crate::job::Tally;
use crate::store::{CommitError, ScanReport, Store, SubmitError, Table, Ticket, Write};
pub use list::{Filter, Page};
pub use load::LoadReport;

/// Describes the fleet's own metrics to the installed recorder; once, at start.
pub fn describe_metrics() {
    describe_gauge!(
        UNREADABLE_RECORDS,
        Unit::Count,
        "Device records that cannot be read, kept until the device is deleted"
    );
}

/// Number of shards: enough that two cores hardly ever meet in one, few enough to walk.
pub const SHARDS: usize = 64;

/// Bounds on the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetLimits {
    /// Devices.
    pub devices: usize,
    /// Common values that are kept once.
    pub dictionary_values: usize,
}

impl Default for FleetLimits {
    fn default() -> Self {
        Self { devices: 1_200_000, dictionary_values: 65_536 }
    }
}

/// Why a change was not made, or is not known to be durable. Nothing of it was made, except after
/// [`FleetError::Commit`].
#[derive(Clone, Debug, thiserror::Error)]
pub enum FleetError {
    /// No such device.
    #[error("no device {0}")]
    Unknown(DeviceId),
    /// As many devices as may be.
    #[error("the fleet is full: {limit} devices")]
    Full {
        /// The bound.
        limit: usize,
    },
    /// Somebody else changed the device meanwhile.
    #[error("the device has revision {current}, not {expected}")]
    Revision {
        /// What the caller had.
        expected: u64,
        /// What it is.
        current: u64,
    },
    /// The caller's own objection.
    #[error("{0}")]
    Refused(String),
    /// The store does not take the change.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The change is made, but the store could not make it durable yet. It holds in memory, and on a full disk it stays
    /// queued until there is space; whether it survives the end of the process is open.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// There is a record of the device that cannot be read. It is not overwritten until somebody deletes the device.
    #[error("the stored record of {0} cannot be read; delete the device to let it come anew")]
    Unreadable(DeviceId),
    /// The device cannot be packed.
    #[error(transparent)]
    Record(#[from] BadRecord),
}

/// Device records that cannot be read and are kept; with more than these the store as a whole is not to be trusted.
pub const MAX_UNREADABLE: usize = ScanReport::LISTED;

/// Counts device records that cannot be read.
const UNREADABLE_RECORDS: &str = "callboard_fleet_unreadable_records";

/// Hears of every change of a device under the lock of its shard: in the order of the changes, while nobody makes another one.
/// So it must not ask the fleet, and must not take long.
pub trait Watch: Send + Sync {
    /// A device was `old`, if it was there, and is `new`, if it still is.
    fn changed(&self, old: Option<&Device>, new: Option<&Device>);
}

/// Does not care.
struct Unwatched;

impl Watch for Unwatched {
    fn changed(&self, _: Option<&Device>, _: Option<&Device>) {}
}

type Shard = RwLock<HashMap<DeviceId, Arc<Device>, FixedState>>;

/// All devices.
pub struct Fleet {
    shards: Box<[Shard]>,
    /// Ids in order, for lists.
    index: RwLock<BTreeSet<DeviceId>>,
    hasher: FixedState,
    interner: Interner,
    dictionary: Arc<Dictionary>,
    store: Arc<dyn Store>,
    limits: FleetLimits,
    unreadable: RwLock<Unreadable>,
    count: AtomicUsize,
    states: [AtomicUsize; DeviceState::ALL.len()],
    modes: [AtomicUsize; SecureMode::ALL.len()],
    bytes: AtomicUsize,
    tally: Tally,
    watch: Arc<dyn Watch>,
}

/// A device's place in the count, given back unless it is kept.
struct Place<'a>(Option<&'a AtomicUsize>);

impl Place<'_> {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.0 {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Device records that cannot be read.
#[derive(Debug, Default)]
struct Unreadable {
    /// Whose they are. Nothing is written under these ids until the device is deleted.
    ids: HashSet<DeviceId, FixedState>,
    /// Those whose key is no device's: no device can overwrite them, and nobody can ask for them.
    nameless: usize,
}

impl Unreadable {
    fn insert(&mut self, key: &str) {
        match key.parse::<DeviceId>().ok().filter(|id| id.to_string() == key) {
            Some(id) => drop(self.ids.insert(id)),
            None => self.nameless += 1,
        }
    }

    fn len(&self) -> usize {
        self.ids.len() + self.nameless
    }

    #[allow(clippy::cast_precision_loss)] // at most a few thousand
    fn tell(&self) {
        gauge!(UNREADABLE_RECORDS).set(self.len() as f64);
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").field("devices", &self.len()).finish_non_exhaustive()
    }
}

impl Fleet {
    /// An empty fleet that writes to `store`.
    pub fn new(store: Arc<dyn Store>, limits: FleetLimits) -> Self {
        Self::watched(store, limits, Arc::new(Unwatched))
    }

    /// The same; `watch` hears of every change.
    pub fn watched(store: Arc<dyn Store>, limits: FleetLimits, watch: Arc<dyn Watch>) -> Self {
        // The seed is fixed so that a device's shard stays the same for life: it will also pick a store's partition.
        let hasher = FixedState::with_seed(0x0043_616c_6c62_6f61);
        let shard = || RwLock::new(HashMap::with_hasher(FixedState::with_seed(0)));
        Self {
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
            index: RwLock::default(),
            hasher,
            interner: Interner::default(),
            dictionary: Arc::new(Dictionary::new(limits.dictionary_values)),
            store,
            limits,
            unreadable: RwLock::default(),
            count: AtomicUsize::new(0),
            states: Default::default(),
            modes: Default::default(),
            bytes: AtomicUsize::new(0),
            tally: Tally::default(),
            watch,
        }
    }

    /// Whether there is a record of the device that cannot be read.
    pub fn is_unreadable(&self, id: &DeviceId) -> bool {
        self.unreadable.read().ids.contains(id)
    }

    /// Device records that cannot be read.
    pub fn unreadable(&self) -> usize {
        self.unreadable.read().len()
    }

    /// The shard number of a device.
    pub fn shard_of(&self, id: &DeviceId) -> usize {
        #[allow(clippy::cast_possible_truncation)] // SHARDS is small
        let number = (self.hasher.hash_one(id) % SHARDS as u64) as usize;
        number
    }

    fn shard(&self, id: &DeviceId) -> &Shard {
        &self.shards[self.shard_of(id)]
    }

    /// How many devices there are.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Devices in a state.
    pub fn in_state(&self, state: DeviceState) -> usize {
        self.states[state as usize].load(Ordering::Relaxed)
    }

    /// Devices in a mode.
    pub fn in_mode(&self, mode: SecureMode) -> usize {
        self.modes[mode as usize].load(Ordering::Relaxed)
    }

    /// Bytes of all packed item sets.
    pub fn item_bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The device as it is now.
    pub fn get(&self, id: &DeviceId) -> Option<Arc<Device>> {
        self.shard(id).read().get(id).cloned()
    }

    /// Its bounds.
    pub fn limits(&self) -> &FleetLimits {
        &self.limits
    }

    /// Whether one more device may come.
    pub fn has_room(&self) -> bool {
        self.len() < self.limits.devices
    }

    /// Change a device, or make it if `create`. Its new form is queued for the store in the order of changes; the
    /// ticket resolves when it is durable.
    pub fn update(
        &self,
        id: &DeviceId,
        create: bool,
        change: impl FnOnce(&Device) -> Result<Device, FleetError>,
    ) -> Result<(Arc<Device>, Ticket), FleetError> {
        self.change(id, create, change, <dyn Store>::submit)
    }

    /// Like [`Fleet::update`] for changes that nobody waits for.
    pub fn update_detached(
        &self,
        id: &DeviceId,
        create: bool,
        change: impl FnOnce(&Device) -> Result<Device, FleetError>,
    ) -> Result<Arc<Device>, FleetError> {
        self.change(id, create, change, <dyn Store>::submit_detached).map(|done| done.0)
    }

    fn change<T>(
        &self,
        id: &DeviceId,
        create: bool,
        change: impl FnOnce(&Device) -> Result<Device, FleetError>,
        submit: impl FnOnce(&dyn Store, Vec<Write>) -> Result<T, SubmitError>,
    ) -> Result<(Arc<Device>, T), FleetError> {
        // The lock is held over the submission: the order of records is the order of changes.
        let mut shard = self.shard(id).write();
        let old = shard.get(id).cloned();
        if old.is_none() {
            if !create {
                return Err(FleetError::Unknown(id.clone()));
            }
            if self.is_unreadable(id) {
                return Err(FleetError::Unreadable(id.clone()));
            }
        }
        let place = if old.is_none() { Some(self.reserve()?) } else { None };
        let new = match &old {
            Some(old) => change(old)?,
            None => change(&Device::new(id.clone()))?,
        };
        let mut new = self.interner.intern_device(new);
        if old.as_ref().is_none_or(|old| !old.reported.is_same(&new.reported)) {
            new.reported = self.dictionary.pack(&new.reported, &*self.store);
        }
        let new = Arc::new(new);
        let submitted = submit(&*self.store, writes(old.as_deref(), &new)?)?;
        self.account(old.as_deref(), Some(&new));
        self.watch.changed(old.as_deref(), Some(&new));
        shard.insert(id.clone(), new.clone());
        if let Some(place) = place {
            place.keep();
            self.index.write().insert(id.clone());
        }
        Ok((new, submitted))
    }

    /// Counts one more device, in one step with looking whether it may come: shards do not wait for each other.
    fn reserve(&self) -> Result<Place<'_>, FleetError> {
        let place = Place(Some(&self.count));
        if self.count.fetch_add(1, Ordering::Relaxed) < self.limits.devices {
            return Ok(place);
        }
        Err(FleetError::Full { limit: self.limits.devices })
    }

    /// The dictionary of common values.
    pub fn dictionary(&self) -> &Arc<Dictionary> {
        &self.dictionary
    }

    /// Write the device's record once more, after a commit that failed. `None` if the device is gone.
    pub fn rewrite(&self, id: &DeviceId) -> Result<Option<Ticket>, FleetError> {
        let shard = self.shard(id).write();
        let Some(device) = shard.get(id) else { return Ok(None) };
        Ok(Some(self.store.submit(both_writes(device)?)?))
    }

    /// Forget a device. One whose record cannot be read has no revision that could be expected.
    pub fn remove(&self, id: &DeviceId, expected: Option<u64>) -> Result<Ticket, FleetError> {
        let mut shard = self.shard(id).write();
        let Some(old) = shard.get(id).cloned() else { return self.remove_unreadable(id, expected) };
        check_revision(&old, expected)?;
        let ticket = self.store.submit(deletes(id))?;
        self.account(Some(&old), None);
        self.watch.changed(Some(&old), None);
        shard.remove(id);
        self.index.write().remove(id);
        self.count.fetch_sub(1, Ordering::Relaxed);
        Ok(ticket)
    }

    /// The device's shard must be locked.
    fn remove_unreadable(&self, id: &DeviceId, expected: Option<u64>) -> Result<Ticket, FleetError> {
        let mut unreadable = self.unreadable.write();
        if !unreadable.ids.contains(id) {
            return Err(FleetError::Unknown(id.clone()));
        }
        if expected.is_some() {
            return Err(FleetError::Unreadable(id.clone()));
        }
        let ticket = self.store.submit(deletes(id))?;
        unreadable.ids.remove(id);
        unreadable.tell();
        Ok(ticket)
    }

    /// How far the tasks of all devices are.
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Look at a device under the lock of its shard: nobody changes it meanwhile.
    pub fn look<T>(&self, id: &DeviceId, look: impl FnOnce(&Device) -> T) -> Option<T> {
        self.shard(id).read().get(id).map(|device| look(device))
    }

    fn account(&self, old: Option<&Device>, new: Option<&Device>) {
        if let Some(device) = new.or(old) {
            self.tally.change(&device.id, tasks_of(old), tasks_of(new));
        }
        let counters = |device: &Device| {
            (&self.states[device.state() as usize], &self.modes[device.security.mode as usize])
        };
        if let Some(new) = new {
            let (state, mode) = counters(new);
            state.fetch_add(1, Ordering::Relaxed);
            mode.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(new.reported.as_bytes().len(), Ordering::Relaxed);
        }
        if let Some(old) = old {
            let (state, mode) = counters(old);
            state.fetch_sub(1, Ordering::Relaxed);
            mode.fetch_sub(1, Ordering::Relaxed);
            self.bytes.fetch_sub(old.reported.as_bytes().len(), Ordering::Relaxed);
        }
    }
}

fn tasks_of(device: Option<&Device>) -> &[Task] {
    device.map_or(&[], |device| &device.tasks)
}

/// The records to be written for a device that was `old`: of two, only what changed.
fn writes(old: Option<&Device>, new: &Device) -> Result<Vec<Write>, BadRecord> {
    let same_tasks = tasks_of(old) == new.tasks;
    let mut writes = Vec::with_capacity(2);
    if same_tasks || !old.is_some_and(|old| old.is_same_but_tasks(new)) {
        writes.push(Write::put(Table::Device, new.id.to_string(), device::encode(new)?));
    }
    if !same_tasks {
        writes.push(tasks_write(new)?);
    }
    Ok(writes)
}

/// Both records of a device.
fn both_writes(device: &Device) -> Result<Vec<Write>, BadRecord> {
    let record = Write::put(Table::Device, device.id.to_string(), device::encode(device)?);
    Ok(vec![record, tasks_write(device)?])
}

fn tasks_write(device: &Device) -> Result<Write, BadRecord> {
    let key = device.id.to_string();
    Ok(if device.tasks.is_empty() {
        Write::delete(Table::Tasks, key)
    } else {
        Write::put(Table::Tasks, key, device::encode_tasks(device)?)
    })
}

/// Deletes all records of a device.
fn deletes(id: &DeviceId) -> Vec<Write> {
    vec![Write::delete(Table::Device, id.to_string()), Write::delete(Table::Tasks, id.to_string())]
}

/// Refuse if the caller has seen another revision.
pub fn check_revision(device: &Device, expected: Option<u64>) -> Result<(), FleetError> {
    match expected {
        Some(expected) if expected != device.revision => {
            Err(FleetError::Revision { expected, current: device.revision })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
