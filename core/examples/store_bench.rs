//! Measures the embedded store: filling it, reopening and scanning it, and the rate of commits.
//!
//! ```text
//! cargo run --release -p callboard-core --example store_bench -- DIR fill    RECORDS BYTES
//! cargo run --release -p callboard-core --example store_bench -- DIR scan
//! cargo run --release -p callboard-core --example store_bench -- DIR commit  RECORDS BYTES OUTSTANDING SECONDS
//! cargo run --release -p callboard-core --example store_bench -- DIR churn   RECORDS BYTES
//! ```
//!
//! `fill` writes records in random order of keys, `scan` opens the store and reads all of them, `commit`
//! rewrites random ones of the first RECORDS while OUTSTANDING submissions wait for their tickets, and
//! `churn` writes new records and deletes each again 200 later: the load under which the database is known
//! to hang when too much is written between two flushes. Memory is the peak of the process, so run each
//! step in a process of its own.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::cast_precision_loss)]

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use callboard_core::store::{SledStore, Store, StoreConfig, SubmitError, Table, Ticket, Write};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().unwrap();
    match arguments.as_slice() {
        [dir, "fill", records, bytes] => fill(Path::new(dir), number(records), number(bytes)),
        [dir, "churn", records, bytes] => churn(Path::new(dir), number(records), number(bytes)),
        [dir, "scan"] => scan(Path::new(dir)),
        [dir, "commit", records, bytes, outstanding, seconds] => {
            let seconds = Duration::from_secs(number(seconds));
            commit(Path::new(dir), number(records), number(bytes), number(outstanding), seconds);
        }
        _ => println!("see the head of this file for the arguments"),
    }
}

fn open(dir: &Path) -> std::sync::Arc<SledStore> {
    let (store, report) = SledStore::open(dir, &StoreConfig::default()).unwrap();
    println!("opened in {:.2} s, {} MB on disk", report.took.as_secs_f64(), report.size_on_disk / 1_000_000);
    store
}

fn fill(dir: &Path, records: u64, bytes: u64) {
    let store = open(dir);
    let mut random = Random(88_172_645_463_325_252);
    let mut tickets = VecDeque::new();
    let clock = Clock::start();
    for at in 0..records {
        // Odd times anything is a permutation of the 24 bits of a MAC's own half.
        let key = mac(at.wrapping_mul(0x9e37_79b1));
        submit(&store, &mut tickets, &Write::put(Table::Device, key, random.bytes(bytes)));
        if tickets.len() == 4_000 {
            tickets.pop_front().unwrap().wait().unwrap();
        }
    }
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    clock.report("filled", records, &store);
    close(&store);
}

fn scan(dir: &Path) {
    let clock = Clock::start();
    let store = open(dir);
    let mut sum = 0_u64;
    let report = store
        .scan(Table::Device, &mut |_, value| {
            sum += u64::from(value[0]);
            ControlFlow::Continue(())
        })
        .unwrap();
    println!("{} records, {} MB, {} damaged", report.records, report.bytes / 1_000_000, report.damaged);
    clock.report("opened and scanned", report.records, &store);
    close(&store);
}

fn commit(dir: &Path, records: u64, bytes: u64, outstanding: u64, time: Duration) {
    let store = open(dir);
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut tickets = VecDeque::new();
    let clock = Clock::start();
    let mut done = 0;
    while clock.started.elapsed() < time {
        let key = mac((random.next() % records).wrapping_mul(0x9e37_79b1));
        submit(&store, &mut tickets, &Write::put(Table::Device, key, random.bytes(bytes)));
        if tickets.len() as u64 >= outstanding {
            tickets.pop_front().unwrap().wait().unwrap();
        }
        done += 1;
    }
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    clock.report("committed", done, &store);
    close(&store);
}

fn churn(dir: &Path, records: u64, bytes: u64) {
    let store = open(dir);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut tickets = VecDeque::new();
    let clock = Clock::start();
    for at in 0..records {
        submit(&store, &mut tickets, &Write::put(Table::Device, mac(at), random.bytes(bytes)));
        if let Some(old) = at.checked_sub(200) {
            submit(&store, &mut tickets, &Write::delete(Table::Device, mac(old)));
        }
        while tickets.len() > 1_000 {
            tickets.pop_front().unwrap().wait().unwrap();
        }
    }
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    clock.report("churned", records, &store);
    close(&store);
}

fn close(store: &SledStore) {
    let started = Instant::now();
    store.shutdown(Duration::from_mins(1)).unwrap();
    println!("closed in {:.2} s", started.elapsed().as_secs_f64());
}

fn submit(store: &SledStore, tickets: &mut VecDeque<Ticket>, write: &Write) {
    loop {
        match store.submit(vec![write.clone()]) {
            Ok(ticket) => return tickets.push_back(ticket),
            Err(SubmitError::Full { .. }) => tickets.pop_front().unwrap().wait().unwrap(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn mac(number: u64) -> String {
    let [.., a, b, c] = number.to_be_bytes();
    format!("00:1a:e8:{a:02x}:{b:02x}:{c:02x}")
}

struct Clock {
    started: Instant,
    cpu: f64,
}

impl Clock {
    fn start() -> Self {
        Self { started: Instant::now(), cpu: cpu_seconds() }
    }

    fn report(&self, what: &str, records: u64, store: &SledStore) {
        let (wall, cpu) = (self.started.elapsed().as_secs_f64(), cpu_seconds() - self.cpu);
        let stats = store.stats();
        println!(
            "{what} {records} records in {wall:.2} s: {:.0} records/s, {:.1} CPU us per record; {} flushes; \
             {} MB on disk, {:?} live bytes; peak memory {} MB",
            records as f64 / wall,
            cpu * 1e6 / records as f64,
            stats.batches,
            stats.size_on_disk / 1_000_000,
            stats.live_bytes,
            peak_kib() / 1_000,
        );
    }
}

/// User and system time of the process, in seconds (proc(5), fields 14 and 15 of stat, 100 per second).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) as f64 / 100.0
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

    fn bytes(&mut self, bytes: u64) -> Vec<u8> {
        (0..bytes.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect()
    }
}
