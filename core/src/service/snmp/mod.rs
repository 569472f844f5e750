//! SNMP: what the listeners and the administration call.

mod access;

use std::sync::Arc;

use crate::secret::Vault;
use crate::snmp::access::Access;
use crate::store::Store;

/// What SNMP needs, and what it remembers.
#[derive(Debug)]
pub struct Snmp {
    /// Who may ask and tell, and who is told.
    pub access: Access,
}

impl Snmp {
    /// Nobody may do anything yet: call [`Access::load`] before opening doors.
    pub fn new(store: Arc<dyn Store>, vault: Arc<Vault>) -> Self {
        Self { access: Access::new(store, vault) }
    }
}
