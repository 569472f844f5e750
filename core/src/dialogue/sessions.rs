//! Open flows: which flow a message belongs to, and the memory of what was answered.
//!
//! One flow per device. A flow is found by its cookie; without one by the connection, the device or the sender's
//! address (WPI reference, section 1.5). A flow that is being stepped is out of the table ("checked out"), so that no
//! lock is held while a step computes.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::wpi::{Door, Flow, Reply};
use crate::device::DeviceId;
use crate::time::{Random, Timestamp};

const SHARDS: usize = 64;

/// The name of a flow: 128 unpredictable bits, of which six tell the shard.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cookie(u128);

impl Cookie {
    /// The number, to be remembered beside a connection.
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// From a number that [`Cookie::as_u128`] gave.
    pub const fn from_u128(number: u128) -> Self {
        Self(number)
    }

    /// Read 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        digits.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(Self)
    }

    #[allow(clippy::cast_possible_truncation)] // the low bits are meant
    const fn shard(self) -> usize {
        self.0 as usize % SHARDS
    }
}

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032X}", self.0)
    }
}

impl fmt::Debug for Cookie {
    /// The first digits only: whoever has a cookie can speak for its phone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}…", self.0 >> 96)
    }
}

/// Bounds on flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Open flows.
    pub flows: usize,
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
            idle: Duration::from_mins(2),
            lifetime: Duration::from_mins(10),
            retransmission_window: Duration::from_mins(10),
            retransmission_nonces: 8,
            retransmission_bytes: 64 << 20,
        }
    }
}

/// An answered opening message.
#[derive(Clone, Debug)]
struct Answered {
    at: Timestamp,
    nonce: u64,
    digest: u64,
    cookie: Option<Cookie>,
    reply: Reply,
}

impl Answered {
    fn bytes(&self) -> usize {
        let items: usize =
            self.reply.items.iter().map(|item| item.value.expose().len() + size_of_val(item) + 32).sum();
        size_of::<Self>() + items
    }
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

#[derive(Default)]
struct Shard {
    flows: HashMap<DeviceId, (Cookie, Slot), RandomState>,
    cookies: HashMap<Cookie, DeviceId, RandomState>,
    answered: HashMap<DeviceId, SmallVec<[Answered; 1]>, RandomState>,
    /// Devices in the order of their answered messages, for forgetting them.
    order: VecDeque<(Timestamp, DeviceId)>,
    answered_bytes: usize,
}

/// What came of looking for a flow.
#[derive(Debug)]
pub enum Found {
    /// Here it is. It is checked out: give it back with [`Sessions::park`] or [`Sessions::close`].
    Flow(Cookie, Box<Flow>),
    /// It is being stepped right now by another message.
    Busy,
    /// It is over; this was its last reply.
    Over(Reply),
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
    /// The device that the message's items name.
    pub device: Option<&'a DeviceId>,
}

type Sources = HashMap<IpAddr, SmallVec<[Cookie; 1]>, RandomState>;

/// All open flows.
pub struct Sessions {
    shards: Box<[Mutex<Shard>]>,
    /// Cookies by the sender's address, for phones that send none.
    sources: Box<[Mutex<Sources>]>,
    hasher: RandomState,
    limits: SessionLimits,
    open: AtomicUsize,
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
        }
    }

    /// Flows open now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// The bound on open flows.
    pub fn limit(&self) -> usize {
        self.limits.flows
    }

    fn shard_of(&self, device: &DeviceId) -> usize {
        #[allow(clippy::cast_possible_truncation)] // SHARDS is small
        let number = (self.hasher.hash_one(device) % SHARDS as u64) as usize;
        number
    }

    #[allow(clippy::cast_possible_truncation)] // SHARDS is small
    fn source_shard(&self, source: IpAddr) -> &Mutex<Sources> {
        &self.sources[(self.hasher.hash_one(source) % SHARDS as u64) as usize]
    }

    fn hash_nonce(&self, nonce: &str) -> u64 {
        self.hasher.hash_one(nonce)
    }

    /// What was answered to this very opening message, if it was.
    pub fn answered(
        &self,
        device: &DeviceId,
        nonce: &str,
        digest: u64,
        now: Timestamp,
    ) -> Option<(Option<Cookie>, Reply)> {
        let nonce = self.hash_nonce(nonce);
        let shard = self.shards[self.shard_of(device)].lock();
        let known = shard.answered.get(device)?;
        known
            .iter()
            .find(|answered| {
                answered.nonce == nonce
                    && answered.digest == digest
                    && now.since(answered.at) <= self.limits.retransmission_window
            })
            .map(|answered| (answered.cookie, answered.reply.clone()))
    }

    /// Remember the answer to an opening message.
    pub fn remember(
        &self,
        device: &DeviceId,
        nonce: &str,
        digest: u64,
        now: Timestamp,
        (cookie, reply): (Option<Cookie>, Reply),
    ) {
        let answered = Answered { at: now, nonce: self.hash_nonce(nonce), digest, cookie, reply };
        let most = self.limits.retransmission_bytes / SHARDS;
        let mut guard = self.shards[self.shard_of(device)].lock();
        let shard = &mut *guard;
        shard.answered_bytes += answered.bytes();
        shard.order.push_back((now, device.clone()));
        let list = shard.answered.entry(device.clone()).or_default();
        list.push(answered);
        if list.len() > self.limits.retransmission_nonces {
            shard.answered_bytes -= list.remove(0).bytes();
        }
        while shard.answered_bytes > most && shard.forget_oldest() {}
    }

    /// Open a flow for the device of `flow`, in place of one that may be open. Gives the flow's cookie and the
    /// replaced flow.
    pub fn insert(&self, flow: Box<Flow>, random: &dyn Random) -> (Cookie, Option<Box<Flow>>) {
        let device = flow.device().clone();
        let source = flow.source();
        let cookie = self.cookie(&device, random);
        let mut shard = self.shards[cookie.shard()].lock();
        let old = shard.flows.insert(device.clone(), (cookie, Slot::Parked(flow)));
        let replaced = old.as_ref().map(|(cookie, _)| *cookie);
        if let Some(replaced) = replaced {
            shard.cookies.remove(&replaced);
        }
        shard.cookies.insert(cookie, device);
        drop(shard);
        self.open.fetch_add(1, Ordering::Relaxed);
        self.source_shard(source).lock().entry(source).or_default().push(cookie);
        (cookie, old.and_then(|(cookie, slot)| self.retire(cookie, slot)))
    }

    /// Take leave of a slot that is out of the table. Gives the flow in it, if it was waiting.
    fn retire(&self, cookie: Cookie, slot: Slot) -> Option<Box<Flow>> {
        match slot {
            Slot::Parked(flow) => {
                self.open.fetch_sub(1, Ordering::Relaxed);
                self.forget_source(flow.source(), cookie);
                Some(flow)
            }
            // Its step finds the cookie gone and forgets its source itself.
            Slot::CheckedOut(_) => {
                self.open.fetch_sub(1, Ordering::Relaxed);
                None
            }
            Slot::Over(..) => None,
        }
    }

    /// End the flow of a device, if there is one: a new opening message has come.
    pub fn replace(&self, device: &DeviceId) -> Option<Box<Flow>> {
        let mut shard = self.shards[self.shard_of(device)].lock();
        let (cookie, slot) = shard.flows.remove(device)?;
        shard.cookies.remove(&cookie);
        drop(shard);
        self.retire(cookie, slot)
    }

    /// A cookie for a flow that is over with its first reply.
    pub fn cookie(&self, device: &DeviceId, random: &dyn Random) -> Cookie {
        Cookie(random.next_u128() & !(SHARDS as u128 - 1) | self.shard_of(device) as u128)
    }

    fn forget_source(&self, source: IpAddr, cookie: Cookie) {
        let mut sources = self.source_shard(source).lock();
        if let Some(list) = sources.get_mut(&source) {
            list.retain(|known| *known != cookie);
            if list.is_empty() {
                sources.remove(&source);
            }
        }
    }

    /// Find and check out the flow that a message belongs to (WPI reference, section 1.5).
    ///
    /// The flow must be on the same door. A dead cookie never falls into another flow by the sender's address.
    pub fn check_out(&self, hints: Hints<'_>, source: IpAddr, door: &Door, now: Timestamp) -> Found {
        for cookie in [hints.cookie, hints.connection].into_iter().flatten() {
            match self.take(cookie, door, now) {
                Found::None => {}
                found => return found,
            }
        }
        if let Some(device) = hints.device {
            let cookie = self.shards[self.shard_of(device)].lock().flows.get(device).map(|slot| slot.0);
            if let Some(cookie) = cookie {
                return self.take(cookie, door, now);
            }
        }
        if !hints.has_cookie {
            let only = match self.source_shard(source).lock().get(&source).map(SmallVec::as_slice) {
                Some([only]) => Some(*only),
                _ => None,
            };
            if let Some(only) = only {
                return self.take(only, door, now);
            }
        }
        Found::None
    }

    fn take(&self, cookie: Cookie, door: &Door, now: Timestamp) -> Found {
        let mut guard = self.shards[cookie.shard()].lock();
        let shard = &mut *guard;
        let Some(device) = shard.cookies.get(&cookie) else { return Found::None };
        let Some((_, slot)) = shard.flows.get_mut(device) else { return Found::None };
        match slot {
            Slot::CheckedOut(_) => Found::Busy,
            Slot::Over(_, reply) => Found::Over(reply.clone()),
            Slot::Parked(flow) if !flow.is_on(door) => Found::None,
            Slot::Parked(_) => match std::mem::replace(slot, Slot::CheckedOut(now)) {
                Slot::Parked(flow) => Found::Flow(cookie, flow),
                Slot::CheckedOut(_) | Slot::Over(..) => Found::Busy,
            },
        }
    }

    /// Give a flow back. Returns it if another flow has taken its place meanwhile.
    pub fn park(&self, cookie: Cookie, flow: Box<Flow>) -> Option<Box<Flow>> {
        let mut guard = self.shards[cookie.shard()].lock();
        match guard.flows.get_mut(flow.device()) {
            Some((current, slot)) if *current == cookie => {
                *slot = Slot::Parked(flow);
                None
            }
            _ => {
                drop(guard);
                self.forget_source(flow.source(), cookie);
                Some(flow)
            }
        }
    }

    /// End a flow for good; its last reply stays for a while.
    pub fn close(&self, cookie: Cookie, device: &DeviceId, source: IpAddr, now: Timestamp, reply: Reply) {
        let mut shard = self.shards[cookie.shard()].lock();
        if let Some((current, slot)) = shard.flows.get_mut(device)
            && *current == cookie
            && !matches!(slot, Slot::Over(..))
        {
            *slot = Slot::Over(now, reply);
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
        drop(shard);
        self.forget_source(source, cookie);
    }

    /// Whether the device has an open flow.
    pub fn has_flow(&self, device: &DeviceId) -> bool {
        let shard = self.shards[self.shard_of(device)].lock();
        shard.flows.get(device).is_some_and(|(_, slot)| !matches!(slot, Slot::Over(..)))
    }

    /// End what is too old and forget what is past. Gives the flows that were not over.
    pub fn sweep(&self, now: Timestamp) -> Vec<Box<Flow>> {
        let mut expired = Vec::new();
        for shard in &self.shards {
            let mut guard = shard.lock();
            let shard = &mut *guard;
            let dead: Vec<_> = shard
                .flows
                .iter()
                .filter(|(_, (_, slot))| self.is_expired(slot, now))
                .map(|(device, _)| device.clone())
                .collect();
            for device in dead {
                if let Some((cookie, slot)) = shard.flows.remove(&device) {
                    shard.cookies.remove(&cookie);
                    expired.push((cookie, slot));
                }
            }
            while shard
                .order
                .front()
                .is_some_and(|(at, _)| now.since(*at) > self.limits.retransmission_window)
                && shard.forget_oldest()
            {}
        }
        expired
            .into_iter()
            .filter_map(|(cookie, slot)| self.retire(cookie, slot))
            .filter(|flow| !flow.is_over())
            .collect()
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
}

impl Shard {
    /// Forget the oldest answered message. False if there is none.
    fn forget_oldest(&mut self) -> bool {
        let Some((at, device)) = self.order.pop_front() else { return false };
        if let Some(list) = self.answered.get_mut(&device) {
            let mut freed = 0;
            list.retain(|answered| {
                let gone = answered.at <= at;
                if gone {
                    freed += answered.bytes();
                }
                !gone
            });
            self.answered_bytes = self.answered_bytes.saturating_sub(freed);
            if list.is_empty() {
                self.answered.remove(&device);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_have_32_digits_and_hide_in_debug() {
        let cookie = Cookie::from_u128(0x0D3C_55F1);
        assert_eq!(cookie.to_string(), format!("{}0D3C55F1", "0".repeat(24)));
        assert_eq!(cookie.to_string().len(), 32);
        assert_eq!(Cookie::parse(&cookie.to_string()), Some(cookie));
        for bad in ["", "12", &"g".repeat(32), &format!("+{}", "1".repeat(31))] {
            assert_eq!(Cookie::parse(bad), None, "{bad}");
        }
        assert!(!format!("{cookie:?}").contains("D3C55F1"));
    }
}
