//! Assigning a template to many devices, and taking it away.

use std::sync::Arc;

use axum::extract::State as FromState;
use callboard_core::device::DeviceId;
use callboard_core::event::{EventDraft, EventKind};
use callboard_core::policy::TemplateId;
use callboard_core::service::{Service, counted};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::devices::{FilterBody, cursor, next as next_cursor};
use crate::extract::{Id, Json, Object};
use crate::problem::{Kind, Problem};
use crate::refusal::internal;
use crate::state::{State, Wanted};

/// Devices that one call may change: what the store commits in well under a second.
const MOST: usize = 1_000;
/// Changes on their way to the store at the same time: enough to share its flushes, and even at the largest record size
/// no more than half of its usual queue, which phones need too.
const AT_ONCE: usize = 32;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(assign_template)).routes(routes!(unassign_template))
}

/// Which devices: either a list or a filter.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BulkInput {
    /// Ids of devices, at most 1,000.
    devices: Option<Vec<String>>,
    /// A filter; `{}` means all devices. At most 1,000 of them are changed in one call.
    #[schema(value_type = Option<FilterBody>)]
    filter: Option<Object<FilterBody>>,
    /// With a filter: `next` of the answer before.
    cursor: Option<String>,
}

/// A device that was not changed.
#[derive(Debug, Serialize, ToSchema)]
struct BulkFailure {
    /// Its id.
    id: String,
    /// Why not.
    reason: String,
}

/// What was changed.
#[derive(Debug, Default, Serialize, ToSchema)]
struct BulkResult {
    /// Devices that were changed.
    changed: usize,
    /// Devices that were so already.
    unchanged: usize,
    /// Devices that could not be changed.
    failed: Vec<BulkFailure>,
    /// The cursor to go on with the same filter; null at the end.
    next: Option<String>,
}

/// Assign a template to many devices
///
/// Each device is changed by itself: some may fail while others do not, and what was changed stays changed. When this
/// answers, every change that it counts is durable.
#[utoipa::path(post, path = "/templates/{id}/assign", tag = "templates", request_body = BulkInput,
    params(("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "What was changed", body = BulkResult),
              (status = 404, description = "No such template"),
              (status = 422, description = "Fields are wrong")))]
async fn assign_template(
    FromState(state): FromState<State>,
    Id(id): Id<TemplateId>,
    Json(body): Json<BulkInput>,
) -> Result<axum::Json<BulkResult>, Problem> {
    change(&state, id, true, body).await.map(axum::Json)
}

/// Take a template away from many devices
///
/// Like `assign`. The devices keep the values that the template gave them.
#[utoipa::path(post, path = "/templates/{id}/unassign", tag = "templates", request_body = BulkInput,
    params(("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "What was changed", body = BulkResult),
              (status = 404, description = "No such template"),
              (status = 422, description = "Fields are wrong")))]
async fn unassign_template(
    FromState(state): FromState<State>,
    Id(id): Id<TemplateId>,
    Json(body): Json<BulkInput>,
) -> Result<axum::Json<BulkResult>, Problem> {
    change(&state, id, false, body).await.map(axum::Json)
}

async fn change(
    state: &State,
    template: TemplateId,
    assigned: bool,
    body: BulkInput,
) -> Result<BulkResult, Problem> {
    let known = state.template(template)?;
    let (devices, next) = devices(state, body).await?;
    let mut result = toggle_all(state.service(), template, assigned, devices).await?;
    result.next = next.as_ref().map(next_cursor);
    if result.changed > 0 {
        let word = if assigned { "assigned to" } else { "taken from" };
        let devices = counted(result.changed, "device", "devices");
        let text = format!("template {template} ({}) {word} {devices}", known.name);
        state.service().record(EventDraft::node(EventKind::AdminChange, text));
    }
    Ok(result)
}

async fn devices(state: &State, body: BulkInput) -> Result<(Vec<DeviceId>, Option<DeviceId>), Problem> {
    match (body.devices, body.filter) {
        (Some(devices), None) => {
            if body.cursor.is_some() {
                return Err(Problem::field("cursor", "goes with a filter only"));
            }
            listed(&devices).map(|devices| (devices, None))
        }
        (None, Some(Object(filter))) => {
            let after = cursor(body.cursor.as_deref())?;
            let filter = filter.filter(state.service())?;
            let walk = move |service: &Service, wanted: &Wanted| {
                service.fleet.page_while(after.as_ref(), MOST, &filter, &|| wanted.still())
            };
            let page = state.scan(walk).await?;
            Ok((page.devices.iter().map(|device| device.id.clone()).collect(), page.next))
        }
        _ => Err(Problem::field("devices", "either `devices` or `filter`")),
    }
}

fn listed(texts: &[String]) -> Result<Vec<DeviceId>, Problem> {
    if texts.is_empty() || texts.len() > MOST {
        return Err(Problem::field("devices", format!("1 to {MOST} ids, not {}", texts.len())));
    }
    let mut devices = Vec::with_capacity(texts.len());
    for (at, text) in texts.iter().enumerate() {
        let id = text.parse().map_err(|error: callboard_core::device::BadDeviceId| {
            Problem::field(format!("devices[{at}]"), error.to_string())
        })?;
        devices.push(id);
    }
    devices.sort_unstable();
    devices.dedup();
    Ok(devices)
}

async fn toggle_all(
    service: &Arc<Service>,
    template: TemplateId,
    assigned: bool,
    devices: Vec<DeviceId>,
) -> Result<BulkResult, Problem> {
    let mut result = BulkResult::default();
    let mut unsaved = None;
    let mut waiting = devices.into_iter();
    let mut running = JoinSet::new();
    loop {
        while running.len() < AT_ONCE
            && let Some(id) = waiting.next()
        {
            let service = Arc::clone(service);
            running.spawn(async move {
                let done = toggle(&service, &id, template, assigned).await;
                (id, done)
            });
        }
        let Some(joined) = running.join_next().await else { break };
        match joined.map_err(|error| internal(&error))? {
            (_, Ok(true)) => result.changed += 1,
            (_, Ok(false)) => result.unchanged += 1,
            (id, Err(problem)) => {
                result.failed.push(BulkFailure { id: id.to_string(), reason: problem.detail().into() });
                if problem.kind() == Kind::Store {
                    unsaved = Some(problem);
                }
            }
        }
    }
    result.failed.sort_by(|a, b| a.id.cmp(&b.id));
    match unsaved {
        // The store takes nothing: that is no matter of single devices.
        Some(problem) if result.changed + result.unchanged == 0 => Err(problem),
        _ => Ok(result),
    }
}

/// Whether the device was changed. In either case it is durable as it should be when this returns.
async fn toggle(
    service: &Service,
    id: &DeviceId,
    template: TemplateId,
    assigned: bool,
) -> Result<bool, Problem> {
    let device = service.fleet.get(id).ok_or_else(|| Problem::not_found("no such device"))?;
    if device.templates.contains(&template) != assigned {
        service.toggle_template(id, template, assigned).await?;
        return Ok(true);
    }
    // It may be so in memory only, by a change that still waits for the disk or failed to reach it.
    if let Some(ticket) = service.fleet.rewrite(id)? {
        ticket.await?;
    }
    Ok(false)
}
