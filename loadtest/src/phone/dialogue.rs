//! One dialogue as the phone sees it: what it says next, and what it must be told (WPI reference, sections 6
//! and 8).

use super::message::Say;
use super::profile::Profile;
use super::reply::{Action, Reply};
use super::stencil::Fill;
use crate::fault::Fault;

/// What the service is expected to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// An unknown phone: read all, write the difference, clean up.
    Boot,
    /// A known phone: clean up at once.
    Reboot,
    /// The service may know anything between nothing and all: any course that makes sense.
    Any,
}

/// What the phone does after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Say(Say),
    /// The dialogue is over and everything is as it should be.
    Done,
    /// The service is overloaded: come again later.
    Later,
}

/// A phone within one dialogue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialogue {
    plan: Plan,
    /// Whether the phone holds the written items.
    pub(crate) configured: bool,
    fragments: usize,
    last: Say,
}

impl Dialogue {
    /// A phone that says `start-up`. `fragments` is the number of parts of its read-all reply.
    pub(crate) fn new(plan: Plan, configured: bool, changed: bool, fragments: usize) -> Self {
        Self { plan, configured, fragments, last: Say::StartUp { changed } }
    }

    /// What the phone sends now.
    pub(crate) fn say(&self) -> Say {
        self.last
    }

    /// Take the answer to [`Self::say`].
    pub(crate) fn hear(
        &mut self,
        reply: &Reply,
        profile: &Profile,
        fill: Fill<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Next, Fault> {
        if reply.is_overload() {
            return Ok(Next::Later);
        }
        let allowed = self.allowed();
        if !allowed.contains(&reply.action) {
            let expected = allowed.first().map_or("nothing", |action| action.as_str());
            return Err(Fault::Action { got: reply.action.as_str(), expected });
        }
        let say = match reply.action {
            Action::WriteItems => {
                check_items(reply, profile, fill, scratch)?;
                self.configured = true;
                Say::Written
            }
            _ if !reply.items.is_empty() => {
                return Err(Fault::Items(format!("{} holds {:?}", reply.action.as_str(), reply.items)));
            }
            Action::CleanUp => return Ok(Next::Done),
            Action::GetNextFragment => match self.last {
                Say::Fragment { number, configured } => Say::Fragment { number: number + 1, configured },
                other => other,
            },
            _ => Say::Fragment { number: 0, configured: self.configured },
        };
        self.last = say;
        Ok(Next::Say(say))
    }

    /// Which actions may answer what was said last; the first is the one to name in an error.
    fn allowed(&self) -> &'static [Action] {
        let last_fragment = |number: usize| number + 1 == self.fragments;
        match (self.plan, self.last) {
            (Plan::Boot, Say::StartUp { .. }) => &[Action::ReadAllItems],
            (Plan::Reboot, _)
            | (_, Say::Written | Say::NotWritten | Say::Solicited | Say::Unwilling { .. }) => {
                &[Action::CleanUp]
            }
            (Plan::Any, Say::StartUp { .. }) if self.configured => {
                &[Action::CleanUp, Action::ReadAllItems, Action::WriteItems]
            }
            (Plan::Any, Say::StartUp { .. }) => &[Action::ReadAllItems, Action::WriteItems],
            (_, Say::Fragment { number, .. }) if !last_fragment(number) => &[Action::GetNextFragment],
            (_, Say::Fragment { configured: true, .. }) => &[Action::CleanUp],
            (_, Say::Fragment { .. }) => &[Action::WriteItems],
        }
    }
}

/// The items must be the expected ones, each once, in any order.
fn check_items(reply: &Reply, profile: &Profile, fill: Fill<'_>, scratch: &mut Vec<u8>) -> Result<(), Fault> {
    let mut seen = Vec::with_capacity(reply.items.len());
    for told in &reply.items {
        let place = || format!("{}{}", told.name, told.index.map_or_else(String::new, |i| format!("[{i}]")));
        let position = profile.position(&told.name, told.index).filter(|at| profile.items[*at].written);
        let Some(position) = position else {
            return Err(Fault::Items(format!("{} is not to be written", place())));
        };
        if seen.contains(&position) {
            return Err(Fault::Items(format!("{} comes twice", place())));
        }
        if !profile.items[position].after.matches(fill, &told.value, scratch) {
            return Err(Fault::Items(format!("{} is {:?}", place(), told.value)));
        }
        seen.push(position);
    }
    if let Some(missing) = profile.writes.iter().find(|position| !seen.contains(position)) {
        return Err(Fault::Items(format!("{} is missing", profile.items[*missing].spec.name)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::identity::{Fleet, Identity};
    use crate::phone::reply::Told;
    use crate::phone::stencil::NONCE_LEN;

    type Change<'a> = &'a dyn Fn(&mut Vec<Told>);

    struct World {
        identity: Identity,
        profile: Profile,
    }

    impl World {
        fn new() -> Self {
            let identity = Fleet::new(1).identity(4);
            let profile = Profile::new(identity.model);
            Self { identity, profile }
        }

        fn fill(&self) -> Fill<'_> {
            Fill { identity: &self.identity, generation: 0, nonce: &[b'0'; NONCE_LEN] }
        }

        fn writes(&self) -> Vec<Told> {
            let told = |at: &usize| {
                let item = &self.profile.items[*at];
                let mut value = Vec::new();
                item.after.render(self.fill(), &mut value);
                Told {
                    name: item.spec.name.to_owned(),
                    index: item.spec.index,
                    value: String::from_utf8(value).unwrap(),
                }
            };
            self.profile.writes.iter().map(told).collect()
        }

        fn hear(&self, dialogue: &mut Dialogue, action: Action, items: Vec<Told>) -> Result<Next, Fault> {
            dialogue.hear(&Reply { action, items }, &self.profile, self.fill(), &mut Vec::new())
        }
    }

    #[test]
    fn a_boot_goes_through_all_steps() {
        let world = World::new();
        let mut dialogue = Dialogue::new(Plan::Boot, false, false, 3);
        let mut step = |action, items| world.hear(&mut dialogue, action, items).unwrap();
        let fragment = |number| Next::Say(Say::Fragment { number, configured: false });
        assert_eq!(step(Action::ReadAllItems, vec![]), fragment(0));
        assert_eq!(step(Action::GetNextFragment, vec![]), fragment(1));
        assert_eq!(step(Action::GetNextFragment, vec![]), fragment(2));
        assert_eq!(step(Action::WriteItems, world.writes()), Next::Say(Say::Written));
        assert_eq!(step(Action::CleanUp, vec![]), Next::Done);
        assert!(dialogue.configured);
    }

    #[test]
    fn other_actions_are_faults() {
        let world = World::new();
        let mut boot = Dialogue::new(Plan::Boot, false, false, 3);
        for action in [Action::CleanUp, Action::WriteItems, Action::Restart, Action::GetNextFragment] {
            assert_eq!(world.hear(&mut boot, action, vec![]).unwrap_err().label(), "action");
        }
        let mut reboot = Dialogue::new(Plan::Reboot, true, false, 3);
        assert_eq!(world.hear(&mut reboot, Action::ReadAllItems, vec![]).unwrap_err().label(), "action");
        assert_eq!(world.hear(&mut reboot, Action::CleanUp, vec![]).unwrap(), Next::Done);
    }

    #[test]
    fn wrong_items_are_faults() {
        let world = World::new();
        let said = |change: Change<'_>| {
            let mut dialogue = Dialogue::new(Plan::Any, false, false, 3);
            let mut items = world.writes();
            change(&mut items);
            world.hear(&mut dialogue, Action::WriteItems, items)
        };
        assert!(said(&|_| {}).is_ok());
        assert!(said(&|items| items.reverse()).is_ok());
        let faults: [Change<'_>; 5] = [
            &|items| drop(items.pop()),
            &|items| items[0].value.push('x'),
            &|items| items[0].name = "vlan-id".into(),
            &|items| items[3].index = Some(1234),
            &|items| {
                let again = Told {
                    value: items[0].value.clone(),
                    name: items[0].name.clone(),
                    index: items[0].index,
                };
                items.push(again);
            },
        ];
        for change in faults {
            assert_eq!(said(change).unwrap_err().label(), "items");
        }
    }

    #[test]
    fn overload_is_taken_at_every_step() {
        let world = World::new();
        let overload = || vec![Told { name: "cleanup-reason".into(), index: None, value: "overload".into() }];
        let mut dialogue = Dialogue::new(Plan::Boot, false, false, 3);
        assert_eq!(world.hear(&mut dialogue, Action::CleanUp, overload()).unwrap(), Next::Later);
        world.hear(&mut dialogue, Action::ReadAllItems, vec![]).unwrap();
        assert_eq!(world.hear(&mut dialogue, Action::CleanUp, overload()).unwrap(), Next::Later);
    }
}
