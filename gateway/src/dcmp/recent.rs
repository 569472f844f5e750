//! Who asked a moment ago. A table of fixed size: what it forgets is only not counted.

use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use foldhash::quality::RandomState;
use tokio::time::Instant;

/// The latest polls: in each slot a fingerprint of source and device, and when it was.
pub(super) struct Recent {
    slots: Box<[AtomicU64]>,
    hasher: RandomState,
    /// Milliseconds that have to lie between two polls; 0 is any.
    spacing: u32,
    began: Instant,
}

impl Recent {
    /// A table of `polls` slots, rounded up to a power of two.
    pub(super) fn new(polls: usize, spacing: Duration) -> Self {
        Self {
            slots: std::iter::repeat_with(AtomicU64::default).take(polls.next_power_of_two()).collect(),
            hasher: RandomState::default(),
            spacing: u32::try_from(spacing.as_millis()).unwrap_or(u32::MAX),
            began: Instant::now(),
        }
    }

    /// Whether this device asked from this address less than the spacing ago. If not, the moment is noted.
    pub(super) fn is_early(&self, source: IpAddr, device: &[u8], now: Instant) -> bool {
        if self.spacing == 0 {
            return false;
        }
        let hash = self.hasher.hash_one((source, device));
        #[allow(clippy::cast_possible_truncation)] // any bits do
        let (at, tag) = (hash as usize & (self.slots.len() - 1), hash & !u64::from(u32::MAX));
        let Some(slot) = self.slots.get(at) else { return false };
        // It goes round after seven weeks: then one poll may be taken for an early one.
        #[allow(clippy::cast_possible_truncation)]
        let now = (now.saturating_duration_since(self.began).as_millis() as u32).max(1);
        let found = slot.load(Relaxed);
        #[allow(clippy::cast_possible_truncation)] // the lower half
        let then = found as u32;
        let is_early =
            then > 0 && found & !u64::from(u32::MAX) == tag && now.wrapping_sub(then) < self.spacing;
        if !is_early {
            slot.store(tag | u64::from(now), Relaxed);
        }
        is_early
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_second_poll_within_the_spacing_is_early() {
        let recent = Recent::new(1_000, Duration::from_secs(5));
        assert_eq!(recent.slots.len(), 1_024);
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let early = |source, device: &str, after| {
            recent.is_early(source, device.as_bytes(), recent.began + Duration::from_millis(after))
        };
        assert!(!early(one, "a", 0) && early(one, "a", 10) && early(one, "a", 5_000));
        assert!(!early(other, "a", 10) && !early(one, "b", 10));
        // Counted from the poll that was not early.
        assert!(!early(one, "a", 5_001) && early(one, "a", 10_000));
        let any = Recent::new(1, Duration::ZERO);
        assert!(!any.is_early(one, b"a", any.began) && !any.is_early(one, b"a", any.began));
    }
}
