//! What SNMP knows from before.

use std::ops::ControlFlow;

use super::Snmp;
use crate::dialogue::snmp::{Engine, EngineRecord};
use crate::service::Service;
use crate::snmp::access::LoadedAccess;
use crate::store::{CommitError, LoadError, StoreError, SubmitError, Table, Write};

/// Version of the record of the engine that this build writes.
const VERSION: u8 = 1;

/// Where the engine's record lies.
const KEY: &str = "snmp-engine";

/// Why SNMP does not start.
#[derive(Debug, thiserror::Error)]
pub enum SnmpLoadError {
    /// Records cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record of the engine cannot be read: whoever knows this server's id would not believe its time any more.
    #[error(
        "the record of SNMP's engine is damaged ({0}); with another snmp.engine_id in the configuration the server starts anew"
    )]
    Engine(postcard::Error),
}

/// Why the engine does not start now.
#[derive(Debug, thiserror::Error)]
pub enum SnmpStartError {
    /// The store does not take its record.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// Its record is not durable.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Its record cannot be packed.
    #[error(transparent)]
    Record(postcard::Error),
}

impl Service {
    /// Start the engine, if it has not started: once more than before, durably, before anybody hears of it (RFC 3414, section 2.2). Until
    /// then messages of version 3 are not answered. To be called with what [`Snmp::load`] gave.
    ///
    /// # Errors
    /// If the store does not take it now.
    pub async fn start_snmp_engine(&self, before: Option<EngineRecord>) -> Result<(), SnmpStartError> {
        let snmp = &self.snmp;
        if snmp.engine().is_some() {
            return Ok(());
        }
        let record = EngineRecord::started(before, snmp.settings.engine_id.clone(), &*self.around.random);
        let bytes = postcard::to_extend(&record, vec![VERSION]).map_err(SnmpStartError::Record)?;
        snmp.store.submit(vec![Write::put(Table::Meta, KEY, bytes)])?.await?;
        // Whoever was faster has stored the same.
        let _ = snmp.engine.set(Engine::new(record, self.steady()));
        Ok(())
    }
}

impl Snmp {
    /// Take over who may do what, and what the engine was before: see [`Service::start_snmp_engine`].
    ///
    /// # Errors
    /// Why SNMP does not start.
    pub fn load(&self) -> Result<(LoadedAccess, Option<EngineRecord>), SnmpLoadError> {
        let loaded = self.access.load()?;
        match self.stored_engine()? {
            Ok(before) => Ok((loaded, before)),
            // Whoever names another engine has no use for the record.
            Err(_) if self.settings.engine_id.is_some() => Ok((loaded, None)),
            Err(error) => Err(SnmpLoadError::Engine(error)),
        }
    }

    fn stored_engine(&self) -> Result<Result<Option<EngineRecord>, postcard::Error>, SnmpLoadError> {
        let mut found = Ok(None);
        let mut newer = None;
        self.store.scan(Table::Meta, &mut |key, value| {
            if key != KEY {
                return ControlFlow::Continue(());
            }
            match value.split_first() {
                Some((&VERSION, payload)) => found = postcard::from_bytes(payload).map(Some),
                Some((&version, _)) if version > VERSION => newer = Some(version),
                _ => found = Err(postcard::Error::DeserializeBadEncoding),
            }
            ControlFlow::Break(())
        })?;
        match newer {
            Some(found) => {
                let (table, key) = (Table::Meta, Box::from(KEY));
                Err(LoadError::Newer { table, key, found, supported: VERSION }.into())
            }
            None => Ok(found),
        }
    }
}
