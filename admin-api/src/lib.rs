//! The administration API: devices, templates, SIP, events and the node, as JSON over HTTP (docs/api.md).
//!
//! [`router`] gives a service for any listener that speaks HTTP; TLS, connection limits and the throttling of
//! guessed tokens are the business of whoever opens that listener. Types of the wire stand beside the handlers of their resource; nothing of the
//! core is serialised as it is, so that what the API says changes only when somebody changes it here.

#![forbid(unsafe_code)]

mod audit;
mod catalogue;
mod devices;
mod events;
mod extract;
mod files;
mod jobs;
mod layers;
mod metrics;
mod node;
mod openapi;
mod paging;
mod problem;
mod refusal;
mod scans;
mod sip;
mod sites;
mod snmp;
mod state;
mod status;
mod templates;
mod time;
mod token;
mod warnings;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use callboard_core::file::FileStorage;
use callboard_core::service::Service;

pub use crate::metrics::describe_metrics;
pub use audit::Client;
pub use files::is_upload;
pub use node::{CauseStatus, DoorStatus, NodeStatus};
pub use token::{AccessToken, BadToken, MIN_TOKEN_CHARACTERS};

/// Bounds and names of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiSettings {
    /// What this node is called.
    pub node_name: String,
    /// The version that runs.
    pub version: String,
    /// Most entries on one page of a list.
    pub page_limit: usize,
    /// Time that an answer may take, event streams excepted.
    pub request_timeout: Duration,
    /// Bytes of a request body.
    pub body_bytes: usize,
    /// Event streams open at the same time.
    pub event_streams: usize,
    /// Requests worked on at the same time, event streams excepted.
    pub concurrent_requests: usize,
    /// Walks over the fleet (filtered lists, dry runs) that run at the same time; others wait.
    pub concurrent_scans: usize,
    /// Time that an upload of a file may take.
    pub upload_timeout: Duration,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            node_name: "callboard".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            page_limit: 500,
            request_timeout: Duration::from_secs(30),
            body_bytes: 1 << 20,
            event_streams: 64,
            concurrent_requests: 64,
            concurrent_scans: 4,
            upload_timeout: Duration::from_hours(1),
        }
    }
}

/// What the API stands on.
pub struct Api {
    /// Devices, templates and events.
    pub service: Arc<Service>,
    /// Who may come in.
    pub token: AccessToken,
    /// Bounds and names.
    pub settings: ApiSettings,
    /// The bytes of files.
    pub files: Arc<dyn FileStorage>,
    /// The process around it.
    pub status: Arc<dyn NodeStatus>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// All routes, each under `/api/v1`. The `OpenAPI` document and its viewer are public, everything else needs the token.
/// Each request is to have a [`Client`] as an extension: audit records say where it came from.
pub fn router(api: Api) -> Router {
    let state = state::State::new(api);
    let (routes, document) = openapi::routes().split_for_parts();
    let routes = layers::guard(routes, &state);
    let public = openapi::public(&openapi::finish(document));
    layers::observe(routes.merge(public)).with_state(state)
}

/// The `OpenAPI` document as the server gives it.
pub fn openapi_document() -> utoipa::openapi::OpenApi {
    openapi::finish(openapi::routes().split_for_parts().1)
}
