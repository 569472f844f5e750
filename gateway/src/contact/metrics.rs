//! Figures of contact-me. No label ever holds an address.

use callboard_core::reach::CallOutcome;
use callboard_core::reach::calls::CallCounts;
use callboard_core::reach::scan::ScanAnswer;
use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

/// Tells the installed recorder what the metrics of contact-me mean.
pub fn describe_metrics() {
    describe_counter!("callboard_contact_calls_total", "Calls to devices by how they ended");
    describe_histogram!(
        "callboard_contact_call_seconds",
        Unit::Seconds,
        "From the start of a call to a device to its end"
    );
    describe_gauge!("callboard_contact_devices", "Devices with work waiting, by how far their calls are");
    describe_counter!("callboard_contact_used_up_total", "Devices that did not come after all their calls");
    describe_counter!("callboard_scan_calls_total", "Calls of scans by what answered");
}

pub(super) struct ContactMetrics {
    calls: [Counter; CallOutcome::LABELS.len()],
    pub(super) seconds: Histogram,
    pub(super) used_up: Counter,
    devices: [Gauge; 3],
    probes: [Counter; 3],
}

impl ContactMetrics {
    pub(super) fn new() -> Self {
        Self {
            calls: CallOutcome::LABELS
                .map(|outcome| counter!("callboard_contact_calls_total", "outcome" => outcome)),
            seconds: histogram!("callboard_contact_call_seconds"),
            used_up: counter!("callboard_contact_used_up_total"),
            devices: ["waiting", "calling", "used-up"]
                .map(|state| gauge!("callboard_contact_devices", "state" => state)),
            probes: ["phone", "other", "nothing"]
                .map(|answer| counter!("callboard_scan_calls_total", "answer" => answer)),
        }
    }

    pub(super) fn ended(&self, outcome: &CallOutcome) {
        self.calls[outcome.label()].increment(1);
    }

    pub(super) fn probed(&self, answer: &ScanAnswer) {
        let at = match answer {
            ScanAnswer::Phone => 0,
            ScanAnswer::Other(_) => 1,
            _ => 2,
        };
        self.probes[at].increment(1);
    }

    #[allow(clippy::cast_precision_loss)] // gauges are floats
    pub(super) fn set(&self, counts: CallCounts) {
        let CallCounts { waiting, calling, used_up } = counts;
        for (gauge, count) in self.devices.iter().zip([waiting, calling, used_up]) {
            gauge.set(count as f64);
        }
    }
}
