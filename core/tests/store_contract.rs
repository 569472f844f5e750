//! What every store must do, run on the one in memory and on the embedded one.

#![allow(clippy::unwrap_used)]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use callboard_core::store::{
    Health, MAX_KEY_BYTES, MemoryStore, ScanReport, SledStore, Store, StoreConfig, StoreError, SubmitError,
    Table, Write,
};

const LONG: Duration = Duration::from_mins(1);

/// Bounds so small that tests reach them; no floor, so that a full build disk does not fail tests.
fn config() -> StoreConfig {
    StoreConfig {
        flush_bytes: 64 * 1024,
        queue_bytes: 256 * 1024,
        queue_records: 64,
        max_record_bytes: 32 * 1024,
        min_free_bytes: 0,
        cache_bytes: 4 << 20,
        ..StoreConfig::default()
    }
}

/// A kind of store: how to open one, and how to open it again after it was shut down.
trait Kind {
    type Store: Store;
    fn open(&mut self) -> Arc<Self::Store>;
}

#[derive(Default)]
struct Memory(Option<Arc<MemoryStore>>);

impl Kind for Memory {
    type Store = MemoryStore;

    fn open(&mut self) -> Arc<MemoryStore> {
        let store = self.0.take().map_or_else(|| MemoryStore::new(config()), |store| store.reopen());
        Arc::clone(self.0.insert(Arc::new(store)))
    }
}

struct Embedded(tempfile::TempDir);

impl Default for Embedded {
    fn default() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Kind for Embedded {
    type Store = SledStore;

    fn open(&mut self) -> Arc<SledStore> {
        SledStore::open(self.0.path(), &config()).unwrap().0
    }
}

fn put(key: &str, value: &[u8]) -> Write {
    Write::put(Table::Device, key, value.to_vec())
}

fn read(store: &dyn Store, table: Table) -> (Vec<(String, Vec<u8>)>, ScanReport) {
    let mut records = Vec::new();
    let report = store
        .scan(table, &mut |key, value| {
            records.push((key.to_owned(), value.to_vec()));
            ControlFlow::Continue(())
        })
        .unwrap();
    (records, report)
}

fn keys(store: &dyn Store) -> Vec<String> {
    read(store, Table::Device).0.into_iter().map(|(key, _)| key).collect()
}

fn what_was_acknowledged_is_there_after_reopening(mut kind: impl Kind) {
    let store = kind.open();
    let large = vec![7_u8; 20_000];
    store.submit(vec![put("b", b"two"), put("a", &large)]).unwrap().wait().unwrap();
    store.submit(vec![Write::put(Table::Template, "b", b"template".to_vec())]).unwrap().wait().unwrap();
    store.submit(vec![put("empty", b"")]).unwrap().wait().unwrap();
    store.shutdown(LONG).unwrap();
    drop(store);

    let store = kind.open();
    let (records, report) = read(store.as_ref(), Table::Device);
    let expected =
        [("a".to_owned(), large), ("b".to_owned(), b"two".to_vec()), ("empty".to_owned(), Vec::new())];
    assert_eq!(records, expected);
    assert_eq!((report.records, report.bytes, report.damaged), (3, 20_010, 0));
    assert_eq!(read(store.as_ref(), Table::Template).0, [("b".to_owned(), b"template".to_vec())]);
    assert!(read(store.as_ref(), Table::Meta).0.is_empty());
}

fn writes_of_one_key_keep_their_order(mut kind: impl Kind) {
    let store = kind.open();
    let mut tickets = Vec::new();
    for round in 0..200_u8 {
        tickets.push(store.submit(vec![put("k", &[round])]).unwrap());
        if round % 7 == 0 {
            store.submit_detached(vec![put("k", &[round, round]), put("other", &[round])]).unwrap();
        }
    }
    store.submit(vec![put("k", b"last"), put("gone", b"x")]).unwrap().wait().unwrap();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    store.submit(vec![Write::delete(Table::Device, "gone")]).unwrap().wait().unwrap();
    store.submit(vec![Write::delete(Table::Device, "never was")]).unwrap().wait().unwrap();
    let (records, _) = read(store.as_ref(), Table::Device);
    assert_eq!(records, [("k".to_owned(), b"last".to_vec()), ("other".to_owned(), vec![196])]);
}

fn detached_writes_become_durable_too(mut kind: impl Kind) {
    let store = kind.open();
    store.submit_detached(vec![put("a", b"1")]).unwrap();
    store.shutdown(LONG).unwrap();
    drop(store);
    assert_eq!(keys(kind.open().as_ref()), ["a"]);
}

fn what_cannot_be_stored_is_refused_whole(mut kind: impl Kind) {
    let store = kind.open();
    let too_large = vec![0; 32 * 1024 + 1];
    for (write, wanted) in [
        (put("", b"x"), "key"),
        (put("a\0b", b"x"), "key"),
        (put(&"k".repeat(MAX_KEY_BYTES + 1), b"x"), "key"),
        (put("large", &too_large), "large"),
    ] {
        let error = store.submit(vec![put("innocent", b"x"), write]).unwrap_err();
        match wanted {
            "key" => assert!(matches!(error, SubmitError::BadKey(_)), "{error}"),
            _ => assert!(matches!(error, SubmitError::TooLarge { limit: 32_768, .. }), "{error}"),
        }
    }
    let part = vec![0; 20_000];
    let unit = ["a", "b", "c", "d"].map(|key| put(key, &part)).to_vec();
    assert!(matches!(store.submit(unit), Err(SubmitError::TooLarge { limit: 65_536, .. })));
    store.submit(Vec::new()).unwrap().wait().unwrap();
    store.submit(vec![put(&"k".repeat(MAX_KEY_BYTES), b"x")]).unwrap().wait().unwrap();
    assert_eq!(keys(store.as_ref()), ["k".repeat(MAX_KEY_BYTES)]);
    assert_eq!(store.stats().refused, 5);
}

fn a_scan_can_be_ended_and_may_submit(mut kind: impl Kind) {
    let store = kind.open();
    let writes = (0..50).map(|at| put(&format!("{at:02}"), &[at])).collect();
    store.submit(writes).unwrap().wait().unwrap();
    let mut seen = 0;
    let report = store
        .scan(Table::Device, &mut |key, _| {
            seen += 1;
            store.submit(vec![Write::delete(Table::Device, key)]).unwrap().wait().unwrap();
            if seen == 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert_eq!((seen, report.records, report.stopped), (10, 10, true));
    assert_eq!(keys(store.as_ref()).len(), 40);
    assert_eq!(keys(store.as_ref())[0], "10");
}

fn a_stopped_store_refuses(mut kind: impl Kind) {
    let store = kind.open();
    assert_eq!(store.health(), Health::Healthy);
    store.shutdown(LONG).unwrap();
    assert_eq!(store.submit(vec![put("a", b"x")]).unwrap_err(), SubmitError::Stopped);
    assert_eq!(store.submit_detached(vec![put("a", b"x")]), Err(SubmitError::Stopped));
    let scan = store.scan(Table::Device, &mut |_, _| ControlFlow::Continue(()));
    assert!(matches!(scan, Err(StoreError::Stopped)));
    assert_eq!(store.health(), Health::Stopped);
    assert!(!store.health().is_ready());
    assert!((store.load() - 1.0).abs() < f32::EPSILON);
    store.shutdown(LONG).unwrap();
}

fn statistics_count_what_happened(mut kind: impl Kind) {
    let store = kind.open();
    store.submit(vec![put("a", &[0; 1_000])]).unwrap().wait().unwrap();
    store.submit(vec![put("a", &[0; 400]), put("b", &[0; 99])]).unwrap().wait().unwrap();
    for table in Table::ALL {
        read(store.as_ref(), table);
    }
    let stats = store.stats();
    assert_eq!((stats.batches, stats.committed_records, stats.last_batch_records), (2, 3, 2));
    assert_eq!(stats.live_bytes, Some(401 + 100));
    assert_eq!((stats.queued_bytes, stats.queued_records), (0, 0));
    assert_eq!((stats.queue_bytes_limit, stats.queue_records_limit), (256 * 1024, 64));
    assert!(store.load() < f32::EPSILON);
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
    writes_of_one_key_keep_their_order,
    detached_writes_become_durable_too,
    what_cannot_be_stored_is_refused_whole,
    a_scan_can_be_ended_and_may_submit,
    a_stopped_store_refuses,
    statistics_count_what_happened,
);
