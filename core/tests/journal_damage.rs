//! Damage in the files of a journal: it is told, costs no more than it touches, and no wrong value is served.

#![allow(clippy::unwrap_used)]

mod files;

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use callboard_core::store::journal::{
    Damage, FileJournal, Journal, JournalConfig, JournalScan, check, compact,
};
use proptest::prelude::*;

use files::copy;

const RECORDS: u64 = 600;
const KEYS: u64 = 150;

fn config() -> JournalConfig {
    JournalConfig { min_free_bytes: 0, compact_bytes: u64::MAX, ..JournalConfig::default() }
}

fn value(at: u64) -> Vec<u8> {
    files::value_of(at)[..100].to_vec()
}

/// A journal of a snapshot and a log, closed.
fn whole(dir: &Path) {
    static MADE: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        dir
    });
    copy(MADE.path(), dir);
}

fn make(dir: &Path) {
    let write = |from: u64, to: u64| {
        let (journal, _) = FileJournal::open(dir, &config()).unwrap();
        for at in from..to {
            let position = journal.append(&(at % KEYS).to_string(), Some(&value(at))).unwrap();
            // A few records to a batch.
            if at % 5 == 0 {
                journal.committed(position).wait().unwrap();
            }
        }
    };
    write(0, RECORDS / 2);
    compact(dir).unwrap();
    write(RECORDS / 2, RECORDS);
}

fn logs(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path()).collect();
    files.retain(|path| fs::metadata(path).unwrap().len() > 0);
    files.sort();
    files
}

/// Reads what is there. Every value must be one that was written under its key.
fn read(journal: &dyn Journal) -> (BTreeMap<u64, Vec<u8>>, JournalScan) {
    let mut records = BTreeMap::new();
    let scan = journal.scan(&mut |key, value| {
        let key: u64 = key.parse().unwrap();
        let known = (0..RECORDS / KEYS).any(|round| value == self::value(key + round * KEYS));
        assert!(known, "{key} has a value that was never written");
        records.insert(key, value.to_vec());
        ControlFlow::Continue(())
    });
    (records, scan.unwrap())
}

fn newest() -> BTreeMap<u64, Vec<u8>> {
    (0..KEYS).map(|key| (key, value(key + RECORDS - KEYS))).collect()
}

fn told(damage: &Damage) -> String {
    let told: Vec<_> =
        damage.list.iter().map(|stretch| format!("{}: {}", stretch.file, stretch.reason)).collect();
    told.join("; ")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Whatever happens to the bytes of a file, either every newest value is there or damage is told; most records stay.
    #[test]
    fn damaged_bytes_are_told_and_cost_little(
        file in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 1..30),
    ) {
        let dir = tempfile::tempdir().unwrap();
        whole(dir.path());
        let logs = logs(dir.path());
        let path = &logs[file.index(logs.len())];
        let mut contents = fs::read(path).unwrap();
        // Not the head of the file, which has a test of its own.
        let at = 44 + at.index(contents.len() - 44);
        let end = (at + bytes.len()).min(contents.len());
        contents[at..end].copy_from_slice(&bytes[..end - at]);
        fs::write(path, &contents).unwrap();

        let checked = check(dir.path()).unwrap().unwrap();
        prop_assert_eq!(&fs::read(path).unwrap(), &contents, "the check changed something");
        let (journal, report) = FileJournal::open(dir.path(), &config()).unwrap();
        let (records, scan) = read(journal.as_ref());
        // The mark of the end may be what was damaged: nothing is lost then.
        if scan.damage.is_none() {
            prop_assert_eq!(&records, &newest());
        }
        prop_assert_eq!(scan.damage.is_none(), checked.is_sound());
        prop_assert_eq!(report.torn_bytes, checked.torn_bytes);
        prop_assert_eq!(journal.stats().damaged_records > 0, !checked.is_sound());
        let kept = newest().iter().filter(|(key, value)| records.get(key) == Some(value)).count() as u64;
        prop_assert!(kept + 20 > KEYS, "{kept}: {}", told(&scan.damage));
    }
}

#[test]
fn a_file_that_is_gone_or_cut_or_has_no_head_is_told() {
    let dir = tempfile::tempdir().unwrap();
    whole(dir.path());
    let files = logs(dir.path());
    let names: Vec<_> = files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["log-0000000002", "snapshot-0000000001"]);
    for (file, change, reason) in [
        (0, "remove", "the files behind this one are missing"),
        (1, "remove", "files before this one are missing"),
        (0, "head", "the head of the file is damaged"),
        (1, "head", "the head of the file is damaged"),
        (1, "cut", "the end cannot be read"),
    ] {
        let copied = tempfile::tempdir().unwrap();
        copy(dir.path(), copied.path());
        let path = copied.path().join(names[file]);
        let mut bytes = fs::read(&path).unwrap();
        match change {
            "remove" => fs::remove_file(&path).unwrap(),
            "head" => {
                bytes[20] ^= 1;
                fs::write(&path, bytes).unwrap();
            }
            _ => fs::write(&path, &bytes[..bytes.len() / 2]).unwrap(),
        }
        let checked = check(copied.path()).unwrap().unwrap();
        assert!(
            told(&checked.scan.damage).contains(reason),
            "{change} {file}: {}",
            told(&checked.scan.damage)
        );
        let (journal, _) = FileJournal::open(copied.path(), &config()).unwrap();
        let (_, scan) = read(journal.as_ref());
        assert!(!scan.damage.is_none(), "{change} {file}");
        // It still takes records, and keeps them.
        let position = journal.append("0", Some(&value(KEYS))).unwrap();
        journal.committed(position).wait().unwrap();
        drop(journal);
        let (journal, _) = FileJournal::open(copied.path(), &config()).unwrap();
        assert_eq!(read(journal.as_ref()).0.get(&0), Some(&value(KEYS)), "{change} {file}");
    }
}

#[test]
fn compacting_keeps_damaged_files_aside() {
    let dir = tempfile::tempdir().unwrap();
    whole(dir.path());
    let log = dir.path().join("log-0000000002");
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&log, &bytes).unwrap();
    let report = compact(dir.path()).unwrap().unwrap();
    assert!(report.damage.records >= 1, "{report:?}");
    let checked = check(dir.path()).unwrap().unwrap();
    assert!(checked.is_sound());
    assert_eq!(checked.set_aside, [dir.path().join("damaged-log-0000000002")]);
    assert_eq!(fs::read(&checked.set_aside[0]).unwrap(), bytes);
    let (journal, opened) = FileJournal::open(dir.path(), &config()).unwrap();
    assert_eq!(opened.set_aside, checked.set_aside);
    assert_eq!(read(journal.as_ref()).0.len() as u64, KEYS);
}
