//! The sockets of the door `sip_udp`.

use std::net::SocketAddr;
use std::sync::Arc;

use callboard_core::service::Service;
use tokio_util::task::TaskTracker;

use super::backlog::{Backlog, watch};
use super::source::SourceBudget;
use super::udp::{UdpLink, UdpWorker};
use crate::listen::{BindError, BoundUdp, Door, Shutdown, bind_udp_shared};

/// Opens `sockets` sockets with one address, among which the system shares out the senders. Port 0 is chosen once.
///
/// # Errors
/// If one cannot be opened.
pub fn bind_udp_group(
    door: Door,
    address: SocketAddr,
    sockets: usize,
    buffer_bytes: usize,
) -> Result<Vec<BoundUdp>, BindError> {
    let first = bind_udp_shared(door, address, buffer_bytes)?;
    let address = SocketAddr::new(address.ip(), first.local_addr().port());
    let mut bound = vec![first];
    for _ in 1..sockets {
        bound.push(bind_udp_shared(door, address, buffer_bytes)?);
    }
    Ok(bound)
}

/// Answers on all sockets of the door until the process drains.
pub fn serve_udp(
    links: &[Arc<UdpLink>],
    service: &Arc<Service>,
    sources: &Arc<SourceBudget>,
    tasks: &TaskTracker,
    shutdown: &Shutdown,
) {
    for link in links {
        let worker = UdpWorker::new(link.clone(), service.clone(), sources.clone());
        tasks.spawn(worker.run(shutdown.clone()));
    }
    match Backlog::of(links.iter().map(|link| link.socket())) {
        Ok(backlog) => drop(tasks.spawn(watch(backlog, service.clone(), shutdown.clone()))),
        Err(error) => {
            tracing::info!(%error, "the backlog of SIP's sockets is not known: it does not count as load");
        }
    }
}
