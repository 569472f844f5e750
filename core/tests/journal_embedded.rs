//! What is particular to the journal in files: the disk that fills up or hangs, compaction, who may open it.

#![allow(clippy::unwrap_used)]

mod files;

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use callboard_core::store::journal::{FileJournal, Journal, JournalConfig, Position, check, compact};
use callboard_core::store::{CommitError, Health, OpenError, StoreError, SubmitError};

use files::{copy, value_of};

const LONG: Duration = Duration::from_mins(1);
const MIB: u64 = 1024 * 1024;

fn config() -> JournalConfig {
    JournalConfig { min_free_bytes: 0, ..JournalConfig::default() }
}

/// Compacts after every few records.
fn eager() -> JournalConfig {
    JournalConfig { compact_bytes: 16 * 1024, compact_percent: 10, scan_bytes: 1 << 20, ..config() }
}

fn open(dir: &Path, config: &JournalConfig) -> Arc<FileJournal> {
    FileJournal::open(dir, config).unwrap().0
}

fn put(journal: &dyn Journal, at: u64) -> Position {
    let position = journal.append(&(at % 40).to_string(), Some(&value_of(at))).unwrap();
    journal.committed(position).wait().unwrap();
    position
}

fn read(journal: &dyn Journal) -> BTreeMap<String, Vec<u8>> {
    let mut records = BTreeMap::new();
    let report = journal
        .scan(&mut |key, value| {
            assert!(records.insert(key.to_owned(), value.to_vec()).is_none());
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(report.damage.is_none(), "{:?}", report.damage);
    records
}

/// What is left after that many records.
fn wanted(records: u64) -> BTreeMap<String, Vec<u8>> {
    (0..records).map(|at| ((at % 40).to_string(), value_of(at))).collect()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..1_000_000 {
        if done() {
            return;
        }
        thread::yield_now();
    }
    panic!("never {what}");
}

/// A journal whose writer the test can hold: it asks for the free space before each flush.
fn held(dir: &Path, config: &JournalConfig) -> (Arc<FileJournal>, Receiver<()>, SyncSender<()>) {
    let config = JournalConfig { min_free_bytes: 16 * MIB, ..config.clone() };
    let (arrived, arrives) = sync_channel(1_000);
    let (go, going) = sync_channel::<()>(1_000);
    let going = Mutex::new(going);
    // The writer's start asks once.
    go.send(()).unwrap();
    let space = Box::new(move || {
        let _ = arrived.send(());
        let _ = going.lock().unwrap().recv();
        Ok(1_000 * MIB)
    });
    let journal = FileJournal::open_with(dir, &config, space).unwrap().0;
    arrives.recv().unwrap();
    (journal, arrives, go)
}

#[test]
fn what_gathers_during_a_flush_goes_with_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, arrives, go) = held(dir.path(), &config());
    let first = journal.append("first", Some(b"1")).unwrap();
    let early = journal.committed(first);
    arrives.recv().unwrap();
    let mut last = first;
    for at in 0..100_u64 {
        last = journal.append(&at.to_string(), Some(b"1")).unwrap();
    }
    let late: Vec<_> = (0..50).map(|_| journal.committed(last)).collect();
    assert!(journal.durable() < first);
    // All of it is taken at once, whichever ticket it is for.
    go.send(()).unwrap();
    early.wait().unwrap();
    drop(go);
    for ticket in late {
        ticket.wait().unwrap();
    }
    assert_eq!(journal.durable(), last);
    assert!(journal.stats().batches <= 2, "{:?}", journal.stats());
}

#[test]
fn a_full_queue_refuses_and_a_hanging_disk_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let config = JournalConfig {
        queue_bytes: 64 * 1024,
        max_record_bytes: 16 * 1024,
        stall_after: Duration::from_millis(1),
        ..config()
    };
    let (journal, arrives, go) = held(dir.path(), &config);
    let first = journal.append("first", Some(b"1")).unwrap();
    let ticket = journal.committed(first);
    arrives.recv().unwrap();
    let error = loop {
        if let Err(error) = journal.append("more", Some(&value_of(0))) {
            break error;
        }
    };
    assert!(matches!(error, SubmitError::Full { queued_bytes, .. } if queued_bytes > 62_000), "{error}");
    assert!(journal.load() > 0.9 && journal.stats().queued_records > 40);
    until("stalled", || matches!(journal.health(), Health::Stalled { .. }));
    assert!(matches!(journal.shutdown(Duration::from_millis(1)), Err(StoreError::Deadline(_))));
    drop(go);
    ticket.wait().unwrap();
    journal.shutdown(LONG).unwrap();
    drop(journal);
    assert_eq!(read(open(dir.path(), &config).as_ref()).len(), 2);
}

#[test]
fn a_disk_without_space_keeps_what_is_queued_until_there_is_some() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        JournalConfig { min_free_bytes: 16 * MIB, space_retry: Duration::from_millis(1), ..config() };
    let free = Arc::new(AtomicU64::new(100 * MIB));
    let asked = Arc::clone(&free);
    let space = Box::new(move || Ok(asked.load(Ordering::Acquire)));
    let (journal, _) = FileJournal::open_with(dir.path(), &config, space).unwrap();
    put(journal.as_ref(), 0);
    free.store(MIB, Ordering::Release);
    let position = journal.append("1", Some(&value_of(1))).unwrap();
    assert_eq!(journal.committed(position).wait(), Err(CommitError::NoSpace));
    assert!(matches!(journal.append("2", None), Err(SubmitError::NoSpace { free_bytes: MIB, .. })));
    assert!(matches!(journal.health(), Health::NoSpace { free_bytes: MIB, .. }));
    assert!(journal.load() >= 1.0 && journal.stats().queued_records == 1);
    // Above the floor, but not by enough: it does not flutter.
    free.store(16 * MIB, Ordering::Release);
    assert_eq!(journal.committed(position).wait(), Err(CommitError::NoSpace));
    free.store(100 * MIB, Ordering::Release);
    until("healthy", || journal.health() == Health::Healthy);
    journal.committed(position).wait().unwrap();
    assert_eq!(read(journal.as_ref()), wanted(2));
    // What cannot be made durable before the end is told.
    free.store(MIB, Ordering::Release);
    journal.append("3", Some(&value_of(3))).unwrap();
    let outcome = journal.shutdown(LONG);
    assert!(
        matches!(outcome, Err(StoreError::Unsaved { records: 1, reason: CommitError::NoSpace })),
        "{outcome:?}"
    );
}

#[test]
fn compaction_goes_on_beside_commits_and_bounds_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), &eager());
    let mut records = 0;
    while journal.stats().compactions < 5 {
        put(journal.as_ref(), records);
        records += 1;
        assert!(records < 100_000, "never compacted");
    }
    assert_eq!(read(journal.as_ref()), wanted(records));
    let stats = journal.stats();
    assert!(stats.snapshot_bytes > 0 && stats.damaged_records == 0);
    journal.shutdown(LONG).unwrap();
    drop(journal);
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(names.len() <= 4, "{names:?}");
    assert_eq!(read(open(dir.path(), &eager()).as_ref()), wanted(records));
}

#[test]
fn without_space_for_a_snapshot_commits_go_on_and_it_is_made_later() {
    let dir = tempfile::tempdir().unwrap();
    let config = JournalConfig { min_free_bytes: 16 * MIB, ..eager() };
    // Asked at the start, before each of eleven flushes, and then for the snapshot.
    let asked = AtomicU64::new(0);
    let space = move || Ok(if asked.fetch_add(1, Ordering::AcqRel) == 12 { MIB } else { 100 * MIB });
    let (journal, _) = FileJournal::open_with(dir.path(), &config, Box::new(space)).unwrap();
    for at in 0..12 {
        put(journal.as_ref(), at);
    }
    let stats = journal.stats();
    assert!(stats.log_bytes > eager().compact_bytes && stats.compactions == 0, "{stats:?}");
    assert_eq!(journal.health(), Health::Healthy);
    let mut records = 12;
    while journal.stats().compactions == 0 {
        put(journal.as_ref(), records);
        records += 1;
        assert!(records < 100_000, "never compacted");
    }
    assert!(records >= 22);
    assert_eq!(read(journal.as_ref()), wanted(records));
}

#[test]
fn offline_compaction_leaves_one_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(compact(&dir.path().join("missing")).unwrap(), None);
    let journal = open(dir.path(), &config());
    for at in 0..200 {
        put(journal.as_ref(), at);
    }
    assert!(matches!(compact(dir.path()).unwrap_err().to_string(), text if text.contains("in use")));
    drop(journal);
    let before = check(dir.path()).unwrap().unwrap();
    assert_eq!((before.scan.records, before.torn_bytes, before.is_sound()), (40, 0, true));
    let report = compact(dir.path()).unwrap().unwrap();
    assert_eq!((report.records, report.before), (40, before.size_on_disk));
    assert!(report.after < report.before / 4 && report.damage.is_none(), "{report:?}");
    let after = check(dir.path()).unwrap().unwrap();
    assert_eq!((after.scan.records, after.size_on_disk), (40, report.after));
    assert_eq!(read(open(dir.path(), &config()).as_ref()), wanted(200));
}

#[test]
fn a_torn_end_is_cut_off_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), &config());
    for at in 0..30 {
        put(journal.as_ref(), at);
    }
    let killed = tempfile::tempdir().unwrap();
    copy(dir.path(), killed.path());
    let log = killed.path().join("log-0000000001");
    let whole = fs::metadata(&log).unwrap().len();
    fs::File::options().write(true).open(&log).unwrap().set_len(whole - 1).unwrap();
    let seen = check(killed.path()).unwrap().unwrap();
    assert!(seen.is_sound() && seen.torn_bytes > 1_000 && seen.scan.records == 29, "{seen:?}");
    let (journal, report) = FileJournal::open(killed.path(), &config()).unwrap();
    assert_eq!((report.torn_bytes, report.created), (seen.torn_bytes, false));
    assert_eq!(read(journal.as_ref()), wanted(29));
    // It goes on where it was cut.
    put(journal.as_ref(), 29);
    drop(journal);
    let (journal, report) = FileJournal::open(killed.path(), &config()).unwrap();
    assert_eq!(report.torn_bytes, 0);
    assert_eq!(read(journal.as_ref()), wanted(30));
}

#[test]
fn others_newer_data_and_wrong_bounds_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), &config());
    assert!(matches!(FileJournal::open(dir.path(), &config()), Err(OpenError::InUse(_))));
    drop(journal);
    let wrong = JournalConfig { queue_bytes: 0, ..config() };
    assert!(matches!(FileJournal::open(dir.path(), &wrong), Err(OpenError::Config(_))));
    let log = dir.path().join("log-0000000001");
    let mut bytes = fs::read(&log).unwrap();
    bytes[8] = 7;
    fs::write(&log, &bytes).unwrap();
    let error = FileJournal::open(dir.path(), &config()).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 7, supported: 1, .. }), "{error}");
    assert!(check(dir.path()).is_err() && compact(dir.path()).is_err());
    assert_eq!(fs::read(&log).unwrap(), bytes, "it was changed");
}
