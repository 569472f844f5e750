//! What engines of SNMP version 3 tell each other before anything is said: who they are, how late it is, and whether a message is what
//! its sender sent (RFC 3412, RFC 3414).
//!
//! * [`Engine`] is this server's: its id, and how often and how long ago it started.
//! * [`Security`] opens messages: it finds the user, checks the authentication code and the time, and decrypts. What it refuses comes with
//!   the [`Report`] that tells the sender why.
//! * [`Clocks`] are those of other engines, whose traps would otherwise be good for ever.

mod clocks;
mod engine;
mod report;
mod security;
mod write;

pub use clocks::{ClockLimits, Clocks, Stale};
pub use engine::{BadEngineId, Engine, EngineId, EngineRecord};
pub use report::Report;
pub use security::{Opened, Refused, Role, Security, Speaker};
pub use write::{MAX_SIZE, Reply, Salts, write_reply, write_report};

/// Seconds by which the time of a message may differ (RFC 3414, section 2.2.3).
pub const TIME_WINDOW: u32 = 150;

/// The largest number of starts, at which no message is good any more, and of seconds (RFC 3414, section 2.2).
pub const MAX_BOOTS: u32 = i32::MAX.cast_unsigned();
