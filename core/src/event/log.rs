//! The events that are kept, and whoever waits for the next one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, counter, describe_counter};
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::{Level, enabled};

use super::harmless::harmless;
use super::repeats::Repeats;
use super::tap::{Tap, TapPlace};
use super::{Event, EventClass, EventDraft, EventKind};
use crate::time::Timestamp;

/// Bounds on events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventLimits {
    /// Events kept of [`EventClass::Administration`].
    pub administration: usize,
    /// Events kept of [`EventClass::Task`].
    pub tasks: usize,
    /// Events kept of [`EventClass::Security`].
    pub security: usize,
    /// Events kept of [`EventClass::Trouble`].
    pub trouble: usize,
    /// Events kept of [`EventClass::Routine`].
    pub routine: usize,
    /// Events kept of [`EventClass::Audit`].
    pub audit: usize,
    /// Events kept of [`EventClass::Notification`].
    pub notifications: usize,
    /// Events of one kind about one device are few in this time.
    pub repeat_window: Duration,
    /// So few; beyond them, and if one is the same as the one before, they are counted only.
    pub repeats: usize,
}

impl Default for EventLimits {
    fn default() -> Self {
        Self {
            administration: 5_000,
            tasks: 5_000,
            security: 5_000,
            trouble: 5_000,
            routine: 5_000,
            audit: 5_000,
            notifications: 5_000,
            repeat_window: Duration::from_mins(1),
            repeats: 5,
        }
    }
}

impl EventLimits {
    const fn kept(&self, class: EventClass) -> usize {
        match class {
            EventClass::Administration => self.administration,
            EventClass::Task => self.tasks,
            EventClass::Security => self.security,
            EventClass::Trouble => self.trouble,
            EventClass::Routine => self.routine,
            EventClass::Audit => self.audit,
            EventClass::Notification => self.notifications,
        }
    }
}

/// Describe the metrics of this module.
pub fn describe_metrics() {
    describe_counter!("callboard_events_total", "Events that were recorded, by kind and severity.");
    describe_counter!(
        "callboard_events_repeated_total",
        "Events that were counted only, because they repeat others, by kind."
    );
}

/// The newest events, in memory, and whoever listens.
///
/// Events are a window on what goes on; what must be kept is in the records of devices and templates.
#[derive(Debug)]
pub struct EventLog {
    inner: Mutex<Inner>,
    warnings: Mutex<Warnings>,
    start: u64,
    newest: watch::Sender<u64>,
    counters: Vec<Counters>,
    tap: TapPlace,
}

struct Counters {
    recorded: Counter,
    repeated: Counter,
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counters(…)")
    }
}

impl Counters {
    fn of(kind: EventKind) -> Self {
        let word = kind.as_str();
        let made = Self {
            recorded: counter!("callboard_events_total", "kind" => word, "severity" => kind.severity().as_str()),
            repeated: counter!("callboard_events_repeated_total", "kind" => word),
        };
        // A series that is there from the beginning shows its first event as a rise.
        made.recorded.absolute(0);
        made.repeated.absolute(0);
        made
    }
}

#[derive(Debug)]
struct Inner {
    next: u64,
    /// One for each class, in the order of [`EventClass::ALL`].
    rings: [Ring; EventClass::ALL.len()],
}

/// The newest events of one class, by ascending number.
#[derive(Debug)]
struct Ring {
    kept: usize,
    events: VecDeque<Event>,
    repeats: Repeats,
}

impl Ring {
    fn new(class: EventClass, limits: &EventLimits) -> Self {
        let kept = limits.kept(class).max(1);
        // As many are remembered as are kept: where a device is forgotten, as many others were heard of.
        let repeats = Repeats::new(limits.repeat_window, limits.repeats.max(1), kept);
        Self { kept, events: VecDeque::new(), repeats }
    }

    fn push(&mut self, event: Event) {
        if self.events.len() == self.kept {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// The number of the oldest event that is kept.
    fn oldest(&self) -> u64 {
        self.events.front().map_or(u64::MAX, |event| event.id)
    }

    /// Where the events after `id` begin.
    fn after(&self, id: u64) -> usize {
        self.events.partition_point(|event| event.id <= id)
    }

    fn count_repetition(&mut self, id: u64) {
        if let Ok(at) = self.events.binary_search_by_key(&id, |event| event.id) {
            let event = &mut self.events[at];
            event.repeated = event.repeated.saturating_add(1);
        }
    }
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
        // Wall clocks may step back; that shall not mute warnings until they catch up.
        if self.since.is_none_or(|since| now < since || now.since(since) >= Duration::from_mins(1)) {
            *self = Self { since: Some(now), count: 0 };
        }
        self.count += 1;
        self.count <= WARNINGS_PER_MINUTE
    }
}

impl EventLog {
    /// An empty log of a process that started at `started`.
    pub fn new(limits: &EventLimits, started: Timestamp) -> Self {
        // Microseconds: faster than events can come, so that the next process begins with a higher number; and below
        // 2^53, what JSON readers take without loss, until the year 2255.
        let first = started.as_millis().saturating_mul(1_000).max(1);
        Self {
            inner: Mutex::new(Inner {
                next: first,
                rings: EventClass::ALL.map(|class| Ring::new(class, limits)),
            }),
            warnings: Mutex::default(),
            start: first - 1,
            newest: watch::Sender::new(first - 1),
            counters: EventKind::ALL.iter().copied().map(Counters::of).collect(),
            tap: TapPlace::default(),
        }
    }

    /// Tell this one of every event from now on. Only the first call counts.
    pub fn set_tap(&self, tap: Arc<dyn Tap>) {
        self.tap.set(tap);
    }

    /// Record what happened, or count that it happened again.
    pub fn record(&self, at: Timestamp, mut draft: EventDraft) {
        draft.text = harmless(draft.text);
        let kind = draft.kind;
        let counters = &self.counters[kind as usize];
        let mut inner = self.inner.lock();
        let Inner { next, rings } = &mut *inner;
        let (id, ring) = (*next, &mut rings[kind.class() as usize]);
        if kind.repeats()
            && let Some(same) = ring.repeats.repeated(&draft, at, id, ring.oldest())
        {
            ring.count_repetition(same);
            counters.repeated.increment(1);
            return;
        }
        counters.recorded.increment(1);
        let line = self.level(at, kind).map(|level| (level, draft.clone()));
        let EventDraft { kind, device, task, text } = draft;
        let event = Event { id, at, kind, device, task, text, repeated: 0 };
        self.tap.tell(&event);
        ring.push(event);
        *next += 1;
        self.newest.send_replace(id);
        // The log may wait for its reader.
        drop(inner);
        if let Some((level, draft)) = line {
            write_line(level, &draft);
        }
    }

    /// How loudly the log tells of an event; `None` if nobody reads so much. What peers bring about is kept down, so
    /// that none of them can fill the disk.
    fn level(&self, at: Timestamp, kind: EventKind) -> Option<Level> {
        let (level, heard) = match kind.level() {
            Level::INFO => (Level::INFO, enabled!(Level::INFO, kind, device, task, text)),
            Level::WARN if self.warnings.lock().take(at) => {
                (Level::WARN, enabled!(Level::WARN, kind, device, task, text))
            }
            _ => (Level::DEBUG, enabled!(Level::DEBUG, kind, device, task, text)),
        };
        heard.then_some(level)
    }

    /// The newest events that `wanted` takes, newest first, older than `before` if given, at most `limit`.
    pub fn recent(&self, before: Option<u64>, limit: usize, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let inner = self.inner.lock();
        let end =
            |ring: &Ring| before.map_or(ring.events.len(), |before| ring.after(before.saturating_sub(1)));
        let mut rings = inner.rings.each_ref().map(|ring| ring.events.range(..end(ring)).rev().peekable());
        let next = || {
            let newest = rings.iter_mut().filter_map(|ring| ring.peek().map(|event| event.id)).max()?;
            rings.iter_mut().find_map(|ring| ring.next_if(|event| event.id == newest))
        };
        std::iter::from_fn(next).filter(|event| wanted(event)).take(limit).cloned().collect()
    }

    /// Events after `id`, oldest first, at most `limit`: what a listener missed while it was away, as far as it is
    /// kept. A gap between two numbers is as many events that are not kept any more.
    pub fn after(&self, id: u64, limit: usize) -> Vec<Event> {
        let inner = self.inner.lock();
        let mut rings = inner.rings.each_ref().map(|ring| ring.events.range(ring.after(id)..).peekable());
        let next = || {
            let oldest = rings.iter_mut().filter_map(|ring| ring.peek().map(|event| event.id)).min()?;
            rings.iter_mut().find_map(|ring| ring.next_if(|event| event.id == oldest))
        };
        std::iter::from_fn(next).take(limit).cloned().collect()
    }

    /// The number of the newest event, or what it would be before the first.
    pub fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    /// What the number before the first event of this process would be.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Whether `id` can be the number of an event of this process, or [`EventLog::start`].
    pub fn is_own(&self, id: u64) -> bool {
        (self.start..=self.newest()).contains(&id)
    }

    /// Wait for what comes: the number of the newest event, each time it changes.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}

/// A line in the log.
fn write_line(level: Level, draft: &EventDraft) {
    let EventDraft { kind, device, task, text } = draft;
    let (device, task) = (device.as_ref().map(tracing::field::display), task.map(|task| task.0));
    let word = kind.as_str();
    match level {
        Level::INFO => tracing::info!(kind = word, device, task, text, "event"),
        Level::WARN => tracing::warn!(kind = word, device, task, text, "event"),
        _ => tracing::debug!(kind = word, device, task, text, "event"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::TaskId;

    const SMALL: EventLimits = EventLimits {
        administration: 3,
        tasks: 2,
        security: 2,
        trouble: 2,
        routine: 2,
        audit: 2,
        notifications: 2,
        repeat_window: Duration::from_mins(1),
        repeats: 100,
    };

    fn log_of(kinds: &[EventKind]) -> EventLog {
        let log = EventLog::new(&SMALL, Timestamp::default());
        for (n, kind) in kinds.iter().enumerate() {
            log.record(Timestamp::from_millis(1), EventDraft::node(*kind, n.to_string()));
        }
        log
    }

    fn ids(events: &[Event]) -> Vec<u64> {
        events.iter().map(|event| event.id).collect()
    }

    #[test]
    fn keeps_the_newest() {
        let log = log_of(&[EventKind::AdminChange; 5]);
        assert_eq!(ids(&log.recent(None, 10, |_| true)), [5, 4, 3]);
        assert_eq!(ids(&log.recent(Some(5), 1, |_| true)), [4]);
        assert_eq!(ids(&log.recent(None, 10, |event| event.text == "3")), [4]);
        assert_eq!(ids(&log.recent(Some(0), 10, |_| true)), [] as [u64; 0]);
        assert_eq!(ids(&log.after(3, 10)), [4, 5]);
        assert_eq!(ids(&log.after(0, 2)), [3, 4]);
        assert_eq!(ids(&log.after(u64::MAX, 2)), [] as [u64; 0]);
        assert_eq!((log.newest(), log_of(&[]).newest()), (5, 0));
    }

    #[test]
    fn a_flood_of_one_class_leaves_the_others_and_their_order() {
        use EventKind::{AdminChange, FlowAbandoned, SoftwareChanged, TanFailure};
        let mut kinds = vec![AdminChange, FlowAbandoned, TanFailure, SoftwareChanged];
        kinds.extend([SoftwareChanged; 10]);
        kinds.push(AdminChange);
        let log = log_of(&kinds);
        let all = [15, 14, 13, 3, 2, 1];
        assert_eq!(ids(&log.recent(None, 10, |_| true)), all);
        // Page by page it is the same, forwards too.
        let mut paged = Vec::new();
        while let [event] = &log.recent(paged.last().copied(), 1, |_| true)[..] {
            paged.push(event.id);
        }
        assert_eq!(paged, all);
        assert_eq!(ids(&log.after(0, 4)), [1, 2, 3, 13]);
        assert_eq!(ids(&log.after(13, 4)), [14, 15]);
    }

    #[test]
    fn one_device_cannot_fill_its_class() {
        let log = EventLog::new(&SMALL, Timestamp::default());
        let (one, two) = ("one".parse().unwrap(), "two".parse().unwrap());
        let happens = |device, text: &str| {
            log.record(Timestamp::from_millis(1), EventDraft::about(device, EventKind::TanFailure, text));
        };
        happens(&one, "x");
        for _ in 0..1_000 {
            happens(&two, "y");
        }
        let events = log.after(0, 10);
        let told: Vec<_> = events.iter().map(|event| (event.id, &*event.text, event.repeated)).collect();
        assert_eq!(told, [(1, "x", 0), (2, "y", 999)]);
    }

    #[test]
    fn what_would_repeat_an_event_that_is_not_kept_is_kept() {
        let log = EventLog::new(&SMALL, Timestamp::default());
        let happens = |device: &str| {
            let device = device.parse().unwrap();
            let draft = EventDraft::about(&device, EventKind::SecureModeViolation, "x");
            log.record(Timestamp::from_millis(1), draft);
        };
        // Two are kept: the third pushes the first one out.
        for device in ["one", "two", "three", "one", "one"] {
            happens(device);
        }
        let events = log.after(0, 10);
        let told: Vec<_> =
            events.iter().map(|e| (e.id, e.device.as_ref().unwrap().to_string(), e.repeated)).collect();
        assert_eq!(told, [(3, "three".to_owned(), 0), (4, "one".to_owned(), 1)]);
    }

    #[test]
    fn administrators_are_heard_each_time_and_tasks_by_themselves() {
        let log = EventLog::new(&SMALL, Timestamp::default());
        let phone = "phone".parse().unwrap();
        let happens = |kind, task| {
            let draft = EventDraft::about(&phone, kind, "x").of_task(TaskId(task));
            log.record(Timestamp::from_millis(1), draft);
        };
        happens(EventKind::AdminChange, 1);
        happens(EventKind::AdminChange, 1);
        for task in [1, 2, 1, 2] {
            happens(EventKind::TaskDone, task);
        }
        let told: Vec<_> = log.after(2, 10).iter().map(|event| (event.task, event.repeated)).collect();
        assert_eq!(told, [(Some(TaskId(1)), 1), (Some(TaskId(2)), 1)]);
    }

    #[test]
    fn tasks_of_many_phones_leave_what_administrators_did() {
        let log = log_of(&[EventKind::AdminChange]);
        for n in 0..1_000 {
            let phone = format!("phone-{n}").parse().unwrap();
            let kind = if n % 2 == 0 { EventKind::TaskDone } else { EventKind::TaskFailed };
            log.record(Timestamp::from_millis(1), EventDraft::about(&phone, kind, "x").of_task(TaskId(1)));
        }
        assert_eq!(ids(&log.after(0, 10)), [1, 1_000, 1_001]);
    }

    #[test]
    fn numbers_of_a_later_process_are_higher() {
        let started = Timestamp::from_millis(1_700_000_000_000);
        let first = EventLog::new(&SMALL, started);
        for _ in 0..1_000 {
            first.record(started, EventDraft::node(EventKind::AdminChange, "x"));
        }
        let second = EventLog::new(&SMALL, started.plus(Duration::from_millis(1)));
        second.record(started, EventDraft::node(EventKind::NodeStarted, "x"));
        assert!(second.newest() > first.newest());
        assert!(second.newest() < 1 << 53, "JSON readers take it without loss");
    }

    #[test]
    fn listeners_wait_for_what_comes() {
        let log = log_of(&[EventKind::AdminChange; 2]);
        let mut feed = log.subscribe();
        assert!(!feed.has_changed().unwrap());
        log.record(Timestamp::from_millis(2), EventDraft::node(EventKind::NodeStarted, "x"));
        assert!(feed.has_changed().unwrap());
        assert_eq!(*feed.borrow_and_update(), 3);
    }

    #[test]
    fn texts_of_peers_are_made_harmless() {
        let log = EventLog::new(&SMALL, Timestamp::default());
        let text = "reason `x\n2026 ERROR \u{202e}`";
        log.record(Timestamp::default(), EventDraft::node(EventKind::FlowAbandoned, text));
        assert_eq!(log.after(0, 1)[0].text, r"reason `x\u{a}2026 ERROR \u{202e}`");
    }

    /// Notes what it is told.
    #[derive(Default)]
    struct Notes(Mutex<Vec<Event>>);

    impl Tap for Notes {
        fn recorded(&self, event: &Event) {
            self.0.lock().push(event.clone());
        }
    }

    #[test]
    fn the_tap_hears_what_is_recorded_in_order_and_no_repetitions() {
        let log = log_of(&[EventKind::NodeStarted]);
        let (notes, others) = (Arc::new(Notes::default()), Arc::new(Notes::default()));
        log.set_tap(notes.clone());
        log.set_tap(others.clone());
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let log = &log;
                scope.spawn(move || {
                    for n in 0..50 {
                        let text = format!("{thread}-{n}");
                        log.record(Timestamp::from_millis(1), EventDraft::node(EventKind::AdminChange, text));
                        log.record(Timestamp::from_millis(1), EventDraft::node(EventKind::SiteAway, "x"));
                    }
                });
            }
        });
        let told = notes.0.lock();
        let wanted: Vec<u64> = (2..=202).collect();
        assert_eq!(ids(&told), wanted, "200 changes, and one event that the others only repeat");
        let newest = told.iter().rev().filter(|event| event.kind == EventKind::AdminChange).take(3);
        let kept = log.recent(None, 3, |event| event.kind == EventKind::AdminChange);
        assert!(newest.eq(&kept), "as they are kept");
        assert!(others.0.lock().is_empty(), "only the first call counts");
    }

    /// Takes what is INFO and more, and counts it.
    #[derive(Default)]
    struct Reader(std::sync::atomic::AtomicUsize);

    impl tracing::Subscriber for Reader {
        fn enabled(&self, meta: &tracing::Metadata<'_>) -> bool {
            *meta.level() <= Level::INFO
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, _: &tracing::Event<'_>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }

    #[test]
    fn the_log_tells_what_is_read() {
        use EventKind::{AdminChange, FlowAbandoned, SecureModeViolation};
        let reader = Arc::new(Reader::default());
        tracing::subscriber::with_default(reader.clone(), || {
            let log = log_of(&[AdminChange, AdminChange, FlowAbandoned, SecureModeViolation]);
            let level = |kind| log.level(Timestamp::from_millis(1), kind);
            let levels = [AdminChange, FlowAbandoned, SecureModeViolation].map(level);
            assert_eq!(levels, [Some(Level::INFO), None, Some(Level::WARN)]);
        });
        assert_eq!(reader.0.load(std::sync::atomic::Ordering::Relaxed), 3);
    }

    #[test]
    fn peers_bring_about_few_warnings_a_minute() {
        let (first, later) = (Timestamp::from_millis(1), Timestamp::from_millis(60_001));
        let mut warnings = Warnings::default();
        let taken = |warnings: &mut Warnings, at| (0..50).filter(|_| warnings.take(at)).count();
        assert_eq!(taken(&mut warnings, first), 10);
        assert_eq!(taken(&mut warnings, Timestamp::from_millis(60_000)), 0);
        assert_eq!(taken(&mut warnings, later), 10);
        // The clock steps back.
        assert_eq!(taken(&mut warnings, first), 10);
        assert_eq!(taken(&mut warnings, Timestamp::from_millis(60_000)), 0);
    }
}
