//! SNMP: who may ask and tell, what is asked and told.

pub mod protocol;
pub mod usm;
