//! Telling a phone to fetch its configuration now, and hearing what came of it.

use std::time::Duration;

use axum::extract::State as FromState;
use axum::http::StatusCode;
use callboard_core::device::DeviceId;
use callboard_core::reach::{CallOutcome, seconds_until};
use callboard_core::service::sip::admin::Aor;
use callboard_core::service::sip::{NoSync, SyncRefused};
use callboard_core::sip::vendor::SyncWish;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Id, Json};
use crate::problem::{Kind, Problem};
use crate::state::State;

/// Time that an answer waits for the phone's. One that is there answers within milliseconds; it is asked for 32 s.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(check_sync_registration)).routes(routes!(check_sync_device))
}

/// What a phone is asked to do.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CheckSyncInput {
    /// Whether it shall restart, too. Some phones decide that themselves.
    #[serde(default)]
    restart: bool,
}

impl CheckSyncInput {
    const fn wish(&self) -> SyncWish {
        if self.restart { SyncWish::Restart } else { SyncWish::Fetch }
    }
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
struct CheckSyncResult {
    /// `understood`, `status` (the phone refuses), `timeout`, `broken`, `no-socket`, or `waiting`: it has not answered yet.
    outcome: &'static str,
    /// The same in words.
    detail: String,
}

type Told = (StatusCode, axum::Json<CheckSyncResult>);

async fn result(told: oneshot::Receiver<CallOutcome>) -> Told {
    let Ok(told) = tokio::time::timeout(PATIENCE, told).await else {
        let detail = "the phone has not answered yet".to_owned();
        return (StatusCode::ACCEPTED, axum::Json(CheckSyncResult { outcome: "waiting", detail }));
    };
    // Nobody tells when the server stops.
    let outcome = told.unwrap_or(CallOutcome::Broken);
    (StatusCode::OK, axum::Json(CheckSyncResult { outcome: outcome.as_str(), detail: outcome.to_string() }))
}

/// Tell a registered phone to fetch its configuration
///
/// At its latest contact, now (`check-sync`, in the words of its vendor). For many phones, or those that may be away, make a job.
#[utoipa::path(post, path = "/sip/registrations/{aor}/check-sync", tag = "sip", request_body = CheckSyncInput,
    params(("aor" = String, Path, description = "`user@host`, percent-encoded")),
    responses((status = 200, description = "What came of it", body = CheckSyncResult),
              (status = 202, description = "It is told; it has not answered yet", body = CheckSyncResult),
              (status = 404, description = "Nothing is registered for it"),
              (status = 409, description = "Its connection is gone")))]
async fn check_sync_registration(
    FromState(state): FromState<State>,
    Id(aor): Id<Aor>,
    Json(body): Json<CheckSyncInput>,
) -> Result<Told, Problem> {
    let told = state.service().sync_registered(&aor, body.wish()).map_err(|why| match why {
        NoSync::NotRegistered => Problem::not_found(format!("{aor} is not registered")),
        NoSync::FlowGone | NoSync::NotProven => Problem::new(Kind::Conflict, why.to_string()),
    })?;
    Ok(result(told).await)
}

/// Tell a device to fetch its configuration
///
/// Now: where it is registered by SIP, else at the address that it came from last, at port 5060.
#[utoipa::path(post, path = "/devices/{id}/check-sync", tag = "devices", request_body = CheckSyncInput,
    params(("id" = String, Path, description = "Its id; a MAC address in any spelling")),
    responses((status = 200, description = "What came of it", body = CheckSyncResult),
              (status = 202, description = "It is told; it has not answered yet", body = CheckSyncResult),
              (status = 404, description = "No such device"),
              (status = 409, description = "It is not registered, and its address must not be called"),
              (status = 429, description = "Its address was called a short while ago; `Retry-After` says when it may be again")))]
async fn check_sync_device(
    FromState(state): FromState<State>,
    Id(id): Id<DeviceId>,
    Json(body): Json<CheckSyncInput>,
) -> Result<Told, Problem> {
    let service = state.service();
    let told = service.sync_device(&id, body.wish()).map_err(|refused| match refused {
        SyncRefused::NoDevice => Problem::not_found(format!("no device {id}")),
        SyncRefused::NoWay(_) | SyncRefused::NotCallable(_) => {
            Problem::new(Kind::Conflict, refused.to_string())
        }
        SyncRefused::NotNow(at) => {
            let seconds = seconds_until(at, service.now());
            Problem::later(Kind::TooSoon, seconds, format!("{refused}; again in {seconds} s"))
        }
    })?;
    Ok(result(told).await)
}
