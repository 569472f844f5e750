//! Templates as the API takes them.

use callboard_core::item::ItemKey;
use callboard_core::policy::{self, TemplateId, TemplateItem};
use callboard_core::service::Service;
use serde::Deserialize;
use utoipa::ToSchema;

use super::model::{AppliesTo, TemplateKind};
use crate::extract::{Object, SecretText};
use crate::problem::{FieldError, Problem};
use crate::refusal::internal;

/// A value for a template.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TemplateItemInput {
    /// The item's name.
    name: String,
    /// The item's index, if it has one.
    index: Option<u32>,
    /// The value; may hold variables such as `%%{e164}`. When a template is replaced, a secret item without value
    /// keeps the value that is stored.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    value: Option<SecretText>,
    /// As the API shows it, so that what was read can be sent back. Whether an item is secret is decided by its name.
    secret: Option<bool>,
}

/// A template to be stored.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TemplateInput {
    /// What people call it; unique. 1 to 128 characters.
    name: String,
    /// Free text, at most 1,024 characters.
    #[serde(default)]
    description: String,
    /// When it is applied.
    kind: TemplateKind,
    /// Where two templates set one item, the higher ranking wins.
    #[serde(default = "lowest")]
    #[schema(default = 1, minimum = 1, maximum = 1_000_000)]
    ranking: u32,
    /// Device types it is for; empty means all.
    #[serde(default)]
    device_types: Vec<String>,
    /// Software types it is for; empty means all.
    #[serde(default)]
    software_types: Vec<String>,
    /// Which devices of those types.
    #[serde(default)]
    applies_to: AppliesTo,
    /// Its values.
    #[schema(value_type = Vec<TemplateItemInput>)]
    items: Vec<Object<TemplateItemInput>>,
}

fn lowest() -> u32 {
    1
}

impl TemplateInput {
    /// The template, not checked yet but for its secrets. `old` is the one that it replaces.
    pub(super) fn template(
        self,
        service: &Service,
        id: TemplateId,
        old: Option<&policy::Template>,
    ) -> Result<policy::Template, Problem> {
        let texts = |list: Vec<String>| list.into_iter().map(String::into_boxed_str).collect();
        let now = service.now();
        Ok(policy::Template {
            id,
            revision: old.map_or(0, |old| old.revision),
            name: self.name.into(),
            description: self.description.into(),
            kind: self.kind.into(),
            ranking: self.ranking,
            device_types: texts(self.device_types),
            software_types: texts(self.software_types),
            applies_to: self.applies_to.into(),
            items: items(self.items, service, old)?,
            created: old.map_or(now, |old| old.created),
            changed: now,
        })
    }
}

fn items(
    inputs: Vec<Object<TemplateItemInput>>,
    service: &Service,
    old: Option<&policy::Template>,
) -> Result<Vec<TemplateItem>, Problem> {
    // Sealing costs more than counting.
    let most = service.templates.bounds().items;
    if inputs.len() > most {
        return Err(Problem::field("items", format!("at most {most} items, not {}", inputs.len())));
    }
    let mut items = Vec::with_capacity(inputs.len());
    let mut faults = Vec::new();
    for (at, Object(input)) in inputs.into_iter().enumerate() {
        let mut fault = |field: &str, reason: &str| {
            faults.push(FieldError { field: format!("items[{at}].{field}"), reason: reason.into() });
        };
        let key = ItemKey::new(&input.name, input.index);
        if input.secret.is_some_and(|secret| secret != key.is_secret()) {
            fault("secret", "the name decides whether an item is secret");
        }
        let stored = || old?.items.iter().find(|item| item.key == key).filter(|_| key.is_secret());
        match (input.value, stored()) {
            (Some(value), _) => {
                let item = TemplateItem::new(key, value.0.expose(), service.vault());
                items.push(item.map_err(|error| internal(&error))?);
            }
            (None, Some(kept)) => items.push(kept.clone()),
            (None, None) => fault("value", "a value; only a secret that is stored already may go without"),
        }
    }
    if faults.is_empty() { Ok(items) } else { Err(Problem::fields(faults)) }
}
