//! What is known about one device: the aggregate behind `devices/{id}`.

mod id;
mod record;
mod secure_task;
mod security;
mod task;
mod update;

use std::net::IpAddr;
use std::sync::Arc;

use callboard_codecs::wpi::Dialect;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

pub use id::{BadDeviceId, DeviceId, MAX_ID_BYTES};
pub use record::{BadRecord, TASKS_VERSION, TasksRecord, decode, decode_tasks, encode, encode_tasks};
pub use security::{Offered, SecureMode, Security};
pub use task::{
    BOOT_TIME, MAX_ENDED_TASKS, Task, TaskId, TaskKind, TaskOutcome, TaskState, TaskType, TaskWrite, Work,
    forget_oldest, next_task_id,
};
pub use update::{DeviceUpdate, SecurityChange, TaskChange};

use crate::item::{ItemKey, ItemSet};
use crate::policy::TemplateId;
use crate::site::SiteId;
use crate::time::Timestamp;

/// Who the phone says it is (WPI reference, section 5.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Model, for example `OpenStage 60`.
    pub device_type: Arc<str>,
    /// Kind of firmware, for example `Siemens SIP`.
    pub software_type: Arc<str>,
    /// Firmware version, for example `V3 R5.12.0`.
    pub software_version: Arc<str>,
    /// Hardware part number.
    pub part_number: Arc<str>,
    /// Number of the user now on the phone; empty if none.
    pub e164: Box<str>,
    /// Number of the device itself; empty if none.
    pub basic_e164: Box<str>,
    /// Where the phone takes contact-me requests; empty if it named no address.
    pub contact_me_uri: Box<str>,
}

impl Identity {
    /// How values must be written for this phone.
    pub fn dialect(&self) -> Dialect {
        Dialect::of(&self.software_version, &self.device_type)
    }
}

/// How far the service knows a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DeviceState {
    /// It has called, but its items have not been read completely yet.
    New,
    /// All its items are known.
    Registered,
}

impl DeviceState {
    /// All states.
    pub const ALL: [Self; 2] = [Self::New, Self::Registered];

    /// The word used in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Registered => "registered",
        }
    }
}

/// Contacts with the device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contacts {
    /// First opening message.
    pub first: Timestamp,
    /// Latest opening message.
    pub last: Timestamp,
    /// Latest `start-up`.
    pub started: Option<Timestamp>,
    /// Latest complete read of all items.
    pub read: Option<Timestamp>,
    /// Latest accepted write that policy caused.
    pub written: Option<Timestamp>,
    /// Address of the latest opening message's sender.
    pub source: Option<IpAddr>,
}

/// The way that the latest opening message took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The site whose edge relayed it; `None` if the phone came by itself.
    pub site: Option<SiteId>,
}

/// An item that the phone would not take: not written again until the value or the firmware changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which item.
    pub key: ItemKey,
    /// Keyed digest of the refused value.
    pub digest: u64,
    /// The phone's word for it (WPI reference, section 4.3).
    pub status: Box<str>,
    /// When.
    pub at: Timestamp,
}

/// Why a template's item does not reach this device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateFault {
    /// The template.
    pub template: TemplateId,
    /// The item in it.
    pub key: ItemKey,
    /// The reason, for people.
    pub reason: Box<str>,
}

/// What is kept of a write-only item: that, not what, was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Which item.
    pub key: ItemKey,
    /// Keyed digest of the value.
    pub digest: u64,
}

/// One device. Immutable: a change makes a new one with the next revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Counts changes, from 1.
    pub revision: u64,
    /// Who it says it is.
    pub identity: Identity,
    /// When it called.
    pub contacts: Contacts,
    /// What it reported, and what it accepted since.
    pub reported: ItemSet,
    /// Items that it refused.
    pub refused: Vec<Refusal>,
    /// Write-only items that it accepted.
    pub written: Vec<Written>,
    /// Template items that cannot be applied to it.
    pub faults: Vec<TemplateFault>,
    /// Templates assigned to it by hand.
    pub templates: SmallVec<[TemplateId; 2]>,
    /// Onboarding templates have had their one chance.
    pub onboarded: bool,
    /// How its connection is secured.
    pub security: Security,
    /// Its work, in the order in which it was asked for; the newest of what is over is kept. Has a record of its own.
    #[serde(skip)]
    pub tasks: Vec<Task>,
    /// It is to poll because contact-me did not bring it. Counts only in the mode
    /// [`Automatic`](crate::reach::polling::PollingMode::Automatic).
    #[serde(skip)]
    pub polls: bool,
    /// The way it came.
    #[serde(skip)]
    pub route: Route,
    /// A keyed fingerprint of the nonce with which it opened its last flow: a phone that has no answer repeats it.
    #[serde(skip)]
    pub opened_with: u64,
}

impl Device {
    /// A device never heard of before.
    pub fn new(id: DeviceId) -> Self {
        Self {
            id,
            revision: 0,
            identity: Identity::default(),
            contacts: Contacts::default(),
            reported: ItemSet::default(),
            refused: Vec::new(),
            written: Vec::new(),
            faults: Vec::new(),
            templates: SmallVec::new(),
            onboarded: false,
            security: Security::default(),
            tasks: Vec::new(),
            polls: false,
            route: Route::default(),
            opened_with: 0,
        }
    }

    /// Whether work waits for its next contact.
    pub fn has_pending(&self) -> bool {
        self.tasks.iter().any(|task| task.state == TaskState::Pending)
    }

    /// How far it is known. Only a complete, accepted read-all makes a device known
    /// (WPI reference, section 6.4).
    pub fn state(&self) -> DeviceState {
        if self.contacts.read.is_some() { DeviceState::Registered } else { DeviceState::New }
    }

    /// Tasks that are not over.
    pub fn open_tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|task| !task.state.is_ended())
    }

    /// Whether this is `other` but for tasks and revision.
    pub fn is_same_but_tasks(&self, other: &Self) -> bool {
        let Self {
            id,
            revision: _,
            identity,
            contacts,
            reported,
            refused,
            written,
            faults,
            templates,
            onboarded,
            security,
            tasks: _,
            polls,
            route,
            opened_with,
        } = self;
        reported.is_same(&other.reported)
            && *contacts == other.contacts
            && *identity == other.identity
            && *refused == other.refused
            && *written == other.written
            && *faults == other.faults
            && *templates == other.templates
            && *onboarded == other.onboarded
            && *polls == other.polls
            && *route == other.route
            && *opened_with == other.opened_with
            && *security == other.security
            && *id == other.id
    }
}
