//! The way down: running, draining, stopped.

use std::sync::{Arc, OnceLock};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How far the shutdown has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Serving.
    Running,
    /// Requests in hand and open dialogues are finished. A door takes connections only as long as dialogues need them.
    Draining,
    /// Whatever is left is dropped.
    Stopped,
}

/// Handle on the process's shutdown, shared by everything that serves. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    stop: CancellationToken,
    began: Arc<OnceLock<Instant>>,
}

impl Shutdown {
    /// A process that is running.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins draining. Each door finishes within its `drain_timeout`.
    pub fn drain(&self) {
        self.began.get_or_init(Instant::now);
        self.drain.cancel();
    }

    /// Drops whatever is still open, without waiting.
    pub fn stop(&self) {
        self.drain();
        self.stop.cancel();
    }

    /// How far it has come.
    pub fn phase(&self) -> Phase {
        match (self.drain.is_cancelled(), self.stop.is_cancelled()) {
            (false, _) => Phase::Running,
            (true, false) => Phase::Draining,
            (true, true) => Phase::Stopped,
        }
    }

    /// When draining began; now, if it has not.
    pub(super) fn began(&self) -> Instant {
        self.began.get().copied().unwrap_or_else(Instant::now)
    }

    /// Waits until draining has begun.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Waits until everything is to be dropped.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn phases_follow_each_other() {
        let shutdown = Shutdown::new();
        let other = shutdown.clone();
        assert_eq!(other.phase(), Phase::Running);
        shutdown.drain();
        other.draining().await;
        assert_eq!(other.phase(), Phase::Draining);
        shutdown.stop();
        other.stopped().await;
        assert_eq!(other.phase(), Phase::Stopped);
    }
}
