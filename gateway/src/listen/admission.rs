//! Decides, before any work is done for it, whether a new connection is served, shed or closed.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use callboard_core::site::{Origin, SiteId};
use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::metrics::{Cause, DoorMetrics};
use super::{Limits, Source};

const SHARDS: usize = 16;
const SECOND: u64 = 1_000_000_000;

/// How fast a bucket fills, and how much it holds, in nanoseconds. Nothing stands for no bound.
#[derive(Debug, Clone, Copy)]
struct Rate(Option<(u64, u64)>);

impl Rate {
    /// One second's worth at once. 0 is no bound.
    fn per_second(number: u32) -> Self {
        Self::new(number, number)
    }

    /// `at_once` after a pause, and `per_second` then. `at_once` 0 is no bound.
    fn new(per_second: u32, at_once: u32) -> Self {
        let step = SECOND / u64::from(per_second.max(1));
        Self((at_once > 0).then(|| (step, step * u64::from(at_once))))
    }
}

/// A bucket as the time at which it would be full again (generic cell rate algorithm, ITU-T I.371). Nanoseconds since
/// the door opened.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket(u64);

impl Bucket {
    fn take(&mut self, now: u64, Rate(rate): Rate) -> bool {
        let Some((step, depth)) = rate else { return true };
        let next = self.0.max(now) + step;
        let fits = next <= now + depth;
        if fits {
            self.0 = next;
        }
        fits
    }
}

/// What one source holds and has done lately.
#[derive(Debug, Default)]
struct Account {
    served: u32,
    shed: u32,
    serve_bucket: Bucket,
    shed_bucket: Bucket,
    requests: Bucket,
    new_devices: Bucket,
}

impl Account {
    /// Whether forgetting it would change any decision.
    fn is_spent(&self, now: u64) -> bool {
        let buckets = [self.serve_bucket, self.shed_bucket, self.requests, self.new_devices];
        self.served == 0 && self.shed == 0 && buckets.iter().all(|bucket| bucket.0 <= now)
    }
}

type Shard = Mutex<HashMap<Source, Account, RandomState>>;

/// The accounts of one door.
pub(super) struct Admission {
    limits: Arc<Limits>,
    connection_rate: Rate,
    requests: Rate,
    new_devices: Rate,
    opened: Instant,
    hasher: RandomState,
    served: AtomicUsize,
    shed: AtomicUsize,
    shards: [Shard; SHARDS],
    swept: AtomicUsize,
    metrics: Arc<DoorMetrics>,
}

/// A place inside; given back when dropped.
pub(super) struct Place {
    admission: Arc<Admission>,
    /// The account it is charged to; none for networks without bounds.
    payer: Option<Source>,
    shed: bool,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("payer", &self.payer).field("shed", &self.shed).finish_non_exhaustive()
    }
}

impl Place {
    /// Whether the connection is to be told to come later.
    pub(super) fn is_shed(&self) -> bool {
        self.shed
    }

    /// Whether its source has no bounds of its own.
    pub(super) fn is_exempt(&self) -> bool {
        self.payer.is_none()
    }

    /// Whether its source may send one more request; a yes is counted.
    pub(super) fn take_request(&self) -> bool {
        self.take(self.admission.requests, |account| &mut account.requests)
    }

    /// Whether its source may bring one more unknown device; a yes is counted.
    pub(super) fn take_new_device(&self) -> bool {
        self.take(self.admission.new_devices, |account| &mut account.new_devices)
    }

    fn take(&self, rate: Rate, bucket: impl FnOnce(&mut Account) -> &mut Bucket) -> bool {
        let Some(payer) = self.payer.filter(|_| rate.0.is_some()) else { return true };
        let now = self.admission.now();
        let mut shard = self.admission.shard(payer).lock();
        // It is there as long as it holds a place.
        shard.get_mut(&payer).is_none_or(|account| bucket(account).take(now, rate))
    }
}

impl Admission {
    pub(super) fn new(limits: Arc<Limits>, metrics: Arc<DoorMetrics>) -> Arc<Self> {
        Arc::new(Self {
            connection_rate: Rate::per_second(limits.new_connections_per_source_per_second),
            requests: Rate::per_second(limits.requests_per_source_per_second),
            new_devices: Rate::new(limits.new_devices_per_source_per_second, limits.new_devices_per_source),
            limits,
            opened: Instant::now(),
            hasher: RandomState::default(),
            served: AtomicUsize::new(0),
            shed: AtomicUsize::new(0),
            shards: std::array::from_fn(|_| Mutex::default()),
            swept: AtomicUsize::new(0),
            metrics,
        })
    }

    /// A place for a connection from `address`, which the edge of `site` names if there is one, or nothing when it is to be
    /// closed at once.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr, site: Option<SiteId>) -> Option<Place> {
        let now = self.now();
        let Limits { ipv6_prefix, exempt_networks, .. } = &*self.limits;
        let Some(payer) = Source::bounded(Origin { site, address }, *ipv6_prefix, exempt_networks) else {
            // An account that holds nothing is under every bound of a source.
            return self.decide(&mut Account::default(), None, now);
        };
        let mut shard = self.shard(payer).lock();
        if !shard.contains_key(&payer) && shard.len() >= self.limits.sources.div_ceil(SHARDS) {
            shard.retain(|_, account| !account.is_spent(now));
            if shard.len() >= self.limits.sources.div_ceil(SHARDS) {
                self.metrics.rejected(Cause::Sources);
                return None;
            }
        }
        self.decide(shard.entry(payer).or_default(), Some(payer), now)
    }

    fn decide(self: &Arc<Self>, account: &mut Account, payer: Option<Source>, now: u64) -> Option<Place> {
        let shed = match self.why_not(account, now) {
            None => {
                account.served += 1;
                self.served.fetch_add(1, Relaxed);
                self.metrics.connections.increment(1);
                false
            }
            Some(cause) if self.may_shed(account, now) => {
                account.shed += 1;
                self.shed.fetch_add(1, Relaxed);
                self.metrics.shed(cause);
                self.metrics.shed_connections.increment(1);
                true
            }
            Some(cause) => {
                self.metrics.rejected(cause);
                return None;
            }
        };
        Some(Place { admission: Arc::clone(self), payer, shed })
    }

    /// The limit that stands against serving the connection, if any. Takes from the source's bucket only if none does.
    fn why_not(&self, account: &mut Account, now: u64) -> Option<Cause> {
        if self.served.load(Relaxed) >= self.limits.connections {
            Some(Cause::Connections)
        } else if account.served >= self.limits.connections_per_source {
            Some(Cause::SourceConnections)
        } else if !account.serve_bucket.take(now, self.connection_rate) {
            Some(Cause::SourceRate)
        } else {
            None
        }
    }

    fn may_shed(&self, account: &mut Account, now: u64) -> bool {
        self.shed.load(Relaxed) < self.limits.shed_connections
            && (account.shed as usize) < self.limits.shed_connections.div_ceil(4)
            && account.shed_bucket.take(now, self.connection_rate)
    }

    /// Forgets spent accounts of one shard; called once a second, so that all are seen within 16.
    pub(super) fn sweep(&self) {
        let now = self.now();
        let mut shard = self.shards[self.swept.fetch_add(1, Relaxed) % SHARDS].lock();
        shard.retain(|_, account| !account.is_spent(now));
        if shard.capacity() > 64 && shard.len() < shard.capacity() / 4 {
            shard.shrink_to_fit();
        }
    }

    fn shard(&self, payer: Source) -> &Shard {
        // Keyed: nobody can choose addresses so that one shard is full and the others are empty.
        #[allow(clippy::cast_possible_truncation)] // SHARDS is small
        let shard = (self.hasher.hash_one(payer) % SHARDS as u64) as usize;
        &self.shards[shard]
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_nanos()).unwrap_or(u64::MAX / 2)
    }

    #[cfg(test)]
    fn known(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let admission = &self.admission;
        if let Some(payer) = self.payer
            && let Some(account) = admission.shard(payer).lock().get_mut(&payer)
        {
            let held = if self.shed { &mut account.shed } else { &mut account.served };
            *held = held.saturating_sub(1);
        }
        if self.shed {
            admission.shed.fetch_sub(1, Relaxed);
            admission.metrics.shed_connections.decrement(1);
        } else {
            admission.served.fetch_sub(1, Relaxed);
            admission.metrics.connections.decrement(1);
        }
    }
}

#[cfg(test)]
mod tests;
