//! What every journal must do, run on the one in memory and on the embedded one.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use callboard_core::store::journal::{
    FileJournal, Journal, JournalConfig, JournalScan, MemoryJournal, Position,
};
use callboard_core::store::{Health, MAX_KEY_BYTES, StoreError, SubmitError};

const LONG: Duration = Duration::from_mins(1);

/// Bounds so small that tests reach them; no floor, so that a full build disk does not fail tests.
fn config() -> JournalConfig {
    JournalConfig {
        queue_bytes: 64 * 1024,
        max_record_bytes: 16 * 1024,
        min_free_bytes: 0,
        ..JournalConfig::default()
    }
}

/// A kind of journal: how to open one, and how to open it again after it was shut down.
trait Kind {
    type Journal: Journal;
    fn open(&mut self) -> Arc<Self::Journal>;
}

#[derive(Default)]
struct Memory(Option<Arc<MemoryJournal>>);

impl Kind for Memory {
    type Journal = MemoryJournal;

    fn open(&mut self) -> Arc<MemoryJournal> {
        let journal = self.0.take().map_or_else(|| MemoryJournal::new(config()), |journal| journal.reopen());
        Arc::clone(self.0.insert(Arc::new(journal)))
    }
}

struct Embedded(tempfile::TempDir);

impl Default for Embedded {
    fn default() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Kind for Embedded {
    type Journal = FileJournal;

    fn open(&mut self) -> Arc<FileJournal> {
        FileJournal::open(self.0.path(), &config()).unwrap().0
    }
}

fn read(journal: &dyn Journal) -> (BTreeMap<String, Vec<u8>>, JournalScan) {
    let mut records = BTreeMap::new();
    let report = journal
        .scan(&mut |key, value| {
            assert!(records.insert(key.to_owned(), value.to_vec()).is_none(), "{key} was visited twice");
            ControlFlow::Continue(())
        })
        .unwrap();
    (records, report)
}

fn keys(journal: &dyn Journal) -> Vec<String> {
    read(journal).0.into_keys().collect()
}

fn what_was_acknowledged_is_there_after_reopening(mut kind: impl Kind) {
    let journal = kind.open();
    let large = vec![7_u8; 16_000];
    journal.append("a", Some(&large)).unwrap();
    let position = journal.append("empty", Some(b"")).unwrap();
    journal.committed(position).wait().unwrap();
    assert_eq!(journal.durable(), position);
    journal.shutdown(LONG).unwrap();
    drop(journal);

    let journal = kind.open();
    let (records, report) = read(journal.as_ref());
    assert_eq!(records, BTreeMap::from([("a".to_owned(), large), ("empty".to_owned(), Vec::new())]));
    assert_eq!((report.records, report.bytes), (2, 16_006));
    assert!(report.damage.is_none() && !report.stopped);
    // Positions begin anew, and the beginning is always durable.
    assert_eq!(journal.durable(), Position::START);
    journal.committed(Position::START).wait().unwrap();
}

fn the_order_of_appends_is_the_order_of_effects(mut kind: impl Kind) {
    let journal = kind.open();
    let mut last = Position::START;
    for round in 0..200_u8 {
        let position = journal.append("k", Some(&[round])).unwrap();
        assert!(position > last);
        last = position;
        if round % 7 == 0 {
            journal.append("k", None).unwrap();
            last = journal.append("other", Some(&[round])).unwrap();
        }
        if round % 50 == 0 {
            journal.committed(last).wait().unwrap();
        }
    }
    journal.append("gone", Some(b"x")).unwrap();
    journal.append("gone", None).unwrap();
    last = journal.append("never was", None).unwrap();
    journal.committed(last).wait().unwrap();
    let wanted = [("k".to_owned(), vec![199]), ("other".to_owned(), vec![196])];
    assert_eq!(read(journal.as_ref()).0, BTreeMap::from(wanted));
    assert_eq!(last.appends(), 200 + 2 * 29 + 3);
}

fn what_nobody_waits_for_becomes_durable_too(mut kind: impl Kind) {
    let journal = kind.open();
    journal.append("a", Some(b"1")).unwrap();
    journal.shutdown(LONG).unwrap();
    drop(journal);
    assert_eq!(keys(kind.open().as_ref()), ["a"]);
}

fn what_cannot_be_stored_is_refused(mut kind: impl Kind) {
    let journal = kind.open();
    for key in ["", "a\0b", &"k".repeat(MAX_KEY_BYTES + 1)] {
        assert!(matches!(journal.append(key, None), Err(SubmitError::BadKey(_))), "{key}");
    }
    let error = journal.append("large", Some(&vec![0; 16 * 1024 + 1])).unwrap_err();
    assert_eq!(error, SubmitError::TooLarge { key: "large".into(), bytes: 16_385, limit: 16_384 });
    let position = journal.append(&"k".repeat(MAX_KEY_BYTES), Some(&vec![0; 16 * 1024])).unwrap();
    journal.committed(position).wait().unwrap();
    assert_eq!(keys(journal.as_ref()), ["k".repeat(MAX_KEY_BYTES)]);
    assert_eq!(journal.stats().refused, 4);
}

fn a_scan_can_be_ended_and_may_append(mut kind: impl Kind) {
    let journal = kind.open();
    for at in 0..50_u8 {
        journal.append(&format!("{at:02}"), Some(&[at])).unwrap();
    }
    journal.committed(Position::START).wait().unwrap();
    let position = journal.append("50", Some(&[50])).unwrap();
    journal.committed(position).wait().unwrap();
    let mut seen = 0;
    let report = journal
        .scan(&mut |key, _| {
            seen += 1;
            let position = journal.append(key, None).unwrap();
            journal.committed(position).wait().unwrap();
            if seen == 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert_eq!((seen, report.records, report.stopped), (10, 10, true));
    assert_eq!(keys(journal.as_ref()).len(), 41);
}

fn a_stopped_journal_refuses(mut kind: impl Kind) {
    let journal = kind.open();
    assert_eq!(journal.health(), Health::Healthy);
    let position = journal.append("a", Some(b"x")).unwrap();
    journal.shutdown(LONG).unwrap();
    assert_eq!(journal.append("a", Some(b"x")).unwrap_err(), SubmitError::Stopped);
    // What was flushed on the way out is durable, and whoever asks is told so.
    journal.committed(position).wait().unwrap();
    let scan = journal.scan(&mut |_, _| ControlFlow::Continue(()));
    assert!(matches!(scan, Err(StoreError::Stopped)));
    assert_eq!(journal.health(), Health::Stopped);
    assert!(!journal.health().is_ready());
    assert!((journal.load() - 1.0).abs() < f32::EPSILON);
    journal.shutdown(LONG).unwrap();
}

fn statistics_count_what_happened(mut kind: impl Kind) {
    let journal = kind.open();
    for bytes in [1_000, 400] {
        let position = journal.append("a", Some(&vec![0; bytes])).unwrap();
        journal.committed(position).wait().unwrap();
    }
    let stats = journal.stats();
    assert_eq!((stats.batches, stats.committed_records, stats.last_batch_records), (2, 2, 1));
    assert!(stats.committed_bytes >= 1_402 && stats.last_batch_bytes >= 401);
    assert_eq!((stats.queued_bytes, stats.queued_records, stats.queue_bytes_limit), (0, 0, 64 * 1024));
    assert!(journal.load() < f32::EPSILON);
}

macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        mod memory {
            $(#[test] fn $test() { super::$test(super::Memory::default()); })*
        }
        mod embedded {
            $(#[test] fn $test() { super::$test(super::Embedded::default()); })*
        }
    };
}

contract!(
    what_was_acknowledged_is_there_after_reopening,
    the_order_of_appends_is_the_order_of_effects,
    what_nobody_waits_for_becomes_durable_too,
    what_cannot_be_stored_is_refused,
    a_scan_can_be_ended_and_may_append,
    a_stopped_journal_refuses,
    statistics_count_what_happened,
);
