//! Many credentials at once.

use std::collections::HashSet;

use axum::extract::State as FromState;
use callboard_core::service::sip::admin::Imported;
use callboard_core::sip::credentials::{BadName, CredentialError, CredentialWish, RealmName, Username};
use callboard_core::sip::digest::MAX_PASSWORD_BYTES;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::credentials::device;
use crate::extract::{Id, Json, Object, SecretText};
use crate::problem::{Kind, Problem};
use crate::state::State;

/// Credentials that one call may bring.
const MOST: usize = 1_000;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(import_credentials))
}

/// One of many credentials.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ImportEntry {
    /// The user name.
    username: String,
    /// The password, 1 to 256 bytes; one that is replaced keeps its own if none is given.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    password: Option<SecretText>,
    /// Id of the device that it belongs to.
    device: Option<String>,
}

/// Credentials to be stored.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ImportInput {
    /// 1 to 1,000 credentials, each user name once.
    #[schema(value_type = Vec<ImportEntry>)]
    credentials: Vec<Object<ImportEntry>>,
    /// Whether those that are there already are replaced; else they are left alone and count as failed.
    #[serde(default)]
    replace: bool,
}

/// A credential that was not stored.
#[derive(Debug, Serialize, ToSchema)]
struct ImportFailure {
    /// Its user name.
    username: String,
    /// Why not.
    reason: String,
}

/// What was stored.
#[derive(Debug, Default, Serialize, ToSchema)]
struct ImportResult {
    /// New credentials.
    created: usize,
    /// Credentials that took the place of others.
    replaced: usize,
    /// Credentials that were not stored.
    failed: Vec<ImportFailure>,
}

impl ImportInput {
    /// What is wanted. If the form of any entry is wrong nothing is done.
    fn wishes(self, realm: &RealmName) -> Result<Vec<CredentialWish>, Problem> {
        if self.credentials.is_empty() || self.credentials.len() > MOST {
            let count = self.credentials.len();
            return Err(Problem::field("credentials", format!("1 to {MOST} credentials, not {count}")));
        }
        let mut names = HashSet::new();
        let mut wishes = Vec::with_capacity(self.credentials.len());
        for (at, Object(entry)) in self.credentials.into_iter().enumerate() {
            let field = |name: &str| format!("credentials[{at}].{name}");
            let username: Username = entry
                .username
                .parse()
                .map_err(|error: BadName| Problem::field(field("username"), error.to_string()))?;
            if !names.insert(username.clone()) {
                return Err(Problem::field(field("username"), format!("{username} stands here twice")));
            }
            let password = entry.password.map(|password| password.0);
            let is_good = |bytes: usize| (1..=MAX_PASSWORD_BYTES).contains(&bytes);
            if password.as_ref().is_some_and(|password| !is_good(password.expose().len())) {
                let reason = CredentialError::Password.to_string();
                return Err(Problem::field(field("password"), reason));
            }
            let device = device(&field("device"), entry.device.as_deref())?;
            wishes.push(CredentialWish { realm: realm.clone(), username, device, password });
        }
        Ok(wishes)
    }
}

/// Store many credentials
///
/// Each is stored by itself: some may fail while others do not, and what was stored stays so. When this answers, every one that it
/// counts is durable.
#[utoipa::path(post, path = "/sip/realms/{realm}/credentials", tag = "sip", request_body = ImportInput,
    params(("realm" = String, Path, description = "The realm's name, percent-encoded")),
    responses((status = 200, description = "What was stored", body = ImportResult),
              (status = 404, description = "No such realm"),
              (status = 422, description = "Fields are wrong; nothing was stored")))]
async fn import_credentials(
    FromState(state): FromState<State>,
    Id(realm): Id<RealmName>,
    Json(body): Json<ImportInput>,
) -> Result<axum::Json<ImportResult>, Problem> {
    let realm = state.realm(&realm)?.name.clone();
    let replace = body.replace;
    let wishes = body.wishes(&realm)?;
    let names: Vec<_> = wishes.iter().map(|wish| wish.username.to_string()).collect();
    let outcomes = state.service().import_credentials(&realm, wishes, replace).await;
    let mut result = ImportResult::default();
    let mut unsaved = None;
    for (username, outcome) in names.into_iter().zip(outcomes) {
        match outcome {
            Ok(Imported::Created) => result.created += 1,
            Ok(Imported::Replaced) => result.replaced += 1,
            Err(error) => {
                let reason = match &error {
                    CredentialError::Revision { .. } => "it is there already".to_owned(),
                    error => error.to_string(),
                };
                result.failed.push(ImportFailure { username, reason });
                unsaved = Some(Problem::from(error)).filter(|it| it.kind() == Kind::Store).or(unsaved);
            }
        }
    }
    match unsaved {
        // The store takes nothing: that is no matter of single credentials.
        Some(problem) if result.created + result.replaced == 0 => Err(problem),
        _ => Ok(axum::Json(result)),
    }
}
