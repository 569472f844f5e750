//! What every handler shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use callboard_core::file::FileStorage;
use callboard_core::service::Service;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::{Kind, Problem};
use crate::refusal::internal;
use crate::{AccessToken, Api, ApiSettings, NodeStatus};

/// Seconds after which a request that found no room is worth another try.
const RETRY_REQUEST: u32 = 1;
/// The same for an event stream: streams stay for long.
const RETRY_STREAM: u32 = 15;

/// The API and what is in use of its bounds. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct State {
    api: Arc<Api>,
    requests: Arc<Semaphore>,
    scans: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl State {
    pub(crate) fn new(api: Api) -> Self {
        let settings = &api.settings;
        let room = |places: usize| Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        Self {
            requests: room(settings.concurrent_requests.max(1)),
            scans: room(settings.concurrent_scans.max(1)),
            streams: room(settings.event_streams),
            api: Arc::new(api),
        }
    }

    pub(crate) fn service(&self) -> &Arc<Service> {
        &self.api.service
    }

    pub(crate) fn files(&self) -> &dyn FileStorage {
        &*self.api.files
    }

    pub(crate) fn token(&self) -> &AccessToken {
        &self.api.token
    }

    pub(crate) fn settings(&self) -> &ApiSettings {
        &self.api.settings
    }

    pub(crate) fn node(&self) -> &dyn NodeStatus {
        &*self.api.status
    }

    /// A place for a request.
    pub(crate) fn enter(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.requests).try_acquire_owned().map_err(|_| {
            let limit = self.settings().concurrent_requests;
            Problem::later(Kind::Busy, RETRY_REQUEST, format!("{limit} requests are being worked on"))
        })
    }

    /// A place for an event stream.
    pub(crate) fn enter_stream(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            let limit = self.settings().event_streams;
            Problem::later(Kind::Busy, RETRY_STREAM, format!("{limit} event streams are open"))
        })
    }

    /// Event streams open now.
    pub(crate) fn open_streams(&self) -> usize {
        self.settings().event_streams.saturating_sub(self.streams.available_permits())
    }

    /// Walk over the fleet where it does not hold up other requests. When its request is given up, by time or by its
    /// client, the walk is told so, and keeps its place until it ends.
    pub(crate) async fn scan<T: Send + 'static>(
        &self,
        walk: impl FnOnce(&Service, &Wanted) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let place = Arc::clone(&self.scans).acquire_owned().await.map_err(|error| internal(&error))?;
        let service = Arc::clone(self.service());
        let waiting = Waiting::default();
        let wanted = waiting.wanted();
        let walk = tokio::task::spawn_blocking(move || {
            let result = walk(&service, &wanted);
            drop(place);
            result
        });
        let result = walk.await.map_err(|error| internal(&error));
        drop(waiting);
        result
    }
}

/// Tells a walk whether somebody waits for what it finds.
pub(crate) struct Wanted(Arc<AtomicBool>);

impl Wanted {
    pub(crate) fn still(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }
}

/// Somebody waits, until this is dropped.
#[derive(Default)]
struct Waiting(Arc<AtomicBool>);

impl Waiting {
    fn wanted(&self) -> Wanted {
        Wanted(Arc::clone(&self.0))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_learns_that_its_request_is_gone() {
        let waiting = Waiting::default();
        let wanted = waiting.wanted();
        assert!(wanted.still());
        drop(waiting);
        assert!(!wanted.still());
    }
}
