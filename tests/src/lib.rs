//! The harness of the end-to-end tests: the real program on free ports, and peers to talk to it.
//!
//! A peer that meets something unexpected panics, which is what a test wants. Every wait ends after [`PATIENCE`] and
//! says what it waited for; nothing sleeps for a fixed time.

// Peers of tests may unwrap like the tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

pub mod admin;
pub mod certificates;
pub mod contact;
pub mod disk;
pub mod edge;
pub mod generation;
pub mod handset;
pub mod jobs;
pub mod metrics;
pub mod phone;
pub mod secure;
pub mod server;
pub mod tls;
pub mod wire;

use std::future::Future;
use std::time::Duration;

/// How long any single wait may take before the test fails. Long, because machines that test are busy.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Pause between two looks at something that can only be looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Waits for `future`, but not for ever.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(done) = tokio::time::timeout(PATIENCE, future).await else {
        panic!("waited {} s for {what}", PATIENCE.as_secs());
    };
    done
}

/// Looks until there is something to see.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    within(what, async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(LOOK).await;
        }
    })
    .await
}
