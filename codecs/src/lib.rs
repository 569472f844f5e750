//! Callboard's wire formats: bytes to messages and back, without I/O, clocks or unsafe code.

#![forbid(unsafe_code)]

pub mod contact;
pub mod dcmp;
pub mod edge;
pub mod sip;
pub mod snmp;
pub mod wpi;
