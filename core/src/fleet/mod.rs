//! The fleet: all devices, in memory, in shards, each change on its way to the store before anybody sees it.

mod intern;
mod list;

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::FixedState;
use parking_lot::RwLock;

use crate::device::{self, BadRecord, Device, DeviceId, DeviceState, SecureMode};
use crate::item::Dictionary;
use crate::store::{CommitError, Store, StoreError, SubmitError, Table, Ticket, Write};
use intern::Interner;
pub use list::{Filter, Page};

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

/// Why a change was not made. Nothing of it was.
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
    /// The store could not make the change durable.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The device cannot be packed.
    #[error(transparent)]
    Record(#[from] BadRecord),
}

/// What was found in the store at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Devices taken over.
    pub devices: u64,
    /// Records that the store could not read, which stay where they are.
    pub damaged: u64,
    /// Records that are no devices, which stay where they are.
    pub unreadable: u64,
    /// Common values taken over.
    pub values: usize,
    /// Records of common values that cannot be read.
    pub bad_values: u64,
    /// Devices with values that are lost; they are read again at their next contact.
    pub incomplete: u64,
    /// The first such record, for the log.
    pub first_unreadable: Option<String>,
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
    count: AtomicUsize,
    states: [AtomicUsize; DeviceState::ALL.len()],
    modes: [AtomicUsize; SecureMode::ALL.len()],
    bytes: AtomicUsize,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").field("devices", &self.len()).finish_non_exhaustive()
    }
}

impl Fleet {
    /// An empty fleet that writes to `store`.
    pub fn new(store: Arc<dyn Store>, limits: FleetLimits) -> Self {
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
            count: AtomicUsize::new(0),
            states: Default::default(),
            modes: Default::default(),
            bytes: AtomicUsize::new(0),
        }
    }

    /// Take over what the store holds. `progress` hears the number of devices every now and then.
    pub fn load(&self, mut progress: impl FnMut(u64)) -> Result<LoadReport, StoreError> {
        const EVERY: u64 = 50_000;
        let mut report = LoadReport::default();
        (report.values, report.bad_values) = self.dictionary.load(&*self.store)?;
        let scan = self.store.scan(Table::Device, &mut |key, value| {
            match device::decode(value) {
                Ok(device) if device.id.to_string() == key => {
                    let device = Arc::new(self.adopt(device, &mut report));
                    self.account(None, Some(&device));
                    self.index.write().insert(device.id.clone());
                    self.shard(&device.id).write().insert(device.id.clone(), device);
                    self.count.fetch_add(1, Ordering::Relaxed);
                    report.devices += 1;
                    if report.devices.is_multiple_of(EVERY) {
                        progress(report.devices);
                    }
                }
                other => {
                    report.unreadable += 1;
                    report.first_unreadable.get_or_insert_with(|| match other {
                        Ok(device) => format!("{key}: holds device {}", device.id),
                        Err(error) => format!("{key}: {error}"),
                    });
                }
            }
            ControlFlow::Continue(())
        })?;
        report.damaged = scan.damaged;
        Ok(report)
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
        self.change(id, create, change, |store, write| store.submit(vec![write]))
    }

    /// Like [`Fleet::update`] for changes that nobody waits for.
    pub fn update_detached(
        &self,
        id: &DeviceId,
        create: bool,
        change: impl FnOnce(&Device) -> Result<Device, FleetError>,
    ) -> Result<Arc<Device>, FleetError> {
        self.change(id, create, change, |store, write| store.submit_detached(vec![write])).map(|done| done.0)
    }

    fn change<T>(
        &self,
        id: &DeviceId,
        create: bool,
        change: impl FnOnce(&Device) -> Result<Device, FleetError>,
        submit: impl FnOnce(&dyn Store, Write) -> Result<T, SubmitError>,
    ) -> Result<(Arc<Device>, T), FleetError> {
        // The lock is held over the submission: the order of records is the order of changes.
        let mut shard = self.shard(id).write();
        let old = shard.get(id).cloned();
        if old.is_none() {
            if !create {
                return Err(FleetError::Unknown(id.clone()));
            }
            if !self.has_room() {
                return Err(FleetError::Full { limit: self.limits.devices });
            }
        }
        let new = match &old {
            Some(old) => change(old)?,
            None => change(&Device::new(id.clone()))?,
        };
        let mut new = self.interner.intern_device(new);
        if old.as_ref().is_none_or(|old| !old.reported.is_same(&new.reported)) {
            new.reported = self.dictionary.pack(&new.reported, &*self.store);
        }
        let new = Arc::new(new);
        let write = Write::put(Table::Device, id.to_string(), device::encode(&new)?);
        let submitted = submit(&*self.store, write)?;
        self.account(old.as_deref(), Some(&new));
        shard.insert(id.clone(), new.clone());
        if old.is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
            self.index.write().insert(id.clone());
        }
        Ok((new, submitted))
    }

    /// A device from its record, with common texts and values shared.
    fn adopt(&self, device: Device, report: &mut LoadReport) -> Device {
        let mut device = self.interner.intern_device(device);
        device.reported = match device.reported.attach(&self.dictionary) {
            Ok(set) => set,
            Err(rest) => {
                report.incomplete += 1;
                // Known only in part: it is to be read again.
                device.contacts.read = None;
                rest
            }
        };
        device
    }

    /// The dictionary of common values.
    pub fn dictionary(&self) -> &Arc<Dictionary> {
        &self.dictionary
    }

    /// Write the device's record once more, after a commit that failed. `None` if the device is gone.
    pub fn rewrite(&self, id: &DeviceId) -> Result<Option<Ticket>, FleetError> {
        let shard = self.shard(id).write();
        let Some(device) = shard.get(id) else { return Ok(None) };
        let write = Write::put(Table::Device, id.to_string(), device::encode(device)?);
        Ok(Some(self.store.submit(vec![write])?))
    }

    /// Forget a device.
    pub fn remove(&self, id: &DeviceId, expected: Option<u64>) -> Result<Ticket, FleetError> {
        let mut shard = self.shard(id).write();
        let old = shard.get(id).cloned().ok_or_else(|| FleetError::Unknown(id.clone()))?;
        check_revision(&old, expected)?;
        let ticket = self.store.submit(vec![Write::delete(Table::Device, id.to_string())])?;
        self.account(Some(&old), None);
        shard.remove(id);
        self.index.write().remove(id);
        self.count.fetch_sub(1, Ordering::Relaxed);
        Ok(ticket)
    }

    fn account(&self, old: Option<&Device>, new: Option<&Device>) {
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
