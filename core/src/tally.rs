//! How many there are of each: what bounds of one source are counted with.

use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::RandomState;

/// Numbers of things by whom they are of. Whoever has none takes no memory.
#[derive(Debug)]
pub(crate) struct Tally<K>(HashMap<K, u32, RandomState>);

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<K: Eq + Hash> Tally<K> {
    /// One more.
    pub(crate) fn join(&mut self, of: K) {
        *self.0.entry(of).or_default() += 1;
    }

    /// One less.
    pub(crate) fn leave(&mut self, of: &K) {
        let Some(number) = self.0.get_mut(of) else { return };
        *number -= 1;
        if *number == 0 {
            self.0.remove(of);
        }
    }

    /// How many there are.
    pub(crate) fn of(&self, of: &K) -> usize {
        self.0.get(of).map_or(0, |number| *number as usize)
    }

    /// Give memory back after a wave.
    pub(crate) fn shrink(&mut self) {
        if self.0.len() * 4 < self.0.capacity() {
            self.0.shrink_to(self.0.len() * 2);
        }
    }

    /// Of how many there are some.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_none_is_forgotten() {
        let mut tally = Tally::default();
        tally.leave(&'a');
        for of in ['a', 'b', 'a'] {
            tally.join(of);
        }
        assert_eq!((tally.of(&'a'), tally.of(&'b'), tally.of(&'c'), tally.len()), (2, 1, 0, 2));
        tally.leave(&'a');
        tally.leave(&'b');
        assert_eq!((tally.of(&'a'), tally.of(&'b'), tally.len()), (1, 0, 1));
        tally.shrink();
        assert_eq!(tally.of(&'a'), 1);
    }
}
