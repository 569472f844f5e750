//! Figures of the tokio runtime, taken through `tokio-metrics` at each scrape.

use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, IntCounter};
use tokio::runtime::Handle;
use tokio_metrics::{RuntimeMetrics, RuntimeMonitor};

/// The collector of `callboard_runtime_*`.
pub(super) struct Runtime {
    intervals: Mutex<Box<dyn Iterator<Item = RuntimeMetrics> + Send>>,
    workers: Gauge,
    tasks: Gauge,
    queue: Gauge,
    busy: Counter,
    parks: IntCounter,
    busiest: Gauge,
}

impl Runtime {
    pub(super) fn new(handle: &Handle) -> Result<Self, prometheus::Error> {
        Ok(Self {
            intervals: Mutex::new(Box::new(RuntimeMonitor::new(handle).intervals())),
            workers: Gauge::new("callboard_runtime_workers", "Threads that run tasks.")?,
            tasks: Gauge::new("callboard_runtime_tasks", "Tasks alive.")?,
            queue: Gauge::new("callboard_runtime_queue_tasks", "Tasks in the runtime's global queue.")?,
            busy: Counter::new("callboard_runtime_busy_seconds_total", "Time all workers spent on tasks.")?,
            parks: IntCounter::new("callboard_runtime_parks_total", "Times a worker went to sleep.")?,
            busiest: Gauge::new(
                "callboard_runtime_busiest_worker_ratio",
                "Share of the time since the last scrape in which the busiest worker was busy.",
            )?,
        })
    }

    fn parts(&self) -> [&dyn Collector; 6] {
        [&self.workers, &self.tasks, &self.queue, &self.busy, &self.parks, &self.busiest]
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; counts stay far below 2^52")]
impl Collector for Runtime {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut intervals = self.intervals.lock();
        if let Some(interval) = intervals.next() {
            self.workers.set(interval.workers_count as f64);
            self.tasks.set(interval.live_tasks_count as f64);
            self.queue.set(interval.global_queue_depth as f64);
            self.busy.inc_by(interval.total_busy_duration.as_secs_f64());
            self.parks.inc_by(interval.total_park_count);
            let elapsed = interval.elapsed.as_secs_f64();
            if elapsed > 0.0 {
                self.busiest.set((interval.max_busy_duration.as_secs_f64() / elapsed).min(1.0));
            }
        }
        self.parts().into_iter().flat_map(Collector::collect).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn workers_and_tasks_are_counted() {
        let runtime = Runtime::new(&Handle::current()).unwrap();
        let (hold, held) = tokio::sync::oneshot::channel::<()>();
        let task = tokio::spawn(held);
        let families = runtime.collect();
        let gauge = |name: &str| {
            families.iter().find(|family| family.name() == name).unwrap().get_metric()[0]
                .get_gauge()
                .get_value()
        };
        assert!((gauge("callboard_runtime_workers") - 2.0).abs() < f64::EPSILON);
        assert!(gauge("callboard_runtime_tasks") >= 1.0);
        drop(hold);
        assert!(task.await.unwrap().is_err());
    }
}
