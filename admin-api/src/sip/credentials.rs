//! Credentials of one realm. Passwords go in, and nothing of them comes out.

use std::sync::Arc;

use axum::extract::State as FromState;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use callboard_core::device::{BadDeviceId, DeviceId};
use callboard_core::sip::credentials::{
    self, CredentialFilter, CredentialWish, MAX_NAME_BYTES, RealmName, Username,
};
use callboard_core::sip::digest::Algorithm;
use http::header::LOCATION;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::basis;
use super::realms::{cursor, next};
use crate::devices::path_segment;
use crate::extract::{Chosen, Id, IfMatch, Json, Params, SecretText, etag};
use crate::paging::Page;
use crate::problem::Problem;
use crate::state::State;

/// The algorithms of which a hash of each password is kept.
const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Md5];

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list_credentials)).routes(routes!(
        get_credential,
        put_credential,
        delete_credential
    ))
}

/// A credential, without anything of its password.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SipCredential)]
pub(super) struct Credential {
    /// The user name of the digest.
    username: String,
    /// Counts changes, from 1; also in `ETag`.
    revision: u64,
    /// Id of the device that it belongs to; null if none.
    device: Option<String>,
    /// Algorithms that phones can show their password with.
    algorithms: Vec<&'static str>,
}

impl Credential {
    fn of(credential: &credentials::Credential) -> Self {
        Self {
            username: credential.username.to_string(),
            revision: credential.revision,
            device: credential.device.as_ref().map(ToString::to_string),
            algorithms: ALGORITHMS.iter().map(|algorithm| algorithm.name()).collect(),
        }
    }
}

/// A credential to be made or changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SipCredentialInput)]
struct CredentialInput {
    /// The password, 1 to 256 bytes. Only its hashes are kept. A new credential needs one; else that which there is stays.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    password: Option<SecretText>,
    /// Id of the device that it belongs to; none if it is not given. The device need not be known yet.
    device: Option<String>,
}

/// Read a device id in a body.
pub(super) fn device(field: &str, text: Option<&str>) -> Result<Option<DeviceId>, Problem> {
    let wrong = |error: BadDeviceId| Problem::field(field, error.to_string());
    text.map(|text| text.parse().map_err(wrong)).transpose()
}

/// Which part of the list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CredentialQuery {
    /// Entries on the page; 100 if not given.
    #[param(minimum = 1)]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Of this device.
    device: Option<String>,
    /// Whose user names begin with this, letter case counting.
    username_prefix: Option<String>,
}

impl CredentialQuery {
    fn filter(self, realm: RealmName) -> Result<CredentialFilter, Problem> {
        let wrong = |error: BadDeviceId| Problem::parameter("device", error.to_string());
        let prefix = self.username_prefix;
        if prefix.as_ref().is_some_and(|prefix| prefix.len() > MAX_NAME_BYTES) {
            return Err(Problem::parameter("username_prefix", format!("at most {MAX_NAME_BYTES} bytes")));
        }
        let device = self.device.map(|text| text.parse().map_err(wrong)).transpose()?;
        Ok(CredentialFilter { realm: Some(realm), device, username_prefix: prefix })
    }
}

/// List the credentials of a realm
///
/// In the order of their user names, at most 1,000 on a page.
#[utoipa::path(get, path = "/sip/realms/{realm}/credentials", tag = "sip",
    params(("realm" = String, Path, description = "The realm's name, percent-encoded"), CredentialQuery),
    responses((status = 200, description = "A page of credentials", body = Page<Credential>),
              (status = 404, description = "No such realm")))]
async fn list_credentials(
    FromState(state): FromState<State>,
    Id(realm): Id<RealmName>,
    Params(query): Params<CredentialQuery>,
) -> Result<axum::Json<Page<Credential>>, Problem> {
    let limit = state.page_size(query.limit)?;
    let after: Option<Username> = cursor(query.cursor.as_deref())?;
    let filter = query.filter(state.realm(&realm)?.name.clone())?;
    let after = after.as_ref().map(|username| (realm.as_str(), username.as_str()));
    let page = state.service().sip.credentials.page(after, limit, &filter);
    let items = page.credentials.iter().map(|credential| Credential::of(credential)).collect();
    Ok(axum::Json(Page { items, next: page.next.map(|(_, username)| next(username.as_str())) }))
}

/// Get a credential
///
/// `ETag` is its revision.
#[utoipa::path(get, path = "/sip/realms/{realm}/credentials/{username}", tag = "sip",
    params(("realm" = String, Path, description = "The realm's name, percent-encoded"),
           ("username" = String, Path, description = "The user name, percent-encoded")),
    responses((status = 200, description = "The credential", body = Credential),
              (status = 404, description = "No such realm or user")))]
async fn get_credential(
    FromState(state): FromState<State>,
    Id((realm, username)): Id<(RealmName, Username)>,
) -> Result<impl IntoResponse, Problem> {
    let credential = state.credential(&realm, &username)?;
    Ok((etag(credential.revision), axum::Json(Credential::of(&credential))))
}

/// Make or change a credential
///
/// Without `If-Match` it is made, and must not be there. A new password counts from the endpoint's next challenge on; what is
/// registered stays so until it ends.
#[utoipa::path(put, path = "/sip/realms/{realm}/credentials/{username}", tag = "sip", request_body = CredentialInput,
    params(("realm" = String, Path, description = "The realm's name, percent-encoded"),
           ("username" = String, Path, description = "The user name, percent-encoded: 1 to 128 printable ASCII characters without colon"),
           ("If-Match" = Option<String>, Header, description = "The revision that the change is based on")),
    responses((status = 200, description = "The credential as it is now", body = Credential),
              (status = 201, description = "The new credential; `Location` is its address", body = Credential),
              (status = 400, description = "The name cannot be that of a user"),
              (status = 404, description = "No such realm or user"),
              (status = 409, description = "There are too many, or the device has too many"),
              (status = 412, description = "The credential has another revision"),
              (status = 422, description = "Fields are wrong"),
              (status = 428, description = "`If-Match` is missing")))]
async fn put_credential(
    FromState(state): FromState<State>,
    Chosen((realm, username)): Chosen<(RealmName, Username)>,
    revision: IfMatch,
    Json(body): Json<CredentialInput>,
) -> Result<Response, Problem> {
    let service = state.service();
    let realm = state.realm(&realm)?.name.clone();
    let current = service.sip.credentials.find(realm.as_str(), username.as_str());
    let current = current.map(|credential| credential.revision);
    let (create, expected) = basis(&revision, current, || unknown(&realm, &username))?;
    let wish = CredentialWish {
        realm,
        username,
        device: device("device", body.device.as_deref())?,
        password: body.password.map(|password| password.0),
    };
    let credential = service.put_credential(wish, create, expected).await?;
    let body = (etag(credential.revision), axum::Json(Credential::of(&credential)));
    if !create {
        return Ok(body.into_response());
    }
    let [realm, username] = [credential.realm.as_str(), credential.username.as_str()].map(path_segment);
    let location = format!("/api/v1/sip/realms/{realm}/credentials/{username}");
    Ok((StatusCode::CREATED, [(LOCATION, location)], body).into_response())
}

/// Delete a credential
///
/// Who registered with it stays registered until that ends; `DELETE /sip/registrations/{aor}` ends it now.
#[utoipa::path(delete, path = "/sip/realms/{realm}/credentials/{username}", tag = "sip",
    params(("realm" = String, Path, description = "The realm's name, percent-encoded"),
           ("username" = String, Path, description = "The user name, percent-encoded"),
           ("If-Match" = String, Header, description = "The revision that is meant")),
    responses((status = 204, description = "Deleted"),
              (status = 404, description = "No such realm or user"),
              (status = 412, description = "The credential has another revision"),
              (status = 428, description = "`If-Match` is missing")))]
async fn delete_credential(
    FromState(state): FromState<State>,
    Id((realm, username)): Id<(RealmName, Username)>,
    revision: IfMatch,
) -> Result<StatusCode, Problem> {
    let old = state.credential(&realm, &username)?;
    revision.required()?;
    let expected = revision.expected(old.revision)?;
    state.service().delete_credential(&realm, &username, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn unknown(realm: &RealmName, username: &Username) -> Problem {
    Problem::not_found(format!("no user {username} in realm {realm}"))
}

impl State {
    fn credential(
        &self,
        realm: &RealmName,
        username: &Username,
    ) -> Result<Arc<credentials::Credential>, Problem> {
        self.realm(realm)?;
        let found = self.service().sip.credentials.find(realm.as_str(), username.as_str());
        found.ok_or_else(|| unknown(realm, username))
    }
}
