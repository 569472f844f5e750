//! Files for phones: lists, one of them, its bytes, and the storage providers they come from.

mod content;
mod model;
mod providers;
mod upload;

use std::sync::Arc;

use axum::extract::State as FromState;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use callboard_core::file::{FileId, FileRecord};
use http::Method;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Id, IfMatch, Params, etag};
use crate::paging::{Page, read_cursor};
use crate::problem::Problem;
use crate::state::State;
use model::{File, FileKind, FileSummary};

pub(crate) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list_files, upload::upload_file))
        .routes(routes!(get_file, delete_file))
        .routes(routes!(content::get_file_content))
        .merge(providers::routes())
}

/// Whether a request brings a file: its body may be larger and take longer than others.
pub fn is_upload(method: &Method, path: &str) -> bool {
    method == Method::POST && path == "/api/v1/files"
}

/// Which part of the list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Entries on the page; 100 if not given.
    #[param(minimum = 1)]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Files of this kind only.
    #[param(inline)]
    kind: Option<FileKind>,
    /// Files whose name holds this text, in any letter case.
    name: Option<String>,
}

/// List files
///
/// In the order of their ids.
#[utoipa::path(get, path = "/files", tag = "files", params(ListQuery),
    responses((status = 200, description = "A page of files", body = Page<FileSummary>)))]
async fn list_files(
    FromState(state): FromState<State>,
    Params(query): Params<ListQuery>,
) -> Result<axum::Json<Page<FileSummary>>, Problem> {
    let limit = state.page_size(query.limit)?;
    let after: Option<FileId> = read_cursor(query.cursor.as_deref())?;
    let kind = query.kind.map(Into::into);
    let text = query.name.map(|name| name.to_ascii_lowercase());
    let fits = |file: &Arc<FileRecord>| {
        let named = |text: &String| file.name.as_str().to_ascii_lowercase().contains(text.as_str());
        kind.is_none_or(|kind| file.kind == kind) && text.as_ref().is_none_or(named)
    };
    let files = state.service().files.all().into_iter().filter(fits);
    let show = |file: &Arc<FileRecord>| FileSummary::of(file, state.service());
    Ok(axum::Json(Page::after(files, after.as_ref(), limit, |file| file.id, show)))
}

/// Get a file
///
/// What is known about it, and its path at the phones' doors. `ETag` is its revision.
#[utoipa::path(get, path = "/files/{id}", tag = "files",
    params(("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "The file", body = File),
              (status = 404, description = "No such file")))]
async fn get_file(
    FromState(state): FromState<State>,
    Id(id): Id<FileId>,
) -> Result<impl IntoResponse, Problem> {
    let file = state.file(id)?;
    Ok((etag(file.revision), axum::Json(File::of(&file, state.service())?)))
}

/// Forget a file
///
/// And its bytes, unless they are a storage provider's.
#[utoipa::path(delete, path = "/files/{id}", tag = "files",
    params(("id" = String, Path, description = "Its id"),
           ("If-Match" = String, Header, description = "The revision that is meant")),
    responses((status = 204, description = "Forgotten"),
              (status = 404, description = "No such file"),
              (status = 409, description = "A job needs it"),
              (status = 412, description = "The file has another revision"),
              (status = 428, description = "`If-Match` is missing")))]
async fn delete_file(
    FromState(state): FromState<State>,
    Id(id): Id<FileId>,
    revision: IfMatch,
) -> Result<StatusCode, Problem> {
    let file = state.file(id)?;
    revision.required()?;
    let expected = revision.expected(file.revision)?;
    state.files().delete(id, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl State {
    fn file(&self, id: FileId) -> Result<Arc<FileRecord>, Problem> {
        self.service().files.get(id).ok_or_else(|| Problem::not_found(format!("no file {id}")))
    }
}
