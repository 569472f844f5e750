//! Callboard's decisions and state: what a device is, what it should be, and what to say to it next.
//!
//! Knows no socket, no file of its own and no clock: time, randomness and storage come in as parameters.

#![forbid(unsafe_code)]

pub mod device;
pub mod dialogue;
pub mod event;
pub mod file;
pub mod fleet;
mod intern;
pub mod item;
pub mod job;
pub mod name;
pub mod network;
pub mod pki;
pub mod policy;
pub mod reach;
pub mod secret;
pub mod service;
pub mod sip;
pub mod site;
pub mod snmp;
pub mod store;
mod tally;
pub mod time;
pub mod wheel;
