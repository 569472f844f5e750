//! How much there is to do, and who has to wait for it.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use super::Sip;

/// A delay of the node's clock at which it is as busy as can be.
const FULL_DELAY: Duration = Duration::from_secs(1);

/// What the node sees of its own haste: parts of 1, as bits of `f32`. Written a few times a second, read with each registration.
#[derive(Debug, Default)]
pub(super) struct Haste {
    backlog: AtomicU32,
    delay: AtomicU32,
}

impl Haste {
    fn most(&self) -> f32 {
        f32::from_bits(self.backlog.load(Relaxed)).max(f32::from_bits(self.delay.load(Relaxed)))
    }
}

/// A part of 1, whatever comes.
fn part(value: f32) -> u32 {
    if value.is_nan() { 0 } else { value.clamp(0.0, 1.0).to_bits() }
}

impl Sip {
    /// How full the sockets are: what came in and was not read yet, of what the system would keep; 0 to 1.
    pub fn set_backlog(&self, backlog: f32) {
        self.haste.backlog.store(part(backlog), Relaxed);
    }

    /// How late the node does what is due by the clock: time that work waits for a processor.
    pub fn set_delay(&self, delay: Duration) {
        self.haste.delay.store(part(delay.as_secs_f32() / FULL_DELAY.as_secs_f32()), Relaxed);
    }

    /// How busy it is, 0 to 1: the fullest of the journal's queue, the sockets, and the delay, of which a second is 1.
    pub fn load(&self) -> f32 {
        self.location.journal().load().max(self.haste.most())
    }

    /// Whether there is so much to do that an endpoint has to wait: one that is not registered sooner than one that is, whose refused
    /// refresh would become a registration.
    pub(super) fn is_busy_for(&self, aor: &[u8]) -> bool {
        let load = self.load();
        if load < self.settings.busy_from {
            return false;
        }
        load >= f32::midpoint(self.settings.busy_from, 1.0)
            || !str::from_utf8(aor).is_ok_and(|aor| self.location.has(aor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_node_says_is_a_part_of_one() {
        let haste = Haste::default();
        assert!(haste.most().abs() < f32::EPSILON);
        for (value, seen) in [(0.25, 0.25), (7.0, 1.0), (-1.0, 0.0), (f32::NAN, 0.0), (f32::INFINITY, 1.0)] {
            haste.delay.store(part(value), Relaxed);
            assert!((haste.most() - seen).abs() < f32::EPSILON, "{value}");
        }
    }
}
