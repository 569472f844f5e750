//! Names of instances, on the stack.

use std::fmt;
use std::ops::Deref;

use callboard_codecs::snmp::{MAX_ARCS, Oid};

/// The name of an instance: at most [`MAX_ARCS`] arcs, without the heap.
#[derive(Clone, Copy)]
pub struct Name {
    arcs: [u32; MAX_ARCS],
    len: usize,
}

impl Default for Name {
    fn default() -> Self {
        Self { arcs: [0; MAX_ARCS], len: 0 }
    }
}

impl Name {
    /// From the name in a message.
    pub fn of(oid: Oid<'_>) -> Self {
        let mut name = Self::default();
        name.extend(oid.arcs());
        name
    }

    /// From arcs.
    pub fn from_arcs(arcs: &[u32]) -> Self {
        let mut name = Self::default();
        name.extend(arcs.iter().copied());
        name
    }

    /// Puts arcs behind it. What is too long for a name is cut.
    pub fn extend(&mut self, arcs: impl Iterator<Item = u32>) {
        for (place, arc) in self.arcs.iter_mut().skip(self.len).zip(arcs) {
            *place = arc;
            self.len += 1;
        }
    }

    /// Leaves the first arcs.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Makes it the first name behind everything that begins with its first `len` arcs; `false` if there is none.
    pub fn skip(&mut self, len: usize) -> bool {
        self.truncate(len);
        while let Some(last) = self.len.checked_sub(1).and_then(|at| self.arcs.get_mut(at)) {
            if let Some(next) = last.checked_add(1) {
                *last = next;
                return true;
            }
            self.len -= 1;
        }
        false
    }
}

impl Deref for Name {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        self.arcs.get(..self.len).unwrap_or_default()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_a_subtree_comes_its_neighbour() {
        let mut name = Name::from_arcs(&[1, 3, 6, 9, 9]);
        assert!(name.skip(3));
        assert_eq!(*name, [1, 3, 7]);
        let mut name = Name::from_arcs(&[1, 3, u32::MAX, 9]);
        assert!(name.skip(3));
        assert_eq!(*name, [1, 4]);
        let mut name = Name::from_arcs(&[u32::MAX]);
        assert!(!name.skip(1));
        let mut long = Name::default();
        long.extend(0..500);
        assert_eq!(long.len(), MAX_ARCS);
    }
}
