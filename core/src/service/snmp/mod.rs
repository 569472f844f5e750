//! SNMP: what devices tell is taken in, and who asks is answered.
//!
//! [`Service::snmp_received`] takes one datagram of either door and writes the answer, if there is one, into the caller's buffer. Nothing
//! here waits.

mod access;
mod load;
mod metrics;
mod receive;
mod settings;
mod take;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use crate::dialogue::snmp::{Engine, Salts, Security};
use crate::secret::Vault;
use crate::snmp::access::Access;
use crate::snmp::counters::Counters;
use crate::snmp::seen::Seen;
use crate::snmp::storms::Storms;
use crate::store::Store;
use crate::time::Random;

pub use load::{SnmpLoadError, SnmpStartError};
pub use metrics::{SnmpDoor, describe_metrics};
pub use settings::SnmpSettings;

use metrics::SnmpMetrics;

/// A datagram that came in.
#[derive(Clone, Copy, Debug)]
pub struct SnmpIncoming<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Where it came from.
    pub source: SocketAddr,
    /// The door that it came in by.
    pub door: SnmpDoor,
}

impl SnmpIncoming<'_> {
    fn address(&self) -> IpAddr {
        self.source.ip().to_canonical()
    }
}

/// Buffers that one who reads datagrams uses again and again.
#[derive(Debug, Default)]
pub struct SnmpScratch {
    /// What was encrypted.
    plain: Vec<u8>,
}

/// Everything that SNMP knows.
pub struct Snmp {
    /// Who may ask and tell, and who is told.
    pub access: Access,
    /// What the engine counts of itself.
    pub counters: Counters,
    engine: OnceLock<Engine>,
    security: Security,
    salts: Salts,
    seen: Seen,
    storms: Storms,
    /// Answers to what was refused.
    replies: Storms,
    metrics: SnmpMetrics,
    settings: SnmpSettings,
    store: Arc<dyn Store>,
}

impl fmt::Debug for Snmp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snmp").field("engine", &self.engine).finish_non_exhaustive()
    }
}

impl Snmp {
    /// Nobody may do anything yet: see [`Snmp::load`].
    pub fn new(
        store: Arc<dyn Store>,
        vault: Arc<Vault>,
        random: &dyn Random,
        settings: SnmpSettings,
    ) -> Self {
        Self {
            access: Access::new(store.clone(), vault),
            counters: Counters::default(),
            engine: OnceLock::new(),
            security: Security::new(settings.local_keys, settings.clocks),
            salts: Salts::new(random),
            seen: Seen::new(settings.informs),
            storms: Storms::new(settings.events_per_source, settings.event_window, settings.ipv6_prefix),
            replies: Storms::new(
                settings.reports_per_source,
                std::time::Duration::from_secs(1),
                settings.ipv6_prefix,
            ),
            metrics: SnmpMetrics::new(),
            settings,
            store,
        }
    }

    /// Forget keys of users that are not there any more, or have other passwords now.
    fn forget_keys(&self) {
        self.security.retain(&self.access.snapshot());
    }

    /// This server's engine, once it has started.
    pub fn engine(&self) -> Option<&Engine> {
        self.engine.get()
    }
}
