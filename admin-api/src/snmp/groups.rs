//! Groups: which view may be read at which level of security.

use axum::extract::State as FromState;
use axum::http::StatusCode;
use axum::response::Response;
use callboard_core::name::ResourceName;
use callboard_core::snmp::access::{self, Named};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Reading, Shown, delete, get, list, put};
use crate::extract::{Chosen, Id, IfMatch, Json, Object, Params};
use crate::paging::{Page, PageQuery};
use crate::problem::Problem;
use crate::state::State;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list_snmp_groups)).routes(routes!(
        get_snmp_group,
        put_snmp_group,
        delete_snmp_group
    ))
}

/// Names of views, by level of security. For a request that of the highest level counts which is not above the request's own.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SnmpGroupAccess)]
#[allow(clippy::struct_field_names)] // the words of RFC 3411
struct Access {
    /// What may be read by requests that nothing protects; all of versions 1 and 2c are such. Null: nothing.
    #[serde(default)]
    no_auth_no_priv: Option<String>,
    /// What may be read by requests that are authenticated. Null: what those below may read.
    #[serde(default)]
    auth_no_priv: Option<String>,
    /// What may be read by requests that are encrypted as well. Null: what those below may read.
    #[serde(default)]
    auth_priv: Option<String>,
}

/// A group: what those may read who ask as its members.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SnmpGroup)]
struct Group {
    /// Its name.
    name: String,
    /// Counts changes, from 1; also in `ETag`.
    revision: u64,
    /// Views, by level.
    access: Access,
}

impl Shown for Group {
    type Resource = access::Group;

    fn of(group: &Named<access::Group>) -> Self {
        let [none, auth, privacy] = group.views.clone().map(|view| view.map(|view| view.to_string()));
        let access = Access { no_auth_no_priv: none, auth_no_priv: auth, auth_priv: privacy };
        Self { name: group.name.to_string(), revision: group.revision, access }
    }
}

/// A group to be made or changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SnmpGroupInput)]
struct GroupInput {
    /// Names of views that are there, by level; one at least.
    #[schema(value_type = Access)]
    access: Object<Access>,
}

impl GroupInput {
    fn wish(&self) -> Result<access::Group, Problem> {
        let Object(Access { no_auth_no_priv, auth_no_priv, auth_priv }) = &self.access;
        let mut reading = Reading::default();
        let mut read = |field: &str, text: &Option<String>| reading.maybe(field, text.as_deref());
        let views = [
            read("access.noAuthNoPriv", no_auth_no_priv),
            read("access.authNoPriv", auth_no_priv),
            read("access.authPriv", auth_priv),
        ];
        reading.done()?;
        Ok(access::Group { views })
    }
}

/// List groups
///
/// In the order of their names.
#[utoipa::path(get, path = "/snmp/groups", tag = "snmp", params(PageQuery),
    responses((status = 200, description = "A page of groups", body = Page<Group>)))]
async fn list_snmp_groups(
    FromState(state): FromState<State>,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<Page<Group>>, Problem> {
    list(&state, &query)
}

/// Get a group
#[utoipa::path(get, path = "/snmp/groups/{name}", tag = "snmp",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "The group; `ETag` is its revision", body = Group),
              (status = 404, description = "No such group")))]
async fn get_snmp_group(
    FromState(state): FromState<State>,
    Id(name): Id<ResourceName>,
) -> Result<Response, Problem> {
    get::<Group>(&state, &name)
}

/// Make or change a group
///
/// Without `If-Match` it is made, and must not be there. It holds for the next request.
#[utoipa::path(put, path = "/snmp/groups/{name}", tag = "snmp", request_body = GroupInput,
    params(("name" = String, Path, description = "Its name: 1 to 64 letters, digits, dots, hyphens and underscores"),
           ("If-Match" = Option<String>, Header, description = "The revision that the change is based on")),
    responses((status = 200, description = "The group as it is now", body = Group),
              (status = 201, description = "The new group; `Location` is its address", body = Group),
              (status = 400, description = "The name cannot be that of a group"),
              (status = 404, description = "No such group"),
              (status = 409, description = "There are too many groups"),
              (status = 412, description = "The group has another revision"),
              (status = 422, description = "Fields are wrong, or a view is not there"),
              (status = 428, description = "`If-Match` is missing")))]
async fn put_snmp_group(
    FromState(state): FromState<State>,
    Chosen(name): Chosen<ResourceName>,
    revision: IfMatch,
    Json(body): Json<GroupInput>,
) -> Result<Response, Problem> {
    put::<Group>(&state, name, &revision, body.wish()?).await
}

/// Delete a group
#[utoipa::path(delete, path = "/snmp/groups/{name}", tag = "snmp",
    params(("name" = String, Path, description = "Its name"),
           ("If-Match" = String, Header, description = "The revision that is meant")),
    responses((status = 204, description = "Deleted"),
              (status = 404, description = "No such group"),
              (status = 409, description = "A user or a community is of it"),
              (status = 412, description = "The group has another revision"),
              (status = 428, description = "`If-Match` is missing")))]
async fn delete_snmp_group(
    FromState(state): FromState<State>,
    Id(name): Id<ResourceName>,
    revision: IfMatch,
) -> Result<StatusCode, Problem> {
    delete::<access::Group>(&state, &name, &revision).await
}
