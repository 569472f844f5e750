//! How many messages a source may send.

use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use callboard_core::site::Origin;
use callboard_core::time::Timestamp;
use foldhash::fast::RandomState;

use crate::listen::{Network, Source};

/// Budgets that are kept. Sources that fall together share one: whoever forges addresses fills no table.
const BUDGETS: usize = 65_536;

/// Messages of each source in a second, in a table of constant size, without locks.
pub struct SourceBudget {
    /// When each budget would be full again, in microseconds (generic cell rate algorithm, ITU-T I.371).
    full_at: Box<[AtomicU64]>,
    hasher: RandomState,
    /// Microseconds for one message, and for all that may come at once. Nothing stands for no bound.
    rate: Option<(u64, u64)>,
    ipv6_prefix: u32,
    exempt: Vec<Network>,
}

impl std::fmt::Debug for SourceBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceBudget").field("rate", &self.rate).finish_non_exhaustive()
    }
}

impl SourceBudget {
    /// `per_second` messages of each source, and as many at once after a pause; 0 is no bound.
    pub fn new(per_second: u32, ipv6_prefix: u32, exempt: Vec<Network>) -> Self {
        let rate = (per_second > 0).then(|| {
            let step = 1_000_000 / u64::from(per_second);
            (step.max(1), step.max(1) * u64::from(per_second))
        });
        let budgets = if rate.is_some() { BUDGETS } else { 0 };
        Self {
            full_at: std::iter::repeat_with(AtomicU64::default).take(budgets).collect(),
            hasher: RandomState::default(),
            rate,
            ipv6_prefix,
            exempt,
        }
    }

    /// Whether a source may send one more message; a yes is counted.
    pub fn take(&self, address: IpAddr, now: Timestamp) -> bool {
        let Some((step, depth)) = self.rate else { return true };
        let origin = Origin { site: None, address };
        let Some(source) = Source::bounded(origin, self.ipv6_prefix, &self.exempt) else { return true };
        #[allow(clippy::cast_possible_truncation)] // less than BUDGETS
        let at = (self.hasher.hash_one(source) % BUDGETS as u64) as usize;
        let Some(full_at) = self.full_at.get(at) else { return true };
        let now = now.as_millis().saturating_mul(1_000);
        full_at
            .try_update(Relaxed, Relaxed, |full| {
                let next = full.max(now) + step;
                // A clock that stepped back leaves a budget in the future: it is as good as full.
                if full > now.saturating_add(2 * depth) {
                    Some(now + step)
                } else {
                    (next <= now + depth).then_some(next)
                }
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_767_323_045_678);

    #[test]
    fn a_source_has_a_budget_of_its_own() {
        let exempt = vec!["198.51.100.0/24".parse().unwrap()];
        let budget = SourceBudget::new(10, 64, exempt);
        let taken =
            |address: &str, now| (0..100).filter(|_| budget.take(address.parse().unwrap(), now)).count();
        assert_eq!(taken("192.0.2.1", START), 10);
        assert_eq!(taken("192.0.2.1", START.plus(Duration::from_millis(500))), 5);
        assert_eq!(taken("192.0.2.2", START), 10);
        assert_eq!(taken("198.51.100.2", START), 100);
        assert_eq!(taken("192.0.2.1", Timestamp::from_millis(5)), 10, "the clock stepped back");
        let none = SourceBudget::new(0, 64, Vec::new());
        assert!((0..100).all(|_| none.take("192.0.2.1".parse().unwrap(), START)));
    }
}
