//! SIP on the wire: datagrams and connections in, answers and requests of this server out (RFC 3261, section 18).
//!
//! What a message means is [`callboard_core::service::sip`]'s business. Here are the sockets: [`UdpWorker`] reads and answers
//! datagrams, [`SipStreams`] speaks on connections, and [`SipSockets`] finds the socket for a request of ours.

mod backlog;
mod batch;
mod door;
mod links;
mod metrics;
mod multicast;
mod outbox;
mod outlet;
mod source;
mod stream;
mod udp;

pub use door::{bind_udp_group, serve_udp};
pub use links::StreamLinks;
pub use metrics::{StreamMetrics, UdpMetrics, describe_metrics};
pub use multicast::MulticastWorker;
pub use outlet::{Ports, SipSockets};
pub use source::SourceBudget;
pub use stream::{SipStreams, StreamSettings};
pub use udp::{UdpLink, UdpWorker};
