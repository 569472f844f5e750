//! Check, export, import and compact, on directories of stores that are not running.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use callboard_core::store::journal::{self, FileJournal, Journal as _, JournalConfig};
use callboard_core::store::{
    Folders, MaintenanceError, OpenError, SledStore, Store, StoreConfig, Table, Write, check, compact,
    export, import,
};

const LONG: Duration = Duration::from_mins(1);

type Contents = BTreeMap<(Table, String), Vec<u8>>;

fn config() -> StoreConfig {
    StoreConfig { min_free_bytes: 0, cache_bytes: 4 << 20, ..StoreConfig::default() }
}

/// The folders of an installation whose store is `store`.
fn folders(store: &Path) -> Folders {
    let name = store.file_name().unwrap().to_str().unwrap();
    let beside = |ending| store.with_file_name(format!("{name}-{ending}"));
    Folders { store: store.to_owned(), bindings: beside("b"), notifications: beside("n") }
}

fn contents() -> Contents {
    let mut contents = BTreeMap::new();
    for at in 0_u32..300 {
        let value = at.to_le_bytes().repeat(if at % 50 == 0 { 3_000 } else { 400 });
        contents.insert((Table::Device, format!("00:1a:e8:00:{:02x}:{:02x}", at >> 8, at & 0xff)), value);
    }
    contents.insert((Table::Template, "Büro \"2\"\n".to_owned()), b"{}".to_vec());
    contents.insert((Table::Meta, "empty".to_owned()), Vec::new());
    contents
}

fn write(dir: &Path, contents: &Contents) {
    let (store, _) = SledStore::open(dir, &config()).unwrap();
    for ((table, key), value) in contents {
        store.submit_detached(vec![Write::put(*table, key.as_str(), value.clone())]).unwrap();
    }
    store.shutdown(LONG).unwrap();
}

fn read(dir: &Path) -> Contents {
    let (store, _) = SledStore::open(dir, &config()).unwrap();
    let mut contents = BTreeMap::new();
    for table in Table::ALL {
        let scan = store.scan(table, &mut |key, value| {
            contents.insert((table, key.to_owned()), value.to_vec());
            ControlFlow::Continue(())
        });
        assert_eq!(scan.unwrap().damaged, 0);
    }
    store.shutdown(LONG).unwrap();
    contents
}

fn exported(dir: &Path) -> String {
    let mut out = Vec::new();
    export(&folders(dir), &mut out, None, &mut |_| ()).unwrap();
    String::from_utf8(out).unwrap()
}

fn imported(text: &str) -> Result<Contents, MaintenanceError> {
    let dir = tempfile::tempdir().unwrap();
    import(&folders(dir.path()), &config(), &mut text.as_bytes(), &mut |_| ()).map(|report| {
        let contents = read(dir.path());
        assert_eq!(report.records, contents.len() as u64);
        contents
    })
}

#[test]
fn an_export_imported_is_the_same_store() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &contents());
    let mut told = Vec::new();
    let mut out = Vec::new();
    let report = export(
        &folders(dir.path()),
        &mut out,
        Some(&|table, key, value| (table == Table::Template).then(|| (key.len() + value.len()).into())),
        &mut |records| told.push(records),
    )
    .unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!((report.records, report.damage.damaged, told), (302, 0, vec![302]));
    assert_eq!(text.lines().count(), 304);
    let readable: Vec<&str> = text.lines().filter(|line| line.contains("\"value\":")).collect();
    assert!(matches!(readable.as_slice(), [line] if line.contains("\"value\":12")), "{readable:?}");
    assert_eq!(imported(&text).unwrap(), contents());
}

#[test]
fn a_spoilt_export_is_refused_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let small = Contents::from([
        ((Table::Meta, "empty".to_owned()), Vec::new()),
        ((Table::Device, "a".to_owned()), b"one".to_vec()),
        ((Table::Template, "b".to_owned()), b"two".to_vec()),
    ]);
    write(dir.path(), &small);
    let text = exported(dir.path());
    let lines: Vec<&str> = text.lines().collect();
    let join = |lines: &[&str]| lines.join("\n") + "\n";
    let other = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    for (spoilt, line, fault) in [
        (String::new(), 1, "ends before"),
        (join(&lines[1..]), 1, "export"),
        (other("\"format\":1", "\"format\":2"), 1, "format 2"),
        (other("callboard-store", "address-book"), 1, "not an export"),
        (join(&lines[..3]), 4, "ends before"),
        (join(&[lines[0], lines[1], lines[4]]), 3, "1 were read"),
        (other("\"meta\"", "\"letter\""), 2, "unknown table"),
        (other("\"crc\":0", "\"crc\":1"), 2, "crc"),
        (other("\"value_base64\":\"\"", "\"value_base64\":\"?\""), 2, "value_base64"),
        (other("\"key\":\"empty\",", ""), 2, "key is missing"),
        (other("\"key\":\"empty\"", "\"kay\":\"empty\""), 2, "kay"),
        (other("\"table\"", "table"), 2, "must be a string"),
        (format!("{}\n{}", lines[0], "x".repeat(10_000_000)), 2, "longer than"),
    ] {
        match imported(&spoilt) {
            Err(MaintenanceError::Line { line: found, fault: said }) => {
                assert_eq!(found, line, "{said}");
                assert!(said.contains(fault), "{said}, not {fault}");
            }
            other => panic!("{fault}: {:?}", other.map(|contents| contents.len())),
        }
    }
    assert_eq!(imported(&text).unwrap(), small);
}

#[test]
fn an_interrupted_import_leaves_nothing_that_starts() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &contents());
    let text = exported(dir.path());
    let (half, _) = text.split_at(text.len() / 2);
    let dir = tempfile::tempdir().unwrap();
    let outcome = import(&folders(dir.path()), &config(), &mut half.as_bytes(), &mut |_| ());
    assert!(matches!(outcome, Err(MaintenanceError::Line { .. })));
    let opened = SledStore::open(dir.path(), &config()).map(drop);
    assert!(matches!(opened, Err(OpenError::Unfinished { .. })), "{opened:?}");
    let checked = check(dir.path()).map(drop);
    assert!(matches!(checked, Err(MaintenanceError::Open(OpenError::Unfinished { .. }))), "{checked:?}");
    // Another import starts over, and then the store is one.
    import(&folders(dir.path()), &config(), &mut text.as_bytes(), &mut |_| ()).unwrap();
    assert_eq!(read(dir.path()), contents());
}

#[test]
fn only_an_empty_store_is_imported_into() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &contents());
    let text = exported(dir.path());
    let outcome = import(&folders(dir.path()), &config(), &mut text.as_bytes(), &mut |_| ());
    assert!(matches!(outcome, Err(MaintenanceError::NotEmpty(_))));
    assert_eq!(read(dir.path()), contents());
}

#[test]
fn a_compacted_store_holds_the_same_in_less_space() {
    let dir = tempfile::tempdir().unwrap();
    // The same records over and over: most of the files is garbage then.
    for _ in 0..12 {
        write(dir.path(), &contents());
    }
    let before = check(dir.path()).unwrap();
    let report = compact(dir.path(), &mut |_| ()).unwrap();
    assert!(report.after < report.before, "{report:?}");
    assert_eq!(report.before, before.size_on_disk);
    let after = check(dir.path()).unwrap();
    assert_eq!((&after.tables, after.is_sound()), (&before.tables, true));
    assert_eq!(read(dir.path()), contents());
    assert!(!dir.path().join("records-1").exists());
    // What an interrupted compaction leaves is reported, harmless, and removed by the next.
    fs::create_dir_all(dir.path().join("records-3")).unwrap();
    assert_eq!(check(dir.path()).unwrap().leftovers.len(), 1);
    compact(dir.path(), &mut |_| ()).unwrap();
    assert_eq!(read(dir.path()), contents());
    assert!(check(dir.path()).unwrap().leftovers.is_empty());
}

#[test]
fn a_start_removes_the_copy_of_an_interrupted_check_and_tells_what_else_is_left() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &contents());
    let (copy, other) = (dir.path().join("records-copy"), dir.path().join("records-7"));
    for folder in [&copy, &other] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("db"), "as long as the store").unwrap();
    }
    let (store, report) = SledStore::open(dir.path(), &config()).unwrap();
    assert!(!copy.exists() && other.exists());
    assert_eq!(report.leftovers, [other]);
    drop(store);
    assert_eq!(read(dir.path()), contents());
}

#[test]
fn a_check_counts_by_table() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &contents());
    let report = check(dir.path()).unwrap();
    let filled = report.tables.iter().filter(|table| table.records > 0);
    let counts: Vec<_> = filled.map(|table| (table.table, table.records)).collect();
    assert_eq!(counts, [(Table::Meta, 1), (Table::Device, 300), (Table::Template, 1)]);
    assert_eq!(report.tables.len(), Table::ALL.len());
    let bytes: usize = contents().iter().map(|((_, key), value)| key.len() + value.len()).sum();
    assert_eq!(report.live_bytes(), bytes as u64);
    assert!(report.size_on_disk > report.live_bytes() && report.is_sound());
}

#[test]
fn a_running_or_missing_store_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, _) = SledStore::open(dir.path(), &config()).unwrap();
    assert!(matches!(check(dir.path()), Err(MaintenanceError::Open(OpenError::InUse(_)))));
    assert!(matches!(compact(dir.path(), &mut |_| ()), Err(MaintenanceError::Open(OpenError::InUse(_)))));
    let missing = dir.path().join("missing");
    let outcome = export(&folders(&missing), &mut Vec::new(), None, &mut |_| ());
    assert!(matches!(outcome, Err(MaintenanceError::Open(OpenError::Missing(_)))));
    assert!(!missing.exists());
}

#[test]
fn a_failed_import_removes_what_it_made() {
    let dir = tempfile::tempdir().unwrap();
    let new = dir.path().join("new");
    let outcome = import(&folders(&new.join("store")), &config(), &mut b"rubbish".as_slice(), &mut |_| ());
    assert!(matches!(outcome, Err(MaintenanceError::Line { line: 1, .. })), "{outcome:?}");
    assert!(!new.exists() && dir.path().exists());
}

#[test]
fn an_import_that_does_not_even_open_its_store_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let new = dir.path().join("new");
    // The folder of records can be made, and no file in it: its path would be longer than any may be.
    let mut store = new.clone();
    while store.as_os_str().len() < 3_830 {
        store.push("x".repeat(200));
    }
    store.push("x".repeat(4_083 - store.as_os_str().len() - 1));
    let outcome = import(&folders(&store), &config(), &mut b"".as_slice(), &mut |_| ());
    assert!(matches!(outcome, Err(MaintenanceError::Open(_))), "{outcome:?}");
    assert!(!new.exists() && dir.path().exists());
    // Nor does one that is refused before it makes anything.
    let wrong = StoreConfig { flush_bytes: 0, ..config() };
    let outcome = import(&folders(&new), &wrong, &mut b"".as_slice(), &mut |_| ());
    assert!(matches!(outcome, Err(MaintenanceError::Open(OpenError::Config(_)))), "{outcome:?}");
    assert!(!new.exists());
}

/// An input during which somebody puts the key beside the new store, and which ends too soon.
struct Meanwhile<'a> {
    text: &'a [u8],
    key: &'a Path,
}

impl io::Read for Meanwhile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        fs::write(self.key, "sealed under this")?;
        self.text.read(buffer)
    }
}

#[test]
fn a_failed_import_leaves_what_it_did_not_make() {
    let dir = tempfile::tempdir().unwrap();
    let (outer, new) = (dir.path().join("outer"), dir.path().join("outer/new"));
    let key = new.join("key");
    let mut input = io::BufReader::new(Meanwhile { text: b"rubbish", key: &key });
    let outcome = import(&folders(&new.join("store")), &config(), &mut input, &mut |_| ());
    assert!(matches!(outcome, Err(MaintenanceError::Line { line: 1, .. })), "{outcome:?}");
    assert_eq!(fs::read(&key).unwrap(), b"sealed under this");
    let left: Vec<_> = fs::read_dir(&outer).unwrap().chain(fs::read_dir(&new).unwrap()).flatten().collect();
    assert_eq!(left.iter().map(fs::DirEntry::path).collect::<Vec<_>>(), [new.clone(), key.clone()]);
}

#[test]
fn the_files_are_readable_for_their_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    write(&store, &contents());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let records = store.join("records-1");
    assert_eq!((mode(&store), mode(&records)), (0o700, 0o700));
    for name in ["db", "conf", "commits"] {
        assert_eq!(mode(&records.join(name)), 0o600, "{name}");
    }
}

type Bindings = BTreeMap<String, Vec<u8>>;

fn bindings() -> Bindings {
    (0_u8..100).map(|at| (format!("sip:{at}@example.net"), vec![at; usize::from(at)])).collect()
}

fn notifications() -> Bindings {
    (0_u8..8).map(|at| (format!("event/{at}"), vec![at; 8])).collect()
}

fn open_journal(dir: &Path) -> std::sync::Arc<FileJournal> {
    FileJournal::open(dir, &JournalConfig { min_free_bytes: 0, ..JournalConfig::default() }).unwrap().0
}

fn write_bindings(dir: &Path, bindings: &Bindings) {
    let journal = open_journal(dir);
    for (key, value) in bindings {
        journal.append(key, Some(b"an older value")).unwrap();
        journal.append(key, Some(value)).unwrap();
    }
    journal.append("gone", Some(b"x")).unwrap();
    journal.append("gone", None).unwrap();
    journal.shutdown(LONG).unwrap();
}

fn read_bindings(dir: &Path) -> Bindings {
    let mut bindings = Bindings::new();
    let scan = open_journal(dir).scan(&mut |key, value| {
        bindings.insert(key.to_owned(), value.to_vec());
        ControlFlow::Continue(())
    });
    assert!(scan.unwrap().damage.is_none());
    bindings
}

/// An export of a store and both journals.
fn all_exported(dir: &Path) -> String {
    let folders = Folders::of(dir);
    write(&folders.store, &contents());
    write_bindings(&folders.bindings, &bindings());
    write_bindings(&folders.notifications, &notifications());
    let mut out = Vec::new();
    let report = export(&folders, &mut out, None, &mut |_| ()).unwrap();
    assert_eq!((report.records, report.is_complete()), (410, true));
    assert_eq!(report.journals.iter().map(|check| check.scan.records).collect::<Vec<_>>(), [100, 8]);
    String::from_utf8(out).unwrap()
}

#[test]
fn journals_are_exported_and_imported_with_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let text = all_exported(dir.path());
    let is_of = |line: &str, table| line.contains(&format!("\"table\":\"{table}\""));
    let count = |table| text.lines().filter(|line| is_of(line, table)).count();
    assert_eq!((count("binding"), count("notification")), (100, 8));
    let new = Folders::of(&dir.path().join("new"));
    let report = import(&new, &config(), &mut text.as_bytes(), &mut |_| ()).unwrap();
    assert_eq!(report.records, 410);
    assert_eq!((read(&new.store), read_bindings(&new.bindings)), (contents(), bindings()));
    assert_eq!(read_bindings(&new.notifications), notifications());
    // Without records for it there is no journal, and an export does not need one.
    let is_other = |line: &&str| !is_of(line, "binding") && !is_of(line, "notification");
    let lines: Vec<&str> = text.lines().filter(is_other).collect();
    let without = lines.join("\n").replace("\"records\":410", "\"records\":302") + "\n";
    let bare = Folders::of(&dir.path().join("bare"));
    import(&bare, &config(), &mut without.as_bytes(), &mut |_| ()).unwrap();
    assert!(!bare.bindings.exists() && !bare.notifications.exists());
    let report = export(&bare, &mut Vec::new(), None, &mut |_| ()).unwrap();
    assert_eq!((report.records, report.journals.len()), (302, 0));
}

#[test]
fn a_journal_is_imported_into_only_where_there_was_none() {
    let dir = tempfile::tempdir().unwrap();
    let text = all_exported(dir.path());
    let new = Folders::of(&dir.path().join("new"));
    for journal in [&new.bindings, &new.notifications] {
        write_bindings(journal, &bindings());
        let outcome = import(&new, &config(), &mut text.as_bytes(), &mut |_| ());
        assert!(matches!(&outcome, Err(MaintenanceError::NotEmpty(of)) if of == journal), "{outcome:?}");
        assert!(!new.store.exists());
        assert_eq!(read_bindings(journal), bindings());
        fs::remove_dir_all(journal).unwrap();
    }
}

#[test]
fn an_interrupted_import_starts_over_with_the_journals_too() {
    let dir = tempfile::tempdir().unwrap();
    let text = all_exported(dir.path());
    let new = Folders::of(&dir.path().join("new"));
    let (half, _) = text.split_at(text.find("\"key\":\"sip:50@example.net\"").unwrap());
    // A new one goes as a whole.
    let outcome = import(&new, &config(), &mut half.as_bytes(), &mut |_| ());
    assert!(matches!(outcome, Err(MaintenanceError::Line { .. })), "{outcome:?}");
    assert!(!dir.path().join("new").exists());
    // The directory of one that was there stays as unfinished; so it does after a kill, with half a journal.
    fs::create_dir_all(&new.store).unwrap();
    import(&new, &config(), &mut half.as_bytes(), &mut |_| ()).unwrap_err();
    let half = Bindings::from([("half".to_owned(), Vec::new())]);
    write_bindings(&new.bindings, &half);
    write_bindings(&new.notifications, &half);
    import(&new, &config(), &mut text.as_bytes(), &mut |_| ()).unwrap();
    assert_eq!((read(&new.store), read_bindings(&new.bindings)), (contents(), bindings()));
    assert_eq!(read_bindings(&new.notifications), notifications());
}

#[test]
fn damage_of_the_journal_makes_an_export_incomplete() {
    let dir = tempfile::tempdir().unwrap();
    all_exported(dir.path());
    let folders = Folders::of(dir.path());
    let log = folders.bindings.join("log-0000000001");
    let mut bytes = fs::read(&log).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&log, bytes).unwrap();
    let report = export(&folders, &mut Vec::new(), None, &mut |_| ()).unwrap();
    assert!(!report.is_complete() && report.records >= 401, "{report:?}");
    assert!(!journal::check(&folders.bindings).unwrap().unwrap().is_sound());
}
