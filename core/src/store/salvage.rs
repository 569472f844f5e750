//! Reading past damage: what the database cannot give is stepped over.

use std::ops::{Bound, ControlFlow};

use super::Table;
use super::database::{Database, Failure, guarded};
use super::record::{Assembler, Item};

/// How a salvage of one table ended.
#[derive(Debug, Default)]
pub(super) struct Salvage {
    /// What the database said of a stretch it cannot read.
    pub(super) fault: Option<Failure>,
    /// Whether the visitor ended it before its time.
    pub(super) stopped: bool,
}

type Visit<'a> = &'a mut dyn FnMut(Item) -> ControlFlow<()>;

impl Database {
    /// Visits every record of `table` that can be read, in the order of keys.
    ///
    /// A page that the database cannot read hides where the next one begins. So after a fault the table is
    /// read from its end backwards, and what lies between the two faults is left out.
    pub(super) fn salvage(&self, table: Table, visit: Visit<'_>) -> Salvage {
        let end = [table as u8 + 1];
        let mut salvage = Salvage::default();
        let mut last = vec![table as u8];
        let from = Bound::Included(last.clone());
        if let Err(reason) = self.forward(from, &end, visit, &mut last, &mut salvage) {
            salvage.fault = Some(reason);
            if let Some(from) = self.first_behind_damage(&last, &end)
                && let Err(reason) = self.forward(Bound::Included(from), &end, visit, &mut last, &mut salvage)
            {
                salvage.fault = Some(reason);
            }
        }
        salvage
    }

    /// Reads until the end or a fault; `last` becomes the last key read.
    fn forward(
        &self,
        from: Bound<Vec<u8>>,
        end: &[u8],
        visit: Visit<'_>,
        last: &mut Vec<u8>,
        salvage: &mut Salvage,
    ) -> Result<(), Failure> {
        let mut entries = guarded(|| Ok(self.range(from, end)))?;
        let mut assembler = Assembler::default();
        loop {
            let entry = guarded(|| entries.next().transpose());
            let items = match &entry {
                Ok(Some((key, value))) => {
                    last.clear();
                    last.extend_from_slice(key);
                    assembler.push(key, value)
                }
                Ok(None) | Err(_) => [assembler.finish(), None],
            };
            for item in items.into_iter().flatten() {
                if visit(item).is_break() {
                    salvage.stopped = true;
                    return Ok(());
                }
            }
            if entry?.is_none() {
                return Ok(());
            }
        }
    }

    /// The first key that can be reached from the end of the table.
    fn first_behind_damage(&self, last: &[u8], end: &[u8]) -> Option<Vec<u8>> {
        let mut entries = self.range(Bound::Excluded(last.to_vec()), end);
        let mut first = None;
        while let Ok(Some((key, _))) = guarded(|| entries.next_back().transpose()) {
            first = Some(key.to_vec());
        }
        first
    }
}
