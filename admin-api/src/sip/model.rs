//! Registrations as the API shows them.

use callboard_core::service::Service;
use callboard_core::sip::binding::{self, Binding};
use callboard_core::sip::vendor::Vendor;
use callboard_core::time::Ahead;
use callboard_core::{device::DeviceId, sip::binding::Liveness};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time::text;

/// How an endpoint's messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = SipTransport)]
pub(super) enum Transport {
    /// Datagrams.
    Udp,
    /// A TCP connection.
    Tcp,
    /// A TLS connection.
    Tls,
}

impl From<binding::Transport> for Transport {
    fn from(transport: binding::Transport) -> Self {
        match transport {
            binding::Transport::Udp => Self::Udp,
            binding::Transport::Tcp => Self::Tcp,
            binding::Transport::Tls => Self::Tls,
        }
    }
}

impl From<Transport> for binding::Transport {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Udp => Self::Udp,
            Transport::Tcp => Self::Tcp,
            Transport::Tls => Self::Tls,
        }
    }
}

impl Transport {
    /// The door of this node that the endpoint came to.
    const fn door(self) -> &'static str {
        match self {
            Self::Udp => "sip_udp",
            Self::Tcp => "sip_tcp",
            Self::Tls => "sip_tls",
        }
    }
}

/// What is known of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RegistrationState {
    /// It registered, and was not asked since whether it is there.
    Registered,
    /// It answered.
    Reachable,
    /// It does not answer, or its connection is gone.
    Lost,
}

impl From<Liveness> for RegistrationState {
    fn from(liveness: Liveness) -> Self {
        match liveness {
            Liveness::Registered => Self::Registered,
            Liveness::Reachable => Self::Reachable,
            Liveness::Lost => Self::Lost,
        }
    }
}

impl From<RegistrationState> for Liveness {
    fn from(state: RegistrationState) -> Self {
        match state {
            RegistrationState::Registered => Self::Registered,
            RegistrationState::Reachable => Self::Reachable,
            RegistrationState::Lost => Self::Lost,
        }
    }
}

/// Where an address-of-record can be reached, in short.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RegistrationSummary {
    /// The address-of-record: `user@host`.
    aor: String,
    /// The contact's URI as the endpoint wrote it.
    contact: String,
    /// What is known of the endpoint.
    state: RegistrationState,
    /// How its messages travel.
    transport: Transport,
    /// Who registered it: the door of this node, as `doors` of the status has it.
    registrar: &'static str,
    /// Address and port that its latest request came from.
    remote: String,
    /// Whether the contact names another address than that: a NAT stands between.
    nat: bool,
    /// What the endpoint says it is; null if it says nothing.
    user_agent: Option<String>,
    /// When it ends unless it is refreshed.
    #[schema(format = DateTime)]
    expires: String,
}

impl RegistrationSummary {
    fn of(aor: &str, binding: &Binding, ahead: Ahead) -> Self {
        let transport = Transport::from(binding.flow.transport);
        Self {
            aor: aor.into(),
            contact: binding.contact.as_ref().into(),
            state: binding.liveness.into(),
            transport,
            registrar: transport.door(),
            remote: binding.flow.remote.to_string(),
            nat: binding.nat,
            user_agent: some(&binding.user_agent),
            expires: text(ahead.wall(binding.expires)),
        }
    }

    /// Those of a device, the first `most`.
    pub(crate) fn of_device(device: &DeviceId, service: &Service, most: usize) -> Vec<Self> {
        let bindings = service.sip.location.of_device(device, service.steady());
        let ahead = service.sip.location.ahead();
        bindings.iter().take(most).map(|(aor, binding)| Self::of(aor, binding, ahead)).collect()
    }
}

/// What else a contact says of itself.
#[derive(Debug, Serialize, ToSchema)]
struct ContactParams {
    /// `+sip.instance`, usually a URN with a UUID in angle brackets (RFC 5626, section 4.1).
    instance: Option<String>,
    /// `reg-id`: which of several ways to the same endpoint it is (RFC 5626, section 4.2).
    reg_id: Option<u32>,
    /// `q`: which of several contacts is preferred, 0 to 1.
    q: Option<f64>,
    /// All parameters but `q` and `expires`, as the endpoint wrote them.
    text: String,
}

/// Where an address-of-record can be reached.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Registration {
    #[serde(flatten)]
    summary: RegistrationSummary,
    /// Parameters of the contact.
    params: ContactParams,
    /// `Call-ID` of the latest request for it.
    call_id: String,
    /// `CSeq` of that request.
    cseq: u32,
    /// The way through proxies, first one first, separated by commas (RFC 3327); null if there are none.
    path: Option<String>,
    /// Who made the endpoint, as far as its own word tells; `other` if it does not.
    vendor: &'static str,
    /// The user whose password it knows; null if it did not have to show one.
    username: Option<String>,
    /// Id of the device that it belongs to. Such a device need not be known here.
    device: Option<String>,
    /// Whether a credential or a certificate shows that, or a trusted network says it; else it is the endpoint's own word. A device with
    /// such a registration, or with a credential, gets check-sync there only.
    device_proven: bool,
    /// When it was made.
    #[schema(format = DateTime)]
    since: String,
    /// When it was refreshed last.
    #[schema(format = DateTime)]
    refreshed: String,
}

impl Registration {
    pub(super) fn of(aor: &str, binding: &Binding, ahead: Ahead) -> Self {
        Self {
            summary: RegistrationSummary::of(aor, binding, ahead),
            params: ContactParams {
                instance: binding.instance().map(Into::into),
                reg_id: (binding.reg_id > 0).then_some(binding.reg_id),
                q: binding.q.map(|thousandths| f64::from(thousandths) / 1_000.0),
                text: binding.params.as_ref().into(),
            },
            call_id: binding.call_id.as_ref().into(),
            cseq: binding.cseq,
            path: some(&binding.path),
            vendor: Vendor::of(&binding.user_agent).as_str(),
            username: some(&binding.username),
            device: binding.device.as_ref().map(ToString::to_string),
            device_proven: binding.is_proven,
            since: text(ahead.wall(binding.since)),
            refreshed: text(ahead.wall(binding.refreshed)),
        }
    }

    /// All of a device.
    pub(crate) fn of_device(device: &DeviceId, service: &Service) -> Vec<Self> {
        let bindings = service.sip.location.of_device(device, service.steady());
        let ahead = service.sip.location.ahead();
        bindings.iter().map(|(aor, binding)| Self::of(aor, binding, ahead)).collect()
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.into())
}
