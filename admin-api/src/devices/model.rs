//! Devices as the API shows them.

use callboard_core::device;
use callboard_core::policy::TemplateId;
use callboard_core::service::Service;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::tasks::Task;
use crate::sip::RegistrationSummary;
use crate::time::{text, text_if_set};

/// Registrations that are shown with a device.
const REGISTRATIONS: usize = 32;

/// How far the service knows a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DeviceState {
    /// It has called, but its items have not been read completely yet.
    New,
    /// All its items are known.
    Registered,
}

impl From<device::DeviceState> for DeviceState {
    fn from(state: device::DeviceState) -> Self {
        match state {
            device::DeviceState::New => Self::New,
            device::DeviceState::Registered => Self::Registered,
        }
    }
}

impl From<DeviceState> for device::DeviceState {
    fn from(state: DeviceState) -> Self {
        match state {
            DeviceState::New => Self::New,
            DeviceState::Registered => Self::Registered,
        }
    }
}

/// Where a device stands between default mode and secure mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SecureMode {
    /// Default mode.
    Off,
    /// To be bootstrapped without PIN at the next contact.
    EnablingNoPin,
    /// To be bootstrapped with the default PIN.
    EnablingDefaultPin,
    /// To be bootstrapped with a PIN of its own.
    EnablingIndividualPin,
    /// Mutual TLS only.
    Secure,
    /// To be told to leave secure mode.
    Disabling,
}

impl From<device::SecureMode> for SecureMode {
    fn from(mode: device::SecureMode) -> Self {
        match mode {
            device::SecureMode::Off => Self::Off,
            device::SecureMode::EnablingNoPin => Self::EnablingNoPin,
            device::SecureMode::EnablingDefaultPin => Self::EnablingDefaultPin,
            device::SecureMode::EnablingIndividualPin => Self::EnablingIndividualPin,
            device::SecureMode::Secure => Self::Secure,
            device::SecureMode::Disabling => Self::Disabling,
        }
    }
}

impl From<SecureMode> for device::SecureMode {
    fn from(mode: SecureMode) -> Self {
        match mode {
            SecureMode::Off => Self::Off,
            SecureMode::EnablingNoPin => Self::EnablingNoPin,
            SecureMode::EnablingDefaultPin => Self::EnablingDefaultPin,
            SecureMode::EnablingIndividualPin => Self::EnablingIndividualPin,
            SecureMode::Secure => Self::Secure,
            SecureMode::Disabling => Self::Disabling,
        }
    }
}

/// How a device's connection is secured.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Security {
    /// The mode.
    mode: SecureMode,
    /// When the mode was entered; null if it never left default mode.
    #[schema(format = DateTime)]
    since: Option<String>,
    /// Serial number (hexadecimal) of the client certificate last handed out.
    certificate_serial: Option<String>,
    /// When that certificate ends.
    #[schema(format = DateTime)]
    certificate_expires: Option<String>,
    /// The credentials were sent and accepted; the phone is expected at the secure door.
    sent: bool,
    /// Why the last attempt failed.
    fault: Option<String>,
}

impl Security {
    fn of(security: &device::Security) -> Self {
        Self {
            mode: security.mode.into(),
            since: text_if_set(security.since),
            certificate_serial: security.certificate_serial.as_deref().map(Into::into),
            certificate_expires: security.certificate_expires.map(text),
            sent: security.sent,
            fault: security.fault.as_deref().map(Into::into),
        }
    }
}

/// A device in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeviceSummary {
    /// Its id: a MAC address as `00:1a:e8:0a:0b:0c`, or another text that the device chose.
    id: String,
    /// Counts changes, from 1; also in `ETag`.
    revision: u64,
    /// How far it is known.
    state: DeviceState,
    /// Model.
    device_type: String,
    /// Kind of firmware.
    software_type: String,
    /// Firmware version.
    software_version: String,
    /// Hardware part number.
    part_number: String,
    /// Number of the user now on the phone; empty if none.
    e164: String,
    /// Number of the device itself; empty if none.
    basic_e164: String,
    /// Where the phone takes contact-me requests; empty if it named no address.
    contact_me_uri: String,
    /// Address of the latest opening message's sender.
    source: Option<String>,
    /// Id of the site whose edge relayed that message; null if the phone came by itself.
    site: Option<String>,
    /// First opening message.
    #[schema(format = DateTime)]
    first_contact: Option<String>,
    /// Latest opening message.
    #[schema(format = DateTime)]
    last_contact: Option<String>,
    /// Latest start-up.
    #[schema(format = DateTime)]
    last_start_up: Option<String>,
    /// Latest complete read of all items.
    #[schema(format = DateTime)]
    last_read: Option<String>,
    /// Latest accepted write that templates caused.
    #[schema(format = DateTime)]
    last_written: Option<String>,
    /// Items that it reported.
    item_count: usize,
    /// Templates assigned to it by hand, by id.
    templates: Vec<String>,
    /// Template items that cannot be applied to it.
    template_fault_count: usize,
    /// Items that it refused.
    refused_count: usize,
    /// Tasks that wait for it.
    task_count: usize,
    /// It is told to ask for work in intervals (DCMP), after each of its starts.
    polls: bool,
    /// How its connection is secured.
    secure_mode: Security,
}

impl DeviceSummary {
    pub(super) fn of(device: &device::Device, service: &Service) -> Self {
        let (identity, contacts) = (&device.identity, &device.contacts);
        Self {
            id: device.id.to_string(),
            revision: device.revision,
            state: device.state().into(),
            device_type: identity.device_type.as_ref().into(),
            software_type: identity.software_type.as_ref().into(),
            software_version: identity.software_version.as_ref().into(),
            part_number: identity.part_number.as_ref().into(),
            e164: identity.e164.as_ref().into(),
            basic_e164: identity.basic_e164.as_ref().into(),
            contact_me_uri: identity.contact_me_uri.as_ref().into(),
            source: contacts.source.map(|source| source.to_string()),
            site: device.route.site.map(|site| site.to_string()),
            first_contact: text_if_set(contacts.first),
            last_contact: text_if_set(contacts.last),
            last_start_up: contacts.started.map(text),
            last_read: contacts.read.map(text),
            last_written: contacts.written.map(text),
            item_count: device.reported.len(),
            templates: service.assigned(device).iter().map(ToString::to_string).collect(),
            template_fault_count: device.faults.len(),
            refused_count: device.refused.len(),
            task_count: device.open_tasks().count(),
            polls: service.settings().polling.applies_to(device),
            secure_mode: Security::of(&device.security),
        }
    }
}

/// A template item that cannot be applied to a device.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ItemFault {
    /// The template's id.
    pub(crate) template: String,
    /// The item's name.
    pub(crate) name: String,
    /// The item's index, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<u32>,
    /// Why not.
    pub(crate) reason: String,
}

impl ItemFault {
    pub(crate) fn of(fault: &device::TemplateFault) -> Self {
        Self {
            template: fault.template.to_string(),
            name: fault.key.name().into(),
            index: fault.key.index(),
            reason: fault.reason.as_ref().into(),
        }
    }
}

/// An item that the phone would not take. It is not written again until its value or the firmware changes.
#[derive(Debug, Serialize, ToSchema)]
struct Refusal {
    /// The item's name.
    name: String,
    /// The item's index, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    /// The phone's word for it.
    status: String,
    /// When.
    #[schema(format = DateTime)]
    at: String,
}

/// A device.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Device {
    #[serde(flatten)]
    summary: DeviceSummary,
    /// Template items that cannot be applied to it, as of its latest contact.
    template_faults: Vec<ItemFault>,
    /// Items that it refused.
    refused: Vec<Refusal>,
    /// Work that waits for its next contact.
    tasks: Vec<Task>,
    /// Where it is registered by SIP, at most 32 entries; `GET /devices/{id}/registrations` has all.
    registrations: Vec<RegistrationSummary>,
}

impl Device {
    pub(super) fn of(device: &device::Device, service: &Service) -> Self {
        let refused = |refusal: &device::Refusal| Refusal {
            name: refusal.key.name().into(),
            index: refusal.key.index(),
            status: refusal.status.as_ref().into(),
            at: text(refusal.at),
        };
        Self {
            summary: DeviceSummary::of(device, service),
            template_faults: device.faults.iter().map(ItemFault::of).collect(),
            refused: device.refused.iter().map(refused).collect(),
            tasks: device.tasks.iter().map(|task| Task::of(task, service)).collect(),
            registrations: RegistrationSummary::of_device(&device.id, service, REGISTRATIONS),
        }
    }
}

/// Read a template's id in a body or a query.
pub(crate) fn template_id(text: &str) -> Result<TemplateId, String> {
    text.parse().map_err(|error: callboard_core::policy::BadTemplate| error.to_string())
}
