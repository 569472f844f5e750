//! Calls that an edge makes in its own network on the core's behalf.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;

use callboard_codecs::contact::ServiceAddress;
use callboard_codecs::edge::CallOutcome as Told;
use callboard_core::reach::{Addresses, CallOutcome, Guard};
use callboard_core::time::Clock;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{Call, ContactSettings, call};
use crate::config::Config;
use crate::edge::branch::{Caller, Calling};
use crate::node::SystemClock;

/// Makes calls as the configuration of the edge allows: a core that somebody took over must not make it speak to others.
pub struct EdgeCaller {
    shared: Arc<Shared>,
}

struct Shared {
    guard: Guard,
    settings: ContactSettings,
    addresses: Mutex<Addresses>,
    places: Semaphore,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for EdgeCaller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EdgeCaller").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

impl EdgeCaller {
    /// As the configuration says.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let reach = config.reach_settings();
        let addresses = Addresses::new(reach.calls.spacing);
        Self::new(config.contact_settings(0), reach.guard, addresses, Arc::new(SystemClock::new()))
    }

    /// As many calls at once as the settings say; none if they say none. `addresses` has not called anybody yet.
    pub fn new(settings: ContactSettings, guard: Guard, addresses: Addresses, clock: Arc<dyn Clock>) -> Self {
        let places = settings.concurrency.map_or(0, NonZeroUsize::get).min(Semaphore::MAX_PERMITS);
        let places = Semaphore::new(places);
        Self { shared: Arc::new(Shared { guard, settings, addresses: Mutex::new(addresses), places, clock }) }
    }
}

impl Caller for EdgeCaller {
    fn call(&self, address: SocketAddr, path: &str, dls: Option<(&str, u16)>) -> Calling {
        let (shared, path) = (self.shared.clone(), path.to_owned());
        let given = dls.and_then(|(host, port)| {
            let address: IpAddr = host.parse().ok()?;
            Some(ServiceAddress { address, port: Some(port) })
        });
        Box::pin(async move { shared.call(address, &path, given).await })
    }
}

impl Shared {
    async fn call(&self, address: SocketAddr, path: &str, given: Option<ServiceAddress>) -> (Told, u16) {
        let Ok(_place) = self.places.try_acquire() else { return (Told::NotCalled, 0) };
        let is_path = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_path {
            return (Told::Forbidden, 0);
        }
        if let Err(why) = self.guard.probe(address) {
            tracing::warn!(%address, %why, "the core wants a call that is not made");
            return (Told::Forbidden, 0);
        }
        if self.addresses.lock().call(address, self.clock.now()).is_err() {
            return (Told::NotCalled, 0);
        }
        let told = self.settings.service.or(given).map(super::Told::This);
        let reply = call(&Call { address, path, told }, self.settings.timeout).await;
        (told_of(&reply.outcome), reply.status.unwrap_or(0))
    }
}

/// The core's word for an outcome.
const fn told_of(outcome: &CallOutcome) -> Told {
    match outcome {
        CallOutcome::Understood => Told::Understood,
        CallOutcome::Status(_) | CallOutcome::NotHttp => Told::Answered,
        CallOutcome::Refused | CallOutcome::Unreachable => Told::Refused,
        CallOutcome::TimedOut | CallOutcome::Broken => Told::Silent,
        CallOutcome::NoSocket | CallOutcome::EdgeAway | CallOutcome::Postponed(_) => Told::NotCalled,
        CallOutcome::NotCalled(_) => Told::Forbidden,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;
    use crate::testing::Still;

    fn caller(concurrency: usize, allow: &[&str]) -> EdgeCaller {
        let settings = ContactSettings {
            concurrency: NonZeroUsize::new(concurrency),
            rate_per_second: 100,
            scan_concurrency: 1,
            scan_rate_per_second: 1,
            timeout: Duration::from_secs(30),
            service: None,
            port: 0,
        };
        let guard = Guard {
            allow: allow.iter().map(|network| network.parse().unwrap()).collect(),
            is_own: |_| Some(false),
        };
        EdgeCaller::new(settings, guard, Addresses::new(Duration::from_mins(1)), Arc::new(Still::default()))
    }

    #[tokio::test]
    async fn the_core_cannot_make_an_edge_call_just_anybody() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let careful = caller(4, &[]);
        let path = "/contact_dls.html/ContactDLS";
        assert_eq!(careful.call(closed, path, None).await, (Told::Forbidden, 0), "loopback");
        let metadata = "169.254.169.254:80".parse().unwrap();
        assert_eq!(careful.call(metadata, path, None).await, (Told::Forbidden, 0), "link-local");
        let trusting = caller(4, &["127.0.0.0/8"]);
        for bad in ["", "x", "/a b", "/a\r\nX: y"] {
            assert_eq!(trusting.call(closed, bad, None).await, (Told::Forbidden, 0), "{bad:?}");
        }
        assert_eq!(trusting.call(closed, path, None).await, (Told::Refused, 0));
        assert_eq!(trusting.call(closed, path, None).await, (Told::NotCalled, 0), "too soon");
        let ssh = "127.0.0.1:22".parse().unwrap();
        assert_eq!(trusting.call(ssh, path, None).await, (Told::Forbidden, 0), "no port of phones");
        let none = caller(0, &["127.0.0.0/8"]);
        assert_eq!(none.call(closed, path, None).await, (Told::NotCalled, 0));
    }
}
