//! How phones learn that work waits, and where they call: decided by their number.

use std::ops::Range;

/// How a phone is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    /// Called by the server.
    Direct,
    /// Polls at the server; it is behind NAT and cannot be called.
    Polls,
    /// Behind this edge; called by it.
    EdgeCalled(usize),
    /// Behind this edge; polls there.
    EdgePolls(usize),
}

impl Way {
    /// The edge that stands between, from 0.
    pub(crate) fn edge(self) -> Option<usize> {
        match self {
            Self::Direct | Self::Polls => None,
            Self::EdgeCalled(edge) | Self::EdgePolls(edge) => Some(edge),
        }
    }

    /// Name in the report.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Polls => "polls",
            Self::EdgeCalled(_) => "edge_called",
            Self::EdgePolls(_) => "edge_polls",
        }
    }

    /// All names.
    pub(crate) const NAMES: [&'static str; 4] = ["direct", "polls", "edge_called", "edge_polls"];
}

/// The phones by way, in the order of their numbers: those that can be called come first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ways {
    direct: u32,
    edge_called: u32,
    edge_polls: u32,
    polls: u32,
    edges: u32,
}

impl Ways {
    /// So many phones, of which these percentages are not behind edges. Without edges the rest polls.
    pub(crate) fn new(phones: u32, direct: u32, polls: u32, edges: u32) -> Self {
        let share = |percent: u32| {
            u32::try_from(u64::from(phones) * u64::from(percent.min(100)) / 100).unwrap_or(phones)
        };
        let direct = share(direct);
        let behind = if edges == 0 { 0 } else { phones - direct - share(polls).min(phones - direct) };
        let edge_called = behind.div_ceil(2);
        Self {
            direct,
            edge_called,
            edge_polls: behind - edge_called,
            polls: phones - direct - behind,
            edges: edges.max(1),
        }
    }

    /// Phones from this number on are behind NAT.
    pub(crate) fn nat_from(&self) -> u32 {
        self.direct + self.edge_called
    }

    pub(crate) fn phones(&self) -> u32 {
        self.nat_from() + self.edge_polls + self.polls
    }

    pub(crate) fn of(&self, number: u32) -> Way {
        let edge = |at: u32, of: u32| (at / of.div_ceil(self.edges).max(1)) as usize;
        let nat = self.nat_from();
        if number < self.direct {
            Way::Direct
        } else if number < nat {
            Way::EdgeCalled(edge(number - self.direct, self.edge_called))
        } else if number < nat + self.edge_polls {
            Way::EdgePolls(edge(number - nat, self.edge_polls))
        } else {
            Way::Polls
        }
    }

    /// All phones, in parts of one way each.
    pub(crate) fn parts(&self) -> Vec<(Way, Range<u32>)> {
        let mut parts: Vec<(Way, Range<u32>)> = Vec::new();
        for number in 0..self.phones() {
            let way = self.of(number);
            match parts.last_mut() {
                Some((last, numbers)) if *last == way => numbers.end = number + 1,
                _ => parts.push((way, number..number + 1)),
            }
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_are_shared_out() {
        let parts = Ways::new(50_000, 40, 40, 4).parts();
        let count = |wanted: &str| {
            let of = parts.iter().filter(|(way, _)| way.as_str() == wanted);
            of.map(|(_, numbers)| numbers.len()).sum::<usize>()
        };
        assert_eq!(Way::NAMES.map(count), [20_000, 20_000, 5_000, 5_000]);
        assert_eq!(parts.len(), 10, "{parts:?}");
        assert_eq!(parts.iter().map(|(_, numbers)| numbers.end).max(), Some(50_000));
        for edge in 0..4 {
            let of = parts.iter().filter(|(way, _)| way.edge() == Some(edge));
            assert_eq!(of.map(|(_, numbers)| numbers.len()).sum::<usize>(), 2_500);
        }
    }

    #[test]
    fn those_that_can_be_called_come_first() {
        for ways in [Ways::new(7, 40, 40, 3), Ways::new(1, 100, 0, 4), Ways::new(100, 0, 100, 0)] {
            for number in 0..ways.phones() {
                let called = matches!(ways.of(number), Way::Direct | Way::EdgeCalled(_));
                assert_eq!(called, number < ways.nat_from(), "{ways:?} {number}");
            }
        }
        assert_eq!(Ways::new(100, 30, 0, 0).of(30), Way::Polls, "without edges");
    }
}
