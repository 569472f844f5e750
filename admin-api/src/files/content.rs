//! The bytes of a file: out as they come.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, BodyDataStream};
use axum::extract::State as FromState;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use callboard_core::file::{BrokenPieces, FileId, Pieces};
use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use tokio_stream::Stream;

use crate::extract::Id;
use crate::problem::Problem;
use crate::state::State;

/// Get the bytes of a file
#[utoipa::path(get, path = "/files/{id}/content", tag = "files",
    params(("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "The file's bytes", content_type = "application/octet-stream"),
              (status = 404, description = "No such file"),
              (status = 502, description = "The storage provider does not give it")))]
pub(super) async fn get_file_content(
    FromState(state): FromState<State>,
    Id(id): Id<FileId>,
) -> Result<Response, Problem> {
    let file = state.file(id)?;
    let pieces = state.files().read(file.clone(), 0..file.size).await?;
    let body = Body::from_stream(Outgoing(pieces));
    let mut response = ([(CONTENT_TYPE, "application/octet-stream")], body).into_response();
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(file.size));
    // A name holds nothing that needs quoting.
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{}\"", file.name)) {
        response.headers_mut().insert(CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// Bytes on their way out.
struct Outgoing(Box<dyn Pieces>);

impl Stream for Outgoing {
    type Item = Result<Bytes, BrokenPieces>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(cx)
    }
}

/// The body of a request, as whoever keeps files takes it.
pub(super) struct Incoming(BodyDataStream);

impl Incoming {
    pub(super) fn new(body: Body) -> Self {
        Self(body.into_data_stream())
    }
}

impl Pieces for Incoming {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenPieces>>> {
        loop {
            let Poll::Ready(piece) = Pin::new(&mut self.0).poll_next(cx) else { return Poll::Pending };
            match piece {
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(piece) => {
                    return Poll::Ready(Some(piece.map_err(|error| BrokenPieces(error.to_string()))));
                }
                None => return Poll::Ready(None),
            }
        }
    }
}
