//! How a device is reached, and calling it.

use axum::extract::State as FromState;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use callboard_core::device::{self, DeviceId};
use callboard_core::reach::calls::{self, CallStage, NotNow};
use callboard_core::reach::{NotCallable, seconds_until};
use callboard_core::service::{CallRefused, Service};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::Id;
use crate::problem::{Kind, Problem};
use crate::state::State;
use crate::time::text;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(get_reach)).routes(routes!(call_device))
}

/// How far the calls of a device are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum CallsState {
    /// It need not come.
    Resting,
    /// It will be called, or is waited for.
    Waiting,
    /// It is being called.
    Calling,
    /// It will not be called until it comes by itself or gets new work.
    UsedUp,
}

/// The address of the phone's web server, as it named it.
#[derive(Debug, Serialize, ToSchema)]
struct DirectReach {
    /// What the phone named; null if nothing.
    uri: Option<String>,
    /// Address and port that are called; null if it is not.
    address: Option<String>,
    /// Whether it may be called.
    callable: bool,
    /// Why it is not: `unknown`, `bad-uri`, `port`, `special-address`, `own-address`, `unsure`, `site-gone`, `behind-nat` or
    /// `elsewhere`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// The reason in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl DirectReach {
    fn of(device: &device::Device, service: &Service) -> Self {
        let uri = Some(device.identity.contact_me_uri.to_string()).filter(|uri| !uri.is_empty());
        let refused = |why: NotCallable| (Some(why.as_str()), Some(why.to_string()));
        let (address, (reason, detail)) = match service.way_to(device) {
            Ok(target) => (Some(target.address.to_string()), (None, None)),
            Err(why) => (None, refused(why)),
        };
        Self { uri, callable: address.is_some(), address, reason, detail }
    }
}

/// How a call went.
#[derive(Debug, Serialize, ToSchema)]
struct LastCall {
    /// When it ended.
    #[schema(format = DateTime)]
    at: String,
    /// `understood`, `status`, `not-http`, `refused`, `timeout`, `unreachable`, `broken`, `no-socket`, `not-called`,
    /// `edge-away` or `postponed`.
    outcome: &'static str,
    /// The same in words.
    detail: String,
}

/// The calls of a device.
#[derive(Debug, Serialize, ToSchema)]
struct DeviceCalls {
    /// How far they are.
    state: CallsState,
    /// Calls since it last came, or got work after it was given up.
    tries: u32,
    /// Calls that are left.
    tries_left: u32,
    /// When it will be called next; after the last call: until when it is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    next: Option<String>,
    /// How the last call went that is remembered.
    last: Option<LastCall>,
}

impl DeviceCalls {
    fn of(calls: &calls::CallState) -> Self {
        let (state, next) = match calls.stage {
            CallStage::Resting => (CallsState::Resting, None),
            CallStage::Waiting(at) => (CallsState::Waiting, Some(text(at))),
            CallStage::Calling => (CallsState::Calling, None),
            CallStage::UsedUp => (CallsState::UsedUp, None),
        };
        let last = calls.last.map(|(at, outcome)| LastCall {
            at: text(at),
            outcome: outcome.as_str(),
            detail: outcome.to_string(),
        });
        Self { state, tries: calls.tries, tries_left: calls.tries_left, next, last }
    }
}

/// How a device can be reached, and what was tried.
#[derive(Debug, Serialize, ToSchema)]
struct DeviceReach {
    /// Whether phones are called at all.
    contact_me: bool,
    /// Whether work waits for it.
    work_waiting: bool,
    /// The site whose edge makes its calls and answers its polls; null if this server does.
    site: Option<String>,
    /// Whether that edge is connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    edge_connected: Option<bool>,
    /// Whether it is told to poll.
    polls: bool,
    /// The direct way: its own web server.
    direct: DirectReach,
    /// Its calls.
    calls: DeviceCalls,
}

impl DeviceReach {
    fn of(device: &device::Device, service: &Service) -> Self {
        Self {
            contact_me: service.reach.is_enabled(),
            work_waiting: service.has_work(device),
            site: device.route.site.map(|site| site.to_string()),
            edge_connected: device
                .route
                .site
                .map(|site| service.sites.live.get(site).is_some_and(|live| live.presence.is_connected())),
            polls: service.settings().polling.applies_to(device),
            direct: DirectReach::of(device, service),
            calls: DeviceCalls::of(&service.reach.state(&device.id)),
        }
    }
}

/// See how a device is reached
///
/// Calls are planned in memory: after a restart of the server those before it are not known.
#[utoipa::path(get, path = "/devices/{id}/reach", tag = "devices",
    params(("id" = String, Path, description = "Its id; a MAC address in any spelling")),
    responses((status = 200, description = "How it is reached", body = DeviceReach),
              (status = 404, description = "No such device")))]
async fn get_reach(
    FromState(state): FromState<State>,
    Id(id): Id<DeviceId>,
) -> Result<axum::Json<DeviceReach>, Problem> {
    let device = state.device(&id)?;
    Ok(axum::Json(DeviceReach::of(&device, state.service())))
}

/// Call a device now
///
/// Asks the phone to come, whether work waits for it or not, and again as often as for work if it does not.
#[utoipa::path(post, path = "/devices/{id}/contact", tag = "devices",
    params(("id" = String, Path, description = "Its id; a MAC address in any spelling")),
    responses((status = 202, description = "It is called", body = DeviceReach),
              (status = 404, description = "No such device"),
              (status = 409, description = "Its address cannot be called, or contact-me is switched off"),
              (status = 429, description = "It was called a short while ago; `Retry-After` says when it may be again")))]
async fn call_device(
    FromState(state): FromState<State>,
    Id(id): Id<DeviceId>,
) -> Result<impl IntoResponse, Problem> {
    let service = state.service();
    service.call_now(&id).map_err(|refused| match refused {
        CallRefused::NoDevice => Problem::not_found(format!("no device {id}")),
        CallRefused::Off | CallRefused::NotCallable(_) => Problem::new(Kind::Conflict, refused.to_string()),
        CallRefused::NotNow(NotNow::TooSoon(at)) => {
            let seconds = seconds_until(at, service.now());
            Problem::later(Kind::TooSoon, seconds, format!("{refused}; again in {seconds} s"))
        }
        CallRefused::NotNow(NotNow::Full) => Problem::later(Kind::Busy, RETRY_FULL, refused.to_string()),
    })?;
    let device = state.device(&id)?;
    Ok((StatusCode::ACCEPTED, axum::Json(DeviceReach::of(&device, service))))
}

/// Seconds after which a full plan of calls is worth another try.
const RETRY_FULL: u32 = 60;
