//! A task for each socket: it reads what is there, has it answered, and sends the answers.

use std::sync::Arc;
use std::time::Duration;

use callboard_core::service::Service;
use callboard_core::service::snmp::{SnmpDoor, SnmpIncoming, SnmpScratch};
use tokio_util::task::TaskTracker;

use crate::datagram::{Batch, SourceBudget, UdpLink, UdpReader};
use crate::listen::Shutdown;

/// Pause after the system refused to read.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers what comes in on one socket until the process stops.
#[derive(Debug)]
pub struct SnmpWorker {
    link: Arc<UdpLink>,
    reader: UdpReader,
    service: Arc<Service>,
    sources: Arc<SourceBudget>,
    door: SnmpDoor,
    scratch: SnmpScratch,
    answers: Batch,
}

impl SnmpWorker {
    /// A worker for one socket of a door.
    pub fn new(
        link: Arc<UdpLink>,
        service: Arc<Service>,
        sources: Arc<SourceBudget>,
        door: SnmpDoor,
    ) -> Self {
        Self {
            reader: UdpReader::new(link.clone()),
            link,
            service,
            sources,
            door,
            scratch: SnmpScratch::default(),
            answers: Batch::default(),
        }
    }

    /// Serve until the process drains.
    pub async fn run(mut self, shutdown: Shutdown) {
        loop {
            let read = tokio::select! {
                biased;
                () = shutdown.draining() => return,
                read = self.reader.read() => read,
            };
            if let Err(error) = read {
                let door = self.link.metrics().protocol().name;
                tracing::warn!(door, %error, "datagrams cannot be read");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            self.answer();
            if !self.answers.is_empty() {
                self.link.send_batch(&self.answers).await;
                self.answers.clear();
            }
        }
    }

    fn answer(&mut self) {
        let now = self.service.steady();
        for datagram in self.reader.datagrams() {
            let source = datagram.remote();
            if !self.sources.take(source.ip(), now) {
                self.link.metrics().over_budget();
                continue;
            }
            let incoming = SnmpIncoming { bytes: datagram.bytes, source, door: self.door };
            self.service.snmp_received(&incoming, &mut self.scratch, now, self.answers.buffer());
            self.answers.close(datagram.from, datagram.to);
        }
    }
}

/// Answers on all sockets of a door until the process drains.
pub fn serve_snmp(
    links: &[Arc<UdpLink>],
    door: SnmpDoor,
    service: &Arc<Service>,
    sources: &Arc<SourceBudget>,
    tasks: &TaskTracker,
    shutdown: &Shutdown,
) {
    for link in links {
        let worker = SnmpWorker::new(link.clone(), service.clone(), sources.clone(), door);
        tasks.spawn(worker.run(shutdown.clone()));
    }
}
