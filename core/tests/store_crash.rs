//! A process that stores records is killed at random moments: what it had been told is durable must be
//! there afterwards, whole, and nothing may be damaged.
//!
//! `CALLBOARD_CRASH_ROUNDS` sets the number of rounds (6 unless set).

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use callboard_core::store::{SledStore, Store, StoreConfig, Table, Ticket, Write, check};

const CHILD: &str = "CALLBOARD_CRASH_CHILD";
const KEYS: u64 = 200;

fn config() -> StoreConfig {
    StoreConfig { min_free_bytes: 0, ..StoreConfig::default() }
}

/// A record that tells which one it is, sometimes so large that it is stored in parts.
fn record(sequence: u64) -> Vec<u8> {
    let length = if sequence.is_multiple_of(11) { 9_000 } else { 1_500 };
    let mut value = sequence.to_le_bytes().to_vec();
    value.extend((0..length).map(|at: u64| (at.wrapping_mul(sequence + 1) >> 3).to_le_bytes()[0]));
    value
}

fn key(sequence: u64) -> String {
    // Not in order, so that pages of the database are split and rewritten all over.
    format!("{:016x}", (sequence % KEYS).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The child: stores records as fast as it can and prints the number of each once it is durable.
#[test]
#[ignore = "started by the test below, in a process of its own"]
fn child() {
    let Ok(argument) = std::env::var(CHILD) else { return };
    let (first, dir) = argument.split_once(' ').unwrap();
    say("opening");
    let (store, _) = SledStore::open(Path::new(dir), &config()).unwrap();
    let mut waiting: VecDeque<(u64, Ticket)> = VecDeque::new();
    for sequence in first.parse().unwrap().. {
        // Each unit also changes a second record, whose number must always be the same.
        let twin = Write::put(Table::Meta, key(sequence), sequence.to_le_bytes().to_vec());
        let write = Write::put(Table::Device, key(sequence), record(sequence));
        waiting.push_back((sequence, store.submit(vec![write, twin]).unwrap()));
        if waiting.len() == 64 {
            let (sequence, ticket) = waiting.pop_front().unwrap();
            ticket.wait().unwrap();
            say(&format!("acknowledged {sequence}"));
        }
    }
}

/// One write per line: a line is whole or not there.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

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

fn verify(dir: &Path, acknowledged: &BTreeMap<String, u64>) -> u64 {
    let report = check(dir).unwrap();
    assert!(report.is_sound(), "{report:?}");
    let (store, _) = SledStore::open(dir, &config()).unwrap();
    let mut newest = 0;
    let mut found = BTreeMap::new();
    let scan = store
        .scan(Table::Device, &mut |key, value| {
            let sequence = u64::from_le_bytes(*value.first_chunk().unwrap());
            assert_eq!(value, record(sequence), "{key} is not what was written");
            newest = newest.max(sequence);
            found.insert(key.to_owned(), sequence);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(scan.damaged, 0);
    store
        .scan(Table::Meta, &mut |key, value| {
            let sequence = u64::from_le_bytes(value.try_into().unwrap());
            assert_eq!(found.get(key), Some(&sequence), "half of a unit is there");
            ControlFlow::Continue(())
        })
        .unwrap();
    for (key, sequence) in acknowledged {
        assert!(
            found.get(key) >= Some(sequence),
            "{key}: {sequence} was acknowledged, found {:?}",
            found.get(key)
        );
    }
    store.shutdown(Duration::from_mins(1)).unwrap();
    newest
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill() {
    let rounds = std::env::var("CALLBOARD_CRASH_ROUNDS").map_or(6, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeMap::new();
    let mut next = 0;
    for round in 0..rounds {
        // Killed after so many lines: while it opens the store (1), soon, and later.
        let lines = [1, 40, 700, 1, 2_500, 150][round % 6];
        if let Some(last) = kill_one(dir.path(), next, lines) {
            for sequence in next..=last {
                acknowledged.insert(key(sequence), sequence);
            }
        }
        if !acknowledged.is_empty() {
            next = next.max(verify(dir.path(), &acknowledged) + 1);
        }
    }
    assert!(!acknowledged.is_empty());
}
