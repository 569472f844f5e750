//! Who asked for what: one record for each request that changes something, or fetches what is kept safe.
//!
//! The layer surrounds all routes, so that none can forget it. It stands inside of the time limit: a request that is given
//! up, by time or by its client, may have been done all the same, and is told as not answered.

use std::net::IpAddr;

use axum::extract::{Request, State as FromState};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use callboard_core::event::{Audit, login_failed};
use http::header::CONTENT_DISPOSITION;
use http::{Extensions, Method};

use crate::problem::{Kind, Problem};
use crate::state::State;
use crate::token::ADMINISTRATOR;

/// Where a request comes from: an extension that whoever opened the door puts into each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client(pub IpAddr);

fn client(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<Client>().map(|client| client.0)
}

/// Tell that a request came without the right token.
pub(crate) fn refused(state: &State, extensions: &Extensions, has_token: bool) {
    state.service().record(login_failed(client(extensions), has_token));
}

/// Record the request if it is one of those, and let its answer leave when the record is durable.
pub(crate) async fn keep(FromState(state): FromState<State>, request: Request, next: Next) -> Response {
    let changes = !request.method().is_safe();
    if !changes && *request.method() != Method::GET {
        return next.run(request).await;
    }
    let mut asked = Asked {
        state: state.clone(),
        from: client(request.extensions()),
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        may_be_done: changes,
    };
    let response = next.run(request).await;
    asked.may_be_done = false;
    if !is_recorded(changes, &response) {
        return response;
    }
    asked.record(Some(response.status().as_u16()));
    match state.service().audited().await {
        Err(error) if response.status().is_success() => {
            let done = if changes { "the change was made" } else { "nothing was changed" };
            let detail = format!("{done}, but the record of it is not durable: {error}");
            Problem::new(Kind::Audit, detail).into_response()
        }
        _ => response,
    }
}

/// Of changes, all but those that were refused: what failed here may have been made all the same. Of the others, downloads.
fn is_recorded(changes: bool, response: &Response) -> bool {
    let status = response.status();
    if changes {
        status.is_success() || status.is_server_error()
    } else {
        status.is_success() && response.headers().contains_key(CONTENT_DISPOSITION)
    }
}

/// A request that is worked on.
struct Asked {
    state: State,
    from: Option<IpAddr>,
    method: Method,
    path: String,
    /// Nobody knows yet what came of it, and something may have.
    may_be_done: bool,
}

impl Asked {
    fn record(&self, status: Option<u16>) {
        let (by, from) = (ADMINISTRATOR, self.from);
        let audit = Audit { by, from, method: self.method.as_str(), path: &self.path, status };
        self.state.service().record(audit.draft());
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if self.may_be_done {
            self.record(None);
        }
    }
}
