//! What administrators do with files and their providers, as far as it needs no bytes.

use std::sync::Arc;

use super::Service;
use crate::event::{EventDraft, EventKind};
use crate::file::{FileError, FileId, FileRecord, FileUse, Provider, ProviderId};
use crate::job;

/// Knows which files jobs need.
pub(super) struct JobFiles(pub(super) Arc<job::Registry>);

impl FileUse for JobFiles {
    fn needed_by(&self, file: FileId) -> Option<String> {
        let book = self.0.book();
        book.iter().find(|job| job.needs_file(file)).map(|job| format!("job {} needs it", job.id))
    }
}

impl Service {
    /// Unpredictable bits for a new id or token.
    pub fn random(&self) -> u128 {
        self.around.random.next_u128()
    }

    /// Store a new or changed provider.
    pub async fn put_provider(
        &self,
        provider: Provider,
        create: bool,
        expected: Option<u64>,
    ) -> Result<Arc<Provider>, FileError> {
        let (provider, ticket) = self.files.put_provider(provider, create, expected)?;
        ticket.await?;
        let what = if create { "created" } else { "changed" };
        self.file_event(format!("storage provider {} ({}) {what}", provider.id, provider.name));
        Ok(provider)
    }

    /// Forget a provider from which no file comes.
    pub async fn delete_provider(&self, id: ProviderId, expected: Option<u64>) -> Result<(), FileError> {
        self.files.remove_provider(id, expected)?.await?;
        self.file_event(format!("storage provider {id} deleted"));
        Ok(())
    }

    /// A file came.
    pub fn file_added(&self, file: &FileRecord) {
        self.file_event(format!("{} {} ({}) added", file.kind.as_str(), file.name, file.id));
    }

    /// A file was forgotten.
    pub fn file_deleted(&self, file: &FileRecord) {
        self.file_event(format!("{} {} ({}) deleted", file.kind.as_str(), file.name, file.id));
    }

    fn file_event(&self, text: String) {
        self.record(EventDraft::node(EventKind::AdminChange, text));
    }
}
