//! SNMP: who may ask and tell, what is asked and told.

pub mod access;
pub mod agent;
pub mod counters;
pub mod describe;
pub mod mib;
pub mod names;
pub mod places;
pub mod protocol;
pub mod seen;
pub mod spool;
pub mod storms;
pub mod usm;
