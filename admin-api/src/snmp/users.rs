//! Users of version 3.

use axum::extract::State as FromState;
use axum::http::StatusCode;
use axum::response::Response;
use callboard_core::name::ResourceName;
use callboard_core::snmp::access::{self, MAX_NETWORKS, Named, UserWish};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::words::{AuthProtocol, Level, PrivProtocol};
use super::{Reading, Shown, delete, get, list, put, texts};
use crate::extract::{Chosen, Id, IfMatch, Json, Params, SecretText};
use crate::paging::{Page, PageQuery};
use crate::problem::Problem;
use crate::state::State;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list_snmp_users)).routes(routes!(
        get_snmp_user,
        put_snmp_user,
        delete_snmp_user
    ))
}

/// A user of version 3, without anything of its passwords.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SnmpUser)]
#[allow(clippy::struct_field_names)] // what the API has for it
struct User {
    /// Its name.
    name: String,
    /// Counts changes, from 1; also in `ETag`.
    revision: u64,
    /// Its name in messages.
    user_name: String,
    /// How its messages are authenticated; null if they are not.
    auth_protocol: Option<AuthProtocol>,
    /// Whether there is a password for that.
    auth_password_set: bool,
    /// How its messages are encrypted; null if they are not.
    priv_protocol: Option<PrivProtocol>,
    /// Whether there is a password for that.
    priv_password_set: bool,
    /// The group as whose member it asks; null if it may not.
    group: Option<String>,
    /// The lowest level at which its notifications are taken; null if none are.
    notifications: Option<Level>,
    /// Networks that its messages may come from; empty for all.
    networks: Vec<String>,
}

impl Shown for User {
    type Resource = access::User;

    fn of(user: &Named<access::User>) -> Self {
        Self {
            name: user.name.to_string(),
            revision: user.revision,
            user_name: user.user_name.to_string(),
            auth_protocol: user.auth.as_ref().map(|auth| AuthProtocol(auth.protocol)),
            auth_password_set: user.auth.is_some(),
            priv_protocol: user.privacy.as_ref().map(|privacy| PrivProtocol(privacy.protocol)),
            priv_password_set: user.privacy.is_some(),
            group: user.group.as_ref().map(ToString::to_string),
            notifications: user.notifications.map(Level),
            networks: texts(&user.networks),
        }
    }
}

/// A user to be made or changed. What is left out has its default, not what it had before; but for passwords, which stay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SnmpUserInput)]
struct UserInput {
    /// Its name in messages: 1 to 32 bytes of printable text that no other user has. `name` if it is not given.
    user_name: Option<String>,
    /// How its messages are authenticated; not at all if it is not given.
    auth_protocol: Option<AuthProtocol>,
    /// The password for that, 8 to 256 bytes. That which there is stays if none is given and the protocol is the same.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    auth_password: Option<SecretText>,
    /// How its messages are encrypted; not at all if it is not given. `auth_protocol` is needed, too.
    priv_protocol: Option<PrivProtocol>,
    /// The password for that, 8 to 256 bytes. That which there is stays if none is given and the protocol is the same.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    priv_password: Option<SecretText>,
    /// The group as whose member it asks. It may not if none is given.
    group: Option<String>,
    /// The lowest level at which its notifications are taken. None are if it is not given.
    notifications: Option<Level>,
    /// Networks that its messages may come from, `192.0.2.0/24` or a single address, at most 64; all if none are given.
    #[serde(default)]
    networks: Vec<String>,
}

impl UserInput {
    fn wish(self) -> Result<UserWish, Problem> {
        let mut reading = Reading::default();
        let wish = UserWish {
            user_name: reading.maybe("user_name", self.user_name.as_deref()),
            auth_protocol: self.auth_protocol.map(|protocol| protocol.0),
            auth_password: self.auth_password.map(|password| password.0),
            priv_protocol: self.priv_protocol.map(|protocol| protocol.0),
            priv_password: self.priv_password.map(|password| password.0),
            group: reading.maybe("group", self.group.as_deref()),
            notifications: self.notifications.map(|level| level.0),
            networks: reading.all("networks", &self.networks, MAX_NETWORKS),
        };
        reading.done().map(|()| wish)
    }
}

/// List users
///
/// In the order of their names.
#[utoipa::path(get, path = "/snmp/users", tag = "snmp", params(PageQuery),
    responses((status = 200, description = "A page of users", body = Page<User>)))]
async fn list_snmp_users(
    FromState(state): FromState<State>,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<Page<User>>, Problem> {
    list(&state, &query)
}

/// Get a user
#[utoipa::path(get, path = "/snmp/users/{name}", tag = "snmp",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "The user; `ETag` is its revision", body = User),
              (status = 404, description = "No such user")))]
async fn get_snmp_user(
    FromState(state): FromState<State>,
    Id(name): Id<ResourceName>,
) -> Result<Response, Problem> {
    get::<User>(&state, &name)
}

/// Make or change a user
///
/// Without `If-Match` it is made, and must not be there. It holds for the next message.
#[utoipa::path(put, path = "/snmp/users/{name}", tag = "snmp", request_body = UserInput,
    params(("name" = String, Path, description = "Its name: 1 to 64 letters, digits, dots, hyphens and underscores"),
           ("If-Match" = Option<String>, Header, description = "The revision that the change is based on")),
    responses((status = 200, description = "The user as it is now", body = User),
              (status = 201, description = "The new user; `Location` is its address", body = User),
              (status = 400, description = "The name cannot be that of a user"),
              (status = 404, description = "No such user"),
              (status = 409, description = "Another user has the name in messages, a receiver needs the password that would go, or there \
                                            are too many users"),
              (status = 412, description = "The user has another revision"),
              (status = 422, description = "Fields are wrong, or the group is not there"),
              (status = 428, description = "`If-Match` is missing")))]
async fn put_snmp_user(
    FromState(state): FromState<State>,
    Chosen(name): Chosen<ResourceName>,
    revision: IfMatch,
    Json(body): Json<UserInput>,
) -> Result<Response, Problem> {
    put::<User>(&state, name, &revision, body.wish()?).await
}

/// Delete a user
#[utoipa::path(delete, path = "/snmp/users/{name}", tag = "snmp",
    params(("name" = String, Path, description = "Its name"),
           ("If-Match" = String, Header, description = "The revision that is meant")),
    responses((status = 204, description = "Deleted"),
              (status = 404, description = "No such user"),
              (status = 409, description = "A receiver is told as this user"),
              (status = 412, description = "The user has another revision"),
              (status = 428, description = "`If-Match` is missing")))]
async fn delete_snmp_user(
    FromState(state): FromState<State>,
    Id(name): Id<ResourceName>,
    revision: IfMatch,
) -> Result<StatusCode, Problem> {
    delete::<access::User>(&state, &name, &revision).await
}
