//! Phones that take a value and then report another one: `pool.ntp.org` for `Pool.NTP.org`, `1` for `true`.
//!
//! Such a phone never has what its templates want, word for word. What it made of a wish is remembered, so that the
//! wish is not written again after each read-all for ever.

use super::difference::{Difference, is};
use super::evaluate::Desired;
use crate::device::{Altered, TemplateFault};
use crate::item::{Entry, ItemSet};
use crate::secret::Vault;

/// A phone that reports the same other value this often after it took ours means it.
pub(super) const TIMES: u8 = 2;
pub(super) const REASON: &str = "the phone took it and reports another value";

/// Of what a phone altered, that which `desired` still wants.
pub fn still_wanted(altered: &[Altered], desired: &Desired, vault: &Vault) -> Vec<Altered> {
    let wanted = |one: &&Altered| {
        let at = desired.items.binary_search_by(|item| item.key.cmp(&one.key));
        at.is_ok_and(|at| vault.digest(desired.items[at].value.expose()) == one.wish)
    };
    altered.iter().filter(wanted).cloned().collect()
}

/// Count what the phone had taken (`before`) and reports as something else (`reported`). What it altered often enough
/// is no longer written, but a fault.
pub fn note_altered(
    difference: &mut Difference,
    altered: &mut Vec<Altered>,
    (before, reported): (&ItemSet, &ItemSet),
    vault: &Vault,
) {
    let Difference { writes, faults } = difference;
    writes.retain(|item| {
        let value = item.value.expose();
        let taken = before.get(item.key.name_ref(), item.key.index());
        if !taken.is_some_and(|entry| entry.status.is_none() && is(&item.key, entry, value, vault)) {
            return true;
        }
        let now = reported.get(item.key.name_ref(), item.key.index());
        let Some(now) = seen(now, vault) else { return true };
        let wish = vault.digest(value);
        let old = altered.iter().position(|one| one.key == item.key).map(|at| altered.remove(at));
        let same = old.filter(|old| (old.wish, old.reported) == (wish, now));
        let times = same.map_or(0, |old| old.times).saturating_add(1);
        altered.push(Altered { key: item.key.clone(), wish, reported: now, times });
        if times >= TIMES {
            let reason = REASON.into();
            faults.push(TemplateFault { template: item.template, key: item.key.clone(), reason });
        }
        times < TIMES
    });
}

/// The digest of what a phone reports, for which no entry is as good as an empty one. `None` if it cannot be told.
pub(super) fn seen(entry: Option<Entry<'_>>, vault: &Vault) -> Option<u64> {
    match entry {
        None => Some(vault.digest("")),
        Some(entry) if entry.status.is_some() => None,
        Some(entry) => entry.value.reveal(vault).ok().map(|value| vault.digest(value.expose())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::{ItemKey, ItemSetBuilder};
    use crate::policy::{DesiredItem, TemplateId};
    use crate::secret::{KEY_LEN, Secret};

    fn vault() -> Vault {
        Vault::new(&[1; KEY_LEN]).unwrap()
    }

    fn set(value: &str, status: Option<&str>) -> ItemSet {
        let mut builder = ItemSetBuilder::default();
        builder.push("sip-pwd", None, value, status, &vault()).unwrap();
        builder.build(10).unwrap()
    }

    fn wish(value: &str) -> DesiredItem {
        let (key, template) = (ItemKey::new("sip-pwd", None), TemplateId::from_u64(1));
        DesiredItem { key, value: Secret::new(value), template }
    }

    /// Whether the wish is still to be written.
    fn noted(altered: &mut Vec<Altered>, wished: &str, before: &ItemSet, reported: &ItemSet) -> bool {
        let mut difference = Difference { writes: vec![wish(wished)], faults: Vec::new() };
        note_altered(&mut difference, altered, (before, reported), &vault());
        assert_eq!(difference.writes.len() + difference.faults.len(), 1);
        difference.faults.is_empty()
    }

    #[test]
    fn a_value_that_is_altered_twice_alike_is_left() {
        let (one, stars, dots) = (set("one", None), set("***", None), set("...", None));
        let mut altered = Vec::new();
        assert!(noted(&mut altered, "one", &stars, &stars), "it was not taken yet");
        assert!(altered.is_empty());
        assert!(noted(&mut altered, "one", &one, &stars));
        assert!(noted(&mut altered, "one", &one, &dots), "altered otherwise, it counts anew");
        assert!(!noted(&mut altered, "one", &one, &dots));
        assert!(noted(&mut altered, "two", &set("two", None), &dots), "another wish counts anew");
        assert_eq!((altered.len(), altered[0].times), (1, 1));
    }

    #[test]
    fn an_item_that_is_gone_is_altered_and_one_with_a_status_cannot_be_told() {
        let one = set("one", None);
        let mut altered = Vec::new();
        assert!(noted(&mut altered, "one", &one, &set("", Some("failed"))));
        assert!(altered.is_empty());
        assert!(noted(&mut altered, "one", &one, &ItemSet::default()));
        assert!(!noted(&mut altered, "one", &one, &ItemSet::default()));
    }

    #[test]
    fn only_what_is_still_wanted_is_remembered() {
        let one = set("one", None);
        let mut altered = Vec::new();
        noted(&mut altered, "one", &one, &ItemSet::default());
        let desired = |items| Desired { items, faults: Vec::new() };
        assert_eq!(still_wanted(&altered, &desired(vec![wish("one")]), &vault()), altered);
        assert!(still_wanted(&altered, &desired(vec![wish("two")]), &vault()).is_empty());
        assert!(still_wanted(&altered, &desired(Vec::new()), &vault()).is_empty());
    }
}
