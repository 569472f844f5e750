//! Registrations: lists, those of one address-of-record, and their end.

use axum::extract::State as FromState;
use axum::http::StatusCode;
use callboard_core::device::BadDeviceId;
use callboard_core::service::Service;
use callboard_core::service::sip::admin::Aor;
use callboard_core::sip::location::{BindingFilter, ListPosition, SHARDS};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::model::{Registration, RegistrationState, Transport};
use crate::extract::{Id, Params};
use crate::paging::Page;
use crate::problem::Problem;
use crate::state::State;

/// Longest text of a filter, in characters.
const MAX_TEXT: usize = 256;

/// What a cursor begins with.
const CURSOR: &str = "at:";

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list_registrations))
        .routes(routes!(get_registrations, delete_registrations))
}

/// Which part of the list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RegistrationQuery {
    /// Entries on the page; 100 if not given.
    #[param(minimum = 1)]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// With this text in the address-of-record, in any letter case.
    aor: Option<String>,
    /// With this text in what the endpoint says it is, in any letter case.
    user_agent: Option<String>,
    /// Over this transport.
    transport: Option<Transport>,
    /// In this state.
    state: Option<RegistrationState>,
    /// Behind a NAT (`true`) or not (`false`).
    nat: Option<bool>,
    /// Of this device.
    device: Option<String>,
    /// Of any device (`true`) or of none (`false`).
    has_device: Option<bool>,
}

impl RegistrationQuery {
    fn filter(self) -> Result<BindingFilter, Problem> {
        let device = self.device.map(|text| text.parse()).transpose();
        Ok(BindingFilter {
            aor: bounded("aor", self.aor)?,
            user_agent: bounded("user_agent", self.user_agent)?,
            transport: self.transport.map(Into::into),
            state: self.state.map(Into::into),
            nat: self.nat,
            device: device.map_err(|error: BadDeviceId| Problem::parameter("device", error.to_string()))?,
            has_device: self.has_device,
        })
    }
}

fn bounded(field: &str, text: Option<String>) -> Result<Option<Box<str>>, Problem> {
    match text {
        Some(text) if text.chars().count() > MAX_TEXT => {
            Err(Problem::parameter(field, format!("at most {MAX_TEXT} characters")))
        }
        text => Ok(text.filter(|text| !text.is_empty()).map(Into::into)),
    }
}

fn cursor(text: Option<&str>) -> Result<ListPosition, Problem> {
    let Some(text) = text else { return Ok(ListPosition::default()) };
    let read = || {
        let (shard, slot) = text.strip_prefix(CURSOR)?.split_once('.')?;
        let position = ListPosition { shard: shard.parse().ok()?, slot: slot.parse().ok()? };
        (usize::from(position.shard) < SHARDS).then_some(position)
    };
    read().ok_or_else(|| Problem::parameter("cursor", "`next` of the page before"))
}

fn next(position: ListPosition) -> String {
    format!("{CURSOR}{}.{}", position.shard, position.slot)
}

/// List registrations
///
/// One entry for each contact, in no order of meaning; those of one address-of-record stay on one page, which may be longer than
/// `limit` for that. A page looks at 100,000 places at the most: with a filter that few pass, it may be empty and still have a next one.
/// A cursor is good until the server starts anew.
#[utoipa::path(get, path = "/sip/registrations", tag = "sip", params(RegistrationQuery),
    responses((status = 200, description = "A page of registrations", body = Page<Registration>)))]
async fn list_registrations(
    FromState(state): FromState<State>,
    Params(query): Params<RegistrationQuery>,
) -> Result<axum::Json<Page<Registration>>, Problem> {
    let limit = state.page_size(query.limit)?;
    let from = cursor(query.cursor.as_deref())?;
    let filter = query.filter()?;
    let walk = move |service: &Service, go_on: &dyn Fn() -> bool| {
        let page = service.sip.location.list(from, limit, &filter, service.steady(), go_on);
        let each = page.items.iter().flat_map(|(aor, bindings)| bindings.iter().map(move |one| (aor, one)));
        let ahead = service.sip.location.ahead();
        let items = each.map(|(aor, one)| Registration::of(aor, one, ahead)).collect();
        Page { items, next: page.next.map(next) }
    };
    state.scan(move |service, wanted| walk(service, &|| wanted.still())).await.map(axum::Json)
}

/// Get the registrations of an address-of-record
///
/// All of them on one page.
#[utoipa::path(get, path = "/sip/registrations/{aor}", tag = "sip",
    params(("aor" = String, Path, description = "`user@host`, percent-encoded")),
    responses((status = 200, description = "Its registrations", body = Page<Registration>),
              (status = 404, description = "Nothing is registered for it")))]
async fn get_registrations(
    FromState(state): FromState<State>,
    Id(aor): Id<Aor>,
) -> Result<axum::Json<Page<Registration>>, Problem> {
    let service = state.service();
    let bindings = service.sip.location.get(aor.as_str(), service.steady());
    if bindings.is_empty() {
        return Err(Problem::not_found(format!("{aor} is not registered")));
    }
    let ahead = service.sip.location.ahead();
    let items = bindings.iter().map(|binding| Registration::of(aor.as_str(), binding, ahead)).collect();
    Ok(axum::Json(Page { items, next: None }))
}

/// Which registrations are meant.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ContactQuery {
    /// Only that at this contact, as it is shown; else all of the address-of-record.
    contact: Option<String>,
}

/// End registrations
///
/// The endpoint is not told: it registers again when it would have refreshed, if it still may.
#[utoipa::path(delete, path = "/sip/registrations/{aor}", tag = "sip",
    params(("aor" = String, Path, description = "`user@host`, percent-encoded"), ContactQuery),
    responses((status = 204, description = "Ended, for good"),
              (status = 404, description = "Nothing is registered for it, or not at this contact")))]
async fn delete_registrations(
    FromState(state): FromState<State>,
    Id(aor): Id<Aor>,
    Params(query): Params<ContactQuery>,
) -> Result<StatusCode, Problem> {
    state.service().remove_registrations(&aor, query.contact.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        for (shard, slot) in [(0, 0), (63, 7), (5, u32::MAX)] {
            let position = ListPosition { shard, slot };
            assert_eq!(cursor(Some(&next(position))).unwrap(), position);
        }
        for bad in ["", "at:", "at:1", "at:64.0", "at:-1.0", "at:1.4294967296", "1.2", "at:1.2.3", "at:1.x"] {
            assert!(cursor(Some(bad)).is_err(), "{bad}");
        }
    }
}
