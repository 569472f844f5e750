//! Contact-me calls that an edge makes in its own network (WPI reference, section 3).

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use callboard_codecs::edge::{CallOutcome, Target};
use callboard_core::site::SiteId;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Hub;

/// Whom an edge is to call: the parts of the phone's `contact-me-uri`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallTarget {
    /// Address and port of the phone.
    pub address: SocketAddr,
    /// Path with its query, beginning with `/`.
    pub path: String,
    /// Address and port that the phone is to call instead of the configured ones.
    pub dls: Option<(String, u16)>,
}

impl CallTarget {
    pub(super) fn as_frame(&self) -> Target<'_> {
        let dls = self.dls.as_ref().map(|(host, port)| (host.as_str(), *port));
        Target { address: self.address, path: &self.path, dls }
    }
}

/// A call on its way to an edge.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) call: u64,
    pub(super) target: CallTarget,
    pub(super) done: oneshot::Sender<(CallOutcome, u16)>,
}

/// Why nobody knows how a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The site's edge is not connected.
    #[error("the edge of the site is away")]
    Away,
    /// As many calls as may be wait already.
    #[error("too many calls wait for the edge of the site")]
    Busy,
    /// The edge did not tell in time.
    #[error("the edge did not tell how the call went")]
    Silent,
}

impl Hub {
    /// Has the edge of `site` call a phone, and waits at most `patience` for what came of it: the outcome, and the status
    /// that the phone answered (0 if none).
    pub async fn call(
        &self,
        site: SiteId,
        target: CallTarget,
        patience: Duration,
    ) -> Result<(CallOutcome, u16), CallError> {
        let caller = self.callers.lock().get(&site).cloned().ok_or(CallError::Away)?;
        let (done, outcome) = oneshot::channel();
        let wanted = Wanted { call: self.calls.fetch_add(1, Relaxed), target, done };
        caller.try_send(wanted).map_err(|error| match error {
            tokio::sync::mpsc::error::TrySendError::Full(_) => CallError::Busy,
            tokio::sync::mpsc::error::TrySendError::Closed(_) => CallError::Away,
        })?;
        match timeout(patience, outcome).await {
            Ok(Ok(outcome)) => Ok(outcome),
            // Or the edge went away: the call may have been made before.
            Ok(Err(_)) | Err(_) => Err(CallError::Silent),
        }
    }
}
