//! What would a template do?

use axum::extract::State as FromState;
use callboard_core::policy;
use callboard_core::service::{self, counted};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::input::TemplateInput;
use crate::devices::{FilterBody, ItemFault, cursor, next, template_id};
use crate::extract::{Json, Object};
use crate::problem::Problem;
use crate::state::{State, Wanted};
use crate::warnings::warnings;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(dry_run_template))
}

/// What to try.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DryRunInput {
    /// A template that is not stored. Either this or `id`, or both: a changed form of a stored template.
    #[schema(value_type = Option<TemplateInput>)]
    template: Option<Object<TemplateInput>>,
    /// The id of a stored template.
    id: Option<String>,
    /// Take it as assigned to every device that the filter passes.
    #[serde(default)]
    assume_assigned: bool,
    /// Which devices to look at; all if not given.
    #[serde(default)]
    #[schema(value_type = FilterBody)]
    filter: Object<FilterBody>,
    /// `next` of the answer before.
    cursor: Option<String>,
    /// Most devices in the answer; 100 if not given.
    #[schema(minimum = 1)]
    limit: Option<usize>,
}

/// One value that would be written.
#[derive(Debug, Serialize, ToSchema)]
struct PlannedWrite {
    /// The item's name.
    name: String,
    /// The item's index, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    /// What the phone reported; null if nothing, or if it is a secret.
    from: Option<String>,
    /// What it would get; null for a secret.
    to: Option<String>,
    /// The value is a secret and not shown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    secret: bool,
}

/// One device that would change.
#[derive(Debug, Serialize, ToSchema)]
struct DryRunDevice {
    /// Its id.
    id: String,
    /// What would be written, beyond what is due anyway.
    writes: Vec<PlannedWrite>,
    /// What could not be written.
    faults: Vec<ItemFault>,
}

impl DryRunDevice {
    fn of(device: &service::DryRunDevice) -> Self {
        let write = |write: &service::PlannedWrite| PlannedWrite {
            name: write.key.name().into(),
            index: write.key.index(),
            from: write.from.clone(),
            to: write.to.clone(),
            secret: write.key.is_secret(),
        };
        Self {
            id: device.id.to_string(),
            writes: device.writes.iter().map(write).collect(),
            faults: device.faults.iter().map(ItemFault::of).collect(),
        }
    }
}

/// A part of a dry run.
#[derive(Debug, Serialize, ToSchema)]
struct DryRun {
    /// Devices that would change.
    items: Vec<DryRunDevice>,
    /// Devices that the filter passed and that were compared for this part.
    looked_at: usize,
    /// How many of these an onboarding template no longer reaches, because they are past their first contact; 0 for other
    /// kinds.
    past_onboarding: usize,
    /// What is to be known about this answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// What may be wrong with the template.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// The cursor of the next part; null at the end. A part may be empty and have a next one.
    next: Option<String>,
}

/// Try a template
///
/// Which devices would change if the template were stored, and how. Nothing is changed. An onboarding template
/// changes no device that is past its first contact; `past_onboarding` counts those.
#[utoipa::path(post, path = "/templates/dry-run", tag = "templates", request_body = DryRunInput,
    responses((status = 200, description = "A part of the devices", body = DryRun),
              (status = 422, description = "Fields are wrong")))]
async fn dry_run_template(
    FromState(state): FromState<State>,
    Json(body): Json<DryRunInput>,
) -> Result<axum::Json<DryRun>, Problem> {
    let limit = state.page_size(body.limit)?;
    let after = cursor(body.cursor.as_deref())?;
    let candidate = candidate(&state, body.template, body.id.as_deref())?;
    let warnings = warnings(candidate.items.iter().map(|item| &item.key));
    let (assume, filter) = (body.assume_assigned, body.filter.0.filter(state.service())?);
    let walk = move |service: &service::Service, wanted: &Wanted| {
        service.dry_run(candidate, assume, &filter, after.as_ref(), limit, &|| wanted.still())
    };
    let run = state.scan(walk).await?.map_err(in_template)?;
    Ok(axum::Json(DryRun {
        items: run.devices.iter().map(DryRunDevice::of).collect(),
        looked_at: run.looked_at,
        past_onboarding: run.past_onboarding,
        note: note(run.past_onboarding),
        warnings,
        next: run.next.as_ref().map(next),
    }))
}

fn note(past_onboarding: usize) -> Option<String> {
    let devices = counted(past_onboarding, "device is", "devices are");
    let text = format!(
        "onboarding templates apply at the first contact only; {devices} past it and would not change"
    );
    (past_onboarding > 0).then_some(text)
}

fn candidate(
    state: &State,
    template: Option<Object<TemplateInput>>,
    id: Option<&str>,
) -> Result<policy::Template, Problem> {
    let service = state.service();
    let stored = id.map(|text| {
        let id = template_id(text).map_err(|reason| Problem::field("id", reason))?;
        service.templates.get(id).ok_or_else(|| Problem::field("id", format!("no template {id}")))
    });
    let stored = stored.transpose()?;
    match (template, stored) {
        (Some(Object(input)), stored) => {
            let id = stored.as_ref().map_or_else(|| service.new_template_id(), |stored| stored.id);
            input.template(service, id, stored.as_deref()).map_err(|problem| problem.within("template"))
        }
        (None, Some(stored)) => Ok(stored.as_ref().clone()),
        (None, None) => Err(Problem::field("template", "either `template` or `id`, or both")),
    }
}

fn in_template(error: policy::TemplateError) -> Problem {
    Problem::from(error).within("template")
}
