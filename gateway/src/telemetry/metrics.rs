//! The metrics: the `metrics` facade over a `prometheus` registry, and its text form.
//!
//! Call sites only know the facade. Histograms get their buckets from the unit at the end of their name, so that a
//! new one needs no entry here.

use std::collections::HashMap;
use std::sync::OnceLock;

use ::metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use parking_lot::Mutex;
use prometheus::{HistogramOpts, HistogramVec, Registry, TextEncoder};
use tokio::runtime::Handle;

use super::health::Health;
use super::process::Process;
use super::runtime::Runtime;

/// Buckets of times: from a commit into memory to the longest time-out.
const SECONDS: &[f64] = &[
    50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1.0, 2.5,
    5.0, 10.0, 30.0,
];
/// Buckets of sizes: from an empty message to the largest body.
const BYTES: &[f64] = &[
    64.0,
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    51_200.0,
    131_072.0,
    262_144.0,
    524_288.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
];
/// Buckets of counts: records in a batch, items in a message.
const COUNTS: &[f64] =
    &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0, 50_000.0];

/// Why metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Something else in this process records metrics.
    #[error("another recorder of metrics is installed")]
    Recorder,
    /// A metric's name is taken.
    #[error("a metric cannot be registered: {0}")]
    Register(#[from] prometheus::Error),
}

/// The metrics of the process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
}

/// Sends everything recorded through the `metrics` facade to one registry, and adds the process's own figures.
///
/// A second call returns the same metrics.
pub fn install() -> Result<Metrics, InstallError> {
    static INSTALLED: OnceLock<Metrics> = OnceLock::new();
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = INSTALLING.lock();
    if let Some(installed) = INSTALLED.get() {
        return Ok(installed.clone());
    }
    let (recorder, metrics) = Bucketed::new();
    ::metrics::set_global_recorder(recorder).map_err(|_| InstallError::Recorder)?;
    metrics.registry.register(Box::new(Process::new()?))?;
    Ok(INSTALLED.get_or_init(|| metrics).clone())
}

impl Metrics {
    /// Everything in the Prometheus text format, version 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_else(|error| {
            tracing::error!(%error, "metrics cannot be written");
            String::new()
        })
    }

    /// Adds the figures of a tokio runtime (`callboard_runtime_*`); of one runtime per process.
    pub fn watch_runtime(&self, handle: &Handle) -> Result<(), InstallError> {
        Ok(self.registry.register(Box::new(Runtime::new(handle)?))?)
    }

    /// Adds the readiness (`callboard_ready`) of the node.
    pub fn watch_health(&self, health: &Health) -> Result<(), InstallError> {
        Ok(self.registry.register(Box::new(health.collector()?))?)
    }
}

/// The recorder of `metrics-prometheus`, which would give every histogram the same buckets, with buckets by unit.
struct Bucketed {
    inner: metrics_prometheus::Recorder,
    /// Histograms seen so far, with their description if there was one before the first use.
    histograms: Mutex<HashMap<String, Histograms>>,
}

#[derive(Default)]
struct Histograms {
    description: Option<SharedString>,
    registered: bool,
}

impl Bucketed {
    fn new() -> (Self, Metrics) {
        let registry = Registry::new();
        let inner = metrics_prometheus::Recorder::builder().with_registry(registry.clone()).build();
        (Self { inner, histograms: Mutex::default() }, Metrics { registry })
    }

    /// Registers the histogram with its buckets when it is met for the first time.
    fn prepare(&self, key: &Key) {
        let mut histograms = self.histograms.lock();
        let known = histograms.entry(key.name().to_owned()).or_default();
        if std::mem::replace(&mut known.registered, true) {
            return;
        }
        let labels: Vec<&str> = key.labels().map(::metrics::Label::key).collect();
        let help = known.description.clone().unwrap_or_else(|| key.name().to_owned().into());
        let options = HistogramOpts::new(key.name(), help.as_ref()).buckets(buckets(key.name()).to_vec());
        let registered =
            HistogramVec::new(options, &labels).and_then(|it| self.inner.try_register_metric(it));
        if let Err(error) = registered {
            tracing::error!(histogram = key.name(), %error, "cannot be registered");
        }
    }
}

/// Buckets by the unit at the end of the name.
fn buckets(name: &str) -> &'static [f64] {
    match name.rsplit('_').next() {
        Some("seconds") => SECONDS,
        Some("bytes") => BYTES,
        _ => COUNTS,
    }
}

impl Recorder for Bucketed {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.inner.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.inner.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        let mut histograms = self.histograms.lock();
        histograms.entry(key.as_str().to_owned()).or_default().description = Some(description.clone());
        self.inner.describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.inner.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.inner.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.prepare(key);
        self.inner.register_histogram(key, metadata)
    }
}

impl std::fmt::Debug for Bucketed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bucketed").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use ::metrics::{counter, describe_histogram, gauge, histogram, with_local_recorder};

    use super::*;

    fn scrape(record: impl FnOnce()) -> String {
        let (recorder, metrics) = Bucketed::new();
        with_local_recorder(&recorder, record);
        metrics.render()
    }

    #[test]
    fn counters_and_gauges_pass_through_with_labels() {
        let text = scrape(|| {
            counter!("callboard_test_total", "door" => "wpi").increment(3);
            gauge!("callboard_test_open", "door" => "wpi").set(2.0);
        });
        assert!(text.contains("callboard_test_total{door=\"wpi\"} 3\n"), "{text}");
        assert!(text.contains("callboard_test_open{door=\"wpi\"} 2\n"), "{text}");
    }

    #[test]
    fn the_unit_in_the_name_decides_the_buckets() {
        let text = scrape(|| {
            histogram!("callboard_test_seconds", "door" => "wpi").record(70e-6);
            histogram!("callboard_test_seconds", "door" => "admin").record(20.0);
            histogram!("callboard_test_bytes").record(51_200.0);
            histogram!("callboard_test_records").record(7.0);
        });
        assert!(text.contains("callboard_test_seconds_bucket{door=\"wpi\",le=\"0.00005\"} 0\n"), "{text}");
        assert!(text.contains("callboard_test_seconds_bucket{door=\"wpi\",le=\"0.0001\"} 1\n"), "{text}");
        assert!(text.contains("callboard_test_seconds_bucket{door=\"admin\",le=\"30\"} 1\n"), "{text}");
        assert!(text.contains("callboard_test_bytes_bucket{le=\"51200\"} 1\n"), "{text}");
        assert!(text.contains("callboard_test_records_bucket{le=\"10\"} 1\n"), "{text}");
    }

    #[test]
    fn a_description_holds_whether_it_comes_before_or_after() {
        let text = scrape(|| {
            describe_histogram!("callboard_before_seconds", "Told before.");
            histogram!("callboard_before_seconds").record(1.0);
            histogram!("callboard_after_seconds").record(1.0);
            describe_histogram!("callboard_after_seconds", "Told after.");
        });
        assert!(text.contains("# HELP callboard_before_seconds Told before."), "{text}");
        assert!(text.contains("# HELP callboard_after_seconds Told after."), "{text}");
    }
}
