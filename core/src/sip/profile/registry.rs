//! All rules: kept in memory in their order, changed through the store.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use metrics::{Unit, describe_gauge, gauge};
use parking_lot::RwLock;

use super::record::{self, BadProfileRecord};
use super::{Asker, MAX_RULES, Profile, ProfileError, Rule, RuleWish};
use crate::name::ResourceName;
use crate::store::{LoadError, Store, Table, Ticket, Write};

/// Counts rules.
const RULES: &str = "callboard_sip_profiles";

/// Unreadable records that are named; the others are only counted.
const NAMED_UNREADABLE: usize = 100;

/// Describe the metrics of this module.
pub fn describe_metrics() {
    describe_gauge!(RULES, Unit::Count, "Rules for the profiles of SIP phones");
}

/// What the store held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadedProfiles {
    /// Rules.
    pub rules: usize,
    /// Records that could not be read, which stay where they are: which ones and why, the first hundred.
    pub unreadable: Vec<String>,
}

#[derive(Default)]
struct State {
    names: BTreeMap<ResourceName, Arc<Rule>>,
    /// In the order in which they are asked.
    order: Vec<Arc<Rule>>,
}

/// All rules.
pub struct Profiles {
    state: RwLock<State>,
    store: Arc<dyn Store>,
}

impl fmt::Debug for Profiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profiles").field("rules", &self.state.read().names.len()).finish_non_exhaustive()
    }
}

impl Profiles {
    /// No rules.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { state: RwLock::default(), store }
    }

    /// Take over what the store holds.
    ///
    /// # Errors
    /// At a record of a newer Callboard.
    pub fn load(&self) -> Result<LoadedProfiles, LoadError> {
        let (mut state, mut loaded, mut newer) = (State::default(), LoadedProfiles::default(), None);
        let refuse = |reasons: &mut Vec<String>, key: &str, reason: &dyn fmt::Display| {
            if reasons.len() < NAMED_UNREADABLE {
                reasons.push(format!("{key}: {reason}"));
            }
        };
        let scan = self.store.scan(Table::SipProfile, &mut |key, value| {
            match record::decode(value) {
                Ok(rule) if rule.name.as_str() == key => {
                    state.names.insert(rule.name.clone(), Arc::new(rule));
                }
                Ok(rule) => refuse(&mut loaded.unreadable, key, &format_args!("holds {}", rule.name)),
                Err(BadProfileRecord::Newer(found)) => {
                    newer = Some((Box::from(key), found));
                    return ControlFlow::Break(());
                }
                Err(error) => refuse(&mut loaded.unreadable, key, &error),
            }
            ControlFlow::Continue(())
        })?;
        if let Some((key, found)) = newer {
            let table = Table::SipProfile;
            return Err(LoadError::Newer { table, key, found, supported: record::VERSION });
        }
        for damaged in scan.damaged_list {
            refuse(&mut loaded.unreadable, &damaged.key, &damaged.reason);
        }
        loaded.rules = state.names.len();
        state.put_in_order();
        *self.state.write() = state;
        Ok(loaded)
    }

    /// All rules in the order in which they are asked.
    pub fn rules(&self) -> Vec<Arc<Rule>> {
        self.state.read().order.clone()
    }

    /// One rule.
    pub fn rule(&self, name: &str) -> Option<Arc<Rule>> {
        self.state.read().names.get(name).cloned()
    }

    /// What a phone is told: the first rule that fits decides. `is_known`: whether it is a device that is known here.
    pub fn profile(&self, asker: &Asker, is_known: impl FnOnce() -> bool) -> Option<Profile> {
        // The fleet is asked without the lock.
        if self.state.read().order.is_empty() {
            return None;
        }
        let is_known = is_known();
        self.state.read().order.iter().find_map(|rule| rule.profile(asker, is_known))
    }

    /// Store a new rule, or another form of one. The revision is set here: to 1, or to one more than before. `expected` is the
    /// revision that the change is based on; 0 with `create` is for a rule that must not be there.
    ///
    /// # Errors
    /// Why it is not stored; nothing is changed then.
    pub fn put(
        &self,
        wish: RuleWish,
        create: bool,
        expected: Option<u64>,
    ) -> Result<(Arc<Rule>, Ticket), ProfileError> {
        let mut state = self.state.write();
        let old = state.names.get(&wish.name).map(|rule| rule.revision);
        match old {
            None if !create => return Err(ProfileError::Unknown(wish.name)),
            None if state.names.len() >= MAX_RULES => return Err(ProfileError::Full { limit: MAX_RULES }),
            None => {}
            Some(current) => check(current, expected)?,
        }
        let rule = Arc::new(Rule::new(wish, old.map_or(1, |revision| revision + 1)));
        let write = Write::put(Table::SipProfile, rule.name.as_str(), record::encode(&rule)?);
        let ticket = self.store.submit(vec![write])?;
        state.names.insert(rule.name.clone(), rule.clone());
        state.put_in_order();
        Ok((rule, ticket))
    }

    /// Forget a rule.
    ///
    /// # Errors
    /// Why it stays.
    pub fn remove(&self, name: &ResourceName, expected: Option<u64>) -> Result<Ticket, ProfileError> {
        let mut state = self.state.write();
        let rule = state.names.get(name).ok_or_else(|| ProfileError::Unknown(name.clone()))?;
        check(rule.revision, expected)?;
        let ticket = self.store.submit(vec![Write::delete(Table::SipProfile, name.as_str())])?;
        state.names.remove(name);
        state.put_in_order();
        Ok(ticket)
    }
}

fn check(current: u64, expected: Option<u64>) -> Result<(), ProfileError> {
    match expected {
        Some(expected) if expected != current => Err(ProfileError::Revision { expected, current }),
        _ => Ok(()),
    }
}

impl State {
    fn put_in_order(&mut self) {
        self.order = self.names.values().cloned().collect();
        // Those of one number stay in the order of their names.
        self.order.sort_by_key(|rule| rule.order);
        #[allow(clippy::cast_precision_loss)] // at most MAX_RULES
        gauge!(RULES).set(self.order.len() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::tests::wish;
    use super::*;
    use crate::store::MemoryStore;

    fn asker() -> Asker {
        Asker { mac: Some([0, 21, 101, 1, 2, 3]), ..Asker::default() }
    }

    fn told(profiles: &Profiles) -> Option<String> {
        profiles.profile(&asker(), || false).map(|profile| profile.rule.to_string())
    }

    #[test]
    fn the_first_rule_that_fits_decides_also_after_a_restart() {
        let store = Arc::new(MemoryStore::default());
        let profiles = Profiles::new(store.clone());
        assert_eq!(told(&profiles), None);
        let named = |name, order, vendor: &str| RuleWish { vendor: vendor.into(), ..wish(name, order) };
        for wish in [wish("z", 7), wish("b", 5), wish("a", 5), named("first", 1, "snom")] {
            profiles.put(wish, true, Some(0)).unwrap().1.wait().unwrap();
        }
        assert_eq!(told(&profiles).as_deref(), Some("a"));
        drop(profiles.put(wish("a", 6), false, Some(1)).unwrap());
        assert_eq!(told(&profiles).as_deref(), Some("b"));
        let again = Profiles::new(Arc::new(store.reopen()));
        assert_eq!(again.load().unwrap().rules, 4);
        assert_eq!((told(&again).as_deref(), again.rule("a").unwrap().revision), (Some("b"), 2));
        let order: Vec<_> = again.rules().iter().map(|rule| rule.name.to_string()).collect();
        assert_eq!(order, ["first", "b", "a", "z"]);
    }

    #[test]
    fn changes_are_based_on_what_there_is() {
        let profiles = Profiles::new(Arc::new(MemoryStore::default()));
        assert!(matches!(profiles.put(wish("a", 1), false, None), Err(ProfileError::Unknown(_))));
        drop(profiles.put(wish("a", 1), true, Some(0)).unwrap());
        let refused = profiles.put(wish("a", 1), true, Some(0));
        assert!(matches!(refused, Err(ProfileError::Revision { expected: 0, current: 1 })));
        let name: ResourceName = "a".parse().unwrap();
        assert!(matches!(profiles.remove(&name, Some(2)), Err(ProfileError::Revision { .. })));
        drop(profiles.remove(&name, Some(1)).unwrap());
        assert!(matches!(profiles.remove(&name, None), Err(ProfileError::Unknown(_))));
        for at in 0..MAX_RULES {
            drop(profiles.put(wish(&format!("r{at}"), 1), true, Some(0)).unwrap());
        }
        assert!(matches!(profiles.put(wish("b", 1), true, None), Err(ProfileError::Full { .. })));
    }

    #[test]
    fn what_cannot_be_read_stays_and_is_named() {
        let store = Arc::new(MemoryStore::default());
        let profiles = Profiles::new(store.clone());
        drop(profiles.put(wish("a", 1), true, None).unwrap());
        let record = store.get(Table::SipProfile, "a").unwrap();
        drop(store.submit(vec![Write::put(Table::SipProfile, "b", record)]).unwrap());
        drop(store.submit(vec![Write::put(Table::SipProfile, "c", vec![1])]).unwrap());
        let loaded = profiles.load().unwrap();
        assert_eq!((loaded.rules, loaded.unreadable.len()), (1, 2));
        assert_eq!(loaded.unreadable[0], "b: holds a");
        drop(store.submit(vec![Write::put(Table::SipProfile, "d", vec![9])]).unwrap());
        assert!(matches!(profiles.load(), Err(LoadError::Newer { found: 9, .. })));
    }
}
