//! Groups: which view may be read at which level of security (RFC 3415, `vacmAccessTable`). Nothing can be written.

use serde::{Deserialize, Serialize};

use super::registry::State;
use super::resource::{BadAccessRecord, Resource};
use super::shelf::Shelf;
use super::{AccessError, Community, Faults, User};
use crate::name::ResourceName;
use crate::secret::Vault;
use crate::snmp::protocol::SecurityLevel;
use crate::store::Table;

/// Whoever asks as a member of it may read these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Names of views, by level in the order of [`SecurityLevel::ALL`].
    pub views: [Option<ResourceName>; 3],
}

impl Group {
    /// The entry for requests of a level: that of the highest level which is not above it, whether its view is there or not.
    pub fn view(&self, level: SecurityLevel) -> Option<&ResourceName> {
        let entries = SecurityLevel::ALL.into_iter().zip(&self.views);
        entries.filter(|(own, _)| *own <= level).filter_map(|(_, view)| view.as_ref()).next_back()
    }
}

impl Resource for Group {
    const TABLE: Table = Table::SnmpGroup;
    const VERSION: u8 = 1;
    const KIND: &'static str = "group";
    const KINDS: &'static str = "groups";
    const LIMIT: usize = 256;

    type Wish = Self;
    type Record = Self;

    fn make(wish: Self, _: &ResourceName, _: Option<&Self>, _: &mut Faults) -> Option<Self> {
        Some(wish)
    }

    fn check(&self, faults: &mut Faults) {
        if self.views.iter().all(Option::is_none) {
            faults.add("access", "a view for at least one level");
        }
    }

    fn fit(&self, _: &ResourceName, state: &State, faults: &mut Faults) -> Result<(), AccessError> {
        for (level, view) in SecurityLevel::ALL.into_iter().zip(&self.views) {
            faults.refer(&state.views, &format!("access.{}", level.as_str()), view.as_ref());
        }
        Ok(())
    }

    fn used_by(name: &ResourceName, state: &State) -> Vec<String> {
        let mut labels = state.users.labels(|user: &User| user.group.as_ref() == Some(name));
        labels
            .extend(state.communities.labels(|community: &Community| community.group.as_ref() == Some(name)));
        labels
    }

    fn pack(&self, _: &Vault) -> Result<Self, BadAccessRecord> {
        Ok(self.clone())
    }

    fn unpack(record: Self, _: &Vault) -> Result<Self, BadAccessRecord> {
        Ok(record)
    }

    fn shelf(state: &State) -> &Shelf<Self> {
        &state.groups
    }

    fn shelf_mut(state: &mut State) -> &mut Shelf<Self> {
        &mut state.groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_entry_that_is_not_above_decides() {
        let name = |text: &str| Some(text.parse().unwrap());
        let group = |views: [&str; 3]| Group { views: views.map(|view| name(view).filter(|_| view != "-")) };
        for (views, told) in [
            (["a", "b", "c"], ["a", "b", "c"]),
            (["a", "-", "c"], ["a", "a", "c"]),
            (["a", "-", "-"], ["a", "a", "a"]),
            (["-", "b", "-"], ["-", "b", "b"]),
            (["-", "-", "c"], ["-", "-", "c"]),
        ] {
            let group = group(views);
            let found = SecurityLevel::ALL.map(|level| group.view(level).map_or("-", ResourceName::as_str));
            assert_eq!(found, told);
        }
    }
}
