//! Open flows: which flow a message belongs to, and the memory of what was answered.
//!
//! One flow per device. A flow is found by its cookie; without one by the connection, the device or the sender's
//! address (WPI reference, section 1.5). A flow that is being stepped is out of the table ("checked out"), so that no
//! lock is held while a step computes.

mod answered;
mod cookie;
mod sources;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foldhash::fast::RandomState;
use parking_lot::{Mutex, MutexGuard};

use super::wpi::{Arrival, Door, Flow, Reply};
use crate::device::DeviceId;
use crate::site::Origin;
use crate::time::{Random, Timestamp};
use answered::{Answered, Memory};
pub use cookie::Cookie;
use sources::Sources;

const SHARDS: usize = 64;

/// Bounds on flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Open flows.
    pub flows: usize,
    /// Open flows of one sender's address, or of one IPv6 network; of each site they are others.
    pub flows_per_source: usize,
    /// Leading bits that tell IPv6 networks apart.
    pub ipv6_prefix: u32,
    /// Bytes that flows keep of what their phones sent, all together. Beyond it no flow is opened; beyond twice as much
    /// those that are open are not continued either.
    pub flow_bytes: usize,
    /// A flow without a message ends after this.
    pub idle: Duration,
    /// A flow ends after this whatever happens in it.
    pub lifetime: Duration,
    /// Opening messages are recognised when they come again within this time.
    pub retransmission_window: Duration,
    /// Opening messages remembered per device.
    pub retransmission_nonces: usize,
    /// Bytes for the memory of opening messages, all devices together.
    pub retransmission_bytes: usize,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            flows: 100_000,
            flows_per_source: 2_000,
            ipv6_prefix: 64,
            flow_bytes: 512 << 20,
            idle: Duration::from_mins(2),
            lifetime: Duration::from_mins(10),
            retransmission_window: Duration::from_mins(10),
            retransmission_nonces: 8,
            retransmission_bytes: 64 << 20,
        }
    }
}

/// A device's place in the table.
#[derive(Debug)]
struct Entry {
    cookie: Cookie,
    /// Where its opening message came from.
    origin: Origin,
    /// The door that it came to.
    door: Door,
    slot: Slot,
    /// Bytes that its waiting flow keeps.
    bytes: usize,
}

#[derive(Debug)]
enum Slot {
    /// Waits for the phone.
    Parked(Box<Flow>),
    /// A message of it is being worked on, since then.
    CheckedOut(Timestamp),
    /// Over since then; the reply is kept for a phone that repeats its last message.
    Over(Timestamp, Reply),
}

impl Entry {
    const fn is_open(&self) -> bool {
        !matches!(self.slot, Slot::Over(..))
    }
}

#[derive(Default)]
struct Shard {
    flows: HashMap<DeviceId, Entry, RandomState>,
    cookies: HashMap<Cookie, DeviceId, RandomState>,
    answered: Memory,
}

/// What came of looking for a flow.
#[derive(Debug)]
pub enum Found {
    /// Here it is. It is checked out: give it back with [`Sessions::park`].
    Flow(Cookie, Box<Flow>),
    /// It is being stepped right now by another message.
    Busy,
    /// The flow of this device is over; this was its last reply.
    Over(DeviceId, Reply),
    /// There is none.
    None,
}

/// How a message names its flow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints<'a> {
    /// The value of our cookie, if the request has one that can be ours.
    pub cookie: Option<Cookie>,
    /// The request has any cookie at all.
    pub has_cookie: bool,
    /// The flow that was opened on this connection.
    pub connection: Option<Cookie>,
    /// The device that the message's items name. A flow of another device is not meant, whatever else points to it.
    pub device: Option<&'a DeviceId>,
}

/// All open flows.
pub struct Sessions {
    shards: Box<[Mutex<Shard>]>,
    sources: Box<[Mutex<Sources>]>,
    hasher: RandomState,
    limits: SessionLimits,
    open: AtomicUsize,
    held: AtomicUsize,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("open", &self.open()).finish_non_exhaustive()
    }
}

impl Sessions {
    /// None open.
    pub fn new(limits: SessionLimits) -> Self {
        Self {
            shards: std::iter::repeat_with(Mutex::default).take(SHARDS).collect(),
            sources: std::iter::repeat_with(Mutex::default).take(SHARDS).collect(),
            hasher: RandomState::default(),
            limits,
            open: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
        }
    }

    /// Flows open now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether the sender's address, or its network, has as many open flows as it may: at one site, or directly.
    pub fn is_full(&self, origin: Origin) -> bool {
        let network = origin.network(self.limits.ipv6_prefix);
        self.source(network.address).crowd(network) >= self.limits.flows_per_source
    }

    /// Whether waiting flows keep more bytes than new ones may add to.
    pub fn is_heavy(&self) -> bool {
        self.held.load(Ordering::Relaxed) > self.limits.flow_bytes
    }

    /// Whether waiting flows keep more bytes than there is room for, even for those that are inside.
    pub fn is_too_heavy(&self) -> bool {
        self.held.load(Ordering::Relaxed) / 2 > self.limits.flow_bytes
    }

    /// The bound on open flows.
    pub fn limit(&self) -> usize {
        self.limits.flows
    }

    #[allow(clippy::cast_possible_truncation)] // SHARDS is small
    fn shard_of(&self, device: &DeviceId) -> usize {
        (self.hasher.hash_one(device) % SHARDS as u64) as usize
    }

    fn shard(&self, device: &DeviceId) -> MutexGuard<'_, Shard> {
        self.shards[self.shard_of(device)].lock()
    }

    #[allow(clippy::cast_possible_truncation)] // the low bits are meant
    fn shard_with(&self, cookie: Cookie) -> MutexGuard<'_, Shard> {
        self.shards[cookie.as_u128() as usize % SHARDS].lock()
    }

    #[allow(clippy::cast_possible_truncation)] // SHARDS is small
    fn source(&self, source: IpAddr) -> MutexGuard<'_, Sources> {
        self.sources[(self.hasher.hash_one(source) % SHARDS as u64) as usize].lock()
    }

    /// What was answered to this very opening message, if it was.
    pub fn answered(
        &self,
        device: &DeviceId,
        nonce: &str,
        digest: u64,
        now: Timestamp,
    ) -> Option<(Cookie, Reply)> {
        let message = (self.hasher.hash_one(nonce), digest);
        let shard = self.shard(device);
        let known = shard.answered.find(device, message, now, self.limits.retransmission_window)?;
        Some((known.cookie, known.reply.clone()))
    }

    /// Remember the answer to an opening message.
    pub fn remember(
        &self,
        device: &DeviceId,
        nonce: &str,
        digest: u64,
        now: Timestamp,
        (cookie, reply): (Cookie, Reply),
    ) {
        let answered = Answered { at: now, nonce: self.hasher.hash_one(nonce), digest, cookie, reply };
        let limits = &self.limits;
        let bytes = limits.retransmission_bytes / SHARDS;
        self.shard(device).answered.keep(device, answered, limits.retransmission_nonces, bytes);
    }

    /// Open a flow of `device`, checked out, in place of one that may be there. Gives its cookie, and the flow that
    /// is replaced if it was waiting.
    pub fn begin(
        &self,
        device: &DeviceId,
        arrival: &Arrival,
        now: Timestamp,
        random: &dyn Random,
    ) -> (Cookie, Option<Box<Flow>>) {
        let number = random.next_u128() & !(SHARDS as u128 - 1) | self.shard_of(device) as u128;
        let cookie = Cookie::from_u128(number);
        // The address first: who ends the flow finds it there.
        let origin = arrival.origin();
        self.count_in(origin, cookie);
        let slot = Slot::CheckedOut(now);
        let entry = Entry { cookie, origin, door: arrival.door.clone(), slot, bytes: 0 };
        let mut shard = self.shard(device);
        let old = shard.flows.insert(device.clone(), entry);
        if let Some(old) = &old {
            shard.cookies.remove(&old.cookie);
        }
        shard.cookies.insert(cookie, device.clone());
        drop(shard);
        (cookie, old.and_then(|old| self.retire(old)))
    }

    /// Take leave of an entry that is out of the table. Gives the flow in it, if it was waiting.
    fn retire(&self, entry: Entry) -> Option<Box<Flow>> {
        if entry.is_open() {
            self.count_out(entry.origin, entry.cookie);
        }
        self.held.fetch_sub(entry.bytes, Ordering::Relaxed);
        match entry.slot {
            Slot::Parked(flow) => Some(flow),
            Slot::CheckedOut(_) | Slot::Over(..) => None,
        }
    }

    fn count_in(&self, origin: Origin, cookie: Cookie) {
        self.source(origin.address).add(origin, cookie);
        let network = origin.network(self.limits.ipv6_prefix);
        self.source(network.address).join(network);
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    fn count_out(&self, origin: Origin, cookie: Cookie) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.source(origin.address).remove(origin, cookie);
        let network = origin.network(self.limits.ipv6_prefix);
        self.source(network.address).leave(network);
    }

    /// Find and check out the flow that a message belongs to (WPI reference, section 1.5).
    ///
    /// The flow must be on the same door, of the same site, and of the device that the message names if it names one. A
    /// request with a cookie that leads nowhere never falls into another flow by its connection or the sender's address.
    pub fn check_out(&self, hints: Hints<'_>, arrival: &Arrival, now: Timestamp) -> Found {
        let connection = hints.connection.filter(|_| !hints.has_cookie);
        for cookie in [hints.cookie, connection].into_iter().flatten() {
            match self.take(cookie, hints.device, arrival, now) {
                Found::None => {}
                found => return found,
            }
        }
        let cookie = match hints.device {
            Some(device) => self.shard(device).flows.get(device).map(|entry| entry.cookie),
            None if !hints.has_cookie => self.source(arrival.source).only(arrival.origin()),
            None => None,
        };
        cookie.map_or(Found::None, |cookie| self.take(cookie, hints.device, arrival, now))
    }

    fn take(&self, cookie: Cookie, named: Option<&DeviceId>, arrival: &Arrival, now: Timestamp) -> Found {
        let mut guard = self.shard_with(cookie);
        let shard = &mut *guard;
        let Some(device) = shard.cookies.get(&cookie) else { return Found::None };
        let Some(entry) = shard.flows.get_mut(device) else { return Found::None };
        let is_meant = named.is_none_or(|named| named == device);
        if !is_meant || entry.door != arrival.door || entry.origin.site != arrival.site {
            return Found::None;
        }
        if let Slot::Over(_, reply) = &entry.slot {
            return Found::Over(device.clone(), reply.clone());
        }
        match std::mem::replace(&mut entry.slot, Slot::CheckedOut(now)) {
            Slot::Parked(flow) => {
                self.held.fetch_sub(std::mem::take(&mut entry.bytes), Ordering::Relaxed);
                Found::Flow(cookie, flow)
            }
            busy => {
                entry.slot = busy;
                Found::Busy
            }
        }
    }

    /// Give a flow back. Returns it if another flow has taken its place, or it was ended, meanwhile.
    pub fn park(&self, cookie: Cookie, flow: Box<Flow>) -> Option<Box<Flow>> {
        let mut shard = self.shard_with(cookie);
        match shard.flows.get_mut(flow.device()) {
            Some(entry) if entry.cookie == cookie => {
                // What is over stays so: two messages ended it at once, and the other one has made it durable.
                if entry.is_open() {
                    let before = std::mem::replace(&mut entry.bytes, flow.bytes());
                    self.held.fetch_add(entry.bytes, Ordering::Relaxed);
                    self.held.fetch_sub(before, Ordering::Relaxed);
                    entry.slot = Slot::Parked(flow);
                }
                None
            }
            _ => Some(flow),
        }
    }

    /// End a flow for good; its last reply stays for a while.
    pub fn close(&self, cookie: Cookie, device: &DeviceId, now: Timestamp, reply: Reply) {
        let mut shard = self.shard_with(cookie);
        let Some(entry) =
            shard.flows.get_mut(device).filter(|entry| entry.cookie == cookie && entry.is_open())
        else {
            return;
        };
        entry.slot = Slot::Over(now, reply);
        self.held.fetch_sub(std::mem::take(&mut entry.bytes), Ordering::Relaxed);
        let origin = entry.origin;
        drop(shard);
        self.count_out(origin, cookie);
    }

    /// Whether the device has an open flow.
    pub fn has_flow(&self, device: &DeviceId) -> bool {
        self.shard(device).flows.get(device).is_some_and(Entry::is_open)
    }

    /// End what is too old and forget what is past. Gives the flows that were waiting.
    pub fn sweep(&self, now: Timestamp) -> Vec<Box<Flow>> {
        let mut expired = Vec::new();
        for shard in &self.shards {
            let mut guard = shard.lock();
            let shard = &mut *guard;
            let dead = shard.flows.extract_if(|_, entry| self.is_expired(&entry.slot, now));
            for (_, entry) in dead {
                shard.cookies.remove(&entry.cookie);
                expired.push(entry);
            }
            // A wave of phones does not keep its memory for ever.
            if shard.flows.len() * 4 < shard.flows.capacity() {
                shard.flows.shrink_to(shard.flows.len() * 2);
                shard.cookies.shrink_to(shard.cookies.len() * 2);
            }
            shard.answered.sweep(now, self.limits.retransmission_window);
        }
        for sources in &self.sources {
            sources.lock().shrink();
        }
        expired.into_iter().filter_map(|entry| self.retire(entry)).collect()
    }

    fn is_expired(&self, slot: &Slot, now: Timestamp) -> bool {
        let limits = &self.limits;
        match slot {
            Slot::Parked(flow) => {
                now.since(flow.touched()) > limits.idle || now.since(flow.opened()) > limits.lifetime
            }
            // A step takes microseconds, or as long as credentials take to make.
            Slot::CheckedOut(since) | Slot::Over(since, _) => now.since(*since) > limits.idle,
        }
    }

    /// Whether no table holds anything.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        let shards = self.shards.iter().all(|shard| {
            let shard = shard.lock();
            shard.flows.is_empty() && shard.cookies.is_empty() && shard.answered.is_empty()
        });
        shards && self.sources.iter().all(|sources| sources.lock().is_empty()) && self.open() == 0
    }
}
