//! SNMP's part of the node.

use callboard_core::service::Service;
use callboard_core::store::LoadError;

/// Take over who may ask and tell, and who is told.
pub(super) fn load(service: &Service) -> Result<(), LoadError> {
    let loaded = service.snmp.access.load()?;
    for record in &loaded.reasons {
        tracing::error!(
            record,
            "a resource of SNMP cannot be read; it is left as it is, and gives no access"
        );
    }
    let (users, communities, receivers) = (loaded.users, loaded.communities, loaded.receivers);
    tracing::info!(users, communities, receivers, "SNMP access loaded");
    Ok(())
}
