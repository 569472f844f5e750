//! A binding: where an address-of-record can be reached (RFC 3261, section 10).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::device::DeviceId;
use crate::time::Timestamp;

/// How SIP messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A TCP connection.
    Tcp,
    /// A TLS connection.
    Tls,
}

impl Transport {
    /// All transports.
    pub const ALL: [Self; 3] = [Self::Udp, Self::Tcp, Self::Tls];

    /// The word used in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// Whether the transport itself repeats what was lost (RFC 3261, section 17).
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }
}

/// The way that a message came, on which its sender is reached again (RFC 5626, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// The transport.
    pub transport: Transport,
    /// The sender's address as this server sees it.
    pub remote: SocketAddr,
    /// The address of this server that it was sent to, if the system told: what is sent back leaves from there.
    pub local: Option<IpAddr>,
    /// Number of the connection, unique in this process; 0 for datagrams, and for a connection of an earlier process.
    pub connection: u64,
}

impl Flow {
    /// Datagrams from and to `remote`.
    pub const fn udp(remote: SocketAddr) -> Self {
        Self { transport: Transport::Udp, remote, local: None, connection: 0 }
    }

    /// Whether nothing can be sent on it any more, as far as that can be told without asking: a connection of an earlier
    /// process. Datagrams find their way as long as a NAT remembers it.
    pub const fn is_gone(&self) -> bool {
        self.transport.is_reliable() && self.connection == 0
    }
}

/// What is known of the endpoint behind a binding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Liveness {
    /// It registered, and nobody has asked since.
    #[default]
    Registered,
    /// It answered.
    Reachable,
    /// It did not answer, or its connection is gone.
    Lost,
}

impl Liveness {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Registered, Self::Reachable, Self::Lost];

    /// The word used in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Reachable => "reachable",
            Self::Lost => "lost",
        }
    }
}

/// Whether a URI's scheme is SIP's, secure or not.
pub fn is_sip(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips")
}

/// Where an address-of-record can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The contact's URI as the endpoint wrote it.
    pub contact: Box<str>,
    /// The contact's other parameters as the endpoint wrote them, `q` and `expires` left out: nothing, or text that begins
    /// with a semicolon.
    pub params: Box<str>,
    /// Where in `params` the value of `+sip.instance` stands, without quotes; the same twice if there is none.
    pub(super) instance: (u16, u16),
    /// `reg-id` (RFC 5626, section 4.2); 0 if there is none.
    pub reg_id: u32,
    /// `q` in thousandths, if the endpoint gave one.
    pub q: Option<u16>,
    /// `Call-ID` of the request that made or refreshed it.
    pub call_id: Box<str>,
    /// `CSeq` of that request.
    pub cseq: u32,
    /// The transaction of that request, as a keyed hash: it comes again when an answer is lost.
    pub transaction: u64,
    /// `Path` values, first entry first, separated by commas (RFC 3327); empty if there are none.
    pub path: Box<str>,
    /// What the endpoint says it is; empty if it says nothing.
    pub user_agent: Arc<str>,
    /// The flow that the latest request came on.
    pub flow: Flow,
    /// Whether the contact names another address than the request came from: a NAT stands between.
    pub nat: bool,
    /// The user name with which the endpoint showed who it is; empty if it did not have to. A request of this server that it
    /// challenges is answered with the same.
    pub username: Box<str>,
    /// The device that it belongs to.
    pub device: Option<DeviceId>,
    /// Whether that was shown by a credential or a certificate, or said from a trusted network. Else anybody with a password may
    /// have said it.
    pub is_proven: bool,
    /// When it was made.
    pub since: Timestamp,
    /// When it was refreshed last.
    pub refreshed: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// What is known of the endpoint. Not stored.
    pub liveness: Liveness,
    /// When the endpoint is to be asked whether it is there. Not stored.
    pub next_ping: Option<Timestamp>,
}

impl Binding {
    /// Value of `+sip.instance` without quotes, usually `<urn:uuid:...>`.
    pub fn instance(&self) -> Option<&str> {
        let (from, to) = self.instance;
        if from == to { None } else { self.params.get(usize::from(from)..usize::from(to)) }
    }

    /// What stands for a binding of a phone that is not registered but is expected on a flow. It is never stored.
    pub fn expected(contact: &str, flow: Flow, user_agent: &str, device: DeviceId, now: Timestamp) -> Self {
        Self {
            contact: contact.into(),
            params: Box::default(),
            instance: (0, 0),
            reg_id: 0,
            q: None,
            call_id: Box::default(),
            cseq: 0,
            transaction: 0,
            path: Box::default(),
            user_agent: user_agent.into(),
            flow,
            nat: false,
            username: Box::default(),
            device: Some(device),
            is_proven: false,
            since: now,
            refreshed: now,
            expires: now,
            liveness: Liveness::Registered,
            next_ping: None,
        }
    }

    /// Whether requests may be sent to the contact: one of another scheme is only kept for those who ask (RFC 3261, section 10.2.1).
    pub fn is_sip(&self) -> bool {
        self.contact.split_once(':').is_some_and(|(scheme, _)| is_sip(scheme))
    }

    /// Whether it is still good.
    pub fn is_current(&self, now: Timestamp) -> bool {
        now < self.expires
    }

    /// Whole seconds until it ends, rounded up, as an answer tells them.
    pub fn expires_in(&self, now: Timestamp) -> u32 {
        let millis = self.expires.since(now).as_millis();
        u32::try_from(millis.div_ceil(1_000)).unwrap_or(u32::MAX)
    }
}
