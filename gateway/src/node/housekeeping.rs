//! What has to be looked at once a second.

use std::sync::Arc;
use std::time::Duration;

use callboard_core::device::{DeviceState, SecureMode};
use callboard_core::event::{EventDraft, EventKind::StoreTrouble};
use callboard_core::service::Service;
use callboard_core::store::Health;
use metrics::{Gauge, gauge};
use tokio::time::{MissedTickBehavior, interval};

use crate::listen::Shutdown;

struct Gauges {
    flows: Gauge,
    states: Vec<Gauge>,
    modes: Vec<Gauge>,
    item_bytes: Gauge,
    pending: Gauge,
}

impl Gauges {
    fn new(service: &Service) -> Self {
        #[allow(clippy::cast_precision_loss)] // gauges are floats
        for (name, limit) in [
            ("callboard_wpi_flows_limit", service.settings().sessions.flows),
            ("callboard_fleet_devices_limit", service.fleet.limits().devices),
        ] {
            gauge!(name).set(limit as f64);
        }
        Self {
            flows: gauge!("callboard_wpi_flows"),
            states: DeviceState::ALL
                .iter()
                .map(|state| gauge!("callboard_fleet_devices", "state" => state.as_str()))
                .collect(),
            modes: SecureMode::ALL
                .iter()
                .map(|mode| gauge!("callboard_fleet_secure_mode", "mode" => mode.as_str()))
                .collect(),
            item_bytes: gauge!("callboard_fleet_item_bytes"),
            pending: gauge!("callboard_dcmp_pending_devices"),
        }
    }

    #[allow(clippy::cast_precision_loss)] // gauges are floats
    fn set(&self, service: &Service) {
        self.flows.set(service.open_flows() as f64);
        for (gauge, state) in self.states.iter().zip(DeviceState::ALL) {
            gauge.set(service.fleet.in_state(state) as f64);
        }
        for (gauge, mode) in self.modes.iter().zip(SecureMode::ALL) {
            gauge.set(service.fleet.in_mode(mode) as f64);
        }
        self.item_bytes.set(service.fleet.item_bytes() as f64);
        self.pending.set(service.reach.pending.len() as f64);
        service.sip.publish();
    }
}

/// Sweep flows, publish gauges and tell of trouble with the store, until the node stops.
pub(super) async fn run(service: Arc<Service>, shutdown: Shutdown) {
    let gauges = Gauges::new(&service);
    gauges.set(&service);
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut healthy = true;
    loop {
        tokio::select! {
            () = shutdown.stopped() => return,
            _ = ticks.tick() => {}
        }
        service.sweep();
        service.spool.tick(service.now());
        gauges.set(&service);
        let health = service.store().health();
        if healthy != health.is_ready() && health != Health::Stopped {
            healthy = health.is_ready();
            let text = store_words(&health);
            if healthy {
                tracing::info!("the store takes records again");
            } else {
                tracing::error!(text, "the store is in trouble: phones are told to come later");
            }
            service.record(EventDraft::node(StoreTrouble, text));
        }
    }
}

/// Place the tasks of jobs, and see to it that each of them ends, until the node stops. What is under way then goes on in
/// the next process.
pub(super) async fn work_on_jobs(service: Arc<Service>, shutdown: Shutdown) {
    let gauges = TaskGauges::new();
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let work = async {
        loop {
            service.work_on_jobs().await;
            gauges.set(&service);
            tokio::select! {
                _ = ticks.tick() => {}
                () = service.jobs_wait() => {}
            }
        }
    };
    tokio::select! {
        () = shutdown.stopped() => {}
        () = work => {}
    }
}

struct TaskGauges {
    jobs: Gauge,
    waiting: Gauge,
    running: Gauge,
}

impl TaskGauges {
    fn new() -> Self {
        let tasks = |state: &'static str| gauge!("callboard_fleet_tasks", "state" => state);
        Self { jobs: gauge!("callboard_jobs"), waiting: tasks("waiting"), running: tasks("running") }
    }

    fn set(&self, service: &Service) {
        let tasks = service.fleet.tally().all();
        #[allow(clippy::cast_precision_loss)] // at most some ten thousand
        self.jobs.set(service.jobs.book().len() as f64);
        self.waiting.set(f64::from(tasks.pending));
        self.running.set(f64::from(tasks.running));
    }
}

/// The store's health in words.
pub(super) fn store_words(health: &Health) -> String {
    match health {
        Health::Healthy => "the store takes records".to_owned(),
        Health::Stalled { since } => format!("a flush has been running for {} s", since.as_secs()),
        Health::NoSpace { free_bytes, needed_bytes } => {
            format!("{free_bytes} bytes are free on the disk, {needed_bytes} are needed")
        }
        Health::Failed(reason) => format!("the database failed: {reason}; a restart is needed"),
        Health::Stopped => "the store is closed".to_owned(),
    }
}
