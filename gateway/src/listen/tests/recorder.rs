//! A metrics recorder that keeps everything in a map, so that tests can read it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use parking_lot::Mutex;

#[derive(Default, Clone)]
pub(super) struct Memory(Arc<Mutex<HashMap<String, Arc<AtomicU64>>>>);

impl Memory {
    fn slot(&self, key: &Key) -> Arc<AtomicU64> {
        let labels: Vec<_> = key.labels().map(|l| format!("{}={}", l.key(), l.value())).collect();
        let name = key.name().trim_start_matches("callboard_");
        Arc::clone(self.0.lock().entry(format!("{name}{{{}}}", labels.join(","))).or_default())
    }

    /// A counter by its full text, such as `listen_accepted_total{door=wpi}`.
    pub(super) fn counter(&self, text: &str) -> u64 {
        self.0.lock().get(text).unwrap_or_else(|| panic!("{text} was never made")).load(Relaxed)
    }

    /// A gauge that holds a whole number, by its full text.
    #[allow(clippy::cast_possible_truncation)]
    pub(super) fn gauge(&self, text: &str) -> i64 {
        f64::from_bits(self.counter(text)) as i64
    }
}

impl Recorder for Memory {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.slot(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.slot(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
