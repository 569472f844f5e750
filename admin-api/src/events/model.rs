//! Events as the API shows them.

use callboard_core::event;
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::time::text;

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Severity {
    /// For the record.
    Info,
    /// Somebody should look at it some time.
    Warning,
    /// Somebody should look at it now.
    Error,
}

impl From<event::Severity> for Severity {
    fn from(severity: event::Severity) -> Self {
        match severity {
            event::Severity::Info => Self::Info,
            event::Severity::Warning => Self::Warning,
            event::Severity::Error => Self::Error,
        }
    }
}

impl From<Severity> for event::Severity {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Info,
            Severity::Warning => Self::Warning,
            Severity::Error => Self::Error,
        }
    }
}

/// What kind of thing happened: the core's own words, which are the same in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Kind(pub(crate) event::EventKind);

impl PartialSchema for Kind {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::String))
            .enum_values(Some(event::EventKind::ALL.iter().map(|kind| kind.as_str())))
            .description(Some("What kind of thing happened."))
            .into()
    }
}

impl ToSchema for Kind {
    fn name() -> std::borrow::Cow<'static, str> {
        "EventKind".into()
    }
}

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Event {
    /// Counts up by one with each event, and goes on above after a restart of the server.
    id: u64,
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// What kind.
    kind: Kind,
    /// How much it matters.
    severity: Severity,
    /// The device it is about; null if it is about the node.
    device: Option<String>,
    /// The task of that device it is about, by number; null if none.
    task: Option<u64>,
    /// What exactly. Characters that could deceive a reader are spelt out, like `\u{202e}`.
    text: String,
    /// How many alike came after it and are only counted here.
    repeated: u32,
}

impl Event {
    pub(super) fn of(event: &event::Event) -> Self {
        Self {
            id: event.id,
            at: text(event.at),
            kind: Kind(event.kind),
            severity: event.kind.severity().into(),
            device: event.device.as_ref().map(ToString::to_string),
            task: event.task.map(|task| task.0),
            text: event.text.clone(),
            repeated: event.repeated,
        }
    }
}
