//! The way out for requests of this server.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use callboard_core::service::sip::{Outlet, SendFault};
use callboard_core::sip::binding::{Flow, Transport};

use super::links::StreamLinks;
use super::multicast::own_address;
use crate::datagram::UdpLink;

/// Sends on whatever socket belongs to a flow.
#[derive(Debug)]
pub struct SipSockets {
    /// Sockets of the door `sip_udp`; they share an address, so any of them does.
    datagrams: Vec<Arc<UdpLink>>,
    streams: Arc<StreamLinks>,
    ports: Ports,
}

/// Ports at which this server takes messages, if it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// In datagrams, with the address that the socket is bound to.
    pub udp: Option<SocketAddr>,
    /// Over TCP.
    pub tcp: Option<u16>,
    /// Over TLS.
    pub tls: Option<u16>,
}

impl SipSockets {
    /// Out of these sockets.
    pub fn new(datagrams: Vec<Arc<UdpLink>>, streams: Arc<StreamLinks>, ports: Ports) -> Self {
        Self { datagrams, streams, ports }
    }
}

impl Outlet for SipSockets {
    fn local(&self, flow: &Flow) -> Option<IpAddr> {
        match flow.transport {
            Transport::Udp => own_address(self.ports.udp?, flow.remote),
            Transport::Tcp | Transport::Tls => flow.local,
        }
    }

    fn port(&self, transport: Transport) -> Option<u16> {
        match transport {
            Transport::Udp => self.ports.udp.map(|door| door.port()),
            Transport::Tcp => self.ports.tcp,
            Transport::Tls => self.ports.tls,
        }
    }

    fn send(&self, flow: &Flow, bytes: &Arc<[u8]>) -> Result<(), SendFault> {
        match flow.transport {
            Transport::Udp => {
                let link = self.datagrams.first().ok_or(SendFault::NoSocket)?;
                link.send(flow.remote, flow.local, bytes).map_err(|error| {
                    tracing::debug!(to = %flow.remote, %error, "a SIP request is not sent");
                    SendFault::Failed
                })
            }
            Transport::Tcp | Transport::Tls => {
                let sent = flow.connection != 0 && self.streams.send(flow.connection, Arc::clone(bytes));
                if sent { Ok(()) } else { Err(SendFault::FlowGone) }
            }
        }
    }
}
