//! Templates: lists, one of them, changes, and what can be done with many devices at once.

mod bulk;
mod dry_run;
mod input;
mod model;

use std::sync::Arc;

use axum::extract::State as FromState;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use callboard_core::policy::{self, TemplateId};
use http::header::LOCATION;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Id, IfMatch, Json, Params, etag};
use crate::paging::{Page, PageQuery, read_cursor};
use crate::problem::Problem;
use crate::state::State;
use input::TemplateInput;
use model::{Template, TemplateSummary};

pub(crate) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list_templates, create_template))
        .routes(routes!(get_template, replace_template, delete_template))
        .merge(bulk::routes())
        .merge(dry_run::routes())
}

/// List templates
///
/// In the order of their ids, without their items.
#[utoipa::path(get, path = "/templates", tag = "templates", params(PageQuery),
    responses((status = 200, description = "A page of templates", body = Page<TemplateSummary>)))]
async fn list_templates(
    FromState(state): FromState<State>,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<Page<TemplateSummary>>, Problem> {
    let limit = state.page_size(query.limit)?;
    let after: Option<TemplateId> = read_cursor(query.cursor.as_deref())?;
    let all = state.service().templates.all();
    let page = Page::after(
        all.iter(),
        after.as_ref(),
        limit,
        |template| template.id,
        |template| TemplateSummary::of(template),
    );
    Ok(axum::Json(page))
}

/// Make a template
#[utoipa::path(post, path = "/templates", tag = "templates", request_body = TemplateInput,
    responses((status = 201, description = "The template; `Location` is its address", body = Template),
              (status = 409, description = "Another template has the name, or there are too many"),
              (status = 422, description = "Fields are wrong")))]
async fn create_template(
    FromState(state): FromState<State>,
    Json(body): Json<TemplateInput>,
) -> Result<impl IntoResponse, Problem> {
    let service = state.service();
    let candidate = body.template(service, service.new_template_id(), None)?;
    let template = service.put_template(candidate, true, None).await?;
    let location = format!("/api/v1/templates/{}", template.id);
    let body = axum::Json(Template::warned(&template));
    Ok((StatusCode::CREATED, [(LOCATION, location)], etag(template.revision), body))
}

/// Get a template
///
/// `ETag` is its revision. Values of secret items are null.
#[utoipa::path(get, path = "/templates/{id}", tag = "templates",
    params(("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "The template", body = Template),
              (status = 404, description = "No such template")))]
async fn get_template(
    FromState(state): FromState<State>,
    Id(id): Id<TemplateId>,
) -> Result<impl IntoResponse, Problem> {
    let template = state.template(id)?;
    Ok((etag(template.revision), axum::Json(Template::of(&template))))
}

/// Replace a template
///
/// A secret item without value keeps the value that is stored for its name and index.
#[utoipa::path(put, path = "/templates/{id}", tag = "templates", request_body = TemplateInput,
    params(("id" = String, Path, description = "Its id"),
           ("If-Match" = String, Header, description = "The revision that the change is based on")),
    responses((status = 200, description = "The template as it is now", body = Template),
              (status = 404, description = "No such template"),
              (status = 409, description = "Another template has the name"),
              (status = 412, description = "The template has another revision"),
              (status = 422, description = "Fields are wrong"),
              (status = 428, description = "`If-Match` is missing")))]
async fn replace_template(
    FromState(state): FromState<State>,
    Id(id): Id<TemplateId>,
    revision: IfMatch,
    Json(body): Json<TemplateInput>,
) -> Result<impl IntoResponse, Problem> {
    let service = state.service();
    let old = state.template(id)?;
    revision.required()?;
    revision.expected(old.revision)?;
    let candidate = body.template(service, id, Some(&old))?;
    // Kept secrets come from this very revision, whatever If-Match leaves open.
    let template = service.put_template(candidate, false, Some(old.revision)).await?;
    Ok((etag(template.revision), axum::Json(Template::warned(&template))))
}

/// Forget a template
///
/// Devices keep the values that it gave them.
#[utoipa::path(delete, path = "/templates/{id}", tag = "templates",
    params(("id" = String, Path, description = "Its id"),
           ("If-Match" = String, Header, description = "The revision that is meant")),
    responses((status = 204, description = "Forgotten"),
              (status = 404, description = "No such template"),
              (status = 412, description = "The template has another revision"),
              (status = 428, description = "`If-Match` is missing")))]
async fn delete_template(
    FromState(state): FromState<State>,
    Id(id): Id<TemplateId>,
    revision: IfMatch,
) -> Result<StatusCode, Problem> {
    let old = state.template(id)?;
    revision.required()?;
    let expected = revision.expected(old.revision)?;
    state.service().delete_template(id, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl State {
    fn template(&self, id: TemplateId) -> Result<Arc<policy::Template>, Problem> {
        self.service().templates.get(id).ok_or_else(|| Problem::not_found(format!("no template {id}")))
    }
}
