//! The door `sip_multicast`: phones that ask a group of the network for their profile ("plug and play").
//!
//! What comes in here is looked at for that alone, and answered from the door of datagrams, to the sender itself.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use callboard_core::service::Service;
use callboard_core::service::sip::{Incoming, Scratch};
use callboard_core::sip::binding::{Flow, Transport};
use metrics::{Counter, counter};
use tokio::net::UdpSocket;

use crate::datagram::{SourceBudget, UdpLink};
use crate::listen::{BoundUdp, Shutdown};

/// Room for one datagram. Requests for a profile have some hundred bytes.
const DATAGRAM_BYTES: usize = 8_192;

/// How all of them begin.
const BEGIN: &[u8] = b"SUBSCRIBE ";

/// Pause after the system refused to read.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes what is sent to the group until the process drains.
pub struct MulticastWorker {
    group: UdpSocket,
    link: Arc<UdpLink>,
    /// What the door of datagrams is bound to.
    door: SocketAddr,
    service: Arc<Service>,
    sources: Arc<SourceBudget>,
    taken: Counter,
    scratch: Scratch,
    out: Vec<u8>,
}

impl std::fmt::Debug for MulticastWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MulticastWorker").field("door", &self.door).finish_non_exhaustive()
    }
}

impl MulticastWorker {
    /// A worker for the socket of a group. Answers leave by `link`, whose socket is bound to `door`.
    ///
    /// # Errors
    /// If the runtime does not take the socket.
    pub fn new(
        group: BoundUdp,
        (link, door): (Arc<UdpLink>, SocketAddr),
        service: Arc<Service>,
        sources: Arc<SourceBudget>,
    ) -> io::Result<Self> {
        let group = UdpSocket::from_std(group.into_socket())?;
        let taken = counter!("callboard_sip_multicast_datagrams_total");
        let (scratch, out) = (Scratch::default(), Vec::with_capacity(1_024));
        Ok(Self { group, link, door, service, sources, taken, scratch, out })
    }

    /// Serve until the process drains.
    pub async fn run(mut self, shutdown: Shutdown) {
        let mut space = vec![0; DATAGRAM_BYTES].into_boxed_slice();
        loop {
            let received = tokio::select! {
                biased;
                () = shutdown.draining() => return,
                received = self.group.recv_from(&mut space) => received,
            };
            match received {
                Ok((length, from)) => self.received(space.get(..length).unwrap_or_default(), from),
                Err(error) => {
                    tracing::warn!(%error, "the SIP group cannot be read");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn received(&mut self, bytes: &[u8], from: SocketAddr) {
        if !bytes.starts_with(BEGIN) {
            return;
        }
        let now = self.service.steady();
        if !self.sources.take(from.ip(), now) {
            return self.link.metrics().over_budget();
        }
        self.taken.increment(1);
        let local = own_address(self.door, from);
        let flow = Flow { transport: Transport::Udp, remote: from, local, connection: 0 };
        let incoming = Incoming { bytes, flow, proof: None };
        self.out.clear();
        let Some(to) = self.service.sip_multicast(&incoming, &mut self.scratch, now, &mut self.out) else {
            return;
        };
        match self.link.send(to, local, &self.out) {
            Ok(()) => self.link.metrics().sent(1),
            Err(error) => self.link.metrics().unsent(1, &error),
        }
    }
}

/// The address from which a socket that is bound to `door` sends to another machine. Nothing is sent.
pub(super) fn own_address(door: SocketAddr, remote: SocketAddr) -> Option<IpAddr> {
    if !door.ip().is_unspecified() {
        return Some(door.ip());
    }
    let any: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
    // Connecting a socket for datagrams only looks the way up.
    socket.connect(remote).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_begins_at_an_own_address() {
        let door = |text: &str| text.parse().unwrap();
        let there = SocketAddr::from(([127, 0, 0, 9], 5_060));
        assert!(own_address(door("0.0.0.0:5060"), there).is_some_and(|address| address.is_loopback()));
        let bound = own_address(door("192.0.2.1:5060"), there);
        assert_eq!(bound, Some("192.0.2.1".parse().unwrap()));
    }
}
