//! Which flow came from an address, for phones that send no cookie; and how many did.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::Cookie;
use crate::network::counted_as;
use crate::site::Origin;
use crate::tally::Tally;

impl Origin {
    /// Whom it is counted with.
    pub(super) fn network(self, prefix: u32) -> Self {
        Self { address: counted_as(self.address, prefix), ..self }
    }
}

/// Flows by where they came from. Of several flows of one origin none can be told, so they need no list: their
/// number, and their cookies laid over each other, give the one that is left in the end.
#[derive(Debug, Default)]
pub(super) struct Sources {
    flows: HashMap<Origin, Flows, RandomState>,
    /// Open flows of IPv4 addresses and IPv6 networks, by their first addresses: who has one address of a network has them
    /// all. By site too: what the edge of one says fills no bound of another.
    crowds: Tally<Origin>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Flows {
    number: u32,
    cookies: u128,
}

impl Sources {
    pub(super) fn add(&mut self, source: Origin, cookie: Cookie) {
        let flows = self.flows.entry(source).or_default();
        flows.number += 1;
        flows.cookies ^= cookie.as_u128();
    }

    /// Take out a cookie that was added once.
    pub(super) fn remove(&mut self, source: Origin, cookie: Cookie) {
        let Some(flows) = self.flows.get_mut(&source) else { return };
        flows.number -= 1;
        flows.cookies ^= cookie.as_u128();
        if flows.number == 0 {
            self.flows.remove(&source);
        }
    }

    /// The flow of an origin that has exactly one.
    pub(super) fn only(&self, source: Origin) -> Option<Cookie> {
        let flows = self.flows.get(&source).filter(|flows| flows.number == 1)?;
        Some(Cookie::from_u128(flows.cookies))
    }

    /// One more flow of a network.
    pub(super) fn join(&mut self, network: Origin) {
        self.crowds.join(network);
    }

    /// One flow less of a network.
    pub(super) fn leave(&mut self, network: Origin) {
        self.crowds.leave(&network);
    }

    /// Flows of a network.
    pub(super) fn crowd(&self, network: Origin) -> usize {
        self.crowds.of(&network)
    }

    /// Give memory back after a wave.
    pub(super) fn shrink(&mut self) {
        self.crowds.shrink();
        if self.flows.len() * 4 < self.flows.capacity() {
            self.flows.shrink_to(self.flows.len() * 2);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.flows.is_empty() && self.crowds.len() == 0
    }
}
