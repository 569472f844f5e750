//! Devices: lists, one of them, and what can be done with it.

mod filter;
mod items;
mod model;
mod reach;
mod secure_mode;
mod tasks;
mod write;

use axum::extract::State as FromState;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use callboard_core::device::DeviceId;
use callboard_core::fleet::Filter;
use callboard_core::service::Service;
use callboard_core::service::sip::admin::DeviceCredentials;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use filter::{FilterBody, cursor, next};
pub(crate) use model::{ItemFault, template_id};
pub(crate) use tasks::{TaskItemInput, item_keys, item_values};

use crate::extract::{Id, IfMatch, Json, Params, etag};
use crate::paging::Page;
use crate::problem::Problem;
use crate::sip::Registration;
use crate::state::State;
use filter::ListQuery;
use model::{Device, DeviceSummary};

/// Entries that are put on a page at once.
const QUICK: usize = 500;

pub(crate) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list_devices))
        .routes(routes!(get_device, delete_device))
        .routes(routes!(list_device_registrations))
        .routes(routes!(set_device_templates))
        .merge(items::routes())
        .merge(tasks::routes())
        .merge(reach::routes())
        .merge(secure_mode::routes())
}

/// List devices
///
/// In the order of their ids. A page looks at 100,000 devices at the most: with a filter that few devices pass, it may
/// be empty and still have a next one.
#[utoipa::path(get, path = "/devices", tag = "devices", params(ListQuery),
    responses((status = 200, description = "A page of devices", body = Page<DeviceSummary>)))]
async fn list_devices(
    FromState(state): FromState<State>,
    Params(query): Params<ListQuery>,
) -> Result<axum::Json<Page<DeviceSummary>>, Problem> {
    let limit = state.page_size(query.limit)?;
    let after = cursor(query.cursor.as_deref())?;
    let filter = query.filter(state.service())?;
    let unfiltered = filter == Filter::default();
    let walk = move |service: &Service, go_on: &dyn Fn() -> bool| {
        let page = service.fleet.page_while(after.as_ref(), limit, &filter, go_on);
        let items = page.devices.iter().map(|device| DeviceSummary::of(device, service)).collect();
        Page { items, next: page.next.as_ref().map(next) }
    };
    // The ids alone are quick; a rare match is a walk over many devices.
    let page = if unfiltered && limit <= QUICK {
        walk(state.service(), &|| true)
    } else {
        state.scan(move |service, wanted| walk(service, &|| wanted.still())).await?
    };
    Ok(axum::Json(page))
}

/// Get a device
///
/// `ETag` is its revision.
#[utoipa::path(get, path = "/devices/{id}", tag = "devices",
    params(("id" = String, Path, description = "Its id; a MAC address in any spelling")),
    responses((status = 200, description = "The device", body = Device),
              (status = 404, description = "No such device")))]
async fn get_device(
    FromState(state): FromState<State>,
    Id(id): Id<DeviceId>,
) -> Result<impl IntoResponse, Problem> {
    let device = state.device(&id)?;
    Ok((etag(device.revision), axum::Json(Device::of(&device, state.service()))))
}

/// What is forgotten with a device.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Forgetting {
    /// Whether its SIP credentials stay, for when it comes again.
    #[serde(default)]
    keep_credentials: bool,
}

/// Forget a device
///
/// With its items, tasks and assignments, and with its SIP registrations and credentials: nobody gets in with their passwords any
/// more. If it calls again it is a new one. If only credentials or registrations name the device, these are forgotten.
#[utoipa::path(delete, path = "/devices/{id}", tag = "devices",
    params(("id" = String, Path, description = "Its id; a MAC address in any spelling"),
           ("If-Match" = Option<String>, Header, description = "The revision that is meant"), Forgetting),
    responses((status = 204, description = "Forgotten"),
              (status = 404, description = "No such device"),
              (status = 412, description = "The device has another revision")))]
async fn delete_device(
    FromState(state): FromState<State>,
    Id(id): Id<DeviceId>,
    revision: IfMatch,
    Params(query): Params<Forgetting>,
) -> Result<StatusCode, Problem> {
    let service = state.service();
    let credentials =
        if query.keep_credentials { DeviceCredentials::Keep } else { DeviceCredentials::Forget };
    let expected = match state.device(&id) {
        // A record that cannot be read shows no revision; deleting it is the way out.
        Err(_) if service.fleet.is_unreadable(&id) => None,
        // What is left of it has none either.
        Err(_) if service.has_endpoint(&id, credentials) => revision.expected(0)?,
        device => revision.expected(device?.revision)?,
    };
    service.delete_device(&id, expected, credentials).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List where a device is registered
///
/// By SIP; all on one page.
#[utoipa::path(get, path = "/devices/{id}/registrations", tag = "devices",
    params(("id" = String, Path, description = "Its id; a MAC address in any spelling")),
    responses((status = 200, description = "Its registrations", body = Page<Registration>),
              (status = 404, description = "No such device")))]
async fn list_device_registrations(
    FromState(state): FromState<State>,
    Id(id): Id<DeviceId>,
) -> Result<axum::Json<Page<Registration>>, Problem> {
    state.device(&id)?;
    Ok(axum::Json(Page { items: Registration::of_device(&id, state.service()), next: None }))
}

/// Templates for a device.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Assignment {
    /// Ids of the templates that shall be assigned, all of them.
    templates: Vec<String>,
}

/// Set a device's templates
///
/// Replaces the templates that are assigned by hand. They take effect at the device's next contact.
#[utoipa::path(put, path = "/devices/{id}/templates", tag = "devices", request_body = Assignment,
    params(("id" = String, Path, description = "Its id; a MAC address in any spelling"),
           ("If-Match" = Option<String>, Header, description = "The revision that is meant")),
    responses((status = 200, description = "The device as it is now", body = Device),
              (status = 404, description = "No such device"),
              (status = 412, description = "The device has another revision"),
              (status = 422, description = "No such template, or too many")))]
async fn set_device_templates(
    FromState(state): FromState<State>,
    Id(id): Id<DeviceId>,
    revision: IfMatch,
    Json(body): Json<Assignment>,
) -> Result<impl IntoResponse, Problem> {
    let expected = revision.expected(state.device(&id)?.revision)?;
    let mut templates = Vec::with_capacity(body.templates.len());
    for (at, text) in body.templates.iter().enumerate() {
        let template =
            template_id(text).map_err(|reason| Problem::field(format!("templates[{at}]"), reason))?;
        if templates.contains(&template) {
            return Err(Problem::field(format!("templates[{at}]"), format!("{template} stands here twice")));
        }
        templates.push(template);
    }
    let device = state.service().assign_templates(&id, &templates, expected).await?;
    Ok((etag(device.revision), axum::Json(Device::of(&device, state.service()))))
}

impl State {
    fn device(&self, id: &DeviceId) -> Result<std::sync::Arc<callboard_core::device::Device>, Problem> {
        self.service().fleet.get(id).ok_or_else(|| Problem::not_found(format!("no device {id}")))
    }
}

/// One part of a path, percent-encoded (RFC 3986, section 3.3).
pub(crate) fn path_segment(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~:@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_encoded() {
        assert_eq!(path_segment("00:1a:e8:00:00:01"), "00:1a:e8:00:00:01");
        assert_eq!(path_segment("a?b#c%d"), "a%3Fb%23c%25d");
    }
}
