//! The spool against a model.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::tests::{LIMITS, NAMES, START, crash, event, spool, waiting};
use super::*;
use crate::store::journal::MemoryJournal;

#[derive(Clone, Debug)]
enum Step {
    /// An event for those receivers.
    Push([bool; NAMES.len()]),
    /// A receiver acknowledges so many.
    Acknowledge(usize, usize),
    /// There are those receivers.
    Receivers([bool; NAMES.len()]),
    /// So many seconds pass.
    Tick(u64),
    Hold,
    Release,
    NoSpace(bool),
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => any::<[bool; NAMES.len()]>().prop_map(Step::Push),
        6 => (0..NAMES.len(), 1_usize..5).prop_map(|(who, count)| Step::Acknowledge(who, count)),
        2 => any::<[bool; NAMES.len()]>().prop_map(Step::Receivers),
        3 => (0_u64..30).prop_map(Step::Tick),
        1 => Just(Step::Hold),
        2 => Just(Step::Release),
        1 => any::<bool>().prop_map(Step::NoSpace),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..200)
}

/// What a receiver is to get.
#[derive(Default)]
struct Model {
    waiting: VecDeque<u64>,
    /// All that ever waited for it.
    ever: BTreeSet<u64>,
    lost: u64,
}

struct World {
    journal: Arc<MemoryJournal>,
    spool: Spool,
    now: Timestamp,
    there: BTreeMap<&'static str, Model>,
    /// When the entries happened that somebody waits for.
    born: BTreeMap<u64, Timestamp>,
    given: Vec<u64>,
    /// Entries up to here are durable, as far as anybody waits for them,
    safe: u64,
    /// and this is the last of those that were.
    durable: u64,
    /// All that ever waited for a name, whoever had it.
    ever: BTreeMap<&'static str, BTreeSet<u64>>,
}

impl World {
    fn new() -> Self {
        let (journal, spool) = spool();
        let (there, born, ever) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { journal, spool, now: START, there, born, given: Vec::new(), safe: 0, durable: 0, ever }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Push(wants) => self.push(*wants),
            Step::Acknowledge(who, count) => self.acknowledge(NAMES[*who], *count),
            Step::Receivers(there) => {
                let names: Vec<_> =
                    NAMES.into_iter().zip(there).filter(|one| *one.1).map(|one| one.0).collect();
                self.there.retain(|name, _| names.contains(name));
                for name in &names {
                    self.there.entry(name).or_default();
                }
                self.spool.set_receivers(names);
            }
            Step::Tick(seconds) => {
                self.now = self.now.plus(Duration::from_secs(*seconds));
                let is_old = |at: &Timestamp| self.now.since(*at) > LIMITS.age;
                let old: Vec<_> = self.born.iter().filter(|one| is_old(one.1)).map(|one| *one.0).collect();
                for number in old {
                    self.lose(number);
                }
                self.spool.tick(self.now);
            }
            Step::Hold => self.journal.hold(),
            Step::Release => self.journal.release(),
            Step::NoSpace(full) => self.journal.set_no_space(*full),
            Step::Crash => self.crash(),
        }
    }

    fn push(&mut self, wants: [bool; NAMES.len()]) {
        let wants = |name: &str| NAMES.iter().position(|other| *other == name).is_some_and(|at| wants[at]);
        let pushed = self.spool.push(&event(7, self.now), wants);
        let Some(number) = pushed.unwrap_or_else(|refused| Some(refused.number)) else {
            assert!(!self.there.keys().any(|name| wants(name)));
            return;
        };
        self.given.push(number);
        self.forget();
        if self.born.len() == LIMITS.entries {
            let oldest = *self.born.keys().next().unwrap();
            self.lose(oldest);
        }
        self.born.insert(number, self.now);
        for (name, model) in self.there.iter_mut().filter(|(name, _)| wants(name)) {
            model.waiting.push_back(number);
            model.ever.insert(number);
            self.ever.entry(name).or_default().insert(number);
        }
    }

    fn acknowledge(&mut self, name: &'static str, count: usize) {
        let Some(model) = self.there.get_mut(name) else { return };
        let mut after = 0;
        for _ in 0..count.min(model.waiting.len()) {
            let entry = self.spool.next(name, after).unwrap();
            assert_eq!(Some(entry.number), model.waiting.pop_front());
            after = entry.number;
        }
        self.spool.acknowledge(name, after);
    }

    fn lose(&mut self, number: u64) {
        self.born.remove(&number);
        for model in self.there.values_mut() {
            if model.waiting.front() == Some(&number) {
                model.waiting.pop_front();
                model.lost += 1;
            }
        }
    }

    /// Entries that nobody waits for are none.
    fn forget(&mut self) {
        let there = &self.there;
        self.born.retain(|number, _| there.values().any(|model| model.waiting.contains(number)));
    }

    fn check(&mut self) {
        self.forget();
        let stats = self.spool.stats();
        assert_eq!(stats.entries, self.born.len());
        assert!(stats.entries <= LIMITS.entries && stats.bytes <= LIMITS.bytes);
        assert_eq!(stats.receivers.len(), self.there.len());
        for ((name, model), stats) in self.there.iter().zip(stats.receivers) {
            assert_eq!(model.waiting, waiting(&self.spool, name), "{name}");
            assert_eq!((&*stats.name, stats.lost, stats.waiting), (*name, model.lost, model.waiting.len()));
        }
        assert!(self.given.is_sorted_by(|before, after| before < after));
        if let Ok(None) = self.spool.settled() {
            self.safe = self.given.last().copied().unwrap_or(0);
            self.durable = self.durable.max(self.born.keys().next_back().copied().unwrap_or(0));
        }
    }

    /// Only what was durable is left, and the spool goes on with it.
    fn crash(&mut self) {
        let names: Vec<_> = self.there.keys().copied().collect();
        let (journal, spool, _) = crash(&self.journal, LIMITS);
        (self.journal, self.spool) = (journal, spool);
        self.spool.set_receivers(names.iter().copied());
        let lost: Vec<_> = self.spool.stats().receivers.iter().map(|one| one.lost).collect();
        // Numbers of what was never durable may come again.
        self.given = vec![self.durable];
        self.born.clear();
        for (name, lost) in names.into_iter().zip(lost) {
            let left = waiting(&self.spool, name);
            let model = self.there.get_mut(name).unwrap();
            let ever = self.ever.get(name).cloned().unwrap_or_default();
            assert!(left.iter().all(|number| ever.contains(number)), "{name} gets what was never for it");
            assert!(left.is_sorted_by(|before, after| before < after));
            // Of what it had not got, all that was durable is there, without a gap.
            let kept = model.waiting.iter().filter(|number| left.contains(number)).count();
            let durable = model.waiting.iter().filter(|number| **number <= self.safe).count();
            assert!(kept >= durable, "{name} misses some of {:?}, has {left:?}", model.waiting);
            assert!(model.waiting.iter().take(kept).all(|number| left.contains(number)), "a gap");
            (model.waiting, model.lost) = (left.into(), lost);
            for number in &model.waiting {
                let entry = self.spool.next(name, number - 1).unwrap();
                self.born.insert(*number, entry.at);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, ..ProptestConfig::default() })]

    /// Whatever happens: each receiver gets what it is to get, in order, and a crash takes nothing from it that was durable.
    #[test]
    fn receivers_get_everything_in_order_and_at_least_once(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            world.check();
        }
    }
}
