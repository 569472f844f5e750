//! What happened: a bounded history, and a live feed of it.

use std::collections::VecDeque;
use std::time::Duration;

use metrics::counter;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tracing::Level;

use crate::device::DeviceId;
use crate::time::Timestamp;

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// For the record.
    Info,
    /// Somebody should look at it some time.
    Warning,
    /// Somebody should look at it now.
    Error,
}

impl Severity {
    /// The word used in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident $word:literal $severity:ident,)*) => {
        /// What kind of thing happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum EventKind { $($(#[$doc])* $variant,)* }

        impl EventKind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word used in the API and in metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// How much events of this kind matter.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }
        }
    };
}

kinds! {
    /// The process is ready.
    NodeStarted "node-started" Info,
    /// The process is leaving.
    NodeStopping "node-stopping" Info,
    /// A device was read completely for the first time.
    DeviceRegistered "device-registered" Info,
    /// A device came back with other firmware.
    SoftwareChanged "software-changed" Info,
    /// Settings were changed at the phone.
    LocalChange "local-change" Info,
    /// A module was plugged in or out.
    InventoryChange "inventory-change" Info,
    /// The phone refused values.
    ItemsRefused "items-refused" Warning,
    /// Template items cannot be applied to a device.
    TemplateFault "template-fault" Warning,
    /// A phone reported how a file deployment went.
    FileStatus "file-status" Info,
    /// A task is done.
    TaskDone "task-done" Info,
    /// A task cannot be done.
    TaskFailed "task-failed" Warning,
    /// A dialogue ended before its end.
    FlowAbandoned "flow-abandoned" Warning,
    /// The phone ended a dialogue by itself.
    PhoneCleanUp "phone-clean-up" Warning,
    /// More messages in one dialogue than make sense.
    FlowLoop "flow-loop" Error,
    /// A phone sends more than it may.
    DeviceTooLarge "device-too-large" Error,
    /// The fleet is full.
    FleetFull "fleet-full" Error,
    /// A device in secure mode called on the default door.
    SecureModeViolation "secure-mode-violation" Error,
    /// A client certificate belongs to another device than the message.
    CertificateMismatch "certificate-mismatch" Error,
    /// A device is in secure mode now.
    SecureModeEntered "secure-mode-entered" Info,
    /// A device has left secure mode.
    SecureModeLeft "secure-mode-left" Info,
    /// Credentials could not be made or were refused.
    SecureModeFailed "secure-mode-failed" Error,
    /// The TAN typed at the phone is wrong.
    TanFailure "tan-failure" Error,
    /// An administrator changed something.
    AdminChange "admin-change" Info,
    /// The store cannot take records, or can again.
    StoreTrouble "store-trouble" Error,
}

impl EventKind {
    /// How loudly the log tells of it: INFO what the node and administrators do, WARN what somebody should look at now,
    /// DEBUG everything else.
    const fn level(self) -> Level {
        match (self, self.severity()) {
            (Self::NodeStarted | Self::NodeStopping | Self::AdminChange, _) => Level::INFO,
            // Who watches the store has a line of his own.
            (kind, Severity::Error) if !matches!(kind, Self::StoreTrouble) => Level::WARN,
            _ => Level::DEBUG,
        }
    }
}

/// Something that happened, before it has a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventDraft {
    /// What kind.
    pub kind: EventKind,
    /// The device it is about.
    pub device: Option<DeviceId>,
    /// What exactly, for people. Never holds a secret.
    pub text: String,
}

impl EventDraft {
    /// An event about a device.
    pub fn about(device: &DeviceId, kind: EventKind, text: impl Into<String>) -> Self {
        Self { kind, device: Some(device.clone()), text: text.into() }
    }

    /// An event about the node.
    pub fn node(kind: EventKind, text: impl Into<String>) -> Self {
        Self { kind, device: None, text: text.into() }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Counts up from 1 since this process started.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// What kind.
    pub kind: EventKind,
    /// The device it is about.
    pub device: Option<DeviceId>,
    /// What exactly.
    pub text: String,
}

/// The newest events, in memory, and whoever listens.
///
/// Events are a window on what goes on; what must be kept is in the records of devices and templates.
#[derive(Debug)]
pub struct EventLog {
    kept: usize,
    inner: Mutex<Inner>,
    warnings: Mutex<Warnings>,
    live: broadcast::Sender<Event>,
}

#[derive(Debug)]
struct Inner {
    next: u64,
    events: VecDeque<Event>,
}

/// Warnings of one minute; what comes beyond goes to DEBUG.
const WARNINGS_PER_MINUTE: u32 = 10;

/// Counts the warnings of the present minute.
#[derive(Debug, Default)]
struct Warnings {
    since: Option<Timestamp>,
    count: u32,
}

impl Warnings {
    fn take(&mut self, now: Timestamp) -> bool {
        if self.since.is_none_or(|since| now.since(since) >= Duration::from_mins(1)) {
            *self = Self { since: Some(now), count: 0 };
        }
        self.count += 1;
        self.count <= WARNINGS_PER_MINUTE
    }
}

/// Events that a slow listener may lag behind before it loses some.
const LIVE_BUFFER: usize = 1_024;

impl EventLog {
    /// A log that keeps the newest `kept` events.
    pub fn new(kept: usize) -> Self {
        let (live, _) = broadcast::channel(LIVE_BUFFER);
        let inner = Inner { next: 1, events: VecDeque::with_capacity(kept.min(1_024)) };
        Self { kept: kept.max(1), inner: Mutex::new(inner), warnings: Mutex::default(), live }
    }

    /// Record what happened.
    pub fn record(&self, at: Timestamp, draft: EventDraft) {
        let EventDraft { kind, device, text } = draft;
        counter!("callboard_events_total", "kind" => kind.as_str(), "severity" => kind.severity().as_str())
            .increment(1);
        self.log(at, kind, device.as_ref(), &text);
        let mut inner = self.inner.lock();
        let event = Event { id: inner.next, at, kind, device, text };
        inner.next += 1;
        if inner.events.len() == self.kept {
            inner.events.pop_front();
        }
        inner.events.push_back(event.clone());
        // Sent under the lock, so that listeners see the order of the numbers. Nobody listening is no error.
        let _ = self.live.send(event);
    }

    /// A line in the log. What peers bring about is kept down, so that none of them can fill the disk.
    fn log(&self, at: Timestamp, kind: EventKind, device: Option<&DeviceId>, text: &str) {
        let device = device.map(tracing::field::display);
        let word = kind.as_str();
        match kind.level() {
            Level::INFO => tracing::info!(kind = word, device, text, "event"),
            Level::WARN if self.warnings.lock().take(at) => {
                tracing::warn!(kind = word, device, text, "event");
            }
            _ => tracing::debug!(kind = word, device, text, "event"),
        }
    }

    /// The newest events that `wanted` takes, newest first, older than `before` if given, at most `limit`.
    pub fn recent(&self, before: Option<u64>, limit: usize, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let inner = self.inner.lock();
        inner
            .events
            .iter()
            .rev()
            .filter(|event| before.is_none_or(|before| event.id < before) && wanted(event))
            .take(limit)
            .cloned()
            .collect()
    }

    /// Events after `id`, oldest first, at most `limit`: what a listener missed while it was away, as far as it is kept.
    pub fn after(&self, id: u64, limit: usize) -> Vec<Event> {
        let inner = self.inner.lock();
        // Numbers have no gaps: where to begin is known.
        let first = inner.events.front().map_or(0, |event| event.id);
        let skip = usize::try_from(id.saturating_add(1).saturating_sub(first)).unwrap_or(usize::MAX);
        inner.events.iter().skip(skip).take(limit).cloned().collect()
    }

    /// The number of the newest event; 0 before the first.
    pub fn newest(&self) -> u64 {
        self.inner.lock().next - 1
    }

    /// Listen to what happens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.live.subscribe()
    }

    /// How many listen now.
    pub fn listeners(&self) -> usize {
        self.live.receiver_count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_of(count: usize, kept: usize) -> EventLog {
        let log = EventLog::new(kept);
        for n in 0..count {
            log.record(Timestamp::from_millis(1), EventDraft::node(EventKind::AdminChange, n.to_string()));
        }
        log
    }

    #[test]
    fn keeps_the_newest() {
        let log = log_of(5, 3);
        let ids = |events: Vec<Event>| events.iter().map(|event| event.id).collect::<Vec<_>>();
        assert_eq!(ids(log.recent(None, 10, |_| true)), [5, 4, 3]);
        assert_eq!(ids(log.recent(Some(5), 1, |_| true)), [4]);
        assert_eq!(ids(log.recent(None, 10, |event| event.text == "3")), [4]);
        assert_eq!(ids(log.after(3, 10)), [4, 5]);
        assert_eq!(ids(log.after(0, 2)), [3, 4]);
        assert_eq!(ids(log.after(u64::MAX, 2)), [] as [u64; 0]);
        assert_eq!((log.newest(), EventLog::new(1).newest()), (5, 0));
    }

    #[test]
    fn listeners_get_what_comes() {
        let log = log_of(2, 3);
        let mut feed = log.subscribe();
        log.record(Timestamp::from_millis(2), EventDraft::node(EventKind::NodeStarted, "x"));
        assert_eq!(feed.try_recv().unwrap().id, 3);
        assert!(feed.try_recv().is_err());
    }

    #[test]
    fn peers_bring_about_few_warnings_a_minute() {
        let (first, later) = (Timestamp::from_millis(1), Timestamp::from_millis(60_001));
        let mut warnings = Warnings::default();
        let taken = |warnings: &mut Warnings, at| (0..50).filter(|_| warnings.take(at)).count();
        assert_eq!(taken(&mut warnings, first), 10);
        assert_eq!(taken(&mut warnings, Timestamp::from_millis(60_000)), 0);
        assert_eq!(taken(&mut warnings, later), 10);
        for kind in EventKind::ALL {
            let level = kind.level();
            assert!(level >= Level::WARN, "{kind:?}: a peer must not bring about an error");
        }
        assert_eq!(EventKind::AdminChange.level(), Level::INFO);
        assert_eq!(EventKind::SecureModeViolation.level(), Level::WARN);
        assert_eq!(EventKind::FlowAbandoned.level(), Level::DEBUG);
    }

    #[test]
    fn words_are_unique_and_in_kebab_case() {
        let mut words: Vec<_> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), EventKind::ALL.len());
    }
}
