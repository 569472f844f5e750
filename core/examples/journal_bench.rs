//! Measures the embedded journal: appending groups of records, and loading them.
//!
//! ```text
//! cargo run --release -p callboard-core --example journal_bench -- DIR append KEYS THREADS BATCH OUTSTANDING SECONDS [RATE [SPACING_US]]
//! cargo run --release -p callboard-core --example journal_bench -- DIR fill   KEYS
//! cargo run --release -p callboard-core --example journal_bench -- DIR load
//! ```
//!
//! `append` has THREADS threads rewrite random ones of KEYS records of 200 bytes. Each appends BATCH of them, hands one
//! ticket for them to a thread that waits, and goes on until OUTSTANDING tickets of all threads together wait. With a RATE
//! other than 0 no more than so many records per second are appended, in an even rhythm; `SPACING_US` is the shortest time
//! between flushes. The CPU of the thread that writes is told apart: the threads that append and wait are the bench's. `fill` writes each key once, `load` opens the journal and reads all of it. CPU is that
//! of the process, so that of making up keys and values is in it: `append` measures that first and tells it. Memory is
//! the peak of the process, so run each step in a process of its own.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::cast_precision_loss)]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use callboard_core::store::journal::{FileJournal, Journal, JournalConfig, Position};
use callboard_core::store::{SubmitError, Ticket};

const BYTES: usize = 200;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().unwrap();
    match arguments.as_slice() {
        [dir, "fill", keys] => fill(Path::new(dir), number(keys)),
        [dir, "load"] => load(Path::new(dir)),
        [dir, "append", keys, threads, batch, outstanding, seconds, rest @ ..] => {
            let load = Load {
                keys: number(keys),
                threads: number(threads),
                batch: number(batch),
                outstanding: usize::try_from(number(outstanding)).unwrap(),
                time: Duration::from_secs(number(seconds)),
                rate: rest.first().map(|rate| number(rate)).filter(|rate| *rate > 0),
                spacing: rest.get(1).map(|spacing| Duration::from_micros(number(spacing))),
            };
            append(Path::new(dir), load);
        }
        _ => println!("see the head of this file for the arguments"),
    }
}

fn open(dir: &Path, spacing: Option<Duration>) -> Arc<FileJournal> {
    let mut config = JournalConfig::default();
    config.flush_spacing = spacing.unwrap_or(config.flush_spacing);
    let (journal, report) = FileJournal::open(dir, &config).unwrap();
    println!("opened in {:.3} s, {} MB on disk", report.took.as_secs_f64(), report.size_on_disk / 1_000_000);
    journal
}

fn fill(dir: &Path, keys: u64) {
    let journal = open(dir, None);
    let mut random = Random(88_172_645_463_325_252);
    let (started, cpu) = (Instant::now(), cpu_seconds());
    for at in 0..keys {
        let (key, value) = (key(at), random.bytes());
        while let Err(error) = journal.append(&key, Some(&value)) {
            assert!(matches!(error, SubmitError::Full { .. }), "{error}");
            journal.committed(journal.durable()).wait().unwrap();
            thread::yield_now();
        }
    }
    journal.shutdown(Duration::from_mins(1)).unwrap();
    let (wall, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!("filled {keys} records in {wall:.2} s, {:.2} CPU us per record", cpu * 1e6 / keys as f64);
}

fn load(dir: &Path) {
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let journal = open(dir, None);
    let mut sum = 0_u64;
    let report = journal.scan(&mut |_, value| {
        sum += u64::from(value[0]);
        ControlFlow::Continue(())
    });
    let report = report.unwrap();
    println!(
        "loaded {} records, {} MB, {} damaged stretches in {:.2} s ({:.2} s of CPU); peak memory {} MB",
        report.records,
        report.bytes / 1_000_000,
        report.damage.stretches,
        started.elapsed().as_secs_f64(),
        cpu_seconds() - cpu,
        peak_kib() / 1_000,
    );
}

#[derive(Clone, Copy)]
struct Load {
    keys: u64,
    threads: u64,
    batch: u64,
    outstanding: usize,
    time: Duration,
    rate: Option<u64>,
    spacing: Option<Duration>,
}

fn append(dir: &Path, load: Load) {
    let overhead = overhead(load.keys);
    let journal = open(dir, load.spacing);
    let (started, cpu, writer) = (Instant::now(), cpu_seconds(), writer_seconds());
    let threads: Vec<_> = (0..load.threads)
        .map(|thread| {
            let journal = Arc::clone(&journal);
            thread::spawn(move || work(journal.as_ref(), load, thread + 1))
        })
        .collect();
    let mut latencies: Vec<Duration> =
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let (wall, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let writer = writer_seconds() - writer;
    let stats = journal.stats();
    let records = stats.committed_records as f64;
    latencies.sort_unstable();
    let latency = |permille: usize| latencies[(latencies.len() - 1) * permille / 1_000].as_secs_f64() * 1e3;
    println!(
        "{records} records in {wall:.2} s: {:.0} records/s, {:.2} CPU us per record, {overhead:.2} of them for making it \
         up and {:.2} for writing ({:.0} per flush); {} flushes, {:.1} records each; commit latency p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms; {} compactions",
        records / wall,
        cpu * 1e6 / records,
        writer * 1e6 / records,
        writer * 1e6 / stats.batches as f64,
        stats.batches,
        records / stats.batches as f64,
        latency(500),
        latency(990),
        latency(999),
        stats.compactions,
    );
    journal.shutdown(Duration::from_mins(1)).unwrap();
}

/// One thread's part: the latencies of its commits.
fn work(journal: &FileJournal, load: Load, seed: u64) -> Vec<Duration> {
    let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let share = (load.outstanding / usize::try_from(load.threads).unwrap()).max(1);
    let (send, waiting) = sync_channel::<(Instant, Ticket)>(share);
    let waiter = thread::spawn(move || {
        let waited = |(begun, ticket): (Instant, Ticket)| {
            ticket.wait().unwrap();
            begun.elapsed()
        };
        waiting.into_iter().map(waited).collect()
    });
    let pause =
        load.rate.map(|rate| Duration::from_secs_f64((load.batch * load.threads) as f64 / rate as f64));
    let mut next = Instant::now();
    let end = next + load.time;
    while Instant::now() < end {
        if let Some(pause) = pause {
            next += pause;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        let begun = Instant::now();
        let mut position = Position::START;
        for _ in 0..load.batch {
            let (key, value) = (key(random.next() % load.keys), random.bytes());
            position = journal.append(&key, Some(&value)).unwrap();
        }
        send.send((begun, journal.committed(position))).unwrap();
    }
    drop(send);
    waiter.join().unwrap()
}

/// Microseconds of CPU to make up a record.
fn overhead(keys: u64) -> f64 {
    const RECORDS: u32 = 2_000_000;
    let mut random = Random(1);
    let mut sum = 0;
    let cpu = cpu_seconds();
    for _ in 0..RECORDS {
        let (key, value) = (key(random.next() % keys), random.bytes());
        sum += key.len() + usize::from(value[7]);
    }
    assert!(sum > 0);
    (cpu_seconds() - cpu) * 1e6 / f64::from(RECORDS)
}

fn key(number: u64) -> String {
    format!("{number:08}")
}

/// User and system time of the process, in seconds (proc(5), fields 14 and 15 of stat, 100 per second).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) as f64 / 100.0
}

/// CPU of the thread that writes, in seconds: the first field of its schedstat (proc(5)), in nanoseconds.
fn writer_seconds() -> f64 {
    let mut nanoseconds = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let read = |name| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        if read("comm").trim() == "journal-writer" {
            nanoseconds += read("schedstat").split(' ').next().unwrap().parse::<u64>().unwrap();
        }
    }
    nanoseconds as f64 / 1e9
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// xorshift64: fast, and the same on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        for chunk in bytes.as_chunks_mut::<8>().0 {
            *chunk = self.next().to_le_bytes();
        }
        bytes
    }
}
