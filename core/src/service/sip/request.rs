//! Requests of this server: sent on an endpoint's flow, looked after until they are answered or given up.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use callboard_codecs::sip::{BRANCH_COOKIE, Response};

use super::notify::Notified;
use super::sync::Sync;
use super::time::wire;
use super::{Incoming, Outlet, SendFault, Sip};
use crate::dialogue::sip::client::{AS_LONG_AS_IT_TAKES, Branch};
use crate::service::Service;
use crate::sip::binding::{Flow, Transport};
use crate::sip::location::Place;
use crate::time::Timestamp;

/// What a request of this server is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// To know whether an endpoint is there.
    Ping {
        /// Where its address-of-record stands.
        place: Place,
        /// Which binding, in which form.
        transaction: u64,
        /// Its contact.
        contact: Box<str>,
    },
    /// To make a phone fetch its configuration.
    Sync(Sync),
    /// To tell a phone its profile.
    Notify(Notified),
}

/// Repetitions of a NOTIFY that answers a SUBSCRIBE: two more datagrams are enough for a phone that is there, which subscribes again if
/// all are lost (RFC 6665, section 4.1.2.4). Its address may be forged, and whoever has it should not get eleven.
const FIRST_REPEATS: u8 = 2;

impl Purpose {
    /// How often its request is repeated at the most.
    const fn repeats(&self) -> u8 {
        match self {
            Self::Notify(notified) if notified.is_first() => FIRST_REPEATS,
            _ => AS_LONG_AS_IT_TAKES,
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// This status.
    Status(u16),
    /// Nothing, in all the time there is.
    Nothing,
}

/// The texts by which a request of this server is known.
pub(super) struct Names {
    pub(super) branch: String,
    pub(super) call_id: String,
    pub(super) from: String,
    pub(super) sent_by: String,
}

impl Sip {
    /// Where requests leave. Without it nothing does.
    pub fn set_outlet(&self, outlet: Arc<dyn Outlet>) {
        if self.outlet.set(outlet).is_err() {
            tracing::error!("SIP has its outlet already");
        }
    }

    pub(super) fn send(&self, flow: &Flow, bytes: &Arc<[u8]>) -> Result<(), SendFault> {
        self.outlet.get().ok_or(SendFault::NoSocket)?.send(flow, bytes)
    }

    /// A number for a request that nobody can guess.
    pub(super) fn next_branch(&self) -> Branch {
        #[allow(clippy::cast_possible_truncation)] // any bits of it do
        let branch = self.random.next_u128() as u64;
        branch
    }

    pub(super) fn names(&self, branch: Branch, flow: &Flow) -> Names {
        let host = self.settings.external_address.as_deref().map(str::to_owned);
        let host = host.or_else(|| flow.local.map(|address| SocketAddr::new(address, 0)).map(host_of));
        let host = host.unwrap_or_else(|| "callboard.invalid".to_owned());
        Names {
            branch: format!("{}{branch:016x}", std::str::from_utf8(BRANCH_COOKIE).unwrap_or("z9hG4bK")),
            call_id: format!("{branch:016x}@{host}"),
            from: format!("<sip:callboard@{host}>;tag={:08x}", branch >> 32),
            sent_by: self.authority(host, flow),
        }
    }

    /// Host and port at which this server is reached by whoever is at the other end of a flow.
    fn authority(&self, mut host: String, flow: &Flow) -> String {
        let port = self.outlet.get().and_then(|outlet| outlet.port(flow.transport));
        if let Some(port) = port.filter(|port| *port != wire(flow.transport).default_port()) {
            // Writing to a String cannot fail.
            let _ = write!(host, ":{port}");
        }
        host
    }

    /// `Contact` of this server over a flow.
    pub(super) fn own_contact(&self, flow: &Flow) -> String {
        let transport = match flow.transport {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
            Transport::Tls => ";transport=tls",
        };
        format!("<sip:callboard@{}{transport}>", self.names(0, flow).sent_by)
    }

    /// Send a request and look after it. If that cannot be, what it is for comes back; with `None`: too many are under way.
    pub(super) fn begin(
        &self,
        branch: Branch,
        flow: &Flow,
        request: &Arc<[u8]>,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<(), (Purpose, Option<SendFault>)> {
        let repeats = purpose.repeats();
        let begun = self.clients.lock().begin(branch, *flow, request.clone(), purpose, now, repeats);
        if let Err((full, purpose)) = begun {
            tracing::debug!(%full, "a SIP request is not sent");
            self.metrics.not_begun();
            return Err((purpose, None));
        }
        match self.send(flow, request) {
            Ok(()) => Ok(()),
            // A datagram that does not leave is a datagram lost: it is repeated.
            Err(SendFault::Failed) if !flow.transport.is_reliable() => Ok(()),
            Err(fault) => {
                let purpose = self.clients.lock().failed(branch);
                // An answer may have come by another way meanwhile.
                purpose.map_or(Ok(()), |purpose| Err((purpose, Some(fault))))
            }
        }
    }
}

fn host_of(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    }
}

impl Service {
    /// An answer to a request of ours, or something that looks like one.
    pub(super) fn response(&self, incoming: &Incoming<'_>, response: &Response<'_>) {
        let read = response.check();
        let branch = match &read {
            Ok(read) if read.one_via => read.via.branch.and_then(branch_of),
            Ok(_) => None,
            Err(fault) => {
                tracing::trace!(source = %incoming.flow.remote, %fault, "a SIP response is malformed");
                None
            }
        };
        let ended = branch.map(|branch| self.sip.clients.lock().answered(branch, response.status));
        match ended {
            Some(Some(purpose)) => {
                self.sip.metrics.told(response.status);
                self.sip_told(purpose, Told::Status(response.status), Some(response));
            }
            // A provisional one, or a repetition.
            Some(None) => {}
            None => self.sip.metrics.stray(),
        }
    }

    /// What came of a request of this server.
    pub(super) fn sip_told(&self, purpose: Purpose, told: Told, response: Option<&Response<'_>>) {
        match purpose {
            Purpose::Sync(sync) => self.sync_told(sync, told, response),
            Purpose::Notify(notified) => self.sip.notified(notified, told),
            Purpose::Ping { place, transaction, contact } => {
                // Whatever it answers: it is there.
                let is_there = told != Told::Nothing;
                let whom = (transaction, &*contact);
                let Some((aor, device)) = self.sip.location.answered(place, whom, is_there) else { return };
                if is_there {
                    self.endpoint_back(&aor, device.as_ref());
                } else {
                    self.endpoint_lost(&aor, device.as_ref(), "it does not answer");
                }
            }
        }
    }
}

/// The number in a branch of ours.
fn branch_of(branch: &[u8]) -> Option<Branch> {
    let digits = branch.strip_prefix(BRANCH_COOKIE)?;
    let is_ours = digits.len() == 16 && digits.iter().all(u8::is_ascii_hexdigit);
    is_ours.then(|| u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()).flatten()
}
