//! How many bindings there are of which kind.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::super::binding::{Binding, Liveness, Transport};

/// Bindings by transport and state.
#[derive(Debug, Default)]
pub(super) struct Counts {
    bindings: [[AtomicUsize; Liveness::ALL.len()]; Transport::ALL.len()],
    pub(super) aors: AtomicUsize,
}

impl Counts {
    fn of(&self, binding: &Binding) -> &AtomicUsize {
        &self.bindings[binding.flow.transport as usize][binding.liveness as usize]
    }

    pub(super) fn add(&self, binding: &Binding) {
        self.of(binding).fetch_add(1, Relaxed);
    }

    pub(super) fn sub(&self, binding: &Binding) {
        self.of(binding).fetch_sub(1, Relaxed);
    }

    pub(super) fn bindings(&self, transport: Transport, liveness: Liveness) -> usize {
        self.bindings[transport as usize][liveness as usize].load(Relaxed)
    }
}
