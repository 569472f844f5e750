//! The embedded database (sled 0.34), used in the way in which it is safe.
//!
//! One owner; one tree; small values; one batch, then one synchronous flush; no background flusher, no
//! transactions. A panic inside the database becomes an error: it must not take the process with it
//! before what is queued has been reported lost.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use foldhash::HashMap;

use super::commits::{self, Counted, Mark};
use super::opening::{OpenFault, make, open_patiently, restrict};
use super::queue::RecordKey;
use super::record::{self, Assembler, Item, Present};
use super::{DamagedRecord, Table};

/// What the database said when it failed.
pub(super) type Failure = Arc<str>;

/// The opened database.
pub(super) struct Database {
    tree: sled::Db,
    /// The log file once more. The database waits until written pages have left the page cache, which
    /// neither empties the disk's own cache nor saves the length of a grown file; this does both.
    log: File,
    /// Number of the last commit applied.
    commits: Cell<u64>,
    mark: Mark,
}

/// One record of a scan: its key, and its value as whole.
pub(super) type Entry = (Box<str>, Vec<u8>);

/// A stretch of a scan.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) records: Vec<Entry>,
    pub(super) damaged: Vec<DamagedRecord>,
    /// Where the next stretch begins; `None` at the end of the table.
    pub(super) next: Option<Vec<u8>>,
}

/// Everything stored in one database, summed up; equal for equal contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Measure {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    crc: u32,
}

/// How a write changed the number of live bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Replaced {
    /// Bytes of key and value before; 0 when there was nothing.
    pub(super) before: u64,
    /// Bytes of key and value now; 0 when deleted.
    pub(super) after: u64,
}

impl Database {
    /// Opens or makes the database in `folder`; its files are synced.
    pub(super) fn open(folder: &Path, cache_bytes: u64) -> Result<Self, OpenFault> {
        match Self::open_readable(folder, cache_bytes)? {
            (_, Counted { number_fault: Some(reason), .. }) => Err(OpenFault::Failed(reason)),
            (this, Counted { missing: 0, .. }) => Ok(this),
            (_, Counted { missing, .. }) => Err(OpenFault::LostCommits(missing)),
        }
    }

    /// Opens what can be opened, and says what is known of missing commits.
    pub(super) fn open_readable(folder: &Path, cache_bytes: u64) -> Result<(Self, Counted), OpenFault> {
        make(folder)?;
        let tree = open_patiently(folder, cache_bytes)?;
        let path = folder.join("db");
        let log = File::open(&path).map_err(OpenFault::io("open", &path))?;
        let path = folder.join(commits::FILE);
        let mark = Mark::open(&path).map_err(OpenFault::io("open", &path))?;
        restrict(folder)?;
        let number = number_of(&tree);
        let commits = number.as_ref().copied().unwrap_or(0);
        let counted = Counted {
            missing: number.as_ref().map_or(0, |&number| mark.missing(number)),
            number_fault: number.err(),
            file_fault: mark.fault(),
        };
        let this = Self { tree, log, commits: Cell::new(commits), mark };
        guarded(|| Ok(this.tree.flush()))?.map_err(|error| OpenFault::of(error, folder))?;
        this.sync_log().map_err(OpenFault::io("sync", folder))?;
        Ok((this, counted))
    }

    /// Applies writes as one atomic batch; they are durable after [`Database::sync`].
    pub(super) fn apply(
        &self,
        writes: HashMap<RecordKey, Option<Vec<u8>>>,
        mut replaced: impl FnMut(&RecordKey, Replaced),
    ) -> Result<(), Failure> {
        guarded(|| {
            let mut batch = sled::Batch::default();
            for (key, value) in writes {
                let change = self.add(&mut batch, &key, value)?;
                replaced(&key, change);
            }
            let commits = self.commits.get() + 1;
            add_number(&mut batch, commits);
            self.tree.apply_batch(batch)?;
            self.commits.set(commits);
            Ok(())
        })
    }

    fn add(
        &self,
        batch: &mut sled::Batch,
        key: &RecordKey,
        value: Option<Vec<u8>>,
    ) -> sled::Result<Replaced> {
        let head = record::stored_key(key.0, &key.1);
        let present = self.tree.get(&head)?.map(|stored| record::peek(&stored));
        let bytes = |value: usize| (key.1.len() + value) as u64;
        let (generation, before) = match present {
            None | Some(Present::Damaged) => (0, 0),
            Some(Present::Whole(value)) => (0, bytes(value)),
            Some(Present::Parts(generation, value)) => (generation, bytes(value)),
        };
        // A record whose head is lost has parts only; deleting it takes them away too.
        if !matches!(present, Some(Present::Whole(_))) && (present.is_some() || value.is_none()) {
            for part in self.tree.scan_prefix(record::part_prefix(&head)).keys() {
                batch.remove(part?);
            }
        }
        let after = value.as_ref().map_or(0, |value| bytes(value.len()));
        if let Some(value) = value {
            for (key, value) in record::encode(head, &value, generation.wrapping_add(1)) {
                batch.insert(key, value);
            }
        } else if present.is_some() {
            batch.remove(head);
        }
        Ok(Replaced { before, after })
    }

    /// Makes everything applied durable.
    pub(super) fn sync(&self) -> Result<(), Failure> {
        guarded(|| self.tree.flush())?;
        self.sync_log().map_err(|error| Failure::from(format!("syncing the log: {error}")))
    }

    /// Makes what the database has written durable, and says so.
    fn sync_log(&self) -> io::Result<()> {
        self.log.sync_data()?;
        self.mark.note(self.commits.get());
        Ok(())
    }

    /// Stored entries from `from` to before `end`, in either direction.
    pub(super) fn range(&self, from: Bound<Vec<u8>>, end: &[u8]) -> sled::Iter {
        self.tree.range::<Vec<u8>, _>((from, Bound::Excluded(end.to_vec())))
    }

    /// Reads records of `table` from the stored key `from` on (from its beginning when `None`), about
    /// `bytes` of them.
    pub(super) fn chunk(&self, table: Table, from: Option<&[u8]>, bytes: usize) -> Result<Chunk, Failure> {
        let start =
            from.map_or_else(|| Bound::Included(vec![table as u8]), |key| Bound::Excluded(key.to_vec()));
        let end = Bound::Excluded(vec![table as u8 + 1]);
        guarded(|| {
            let mut chunk = Chunk::default();
            let mut assembler = Assembler::default();
            let mut size = 0;
            let mut last: Option<Vec<u8>> = None;
            for entry in self.tree.range::<Vec<u8>, _>((start, end)) {
                let (key, value) = entry?;
                let within = last
                    .as_ref()
                    .is_some_and(|head| key.starts_with(head) && key.get(head.len()) == Some(&0));
                if !within {
                    if size >= bytes {
                        chunk.next = last.take().map(|head| record::last_key(&head));
                        break;
                    }
                    last = Some(record::head_of(&key).to_vec());
                }
                size += value.len() + key.len();
                assembler.push(&key, &value).into_iter().flatten().for_each(|item| chunk.take(item));
            }
            assembler.finish().into_iter().for_each(|item| chunk.take(item));
            Ok(chunk)
        })
    }

    /// Visits everything that is stored, whatever it is, in the order of keys.
    pub(super) fn visit_all(&self, mut visit: impl FnMut(Item)) -> Result<(), Failure> {
        guarded(|| {
            let mut assembler = Assembler::default();
            for entry in self.tree.iter() {
                let (key, value) = entry?;
                if key == commits::KEY {
                    continue;
                }
                assembler.push(&key, &value).into_iter().flatten().for_each(&mut visit);
            }
            assembler.finish().into_iter().for_each(&mut visit);
            Ok(())
        })
    }

    /// Copies every stored entry, damaged ones too, in flushes of `flush_bytes`; `progress` is told how
    /// many there are so far.
    pub(super) fn copy_to(
        &self,
        target: &Self,
        flush_bytes: usize,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), Failure> {
        let mut batch = sled::Batch::default();
        let (mut bytes, mut entries) = (0, 0);
        let write = |batch: &mut sled::Batch| {
            guarded(|| target.tree.apply_batch(std::mem::take(batch)))?;
            target.sync()
        };
        let mut source = self.tree.iter();
        while let Some((key, value)) = guarded(|| source.next().transpose())? {
            bytes += key.len() + value.len();
            entries += 1;
            // The number comes last: as long as it is there, all is there.
            if key == commits::KEY {
                continue;
            }
            batch.insert(key, value);
            if bytes >= flush_bytes {
                write(&mut batch)?;
                bytes = 0;
                progress(entries);
            }
        }
        let commits = self.commits.get();
        if commits > 0 {
            add_number(&mut batch, commits);
        }
        target.commits.set(commits);
        write(&mut batch)?;
        progress(entries);
        Ok(())
    }

    /// Reads everything stored and sums it up.
    pub(super) fn measure(&self) -> Result<Measure, Failure> {
        guarded(|| {
            let mut measure = Measure::default();
            let mut crc = crc32fast::Hasher::new();
            for entry in self.tree.iter() {
                let (key, value) = entry?;
                measure.entries += 1;
                measure.bytes += (key.len() + value.len()) as u64;
                // The lengths keep the border between key and value in the sum.
                crc.update(&(key.len() as u64).to_le_bytes());
                crc.update(&key);
                crc.update(&(value.len() as u64).to_le_bytes());
                crc.update(&value);
            }
            measure.crc = crc.finalize();
            Ok(measure)
        })
    }

    /// Whether nothing is stored.
    pub(super) fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }

    /// Bytes of the database's files.
    pub(super) fn size_on_disk(&self) -> Result<u64, Failure> {
        guarded(|| self.tree.size_on_disk())
    }
}

impl Chunk {
    fn take(&mut self, item: Item) {
        match item {
            Item::Record { key, value, .. } => self.records.push((key, value)),
            Item::Damaged(damage) => self.damaged.push(damage),
        }
    }
}

/// The number of the last commit in a database.
fn number_of(tree: &sled::Db) -> Result<u64, Failure> {
    let Some(value) = guarded(|| tree.get(commits::KEY))? else { return Ok(0) };
    record::whole(commits::KEY, &value)
        .and_then(|number| number.try_into().ok())
        .map(u64::from_le_bytes)
        .ok_or_else(|| Failure::from("the number of its commits is damaged"))
}

fn add_number(batch: &mut sled::Batch, commits: u64) {
    for (key, value) in record::encode(commits::KEY.to_vec(), &commits.to_le_bytes(), 0) {
        batch.insert(key, value);
    }
}

/// Runs a call into the database; its errors and panics come back as text.
pub(super) fn guarded<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, Failure> {
    // After a panic nothing of the database is used again but its files, at the next start.
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(outcome) => outcome.map_err(|error| explained(&error)),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Err(Failure::from(format!("the database panicked: {text}")))
        }
    }
}

/// An error of the database for people.
pub(super) fn explained(error: &sled::Error) -> Failure {
    let sled::Error::Corruption { at, .. } = error else { return Failure::from(error.to_string()) };
    // It says where only in its debugging form.
    let place = format!("{at:?}");
    let offset: String =
        place.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    let place = if offset.is_empty() { String::new() } else { format!(" at byte {offset}") };
    Failure::from(format!("its file `db` is damaged{place}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use foldhash::HashMapExt;
    use proptest::prelude::*;

    use super::*;

    fn database(dir: &Path) -> Database {
        Database::open(dir, 4 << 20).unwrap()
    }

    fn put(database: &Database, key: &str, value: Option<Vec<u8>>) -> Replaced {
        let mut writes = HashMap::new();
        writes.insert((Table::Device, key.into()), value);
        let mut change = None;
        database.apply(writes, |_, replaced| change = Some(replaced)).unwrap();
        database.sync().unwrap();
        change.unwrap()
    }

    fn all(database: &Database, bytes: usize) -> (BTreeMap<Box<str>, Vec<u8>>, Vec<DamagedRecord>) {
        let (mut records, mut damaged) = (BTreeMap::new(), Vec::new());
        let mut from = None;
        loop {
            let chunk = database.chunk(Table::Device, from.as_deref(), bytes).unwrap();
            for (key, value) in chunk.records {
                assert!(records.insert(key, value).is_none(), "a record was seen twice");
            }
            damaged.extend(chunk.damaged);
            match chunk.next {
                Some(next) => from = Some(next),
                None => return (records, damaged),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn the_last_write_of_each_key_is_there_and_nothing_else(
            writes in prop::collection::vec(("[a-d]{1,2}", prop::option::of(0_usize..14_000)), 1..40),
            chunk in 1_usize..20_000,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let database = database(dir.path());
            let mut model = BTreeMap::new();
            let mut live = 0_u64;
            for (key, length) in writes {
                let value = length.map(|length| vec![1; length]);
                let change = put(&database, &key, value.clone());
                live = live + change.after - change.before;
                match value {
                    Some(value) => model.insert(Box::<str>::from(key), value),
                    None => model.remove(key.as_str()),
                };
            }
            let expected: usize = model.iter().map(|(key, value)| key.len() + value.len()).sum();
            prop_assert_eq!(live, expected as u64);
            let stored: usize = model.values().map(|value| value.len().div_ceil(3_900).max(1)).sum();
            prop_assert_eq!(database.tree.len(), stored + 1, "stale parts were left");
            prop_assert_eq!(all(&database, chunk), (model, Vec::new()));
        }
    }

    #[test]
    fn a_damaged_record_is_skipped_and_can_be_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let database = database(dir.path());
        for key in ["a", "b", "c"] {
            put(&database, key, Some(vec![7; 9_000]));
        }
        database.tree.insert(b"db", b"\x02rubbish".as_slice()).unwrap();
        let (records, damaged) = all(&database, 1 << 20);
        assert_eq!(records.len(), 2);
        assert_eq!((damaged.len(), damaged[0].key.as_str()), (1, "b"));
        put(&database, "b", Some(b"new".to_vec()));
        let (records, damaged) = all(&database, 1);
        assert_eq!((records.len(), damaged.len()), (3, 0));
        assert_eq!(database.tree.len(), 8);
    }

    #[test]
    fn a_database_behind_its_mark_is_refused_and_can_still_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let first = database(dir.path());
        for _ in 0..3 {
            put(&first, "a", Some(vec![1]));
        }
        drop(first);
        drop(database(dir.path()));
        Mark::open(&dir.path().join(commits::FILE)).unwrap().note(5);
        for _ in 0..2 {
            assert!(matches!(Database::open(dir.path(), 4 << 20), Err(OpenFault::LostCommits(2))));
        }
        let (readable, counted) = Database::open_readable(dir.path(), 4 << 20).unwrap();
        assert_eq!((counted.missing, all(&readable, 1 << 20).0.len()), (2, 1));
        drop(readable);
        // A store without the file is taken as it is, and has one from then on.
        let file = dir.path().join(commits::FILE);
        fs::remove_file(&file).unwrap();
        drop(database(dir.path()));
        assert_eq!(Mark::open(&file).unwrap().missing(0), 3);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_number_keeps_nothing_from_being_read() {
        let dir = tempfile::tempdir().unwrap();
        let first = database(dir.path());
        put(&first, "a", Some(vec![1]));
        first.tree.insert(commits::KEY, b"rubbish".as_slice()).unwrap();
        first.sync().unwrap();
        drop(first);
        assert!(matches!(Database::open(dir.path(), 4 << 20), Err(OpenFault::Failed(_))));
        let (readable, counted) = Database::open_readable(dir.path(), 4 << 20).unwrap();
        assert!(counted.number_fault.unwrap().contains("number"));
        assert_eq!((counted.missing, all(&readable, 1 << 20).0.len()), (0, 1));
    }

    #[test]
    fn a_copy_carries_the_number_of_commits() {
        let dir = tempfile::tempdir().unwrap();
        let source = database(&dir.path().join("source"));
        for key in ["a", "b", "c"] {
            put(&source, key, Some(vec![7; 9_000]));
        }
        let target = database(&dir.path().join("target"));
        source.copy_to(&target, 10_000, &mut |_| ()).unwrap();
        assert_eq!(target.measure().unwrap(), source.measure().unwrap());
        assert_eq!((target.commits.get(), target.mark.missing(0)), (3, 3));
        put(&target, "d", Some(vec![1]));
        drop(target);
        assert_eq!(database(&dir.path().join("target")).commits.get(), 4);
    }

    #[test]
    fn tables_do_not_mix() {
        let dir = tempfile::tempdir().unwrap();
        let database = database(dir.path());
        let mut writes = HashMap::new();
        writes.insert((Table::Template, "a".into()), Some(vec![1]));
        writes.insert((Table::Meta, "a".into()), Some(vec![2]));
        database.apply(writes, |_, _| ()).unwrap();
        assert!(all(&database, 1 << 20).0.is_empty());
        let chunk = database.chunk(Table::Meta, None, 1 << 20).unwrap();
        assert_eq!(chunk.records, [("a".into(), vec![2])]);
    }

    #[test]
    fn a_panic_becomes_a_failure() {
        let outcome = guarded(|| -> sled::Result<()> { panic!("broken page {}", 7) });
        assert!(outcome.unwrap_err().contains("broken page 7"));
    }
}
