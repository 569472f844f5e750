//! Bringing a file: its bytes are the body, as they are.

use axum::extract::{Request, State as FromState};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use callboard_core::file::{self, FileName};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use serde::Deserialize;

use super::content::Incoming;
use super::model::{File, FileKind};
use crate::extract::{Params, etag};
use crate::problem::{Kind, Problem};
use crate::state::State;
use crate::token::ADMINISTRATOR;

/// What the file is.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct UploadQuery {
    /// Its name at phones, unique within its kind: 1 to 100 of A-Z, a-z, 0-9, `.`, `_` and `-`.
    name: String,
    /// What it is for.
    #[param(inline)]
    kind: FileKind,
}

/// Bring a file
///
/// The body is the file, byte by byte, without any form around it; it may be longer than other bodies (`files.max_file_bytes`) and
/// is written as it comes. A phone does not fetch a name again that it has: a changed file needs a new name.
#[utoipa::path(post, path = "/files", tag = "files", params(UploadQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, description = "The file; `Location` is its address", body = File),
              (status = 409, description = "The name is taken, or there are too many files or bytes"),
              (status = 413, description = "Longer than a file may be"),
              (status = 415, description = "The body is encoded, or a form"),
              (status = 422, description = "The name is wrong, or the body is empty"),
              (status = 503, description = "Too many uploads, or too little space on the disk")))]
pub(super) async fn upload_file(
    FromState(state): FromState<State>,
    Params(query): Params<UploadQuery>,
    request: Request,
) -> Result<impl IntoResponse, Problem> {
    check_form(request.headers())?;
    let name: FileName =
        query.name.parse().map_err(|error: file::BadFileName| Problem::field("name", error.to_string()))?;
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let upload = file::Upload { name, kind: query.kind.into(), length, by: ADMINISTRATOR.into() };
    let bytes = Box::new(Incoming::new(request.into_body()));
    let file = state.files().upload(upload, bytes).await?;
    let location = format!("/api/v1/files/{}", file.id);
    let body = axum::Json(File::of(&file, state.service())?);
    Ok((StatusCode::CREATED, [(LOCATION, location)], etag(file.revision), body))
}

/// Refuse bodies that are not the file itself.
fn check_form(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(CONTENT_ENCODING) {
        let detail = "send the file as it is, without Content-Encoding: what is packed would be checked and kept packed";
        return Err(Problem::new(Kind::UnsupportedMediaType, detail));
    }
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence.starts_with("multipart/") || essence == "application/x-www-form-urlencoded" {
        let detail =
            "the body must be the file itself, not a form: send `Content-Type: application/octet-stream`";
        return Err(Problem::new(Kind::UnsupportedMediaType, detail));
    }
    Ok(())
}
