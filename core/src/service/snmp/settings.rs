//! Settings of SNMP.

use std::time::Duration;

use callboard_codecs::snmp::ObjectId;

use crate::dialogue::snmp::{ClockLimits, EngineId};

/// Bounds and settings of SNMP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnmpSettings {
    /// The id of this server's engine; one is made at the first start if none is given.
    pub engine_id: Option<EngineId>,
    /// Clocks of other engines.
    pub clocks: ClockLimits,
    /// Keys at other engines that are kept ready.
    pub local_keys: usize,
    /// Acknowledged informs that are remembered.
    pub informs: usize,
    /// Notifications of one source that become events in [`SnmpSettings::event_window`].
    pub events_per_source: u32,
    /// See there.
    pub event_window: Duration,
    /// Reports and answers to wrong messages to one source in a second.
    pub reports_per_source: u32,
    /// Notifications below these identifiers are counted and forgotten.
    pub ignored: Vec<ObjectId>,
    /// Addresses of IPv6 that share so many bits are one source.
    pub ipv6_prefix: u32,
}

impl Default for SnmpSettings {
    fn default() -> Self {
        Self {
            engine_id: None,
            clocks: ClockLimits::default(),
            local_keys: 100_000,
            informs: 100_000,
            events_per_source: 20,
            event_window: Duration::from_mins(1),
            reports_per_source: 10,
            ignored: Vec::new(),
            ipv6_prefix: 64,
        }
    }
}
