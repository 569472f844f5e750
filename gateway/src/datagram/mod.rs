//! Datagrams, whatever they carry: sockets that share an address, many datagrams with one system call each way, and a budget
//! for each source.
//!
//! Who answers them has a task for each socket: it reads with a [`UdpReader`], writes answers one behind the other into a
//! [`Batch`], and has the [`UdpLink`] send it. What a datagram means is that protocol's business.

mod backlog;
mod batch;
mod bind;
mod link;
mod metrics;
mod reader;
mod source;

pub use backlog::{Backlog, watch_backlog};
pub use batch::Batch;
pub use bind::bind_udp_group;
pub use link::UdpLink;
pub use metrics::{Protocol, UdpMetrics, describe_metrics};
pub use reader::{Received, UdpReader};
pub use source::SourceBudget;
