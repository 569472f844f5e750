//! What the generator knows about each phone, to compare with what the service knows.

use std::sync::atomic::{AtomicU32, Ordering};

const PHASE: u32 = 0b11;
const CONFIGURED: u32 = 1 << 2;
const BUSY: u32 = 1 << 3;
const GENERATION_SHIFT: u32 = 8;
/// Generations a phone can go through: they are reported as four digits.
const MAX_GENERATION: u32 = 9_999;

/// How sure it is what the service must know of a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Never called.
    Untouched,
    /// Called, but the dialogue was not finished: the service may know the state before, after, or in between.
    Uncertain,
    /// The service ended the last dialogue with `CleanUp`: it must know this state.
    Settled,
}

/// A phone's own state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    /// Holds the items that the service writes.
    pub(crate) configured: bool,
    /// How often its settings were changed at the phone.
    pub(crate) generation: u32,
}

impl State {
    fn pack(self) -> u32 {
        let phase = match self.phase {
            Phase::Untouched => 0,
            Phase::Uncertain => 1,
            Phase::Settled => 2,
        };
        phase | (u32::from(self.configured) * CONFIGURED) | (self.generation << GENERATION_SHIFT)
    }

    fn unpack(cell: u32) -> Self {
        let phase = match cell & PHASE {
            0 => Phase::Untouched,
            1 => Phase::Uncertain,
            _ => Phase::Settled,
        };
        Self { phase, configured: cell & CONFIGURED != 0, generation: cell >> GENERATION_SHIFT }
    }
}

/// The state of every phone, four bytes each.
pub(crate) struct Ledger {
    cells: Vec<AtomicU32>,
}

impl Ledger {
    /// Phones that never called, numbered from 0.
    pub(crate) fn new(phones: u32) -> Self {
        Self { cells: (0..phones).map(|_| AtomicU32::new(0)).collect() }
    }

    /// Number of phones.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.cells.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn state(&self, number: u32) -> State {
        State::unpack(self.cells[number as usize].load(Ordering::Relaxed))
    }

    /// Begin a dialogue; `None` if the phone is in one already. The phone is uncertain from now on.
    /// With `change`, a settled phone first gets new settings and loses the written ones.
    pub(crate) fn begin(&self, number: u32, change: bool) -> Option<State> {
        let cell = &self.cells[number as usize];
        let before = cell.fetch_or(BUSY, Ordering::AcqRel);
        if before & BUSY != 0 {
            return None;
        }
        let mut state = State::unpack(before & !BUSY);
        if change && state.phase == Phase::Settled && state.generation < MAX_GENERATION {
            state.generation += 1;
            state.configured = false;
        }
        state.phase = Phase::Uncertain;
        cell.store(state.pack() | BUSY, Ordering::Release);
        Some(state)
    }

    /// End a dialogue in that state.
    pub(crate) fn end(&self, number: u32, state: State) {
        self.cells[number as usize].store(state.pack(), Ordering::Release);
    }

    /// A phone that was set up in an earlier run.
    pub(crate) fn assume_settled(&self, number: u32) {
        self.end(number, State { phase: Phase::Settled, configured: true, generation: 0 });
    }

    /// How many phones are in that phase.
    pub(crate) fn count(&self, phase: Phase) -> u64 {
        (0..self.len()).filter(|number| self.state(*number).phase == phase).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_is_in_one_dialogue_at_a_time() {
        let ledger = Ledger::new(3);
        let state = ledger.begin(1, true).unwrap();
        assert_eq!(state, State { phase: Phase::Uncertain, configured: false, generation: 0 });
        assert_eq!(ledger.begin(1, true), None);
        ledger.end(1, State { phase: Phase::Settled, configured: true, ..state });
        assert_eq!(ledger.state(1).phase, Phase::Settled);
        assert_eq!((ledger.count(Phase::Settled), ledger.count(Phase::Untouched)), (1, 2));
    }

    #[test]
    fn a_change_is_a_new_generation_and_an_interrupted_one_is_repeated() {
        let ledger = Ledger::new(1);
        ledger.assume_settled(0);
        let changed = ledger.begin(0, true).unwrap();
        assert_eq!((changed.generation, changed.configured), (1, false));
        ledger.end(0, State { configured: true, ..changed });
        let again = ledger.begin(0, true).unwrap();
        assert_eq!((again.generation, again.configured, again.phase), (1, true, Phase::Uncertain));
    }
}
