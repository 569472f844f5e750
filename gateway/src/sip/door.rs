//! The sockets of the door `sip_udp`.

use std::sync::Arc;

use callboard_core::service::Service;
use tokio_util::task::TaskTracker;

use super::metrics::SIP;
use super::udp::UdpWorker;
use crate::datagram::{Backlog, SourceBudget, UdpLink, watch_backlog};
use crate::listen::Shutdown;

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
    let backlog = match Backlog::of(links, SIP) {
        Ok(backlog) => backlog,
        Err(error) => {
            return tracing::info!(%error, "the backlog of SIP's sockets is not known: it does not count as load");
        }
    };
    let (service, shutdown) = (service.clone(), shutdown.clone());
    tasks.spawn(async move {
        let tell = |fullest| service.sip.set_backlog(fullest);
        if let Err(error) = watch_backlog(backlog, tell, shutdown).await {
            tracing::warn!(%error, "the backlog of SIP's sockets is not known: it does not count as load");
            tell(0.0);
        }
    });
}
