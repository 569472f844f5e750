//! SNMP's part of the node: its settings and its doors.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use callboard_codecs::snmp::ObjectId;
use callboard_core::dialogue::snmp::{ClockLimits, EngineRecord};
use callboard_core::service::Service;
use callboard_core::service::snmp::{SnmpDoor, SnmpLoadError, SnmpSettings};
use callboard_core::snmp::spool::SpoolLimits;
use callboard_core::store::LoadError;
use tokio_util::task::TaskTracker;

use super::settings::narrow;
use crate::config::Config;
use crate::datagram::{SourceBudget, UdpLink, UdpMetrics, bind_udp_group};
use crate::listen::{BindError, BoundUdp, Door, Shutdown};
use crate::snmp::{TRAP, serve_snmp};

/// Time between two attempts to start the engine.
const RETRY: Duration = Duration::from_secs(1);

/// What the service takes.
pub(super) fn snmp_settings(config: &Config) -> SnmpSettings {
    let snmp = &config.snmp;
    SnmpSettings {
        // The configuration has checked both.
        engine_id: snmp.engine_id.parse().ok(),
        ignored: ignored(&snmp.ignored_notifications),
        clocks: ClockLimits { engines: snmp.engines, forgiven_after: narrow(snmp.forgive_clock_after) },
        local_keys: snmp.local_keys,
        events_per_source: narrow(snmp.events_per_source),
        reports_per_source: narrow(snmp.reports_per_source),
        ipv6_prefix: config.ipv6_prefix(),
        ..SnmpSettings::default()
    }
}

/// Bounds on what waits for receivers of informs.
pub(super) fn spool_limits(config: &Config) -> SpoolLimits {
    let snmp = &config.snmp;
    SpoolLimits { entries: snmp.spool_entries, bytes: snmp.spool_bytes, age: snmp.spool_age }
}

/// Identifiers with commas between them.
pub(super) fn ignored(text: &str) -> Vec<ObjectId> {
    text.split(',').filter_map(|one| one.trim().parse().ok()).collect()
}

/// The sockets of the door.
pub(super) struct SnmpSockets(Vec<BoundUdp>);

impl SnmpSockets {
    /// Open the door.
    pub(super) fn bind(config: &Config) -> Result<Self, BindError> {
        let sockets = match config.snmp.sockets {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            sockets => sockets,
        };
        let Some(address) = config.listen.snmp_trap else { return Ok(Self(Vec::new())) };
        bind_udp_group(Door::SNMP_TRAP, address, sockets, config.snmp.socket_bytes).map(Self)
    }

    /// For the list of doors: its address once.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        self.0.first().into_iter().map(|bound| (bound.door().name, bound.local_addr()))
    }

    /// Answer what comes in.
    pub(super) fn open(
        self,
        config: &Config,
        service: &Arc<Service>,
        serving: &TaskTracker,
        shutdown: &Shutdown,
    ) -> std::io::Result<()> {
        let limits = config.door_limits();
        let sources = Arc::new(SourceBudget::new(
            narrow(config.snmp.messages_per_source),
            limits.ipv6_prefix,
            limits.exempt_networks,
        ));
        let metrics = Arc::new(UdpMetrics::new(TRAP));
        let links =
            self.0.into_iter().map(|bound| UdpLink::new(bound.into_socket(), metrics.clone()).map(Arc::new));
        let links: Vec<_> = links.collect::<Result<_, _>>()?;
        serve_snmp(&links, SnmpDoor::Trap, service, &sources, serving, shutdown);
        Ok(())
    }
}

/// Take over who may ask and tell, and who is told. What the engine was before.
pub(super) fn load(service: &Service) -> Result<Option<EngineRecord>, SnmpLoadError> {
    let (loaded, before) = service.snmp.load()?;
    for record in &loaded.reasons {
        tracing::error!(
            record,
            "a resource of SNMP cannot be read; it is left as it is, and gives no access"
        );
    }
    let (users, communities, receivers) = (loaded.users, loaded.communities, loaded.receivers);
    tracing::info!(users, communities, receivers, "SNMP access loaded");
    Ok(before)
}

/// Take over what waits for receivers of informs.
pub(super) fn load_spool(service: &Service) -> Result<(), LoadError> {
    let report = service.spool.load()?;
    for record in &report.examples {
        tracing::error!(record, "a record of notifications cannot be read; it is left as it is");
    }
    if report.damaged > 0 {
        let stretches = report.damaged;
        tracing::error!(
            stretches,
            "the journal of notifications is damaged; receivers of informs may miss events that waited for them"
        );
    }
    let (events, receivers, ended) = (report.entries, report.receivers, report.ended);
    tracing::info!(events, receivers, ended, "notifications loaded");
    Ok(())
}

/// Start the engine. A store that cannot take that it has started does not keep the node from starting: it is tried again until it can.
pub(super) async fn start_engine(service: Arc<Service>, before: Option<EngineRecord>, shutdown: Shutdown) {
    let mut told = false;
    while let Err(error) = service.start_snmp_engine(before.clone()).await {
        if !told {
            tracing::warn!(%error, "SNMP version 3 is not answered before the store takes that its engine has started");
            told = true;
        }
        tokio::select! {
            () = shutdown.draining() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
    if let Some(engine) = service.snmp.engine() {
        tracing::info!(engine = %engine.named(), boots = engine.boots(), "SNMP's engine started");
    }
}
