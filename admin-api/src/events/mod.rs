//! Events: what happened, and what is happening.

mod model;
mod stream;

pub(crate) use stream::StreamPlace;

use axum::extract::State as FromState;
use callboard_core::device::{DeviceId, TaskId};
use callboard_core::event;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::Params;
use crate::paging::Page;
use crate::problem::Problem;
use crate::state::State;
use model::Event;

pub(crate) use model::{Kind, Severity};

pub(crate) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list_events)).merge(stream::routes())
}

/// Which events are wanted.
#[derive(Clone, Debug, Default)]
struct Wanted {
    kind: Option<event::EventKind>,
    severity: Option<event::Severity>,
    device: Option<DeviceId>,
    task: Option<TaskId>,
}

impl Wanted {
    fn of(
        kind: Option<Kind>,
        severity: Option<Severity>,
        device: Option<&str>,
        task: Option<u64>,
    ) -> Result<Self, Problem> {
        let device = device.map(str::parse).transpose();
        let device = device.map_err(|error: callboard_core::device::BadDeviceId| {
            Problem::parameter("device", error.to_string())
        })?;
        let (kind, severity) = (kind.map(|kind| kind.0), severity.map(Into::into));
        Ok(Self { kind, severity, device, task: task.map(TaskId) })
    }

    fn takes(&self, event: &event::Event) -> bool {
        self.kind.is_none_or(|kind| event.kind == kind)
            && self.severity.is_none_or(|severity| event.kind.severity() >= severity)
            && self.task.is_none_or(|task| event.task == Some(task))
            && self.device.as_ref().is_none_or(|device| event.device.as_ref() == Some(device))
    }
}

/// Which part of the list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Entries on the page; 100 if not given.
    #[param(minimum = 1)]
    limit: Option<usize>,
    /// Only events older than this one: `next` of the page before, or an event's id.
    before: Option<u64>,
    /// Of this kind.
    #[param(inline)]
    kind: Option<Kind>,
    /// At least this severe.
    #[param(inline)]
    severity: Option<Severity>,
    /// About this device.
    device: Option<String>,
    /// About the task of this number; numbers are unique within a device.
    task: Option<u64>,
}

/// List events
///
/// The newest first. Events are kept in memory: as many of each class as configured, and until the server stops.
#[utoipa::path(get, path = "/events", tag = "events", params(ListQuery),
    responses((status = 200, description = "A page of events; `next` goes into `before`", body = Page<Event>)))]
async fn list_events(
    FromState(state): FromState<State>,
    Params(query): Params<ListQuery>,
) -> Result<axum::Json<Page<Event>>, Problem> {
    let limit = state.page_size(query.limit)?;
    let wanted = Wanted::of(query.kind, query.severity, query.device.as_deref(), query.task)?;
    let mut found = state.service().events.recent(query.before, limit + 1, |event| wanted.takes(event));
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|event| event.id.to_string());
    Ok(axum::Json(Page { items: found.iter().map(Event::of).collect(), next }))
}
