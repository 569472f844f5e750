//! The memory of answered opening messages, so that a retransmission gets the same answer (WPI reference, section 4.2).

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::Cookie;
use crate::device::DeviceId;
use crate::dialogue::wpi::Reply;
use crate::time::Timestamp;

/// An answered opening message.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) at: Timestamp,
    /// A hash of the nonce.
    pub(super) nonce: u64,
    pub(super) digest: u64,
    pub(super) cookie: Cookie,
    pub(super) reply: Reply,
}

impl Answered {
    /// Memory held, with the places in map and order.
    fn bytes(&self) -> usize {
        let items: usize =
            self.reply.items.iter().map(|item| item.value.expose().len() + size_of_val(item) + 32).sum();
        size_of::<Self>() + size_of::<(Timestamp, DeviceId)>() + size_of::<DeviceId>() + items
    }
}

/// Answered messages of some devices, oldest first in each list.
#[derive(Debug, Default)]
pub(super) struct Memory {
    lists: HashMap<DeviceId, SmallVec<[Answered; 1]>, RandomState>,
    /// Each device that has a list once, in about the order of their oldest messages.
    order: VecDeque<(Timestamp, DeviceId)>,
    bytes: usize,
}

impl Memory {
    /// The answer to a message, if it came not longer than `window` ago.
    pub(super) fn find(
        &self,
        device: &DeviceId,
        (nonce, digest): (u64, u64),
        now: Timestamp,
        window: Duration,
    ) -> Option<&Answered> {
        self.lists.get(device)?.iter().find(|answered| {
            answered.nonce == nonce && answered.digest == digest && now.since(answered.at) <= window
        })
    }

    /// Keep an answer: at most `per_device` of this device, and `bytes` in all.
    pub(super) fn keep(&mut self, device: &DeviceId, answered: Answered, per_device: usize, bytes: usize) {
        self.bytes += answered.bytes();
        let list = self.lists.entry(device.clone()).or_default();
        if list.is_empty() {
            self.order.push_back((answered.at, device.clone()));
        }
        list.push(answered);
        if list.len() > per_device {
            self.bytes -= list.remove(0).bytes();
        }
        while self.bytes > bytes && self.forget_one() {}
    }

    /// Forget what came longer than `window` ago.
    pub(super) fn sweep(&mut self, now: Timestamp, window: Duration) {
        while self.order.front().is_some_and(|(at, _)| now.since(*at) > window) && self.forget_one() {}
        if self.lists.len() * 4 < self.lists.capacity() {
            self.lists.shrink_to(self.lists.len() * 2);
            self.order.shrink_to(self.order.len() * 2);
        }
    }

    /// Forget the oldest message of the first device. False if there is none.
    fn forget_one(&mut self) -> bool {
        let Some((_, device)) = self.order.pop_front() else { return false };
        let Some(list) = self.lists.get_mut(&device).filter(|list| !list.is_empty()) else { return true };
        self.bytes -= list.remove(0).bytes();
        match list.first() {
            Some(next) => self.order.push_back((next.at, device)),
            None => drop(self.lists.remove(&device)),
        }
        true
    }

    /// Whether nothing is kept.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.order.is_empty() && self.bytes == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_millis(100);

    fn answered(at: u64, nonce: u64) -> Answered {
        let (at, cookie) = (Timestamp::from_millis(at), Cookie::from_u128(u128::from(nonce)));
        Answered { at, nonce, digest: 1, cookie, reply: Reply::overload() }
    }

    fn device(number: u64) -> DeviceId {
        format!("phone-{number}").parse().unwrap()
    }

    fn knows(memory: &Memory, number: u64, nonce: u64, now: u64) -> bool {
        memory.find(&device(number), (nonce, 1), Timestamp::from_millis(now), WINDOW).is_some()
    }

    #[test]
    fn the_newest_of_a_device_are_kept() {
        let mut memory = Memory::default();
        for nonce in 0..5 {
            memory.keep(&device(1), answered(nonce, nonce), 3, usize::MAX);
        }
        assert_eq!(
            (0..5).map(|nonce| knows(&memory, 1, nonce, 5)).collect::<Vec<_>>(),
            [false, false, true, true, true]
        );
        assert!(memory.find(&device(1), (4, 2), Timestamp::from_millis(5), WINDOW).is_none());
        assert_eq!(memory.order.len(), 1, "a device that calls often takes no more places");
    }

    #[test]
    fn bytes_are_bounded_and_the_oldest_go() {
        let mut memory = Memory::default();
        let bound = answered(0, 0).bytes() * 3;
        for number in 0..10 {
            memory.keep(&device(number), answered(number, 7), 8, bound);
            assert!(memory.bytes <= bound);
        }
        assert_eq!((0..10).filter(|number| knows(&memory, *number, 7, 10)).collect::<Vec<_>>(), [7, 8, 9]);
    }

    #[test]
    fn what_is_past_its_window_goes() {
        let mut memory = Memory::default();
        memory.keep(&device(1), answered(0, 1), 8, usize::MAX);
        memory.keep(&device(1), answered(60, 2), 8, usize::MAX);
        memory.keep(&device(2), answered(60, 3), 8, usize::MAX);
        assert!(!knows(&memory, 1, 1, 101), "found no more even before it is swept");
        memory.sweep(Timestamp::from_millis(120), WINDOW);
        assert!(knows(&memory, 1, 2, 120) && knows(&memory, 2, 3, 120));
        memory.sweep(Timestamp::from_millis(200), WINDOW);
        assert!(memory.is_empty());
    }
}
