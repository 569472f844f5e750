//! Which flow came from an address, for phones that send no cookie.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use foldhash::fast::RandomState;

use super::Cookie;

/// Flows by the sender's address. Of several flows at one address none can be told, so they need no list: their
/// number, and their cookies laid over each other, give the one that is left in the end.
#[derive(Debug, Default)]
pub(super) struct Sources {
    flows: HashMap<IpAddr, Flows, RandomState>,
    /// Open flows of IPv6 networks, by their first addresses: who has one address of a network has them all.
    crowds: HashMap<Ipv6Addr, u32, RandomState>,
}

/// The IPv6 network of an address, if it is in one.
pub(super) fn network(source: IpAddr, prefix: u32) -> Option<Ipv6Addr> {
    match source.to_canonical() {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - prefix.min(128)).unwrap_or(0);
            Some(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Flows {
    number: u32,
    cookies: u128,
}

impl Sources {
    pub(super) fn add(&mut self, source: IpAddr, cookie: Cookie) {
        let flows = self.flows.entry(source).or_default();
        flows.number += 1;
        flows.cookies ^= cookie.as_u128();
    }

    /// Take out a cookie that was added once.
    pub(super) fn remove(&mut self, source: IpAddr, cookie: Cookie) {
        let Some(flows) = self.flows.get_mut(&source) else { return };
        flows.number -= 1;
        flows.cookies ^= cookie.as_u128();
        if flows.number == 0 {
            self.flows.remove(&source);
        }
    }

    /// The flow of an address that has exactly one.
    pub(super) fn only(&self, source: IpAddr) -> Option<Cookie> {
        let flows = self.flows.get(&source).filter(|flows| flows.number == 1)?;
        Some(Cookie::from_u128(flows.cookies))
    }

    /// Flows of an address.
    pub(super) fn number(&self, source: IpAddr) -> usize {
        self.flows.get(&source).map_or(0, |flows| flows.number as usize)
    }

    /// One more flow of a network.
    pub(super) fn join(&mut self, network: Ipv6Addr) {
        *self.crowds.entry(network).or_default() += 1;
    }

    /// One flow less of a network.
    pub(super) fn leave(&mut self, network: Ipv6Addr) {
        let Some(number) = self.crowds.get_mut(&network) else { return };
        *number -= 1;
        if *number == 0 {
            self.crowds.remove(&network);
        }
    }

    /// Flows of a network.
    pub(super) fn crowd(&self, network: Ipv6Addr) -> usize {
        self.crowds.get(&network).map_or(0, |number| *number as usize)
    }

    /// Give memory back after a wave.
    pub(super) fn shrink(&mut self) {
        if self.crowds.len() * 4 < self.crowds.capacity() {
            self.crowds.shrink_to(self.crowds.len() * 2);
        }
        if self.flows.len() * 4 < self.flows.capacity() {
            self.flows.shrink_to(self.flows.len() * 2);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.flows.is_empty() && self.crowds.is_empty()
    }
}
