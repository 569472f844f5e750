//! Scans: every address of a range is called, so that phones that know no service, or another one, come.
//!
//! A scan is asked for its next address by whoever makes the calls, and told how each answered. Scans are kept in
//! memory: one that is running when the process ends is gone.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use callboard_codecs::contact::ServiceAddress;

use super::{CallOutcome, NotCallable};
use crate::network::Network;
use crate::time::Timestamp;

/// Bounds on scans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanLimits {
    /// Addresses of one scan.
    pub addresses: usize,
    /// Scans that run at the same time.
    pub running: usize,
    /// Scans that are kept, running ones included.
    pub kept: usize,
}

impl Default for ScanLimits {
    fn default() -> Self {
        Self { addresses: 4_096, running: 4, kept: 16 }
    }
}

/// Number of a scan. Numbers grow, over restarts too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScanId(pub u64);

impl fmt::Display for ScanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Addresses from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    first: IpAddr,
    last: IpAddr,
}

/// A text that is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRange {
    /// No address, no network and no two addresses.
    #[error("an address, a network (192.0.2.0/24) or two addresses (192.0.2.10-192.0.2.20)")]
    Form,
    /// A network whose address has bits behind the prefix, or with a wrong prefix.
    #[error("{0}")]
    Network(crate::network::BadNetwork),
    /// IPv4 on one side and IPv6 on the other.
    #[error("both addresses must be IPv4, or both IPv6")]
    Mixed,
    /// The last address is before the first.
    #[error("the last address is before the first")]
    Backwards,
}

impl FromStr for Range {
    type Err = BadRange;

    /// A network without its own and its broadcast address, if it has them; or two addresses; or one.
    fn from_str(text: &str) -> Result<Self, BadRange> {
        let address = |text: &str| text.trim().parse().map_err(|_| BadRange::Form);
        if text.contains('/') {
            let network: Network = text.trim().parse().map_err(BadRange::Network)?;
            return Ok(Self::inside(&network));
        }
        let (first, last): (IpAddr, IpAddr) = match text.split_once('-') {
            Some((first, last)) => (address(first)?, address(last)?),
            None => (address(text)?, address(text)?),
        };
        let (first, last) = (first.to_canonical(), last.to_canonical());
        if first.is_ipv4() != last.is_ipv4() {
            return Err(BadRange::Mixed);
        }
        if last < first { Err(BadRange::Backwards) } else { Ok(Self { first, last }) }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { self.first.fmt(f) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl Range {
    fn inside(network: &Network) -> Self {
        let (first, last) = network.bounds();
        match (first, last) {
            // RFC 3021: networks of two addresses use both.
            (IpAddr::V4(low), IpAddr::V4(high)) if high.to_bits() - low.to_bits() > 1 => Self {
                first: Ipv4Addr::from_bits(low.to_bits() + 1).into(),
                last: Ipv4Addr::from_bits(high.to_bits() - 1).into(),
            },
            _ => Self { first, last },
        }
    }

    /// How many addresses it has.
    pub fn len(&self) -> u128 {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        (bits(self.last) - bits(self.first)).saturating_add(1)
    }

    /// Never: a range has one address at least.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// The address with this number, from 0; `None` behind the end.
    pub fn get(&self, number: usize) -> Option<IpAddr> {
        let number = u128::try_from(number).ok().filter(|number| *number < self.len())?;
        match self.first {
            IpAddr::V4(v4) => {
                u32::try_from(number).ok().map(|number| Ipv4Addr::from_bits(v4.to_bits() + number).into())
            }
            IpAddr::V6(v6) => Some(Ipv6Addr::from_bits(v6.to_bits() + number).into()),
        }
    }

    /// All addresses.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + '_ {
        (0..).map_while(|number| self.get(number))
    }
}

/// What is scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanWish {
    /// The addresses.
    pub range: Range,
    /// The port of the phones' web server.
    pub port: u16,
    /// The service that phones are told to call; `None` is the address and port that the calls come from.
    pub service: Option<ServiceAddress>,
}

/// How far a scan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanState {
    /// Calls are made.
    Running,
    /// All addresses were called.
    Done,
    /// An administrator ended it.
    Cancelled,
}

/// What an address answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanAnswer {
    /// A phone: it understood.
    Phone,
    /// Something that is no phone by its own word, or a phone that answered with this status.
    Other(u16),
    /// Nothing that could be understood, and why.
    Nothing(CallOutcome),
    /// It was not called, and why.
    Skipped(NotCallable),
    /// It was not called: it had been called a moment before.
    TooSoon,
}

/// What a scan found so far, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanCounts {
    /// Addresses that are through.
    pub tried: usize,
    /// Phones.
    pub phones: usize,
    /// Others that answered.
    pub others: usize,
    /// Addresses without answer.
    pub nothing: usize,
    /// Addresses that were not called.
    pub skipped: usize,
}

/// One scan.
#[derive(Clone, Debug)]
pub struct Scan {
    /// Its number.
    pub id: ScanId,
    /// What is scanned.
    pub wish: ScanWish,
    /// How far it is.
    pub state: ScanState,
    /// When it began.
    pub begun: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What it found, in numbers.
    pub counts: ScanCounts,
    /// How many addresses it has.
    pub addresses: usize,
    next: usize,
    answers: BTreeMap<u32, ScanAnswer>,
}

impl Scan {
    /// The answers from the address with number `from` on, in the order of addresses, with their numbers.
    pub fn answers(&self, from: u32) -> impl Iterator<Item = (u32, IpAddr, ScanAnswer)> + '_ {
        let found = |(number, answer): (&u32, &ScanAnswer)| {
            let address = usize::try_from(*number).ok().and_then(|number| self.wish.range.get(number))?;
            Some((*number, address, *answer))
        };
        self.answers.range(from..).filter_map(found)
    }
}

/// One call of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The scan.
    pub scan: ScanId,
    /// Number of the address in its range.
    pub number: u32,
    /// Whom to call.
    pub address: SocketAddr,
    /// The service that phones are told to call; `None` is the address and port that the call comes from.
    pub service: Option<ServiceAddress>,
}

/// Why a scan does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanRefused {
    /// The range has too many addresses.
    #[error("at most {limit} addresses, these are {addresses}")]
    TooLarge {
        /// Addresses of the range.
        addresses: u128,
        /// Addresses that a scan may have.
        limit: usize,
    },
    /// An address of the range must not be called.
    #[error("{address} cannot be called: {why}")]
    Address {
        /// The first such address.
        address: IpAddr,
        /// Why.
        why: NotCallable,
    },
    /// Phones have no such port.
    #[error("{0}")]
    Port(NotCallable),
    /// As many scans are running as may.
    #[error("{0} scans are running already")]
    Running(usize),
    /// No calls are made at all.
    #[error("contact-me is switched off (contact.concurrency is 0)")]
    Off,
}

/// All scans that are known.
#[derive(Debug)]
pub(super) struct Scans {
    limits: ScanLimits,
    /// In the order of their numbers.
    known: VecDeque<Scan>,
    /// The scan that was asked last for an address.
    turn: Option<ScanId>,
}

impl Scans {
    pub(super) fn new(limits: ScanLimits) -> Self {
        Self { limits, known: VecDeque::new(), turn: None }
    }

    fn running(&self) -> usize {
        self.known.iter().filter(|scan| scan.state == ScanState::Running).count()
    }

    /// Refuse what is too much. To be asked before the addresses are looked at one by one.
    pub(super) fn room(&self, range: &Range) -> Result<usize, ScanRefused> {
        let (addresses, limit) = (range.len(), self.limits.addresses);
        let count = usize::try_from(addresses).ok().filter(|count| *count <= limit);
        let count = count.ok_or(ScanRefused::TooLarge { addresses, limit })?;
        let running = self.running();
        if running >= self.limits.running { Err(ScanRefused::Running(running)) } else { Ok(count) }
    }

    /// Begin a scan. The oldest that has ended makes room for it.
    pub(super) fn begin(&mut self, wish: ScanWish, now: Timestamp) -> Result<Scan, ScanRefused> {
        let addresses = self.room(&wish.range)?;
        // The time is a number that no earlier scan has.
        let id = self.known.back().map_or(0, |last| last.id.0 + 1).max(now.as_millis());
        while self.known.len() >= self.limits.kept.max(self.limits.running) {
            let Some(old) = self.known.iter().position(|scan| scan.state != ScanState::Running) else {
                break;
            };
            self.known.remove(old);
        }
        let scan = Scan {
            id: ScanId(id),
            wish,
            state: ScanState::Running,
            begun: now,
            ended: None,
            counts: ScanCounts::default(),
            addresses,
            next: 0,
            answers: BTreeMap::new(),
        };
        self.known.push_back(scan.clone());
        Ok(scan)
    }

    /// The next address to be called; running scans take turns.
    pub(super) fn next(&mut self) -> Option<Probe> {
        let waits = |scan: &&mut Scan| scan.state == ScanState::Running && scan.next < scan.addresses;
        let after = self.turn;
        let mut waiting: Vec<_> = self.known.iter_mut().filter(waits).collect();
        let turn = waiting.iter().position(|scan| after.is_none_or(|after| scan.id > after)).unwrap_or(0);
        let scan = waiting.get_mut(turn)?;
        let (number, address) = (scan.next, scan.wish.range.get(scan.next)?);
        scan.next += 1;
        self.turn = Some(scan.id);
        Some(Probe {
            scan: scan.id,
            number: u32::try_from(number).ok()?,
            address: SocketAddr::new(address, scan.wish.port),
            service: scan.wish.service,
        })
    }

    /// Take note of an answer. After a scan has ended nothing is added to it.
    pub(super) fn answered(&mut self, probe: &Probe, answer: ScanAnswer, now: Timestamp) {
        let Some(scan) = self.known.iter_mut().find(|scan| scan.id == probe.scan) else { return };
        if scan.state != ScanState::Running || scan.answers.insert(probe.number, answer).is_some() {
            return;
        }
        let counts = &mut scan.counts;
        counts.tried += 1;
        *match answer {
            ScanAnswer::Phone => &mut counts.phones,
            ScanAnswer::Other(_) => &mut counts.others,
            ScanAnswer::Nothing(_) => &mut counts.nothing,
            ScanAnswer::Skipped(_) | ScanAnswer::TooSoon => &mut counts.skipped,
        } += 1;
        if counts.tried == scan.addresses {
            (scan.state, scan.ended) = (ScanState::Done, Some(now));
        }
    }

    /// End a scan that is running, or forget one that has ended. `None`: there is none.
    pub(super) fn end(&mut self, id: ScanId, now: Timestamp) -> Option<ScanState> {
        let at = self.known.iter().position(|scan| scan.id == id)?;
        let scan = self.known.get_mut(at)?;
        let state = scan.state;
        if state == ScanState::Running {
            (scan.state, scan.ended) = (ScanState::Cancelled, Some(now));
        } else {
            self.known.remove(at);
        }
        Some(state)
    }

    pub(super) fn get(&self, id: ScanId) -> Option<&Scan> {
        self.known.iter().find(|scan| scan.id == id)
    }

    /// All of them, newest first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Scan> {
        self.known.iter().rev()
    }
}

#[cfg(test)]
mod tests;
