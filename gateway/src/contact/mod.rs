//! Contact-me: asking phones to call (WPI reference, section 3), because work waits for them or because an administrator
//! scans a range of addresses.
//!
//! `callboard_core::reach` says who is called and when; here are the sockets. As many calls as the configuration says are
//! under way at once, and begin within a second; everybody else waits in the plan, not in a task.

mod branch;
mod exchange;
mod metrics;
mod own;
mod rate;
mod scanner;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use callboard_codecs::contact::ServiceAddress;
use callboard_codecs::edge::CallOutcome as EdgeOutcome;
use callboard_core::device::DeviceId;
use callboard_core::reach::{CallOutcome, NotCallable, Target};
use callboard_core::service::{Service, Way};
use callboard_core::site::SiteId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::edge::core::{CallError, CallTarget, Hub};
use crate::listen::Shutdown;
use metrics::ContactMetrics;
use rate::Rate;

pub use branch::EdgeCaller;
pub use exchange::{Call, Reply, Told, call};
pub use metrics::describe_metrics;
pub use own::is_own;

/// Longest sleep of the dispatcher: the system's clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// How calls are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactSettings {
    /// Calls to devices under way at the same time; without any, nobody is called.
    pub concurrency: Option<NonZeroUsize>,
    /// Calls to devices in one second.
    pub rate_per_second: usize,
    /// Calls of scans under way at the same time.
    pub scan_concurrency: usize,
    /// Calls of scans in one second.
    pub scan_rate_per_second: usize,
    /// Time for one call, from the connection to the head of the answer.
    pub timeout: Duration,
    /// The service that devices are told to call in place of the one they know.
    pub service: Option<ServiceAddress>,
    /// Port under which phones reach the door `wpi`, as far as this machine knows.
    pub port: u16,
}

/// Call devices that are wanted, and the addresses of scans, until the node drains. Devices of sites are called by their edges, of
/// which `edges` knows; without it nobody calls them.
pub async fn run(
    service: Arc<Service>,
    settings: ContactSettings,
    edges: Option<Arc<Hub>>,
    shutdown: Shutdown,
) {
    let metrics = Arc::new(ContactMetrics::new());
    let Some(concurrency) = settings.concurrency else { return };
    let devices = service.reach.counts().waiting;
    if devices > 0 {
        tracing::info!(devices, "devices with work from before the start are called");
    }
    let dispatcher = Dispatcher { service, metrics, settings: Arc::new(settings), edges };
    tokio::select! {
        () = shutdown.draining() => {}
        () = dispatcher.devices(concurrency.get()) => {}
        () = scanner::run(&dispatcher) => {}
        () = dispatcher.watch() => {}
    }
}

/// What makes the calls. When it is dropped, so are those under way.
struct Dispatcher {
    service: Arc<Service>,
    metrics: Arc<ContactMetrics>,
    settings: Arc<ContactSettings>,
    edges: Option<Arc<Hub>>,
}

impl Dispatcher {
    /// Call devices, one after the other as places and the rate allow. Who is not called takes no turn from the others.
    async fn devices(&self, concurrency: usize) {
        let places = Arc::new(Semaphore::new(concurrency.min(Semaphore::MAX_PERMITS)));
        let mut rate = Rate::new(self.settings.rate_per_second);
        let mut calls = JoinSet::new();
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let id = self.next_device().await;
            let mut due = UnderWay { service: self.service.clone(), id, outcome: CallOutcome::Broken };
            match self.way_to(&due.id) {
                Ok(Way::ContactMe(target, site)) => {
                    rate.turn().await;
                    calls.spawn(self.call_device(due, target, site, place));
                }
                Ok(Way::CheckSync) => {
                    rate.turn().await;
                    calls.spawn(self.sync_device(due, place));
                }
                Err(outcome) => {
                    due.outcome = outcome;
                    self.metrics.ended(&outcome);
                }
            }
            while calls.try_join_next().is_some() {}
        }
    }

    /// Wait for the next device whose time has come.
    async fn next_device(&self) -> DeviceId {
        loop {
            let now = self.service.now();
            let mut due = self.service.reach.due(now, 1);
            for (id, last) in &due.used_up {
                self.metrics.used_up.increment(1);
                self.service.unreached(id, *last);
            }
            if let Some(id) = due.calls.pop() {
                return id;
            }
            let wait =
                self.service.reach.next_at().map_or(LONGEST_SLEEP, |at| at.since(now).min(LONGEST_SLEEP));
            tokio::select! {
                () = self.service.reach.calls_changed() => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// How a device is called, or what came of it instead.
    fn way_to(&self, id: &DeviceId) -> Result<Way, CallOutcome> {
        let way = self.service.way(id)?;
        let live = &self.service.sites.live;
        let is_away = |site| !live.get(site).is_some_and(|live| live.presence.is_connected());
        match way {
            Way::ContactMe(_, Some(site)) if is_away(site) => Err(CallOutcome::EdgeAway),
            way => Ok(way),
        }
    }

    /// Tell a device by SIP. It has its own patience: that of a SIP transaction.
    fn sync_device(
        &self,
        due: UnderWay,
        place: OwnedSemaphorePermit,
    ) -> impl Future<Output = ()> + Send + use<> {
        let metrics = self.metrics.clone();
        async move {
            let (_place, mut under_way) = (place, due);
            let begun = Instant::now();
            under_way.outcome = tell_by_sip(&under_way.service, &under_way.id).await;
            metrics.seconds.record(begun.elapsed());
            metrics.ended(&under_way.outcome);
        }
    }

    fn call_device(
        &self,
        due: UnderWay,
        target: Target,
        site: Option<SiteId>,
        place: OwnedSemaphorePermit,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (metrics, settings, edges) = (self.metrics.clone(), self.settings.clone(), self.edges.clone());
        async move {
            let (_place, mut under_way) = (place, due);
            let begun = Instant::now();
            under_way.outcome = if let Some(site) = site {
                call_at_site(edges.as_deref(), site, target, settings.timeout).await
            } else {
                let told = settings.service.map(Told::This);
                let request = Call { address: target.address, path: &target.path, told };
                call(&request, settings.timeout).await.outcome
            };
            if !under_way.outcome.is_no_call() {
                metrics.seconds.record(begun.elapsed());
            }
            metrics.ended(&under_way.outcome);
        }
    }

    /// Publish how many wait.
    async fn watch(&self) {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.metrics.set(self.service.reach.counts());
        }
    }
}

/// Time that an edge has to tell of a call, beyond that of the call itself.
const EDGE_PATIENCE: Duration = Duration::from_secs(5);

/// Have the edge of a site call. Which service the phone is told is the edge's own matter.
async fn call_at_site(edges: Option<&Hub>, site: SiteId, target: Target, limit: Duration) -> CallOutcome {
    let Some(edges) = edges else { return CallOutcome::EdgeAway };
    let target = CallTarget { address: target.address, path: target.path.into(), dls: None };
    match edges.call(site, target, limit + EDGE_PATIENCE).await {
        Ok((EdgeOutcome::Understood, _)) => CallOutcome::Understood,
        Ok((EdgeOutcome::Answered, 0)) => CallOutcome::NotHttp,
        Ok((EdgeOutcome::Answered, status)) => CallOutcome::Status(status),
        Ok((EdgeOutcome::Refused, _)) => CallOutcome::Refused,
        Ok((EdgeOutcome::Silent, _)) | Err(CallError::Silent) => CallOutcome::TimedOut,
        Ok((EdgeOutcome::Forbidden, _)) => CallOutcome::NotCalled(NotCallable::ByEdge),
        Ok((EdgeOutcome::NotCalled, _)) | Err(CallError::Away | CallError::Busy) => CallOutcome::EdgeAway,
    }
}

/// Have a device fetch its configuration, as soon as it is durable that it is told.
async fn tell_by_sip(service: &Service, id: &DeviceId) -> CallOutcome {
    let mut call = match service.begin_sync(id) {
        Ok(call) => call,
        Err(outcome) => return outcome,
    };
    if let Some(ticket) = call.ticket.take()
        && let Err(error) = ticket.await
    {
        tracing::debug!(device = %id, %error, "it is not told: that is not durable");
        return CallOutcome::NoSocket;
    }
    service.send_sync(call).await.unwrap_or(CallOutcome::Broken)
}

/// A call that is under way. However it ends, the plan is told.
struct UnderWay {
    service: Arc<Service>,
    id: DeviceId,
    outcome: CallOutcome,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.service.called(&self.id, self.outcome);
    }
}
