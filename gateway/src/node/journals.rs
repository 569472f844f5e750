//! The journals of the node.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use callboard_core::store::journal::{FileJournal, Journal as _, JournalConfig};
use callboard_core::store::{JournalKind, OpenError, StoreError};

use super::files::DataDir;
use super::housekeeping::store_words;
use super::settings::narrow;
use crate::config::Config;
use crate::telemetry::Health;

/// All of them, open.
#[derive(Clone)]
pub(super) struct Journals {
    /// Of bindings.
    pub(super) bindings: Arc<FileJournal>,
    /// Of events that wait for receivers of informs.
    pub(super) notifications: Arc<FileJournal>,
}

impl Journals {
    pub(super) fn open(config: &Config, data: &DataDir) -> Result<Self, OpenError> {
        Ok(Self {
            bindings: open(config, JournalKind::Bindings, &data.bindings())?,
            notifications: open(config, JournalKind::Notifications, &data.notifications())?,
        })
    }

    /// Have the node's health tell of them.
    pub(super) fn watch(&self, health: &Health) {
        for (name, journal) in [("journal", &self.bindings), ("notifications", &self.notifications)] {
            let journal = journal.clone();
            health.probe(name, move || {
                let health = journal.health();
                (!health.is_ready()).then(|| store_words(&health))
            });
        }
    }

    /// Make everything durable, and close them.
    pub(super) fn shutdown(&self, deadline: Duration) -> Result<(), StoreError> {
        let bindings = self.bindings.shutdown(deadline);
        bindings.and(self.notifications.shutdown(deadline))
    }
}

fn open(config: &Config, kind: JournalKind, folder: &Path) -> Result<Arc<FileJournal>, OpenError> {
    let (journal, report) = FileJournal::open(folder, &journal_config(config, kind))?;
    let holds = kind.records();
    tracing::info!(
        new = report.created,
        size_on_disk = report.size_on_disk,
        seconds = report.took.as_secs_f64(),
        "journal of {holds} opened"
    );
    if report.torn_bytes > 0 {
        tracing::info!(
            bytes = report.torn_bytes,
            "the end of the journal of {holds} was cut short by a crash, and was acknowledged to nobody"
        );
    }
    for path in &report.set_aside {
        tracing::warn!(file = %path.display(), "a damaged file of a journal was kept for somebody to look into");
    }
    Ok(journal)
}

/// What a journal takes.
fn journal_config(config: &Config, kind: JournalKind) -> JournalConfig {
    let (journal, store) = (&config.journal, &config.store);
    JournalConfig {
        holds: kind.records(),
        queue_bytes: journal.queue_bytes,
        flush_spacing: journal.flush_spacing,
        flush_interval: store.flush_interval,
        compact_bytes: journal.compact_bytes as u64,
        compact_percent: narrow(journal.compact_percent),
        scan_bytes: journal.scan_bytes,
        stall_after: store.stall_after,
        min_free_bytes: store.min_free_bytes as u64,
        space_retry: store.space_retry,
        ..JournalConfig::default()
    }
}
