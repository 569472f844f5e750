//! Checking what a task reads or writes by the rules that templates follow.

use std::collections::HashSet;

use callboard_codecs::wpi::catalogue::{self, Access};
use callboard_core::item::{ItemKey, ItemWrite};
use callboard_core::policy::{AppliesTo, Template, TemplateId, TemplateItem, TemplateKind, escape};
use callboard_core::secret::Secret;
use callboard_core::service::Service;
use callboard_core::time::Timestamp;

use crate::problem::{FieldError, Problem};
use crate::refusal::internal;

/// Longest item name, in bytes.
const MAX_NAME: usize = 64;

/// The values as they go to the phone. Refuses what no template may set.
pub(super) fn checked(service: &Service, items: Vec<(ItemKey, Secret)>) -> Result<Vec<ItemWrite>, Problem> {
    let vault = service.vault();
    let repeated = repeated(items.iter().map(|item| &item.0));
    if !repeated.is_empty() {
        return Err(Problem::fields(repeated));
    }
    // Templates know the rules of names and values. In a task nothing is a variable, so what looks like one is escaped.
    let candidates = items.iter().map(|(key, value)| {
        TemplateItem::new(key.clone(), &escape(value.expose()), vault).map_err(|error| internal(&error))
    });
    let template = Template {
        id: TemplateId::from_u64(0),
        revision: 0,
        name: "task".into(),
        description: "".into(),
        kind: TemplateKind::Disabled,
        ranking: 1,
        device_types: Vec::new(),
        software_types: Vec::new(),
        applies_to: AppliesTo::Assigned,
        items: candidates.collect::<Result<_, _>>()?,
        created: Timestamp::default(),
        changed: Timestamp::default(),
    };
    let faults = template.faults(service.templates.bounds(), vault);
    if !faults.is_empty() {
        return Err(Problem::fields(faults.into_iter().map(Into::into).collect()));
    }
    Ok(items.into_iter().map(|(key, value)| ItemWrite { key, value }).collect())
}

/// The keys, if a phone can be asked for them.
pub(super) fn readable(keys: Vec<ItemKey>) -> Result<Vec<ItemKey>, Problem> {
    let fault = |(at, key): (usize, &ItemKey)| {
        let name = key.name();
        let reason =
            if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(|b| b.is_ascii_graphic()) {
                format!("1 to {MAX_NAME} visible ASCII characters without blanks")
            } else if catalogue::lookup(name).is_some_and(|id| catalogue::entry(id).access == Access::Message)
            {
                format!("{name} is a control item, not a setting")
            } else {
                return None;
            };
        Some(FieldError { field: format!("items[{at}].name"), reason })
    };
    let mut faults: Vec<_> = keys.iter().enumerate().filter_map(fault).collect();
    faults.extend(repeated(keys.iter()));
    if faults.is_empty() { Ok(keys) } else { Err(Problem::fields(faults)) }
}

/// Keys that stand in the list a second time.
fn repeated<'a>(keys: impl Iterator<Item = &'a ItemKey>) -> Vec<FieldError> {
    let mut seen = HashSet::new();
    keys.enumerate()
        .filter(|(_, key)| !seen.insert(*key))
        .map(|(at, key)| FieldError {
            field: format!("items[{at}]"),
            reason: format!("{key} stands here twice"),
        })
        .collect()
}
