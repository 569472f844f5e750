//! Which devices belong to which site, and which of them have work waiting: told to each edge by versions.

use std::collections::{HashMap, HashSet, VecDeque};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::SiteId;
use crate::device::{Device, DeviceId};

/// Changes of one site that are remembered: an edge that missed more gets the whole set again.
const REMEMBERED: usize = 4_096;

/// One site's part.
#[derive(Debug)]
struct Branch {
    devices: usize,
    waiting: HashSet<DeviceId, RandomState>,
    /// The version before the first of the remembered changes.
    base: u64,
    /// Devices that changed, one for each version since.
    changes: VecDeque<DeviceId>,
    versions: watch::Sender<u64>,
}

impl Default for Branch {
    fn default() -> Self {
        let (versions, _) = watch::channel(0);
        Self { devices: 0, waiting: HashSet::default(), base: 0, changes: VecDeque::new(), versions }
    }
}

impl Branch {
    fn version(&self) -> u64 {
        self.base + self.changes.len() as u64
    }

    fn set(&mut self, device: &DeviceId, waits: bool) {
        let is_change = if waits { self.waiting.insert(device.clone()) } else { self.waiting.remove(device) };
        if !is_change {
            return;
        }
        if self.changes.len() == REMEMBERED {
            self.changes.pop_front();
            self.base += 1;
        }
        self.changes.push_back(device.clone());
        self.versions.send_replace(self.version());
    }
}

/// What an edge has to be told to hold the present version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// Nothing.
    Current,
    /// What changed since its version.
    Delta {
        /// The version that it makes.
        to: u64,
        /// Devices that have work now.
        added: Vec<DeviceId>,
        /// Devices that have none now.
        removed: Vec<DeviceId>,
    },
    /// Everything.
    Full {
        /// The version.
        version: u64,
        /// All devices with work.
        devices: Vec<DeviceId>,
    },
}

/// The devices of all sites.
#[derive(Debug, Default)]
pub struct Members {
    branches: Mutex<HashMap<SiteId, Branch, RandomState>>,
}

impl Members {
    /// Follow a device from what it was to what it is: to which site it belongs. At a site that is new to it it waits if `waits`.
    /// Devices that stay where they are cost nothing.
    pub fn follow(&self, old: Option<&Device>, new: Option<&Device>, waits: bool) {
        let (from, to) = (old.and_then(|device| device.route.site), new.and_then(|device| device.route.site));
        if from == to {
            return;
        }
        let mut branches = self.branches.lock();
        if let (Some(site), Some(device)) = (from, old) {
            let branch = branches.entry(site).or_default();
            branch.devices = branch.devices.saturating_sub(1);
            branch.set(&device.id, false);
        }
        if let (Some(site), Some(device)) = (to, new) {
            let branch = branches.entry(site).or_default();
            branch.devices += 1;
            branch.set(&device.id, waits);
        }
    }

    /// Work waits for a device of this site.
    pub fn want(&self, site: SiteId, device: &DeviceId) {
        self.branches.lock().entry(site).or_default().set(device, true);
    }

    /// The device has come, or nothing waits for it any more.
    pub fn rest(&self, site: SiteId, device: &DeviceId) {
        if let Some(branch) = self.branches.lock().get_mut(&site) {
            branch.set(device, false);
        }
    }

    /// Devices whose last contact came through the site's edge, and how many of them have work waiting.
    pub fn count(&self, site: SiteId) -> (usize, usize) {
        self.branches.lock().get(&site).map_or((0, 0), |branch| (branch.devices, branch.waiting.len()))
    }

    /// Tells each new version of the site's set.
    pub fn watch(&self, site: SiteId) -> watch::Receiver<u64> {
        self.branches.lock().entry(site).or_default().versions.subscribe()
    }

    /// What an edge has to be told that holds the version `held`; `None` if it holds none of this process.
    pub fn update(&self, site: SiteId, held: Option<u64>) -> Update {
        let branches = self.branches.lock();
        let Some(branch) = branches.get(&site) else {
            return if held == Some(0) {
                Update::Current
            } else {
                Update::Full { version: 0, devices: Vec::new() }
            };
        };
        let version = branch.version();
        let missed =
            held.filter(|held| (branch.base..=version).contains(held)).map(|held| held - branch.base);
        let Some(missed) = missed.and_then(|missed| usize::try_from(missed).ok()) else {
            return Update::Full { version, devices: branch.waiting.iter().cloned().collect() };
        };
        if held == Some(version) {
            return Update::Current;
        }
        // What was added and removed again since then is told once, as it is now.
        let touched: HashSet<_, RandomState> = branch.changes.iter().skip(missed).collect();
        let (added, removed) =
            touched.into_iter().cloned().partition(|device| branch.waiting.contains(device));
        Update::Delta { to: version, added, removed }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const SITE: SiteId = SiteId::from_u64(1);

    fn device(number: u8) -> DeviceId {
        format!("00:1a:e8:00:00:{number:02x}").parse().unwrap()
    }

    fn at(number: u8, site: Option<SiteId>) -> Device {
        let mut device = Device::new(device(number));
        device.route.site = site;
        device
    }

    /// What an edge does with an update.
    fn apply(held: &mut (Option<u64>, BTreeSet<String>), update: Update) {
        match update {
            Update::Current => {}
            Update::Full { version, devices } => {
                *held = (Some(version), devices.iter().map(ToString::to_string).collect());
            }
            Update::Delta { to, added, removed } => {
                held.0 = Some(to);
                held.1.extend(added.iter().map(ToString::to_string));
                for device in removed {
                    held.1.remove(&device.to_string());
                }
            }
        }
    }

    #[test]
    fn devices_are_counted_where_they_came_from_last() {
        let members = Members::default();
        let other = SiteId::from_u64(2);
        let (direct, here, there) = (at(1, None), at(1, Some(SITE)), at(1, Some(other)));
        members.follow(None, Some(&direct), true);
        assert_eq!(members.count(SITE), (0, 0));
        members.follow(Some(&direct), Some(&here), false);
        members.want(SITE, &here.id);
        assert_eq!(members.count(SITE), (1, 1));
        members.follow(Some(&here), Some(&there), true);
        assert_eq!((members.count(SITE), members.count(other)), ((0, 0), (1, 1)));
        members.follow(Some(&there), None, false);
        assert_eq!(members.count(other), (0, 0));
    }

    #[test]
    fn an_edge_that_missed_too_much_gets_everything() {
        let members = Members::default();
        members.want(SITE, &device(1));
        let changes = u64::try_from(REMEMBERED).unwrap();
        for _ in 0..changes / 2 {
            members.want(SITE, &device(2));
            members.rest(SITE, &device(2));
        }
        let full = Update::Full { version: changes + 1, devices: vec![device(1)] };
        assert_eq!(members.update(SITE, Some(0)), full);
        let delta = Update::Delta { to: changes + 1, added: vec![], removed: vec![device(2)] };
        assert_eq!(members.update(SITE, Some(1)), delta);
        // A version of another process, or of nobody.
        assert_eq!(members.update(SITE, Some(changes + 2)), full);
        assert_eq!(members.update(SITE, None), full);
        assert_eq!(members.update(SiteId::from_u64(9), Some(0)), Update::Current);
    }

    proptest! {
        #[test]
        fn an_edge_that_looks_now_and_then_holds_the_set(
            steps in proptest::collection::vec((0_u8..6, any::<bool>(), any::<bool>()), 0..200),
        ) {
            let members = Members::default();
            let versions = members.watch(SITE);
            let (mut real, mut held) = (BTreeSet::new(), (None, BTreeSet::new()));
            for (number, waits, looks) in steps {
                let id = device(number);
                if waits {
                    members.want(SITE, &id);
                    real.insert(id.to_string());
                } else {
                    members.rest(SITE, &id);
                    real.remove(&id.to_string());
                }
                if looks {
                    let update = members.update(SITE, held.0);
                    apply(&mut held, update);
                    prop_assert_eq!(&held.1, &real);
                    prop_assert_eq!(held.0, Some(*versions.borrow()));
                }
            }
        }
    }
}
