//! How many bytes of the database are alive, counted beside the work that is done anyway.
//!
//! The first full scan of a table counts it; from then on every write tells how much it replaced. While
//! that scan runs, only writes behind it matter: what lies before it is still to be counted.

use super::Table;
use super::database::{Chunk, Replaced};
use super::record::stored_key;

#[derive(Debug, Clone)]
enum Count {
    Unknown,
    /// The stored key up to which was counted, and the sum.
    Counting(Vec<u8>, i64),
    Known(i64),
}

/// Live bytes by table.
#[derive(Debug)]
pub(super) struct Live([Count; Table::ALL.len()]);

impl Live {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Count::Unknown))
    }

    /// A new database holds nothing.
    pub(super) fn empty() -> Self {
        Self(std::array::from_fn(|_| Count::Known(0)))
    }

    fn of(&mut self, table: Table) -> &mut Count {
        let at = Table::ALL.iter().position(|known| *known == table).unwrap_or_default();
        &mut self.0[at]
    }

    /// A stretch of a scan that began at `from` was read.
    pub(super) fn scanned(&mut self, table: Table, from: Option<&[u8]>, chunk: &Chunk) {
        let bytes: usize = chunk.records.iter().map(|(key, value)| key.len() + value.len()).sum();
        let bytes = (bytes as u64).cast_signed();
        let count = self.of(table);
        let sum = match (&*count, from) {
            (Count::Unknown, None) => bytes,
            // Another scan may run beside the one that counts.
            (Count::Counting(at, sum), Some(from)) if at == from => sum + bytes,
            _ => return,
        };
        *count = match &chunk.next {
            Some(next) => Count::Counting(next.clone(), sum),
            None => Count::Known(sum),
        };
    }

    /// A record was written or deleted.
    pub(super) fn replaced(&mut self, table: Table, key: &str, replaced: Replaced) {
        let change = replaced.after.cast_signed() - replaced.before.cast_signed();
        match self.of(table) {
            Count::Known(sum) => *sum += change,
            Count::Counting(at, sum) if stored_key(table, key) <= *at => *sum += change,
            Count::Counting(..) | Count::Unknown => {}
        }
    }

    /// Bytes of all tables, once all are known.
    pub(super) fn total(&self) -> Option<u64> {
        self.0.iter().try_fold(0_u64, |total, count| match count {
            Count::Known(sum) => Some(total.saturating_add_signed(*sum)),
            Count::Unknown | Count::Counting(..) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(bytes: usize, next: Option<&[u8]>) -> Chunk {
        Chunk {
            records: vec![("k".into(), vec![0; bytes - 1])],
            damaged: Vec::new(),
            next: next.map(<[u8]>::to_vec),
        }
    }

    #[test]
    fn a_scan_counts_and_writes_beside_it_are_counted_once() {
        let mut live = Live::new();
        live.scanned(Table::Meta, None, &chunk(1, None));
        live.scanned(Table::Value, None, &chunk(5, None));
        live.scanned(Table::Template, None, &chunk(2, None));
        live.scanned(Table::Tasks, None, &chunk(3, None));
        live.scanned(Table::Job, None, &chunk(4, None));
        let others = Table::ALL.into_iter().filter(|table| {
            use Table::{Device, Job, Meta, Tasks, Template, Value};
            !matches!(table, Meta | Value | Template | Tasks | Job | Device)
        });
        for table in others {
            live.scanned(table, None, &Chunk { records: Vec::new(), damaged: Vec::new(), next: None });
        }
        live.scanned(Table::Device, None, &chunk(100, Some(b"dm")));
        live.replaced(Table::Device, "a", Replaced { before: 10, after: 30 });
        live.replaced(Table::Device, "z", Replaced { before: 0, after: 50 });
        // A second scan that starts now is not counted again.
        live.scanned(Table::Device, None, &chunk(120, Some(b"dm")));
        assert_eq!(live.total(), None);
        live.scanned(Table::Device, Some(b"dm"), &chunk(50, None));
        assert_eq!(live.total(), Some(1 + 5 + 2 + 3 + 4 + 100 + 20 + 50));
        live.replaced(Table::Device, "z", Replaced { before: 50, after: 0 });
        assert_eq!(live.total(), Some(135));
    }

    #[test]
    fn a_new_database_is_known_to_be_empty() {
        assert_eq!(Live::empty().total(), Some(0));
    }
}
