//! Commits to the embedded store: one at a time, and many under way at once.
//!
//! Records are 2.2 kB under random keys of 50,000, as a fleet that boots writes them. Everything counted
//! was synced to the disk of the temporary directory, so the figures are that disk's as well.

#![allow(missing_docs, clippy::unwrap_used)]

use std::time::Duration;

use callboard_core::store::{SledStore, Store, StoreConfig, Table, Write};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const KEYS: u64 = 50_000;
const BYTES: usize = 2_200;

/// xorshift64: fast, and the same on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn write(&mut self) -> Write {
        let [.., a, b, c] = (self.next() % KEYS).wrapping_mul(0x9e37_79b1).to_be_bytes();
        let key = format!("00:1a:e8:{a:02x}:{b:02x}:{c:02x}");
        let value = (0..BYTES.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        Write::put(Table::Device, key, value)
    }
}

fn commit(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = SledStore::open(dir.path(), &StoreConfig::default()).unwrap();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut group = criterion.benchmark_group("store_commit");
    group.sample_size(20).measurement_time(Duration::from_secs(10));
    for under_way in [1, 100, 1_000] {
        group.throughput(Throughput::Elements(under_way));
        group.bench_function(BenchmarkId::new("under_way", under_way), |bencher| {
            bencher.iter(|| {
                let tickets: Vec<_> =
                    (0..under_way).map(|_| store.submit(vec![random.write()]).unwrap()).collect();
                for ticket in tickets {
                    ticket.wait().unwrap();
                }
            });
        });
    }
    group.finish();
    store.shutdown(Duration::from_mins(1)).unwrap();
}

criterion_group!(benches, commit);
criterion_main!(benches);
