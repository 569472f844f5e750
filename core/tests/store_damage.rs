//! Damage in the files of a store that was not closed: it is told, nothing is served, and the files stay.

#![allow(clippy::unwrap_used)]

mod files;

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use callboard_core::store::{
    CommitsFault, Folders, MaintenanceError, OpenError, SledStore, Store, StoreConfig, Table, Write, check,
    compact, export, import,
};

use files::{copy, value_of};

const RECORDS: u64 = 400;

fn config() -> StoreConfig {
    StoreConfig {
        min_free_bytes: 0,
        flush_spacing: Duration::ZERO,
        cache_bytes: 4 << 20,
        ..StoreConfig::default()
    }
}

/// The folders of an installation whose store is `store`.
fn folders(store: &Path) -> Folders {
    let name = store.file_name().unwrap().to_str().unwrap();
    let beside = |ending| store.with_file_name(format!("{name}-{ending}"));
    Folders { store: store.to_owned(), bindings: beside("b"), notifications: beside("n") }
}

/// What a kill leaves of a store with so many commits of one record each.
fn killed(dir: &Path) {
    let running = tempfile::tempdir().unwrap();
    let (store, _) = SledStore::open(running.path(), &config()).unwrap();
    for at in 0..RECORDS {
        let write = Write::put(Table::Device, format!("{at:03}"), value_of(at));
        store.submit(vec![write]).unwrap().wait().unwrap();
    }
    copy(running.path(), dir);
}

fn db(dir: &Path) -> PathBuf {
    dir.join("records-1/db")
}

fn flip(dir: &Path, percent: usize) {
    let mut bytes = fs::read(db(dir)).unwrap();
    let at = bytes.len() * percent / 100;
    bytes[at] ^= 0x10;
    fs::write(db(dir), bytes).unwrap();
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(dir.join("records-1")).unwrap().flatten();
    entries
        .filter(|entry| entry.path().is_file())
        .map(|entry| (entry.path(), fs::read(entry.path()).unwrap()))
        .collect()
}

fn count(store: &SledStore) -> u64 {
    let scan = store.scan(Table::Device, &mut |key, value| {
        assert_eq!(value, value_of(key.parse().unwrap()), "a wrong value was served for {key}");
        ControlFlow::Continue(())
    });
    scan.map_or(0, |report| report.records)
}

#[test]
fn a_flipped_byte_in_the_log_of_a_killed_store_is_told_and_not_served() {
    let whole = tempfile::tempdir().unwrap();
    killed(whole.path());
    let mut lost = 0;
    for percent in [5, 20, 35, 50, 65, 80] {
        let dir = tempfile::tempdir().unwrap();
        copy(whole.path(), dir.path());
        flip(dir.path(), percent);
        let before = files(dir.path());
        let sound = check(dir.path()).is_ok_and(|report| report.is_sound());
        assert_eq!(files(dir.path()), before, "the check changed the store");
        assert!(!dir.path().join("records-copy").exists());
        match SledStore::open(dir.path(), &config()) {
            Ok((store, _)) => {
                assert!(sound && count(&store) == RECORDS, "{percent} %: served, check {sound}");
            }
            Err(error) => {
                assert!(error.is_damage() && !sound, "{percent} %: {error}, check {sound}");
                if matches!(error, OpenError::LostCommits { .. }) {
                    lost += 1;
                    assert_ne!(files(dir.path()), before, "{percent} %");
                    assert!(
                        error.to_string().contains("was cut off when the database was opened"),
                        "{error}"
                    );
                }
                // It stays so at the next start, and compacting does not make it good.
                assert!(SledStore::open(dir.path(), &config()).is_err());
                assert!(compact(dir.path(), &mut |_| ()).is_err());
            }
        }
    }
    assert!(lost > 0, "damage was never noticed");
}

#[test]
fn what_is_readable_of_a_damaged_store_moves_to_a_new_one() {
    let whole = tempfile::tempdir().unwrap();
    killed(whole.path());
    let sound = check(whole.path()).unwrap();
    assert!(sound.is_sound() && sound.missing_commits == 0, "{sound:?}");
    let dir = tempfile::tempdir().unwrap();
    // Some bytes of the log belong to what was written again later; they do no harm.
    let report = (10..90).step_by(10).find_map(|percent| {
        copy(whole.path(), dir.path());
        flip(dir.path(), percent);
        check(dir.path()).ok().filter(|report| report.missing_commits > 0)
    });
    let report = report.unwrap();
    assert!(!report.is_sound(), "{report:?}");
    let before = files(dir.path());
    let mut text = Vec::new();
    let exported = export(&folders(dir.path()), &mut text, None, &mut |_| ()).unwrap();
    assert_eq!(files(dir.path()), before, "the export changed the store");
    assert_eq!((exported.is_complete(), exported.missing_commits), (false, report.missing_commits));
    assert_eq!(exported.records, RECORDS - exported.missing_commits);
    let new = tempfile::tempdir().unwrap();
    import(&folders(new.path()), &config(), &mut text.as_slice(), &mut |_| ()).unwrap();
    let (store, _) = SledStore::open(new.path(), &config()).unwrap();
    assert_eq!(count(&store), exported.records);
}

#[test]
fn a_damaged_file_of_commits_is_told_because_it_hides_what_is_missing() {
    let whole = tempfile::tempdir().unwrap();
    killed(whole.path());
    let dir = tempfile::tempdir().unwrap();
    let cut = (10..90).step_by(10).any(|percent| {
        copy(whole.path(), dir.path());
        flip(dir.path(), percent);
        check(dir.path()).is_ok_and(|report| report.missing_commits > 0)
    });
    assert!(cut, "no place cuts the log off");
    let commits = dir.path().join("records-1/commits");
    let reports = || {
        let exported = export(&folders(dir.path()), &mut Vec::new(), None, &mut |_| ()).unwrap();
        (check(dir.path()).unwrap(), exported)
    };
    fs::write(&commits, "rubbish").unwrap();
    let (checked, exported) = reports();
    assert_eq!((exported.missing_commits, exported.commits_fault), (0, Some(CommitsFault::Damaged)));
    assert_eq!((checked.missing_commits, checked.commits_fault), (0, Some(CommitsFault::Damaged)));
    assert!(!exported.is_complete() && !checked.is_sound());
    // One that is not there is told, and no more: a loss of power may take it.
    fs::remove_file(&commits).unwrap();
    let (checked, exported) = reports();
    let faults = (checked.commits_fault, exported.commits_fault);
    assert_eq!(faults, (Some(CommitsFault::Missing), Some(CommitsFault::Missing)));
    assert!(exported.is_complete() && checked.is_sound());
}

#[test]
fn an_export_steps_over_a_page_that_cannot_be_read() {
    let whole = tempfile::tempdir().unwrap();
    killed(whole.path());
    // Once it was opened and closed, its summary covers the log.
    SledStore::open(whole.path(), &config()).unwrap().0.shutdown(Duration::from_mins(1)).unwrap();
    let mut stepped = 0;
    // Which page a place belongs to differs from run to run.
    for percent in (2..98).step_by(3) {
        let dir = tempfile::tempdir().unwrap();
        copy(whole.path(), dir.path());
        flip(dir.path(), percent);
        let Ok(report) = export(&folders(dir.path()), &mut Vec::new(), None, &mut |_| ()) else { continue };
        assert_eq!(report.is_complete(), report.records == RECORDS, "{percent} %: {report:?}");
        if !report.unreadable.is_empty() {
            let checked = check(dir.path());
            assert!(
                matches!(
                    checked.as_ref().err(),
                    Some(MaintenanceError::Open(error)) if error.is_damage()
                ),
                "{checked:?}"
            );
            assert!(report.unreadable[0].contains("is damaged at byte"), "{report:?}");
            stepped += u64::from(report.records > RECORDS / 2);
        }
    }
    assert!(stepped > 0, "no page was stepped over");
}

#[test]
fn a_file_that_cannot_be_opened_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = SledStore::open(dir.path(), &config()).unwrap();
    store.submit(vec![Write::put(Table::Device, "000", value_of(0))]).unwrap().wait().unwrap();
    store.shutdown(Duration::from_mins(1)).unwrap();
    let commits = dir.path().join("records-1/commits");
    fs::remove_file(&commits).unwrap();
    fs::create_dir(&commits).unwrap();
    let in_the_way = |error: &OpenError| {
        matches!(error, OpenError::Io { .. }) && !error.is_damage() && error.to_string().contains("commits")
    };
    let opened = SledStore::open(dir.path(), &config()).map(drop);
    assert!(opened.as_ref().is_err_and(in_the_way), "{opened:?}");
    for outcome in [check(dir.path()).map(drop), compact(dir.path(), &mut |_| ()).map(drop)] {
        assert!(matches!(&outcome, Err(MaintenanceError::Open(error)) if in_the_way(error)), "{outcome:?}");
    }
    fs::remove_dir(&commits).unwrap();
    let (store, _) = SledStore::open(dir.path(), &config()).unwrap();
    assert_eq!(count(&store), 1);
}
