//! The WPI dialogue: what to answer to a phone's message (WPI reference, sections 6 to 8).
//!
//! A dialogue is a chain of pure steps. [`Flow::open`] takes an opening message, [`Flow::advance`] any later one,
//! and each gives a [`Step`]: the flow as it is now, the reply, and what has to be made durable before the reply may
//! leave. Nothing here waits, locks, reads a clock or touches the network, so dialogues replay from text files.

mod advance;
mod flow;
mod learned;
mod open;
mod plan;
mod reply;
mod secure;
mod tasks;

use std::net::IpAddr;
use std::time::Duration;

use crate::device::DeviceId;
use crate::event::EventDraft;
use crate::file::Files;
use crate::item::{ItemSet, ItemSetBuilder, ItemWrite};
use crate::job::JobBook;
use crate::policy::Policy;
use crate::reach::polling::Polling;
use crate::secret::{Secret, Vault};
use crate::site::{Origin, SiteId};
use crate::time::Timestamp;

pub(crate) use advance::clean_up_reason;
pub use flow::Flow;
pub use learned::Learned;
pub use reply::{CleanUpReason, Reply};
pub use secure::{admit, pin_fault, split_pin};
pub(crate) use tasks::ended_event;

/// Which listener a message came through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Door {
    /// Default mode: any phone.
    Default,
    /// Secure mode: the client certificate names this device.
    Secure {
        /// The device of the certificate.
        device: DeviceId,
        /// Serial number of the certificate, lower-case hex.
        serial: Box<str>,
    },
}

/// How a message came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The sender's address.
    pub source: IpAddr,
    /// The site whose edge relayed it.
    pub site: Option<SiteId>,
    /// What the phone called the server: its `Host` header.
    pub host: Option<Box<str>>,
    /// The listener.
    pub door: Door,
    /// A fingerprint of the whole body, to recognise retransmissions.
    pub digest: u64,
}

impl Arrival {
    /// Where it came from.
    pub const fn origin(&self) -> Origin {
        Origin { site: self.site, address: self.source }
    }
}

/// Bounds on one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowLimits {
    /// Service messages in one flow.
    pub actions: u32,
    /// Fragments of one phone message.
    pub fragments: u32,
    /// Items in one fragmented phone message.
    pub items: usize,
    /// Items of one device.
    pub device_items: usize,
    /// Bytes of one device's items while they come in.
    pub device_bytes: usize,
    /// After a write of ours, `local-changes` are not answered by another write for this long.
    pub local_changes_guard: Duration,
}

impl FlowLimits {
    /// Pack a device's items, if they are few and small enough. Half of the record is theirs; the other half stays free
    /// for what administrators and the service add to the device.
    pub(super) fn pack(&self, items: ItemSetBuilder) -> Result<ItemSet, String> {
        let set = items.build(self.device_items).map_err(|error| error.to_string())?;
        let most = self.device_bytes / 2;
        if set.as_bytes().len() > most { Err(format!("more than {most} bytes of items")) } else { Ok(set) }
    }
}

impl Default for FlowLimits {
    fn default() -> Self {
        Self {
            actions: 64,
            fragments: 64,
            items: 4_000,
            device_items: 2_000,
            device_bytes: 262_144,
            local_changes_guard: Duration::from_mins(1),
        }
    }
}

/// What secure mode needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecureSettings {
    /// Port written to phones as `dls-secure-port`.
    pub port: u16,
    /// Tries that a user has to type the PIN.
    pub max_pin_retries: u8,
    /// A certificate that ends within this time is renewed when its phone calls; zero is never.
    pub renew_before: Duration,
    /// No certificate lives longer than this: the authority ends. One that ends then is not renewed.
    pub certificates_end: Timestamp,
}

impl Default for SecureSettings {
    fn default() -> Self {
        Self {
            port: 18_444,
            max_pin_retries: 3,
            renew_before: Duration::from_hours(30 * 24),
            certificates_end: Timestamp::from_millis(u64::MAX),
        }
    }
}

/// Everything outside of the flow that a step may look at.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The time.
    pub now: Timestamp,
    /// The templates.
    pub policy: &'a Policy,
    /// The jobs, of which tasks say only the name.
    pub jobs: &'a JobBook,
    /// To open and seal secrets.
    pub vault: &'a Vault,
    /// Bounds.
    pub limits: &'a FlowLimits,
    /// Secure mode.
    pub secure: &'a SecureSettings,
    /// How phones poll.
    pub polling: &'a Polling,
    /// The server's own files.
    pub files: &'a Files,
    /// Scheme, host and port at which all phones find them; else each finds them where it called.
    pub files_address: Option<&'a str>,
}

/// Credentials that have to be made before a flow can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// For which device.
    pub device: DeviceId,
    /// The password that opens the pack (the PIN without its TAN), or none for bootstrapping without PIN.
    pub password: Option<Secret>,
    /// They take the place of others, which stay good until they end.
    pub renews: bool,
}

/// Credentials made for a phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The items that carry them: `dls-client-certificate` and `dls-server-ca`, or `secure-mode-data`.
    pub items: Vec<ItemWrite>,
    /// Serial number of the certificate, hex.
    pub serial: Box<str>,
    /// When it ends.
    pub expires: Timestamp,
}

/// What a step wants to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this reply; the phone will go on.
    Reply(Reply),
    /// Send this reply once what the flow learned is durable; the flow is over.
    Finish(Reply),
    /// Make credentials, then call [`Flow::credentials`].
    Need(Need),
}

/// The outcome of one message.
#[derive(Debug)]
pub struct Step {
    /// The flow after the message.
    pub flow: Flow,
    /// What is to happen.
    pub next: Next,
    /// What happened.
    pub events: Vec<EventDraft>,
    /// What the flow learned about the device; given out when the flow is over.
    pub learned: Option<Learned>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::KEY_LEN;

    #[test]
    fn a_devices_items_leave_half_of_its_record_free() {
        let vault = Vault::new(&[1; KEY_LEN]).unwrap();
        let limits = FlowLimits { device_bytes: 4_096, ..FlowLimits::default() };
        let items = |bytes: usize| {
            let mut items = ItemSetBuilder::default();
            items.push("hostname", None, &"x".repeat(bytes), None, &vault).unwrap();
            limits.pack(items)
        };
        assert_eq!(items(2_000).unwrap().len(), 1);
        assert_eq!(items(2_048).unwrap_err(), "more than 2048 bytes of items");
    }
}
