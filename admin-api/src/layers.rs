//! What surrounds every handler: token, bounds, headers, figures.

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State as FromState};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderMap, HeaderValue};

use crate::audit;
use crate::files::is_upload;
use crate::metrics;
use crate::problem::{Kind, Problem};
use crate::state::State;

/// Let nobody in without the token, nor more than there is room for, nor for longer than allowed; and record what is changed.
pub(crate) fn guard(routes: Router<State>, state: &State) -> Router<State> {
    routes
        .fallback(|| async { Problem::not_found("no such route; see /api/v1/docs") })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(from_fn_with_state(state.clone(), audit::keep))
        .layer(from_fn_with_state(state.clone(), bound))
        .layer(from_fn_with_state(state.clone(), authorise))
}

/// Count every request and set the headers of every answer.
pub(crate) fn observe(routes: Router<State>) -> Router<State> {
    routes.layer(from_fn(headers)).layer(from_fn(count))
}

async fn authorise(FromState(state): FromState<State>, request: Request, next: Next) -> Response {
    match bearer(request.headers()) {
        Some(text) if state.token().is(text) => next.run(request).await,
        _ => {
            let has_token = request.headers().contains_key(AUTHORIZATION);
            audit::refused(&state, request.extensions(), has_token);
            Problem::unauthorized().into_response()
        }
    }
}

/// The token that a request brings (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let line = lines.next()?.to_str().ok()?;
    if lines.next().is_some() {
        return None;
    }
    let (scheme, token) = line.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}

async fn bound(FromState(state): FromState<State>, request: Request, next: Next) -> Response {
    let _place = match state.enter() {
        Ok(place) => place,
        Err(problem) => return problem.into_response(),
    };
    let changes = !request.method().is_safe();
    let settings = state.settings();
    let upload = is_upload(request.method(), request.uri().path());
    let limit = if upload { settings.upload_timeout } else { settings.request_timeout };
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) if changes => {
            let detail = "the change may have been made all the same: look before you try again";
            Problem::later(Kind::Timeout, 1, detail).into_response()
        }
        Err(_) => Problem::later(Kind::Timeout, 1, "try again, or ask for less").into_response(),
    }
}

async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

async fn count(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let begun = Instant::now();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    metrics::answered(route, &method, response.status(), begun.elapsed());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_taken_from_one_bearer_header() {
        let token_of = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(AUTHORIZATION, line.parse().unwrap());
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(token_of(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(token_of(&["bearer  abc"]).as_deref(), Some("abc"));
        for none in [&[][..], &["abc"], &["Basic abc"], &["Bearer"], &["Bearer a", "Bearer a"]] {
            assert_eq!(token_of(none), None, "{none:?}");
        }
    }
}
