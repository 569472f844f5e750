//! One accept loop for every TCP door: limits, TLS, HTTP/1 and time-outs, so that a protocol only brings a [`Handler`]; or,
//! if it speaks otherwise or must be leaner, a [`StreamHandler`] that takes the connection as it comes out of admission.
//!
//! A connection passes admission first (no work is done for one that is refused), then the handshake, then lives in one
//! task with one timer until it ends. Over a limit it is let in *shed*: the handler gives its protocol's "later" and
//! the connection closes. Only when even those are too many is a socket closed without a word.

mod accept;
mod admission;
mod bind;
mod clock;
mod connection;
mod framing;
mod handler;
mod io;
mod limits;
mod metrics;
mod raw;
mod serve;
mod shutdown;
mod source;
mod stream;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use callboard_core::site::{Origin, SiteId};
use parking_lot::Mutex;

use crate::tls::ClientCertificate;

use admission::Place;
use clock::Clock;
use framing::Verdict;

pub use accept::{Injected, Injector, Stream};
pub use bind::{BindError, Bound, BoundUdp, bind, bind_group, bind_udp, bind_udp_shared};
pub use connection::linger;
pub use handler::{BodyError, Handler, RequestBody, TowerHandler, read_body};
pub use limits::Limits;
pub use metrics::describe_metrics;
pub use raw::{Seat, serve_raw};
pub use serve::{serve, serve_streams};
pub use shutdown::{Phase, Shutdown};
pub use source::{BadNetwork, Network, Source};
pub use stream::{StreamConn, StreamHandler, Waiting};

/// The name of a listener, as in the configuration table `[listen]` and in the metric label `door`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Door {
    /// The name.
    pub name: &'static str,
}

impl Door {
    /// WPI in default mode: TLS, no client certificate.
    pub const WPI: Self = Self { name: "wpi" };
    /// WPI in secure mode: mutual TLS.
    pub const WPI_SECURE: Self = Self { name: "wpi_secure" };
    /// Polls of phones over plain HTTP.
    pub const DCMP: Self = Self { name: "dcmp" };
    /// Administration over HTTPS.
    pub const ADMIN: Self = Self { name: "admin" };
    /// Notifications of SNMP.
    pub const SNMP_TRAP: Self = Self { name: "snmp_trap" };
    /// SIP in datagrams.
    pub const SIP_UDP: Self = Self { name: "sip_udp" };
    /// SIP in datagrams to a group.
    pub const SIP_MULTICAST: Self = Self { name: "sip_multicast" };
    /// SIP over TCP.
    pub const SIP_TCP: Self = Self { name: "sip_tcp" };
    /// SIP over TLS.
    pub const SIP_TLS: Self = Self { name: "sip_tls" };
    /// Branch edges: QUIC.
    pub const EDGE: Self = Self { name: "edge" };
    /// Metrics and health over plain HTTP.
    pub const METRICS: Self = Self { name: "metrics" };
}

impl std::fmt::Display for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Why a peer is told to come later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shed {
    /// The connection is beyond a limit; it closes after its first answer.
    Limit,
    /// The process is stopping.
    Draining,
}

/// What a handler may know about the connection a request came on. Shared by all requests of that connection.
#[derive(Debug)]
pub struct ConnInfo {
    /// The door it came through.
    pub door: Door,
    /// The peer's address; IPv4 peers of a dual-stack door appear as IPv4.
    pub peer: SocketAddr,
    /// The site whose edge relays the connection.
    pub site: Option<SiteId>,
    /// What the client's own certificate says, on doors that ask for one. TLS has verified it.
    pub client: Option<ClientCertificate>,
    /// Number of the connection, unique in this process; for logs.
    pub id: u64,
    /// What the handler remembers from one request of this connection to the next: for WPI the flow.
    pub flow: Mutex<Option<u128>>,
    place: Place,
    in_dialogue: AtomicBool,
    long_body: AtomicBool,
    shutdown: Shutdown,
    framing: Verdict,
    clock: Clock,
}

impl ConnInfo {
    /// Where it comes from.
    pub fn origin(&self) -> Origin {
        Origin { site: self.site, address: self.peer.ip() }
    }

    /// Whoever begins something new is to get the protocol's own "later", and why.
    pub fn shed(&self) -> Option<Shed> {
        if self.place.is_shed() {
            Some(Shed::Limit)
        } else if self.shutdown.phase() == Phase::Running {
            None
        } else {
            Some(Shed::Draining)
        }
    }

    /// Whether the peer's source may send one more request; a yes is counted.
    pub fn take_request(&self) -> bool {
        self.place.take_request()
    }

    /// Whether the peer's source may bring one more unknown device; a yes is counted.
    pub fn take_new_device(&self) -> bool {
        self.place.take_new_device()
    }

    /// Whether no bound of one source holds for the peer.
    pub fn is_exempt(&self) -> bool {
        self.place.is_exempt()
    }

    /// Tells whether the peer's next request belongs to this one. A draining process lets a dialogue come to its end,
    /// if that comes within the drain's time.
    pub fn set_in_dialogue(&self, open: bool) {
        self.in_dialogue.store(open, Ordering::Relaxed);
    }

    /// Tells whether the body of the request at hand may take longer than [`Limits::body_timeout`]: each 64 KiB of it have
    /// that time then. For bodies that go to the disk, of peers that are known.
    pub fn expect_long_body(&self, long: bool) {
        self.long_body.store(long, Ordering::Relaxed);
    }

    /// What [`ConnInfo::set_in_dialogue`] told last.
    pub(crate) fn in_dialogue(&self) -> bool {
        self.in_dialogue.load(Ordering::Relaxed)
    }
}
