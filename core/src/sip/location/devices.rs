//! Which addresses-of-record have bindings of a device.

use std::collections::HashMap;
use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::Place;
use crate::device::DeviceId;

const SHARDS: usize = 16;

/// Addresses-of-record of one device that are remembered. A phone has a dozen lines; more are made up by somebody, and finding one
/// among them takes a walk over them.
const MAX_PLACES: usize = 256;

/// A place, and whether it is proven that what stands there is the device's.
type Known = (Place, bool);

type Shard = Mutex<HashMap<DeviceId, SmallVec<[Known; 1]>, RandomState>>;

/// Places by device. Its locks are taken while one of the bindings' is held, never the other way round.
#[derive(Debug)]
pub(super) struct Devices {
    hasher: RandomState,
    shards: [Shard; SHARDS],
}

impl Default for Devices {
    fn default() -> Self {
        Self { hasher: RandomState::default(), shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl Devices {
    fn shard(&self, device: &DeviceId) -> &Shard {
        #[allow(clippy::cast_possible_truncation)] // SHARDS is small
        let shard = (self.hasher.hash_one(device) % SHARDS as u64) as usize;
        &self.shards[shard]
    }

    /// The device has a binding at this place. If there are too many, one that is proven takes the place of one that is not.
    pub(super) fn add(&self, device: &DeviceId, place: Place, is_proven: bool) {
        let mut shard = self.shard(device).lock();
        if !shard.contains_key(device) {
            shard.insert(device.clone(), SmallVec::new());
        }
        let Some(places) = shard.get_mut(device) else { return };
        if let Some(known) = places.iter_mut().find(|known| known.0 == place) {
            known.1 |= is_proven;
        } else if places.len() < MAX_PLACES {
            places.push((place, is_proven));
        } else if is_proven && let Some(claimed) = places.iter_mut().find(|known| !known.1) {
            *claimed = (place, true);
        }
    }

    pub(super) fn remove(&self, device: &DeviceId, place: Place) {
        let mut shard = self.shard(device).lock();
        let Some(places) = shard.get_mut(device) else { return };
        places.retain(|known| known.0 != place);
        if places.is_empty() {
            shard.remove(device);
        }
    }

    pub(super) fn get(&self, device: &DeviceId) -> SmallVec<[Place; 1]> {
        let shard = self.shard(device).lock();
        shard.get(device).map(|places| places.iter().map(|known| known.0).collect()).unwrap_or_default()
    }
}
