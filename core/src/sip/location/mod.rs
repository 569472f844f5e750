//! Where endpoints are: the bindings of all addresses-of-record, in memory, in shards, each change queued for the journal
//! under its shard's lock, before anybody sees it (RFC 3261, section 10: the location service).

mod counts;
mod devices;
mod expire;
mod list;
mod load;
mod shard;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use foldhash::fast::FixedState;
use parking_lot::{Mutex, MutexGuard};

use super::binding::{Binding, Liveness, Transport};
use super::record::{self, BadBindings};
use super::registrar::{self, Done, Refused, RegistrarLimits, Registration};
use crate::device::DeviceId;
use crate::intern::Interner;
use crate::store::SubmitError;
use crate::store::journal::{Journal, Position};
use crate::time::{Ahead, Timestamp};
use counts::Counts;
use devices::Devices;
use shard::{Entry, Shard, SlotId};

pub use expire::{Due, Ping, Tick};
pub use list::{BindingFilter, ListPage, ListPosition};
pub use load::LocationReport;

/// Number of shards, as of the fleet's.
pub const SHARDS: usize = 64;

/// Milliseconds by which the wall clock has to be off before that is noticed.
const NOTICED_MS: u64 = 100;

/// When endpoints are asked whether they are there. Nothing stands for never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PingSettings {
    /// Behind a NAT that forgets datagrams' ways within a minute or two.
    pub nat_udp: Option<Duration>,
    /// All others.
    pub others: Option<Duration>,
}

impl PingSettings {
    fn interval(&self, binding: &Binding) -> Option<Duration> {
        let interval =
            if binding.nat && binding.flow.transport == Transport::Udp { self.nat_udp } else { self.others };
        interval.filter(|_| binding.is_sip())
    }
}

/// Bounds and settings of the [`Location`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocationSettings {
    /// Addresses-of-record with bindings.
    pub aors: usize,
    /// Bounds on a registration.
    pub registrar: RegistrarLimits,
    /// When endpoints are asked.
    pub pings: PingSettings,
}

impl Default for LocationSettings {
    fn default() -> Self {
        Self { aors: 1_200_000, registrar: RegistrarLimits::default(), pings: PingSettings::default() }
    }
}

/// Why bindings were not changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LocationError {
    /// The registrar's own objection.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// As many addresses-of-record as may be.
    #[error("{limit} addresses-of-record have bindings already")]
    Full {
        /// The bound.
        limit: usize,
    },
    /// The journal does not take the record.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// They cannot be packed.
    #[error(transparent)]
    Record(#[from] BadBindings),
}

/// Where an address-of-record stands in memory, as long as it has bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    shard: u8,
    slot: SlotId,
}

/// What came of a registration.
#[derive(Debug, PartialEq, Eq)]
pub struct Registered {
    /// The answer may leave when everything up to here is durable.
    pub position: Position,
    /// Where the address-of-record stands; `None` if it has no bindings.
    pub place: Option<Place>,
    /// The request was a repetition of one that was done before.
    pub repeated: bool,
    /// An endpoint is back that was lost.
    pub back: bool,
    /// Somebody came: a binding was made that was not there before, an endpoint is back, or it has been shown now which device one
    /// belongs to.
    pub came: bool,
}

/// The bindings of all addresses-of-record.
pub struct Location {
    shards: Box<[Mutex<Shard>]>,
    hasher: FixedState,
    journal: Arc<dyn Journal>,
    settings: LocationSettings,
    texts: Interner,
    devices: Devices,
    counts: Counts,
    /// By how many milliseconds the wall clock is ahead of the one that bindings go by.
    ahead: AtomicI64,
    /// Records of which nothing is left, whose end is still to be written.
    over: Mutex<Vec<Box<str>>>,
    /// When the process began.
    began: Timestamp,
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Location").field("aors", &self.aors()).finish_non_exhaustive()
    }
}

impl Location {
    /// Nobody is registered yet. `hash_seed` should be unpredictable: who registers chooses the names.
    pub fn new(
        journal: Arc<dyn Journal>,
        settings: LocationSettings,
        hash_seed: u64,
        now: Timestamp,
    ) -> Self {
        Self {
            shards: std::iter::repeat_with(|| Mutex::new(Shard::new(now))).take(SHARDS).collect(),
            hasher: FixedState::with_seed(hash_seed),
            journal,
            settings,
            texts: Interner::default(),
            devices: Devices::default(),
            counts: Counts::default(),
            ahead: AtomicI64::new(0),
            over: Mutex::default(),
            began: now,
        }
    }

    /// By how much the wall clock is ahead of the one that bindings go by; what is stored has the times of the wall clock.
    pub fn set_ahead(&self, ahead: Ahead) {
        // The two are read one after the other: what differs by a few milliseconds is the same.
        if ahead.as_millis().abs_diff(self.ahead.load(Relaxed)) >= NOTICED_MS {
            self.ahead.store(ahead.as_millis(), Relaxed);
        }
    }

    /// By how much the wall clock is ahead: what turns times of bindings into those of the wall clock.
    pub fn ahead(&self) -> Ahead {
        Ahead::from_millis(self.ahead.load(Relaxed))
    }

    /// The settings.
    pub const fn settings(&self) -> &LocationSettings {
        &self.settings
    }

    /// Addresses-of-record that have bindings.
    pub fn aors(&self) -> usize {
        self.counts.aors.load(Relaxed)
    }

    /// Bindings by transport and what is known of the endpoint.
    pub fn bindings(&self, transport: Transport, liveness: Liveness) -> usize {
        self.counts.bindings(transport, liveness)
    }

    /// The journal that bindings go to.
    pub fn journal(&self) -> &dyn Journal {
        &*self.journal
    }

    /// What an endpoint says it is, shared with all that say the same.
    pub fn share(&self, text: &str) -> Arc<str> {
        self.texts.share(text)
    }

    fn hash(&self, aor: &str) -> u64 {
        self.hasher.hash_one(aor)
    }

    fn shard(&self, number: u8) -> MutexGuard<'_, Shard> {
        self.shards[usize::from(number) % SHARDS].lock()
    }

    #[allow(clippy::cast_possible_truncation)] // SHARDS is less than 256
    const fn shard_of(hash: u64) -> u8 {
        // The low bits choose the bucket inside of the shard.
        ((hash >> 57) as usize % SHARDS) as u8
    }

    /// Do what a REGISTER for `aor`, in its canonical form, wants. `list` sees the bindings as they are then; it is called
    /// under a lock and must be short.
    pub fn register<T>(
        &self,
        aor: &str,
        registration: &Registration<'_>,
        now: Timestamp,
        list: impl FnOnce(&[Binding]) -> T,
    ) -> Result<(Registered, T), LocationError> {
        let hash = self.hash(aor);
        let number = Self::shard_of(hash);
        let mut shard = self.shard(number);
        if let Some(slot) = shard.find(hash, aor) {
            self.change(&mut shard, Place { shard: number, slot }, registration, now, list)
        } else {
            self.make(&mut shard, number, (aor, hash), registration, now, list)
        }
    }

    fn change<T>(
        &self,
        shard: &mut Shard,
        place: Place,
        registration: &Registration<'_>,
        now: Timestamp,
        list: impl FnOnce(&[Binding]) -> T,
    ) -> Result<(Registered, T), LocationError> {
        // The slot was found under this lock.
        let Some((entry, room)) = shard.get_with_room(place.slot) else {
            return Err(Refused::OutOfOrder.into());
        };
        let done = registrar::register(&mut entry.bindings, registration, &self.settings.registrar, now)?;
        if done.is_change() {
            match self.append(&entry.aor, &entry.bindings, room) {
                Ok(position) => entry.position = position,
                Err(error) => {
                    done.undo(&mut entry.bindings);
                    return Err(error);
                }
            }
        }
        let back = done.before().iter().any(|old| old.liveness == Liveness::Lost && old.is_current(now))
            && !done.after(&entry.bindings).is_empty();
        self.plan_pings(&mut entry.bindings, now);
        let repeated = done == Done::Repeated;
        let shows = |binding: &&Binding| binding.is_proven;
        let shown = done
            .after(&entry.bindings)
            .iter()
            .filter(shows)
            .any(|new| !done.before().iter().filter(shows).any(|old| old.device == new.device));
        let came = done == Done::Made || back || shown;
        let listed = list(&entry.bindings);
        let registered = Registered { position: entry.position, place: Some(place), repeated, back, came };
        self.account(place, &done, &entry.bindings);
        Ok((self.settle(shard, place, registered), listed))
    }

    fn make<T>(
        &self,
        shard: &mut Shard,
        number: u8,
        (aor, hash): (&str, u64),
        registration: &Registration<'_>,
        now: Timestamp,
        list: impl FnOnce(&[Binding]) -> T,
    ) -> Result<(Registered, T), LocationError> {
        let mut bindings = Vec::new();
        let done = registrar::register(&mut bindings, registration, &self.settings.registrar, now)?;
        if bindings.is_empty() {
            // That there is nothing may not be durable yet: an end was on its way, and its answer was lost.
            let registered =
                Registered { position: shard.ended, place: None, repeated: false, back: false, came: false };
            return Ok((registered, list(&[])));
        }
        self.reserve()?;
        let position = self.append(aor, &bindings, shard.room()).inspect_err(|_| {
            self.counts.aors.fetch_sub(1, Relaxed);
        })?;
        self.plan_pings(&mut bindings, now);
        let listed = list(&bindings);
        let place = Self::put(
            shard,
            number,
            Entry { aor: aor.into(), hash, bindings, position, wakes: now, turn: 0 },
        );
        if let Some(entry) = shard.get(place.slot) {
            self.account(place, &done, &entry.bindings);
        }
        let registered =
            Registered { position, place: Some(place), repeated: false, back: false, came: true };
        Ok((registered, listed))
    }

    /// Counts one more address-of-record, in one step with looking whether it may come.
    fn reserve(&self) -> Result<(), LocationError> {
        if self.counts.aors.fetch_add(1, Relaxed) < self.settings.aors {
            return Ok(());
        }
        self.counts.aors.fetch_sub(1, Relaxed);
        Err(LocationError::Full { limit: self.settings.aors })
    }

    /// Put an entry with bindings into its shard and the shard's wheel.
    fn put(shard: &mut Shard, number: u8, entry: Entry) -> Place {
        let wakes = wakes(&entry.bindings);
        let slot = shard.insert(entry);
        shard.plan(slot, wakes);
        Place { shard: number, slot }
    }

    /// The record of an address-of-record, or its end, for the journal.
    fn append(&self, aor: &str, bindings: &[Binding], room: &mut Vec<u8>) -> Result<Position, LocationError> {
        if bindings.is_empty() {
            return Ok(self.journal.append(aor, None)?);
        }
        record::encode(bindings, self.ahead(), room)?;
        Ok(self.journal.append(aor, Some(room))?)
    }

    /// New bindings are asked for the first time after one interval, give or take a fifth.
    fn plan_pings(&self, bindings: &mut [Binding], now: Timestamp) {
        for binding in bindings.iter_mut().filter(|binding| binding.next_ping.is_none()) {
            binding.next_ping = self.settings.pings.interval(binding).map(|interval| {
                let dice = f32::from(u8::try_from(binding.transaction & 0xff).unwrap_or(0)) / 255.0;
                now.plus(interval.mul_f32(0.8 + 0.4 * dice))
            });
        }
    }

    /// Bring the books up to date after a change.
    fn account(&self, place: Place, done: &Done, bindings: &[Binding]) {
        for old in done.before() {
            self.counts.sub(old);
        }
        let after = match done {
            // What was refreshed or not is all in the list that was.
            Done::All(_) => bindings,
            done => done.after(bindings),
        };
        for new in after {
            self.counts.add(new);
        }
        self.account_devices(place, done.before(), after, bindings);
    }

    fn account_devices(&self, place: Place, before: &[Binding], after: &[Binding], now: &[Binding]) {
        for new in after {
            if let Some(device) = &new.device {
                self.devices.add(device, place, new.is_proven);
            }
        }
        for device in before.iter().filter_map(|old| old.device.as_ref()) {
            if !now.iter().any(|binding| binding.device.as_ref() == Some(device)) {
                self.devices.remove(device, place);
            }
        }
    }

    /// Remove an entry that has no bindings left; see that the others wake in time.
    fn settle(&self, shard: &mut Shard, place: Place, mut registered: Registered) -> Registered {
        let Some(entry) = shard.get_mut(place.slot) else { return registered };
        if entry.bindings.is_empty() {
            let ended = entry.position;
            shard.ended = shard.ended.max(ended);
            shard.remove(place.slot);
            self.counts.aors.fetch_sub(1, Relaxed);
            registered.place = None;
        } else {
            let wakes = wakes(&entry.bindings);
            // One that wakes too early looks again; so refreshing costs nothing here.
            if wakes < entry.wakes {
                shard.plan(place.slot, wakes);
            }
        }
        registered
    }

    /// Remove the bindings of an address-of-record, or only that of `contact`. `None`: there is nothing to remove. The
    /// change is durable when everything up to the position is.
    pub fn remove(&self, aor: &str, contact: Option<&str>) -> Result<Option<Position>, LocationError> {
        let hash = self.hash(aor);
        let number = Self::shard_of(hash);
        let mut shard = self.shard(number);
        let Some(slot) = shard.find(hash, aor) else { return Ok(None) };
        let place = Place { shard: number, slot };
        let Some((entry, room)) = shard.get_with_room(slot) else { return Ok(None) };
        let stays = |binding: &Binding| contact.is_some_and(|contact| *binding.contact != *contact);
        let left: Vec<Binding> = entry.bindings.iter().filter(|binding| stays(binding)).cloned().collect();
        if left.len() == entry.bindings.len() {
            return Ok(None);
        }
        let position = self.append(&entry.aor, &left, room)?;
        entry.position = position;
        let done = Done::All(std::mem::replace(&mut entry.bindings, left));
        self.account(place, &done, &entry.bindings);
        let registered =
            Registered { position, place: Some(place), repeated: false, back: false, came: false };
        self.settle(&mut shard, place, registered);
        Ok(Some(position))
    }

    /// Whether a binding stands there that was made or refreshed on this connection.
    pub fn is_held(&self, place: Place, connection: u64) -> bool {
        let shard = self.shard(place.shard);
        shard
            .get(place.slot)
            .is_some_and(|entry| entry.bindings.iter().any(|binding| binding.flow.connection == connection))
    }

    /// Whether an address-of-record has bindings.
    pub fn has(&self, aor: &str) -> bool {
        let hash = self.hash(aor);
        self.shard(Self::shard_of(hash)).find(hash, aor).is_some()
    }

    /// Look at the bindings of an address-of-record that are current.
    pub fn get(&self, aor: &str, now: Timestamp) -> Vec<Binding> {
        let hash = self.hash(aor);
        let shard = self.shard(Self::shard_of(hash));
        let found = shard.find(hash, aor).and_then(|slot| shard.get(slot));
        found.map_or_else(Vec::new, |entry| current(&entry.bindings, now))
    }

    /// The current bindings of a device, each with its address-of-record.
    pub fn of_device(&self, device: &DeviceId, now: Timestamp) -> Vec<(Box<str>, Binding)> {
        let mut found = Vec::new();
        for place in self.devices.get(device) {
            let shard = self.shard(place.shard);
            let Some(entry) = shard.get(place.slot) else { continue };
            let of_it = entry.bindings.iter().filter(|binding| binding.device.as_ref() == Some(device));
            let of_it = of_it.filter(|binding| binding.is_current(now));
            found.extend(of_it.map(|binding| (entry.aor.clone(), binding.clone())));
        }
        found
    }
}

fn current(bindings: &[Binding], now: Timestamp) -> Vec<Binding> {
    bindings.iter().filter(|binding| binding.is_current(now)).cloned().collect()
}

/// When something is to be done about one of the bindings.
fn wakes(bindings: &[Binding]) -> Timestamp {
    let of_one =
        |binding: &Binding| binding.next_ping.map_or(binding.expires, |ping| ping.min(binding.expires));
    bindings.iter().map(of_one).min().unwrap_or_default()
}
