//! Which devices are wanted: the same fields in query strings and in bodies.

use callboard_core::device::DeviceId;
use callboard_core::fleet::Filter;
use serde::Deserialize;
use utoipa::ToSchema;

use super::model::{DeviceState, SecureMode, template_id};
use crate::problem::Problem;

/// Longest text of a filter, in characters.
const MAX_TEXT: usize = 256;

macro_rules! filtering {
    ($(#[$attr:meta])* $vis:vis struct $name:ident { $($(#[$field_attr:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$attr])*
        #[serde(deny_unknown_fields)]
        $vis struct $name {
            $($(#[$field_attr])* pub(super) $field: $type,)*
            /// In this state.
            state: Option<DeviceState>,
            /// In this mode.
            secure_mode: Option<SecureMode>,
            /// Of this device type, in any letter case.
            device_type: Option<String>,
            /// Of this software type, in any letter case.
            software_type: Option<String>,
            /// With this software version.
            software_version: Option<String>,
            /// With this template assigned by hand.
            template: Option<String>,
            /// With template items that cannot be applied (`true`) or without (`false`).
            faults: Option<bool>,
            /// With this text in id, number, type, version, part number or address, in any letter case.
            q: Option<String>,
        }

        impl $name {
            /// The filter, or the first field that is wrong and why.
            fn read(self) -> Result<Filter, (&'static str, String)> {
                Ok(Filter {
                    state: self.state.map(Into::into),
                    secure_mode: self.secure_mode.map(Into::into),
                    device_type: bounded("device_type", self.device_type)?,
                    software_type: bounded("software_type", self.software_type)?,
                    software_version: bounded("software_version", self.software_version)?,
                    template: self.template.as_deref().map(template_id).transpose()
                        .map_err(|reason| ("template", reason))?,
                    faults: self.faults,
                    text: bounded("q", self.q)?,
                })
            }
        }
    };
}

filtering! {
    /// Which part of the list.
    #[derive(Debug, Deserialize, utoipa::IntoParams)]
    #[into_params(parameter_in = Query)]
    pub(super) struct ListQuery {
        /// Entries on the page; 100 if not given.
        #[param(minimum = 1)]
        limit: Option<usize>,
        /// `next` of the page before.
        cursor: Option<String>,
    }
}

filtering! {
    /// Which devices; `{}` means all.
    #[derive(Debug, Default, Deserialize, ToSchema)]
    #[schema(as = DeviceFilter)]
    pub(crate) struct FilterBody {}
}

impl ListQuery {
    pub(super) fn filter(self) -> Result<Filter, Problem> {
        self.read().map_err(|(field, reason)| Problem::parameter(field, reason))
    }
}

impl FilterBody {
    /// The filter that stands in a body as `filter`.
    pub(crate) fn filter(self) -> Result<Filter, Problem> {
        self.read().map_err(|(field, reason)| Problem::field(format!("filter.{field}"), reason))
    }
}

fn bounded(field: &'static str, text: Option<String>) -> Result<Option<String>, (&'static str, String)> {
    match text {
        Some(text) if text.chars().count() > MAX_TEXT => {
            Err((field, format!("at most {MAX_TEXT} characters")))
        }
        text => Ok(text.filter(|text| !text.is_empty())),
    }
}

/// Read the cursor of a list of devices.
pub(crate) fn cursor(text: Option<&str>) -> Result<Option<DeviceId>, Problem> {
    text.map(str::parse).transpose().map_err(|_| Problem::parameter("cursor", "`next` of the page before"))
}
