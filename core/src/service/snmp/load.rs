//! What SNMP knows from before.

use std::ops::ControlFlow;

use super::Snmp;
use crate::dialogue::snmp::{Engine, EngineRecord};
use crate::service::Service;
use crate::snmp::access::LoadedAccess;
use crate::store::{CommitError, LoadError, StoreError, SubmitError, Table, Write};
use crate::time::{Random, Timestamp};

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
    /// That the engine has started cannot be stored.
    #[error("the start of SNMP's engine cannot be stored: {0}")]
    Submit(#[from] SubmitError),
    /// The same.
    #[error("the start of SNMP's engine cannot be stored: {0}")]
    Commit(#[from] CommitError),
}

impl Service {
    /// See [`Snmp::load`].
    ///
    /// # Errors
    /// Why SNMP does not start.
    pub fn load_snmp(&self) -> Result<LoadedAccess, SnmpLoadError> {
        self.snmp.load(&*self.around.random, self.steady())
    }
}

impl Snmp {
    /// Take over who may do what, and start the engine: once more than before, durably, before anybody hears of it (RFC 3414,
    /// section 2.2). Blocks until that is durable.
    ///
    /// # Errors
    /// Why SNMP does not start.
    pub fn load(&self, random: &dyn Random, steady: Timestamp) -> Result<LoadedAccess, SnmpLoadError> {
        let loaded = self.access.load()?;
        let wanted = self.settings.engine_id.clone();
        let before = match self.stored_engine()? {
            Ok(before) => before,
            // Whoever names another engine has no use for the record.
            Err(_) if wanted.is_some() => None,
            Err(error) => return Err(SnmpLoadError::Engine(error)),
        };
        let record = EngineRecord::started(before, wanted, random);
        let bytes = postcard::to_extend(&record, vec![VERSION]).map_err(SnmpLoadError::Engine)?;
        self.store.submit(vec![Write::put(Table::Meta, KEY, bytes)])?.wait()?;
        // A second call finds it there, and changes nothing.
        let _ = self.engine.set(Engine::new(record, steady));
        Ok(loaded)
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
