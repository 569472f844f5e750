//! Which devices are wanted: the same fields in query strings and in bodies.

use callboard_core::device::DeviceId;
use callboard_core::fleet::Filter;
use callboard_core::job::{BadJobId, JobId};
use callboard_core::policy::TemplateId;
use callboard_core::service::Service;
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
            /// With items that the phone refused (`true`) or without (`false`).
            refused: Option<bool>,
            /// With a task of this job.
            job: Option<String>,
            /// With this text in id, number, type, version, part number or address, in any letter case. A MAC address, or
            /// six digits of one or more, in any spelling.
            q: Option<String>,
        }

        impl $name {
            /// The filter, or the first field that is wrong and why.
            fn read(self, service: &Service) -> Result<Filter, (&'static str, String)> {
                Ok(Filter {
                    state: self.state.map(Into::into),
                    secure_mode: self.secure_mode.map(Into::into),
                    device_type: bounded("device_type", self.device_type)?,
                    software_type: bounded("software_type", self.software_type)?,
                    software_version: bounded("software_version", self.software_version)?,
                    template: self.template.as_deref().map(|text| known_template(text, service)).transpose()
                        .map_err(|reason| ("template", reason))?,
                    faults: self.faults,
                    refused: self.refused,
                    job: self.job.as_deref().map(|text| known_job(text, service)).transpose()
                        .map_err(|reason| ("job", reason))?,
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
    pub(super) fn filter(self, service: &Service) -> Result<Filter, Problem> {
        self.read(service).map_err(|(field, reason)| Problem::parameter(field, reason))
    }
}

impl FilterBody {
    /// The filter that stands in a body as `filter`.
    pub(crate) fn filter(self, service: &Service) -> Result<Filter, Problem> {
        self.read(service).map_err(|(field, reason)| Problem::field(format!("filter.{field}"), reason))
    }
}

/// A deleted template's id may stand at devices still: it is not to be found there.
fn known_template(text: &str, service: &Service) -> Result<TemplateId, String> {
    let id = template_id(text)?;
    service.templates.get(id).map(|template| template.id).ok_or_else(|| format!("no template {id}"))
}

fn known_job(text: &str, service: &Service) -> Result<JobId, String> {
    let id: JobId = text.parse().map_err(|error: BadJobId| error.to_string())?;
    service.jobs.get(id).map(|job| job.id).ok_or_else(|| format!("no job {id}"))
}

fn bounded(field: &'static str, text: Option<String>) -> Result<Option<String>, (&'static str, String)> {
    match text {
        Some(text) if text.chars().count() > MAX_TEXT => {
            Err((field, format!("at most {MAX_TEXT} characters")))
        }
        text => Ok(text.filter(|text| !text.is_empty())),
    }
}

/// What a cursor begins with. Nearly every text is a device id: without a mark, no wrong cursor would be seen as one.
const CURSOR: &str = "after:";

/// The cursor that goes on after a device.
pub(crate) fn next(id: &DeviceId) -> String {
    format!("{CURSOR}{id}")
}

/// Read the cursor of a list of devices.
pub(crate) fn cursor(text: Option<&str>) -> Result<Option<DeviceId>, Problem> {
    let read = |text: &str| text.strip_prefix(CURSOR).and_then(|id| id.parse().ok());
    let wrong = || Problem::parameter("cursor", "`next` of the page before");
    text.map(|text| read(text).ok_or_else(wrong)).transpose()
}
