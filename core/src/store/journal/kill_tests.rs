//! A kill at any point leaves a directory that gives exactly what was durable: the files are copied at every step of what
//! the writer and the compaction do, and read by themselves.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::compact::compact;
use super::directory::{Access, Directory};
use super::frame::{BATCH_HEAD, Record};
use super::merge::Merge;
use super::opening::open;
use super::segment::{Kind, Segment};
use super::writer::Log;

type Contents = BTreeMap<String, Vec<u8>>;

/// Memory so small that a merge takes several passes.
const MEMORY: usize = 700;

#[derive(Debug, Clone)]
enum Step {
    /// A batch of these changes.
    Write(Vec<(u8, Option<u8>)>),
    Compact,
    /// A kill, and the next start.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let change = (0_u8..12, prop::option::weighted(0.7, any::<u8>()));
    let write = prop::collection::vec(change, 1..6).prop_map(Step::Write);
    prop::collection::vec(prop_oneof![6 => write, 1 => Just(Step::Compact), 1 => Just(Step::Restart)], 1..16)
}

fn key(number: u8) -> String {
    format!("sip:{number}@example.net")
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
    to
}

fn contents(segments: &[Segment]) -> Contents {
    let mut contents = Contents::new();
    let merge = Merge { segments, memory: MEMORY, go_on: &|| true };
    let scan = merge.run(&mut |key, value| {
        assert!(contents.insert(key.to_owned(), value.to_vec()).is_none(), "{key} was visited twice");
        ControlFlow::Continue(())
    });
    let scan = scan.unwrap();
    assert!(scan.damage.is_none(), "{:?}", scan.damage);
    assert_eq!(scan.records, contents.len() as u64);
    contents
}

/// What the next process would find.
fn after_kill(dir: &Path) -> Contents {
    let copy = copy(dir);
    let first = contents(&open(copy.path(), Access::Existing).unwrap().segments);
    // It tidied up: whoever comes after it finds the same.
    let second = open(copy.path(), Access::Existing).unwrap();
    assert!(second.report.removed.is_empty() && second.report.torn_bytes == 0);
    assert_eq!(contents(&second.segments), first);
    first
}

/// A journal in the hands of a test, and what it should hold.
struct Subject {
    dir: PathBuf,
    directory: Directory,
    segments: Vec<Segment>,
    log: Log,
    model: Contents,
}

impl Subject {
    fn open(dir: &Path, model: Contents) -> Self {
        let opened = open(dir, Access::Create).unwrap();
        assert_eq!(contents(&opened.segments), model);
        Self {
            dir: dir.to_owned(),
            directory: opened.directory,
            segments: opened.segments,
            log: opened.log,
            model,
        }
    }

    fn write(&mut self, changes: &[(u8, Option<u8>)]) {
        let mut batch = vec![0; BATCH_HEAD];
        for (number, value) in changes {
            let value = value.map(|value| vec![value; usize::from(value)]);
            Record::new(&key(*number), value.as_deref(), 300).unwrap().write_to(&mut batch);
        }
        let before = self.segments.last().unwrap().end;
        self.log.write(&mut batch, u32::try_from(changes.len()).unwrap()).unwrap();
        // Killed while it was being written: nothing of it is there.
        let torn = copy(&self.dir);
        let newest = torn.path().join(&self.segments.last().unwrap().name);
        let middle = before + batch.len() as u64 / 2;
        fs::File::options().write(true).open(newest).unwrap().set_len(middle).unwrap();
        assert_eq!(after_kill(torn.path()), self.model);
        for (number, value) in changes {
            match value {
                Some(value) => self.model.insert(key(*number), vec![*value; usize::from(*value)]),
                None => self.model.remove(&key(*number)),
            };
        }
        self.segments.last_mut().unwrap().end += batch.len() as u64;
        assert_eq!(after_kill(&self.dir), self.model);
    }

    fn compact(&mut self) {
        let look = || assert_eq!(after_kill(&self.dir), self.model);
        let (number, next_batch) = (self.segments.last().unwrap().number, self.log.next_batch());
        let log = self.directory.create(Kind::Log, number + 1, next_batch).unwrap();
        self.log = Log::new(&log, next_batch).unwrap();
        look();
        // Every other time it is told to stop on the way, as at a shutdown; the next one starts over.
        for stop_after in [4, usize::MAX] {
            let asked = RefCell::new(0);
            let go_on = || {
                *asked.borrow_mut() += 1;
                look();
                *asked.borrow() < stop_after
            };
            let made = compact(&self.directory, &self.segments, next_batch, MEMORY, &go_on).unwrap();
            look();
            let Some((snapshot, scan)) = made else { continue };
            assert_eq!(scan.records, self.model.len() as u64);
            let replaced = std::mem::replace(&mut self.segments, vec![snapshot, log]);
            for file in replaced {
                self.directory.remove([PathBuf::from(file.name)].into_iter()).unwrap();
                assert_eq!(after_kill(&self.dir), self.model);
            }
            return;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_kill_at_any_point_leaves_what_was_durable(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let mut subject = Subject::open(dir.path(), Contents::new());
        for step in steps {
            match step {
                Step::Write(changes) => subject.write(&changes),
                Step::Compact => subject.compact(),
                Step::Restart => {
                    let Subject { directory, model, .. } = subject;
                    drop(directory);
                    subject = Subject::open(dir.path(), model);
                }
            }
        }
    }
}
