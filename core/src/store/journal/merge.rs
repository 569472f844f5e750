//! The last value of each key, in bounded memory.
//!
//! Keys are told apart by a hash. A pass reads all files and keeps the records of as many hashes as fit into memory; the
//! next pass takes the hashes behind those. Most journals need one pass.

use std::hash::BuildHasher;
use std::io;
use std::ops::ControlFlow;

use foldhash::fast::RandomState;
use foldhash::{HashMap, HashMapExt};

use super::segment::{Event, Kind, Segment};
use super::status::{Damage, JournalScan, Stretch};

/// What an entry costs in memory beside its key and value.
const ENTRY: usize = 112;

/// What is visited.
pub(super) type Visit<'a> = &'a mut dyn FnMut(&str, &[u8]) -> ControlFlow<()>;

/// A merge of files, oldest first.
pub(super) struct Merge<'a> {
    pub(super) segments: &'a [Segment],
    /// Memory for records, in bytes.
    pub(super) memory: usize,
    /// Whether to go on; asked for each batch.
    pub(super) go_on: &'a dyn Fn() -> bool,
}

/// The hashes of a pass.
struct Range {
    from: u64,
    /// The last one.
    to: u64,
}

impl Range {
    fn holds(&self, hash: u64) -> bool {
        (self.from..=self.to).contains(&hash)
    }
}

struct Pass<'a> {
    state: &'a RandomState,
    range: Range,
    memory: usize,
    used: usize,
    values: HashMap<Box<str>, Vec<u8>>,
}

impl Merge<'_> {
    /// Visits the last value of each key once, until `visit` breaks.
    pub(super) fn run(&self, visit: Visit<'_>) -> io::Result<JournalScan> {
        let state = RandomState::default();
        let mut report = JournalScan::default();
        let mut from = 0;
        loop {
            let range = Range { from, to: u64::MAX };
            let mut pass =
                Pass { state: &state, range, memory: self.memory, used: 0, values: HashMap::new() };
            // Each pass meets the same damage.
            let damage = if from == 0 { Some(&mut report.damage) } else { None };
            if self.read(&mut pass, damage)?.is_break() {
                report.stopped = true;
                return Ok(report);
            }
            for (key, value) in &pass.values {
                report.records += 1;
                report.bytes += (key.len() + value.len()) as u64;
                if visit(key, value).is_break() {
                    report.stopped = true;
                    return Ok(report);
                }
            }
            match pass.range.to.checked_add(1) {
                Some(next) => from = next,
                None => return Ok(report),
            }
        }
    }

    /// Reads all files once.
    fn read(&self, pass: &mut Pass<'_>, damage: Option<&mut Damage>) -> io::Result<ControlFlow<()>> {
        let mut met = Damage::default();
        let mut before: Option<(&Segment, u64)> = None;
        for segment in self.segments {
            if let Some(stretch) = gap(before, segment) {
                met.note(stretch);
            }
            let mut walk = segment.walk();
            while let Some(event) = walk.next()? {
                if !(self.go_on)() {
                    return Ok(ControlFlow::Break(()));
                }
                match event {
                    Event::Batch { offset, head, mut records } => {
                        records.by_ref().for_each(|(key, value)| pass.take(key, value));
                        if records.damaged() > 0 {
                            met.note(Stretch {
                                file: segment.name.clone(),
                                offset,
                                bytes: u64::from(head.bytes),
                                records: Some(records.damaged()),
                                reason: "records of the batch are damaged",
                            });
                        }
                    }
                    Event::Damage(stretch) | Event::Tail(stretch) => met.note(stretch),
                }
            }
            before = Some((segment, walk.expected()));
        }
        if let Some((last, _)) = before.filter(|(last, _)| last.kind == Kind::Snapshot) {
            met.note(missing(last, "the files behind this one are missing"));
        }
        if let Some(damage) = damage {
            *damage = met;
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// What is missing between two files.
fn gap(before: Option<(&Segment, u64)>, segment: &Segment) -> Option<Stretch> {
    let files = missing(segment, "files before this one are missing");
    let Some((before, next_batch)) = before else {
        return (segment.kind == Kind::Log && segment.number != 1).then_some(files);
    };
    if segment.number != before.number + 1 {
        return Some(files);
    }
    let (head, head_before) = (segment.head?, before.head?);
    let next_batch = match before.kind {
        Kind::Log => next_batch,
        Kind::Snapshot => head_before.first_batch,
    };
    (head.first_batch > next_batch).then(|| missing(before, "the last batches of the file are missing"))
}

fn missing(file: &Segment, reason: &'static str) -> Stretch {
    Stretch { file: file.name.clone(), offset: file.end, bytes: 0, records: None, reason }
}

impl Pass<'_> {
    fn take(&mut self, key: &str, value: Option<&[u8]>) {
        if !self.range.holds(self.state.hash_one(key)) {
            return;
        }
        match value {
            None => {
                if let Some(old) = self.values.remove(key) {
                    self.used -= cost(key, old.capacity());
                }
            }
            Some(value) => {
                if let Some(old) = self.values.get_mut(key) {
                    self.used -= cost(key, old.capacity());
                    old.clear();
                    old.extend_from_slice(value);
                    self.used += cost(key, old.capacity());
                } else {
                    let value = value.to_vec();
                    self.used += cost(key, value.capacity());
                    self.values.insert(key.into(), value);
                }
                self.fit();
            }
        }
    }

    /// Leaves the upper half of the hashes to a later pass, until the rest fits.
    fn fit(&mut self) {
        while self.used > self.memory && self.range.from < self.range.to {
            self.range.to = self.range.from + (self.range.to - self.range.from) / 2;
            let (state, range, used) = (self.state, &self.range, &mut self.used);
            self.values.retain(|key, value| {
                let stays = range.holds(state.hash_one(key));
                if !stays {
                    *used -= cost(key, value.capacity());
                }
                stays
            });
        }
    }
}

fn cost(key: &str, value_bytes: usize) -> usize {
    ENTRY + key.len() + value_bytes
}
