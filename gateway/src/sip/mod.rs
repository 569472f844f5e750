//! SIP on the wire: datagrams and connections in, answers and requests of this server out (RFC 3261, section 18).
//!
//! What a message means is [`callboard_core::service::sip`]'s business. Here are the sockets: [`UdpWorker`] reads and answers
//! datagrams, [`SipStreams`] speaks on connections, and [`SipSockets`] finds the socket for a request of ours.

mod door;
mod links;
mod metrics;
mod multicast;
mod outbox;
mod outlet;
mod stream;
mod udp;

pub use door::serve_udp;
pub use links::StreamLinks;
pub use metrics::{SIP, StreamMetrics, describe_metrics};
pub use multicast::MulticastWorker;
pub use outlet::{Ports, SipSockets};
pub use stream::{SipStreams, StreamSettings};
pub use udp::UdpWorker;
