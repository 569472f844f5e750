//! Communities of versions 1 and 2c.

use axum::extract::State as FromState;
use axum::http::StatusCode;
use axum::response::Response;
use callboard_core::name::ResourceName;
use callboard_core::snmp::access::{self, CommunityWish, MAX_NETWORKS, Named, Versions};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::words::Version;
use super::{Reading, Shown, delete, get, list, put, texts};
use crate::extract::{Chosen, Id, IfMatch, Json, Params, SecretText};
use crate::paging::{Page, PageQuery};
use crate::problem::{FieldError, Problem};
use crate::state::State;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list_snmp_communities)).routes(routes!(
        get_snmp_community,
        put_snmp_community,
        delete_snmp_community
    ))
}

/// A community, without its text.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SnmpCommunity)]
#[allow(clippy::struct_field_names)] // what the API has for it
struct Community {
    /// Its name, which is not what stands in messages.
    name: String,
    /// Counts changes, from 1; also in `ETag`.
    revision: u64,
    /// Whether it has a text: always, as without one it is none.
    community_set: bool,
    /// The versions that it is good for.
    versions: Vec<Version>,
    /// The group as whose member it asks; null if it may not.
    group: Option<String>,
    /// Whether notifications are taken with it.
    notifications: bool,
    /// Networks that its messages may come from; empty for all.
    networks: Vec<String>,
}

impl Shown for Community {
    type Resource = access::Community;

    fn of(community: &Named<access::Community>) -> Self {
        let versions = access::Version::ALL.into_iter();
        let versions = versions.filter(|version| community.versions.contains(*version));
        Self {
            name: community.name.to_string(),
            revision: community.revision,
            community_set: true,
            versions: versions.map(Version).collect(),
            group: community.group.as_ref().map(ToString::to_string),
            notifications: community.notifications,
            networks: texts(&community.networks),
        }
    }
}

fn both() -> Vec<Version> {
    vec![Version(access::Version::V1), Version(access::Version::V2c)]
}

/// A community to be made or changed. What is left out has its default, not what it had before; but for the text, which stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SnmpCommunityInput)]
struct CommunityInput {
    /// What stands in messages: 1 to 255 printable ASCII characters that no other community has. A new one needs it; else that which
    /// there is stays.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    community: Option<SecretText>,
    /// The versions that it is good for: `v1`, `v2c` or both, which is the default.
    #[serde(default = "both")]
    versions: Vec<Version>,
    /// The group as whose member it asks. It may not if none is given.
    group: Option<String>,
    /// Whether notifications are taken with it.
    #[serde(default)]
    notifications: bool,
    /// Networks that its messages may come from, `192.0.2.0/24` or a single address, at most 64; all if none are given.
    #[serde(default)]
    networks: Vec<String>,
}

impl CommunityInput {
    fn wish(self) -> Result<CommunityWish, Problem> {
        let mut reading = Reading::default();
        let mut versions = Versions { v1: false, v2c: false };
        for (at, version) in self.versions.iter().enumerate() {
            match version.0 {
                access::Version::V1 => versions.v1 = true,
                access::Version::V2c => versions.v2c = true,
                access::Version::V3 => {
                    let reason = "v1 or v2c: version v3 has users".into();
                    reading.0.push(FieldError { field: format!("versions[{at}]"), reason });
                }
            }
        }
        let wish = CommunityWish {
            community: self.community.map(|community| community.0),
            versions,
            group: reading.maybe("group", self.group.as_deref()),
            notifications: self.notifications,
            networks: reading.all("networks", &self.networks, MAX_NETWORKS),
        };
        reading.done().map(|()| wish)
    }
}

/// List communities
///
/// In the order of their names.
#[utoipa::path(get, path = "/snmp/communities", tag = "snmp", params(PageQuery),
    responses((status = 200, description = "A page of communities", body = Page<Community>)))]
async fn list_snmp_communities(
    FromState(state): FromState<State>,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<Page<Community>>, Problem> {
    list(&state, &query)
}

/// Get a community
#[utoipa::path(get, path = "/snmp/communities/{name}", tag = "snmp",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "The community; `ETag` is its revision", body = Community),
              (status = 404, description = "No such community")))]
async fn get_snmp_community(
    FromState(state): FromState<State>,
    Id(name): Id<ResourceName>,
) -> Result<Response, Problem> {
    get::<Community>(&state, &name)
}

/// Make or change a community
///
/// Without `If-Match` it is made, and must not be there. It holds for the next message.
#[utoipa::path(put, path = "/snmp/communities/{name}", tag = "snmp", request_body = CommunityInput,
    params(("name" = String, Path, description = "Its name: 1 to 64 letters, digits, dots, hyphens and underscores"),
           ("If-Match" = Option<String>, Header, description = "The revision that the change is based on")),
    responses((status = 200, description = "The community as it is now", body = Community),
              (status = 201, description = "The new community; `Location` is its address", body = Community),
              (status = 400, description = "The name cannot be that of a community"),
              (status = 404, description = "No such community"),
              (status = 409, description = "Another community has the text, or there are too many"),
              (status = 412, description = "The community has another revision"),
              (status = 422, description = "Fields are wrong, or the group is not there"),
              (status = 428, description = "`If-Match` is missing")))]
async fn put_snmp_community(
    FromState(state): FromState<State>,
    Chosen(name): Chosen<ResourceName>,
    revision: IfMatch,
    Json(body): Json<CommunityInput>,
) -> Result<Response, Problem> {
    put::<Community>(&state, name, &revision, body.wish()?).await
}

/// Delete a community
#[utoipa::path(delete, path = "/snmp/communities/{name}", tag = "snmp",
    params(("name" = String, Path, description = "Its name"),
           ("If-Match" = String, Header, description = "The revision that is meant")),
    responses((status = 204, description = "Deleted"),
              (status = 404, description = "No such community"),
              (status = 412, description = "The community has another revision"),
              (status = 428, description = "`If-Match` is missing")))]
async fn delete_snmp_community(
    FromState(state): FromState<State>,
    Id(name): Id<ResourceName>,
    revision: IfMatch,
) -> Result<StatusCode, Problem> {
    delete::<access::Community>(&state, &name, &revision).await
}
