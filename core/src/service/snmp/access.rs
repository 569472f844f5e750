//! What administrators do about who may use SNMP.

use std::sync::Arc;

use crate::name::ResourceName;
use crate::service::Service;
use crate::snmp::access::{AccessError, Named, Resource};

impl Service {
    /// Store a new view, group, user, community or receiver, or another form of one. `create` and `expected` as for
    /// [`Access::put`](crate::snmp::access::Access::put). It holds for the next message.
    pub async fn put_snmp<R: Resource>(
        &self,
        name: ResourceName,
        wish: R::Wish,
        create: bool,
        expected: Option<u64>,
    ) -> Result<Arc<Named<R>>, AccessError> {
        let (resource, ticket) = self.snmp.access.put::<R>(name, wish, create, expected)?;
        self.snmp.forget_keys();
        ticket.await?;
        let what = if resource.revision == 1 { "created" } else { "changed" };
        self.admin_event(None, format!("SNMP {} {} {what}", R::KIND, resource.name));
        Ok(resource)
    }

    /// Forget a view, group, user, community or receiver that no other refers to.
    pub async fn delete_snmp<R: Resource>(
        &self,
        name: &ResourceName,
        expected: Option<u64>,
    ) -> Result<(), AccessError> {
        let ticket = self.snmp.access.remove::<R>(name, expected)?;
        self.snmp.forget_keys();
        ticket.await?;
        self.admin_event(None, format!("SNMP {} {name} deleted", R::KIND));
        Ok(())
    }
}
