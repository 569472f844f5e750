//! Comparing what the service knows with what the phones hold, record by record.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{bail, ensure};
use indicatif::ProgressBar;
use tokio::task::JoinSet;

use crate::api::{Admin, ListedItem};
use crate::call::World;
use crate::ledger::{Ledger, Phase, State};
use crate::phone::profile::{Flag, Profile};
use crate::phone::stencil::{Fill, NONCE_LEN};
use crate::progress::phase;

/// Connections to the admin API.
const CONNECTIONS: usize = 4;
/// Differences that are shown in full.
const SAMPLES: usize = 10;
/// The state of a device all of whose items are known.
const REGISTERED: &str = "registered";

/// What came of a comparison.
#[derive(Default)]
pub(crate) struct Verified {
    /// Phones whose record is exactly right.
    pub(crate) right: u64,
    /// Phones whose finished dialogue the service does not know of, or knows wrongly.
    pub(crate) lost: u64,
    /// The first differences in words.
    pub(crate) samples: Vec<String>,
}

impl Verified {
    fn lose(&mut self, why: String) {
        self.lost += 1;
        if self.samples.len() < SAMPLES {
            self.samples.push(why);
        }
    }

    fn merge(&mut self, other: Self) {
        self.right += other.right;
        self.lost += other.lost;
        let room = SAMPLES.saturating_sub(self.samples.len());
        self.samples.extend(other.samples.into_iter().take(room));
    }
}

/// Walk the list of devices: gives, for each phone, whether it is listed as registered.
pub(crate) async fn listed(admin: &Admin, world: &World, phones: u32) -> anyhow::Result<Vec<bool>> {
    let mut session = admin.connect().await?;
    let mut states: Vec<Option<bool>> = vec![None; phones as usize];
    let mut cursor: Option<String> = None;
    loop {
        let (devices, next) = session.devices(cursor.as_deref()).await?;
        for device in devices {
            let number = world.fleet.number(&device.id);
            if let Some(cell) = number.and_then(|number| states.get_mut(number as usize))
                && cell.replace(device.state == REGISTERED).is_some()
            {
                bail!("{} is in the list of devices twice", device.id);
            }
        }
        if next.is_none() {
            return Ok(states.into_iter().map(|state| state == Some(true)).collect());
        }
        ensure!(next != cursor, "the list of devices does not come to an end");
        cursor = next;
    }
}

/// Compare every phone that `choose` names: those in the list first, then each one's items.
pub(crate) async fn verify(
    admin: &Admin,
    world: &Arc<World>,
    ledger: &Arc<Ledger>,
    choose: impl Fn(u32) -> bool,
    show_progress: bool,
) -> anyhow::Result<Verified> {
    let listing = show_progress.then(|| phase("list", 0));
    let found = listed(admin, world, ledger.len()).await?;
    drop(listing);
    let mut result = Verified::default();
    let mut numbers = Vec::new();
    for number in 0..ledger.len() {
        let must_exist = must_exist(ledger.state(number));
        if must_exist && !found[number as usize] {
            result.lose(format!("phone {number} is not in the list of devices"));
        } else if must_exist && choose(number) {
            numbers.push(number);
        }
    }
    let length = numbers.len() as u64;
    let comparison = Arc::new(Comparison {
        admin: admin.clone(),
        world: Arc::clone(world),
        ledger: Arc::clone(ledger),
        numbers,
        cursor: AtomicUsize::new(0),
        progress: if show_progress { phase("verify", length) } else { ProgressBar::hidden() },
    });
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        tasks.spawn(Arc::clone(&comparison).work());
    }
    while let Some(part) = tasks.join_next().await {
        result.merge(part??);
    }
    Ok(result)
}

/// The phones to compare; some connections share the work.
struct Comparison {
    admin: Admin,
    world: Arc<World>,
    ledger: Arc<Ledger>,
    numbers: Vec<u32>,
    /// The next of `numbers`.
    cursor: AtomicUsize,
    progress: ProgressBar,
}

impl Comparison {
    /// Compare one phone after the other, until there is none left.
    async fn work(self: Arc<Self>) -> anyhow::Result<Verified> {
        let mut session = self.admin.connect().await?;
        let mut result = Verified::default();
        while let Some(&number) = self.numbers.get(self.cursor.fetch_add(1, Ordering::Relaxed)) {
            let identity = self.world.fleet.identity(number);
            let state = self.ledger.state(number);
            let profile = &self.world.profiles[identity.model];
            let fill = Fill { identity: &identity, generation: state.generation, nonce: &[b'0'; NONCE_LEN] };
            let compare = |items: &[ListedItem<'_>]| compare(profile, fill, state, items);
            match session.reported(&identity.device_id(), compare).await? {
                Some(Ok(())) => result.right += u64::from(state.phase == Phase::Settled),
                Some(Err(why)) => result.lose(format!("phone {number}: {why}")),
                None => result.lose(format!("phone {number} has no items")),
            }
            self.progress.inc(1);
        }
        Ok(result)
    }
}

/// Whether the service has acknowledged that it knows this phone.
fn must_exist(state: State) -> bool {
    match state.phase {
        Phase::Untouched => false,
        // The first dialogue was cut off: the service may know nothing yet.
        Phase::Uncertain => state.generation > 0,
        Phase::Settled => true,
    }
}

/// Compare the reported items of one device.
fn compare(profile: &Profile, fill: Fill<'_>, state: State, items: &[ListedItem<'_>]) -> Result<(), String> {
    let mut seen = vec![false; profile.items.len()];
    let mut scratch = Vec::new();
    for item in items {
        let Some(position) = profile.position(&item.name, item.index) else {
            return Err(format!("{} was never reported", label(item)));
        };
        if std::mem::replace(&mut seen[position], true) {
            return Err(format!("{} comes twice", label(item)));
        }
        if !is_right(profile, position, fill, state, item, &mut scratch) {
            return Err(format!("{} is {:?}", label(item), item.value));
        }
    }
    for (position, seen) in seen.into_iter().enumerate() {
        let spec = &profile.items[position].spec;
        if !seen && spec.flag != Flag::Failed {
            return Err(format!("{} {:?} is missing", spec.name, spec.index));
        }
    }
    Ok(())
}

fn label(item: &ListedItem<'_>) -> String {
    match item.index {
        Some(index) => format!("{}[{index}]", item.name),
        None => item.name.to_string(),
    }
}

fn is_right(
    profile: &Profile,
    position: usize,
    fill: Fill<'_>,
    state: State,
    item: &ListedItem<'_>,
    scratch: &mut Vec<u8>,
) -> bool {
    let expected = &profile.items[position];
    let value = item.value.as_deref().unwrap_or_default();
    match expected.spec.flag {
        // What stands for a secret is the API's affair, if only it is not the secret.
        Flag::Secret => item.secret && (value.is_empty() || value != expected.spec.value),
        Flag::Failed => value.is_empty() && item.status.as_deref().is_none_or(|status| status == "failed"),
        Flag::Plain => {
            let mut is = |after: bool, generation: u32| {
                let stencil = if after { &expected.after } else { &expected.before };
                stencil.matches(fill.of_generation(generation), value, scratch)
            };
            match state.phase {
                Phase::Settled => is(state.configured, state.generation),
                // The flag of the message itself: true while a change is under way.
                _ if expected.spec.name == "configuration-changed-flag" => true,
                _ => {
                    let now = state.generation;
                    let earlier = now.saturating_sub(1);
                    is(true, now) || is(false, now) || is(true, earlier) || is(false, earlier)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::identity::{Fleet, Identity};
    use std::borrow::Cow;

    const SETTLED: State = State { phase: Phase::Settled, configured: true, generation: 0 };

    fn fill(identity: &Identity, generation: u32) -> Fill<'_> {
        Fill { identity, generation, nonce: &[b'0'; NONCE_LEN] }
    }

    /// What an honest API shows of a phone.
    fn shown(profile: &Profile, fill: Fill<'_>, configured: bool) -> Vec<ListedItem<'static>> {
        let item = |reported: &crate::phone::profile::Reported| {
            let mut value = Vec::new();
            let stencil = if configured { &reported.after } else { &reported.before };
            stencil.render(fill, &mut value);
            let secret = reported.spec.flag == Flag::Secret;
            let value = (!secret).then(|| Cow::Owned(String::from_utf8(value).unwrap()));
            ListedItem {
                name: reported.spec.name.into(),
                index: reported.spec.index,
                value,
                secret,
                status: None,
            }
        };
        profile.items.iter().map(item).collect()
    }

    #[test]
    fn every_difference_is_found() {
        let identity = Fleet::new(2).identity(3);
        let profile = Profile::new(identity.model);
        let good = || shown(&profile, fill(&identity, 0), true);
        let check = |items: &[ListedItem<'_>]| compare(&profile, fill(&identity, 0), SETTLED, items);
        assert_eq!(check(&good()), Ok(()));
        for position in 0..profile.items.len() {
            if profile.items[position].spec.flag == Flag::Failed {
                continue;
            }
            let mut missing = good();
            missing.remove(position);
            assert!(check(&missing).is_err());
            let mut wrong = good();
            wrong[position].value = Some("000000".into());
            wrong[position].secret = false;
            assert!(check(&wrong).is_err(), "{}", profile.items[position].spec.name);
        }
        let mut twice = good();
        twice.extend(good().into_iter().take(1));
        assert!(check(&twice).is_err());
        assert!(check(&shown(&profile, fill(&identity, 0), false)).is_err());
    }

    #[test]
    fn an_interrupted_change_may_be_known_or_not_but_not_older() {
        let identity = Fleet::new(2).identity(3);
        let profile = Profile::new(identity.model);
        let state = State { phase: Phase::Uncertain, configured: false, generation: 5 };
        let check = |generation, configured| {
            compare(
                &profile,
                fill(&identity, 5),
                state,
                &shown(&profile, fill(&identity, generation), configured),
            )
        };
        assert_eq!(check(5, false), Ok(()));
        assert_eq!(check(5, true), Ok(()));
        assert_eq!(check(4, true), Ok(()));
        assert!(check(3, true).is_err());
        assert!(check(6, true).is_err());
    }

    #[test]
    fn an_acknowledged_change_must_be_known() {
        let identity = Fleet::new(2).identity(3);
        let profile = Profile::new(identity.model);
        let state = State { generation: 5, ..SETTLED };
        let check = |generation| {
            compare(&profile, fill(&identity, 5), state, &shown(&profile, fill(&identity, generation), true))
        };
        assert_eq!(check(5), Ok(()));
        assert!(check(4).is_err());
    }
}
