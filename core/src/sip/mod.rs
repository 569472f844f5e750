//! SIP: who a phone is, and what it may do.

pub mod digest;
pub mod trust;
