//! Which flow came from an address, for phones that send no cookie.

use std::collections::HashMap;
use std::net::IpAddr;

use foldhash::fast::RandomState;

use super::Cookie;

/// Flows by the sender's address. Of several flows at one address none can be told, so they need no list: their
/// number, and their cookies laid over each other, give the one that is left in the end.
#[derive(Debug, Default)]
pub(super) struct Sources(HashMap<IpAddr, Flows, RandomState>);

#[derive(Clone, Copy, Debug, Default)]
struct Flows {
    number: u32,
    cookies: u128,
}

impl Sources {
    pub(super) fn add(&mut self, source: IpAddr, cookie: Cookie) {
        let flows = self.0.entry(source).or_default();
        flows.number += 1;
        flows.cookies ^= cookie.as_u128();
    }

    /// Take out a cookie that was added once.
    pub(super) fn remove(&mut self, source: IpAddr, cookie: Cookie) {
        let Some(flows) = self.0.get_mut(&source) else { return };
        flows.number -= 1;
        flows.cookies ^= cookie.as_u128();
        if flows.number == 0 {
            self.0.remove(&source);
        }
    }

    /// The flow of an address that has exactly one.
    pub(super) fn only(&self, source: IpAddr) -> Option<Cookie> {
        let flows = self.0.get(&source).filter(|flows| flows.number == 1)?;
        Some(Cookie::from_u128(flows.cookies))
    }

    /// Flows of an address.
    pub(super) fn number(&self, source: IpAddr) -> usize {
        self.0.get(&source).map_or(0, |flows| flows.number as usize)
    }

    /// Give memory back after a wave.
    pub(super) fn shrink(&mut self) {
        if self.0.len() * 4 < self.0.capacity() {
            self.0.shrink_to(self.0.len() * 2);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
