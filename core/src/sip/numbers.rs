//! Which device has a telephone number.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use parking_lot::RwLock;

use crate::device::{Device, DeviceId};

/// Devices by the digits of their number. Told of every change of a device, so as bounded as the fleet.
#[derive(Debug, Default)]
pub struct Numbers(RwLock<HashMap<Box<str>, DeviceId, RandomState>>);

/// A number without what people write around its digits; `None` if it is none.
fn digits(number: &str) -> Option<Box<str>> {
    let is_filler = |c: char| matches!(c, '+' | '-' | '.' | '(' | ')' | ' ' | '/');
    let digits: String = number.chars().filter(|c| !is_filler(*c)).collect();
    let is_number = (1..=32).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.into())
}

fn of(device: Option<&Device>) -> Option<&str> {
    let identity = &device?.identity;
    Some(if identity.e164.is_empty() { &identity.basic_e164 } else { &identity.e164 })
}

impl Numbers {
    /// A device changed.
    pub fn follow(&self, old: Option<&Device>, new: Option<&Device>) {
        let (before, after) = (of(old), of(new));
        if before == after {
            return;
        }
        let mut numbers = self.0.write();
        if let (Some(old), Some(number)) = (old, before.and_then(digits))
            && numbers.get(&number) == Some(&old.id)
        {
            numbers.remove(&number);
        }
        if let (Some(new), Some(number)) = (new, after.and_then(digits)) {
            // Of several with one number the latest is meant: somebody moved.
            numbers.insert(number, new.id.clone());
        }
    }

    /// The device with this number.
    pub fn device(&self, number: &str) -> Option<DeviceId> {
        if self.0.read().is_empty() {
            return None;
        }
        self.0.read().get(&digits(number)?).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(id: &str, e164: &str, basic: &str) -> Device {
        let mut device = Device::new(id.parse().unwrap());
        device.identity.e164 = e164.into();
        device.identity.basic_e164 = basic.into();
        device
    }

    #[test]
    fn numbers_follow_their_devices() {
        let numbers = Numbers::default();
        let (one, other) = (device("a", "+49 89 7001-1234", ""), device("b", "", "4989700115"));
        numbers.follow(None, Some(&one));
        numbers.follow(None, Some(&other));
        assert_eq!(numbers.device("4989 70011234"), Some(one.id.clone()));
        assert_eq!(numbers.device("+4989700115"), Some(other.id.clone()));
        let moved = device("b", "4989 7001 1234", "4989700115");
        numbers.follow(Some(&other), Some(&moved));
        assert_eq!(numbers.device("498970011234"), Some(other.id.clone()));
        numbers.follow(Some(&one), None);
        assert_eq!(numbers.device("498970011234"), Some(other.id), "it is somebody else's by now");
        assert_eq!(
            (numbers.device("4989700115"), numbers.device("alice"), numbers.device("")),
            (None, None, None)
        );
    }
}
