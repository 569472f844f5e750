//! Records of administrative acts: durable before their answer leaves.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::Service;
use crate::event::{AuditBarrier, AuditError};

/// Where an [`AuditBarrier`] is put, once.
#[derive(Default)]
pub(super) struct BarrierPlace(OnceLock<Arc<dyn AuditBarrier>>);

impl fmt::Debug for BarrierPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BarrierPlace").field(&self.0.get().is_some()).finish()
    }
}

impl Service {
    /// Ask this one whether audit records are durable. Only the first call counts. Without any, they are as durable as all
    /// events: not at all.
    pub fn set_audit_barrier(&self, barrier: Arc<dyn AuditBarrier>) {
        let _ = self.barrier.0.set(barrier);
    }

    /// Wait until what was recorded so far is durable, if somebody makes it so. To be called behind each audit record, before
    /// the answer leaves.
    pub async fn audited(&self) -> Result<(), AuditError> {
        match self.barrier.0.get().and_then(|barrier| barrier.settled()) {
            Some(settling) => settling.await,
            None => Ok(()),
        }
    }
}
