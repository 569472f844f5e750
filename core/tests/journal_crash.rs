//! A process that appends records is killed at random moments, while it compacts as often as it can: what it had been told
//! is durable must be there afterwards, and nothing may be damaged.
//!
//! `CALLBOARD_CRASH_ROUNDS` sets the number of rounds (8 unless set).

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use callboard_core::store::journal::{FileJournal, Journal, JournalCheck, JournalConfig, check};

const CHILD: &str = "CALLBOARD_JOURNAL_CRASH_CHILD";
const KEYS: u64 = 300;

/// Records of a group; one in ten deletes.
const GROUP: u64 = 10;

fn config() -> JournalConfig {
    JournalConfig {
        min_free_bytes: 0,
        compact_bytes: 32 * 1024,
        scan_bytes: 1 << 20,
        ..JournalConfig::default()
    }
}

/// A record that tells which one it is; `None` for one that deletes.
fn value(sequence: u64) -> Option<Vec<u8>> {
    if sequence.is_multiple_of(10) {
        return None;
    }
    let length = if sequence.is_multiple_of(31) { 5_000 } else { 200 };
    let mut value = sequence.to_le_bytes().to_vec();
    value.extend((0..length).map(|at: u64| (at.wrapping_mul(sequence + 1) >> 3).to_le_bytes()[0]));
    Some(value)
}

fn key(sequence: u64) -> String {
    // Keys meet all numbers, those that delete among them.
    format!("sip:{}@example.net", sequence * 7 % KEYS)
}

/// The child: appends records as fast as it can and prints the number of each group once it is durable.
#[test]
#[ignore = "started by the test below, in a process of its own"]
fn child() {
    let Ok(argument) = std::env::var(CHILD) else { return };
    let (first, dir) = argument.split_once(' ').unwrap();
    say("opening");
    let (journal, _) = FileJournal::open(Path::new(dir), &config()).unwrap();
    let first: u64 = first.parse().unwrap();
    for group in first / GROUP.. {
        let mut position = journal.durable();
        for sequence in group * GROUP..(group + 1) * GROUP {
            position = journal.append(&key(sequence), value(sequence).as_deref()).unwrap();
        }
        journal.committed(position).wait().unwrap();
        say(&format!("acknowledged {}", (group + 1) * GROUP));
    }
}

/// One write per line: a line is whole or not there.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Returns below which number everything was acknowledged.
fn kill_one(dir: &Path, first: u64, lines: usize) -> Option<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(CHILD, format!("{first} {}", dir.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut last = None;
    let mut note = |line: &str| match line.strip_prefix("acknowledged ") {
        Some(number) => last = Some(number.parse().unwrap()),
        // Anything else is the child's cry for help.
        None => assert_eq!(line, "opening"),
    };
    for line in output.by_ref().take(lines) {
        note(&line.unwrap());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it said before it died counts.
    for line in output.map_while(Result::ok) {
        note(&line);
    }
    last
}

/// Returns the number to go on with.
fn verify(dir: &Path, acknowledged: u64) -> u64 {
    let checked = check(dir).unwrap();
    assert!(checked.as_ref().is_none_or(JournalCheck::is_sound), "{checked:?}");
    let (journal, _) = FileJournal::open(dir, &config()).unwrap();
    let mut found = BTreeMap::new();
    let scan = journal
        .scan(&mut |key, value| {
            found.insert(key.to_owned(), value.to_vec());
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(scan.damage.is_none(), "{:?}", scan.damage);
    journal.shutdown(Duration::from_mins(1)).unwrap();
    // One group may have been written and not acknowledged: all of it is there then, or nothing of it.
    let state = |end: u64| {
        let mut state = BTreeMap::new();
        for sequence in 0..end {
            match value(sequence) {
                Some(value) => state.insert(key(sequence), value),
                None => state.remove(&key(sequence)),
            };
        }
        state
    };
    let ends = [acknowledged, acknowledged + GROUP];
    let end = ends.into_iter().find(|end| state(*end) == found);
    end.unwrap_or_else(|| panic!("the {} records found are those of neither {ends:?}", found.len()))
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill() {
    let rounds = std::env::var("CALLBOARD_CRASH_ROUNDS").map_or(8, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut next = 0;
    for round in 0..rounds {
        // Killed after so many lines: while it opens the journal (1), soon, and later.
        let lines = [1, 40, 300, 1, 900, 150][round % 6];
        let acknowledged = kill_one(dir.path(), next, lines).unwrap_or(next);
        next = verify(dir.path(), acknowledged);
    }
    assert!(next > 1_000);
}
