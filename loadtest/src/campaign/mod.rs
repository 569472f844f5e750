//! The phones of a campaign: they come when they are called or told that work waits, do their task each in its manner,
//! and keep a book on it.

pub(crate) mod book;
pub(crate) mod errand;
pub(crate) mod judge;
pub(crate) mod manner;
pub(crate) mod outage;
pub(crate) mod polls;
pub(crate) mod stage;
pub(crate) mod visit;
pub(crate) mod ways;

use serde_json::{Value, json};

use crate::phone::message::CAMPAIGN_ITEM;
use crate::phone::reply::{Action, Reply};

/// The firmware that a campaign brings: no model has it.
pub(crate) const VERSION: &str = "V9 R1.0.0";
/// The value that a campaign writes.
const VALUE: &str = "campaign";

/// What the job of a campaign does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TaskType {
    SoftwareDeployment,
    Restart,
    WriteItems,
}

impl TaskType {
    /// Name in the API and in the report.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::SoftwareDeployment => "software-deployment",
            Self::Restart => "restart",
            Self::WriteItems => "write-items",
        }
    }

    /// What phones are told.
    pub(crate) fn action(self) -> Action {
        match self {
            Self::SoftwareDeployment => Action::SoftwareDeployment,
            Self::Restart => Action::Restart,
            Self::WriteItems => Action::WriteItems,
        }
    }

    /// Whether the phone boots for it: it does not answer, and comes back with `start-up`.
    pub(crate) fn boots(self) -> bool {
        self != Self::WriteItems
    }

    /// The job for all devices.
    pub(crate) fn job(self, wait_seconds: u64, running_seconds: u64) -> Value {
        let mut job = json!({
            "type": self.as_str(),
            "name": "campaign",
            "filter": {},
            "wait_seconds": wait_seconds,
            "running_seconds": running_seconds,
        });
        match self {
            Self::SoftwareDeployment => {
                job["software"] = json!({
                    "url": "https://firmware.example.com/campaign.img",
                    "software_type": "Siemens SIP",
                    "version": VERSION,
                });
            }
            Self::WriteItems => job["items"] = json!([{ "name": CAMPAIGN_ITEM, "value": VALUE }]),
            Self::Restart => {}
        }
        job
    }

    /// Whether a message tells just this task.
    pub(crate) fn is_told_by(self, reply: &Reply) -> bool {
        let has = |name: &str, value: &str| {
            reply.items.iter().any(|item| item.name == name && item.index.is_none() && item.value == value)
        };
        reply.action == self.action()
            && match self {
                Self::SoftwareDeployment => {
                    has("file-sw-version", VERSION)
                        && has("file-https-base-url", "https://firmware.example.com/campaign.img")
                }
                Self::Restart => reply.items.is_empty(),
                Self::WriteItems => reply.items.len() == 1 && has(CAMPAIGN_ITEM, VALUE),
            }
    }
}

/// Whether a message tells only where, and how often, to poll: the service finds out by itself who cannot be called.
pub(crate) fn tells_to_poll(reply: &Reply) -> bool {
    reply.action == Action::WriteItems
        && !reply.items.is_empty()
        && reply.items.iter().all(|item| match item.name.as_str() {
            "dcmp-url" => item.value.starts_with("http://") && item.value.ends_with("/dcmp/"),
            "dcmp-poll-interval" => item.value.parse::<u16>().is_ok(),
            _ => false,
        })
}
