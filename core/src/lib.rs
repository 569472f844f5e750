//! Callboard's decisions and state: what a device is, what it should be, and what to say to it next.
//!
//! Knows no socket, no file of its own and no clock: time, randomness and storage come in as parameters.

#![forbid(unsafe_code)]

pub mod pki;
pub mod store;
