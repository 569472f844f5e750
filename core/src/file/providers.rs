//! Storage providers in the registry.

use std::sync::Arc;

use super::provider::{Provider, ProviderId};
use super::record;
use super::registry::{FileError, Files, check};
use crate::store::{Table, Ticket, Write};

impl Files {
    /// All providers in the order of their ids.
    pub fn providers(&self) -> Vec<Arc<Provider>> {
        self.lock().providers.values().cloned().collect()
    }

    /// One provider.
    pub fn provider(&self, id: ProviderId) -> Option<Arc<Provider>> {
        self.lock().providers.get(&id).cloned()
    }

    /// An id that no provider has.
    pub fn new_provider_id(&self, random: u128) -> ProviderId {
        #[allow(clippy::cast_possible_truncation)] // any bits do
        let mut number = random as u64;
        loop {
            let id = ProviderId::from_u64(number);
            if self.provider(id).is_none() {
                return id;
            }
            number = number.wrapping_add(1);
        }
    }

    /// Store a new provider, or a changed one. The revision is set here: to 1, or to one more than before. `expected` is the
    /// revision that the change is based on.
    pub fn put_provider(
        &self,
        mut provider: Provider,
        create: bool,
        expected: Option<u64>,
    ) -> Result<(Arc<Provider>, Ticket), FileError> {
        let faults = provider.faults();
        if !faults.is_empty() {
            return Err(FileError::Faults(faults));
        }
        let mut state = self.lock();
        let limit = self.bounds().providers;
        let old = state.providers.get(&provider.id).map(|old| old.revision);
        match old {
            None if !create => return Err(FileError::UnknownProvider(provider.id)),
            None if state.providers.len() >= limit => {
                return Err(FileError::Full { what: "providers", limit });
            }
            None => {}
            Some(current) => check(current, expected)?,
        }
        let same_name = |other: &&Arc<Provider>| other.id != provider.id && other.name == provider.name;
        if let Some(other) = state.providers.values().find(same_name) {
            return Err(FileError::ProviderNameTaken(other.id));
        }
        provider.revision = old.map_or(1, |old| old + 1);
        let record = record::encode(&provider)?;
        let ticket = self.store.submit(vec![Write::put(Table::Provider, provider.id.to_string(), record)])?;
        let provider = Arc::new(provider);
        state.providers.insert(provider.id, provider.clone());
        Ok((provider, ticket))
    }

    /// Forget a provider. Refused as long as files come from it.
    pub fn remove_provider(&self, id: ProviderId, expected: Option<u64>) -> Result<Ticket, FileError> {
        let mut state = self.lock();
        let provider = state.providers.get(&id).ok_or(FileError::UnknownProvider(id))?;
        check(provider.revision, expected)?;
        let files = state.files.values().filter(|file| file.provider() == Some(id)).count();
        if files > 0 {
            return Err(FileError::ProviderInUse { files });
        }
        let ticket = self.store.submit(vec![Write::delete(Table::Provider, id.to_string())])?;
        state.providers.remove(&id);
        Ok(ticket)
    }
}
