//! Storage providers: lists, changes, what they have, and making theirs ours.

use std::sync::Arc;

use axum::extract::State as FromState;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use callboard_core::file::{self, FileName, Place, ProviderId};
use callboard_core::secret::Sealed;
use http::header::LOCATION;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::model::{File, FileKind};
use crate::extract::{Id, IfMatch, Json, Params, SecretText, etag};
use crate::paging::{Page, PageQuery, read_cursor};
use crate::problem::Problem;
use crate::refusal::internal;
use crate::state::State;
use crate::time::text;
use crate::token::ADMINISTRATOR;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list_providers, create_provider))
        .routes(routes!(get_provider, replace_provider, delete_provider))
        .routes(routes!(scan_provider))
        .routes(routes!(register_file))
}

/// How a provider is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum ProviderType {
    /// A folder of a web server; it is listed if the server knows `WebDAV` (RFC 4918).
    Http,
    /// A bucket of an S3-compatible server.
    S3,
}

/// A storage provider.
#[derive(Debug, Serialize, ToSchema)]
struct Provider {
    /// Its id: twelve hexadecimal digits.
    id: String,
    /// Counts changes, from 1; also in `ETag`.
    revision: u64,
    /// What people call it; unique.
    name: String,
    /// How it is spoken to.
    r#type: ProviderType,
    /// The address of the folder, or of the S3 server.
    url: String,
    /// User of basic authentication, for `http`.
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    /// The bucket, for `s3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<String>,
    /// Its region, for `s3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    /// The access key, for `s3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key: Option<String>,
    /// Whether a password or secret is stored. It is never shown.
    has_secret: bool,
    /// Files that come from it.
    file_count: usize,
    /// When it was made.
    #[schema(format = DateTime)]
    created: String,
    /// When it was changed last.
    #[schema(format = DateTime)]
    changed: String,
}

impl Provider {
    fn of(provider: &file::Provider, state: &State) -> Self {
        let files = state.service().files.all();
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let mut shown = Self {
            id: provider.id.to_string(),
            revision: provider.revision,
            name: provider.name.to_string(),
            r#type: ProviderType::Http,
            url: provider.place.url().to_owned(),
            username: None,
            bucket: None,
            region: None,
            access_key: None,
            has_secret: false,
            file_count: files.iter().filter(|file| file.provider() == Some(provider.id)).count(),
            created: text(provider.created),
            changed: text(provider.changed),
        };
        match &provider.place {
            Place::Http { username, password, .. } => {
                shown.username = some(username);
                shown.has_secret = password.is_some();
            }
            Place::S3 { bucket, region, access_key, secret, .. } => {
                shown.r#type = ProviderType::S3;
                shown.bucket = some(bucket);
                shown.region = some(region);
                shown.access_key = some(access_key);
                shown.has_secret = secret.is_some();
            }
        }
        shown
    }
}

/// A storage provider to be stored.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProviderInput {
    /// What people call it; unique. 1 to 128 characters.
    name: String,
    /// How it is spoken to.
    r#type: ProviderType,
    /// The address of the folder, or of the S3 server: `https://...` or `http://...`, without user, query and fragment.
    url: String,
    /// User of basic authentication, for `http`.
    username: Option<String>,
    /// Its password. When a provider is replaced and neither its type nor its address changes, the stored one is kept if none is
    /// given.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    password: Option<SecretText>,
    /// The bucket, for `s3`.
    bucket: Option<String>,
    /// Its region, for `s3`; `us-east-1` if not given.
    region: Option<String>,
    /// The access key, for `s3`.
    access_key: Option<String>,
    /// The secret that belongs to it; kept like `password`.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    secret: Option<SecretText>,
}

impl ProviderInput {
    fn provider(
        self,
        state: &State,
        id: ProviderId,
        old: Option<&file::Provider>,
    ) -> Result<file::Provider, Problem> {
        if let Some(reason) = state.files().address_fault(&self.url) {
            return Err(Problem::field("url", reason));
        }
        let now = state.service().now();
        let (name, created) = (self.name.as_str().into(), old.map_or(now, |old| old.created));
        let place = self.place(state, old.map(|old| &old.place))?;
        Ok(file::Provider { id, revision: 0, name, place, created, changed: now })
    }

    fn place(self, state: &State, old: Option<&Place>) -> Result<Place, Problem> {
        let vault = state.service().vault();
        let seal = |text: Option<SecretText>, kept: Option<&Option<Sealed>>| match text {
            Some(text) if text.0.expose().is_empty() => Ok(None),
            Some(text) => vault.seal(&text.0).map(Some).map_err(|error| internal(&error)),
            // A secret never goes to another address than the one it was given for.
            None => Ok(kept.filter(|_| old.is_some_and(|old| old.url() == self.url)).cloned().flatten()),
        };
        let foreign = |given: bool, field: &str, of: &str| {
            if given {
                Err(Problem::field(field, format!("belongs to providers of type {of}")))
            } else {
                Ok(())
            }
        };
        let url = self.url.as_str().into();
        match self.r#type {
            ProviderType::Http => {
                foreign(self.bucket.is_some(), "bucket", "s3")?;
                foreign(self.region.is_some(), "region", "s3")?;
                foreign(self.access_key.is_some(), "access_key", "s3")?;
                foreign(self.secret.is_some(), "secret", "s3")?;
                let kept = match old {
                    Some(Place::Http { password, .. }) => Some(password),
                    _ => None,
                };
                let password = seal(self.password, kept)?;
                Ok(Place::Http { url, username: self.username.unwrap_or_default().into(), password })
            }
            ProviderType::S3 => {
                foreign(self.username.is_some(), "username", "http")?;
                foreign(self.password.is_some(), "password", "http")?;
                let kept = match old {
                    Some(Place::S3 { secret, .. }) => Some(secret),
                    _ => None,
                };
                let secret = seal(self.secret, kept)?;
                Ok(Place::S3 {
                    url,
                    bucket: self.bucket.unwrap_or_default().into(),
                    region: self.region.unwrap_or_else(|| "us-east-1".to_owned()).into(),
                    access_key: self.access_key.unwrap_or_default().into(),
                    secret,
                })
            }
        }
    }
}

/// List storage providers
///
/// In the order of their ids.
#[utoipa::path(get, path = "/providers", tag = "files", params(PageQuery),
    responses((status = 200, description = "A page of providers", body = Page<Provider>)))]
async fn list_providers(
    FromState(state): FromState<State>,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<Page<Provider>>, Problem> {
    let limit = state.page_size(query.limit)?;
    let after: Option<ProviderId> = read_cursor(query.cursor.as_deref())?;
    let all = state.service().files.providers();
    let page = Page::after(
        all.iter(),
        after.as_ref(),
        limit,
        |provider| provider.id,
        |provider| Provider::of(provider, &state),
    );
    Ok(axum::Json(page))
}

/// Make a storage provider
#[utoipa::path(post, path = "/providers", tag = "files", request_body = ProviderInput,
    responses((status = 201, description = "The provider; `Location` is its address", body = Provider),
              (status = 409, description = "Another provider has the name, or there are too many"),
              (status = 422, description = "Fields are wrong")))]
async fn create_provider(
    FromState(state): FromState<State>,
    Json(body): Json<ProviderInput>,
) -> Result<impl IntoResponse, Problem> {
    let service = state.service();
    let id = service.files.new_provider_id(service.random());
    let provider = service.put_provider(body.provider(&state, id, None)?, true, None).await?;
    let location = format!("/api/v1/providers/{}", provider.id);
    let body = axum::Json(Provider::of(&provider, &state));
    Ok((StatusCode::CREATED, [(LOCATION, location)], etag(provider.revision), body))
}

/// Get a storage provider
///
/// `ETag` is its revision. Its secrets are never shown.
#[utoipa::path(get, path = "/providers/{id}", tag = "files",
    params(("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "The provider", body = Provider),
              (status = 404, description = "No such provider")))]
async fn get_provider(
    FromState(state): FromState<State>,
    Id(id): Id<ProviderId>,
) -> Result<impl IntoResponse, Problem> {
    let provider = state.provider(id)?;
    Ok((etag(provider.revision), axum::Json(Provider::of(&provider, &state))))
}

/// Replace a storage provider
#[utoipa::path(put, path = "/providers/{id}", tag = "files", request_body = ProviderInput,
    params(("id" = String, Path, description = "Its id"),
           ("If-Match" = String, Header, description = "The revision that the change is based on")),
    responses((status = 200, description = "The provider as it is now", body = Provider),
              (status = 404, description = "No such provider"),
              (status = 409, description = "Another provider has the name"),
              (status = 412, description = "The provider has another revision"),
              (status = 422, description = "Fields are wrong"),
              (status = 428, description = "`If-Match` is missing")))]
async fn replace_provider(
    FromState(state): FromState<State>,
    Id(id): Id<ProviderId>,
    revision: IfMatch,
    Json(body): Json<ProviderInput>,
) -> Result<impl IntoResponse, Problem> {
    let old = state.provider(id)?;
    revision.required()?;
    revision.expected(old.revision)?;
    let candidate = body.provider(&state, id, Some(&old))?;
    // A kept secret comes from this very revision, whatever If-Match leaves open.
    let provider = state.service().put_provider(candidate, false, Some(old.revision)).await?;
    Ok((etag(provider.revision), axum::Json(Provider::of(&provider, &state))))
}

/// Forget a storage provider
///
/// Refused as long as files come from it.
#[utoipa::path(delete, path = "/providers/{id}", tag = "files",
    params(("id" = String, Path, description = "Its id"),
           ("If-Match" = String, Header, description = "The revision that is meant")),
    responses((status = 204, description = "Forgotten"),
              (status = 404, description = "No such provider"),
              (status = 409, description = "Files come from it"),
              (status = 412, description = "The provider has another revision"),
              (status = 428, description = "`If-Match` is missing")))]
async fn delete_provider(
    FromState(state): FromState<State>,
    Id(id): Id<ProviderId>,
    revision: IfMatch,
) -> Result<StatusCode, Problem> {
    let provider = state.provider(id)?;
    revision.required()?;
    let expected = revision.expected(provider.revision)?;
    state.service().delete_provider(id, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a scan found.
#[derive(Debug, Serialize, ToSchema)]
struct Scan {
    /// Files of the provider, in the order of their paths.
    items: Vec<FoundFile>,
    /// Number of them.
    found: usize,
    /// Of those, files that phones can have.
    usable: usize,
    /// There are more than a scan looks at (`files.scan_files`).
    truncated: bool,
}

/// A file at a provider.
#[derive(Debug, Serialize, ToSchema)]
struct FoundFile {
    /// Its path there.
    path: String,
    /// Its length in bytes.
    size: u64,
    /// When it was changed there.
    #[schema(format = DateTime)]
    modified: String,
    /// Why phones cannot have it under its own name; null if they can.
    unfit: Option<String>,
    /// The id of the file that it is registered as.
    file: Option<String>,
}

/// Scan a storage provider
///
/// Lists its files. None becomes one that phones can have before it is registered.
#[utoipa::path(post, path = "/providers/{id}/scan", tag = "files",
    params(("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "What it has", body = Scan),
              (status = 404, description = "No such provider"),
              (status = 502, description = "It does not answer as it should")))]
async fn scan_provider(
    FromState(state): FromState<State>,
    Id(id): Id<ProviderId>,
) -> Result<axum::Json<Scan>, Problem> {
    let provider = state.provider(id)?;
    let scan = state.files().scan(provider).await?;
    let items: Vec<_> = scan
        .found
        .into_iter()
        .map(|found| FoundFile {
            path: found.path,
            size: found.size,
            modified: text(found.modified),
            unfit: found.unfit,
            file: found.file.map(|id| id.to_string()),
        })
        .collect();
    let usable = items.iter().filter(|item| item.unfit.is_none()).count();
    Ok(axum::Json(Scan { found: items.len(), usable, items, truncated: scan.truncated }))
}

/// A file of a provider that phones shall be able to have.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RegisterInput {
    /// Its path at the provider, as a scan shows it.
    path: String,
    /// Its name at phones; the last part of the path if not given.
    name: Option<String>,
    /// What it is for.
    kind: FileKind,
}

/// Register a file of a storage provider
///
/// From then on phones can have it, through this server. Its bytes stay there; if they change, phones do not get it any more.
#[utoipa::path(post, path = "/providers/{id}/files", tag = "files", request_body = RegisterInput,
    params(("id" = String, Path, description = "The provider's id")),
    responses((status = 201, description = "The file; `Location` is its address", body = File),
              (status = 404, description = "No such provider"),
              (status = 409, description = "The name is taken, or there are too many files"),
              (status = 413, description = "Longer than a file may be"),
              (status = 422, description = "Fields are wrong"),
              (status = 502, description = "The provider does not have it")))]
async fn register_file(
    FromState(state): FromState<State>,
    Id(id): Id<ProviderId>,
    Json(body): Json<RegisterInput>,
) -> Result<impl IntoResponse, Problem> {
    let provider = state.provider(id)?;
    if body.path.is_empty() || body.path.len() > 1_024 || body.path.chars().any(char::is_control) {
        return Err(Problem::field("path", "1 to 1,024 bytes, no control characters"));
    }
    let last = body.path.rsplit('/').next().unwrap_or_default();
    let name: FileName = body
        .name
        .as_deref()
        .unwrap_or(last)
        .parse()
        .map_err(|error: file::BadFileName| Problem::field("name", error.to_string()))?;
    let wish = file::RemoteFile {
        provider: provider.id,
        path: body.path,
        name,
        kind: body.kind.into(),
        by: ADMINISTRATOR.into(),
    };
    let file = state.files().register(wish).await?;
    let location = format!("/api/v1/files/{}", file.id);
    let body = axum::Json(File::of(&file, state.service())?);
    Ok((StatusCode::CREATED, [(LOCATION, location)], etag(file.revision), body))
}

impl State {
    fn provider(&self, id: ProviderId) -> Result<Arc<file::Provider>, Problem> {
        self.service().files.provider(id).ok_or_else(|| Problem::not_found(format!("no provider {id}")))
    }
}
