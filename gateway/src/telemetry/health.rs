//! Whether the node may be given work: named causes against it, and probes that are asked when somebody wants to know.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, GaugeVec, Opts};
use serde::Serialize;

type Probe = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// One reason why the node is not ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// Its name: one of a few fixed words such as `starting`, `draining`, `store`.
    pub cause: &'static str,
    /// What is the matter, for people.
    pub detail: String,
}

/// The readiness of the node. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct Health {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    causes: RwLock<BTreeMap<&'static str, String>>,
    probes: RwLock<BTreeMap<&'static str, Probe>>,
}

impl Health {
    /// A node that is starting, hence not ready until [`Health::clear`] is called with `"starting"`.
    #[must_use]
    pub fn starting() -> Self {
        let health = Self::default();
        health.block("starting", "the server is starting");
        health
    }

    /// Makes the node not ready until the cause is cleared. A cause that stands already gets the new detail.
    pub fn block(&self, cause: &'static str, detail: impl Into<String>) {
        self.state.causes.write().insert(cause, detail.into());
    }

    /// Takes a cause away; nothing happens if it does not stand.
    pub fn clear(&self, cause: &'static str) {
        self.state.causes.write().remove(cause);
    }

    /// Adds something that is asked at every look: it answers with the detail when the node is not ready because of it.
    ///
    /// It must be quick and must not use this health itself.
    pub fn probe(&self, cause: &'static str, ask: impl Fn() -> Option<String> + Send + Sync + 'static) {
        self.state.probes.write().insert(cause, Box::new(ask));
    }

    /// Whether nothing speaks against giving the node work.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.causes().is_empty()
    }

    /// All causes against it, by name; a name may stand twice, once set and once found by a probe.
    #[must_use]
    pub fn causes(&self) -> Vec<Cause> {
        let set = self
            .state
            .causes
            .read()
            .iter()
            .map(|(cause, detail)| (*cause, detail.clone()))
            .collect::<Vec<_>>();
        let probes = self.state.probes.read();
        let found = probes.iter().filter_map(|(cause, ask)| ask().map(|detail| (*cause, detail)));
        let mut causes: Vec<_> =
            set.into_iter().chain(found).map(|(cause, detail)| Cause { cause, detail }).collect();
        causes.sort_by_key(|cause| cause.cause);
        causes
    }

    pub(super) fn collector(&self) -> Result<HealthCollector, prometheus::Error> {
        Ok(HealthCollector {
            health: self.clone(),
            ready: Gauge::new("callboard_ready", "1 when the node may be given work, else 0.")?,
            causes: GaugeVec::new(
                Opts::new(
                    "callboard_ready_blocked",
                    "1 for each cause that keeps the node from being ready.",
                ),
                &["cause"],
            )?,
        })
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("causes", &self.causes()).finish()
    }
}

/// The collector of `callboard_ready` and `callboard_ready_blocked`.
pub(super) struct HealthCollector {
    health: Health,
    ready: Gauge,
    causes: GaugeVec,
}

impl Collector for HealthCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.ready.desc().into_iter().chain(self.causes.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let causes = self.health.causes();
        self.ready.set(if causes.is_empty() { 1.0 } else { 0.0 });
        self.causes.reset();
        for cause in &causes {
            self.causes.with_label_values(&[cause.cause]).set(1.0);
        }
        self.ready.collect().into_iter().chain(self.causes.collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn names(health: &Health) -> Vec<&'static str> {
        health.causes().iter().map(|cause| cause.cause).collect()
    }

    #[test]
    fn ready_means_no_cause_left() {
        let health = Health::starting();
        assert!(!health.is_ready());
        health.block("draining", "stopping");
        health.clear("starting");
        assert_eq!(names(&health), ["draining"]);
        health.clear("draining");
        assert!(health.is_ready());
    }

    #[test]
    fn probes_are_asked_at_each_look() {
        let full = Arc::new(AtomicBool::new(false));
        let health = Health::default();
        let disk = Arc::clone(&full);
        health.probe("store", move || disk.load(Ordering::Relaxed).then(|| "no space".to_owned()));
        assert!(health.is_ready());
        full.store(true, Ordering::Relaxed);
        assert_eq!(health.causes(), [Cause { cause: "store", detail: "no space".to_owned() }]);
        full.store(false, Ordering::Relaxed);
        assert!(health.is_ready());
    }

    #[test]
    fn a_cleared_cause_leaves_the_scrape() {
        let health = Health::starting();
        let registry = prometheus::Registry::new();
        registry.register(Box::new(health.collector().unwrap())).unwrap();
        let scrape = || prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let before = scrape();
        assert!(before.contains("callboard_ready 0\n"), "{before}");
        assert!(before.contains("callboard_ready_blocked{cause=\"starting\"} 1\n"), "{before}");
        health.clear("starting");
        let after = scrape();
        assert!(after.contains("callboard_ready 1\n") && !after.contains("starting"), "{after}");
    }
}
