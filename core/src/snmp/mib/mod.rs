//! The object identifiers of our own MIB, `docs/mibs/CALLBOARD-MIB.txt`. A test compares all of them with it.
//!
//! An identifier that was once given out is never given to anything else: receivers and pollers have rules with them. What is
//! new comes behind.

/// Identifiers below `callboard`.
macro_rules! below {
    ($($arc:expr),*) => { &[1, 3, 6, 1, 4, 1, $crate::snmp::mib::ENTERPRISE_NUMBER, 1 $(, $arc)*] };
}

mod event;
mod objects;
#[cfg(test)]
mod parse;
#[cfg(test)]
mod tests;
mod values;

pub use event::{notification, write_event};
pub use objects::{
    EndpointColumn, EventObject, JobColumn, ListenerColumn, NodeObject, SiteColumn, SubsystemColumn,
};
pub use values::{
    NEVER, date_and_time, device_state, job_state, registration, secure_mode, severity, site_state, text,
    transport,
};

/// The enterprise whose arc is used: the one that RFC 5612 sets aside for examples, until a number of our own is assigned.
pub const ENTERPRISE_NUMBER: u32 = 32_473;

/// The arc of that enterprise.
pub const ENTERPRISE: &[u32] = &[1, 3, 6, 1, 4, 1, ENTERPRISE_NUMBER];

/// `callboard`: all that is ours stands below it. What sysObjectID says, and the enterprise of traps of version 1.
pub const CALLBOARD: &[u32] = below![];

/// Most bytes of a `CallboardText`.
pub const TEXT_BYTES: usize = 1_024;

/// Most bytes of a `SnmpAdminString` (RFC 3411, section 5).
pub const ADMIN_STRING_BYTES: usize = 255;
