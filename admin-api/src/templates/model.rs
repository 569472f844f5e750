//! Templates as the API shows them.

use callboard_core::policy::{self, TemplateValue};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time::text;
use crate::warnings::warnings;

/// When a template is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TemplateKind {
    /// Once, at the first contact of a device.
    Onboarding,
    /// At each start-up, local change and refresh.
    Default,
    /// Never.
    Disabled,
}

impl From<policy::TemplateKind> for TemplateKind {
    fn from(kind: policy::TemplateKind) -> Self {
        match kind {
            policy::TemplateKind::Onboarding => Self::Onboarding,
            policy::TemplateKind::Default => Self::Default,
            policy::TemplateKind::Disabled => Self::Disabled,
        }
    }
}

impl From<TemplateKind> for policy::TemplateKind {
    fn from(kind: TemplateKind) -> Self {
        match kind {
            TemplateKind::Onboarding => Self::Onboarding,
            TemplateKind::Default => Self::Default,
            TemplateKind::Disabled => Self::Disabled,
        }
    }
}

/// To which devices a template applies, among those of its device and software types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum AppliesTo {
    /// To those it is assigned to.
    #[default]
    Assigned,
    /// To all.
    All,
}

impl From<policy::AppliesTo> for AppliesTo {
    fn from(applies_to: policy::AppliesTo) -> Self {
        match applies_to {
            policy::AppliesTo::Assigned => Self::Assigned,
            policy::AppliesTo::All => Self::All,
        }
    }
}

impl From<AppliesTo> for policy::AppliesTo {
    fn from(applies_to: AppliesTo) -> Self {
        match applies_to {
            AppliesTo::Assigned => Self::Assigned,
            AppliesTo::All => Self::All,
        }
    }
}

/// A template in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TemplateSummary {
    /// Its id: twelve hexadecimal digits.
    id: String,
    /// Counts changes, from 1; also in `ETag`.
    revision: u64,
    /// What people call it; unique.
    name: String,
    /// Free text.
    description: String,
    /// When it is applied.
    kind: TemplateKind,
    /// Where two templates set one item, the higher ranking wins.
    ranking: u32,
    /// Device types it is for; empty means all.
    device_types: Vec<String>,
    /// Software types it is for; empty means all.
    software_types: Vec<String>,
    /// Which devices of those types.
    applies_to: AppliesTo,
    /// Number of its items.
    item_count: usize,
    /// When it was made.
    #[schema(format = DateTime)]
    created: String,
    /// When it was changed last.
    #[schema(format = DateTime)]
    changed: String,
}

impl TemplateSummary {
    pub(super) fn of(template: &policy::Template) -> Self {
        let texts = |list: &[Box<str>]| list.iter().map(|entry| entry.as_ref().into()).collect();
        Self {
            id: template.id.to_string(),
            revision: template.revision,
            name: template.name.as_ref().into(),
            description: template.description.as_ref().into(),
            kind: template.kind.into(),
            ranking: template.ranking,
            device_types: texts(&template.device_types),
            software_types: texts(&template.software_types),
            applies_to: template.applies_to.into(),
            item_count: template.items.len(),
            created: text(template.created),
            changed: text(template.changed),
        }
    }
}

/// A value of a template.
#[derive(Debug, Serialize, ToSchema)]
struct TemplateItem {
    /// The item's name.
    name: String,
    /// The item's index, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    /// The value, variables as they were written; null for a secret.
    value: Option<String>,
    /// The value is a secret and not shown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    secret: bool,
}

impl TemplateItem {
    fn of(item: &policy::TemplateItem) -> Self {
        let value = match &item.value {
            TemplateValue::Plain(text) => Some(text.as_ref().into()),
            TemplateValue::Sealed(_) => None,
        };
        Self { name: item.key.name().into(), index: item.key.index(), secret: value.is_none(), value }
    }
}

/// A template.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Template {
    #[serde(flatten)]
    summary: TemplateSummary,
    /// Its values.
    items: Vec<TemplateItem>,
    /// What may be wrong with it; only in the answer to the request that made or changed it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl Template {
    pub(super) fn of(template: &policy::Template) -> Self {
        Self {
            summary: TemplateSummary::of(template),
            items: template.items.iter().map(TemplateItem::of).collect(),
            warnings: Vec::new(),
        }
    }

    /// The same with what may be wrong with it.
    pub(super) fn warned(template: &policy::Template) -> Self {
        let warnings = warnings(template.items.iter().map(|item| &item.key));
        Self { warnings, ..Self::of(template) }
    }
}
