//! When the server, or an edge, was away because it was killed: then broken connections are no faults.

use std::sync::atomic::{AtomicU64, Ordering};

use super::ways::Way;

/// The server and its edges: an odd number means that it is away.
pub(crate) struct Outages {
    counters: Vec<AtomicU64>,
}

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    Core,
    Edge(usize),
}

/// A moment before which nothing is excused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(u64, u64);

impl Outages {
    pub(crate) fn new(edges: u32) -> Self {
        Self { counters: (0..=edges).map(|_| AtomicU64::new(0)).collect() }
    }

    fn counter(&self, victim: Victim) -> &AtomicU64 {
        match victim {
            Victim::Core => &self.counters[0],
            Victim::Edge(edge) => &self.counters[edge + 1],
        }
    }

    /// It is about to be killed.
    pub(crate) fn begin(&self, victim: Victim) {
        self.counter(victim).fetch_add(1, Ordering::AcqRel);
    }

    /// It is back; an edge with its connection to the server.
    pub(crate) fn end(&self, victim: Victim) {
        self.counter(victim).fetch_add(1, Ordering::AcqRel);
    }

    /// Now.
    pub(crate) fn mark(&self, way: Way) -> Mark {
        let count = |victim| self.counter(victim).load(Ordering::Acquire);
        Mark(count(Victim::Core), way.edge().map_or(0, |edge| count(Victim::Edge(edge))))
    }

    /// Whether somebody on this way was away at any time since then.
    pub(crate) fn excuse(&self, way: Way, since: Mark) -> bool {
        let now = self.mark(way);
        now.0 != since.0 || now.1 != since.1 || !now.0.is_multiple_of(2) || !now.1.is_multiple_of(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_are_excused_who_need_it() {
        let outages = Outages::new(2);
        let ways = [Way::Direct, Way::EdgeCalled(0), Way::EdgePolls(1)];
        let marks = ways.map(|way| outages.mark(way));
        let excused = || [0, 1, 2].map(|at| outages.excuse(ways[at], marks[at]));
        assert_eq!(excused(), [false; 3]);
        outages.begin(Victim::Edge(1));
        assert_eq!(excused(), [false, false, true]);
        assert!(outages.excuse(ways[2], outages.mark(ways[2])), "it is away");
        outages.end(Victim::Edge(1));
        assert_eq!(excused(), [false, false, true], "it was away meanwhile");
        assert!(!outages.excuse(ways[2], outages.mark(ways[2])));
        outages.begin(Victim::Core);
        assert_eq!(excused(), [true; 3]);
    }
}
