//! What should this phone be? Templates, and the difference between them and what a phone reported.

mod difference;
mod evaluate;
mod pattern;
mod registry;
mod template;

pub use difference::{Difference, difference};
pub(crate) use evaluate::carried;
pub use evaluate::{Desired, DesiredItem, Facts, Occasion, Policy};
pub use pattern::{Pattern, PatternError, Unresolved, VARIABLES, escape};
pub use registry::{Registry, TemplateError, describe_metrics};
pub use template::{
    AppliesTo, BadTemplate, BadTemplateRecord, Fault, MAX_RANKING, Template, TemplateBounds, TemplateId,
    TemplateItem, TemplateKind, TemplateValue, decode, encode, setting_fault,
};
