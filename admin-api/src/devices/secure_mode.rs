//! Choosing a device's secure mode.

use axum::extract::State as FromState;
use axum::response::IntoResponse;
use callboard_core::device::DeviceId;
use callboard_core::service::SecureModeRequest;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::model::Device;
use crate::extract::{Id, IfMatch, Json, SecretText, etag};
use crate::problem::{Kind, Problem};
use crate::state::State;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(set_secure_mode))
}

/// A secure mode to choose.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    /// Default mode.
    Off,
    /// Secure mode, bootstrapped without PIN.
    NoPin,
    /// Secure mode, bootstrapped with the PIN of the configuration.
    DefaultPin,
    /// Secure mode, bootstrapped with the PIN given here.
    IndividualPin,
}

/// The secure mode that a device shall have.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SecureModeChoice {
    /// The mode.
    mode: Mode,
    /// The PIN, with `individual-pin` only: 12 to 32 visible ASCII characters, 16 or
    /// more if all of them are digits. Never shown again.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    pin: Option<SecretText>,
}

impl SecureModeChoice {
    fn request(self) -> Result<SecureModeRequest, Problem> {
        match (self.mode, self.pin) {
            (Mode::Off, None) => Ok(SecureModeRequest::Off),
            (Mode::NoPin, None) => Ok(SecureModeRequest::NoPin),
            (Mode::DefaultPin, None) => Ok(SecureModeRequest::DefaultPin),
            (Mode::IndividualPin, Some(pin)) => Ok(SecureModeRequest::IndividualPin(pin.0)),
            (Mode::IndividualPin, None) => Err(Problem::field("pin", "`individual-pin` needs a PIN")),
            (_, Some(_)) => Err(Problem::field("pin", "a PIN goes with `individual-pin` only")),
        }
    }
}

/// Choose a device's secure mode
///
/// Takes effect at the device's next contact.
#[utoipa::path(put, path = "/devices/{id}/secure-mode", tag = "devices", request_body = SecureModeChoice,
    params(("id" = String, Path, description = "Its id; a MAC address in any spelling"),
           ("If-Match" = Option<String>, Header, description = "The revision that is meant")),
    responses((status = 200, description = "The device as it is now", body = Device),
              (status = 404, description = "No such device"),
              (status = 409, description = "No default PIN is configured"),
              (status = 412, description = "The device has another revision"),
              (status = 422, description = "The PIN is too weak or of a wrong form")))]
async fn set_secure_mode(
    FromState(state): FromState<State>,
    Id(id): Id<DeviceId>,
    revision: IfMatch,
    Json(body): Json<SecureModeChoice>,
) -> Result<impl IntoResponse, Problem> {
    let expected = revision.expected(state.device(&id)?.revision)?;
    let wish = body.request()?;
    let service = state.service();
    if wish == SecureModeRequest::DefaultPin && service.settings().default_pin.expose().is_empty() {
        return Err(Problem::new(Kind::Conflict, "no default PIN is configured"));
    }
    let device = service.set_secure_mode(&id, &wish, expected).await?;
    Ok((etag(device.revision), axum::Json(Device::of(&device, service))))
}
