//! Dialogues: messages to decisions. One pure state machine per protocol, and the table of what is open.

pub mod sessions;
pub mod sip;
pub mod snmp;
pub mod wpi;
