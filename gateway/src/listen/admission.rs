//! Decides, before any work is done for it, whether a new connection is served, shed or closed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Limits;
use super::metrics::{Cause, DoorMetrics};

const SHARDS: usize = 16;
const SECOND: u64 = 1_000_000_000;

/// Whom a connection is charged to: an IPv4 address or an IPv6 network of 64 bits (RFC 4291, section 2.5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Source(u64);

impl Source {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            // No unicast IPv6 network begins with these bits.
            IpAddr::V4(v4) => Self(0xffff_ffff_0000_0000 | u64::from(v4.to_bits())),
            #[allow(clippy::cast_possible_truncation)]
            IpAddr::V6(v6) => Self((v6.to_bits() >> 64) as u64),
        }
    }
}

/// A bucket of one second's worth of connections, as the time at which it would be full again (generic cell rate
/// algorithm, ITU-T I.371). Nanoseconds since the door opened.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket(u64);

impl Bucket {
    fn take(&mut self, now: u64, per_second: u32) -> bool {
        let step = SECOND / u64::from(per_second.max(1));
        let next = self.0.max(now) + step;
        let fits = next <= now + SECOND.max(step);
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
}

impl Account {
    /// Whether forgetting it would change any decision.
    fn is_spent(&self, now: u64) -> bool {
        self.served == 0 && self.shed == 0 && self.serve_bucket.0 <= now && self.shed_bucket.0 <= now
    }
}

type Shard = Mutex<HashMap<Source, Account, RandomState>>;

/// The accounts of one door.
pub(super) struct Admission {
    limits: Arc<Limits>,
    opened: Instant,
    served: AtomicUsize,
    shed: AtomicUsize,
    shards: [Shard; SHARDS],
    swept: AtomicUsize,
    metrics: Arc<DoorMetrics>,
}

/// A place inside; given back when dropped.
pub(super) struct Place {
    admission: Arc<Admission>,
    source: Source,
    shed: bool,
}

impl Place {
    /// Whether the connection is to be told to come later.
    pub(super) fn is_shed(&self) -> bool {
        self.shed
    }
}

impl Admission {
    pub(super) fn new(limits: Arc<Limits>, metrics: Arc<DoorMetrics>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            opened: Instant::now(),
            served: AtomicUsize::new(0),
            shed: AtomicUsize::new(0),
            shards: std::array::from_fn(|_| Mutex::default()),
            swept: AtomicUsize::new(0),
            metrics,
        })
    }

    /// A place for a connection from `address`, or nothing when it is to be closed at once.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let source = Source::of(address);
        let now = self.now();
        let mut shard = self.shard(source).lock();
        if !shard.contains_key(&source) && shard.len() >= self.limits.sources.div_ceil(SHARDS) {
            shard.retain(|_, account| !account.is_spent(now));
            if shard.len() >= self.limits.sources.div_ceil(SHARDS) {
                self.metrics.rejected(Cause::Sources);
                return None;
            }
        }
        let account = shard.entry(source).or_default();
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
        drop(shard);
        Some(Place { admission: Arc::clone(self), source, shed })
    }

    /// The limit that stands against serving the connection, if any. Takes from the source's bucket only if none does.
    fn why_not(&self, account: &mut Account, now: u64) -> Option<Cause> {
        if self.served.load(Relaxed) >= self.limits.connections {
            Some(Cause::Connections)
        } else if account.served >= self.limits.connections_per_source {
            Some(Cause::SourceConnections)
        } else if !account.serve_bucket.take(now, self.limits.new_connections_per_source_per_second) {
            Some(Cause::SourceRate)
        } else {
            None
        }
    }

    fn may_shed(&self, account: &mut Account, now: u64) -> bool {
        self.shed.load(Relaxed) < self.limits.shed_connections
            && (account.shed as usize) < self.limits.shed_connections.div_ceil(4)
            && account.shed_bucket.take(now, self.limits.new_connections_per_source_per_second)
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

    fn shard(&self, source: Source) -> &Shard {
        // The low bits of an IPv4 address and the low bits of an IPv6 network are the ones that differ.
        #[allow(clippy::cast_possible_truncation)]
        let shard = (source.0 ^ source.0 >> 8 ^ source.0 >> 16) as usize % SHARDS;
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
        if let Some(account) = admission.shard(self.source).lock().get_mut(&self.source) {
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
