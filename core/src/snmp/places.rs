//! Which device is at an address: what a notification says of its sender is its address.

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher as _;
use std::net::IpAddr;

use foldhash::fast::RandomState;
use parking_lot::RwLock;

use crate::device::{Device, DeviceId};

/// Parts that are locked apart.
const SHARDS: usize = 32;

#[derive(Debug)]
enum Here {
    One(DeviceId),
    /// Phones behind one address.
    Many(BTreeSet<DeviceId>),
}

/// Devices by the address that they called from last.
#[derive(Debug)]
pub struct Places {
    shards: Box<[RwLock<HashMap<IpAddr, Here, RandomState>>]>,
    hasher: RandomState,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            shards: std::iter::repeat_with(RwLock::default).take(SHARDS).collect(),
            hasher: RandomState::default(),
        }
    }
}

impl Places {
    fn shard(&self, address: IpAddr) -> &RwLock<HashMap<IpAddr, Here, RandomState>> {
        #[allow(clippy::cast_possible_truncation)] // fewer than SHARDS
        let at = (self.hasher.hash_one(address) % SHARDS as u64) as usize;
        &self.shards[at]
    }

    /// A device was `old`, if it was there, and is `new`, if it still is.
    pub fn follow(&self, old: Option<&Device>, new: Option<&Device>) {
        let place = |device: Option<&Device>| {
            let source = device?.contacts.source?;
            Some(source.to_canonical())
        };
        let (before, after) = (place(old), place(new));
        if before == after {
            return;
        }
        if let (Some(address), Some(device)) = (before, old) {
            self.leave(address, &device.id);
        }
        if let (Some(address), Some(device)) = (after, new) {
            self.join(address, device.id.clone());
        }
    }

    fn join(&self, address: IpAddr, id: DeviceId) {
        let mut shard = self.shard(address).write();
        match shard.remove(&address) {
            None => shard.insert(address, Here::One(id)),
            Some(Here::One(other)) => shard.insert(address, Here::Many(BTreeSet::from([other, id]))),
            Some(Here::Many(mut others)) => {
                others.insert(id);
                shard.insert(address, Here::Many(others))
            }
        };
    }

    fn leave(&self, address: IpAddr, id: &DeviceId) {
        let mut shard = self.shard(address).write();
        let left = match shard.remove(&address) {
            Some(Here::Many(mut others)) => {
                others.remove(id);
                match (others.len(), others.pop_first()) {
                    (1, Some(last)) => Some(Here::One(last)),
                    (_, Some(first)) => {
                        others.insert(first);
                        Some(Here::Many(others))
                    }
                    (_, None) => None,
                }
            }
            Some(Here::One(other)) if other != *id => Some(Here::One(other)),
            _ => None,
        };
        if let Some(left) = left {
            shard.insert(address, left);
        }
    }

    /// The device at an address, if it is the only one there.
    pub fn device(&self, address: IpAddr) -> Option<DeviceId> {
        match self.shard(address).read().get(&address.to_canonical())? {
            Here::One(id) => Some(id.clone()),
            Here::Many(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Contacts;

    fn device(id: &str, source: Option<&str>) -> Device {
        let source = source.map(|text| text.parse().unwrap());
        let contacts = Contacts { source, ..Contacts::default() };
        Device { contacts, ..Device::new(id.parse().unwrap()) }
    }

    #[test]
    fn a_device_is_where_it_called_from_last() {
        let places = Places::default();
        let at = |address: &str| places.device(address.parse().unwrap()).map(|id| id.to_string());
        let (one, moved) = (device("one", Some("192.0.2.1")), device("one", Some("::ffff:192.0.2.2")));
        places.follow(None, Some(&one));
        assert_eq!((at("192.0.2.1"), at("192.0.2.2")), (Some("one".into()), None));
        places.follow(Some(&one), Some(&moved));
        assert_eq!((at("192.0.2.1"), at("192.0.2.2")), (None, Some("one".into())));
        places.follow(Some(&moved), Some(&device("one", None)));
        assert_eq!(at("192.0.2.2"), None);
        assert!(places.shards.iter().all(|shard| shard.read().is_empty()));
    }

    #[test]
    fn of_several_behind_one_address_none_is_meant() {
        let places = Places::default();
        let all: Vec<_> = ["a", "b", "c"].iter().map(|id| device(id, Some("192.0.2.1"))).collect();
        let found = || places.device("192.0.2.1".parse().unwrap()).map(|id| id.to_string());
        for device in &all {
            places.follow(None, Some(device));
        }
        assert_eq!(found(), None);
        places.follow(Some(&all[1]), None);
        assert_eq!(found(), None);
        places.follow(Some(&all[0]), None);
        assert_eq!(found().as_deref(), Some("c"));
        places.follow(Some(&all[2]), None);
        assert_eq!(found(), None);
    }
}
