//! SIP: who a phone is, and what it may do.

pub mod credentials;
pub mod digest;
pub mod trust;
