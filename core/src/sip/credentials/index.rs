//! Two ways to one credential that cost a word each: within its realm by user name, and by device.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::Credential;
use crate::device::DeviceId;

/// A credential that is found by its user name, among those of its realm.
#[derive(Clone, Debug)]
pub(super) struct ByName(pub(super) Arc<Credential>);

impl Borrow<str> for ByName {
    fn borrow(&self) -> &str {
        self.0.username.as_str()
    }
}

// All three as those of the text that it lends.
impl Hash for ByName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.username.as_str().hash(state);
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.0.username == other.0.username
    }
}

impl Eq for ByName {}

impl PartialOrd for ByName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.username.cmp(&other.0.username)
    }
}

/// A credential among those of all devices: by device, then realm, then user name.
#[derive(Clone, Debug)]
pub(super) struct ByDevice(pub(super) Arc<Credential>);

/// A place in that order, where a credential may be or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot<'a> {
    pub(super) device: &'a DeviceId,
    pub(super) realm: &'a str,
    pub(super) username: &'a str,
}

/// What has a place in that order, so that a place can be looked for without making a credential.
pub(super) trait Placed {
    fn place(&self) -> (Option<&DeviceId>, &str, &str);
}

impl Placed for ByDevice {
    fn place(&self) -> (Option<&DeviceId>, &str, &str) {
        (self.0.device.as_ref(), self.0.realm.as_str(), self.0.username.as_str())
    }
}

impl Placed for Spot<'_> {
    fn place(&self) -> (Option<&DeviceId>, &str, &str) {
        (Some(self.device), self.realm, self.username)
    }
}

impl<'a> Borrow<dyn Placed + 'a> for ByDevice {
    fn borrow(&self) -> &(dyn Placed + 'a) {
        self
    }
}

impl PartialEq for dyn Placed + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for dyn Placed + '_ {}

impl PartialOrd for dyn Placed + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for dyn Placed + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl PartialEq for ByDevice {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for ByDevice {}

impl PartialOrd for ByDevice {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByDevice {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}
