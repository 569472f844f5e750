//! A device's items: what it reported, what it should have, and what that means.

use axum::extract::State as FromState;
use callboard_core::device::{Device, DeviceId};
use callboard_core::item::Entry;
use callboard_core::policy::{DesiredItem, Facts, Occasion};
use callboard_core::service::Service;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ItemFault;
use crate::extract::{Id, Params};
use crate::problem::Problem;
use crate::state::State;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list_items))
}

/// Which values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum View {
    /// What the phone said, and took since.
    #[default]
    Reported,
    /// What templates want it to have.
    Desired,
    /// What would be written at its next contact.
    Difference,
}

/// Which items.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ItemQuery {
    /// Which values; `reported` if not given.
    #[serde(default)]
    #[param(inline)]
    view: View,
    /// Only items with this text in their name, in any letter case.
    name: Option<String>,
}

/// One item.
#[derive(Debug, Serialize, ToSchema)]
struct Item {
    /// Its name.
    name: String,
    /// Its index, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    /// Its value; null for a secret.
    value: Option<String>,
    /// The value is a secret and not shown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    secret: bool,
    /// What the phone said is wrong with the item.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    /// The template that the value comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<String>,
}

impl Item {
    fn reported(entry: &Entry<'_>) -> Self {
        let secret = entry.name.is_secret();
        Self {
            name: entry.name.text().into(),
            index: entry.index,
            value: entry.value.text().filter(|_| !secret).map(Into::into),
            secret,
            status: entry.status.map(Into::into),
            template: None,
        }
    }

    fn desired(item: &DesiredItem) -> Self {
        let secret = item.key.is_secret();
        Self {
            name: item.key.name().into(),
            index: item.key.index(),
            value: (!secret).then(|| item.value.expose().into()),
            secret,
            status: None,
            template: Some(item.template.to_string()),
        }
    }
}

/// Items of a device. All of them: a device has a few hundred.
#[derive(Debug, Serialize, ToSchema)]
struct ItemList {
    /// The items.
    items: Vec<Item>,
    /// Template items that cannot be applied to the device; not in the reported view.
    #[serde(skip_serializing_if = "Option::is_none")]
    faults: Option<Vec<ItemFault>>,
}

/// List a device's items
///
/// Values of secret items are never shown.
#[utoipa::path(get, path = "/devices/{id}/items", tag = "devices",
    params(("id" = String, Path, description = "Its id; a MAC address in any spelling"), ItemQuery),
    responses((status = 200, description = "The items", body = ItemList),
              (status = 404, description = "No such device")))]
async fn list_items(
    FromState(state): FromState<State>,
    Id(id): Id<DeviceId>,
    Params(query): Params<ItemQuery>,
) -> Result<axum::Json<ItemList>, Problem> {
    let device = state.device(&id)?;
    let mut list = view(state.service(), &device, query.view);
    if let Some(name) = query.name.map(|name| name.to_lowercase()) {
        let wanted = |own: &str| own.to_lowercase().contains(&name);
        list.items.retain(|item| wanted(&item.name));
        if let Some(faults) = &mut list.faults {
            faults.retain(|fault| wanted(&fault.name));
        }
    }
    Ok(axum::Json(list))
}

fn view(service: &Service, device: &Device, view: View) -> ItemList {
    let (items, faults) = match view {
        View::Reported => {
            let items = device.reported.iter().map(|entry| Item::reported(&entry)).collect();
            return ItemList { items, faults: None };
        }
        View::Desired => {
            let occasion = if device.onboarded { Occasion::Later } else { Occasion::FirstContact };
            let desired = service.templates.policy().desired(Facts::of(device), occasion);
            (desired.items, desired.faults)
        }
        View::Difference => {
            let difference = service.difference(device);
            (difference.writes, difference.faults)
        }
    };
    ItemList {
        items: items.iter().map(Item::desired).collect(),
        faults: Some(faults.iter().map(ItemFault::of).collect()),
    }
}
