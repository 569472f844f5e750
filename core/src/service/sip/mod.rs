//! SIP: what comes in is answered, and what time brings is done.
//!
//! [`Service::sip_received`] takes one message and writes the answer into the caller's buffer. Nothing here waits: an answer that says
//! that something is durable comes with the position of the journal after which it may leave.

pub mod admin;
mod answer;
mod authenticate;
mod authorize;
mod domain;
mod load;
mod metrics;
mod notify;
mod options;
pub mod profiles;
mod receive;
mod register;
mod request;
mod settings;
mod subscribe;
mod subscribed;
mod sync;
mod target;
mod time;
mod unregistered;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use callboard_codecs::sip::{Index, Limits};
use foldhash::fast::FixedState;
use parking_lot::Mutex;

use crate::device::DeviceId;
use crate::dialogue::sip::client::ClientTransactions;
use crate::dialogue::sip::server::ServerTransactions;
use crate::event::{EventDraft, EventKind};
use crate::secret::Vault;
use crate::service::Service;
use crate::sip::binding::{Flow, Transport};
use crate::sip::credentials::Credentials;
use crate::sip::digest::Authenticator;
use crate::sip::location::{Location, Place};
use crate::sip::profile::Profiles;
use crate::sip::subscription::Subscriptions;
use crate::store::journal::{Journal, Position};
use crate::store::{Store, Ticket};
use crate::time::{Random, Timestamp};

pub use metrics::describe_metrics;
pub use settings::{PlugAndPlay, ProfileRequests, SipSettings};
pub use sync::{NoSync, SyncCall};
pub use unregistered::SyncRefused;

use answer::Dates;
use metrics::SipMetrics;
use notify::Notices;
use request::Purpose;
use time::Budget;

/// A message that came in.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Its bytes: those of a datagram, or what was cut out of a stream.
    pub bytes: &'a [u8],
    /// The way that it came.
    pub flow: Flow,
    /// The connection's client certificate.
    pub proof: Option<ClientProof<'a>>,
}

/// What a client certificate of the internal authority says, which TLS has verified.
#[derive(Clone, Copy, Debug)]
pub struct ClientProof<'a> {
    /// The device it was issued for.
    pub device: &'a DeviceId,
    /// Its serial number, lower-case hex.
    pub serial: &'a str,
}

/// What is to be done with what was written into the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Nothing was written.
    Nothing,
    /// It goes back on the flow.
    Answer,
    /// It goes back on the flow when everything up to this position is durable; if that fails it does not. What was registered
    /// stands at this place.
    AnswerAfter(Position, Option<Place>),
}

/// Why a request of this server did not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendFault {
    /// The door for this transport is closed.
    #[error("there is no socket for it")]
    NoSocket,
    /// The connection is gone, or takes nothing.
    #[error("the endpoint's connection is gone")]
    FlowGone,
    /// The system refused.
    #[error("the system refused to send it")]
    Failed,
}

/// Sends requests of this server. Does not wait: what is not taken is lost, as a datagram may be.
pub trait Outlet: Send + Sync + 'static {
    /// Send on a flow.
    ///
    /// # Errors
    /// Why not.
    fn send(&self, flow: &Flow, bytes: &Arc<[u8]>) -> Result<(), SendFault>;

    /// The address of this server from which what is sent on a flow leaves, if that can be told.
    fn local(&self, _flow: &Flow) -> Option<IpAddr> {
        None
    }

    /// The port at which this server takes messages of a transport, if it does and the port is known.
    fn port(&self, _transport: Transport) -> Option<u16> {
        None
    }
}

/// Memory that is used for one message after the other.
#[derive(Debug, Default)]
pub struct Scratch {
    index: Index,
    text: Text,
    dates: Dates,
    reply_port: Option<u16>,
    subscribed: bool,
}

impl Scratch {
    /// The port that the answer to the latest datagram goes to, if it is not the one that it came from.
    pub const fn reply_port(&self) -> Option<u16> {
        self.reply_port
    }

    /// Whether the latest message was a SUBSCRIBE that was accepted.
    pub const fn has_subscribed(&self) -> bool {
        self.subscribed
    }
}

/// Texts of the message at hand, in the form in which they are kept.
#[derive(Debug, Default)]
struct Text {
    aor: Vec<u8>,
    params: Vec<u8>,
    path: Vec<u8>,
}

/// What SIP needs, and what it remembers.
pub struct Sip {
    /// Who is registered where.
    pub location: Location,
    /// Realms and passwords.
    pub credentials: Credentials,
    /// What phones are told that ask for their profile.
    pub profiles: Profiles,
    subscriptions: Mutex<Subscriptions>,
    notices: Mutex<Notices>,
    authenticator: Authenticator,
    clients: Mutex<ClientTransactions<Purpose>>,
    servers: Mutex<ServerTransactions>,
    pings: Mutex<Budget>,
    outlet: OnceLock<Arc<dyn Outlet>>,
    random: Arc<dyn Random>,
    keys: Keys,
    haste: load::Haste,
    metrics: SipMetrics,
    settings: SipSettings,
}

/// Secret seeds. They are of the key file, so that a request which comes again after a restart is known again.
struct Keys {
    transaction: FixedState,
    tag: FixedState,
    dice: FixedState,
}

impl Keys {
    fn new(vault: &Vault) -> Self {
        let seed = |name| FixedState::with_seed(vault.digest(name));
        Self { transaction: seed("sip transaction"), tag: seed("sip tag"), dice: seed("sip dice") }
    }
}

impl fmt::Debug for Sip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sip").field("location", &self.location).finish_non_exhaustive()
    }
}

impl Sip {
    /// Nobody is registered yet: call [`Location::load`] and [`Credentials::load`] before opening doors.
    pub fn new(
        journal: Arc<dyn Journal>,
        store: Arc<dyn Store>,
        vault: Arc<Vault>,
        random: Arc<dyn Random>,
        settings: SipSettings,
        now: Timestamp,
    ) -> Self {
        #[allow(clippy::cast_possible_truncation)] // any bits of it do
        let seed = random.next_u128() as u64;
        Self {
            location: Location::new(journal, settings.location, seed, now),
            authenticator: Authenticator::new(&settings.digest, &*random, now),
            random,
            clients: Mutex::new(ClientTransactions::new(settings.client_transactions, now)),
            pings: Mutex::default(),
            outlet: OnceLock::new(),
            servers: Mutex::new(ServerTransactions::new(settings.server_transactions)),
            keys: Keys::new(&vault),
            haste: load::Haste::default(),
            profiles: Profiles::new(store.clone()),
            subscriptions: Mutex::new(Subscriptions::new(settings.plug_and_play.subscriptions.clone(), now)),
            notices: Mutex::new(Notices::new(settings.plug_and_play.subscriptions.ipv6_prefix)),
            credentials: Credentials::new(store, vault, settings.credentials),
            metrics: SipMetrics::new(),
            settings,
        }
    }

    /// Bounds on messages.
    pub const fn limits(&self) -> &Limits {
        &self.settings.limits
    }

    /// The settings.
    pub const fn settings(&self) -> &SipSettings {
        &self.settings
    }

    /// Resolves when everything up to `position` is durable, or will not be.
    pub fn committed(&self, position: Position) -> Ticket {
        self.location.journal().committed(position)
    }
}

impl Service {
    /// A connection is gone that was registered on.
    pub fn sip_connection_closed(&self, place: Place, connection: u64) {
        for (aor, device) in self.sip.location.connection_closed(place, connection) {
            self.endpoint_lost(&aor, device.as_ref(), "its connection is gone");
        }
    }

    fn endpoint_lost(&self, aor: &str, device: Option<&DeviceId>, why: &str) {
        self.sip.metrics.lost();
        self.record(endpoint_event(device, EventKind::EndpointLost, format!("{aor}: {why}")));
    }

    fn endpoint_back(&self, aor: &str, device: Option<&DeviceId>) {
        self.sip.metrics.back();
        self.record(endpoint_event(device, EventKind::EndpointBack, format!("{aor} is back")));
    }
}

fn endpoint_event(device: Option<&DeviceId>, kind: EventKind, text: String) -> EventDraft {
    match device {
        Some(device) => EventDraft::about(device, kind, text),
        None => EventDraft::node(kind, text),
    }
}
