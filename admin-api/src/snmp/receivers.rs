//! Receivers: who is told what happens here.

use std::net::{AddrParseError, IpAddr, SocketAddr};
use std::time::Duration;

use axum::extract::State as FromState;
use axum::http::StatusCode;
use axum::response::Response;
use callboard_core::event;
use callboard_core::name::ResourceName;
use callboard_core::snmp::access::{
    self, Named, ReceiverWish, TargetParams, USUAL_PORT, USUAL_TIMEOUT_MILLIS,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::words::{Level, Mode, Version};
use super::{Reading, Shown, delete, get, list, put};
use crate::events::{Kind, Severity};
use crate::extract::{Chosen, Id, IfMatch, Json, Object, Params, SecretText};
use crate::paging::{Page, PageQuery};
use crate::problem::{FieldError, Problem};
use crate::state::State;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list_snmp_receivers)).routes(routes!(
        get_snmp_receiver,
        put_snmp_receiver,
        delete_snmp_receiver
    ))
}

const fn usual_severity() -> Severity {
    Severity::Info
}

/// What a receiver is told.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SnmpFilter)]
struct Filter {
    /// Kinds of events; empty for all.
    #[serde(default)]
    kinds: Vec<Kind>,
    /// The lowest severity; `info` if it is not given.
    #[serde(default = "usual_severity")]
    severity: Severity,
}

impl Default for Filter {
    fn default() -> Self {
        Self { kinds: Vec::new(), severity: usual_severity() }
    }
}

impl Filter {
    fn of(filter: &access::Filter) -> Self {
        Self { kinds: filter.kinds.iter().copied().map(Kind).collect(), severity: filter.severity.into() }
    }
}

/// A receiver, without its community.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SnmpReceiver)]
struct Receiver {
    /// Its name.
    name: String,
    /// Counts changes, from 1; also in `ETag`.
    revision: u64,
    /// Whether it is told now.
    enabled: bool,
    /// Its address.
    address: String,
    /// Its port.
    port: u16,
    /// The version that it is told in.
    version: Version,
    /// Whether it is told with a community: in versions 1 and 2c.
    community_set: bool,
    /// The user as whom it is told in version 3, by the name of the resource; null in others.
    user: Option<String>,
    /// How that is protected; null in other versions.
    level: Option<Level>,
    /// Whether it has to acknowledge.
    mode: Mode,
    /// Time to wait for the answer to an inform, in milliseconds.
    timeout_ms: u32,
    /// What it is told.
    filter: Filter,
}

impl Shown for Receiver {
    type Resource = access::Receiver;

    fn of(receiver: &Named<access::Receiver>) -> Self {
        let level = match &receiver.params {
            TargetParams::V3 { level, .. } => Some(Level(*level)),
            TargetParams::V1 { .. } | TargetParams::V2c { .. } => None,
        };
        Self {
            name: receiver.name.to_string(),
            revision: receiver.revision,
            enabled: receiver.enabled,
            address: receiver.address.ip().to_string(),
            port: receiver.address.port(),
            version: Version(receiver.version()),
            community_set: receiver.community().is_some(),
            user: receiver.user().map(ToString::to_string),
            level,
            mode: Mode(receiver.mode),
            timeout_ms: u32::try_from(receiver.timeout.as_millis()).unwrap_or(u32::MAX),
            filter: Filter::of(&receiver.filter),
        }
    }
}

const fn yes() -> bool {
    true
}

const fn usual_port() -> u16 {
    USUAL_PORT
}

const fn usual_mode() -> Mode {
    Mode(access::Mode::Trap)
}

const fn usual_timeout() -> u32 {
    USUAL_TIMEOUT_MILLIS
}

/// A receiver to be made or changed. What is left out has its default, not what it had before; but for the community, which stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SnmpReceiverInput)]
struct ReceiverInput {
    /// Whether it is told now.
    #[serde(default = "yes")]
    enabled: bool,
    /// Its address, of IPv4 or IPv6.
    address: String,
    /// Its port, 1 to 65535; 162 if it is not given.
    #[serde(default = "usual_port")]
    port: u16,
    /// The version that it is told in.
    version: Version,
    /// With which community, in versions 1 and 2c: 1 to 255 printable ASCII characters. One that has none yet needs it; else that which
    /// there is stays.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    community: Option<SecretText>,
    /// As which user, in version 3: the name of the resource.
    user: Option<String>,
    /// How that is protected, in version 3. The user must have the passwords.
    level: Option<Level>,
    /// Whether it has to acknowledge; `trap` if it is not given. Version 1 has no informs.
    #[serde(default = "usual_mode")]
    mode: Mode,
    /// Time to wait for the answer to an inform, in milliseconds: 100 to 60000; 1500 if it is not given.
    #[serde(default = "usual_timeout")]
    timeout_ms: u32,
    /// What it is told; everything if it is not given.
    #[serde(default)]
    #[schema(value_type = Option<Filter>)]
    filter: Object<Filter>,
}

impl ReceiverInput {
    fn wish(self) -> Result<ReceiverWish, Problem> {
        let mut reading = Reading::default();
        let address: Result<IpAddr, AddrParseError> = self.address.parse();
        if address.is_err() {
            let reason = "an IP address, without port and without network".into();
            reading.0.push(FieldError { field: "address".into(), reason });
        }
        let user = reading.maybe("user", self.user.as_deref());
        let Ok(address) = address else { return Err(Problem::fields(reading.0)) };
        reading.done()?;
        let Object(Filter { kinds, severity }) = self.filter;
        let kinds: Vec<event::EventKind> = kinds.into_iter().map(|kind| kind.0).collect();
        Ok(ReceiverWish {
            enabled: self.enabled,
            address: SocketAddr::new(address, self.port),
            version: self.version.0,
            community: self.community.map(|community| community.0),
            user,
            level: self.level.map(|level| level.0),
            mode: self.mode.0,
            timeout: Duration::from_millis(self.timeout_ms.into()),
            filter: access::Filter { kinds: kinds.into(), severity: severity.into() },
        })
    }
}

/// List receivers
///
/// In the order of their names.
#[utoipa::path(get, path = "/snmp/receivers", tag = "snmp", params(PageQuery),
    responses((status = 200, description = "A page of receivers", body = Page<Receiver>)))]
async fn list_snmp_receivers(
    FromState(state): FromState<State>,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<Page<Receiver>>, Problem> {
    list(&state, &query)
}

/// Get a receiver
#[utoipa::path(get, path = "/snmp/receivers/{name}", tag = "snmp",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "The receiver; `ETag` is its revision", body = Receiver),
              (status = 404, description = "No such receiver")))]
async fn get_snmp_receiver(
    FromState(state): FromState<State>,
    Id(name): Id<ResourceName>,
) -> Result<Response, Problem> {
    get::<Receiver>(&state, &name)
}

/// Make or change a receiver
///
/// Without `If-Match` it is made, and must not be there. It holds for the next event.
#[utoipa::path(put, path = "/snmp/receivers/{name}", tag = "snmp", request_body = ReceiverInput,
    params(("name" = String, Path, description = "Its name: 1 to 64 letters, digits, dots, hyphens and underscores"),
           ("If-Match" = Option<String>, Header, description = "The revision that the change is based on")),
    responses((status = 200, description = "The receiver as it is now", body = Receiver),
              (status = 201, description = "The new receiver; `Location` is its address", body = Receiver),
              (status = 400, description = "The name cannot be that of a receiver"),
              (status = 404, description = "No such receiver"),
              (status = 409, description = "There are too many receivers"),
              (status = 412, description = "The receiver has another revision"),
              (status = 422, description = "Fields are wrong, or the user is not there"),
              (status = 428, description = "`If-Match` is missing")))]
async fn put_snmp_receiver(
    FromState(state): FromState<State>,
    Chosen(name): Chosen<ResourceName>,
    revision: IfMatch,
    Json(body): Json<ReceiverInput>,
) -> Result<Response, Problem> {
    put::<Receiver>(&state, name, &revision, body.wish()?).await
}

/// Delete a receiver
#[utoipa::path(delete, path = "/snmp/receivers/{name}", tag = "snmp",
    params(("name" = String, Path, description = "Its name"),
           ("If-Match" = String, Header, description = "The revision that is meant")),
    responses((status = 204, description = "Deleted"),
              (status = 404, description = "No such receiver"),
              (status = 412, description = "The receiver has another revision"),
              (status = 428, description = "`If-Match` is missing")))]
async fn delete_snmp_receiver(
    FromState(state): FromState<State>,
    Id(name): Id<ResourceName>,
    revision: IfMatch,
) -> Result<StatusCode, Problem> {
    delete::<access::Receiver>(&state, &name, &revision).await
}
