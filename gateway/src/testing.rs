//! Surroundings of a service for tests: time that stands still, numbers that count up, and nobody who makes credentials.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use callboard_core::device::DeviceId;
use callboard_core::dialogue::wpi::Need;
use callboard_core::pki::Series;
use callboard_core::secret::{KEY_LEN, Vault};
use callboard_core::service::{CredentialSource, IssueError, Issuing, Surroundings};
use callboard_core::site::Origin;
use callboard_core::store::MemoryStore;
use callboard_core::store::journal::{JournalConfig, MemoryJournal};
use callboard_core::time::{Clock, Random, Timestamp};

/// All of that.
#[derive(Debug, Default)]
pub(crate) struct Still(AtomicU64);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_767_225_600_000)
    }
}

impl Random for Still {
    fn next_u128(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Relaxed)) + 0xf00d
    }
}

impl CredentialSource for Still {
    fn is_busy(&self, _: &DeviceId, _: Origin) -> bool {
        false
    }

    fn issue(&self, _: Need, _: Series, _: Origin, _: Timestamp) -> Issuing<'_> {
        Box::pin(std::future::ready(Err(IssueError::Failed("nobody asks for any".to_owned()))))
    }
}

/// With an empty store in memory.
pub(crate) fn surroundings() -> Surroundings {
    let still = Arc::new(Still::default());
    Surroundings {
        store: Arc::new(MemoryStore::default()),
        vault: Arc::new(Vault::new(&[7; KEY_LEN]).unwrap()),
        clock: still.clone(),
        random: still.clone(),
        credentials: still,
        journal: Arc::new(MemoryJournal::new(JournalConfig::default())),
        notifications: Arc::new(MemoryJournal::default()),
    }
}
