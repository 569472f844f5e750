//! Views: what may be read (RFC 3415).

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::registry::State;
use super::resource::{BadAccessRecord, Resource};
use super::shelf::Shelf;
use super::{AccessError, Faults, Group, Subtree};
use crate::name::ResourceName;
use crate::secret::Vault;
use crate::snmp::agent::Visible;
use crate::store::Table;

/// Subtrees of one view, those included and those excluded together: all of them may be looked at for an identifier.
pub const MAX_SUBTREES: usize = 64;

/// The name of the view that is built in and holds everything that there is: 1.3.6.1, the Internet's subtree.
pub const ALL: &str = "all";

/// A part of the tree of object identifiers, by subtrees that belong to it and subtrees that do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// In the order in which they decide.
    families: Box<[Family]>,
}

/// A subtree and what it means (RFC 3415 says a family of view subtrees). Those that exclude stand before those that include.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Family {
    is_included: bool,
    subtree: Subtree,
}

impl View {
    /// Of subtrees in any order; what stands there twice counts once.
    pub fn new(
        include: impl IntoIterator<Item = Subtree>,
        exclude: impl IntoIterator<Item = Subtree>,
    ) -> Self {
        let include = include.into_iter().map(|subtree| Family { is_included: true, subtree });
        let exclude = exclude.into_iter().map(|subtree| Family { is_included: false, subtree });
        let mut families: Vec<_> = include.chain(exclude).collect();
        families.sort_unstable_by(|one, other| order(one).cmp(&order(other)));
        families.dedup();
        Self { families: families.into() }
    }

    /// Whether an identifier may be read. The subtree with the most arcs decides that it is in, and of those with equally many one that
    /// excludes it. What is in no subtree may not be read.
    pub fn contains(&self, arcs: &[u32]) -> bool {
        let decides = |family: &&Family| family.subtree.contains(arcs);
        self.families.iter().find(decides).is_some_and(|family| family.is_included)
    }

    /// Whether any identifier that begins so may be read, as far as the subtrees that are included say.
    pub fn reaches_into(&self, arcs: &[u32]) -> bool {
        self.contains(arcs)
            || self.include().any(|subtree| subtree.arcs() > arcs.len() && subtree.meets(arcs))
    }

    /// Subtrees that belong to it.
    pub fn include(&self) -> impl Iterator<Item = &Subtree> {
        self.families.iter().filter(|family| family.is_included).map(|family| &family.subtree)
    }

    /// Subtrees that do not.
    pub fn exclude(&self) -> impl Iterator<Item = &Subtree> {
        self.families.iter().filter(|family| !family.is_included).map(|family| &family.subtree)
    }
}

impl Visible for View {
    fn contains(&self, name: &[u32]) -> bool {
        self.contains(name)
    }

    fn reaches_into(&self, subtree: &[u32]) -> bool {
        self.reaches_into(subtree)
    }
}

fn order(family: &Family) -> (Reverse<usize>, &Family) {
    (Reverse(family.subtree.arcs()), family)
}

/// A view in the store.
#[derive(Debug, Serialize, Deserialize)]
pub struct ViewRecord {
    include: Vec<Subtree>,
    exclude: Vec<Subtree>,
}

impl Resource for View {
    const TABLE: Table = Table::SnmpView;
    const VERSION: u8 = 1;
    const KIND: &'static str = "view";
    const KINDS: &'static str = "views";
    const LIMIT: usize = 256;

    type Wish = Self;
    type Record = ViewRecord;

    fn make(wish: Self, _: &ResourceName, _: Option<&Self>, _: &mut Faults) -> Option<Self> {
        Some(wish)
    }

    fn check(&self, faults: &mut Faults) {
        if self.include().next().is_none() {
            faults.add("include", "at least one subtree");
        }
        if self.families.len() > MAX_SUBTREES {
            faults.add("include", format!("at most {MAX_SUBTREES} subtrees, with those of exclude"));
        }
    }

    fn fit(&self, _: &ResourceName, _: &State, _: &mut Faults) -> Result<(), AccessError> {
        Ok(())
    }

    fn used_by(name: &ResourceName, state: &State) -> Vec<String> {
        let uses = |group: &Group| group.views.iter().flatten().any(|view| view == name);
        state.groups.labels(uses)
    }

    fn built_in() -> Option<(ResourceName, Self)> {
        let internet = "1.3.6.1".parse().ok()?;
        Some((ALL.parse().ok()?, Self::new([internet], [])))
    }

    fn pack(&self, _: &Vault) -> Result<ViewRecord, BadAccessRecord> {
        Ok(ViewRecord {
            include: self.include().cloned().collect(),
            exclude: self.exclude().cloned().collect(),
        })
    }

    fn unpack(record: ViewRecord, _: &Vault) -> Result<Self, BadAccessRecord> {
        Ok(Self::new(record.include, record.exclude))
    }

    fn shelf(state: &State) -> &Shelf<Self> {
        &state.views
    }

    fn shelf_mut(state: &mut State) -> &mut Shelf<Self> {
        &mut state.views
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn view(include: &[&str], exclude: &[&str]) -> View {
        let subtrees =
            |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Subtree>>();
        View::new(subtrees(include), subtrees(exclude))
    }

    #[test]
    fn the_longest_subtree_decides() {
        let view = view(&["1.3.6.1.2.1", "1.3.6.1.2.1.1.5.0"], &["1.3.6.1.2.1.1", "1.3.6.1.2.1.2.2.1.*.7"]);
        for (arcs, wanted) in [
            (&[1, 3, 6, 1, 2, 1, 4, 1][..], true),
            (&[1, 3, 6, 1, 2, 1, 1, 1, 0], false),
            (&[1, 3, 6, 1, 2, 1, 1, 5, 0], true),
            (&[1, 3, 6, 1, 2, 1, 2, 2, 1, 10, 6], true),
            (&[1, 3, 6, 1, 2, 1, 2, 2, 1, 10, 7], false),
            (&[1, 3, 6, 1, 4, 1], false),
            (&[1, 3], false),
            (&[], false),
        ] {
            assert_eq!(view.contains(arcs), wanted, "{arcs:?}");
        }
    }

    #[test]
    fn of_equally_long_ones_that_which_excludes_decides() {
        let view = view(&["1.3.*.1", "1.3.6.1", "1.3.6.1"], &["1.3.6.*"]);
        assert!(!view.contains(&[1, 3, 6, 1]) && view.contains(&[1, 3, 7, 1]));
        assert_eq!((view.include().count(), view.exclude().count()), (2, 1));
    }

    #[test]
    fn a_view_reaches_into_what_leads_to_it() {
        let view = view(&["1.3.6.1.2.1.2.2.1.*.7", "1.3.6.1.4"], &["1.3.6.1.4.1.9"]);
        for arcs in [&[1, 3][..], &[1, 3, 6, 1, 2, 1, 2, 2, 1, 8], &[1, 3, 6, 1, 4, 1], &[]] {
            assert!(view.reaches_into(arcs), "{arcs:?}");
        }
        for arcs in [&[1, 3, 6, 1, 2, 2][..], &[1, 3, 6, 1, 4, 1, 9], &[1, 3, 6, 1, 2, 1, 2, 2, 1, 8, 6]] {
            assert!(!view.reaches_into(arcs), "{arcs:?}");
        }
    }

    #[test]
    fn the_view_that_is_built_in_holds_all_that_is_told() {
        let (name, all) = View::built_in().unwrap();
        assert_eq!(name.as_str(), ALL);
        assert!(all.contains(&[1, 3, 6, 1, 4, 1, 32_473]) && !all.contains(&[1, 3, 6]));
    }

    proptest! {
        /// The order in which subtrees are written down says nothing, and the rule is that of RFC 3415 word by word.
        #[test]
        fn a_view_is_what_its_subtrees_say(
            families in prop::collection::vec((prop::collection::vec(prop::option::of(0_u32..2), 1..4), any::<bool>()), 0..8),
            arcs in prop::collection::vec(0_u32..2, 0..5),
        ) {
            let text = |arcs: &[Option<u32>]| {
                arcs.iter().map(|arc| arc.map_or("*".into(), |arc| arc.to_string())).collect::<Vec<_>>().join(".")
            };
            let of = |wanted: bool| {
                families.iter().filter(move |one| one.1 == wanted).map(|one| text(&one.0).parse::<Subtree>().unwrap())
            };
            let view = View::new(of(true), of(false));
            let fits = |one: &&(Vec<Option<u32>>, bool)| text(&one.0).parse::<Subtree>().unwrap().contains(&arcs);
            let longest = families.iter().filter(fits).max_by_key(|one| (one.0.len(), !one.1));
            prop_assert_eq!(view.contains(&arcs), longest.is_some_and(|one| one.1));
            if view.contains(&arcs) {
                // No step down to it may be passed over.
                prop_assert!((0..=arcs.len()).all(|len| view.reaches_into(&arcs[..len])));
            }
            let mut backwards: Vec<_> = of(true).collect();
            backwards.reverse();
            prop_assert_eq!(View::new(backwards, of(false)), view);
        }
    }
}
