//! Views: parts of the tree of object identifiers.

use axum::extract::State as FromState;
use axum::http::StatusCode;
use axum::response::Response;
use callboard_core::name::ResourceName;
use callboard_core::snmp::access::{self, MAX_SUBTREES, Named};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Reading, Shown, delete, get, list, put, texts};
use crate::extract::{Chosen, Id, IfMatch, Json, Params};
use crate::paging::{Page, PageQuery};
use crate::problem::Problem;
use crate::state::State;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list_snmp_views)).routes(routes!(
        get_snmp_view,
        put_snmp_view,
        delete_snmp_view
    ))
}

/// A view: what may be read.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SnmpView)]
struct View {
    /// Its name.
    name: String,
    /// Counts changes, from 1; also in `ETag`. 0 of one that is built in.
    revision: u64,
    /// Whether it is built in and cannot be changed.
    built_in: bool,
    /// Subtrees that belong to it.
    include: Vec<String>,
    /// Subtrees that do not.
    exclude: Vec<String>,
}

impl Shown for View {
    type Resource = access::View;

    fn of(view: &Named<access::View>) -> Self {
        Self {
            name: view.name.to_string(),
            revision: view.revision,
            built_in: view.is_built_in(),
            include: texts(view.include()),
            exclude: texts(view.exclude()),
        }
    }
}

/// A view to be made or changed. Of the subtrees that an identifier is in, the one with the most numbers decides; of those with
/// equally many one of `exclude`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SnmpViewInput)]
struct ViewInput {
    /// Subtrees that belong to it: numbers with dots between them, or `*` for any number. At least one; at most 64 with those of `exclude`.
    #[schema(example = json!(["1.3.6.1.2.1.1", "1.3.6.1.2.1.2.2.1.*.1"]))]
    include: Vec<String>,
    /// Subtrees that do not.
    #[serde(default)]
    exclude: Vec<String>,
}

impl ViewInput {
    fn wish(&self) -> Result<access::View, Problem> {
        let mut reading = Reading::default();
        let include: Vec<access::Subtree> = reading.all("include", &self.include, MAX_SUBTREES);
        let exclude: Vec<access::Subtree> = reading.all("exclude", &self.exclude, MAX_SUBTREES);
        reading.done()?;
        Ok(access::View::new(include, exclude))
    }
}

/// List views
///
/// In the order of their names.
#[utoipa::path(get, path = "/snmp/views", tag = "snmp", params(PageQuery),
    responses((status = 200, description = "A page of views", body = Page<View>)))]
async fn list_snmp_views(
    FromState(state): FromState<State>,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<Page<View>>, Problem> {
    list(&state, &query)
}

/// Get a view
#[utoipa::path(get, path = "/snmp/views/{name}", tag = "snmp",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "The view; `ETag` is its revision", body = View),
              (status = 404, description = "No such view")))]
async fn get_snmp_view(
    FromState(state): FromState<State>,
    Id(name): Id<ResourceName>,
) -> Result<Response, Problem> {
    get::<View>(&state, &name)
}

/// Make or change a view
///
/// Without `If-Match` it is made, and must not be there. It holds for the next request.
#[utoipa::path(put, path = "/snmp/views/{name}", tag = "snmp", request_body = ViewInput,
    params(("name" = String, Path, description = "Its name: 1 to 64 letters, digits, dots, hyphens and underscores"),
           ("If-Match" = Option<String>, Header, description = "The revision that the change is based on")),
    responses((status = 200, description = "The view as it is now", body = View),
              (status = 201, description = "The new view; `Location` is its address", body = View),
              (status = 400, description = "The name cannot be that of a view"),
              (status = 404, description = "No such view"),
              (status = 409, description = "It is built in, or there are too many views"),
              (status = 412, description = "The view has another revision"),
              (status = 422, description = "Fields are wrong"),
              (status = 428, description = "`If-Match` is missing")))]
async fn put_snmp_view(
    FromState(state): FromState<State>,
    Chosen(name): Chosen<ResourceName>,
    revision: IfMatch,
    Json(body): Json<ViewInput>,
) -> Result<Response, Problem> {
    put::<View>(&state, name, &revision, body.wish()?).await
}

/// Delete a view
#[utoipa::path(delete, path = "/snmp/views/{name}", tag = "snmp",
    params(("name" = String, Path, description = "Its name"),
           ("If-Match" = String, Header, description = "The revision that is meant")),
    responses((status = 204, description = "Deleted"),
              (status = 404, description = "No such view"),
              (status = 409, description = "A group uses it, or it is built in"),
              (status = 412, description = "The view has another revision"),
              (status = 428, description = "`If-Match` is missing")))]
async fn delete_snmp_view(
    FromState(state): FromState<State>,
    Id(name): Id<ResourceName>,
    revision: IfMatch,
) -> Result<StatusCode, Problem> {
    delete::<access::View>(&state, &name, &revision).await
}
