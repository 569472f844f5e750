//! How records and batches lie in a file. Numbers are in little-endian order.
//!
//! | record | bytes |
//! |---|---|
//! | CRC-32 of what follows | 4 |
//! | length of the value | 4 |
//! | version, 1 | 1 |
//! | 1 sets, 2 deletes | 1 |
//! | length of the key | 1 |
//! | key, value | |
//!
//! What is written with one flush is a batch: a head, then its records.
//!
//! | head of a batch | bytes |
//! |---|---|
//! | marker of the file | 8 |
//! | number of the batch, one more than that of the batch before | 8 |
//! | length of the records | 4 |
//! | number of records | 4 |
//! | CRC-32 of the above | 4 |
//!
//! The head says where the next batch begins, so that damage in one batch does not spread. The marker is drawn at random
//! for each file: the next head is found by it when one is damaged, and no value that a peer sent can look like one.

use crate::store::SubmitError;

/// Bytes of a batch before its records.
pub(super) const BATCH_HEAD: usize = 28;

/// Bytes of a record before its key.
const RECORD_HEAD: usize = 11;

const VERSION: u8 = 1;
const SET: u8 = 1;
const DELETE: u8 = 2;

/// A record that fits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    key: &'a str,
    value: Option<&'a [u8]>,
    key_bytes: u8,
    value_bytes: u32,
}

impl<'a> Record<'a> {
    /// Checks a record against the bounds; `limit` is that of the value.
    pub(super) fn new(key: &'a str, value: Option<&'a [u8]>, limit: usize) -> Result<Self, SubmitError> {
        let bytes = value.map_or(0, <[u8]>::len);
        let too_large = || SubmitError::TooLarge { key: key.into(), bytes, limit };
        let key_bytes = u8::try_from(key.len()).ok().filter(|bytes| *bytes > 0 && !key.contains('\0'));
        let key_bytes = key_bytes.ok_or_else(|| SubmitError::BadKey(key.into()))?;
        if bytes > limit {
            return Err(too_large());
        }
        let value_bytes = u32::try_from(bytes).map_err(|_| too_large())?;
        Ok(Self { key, value, key_bytes, value_bytes })
    }

    /// Its bytes in a file.
    pub(super) fn encoded_bytes(&self) -> usize {
        RECORD_HEAD + self.key.len() + self.value.map_or(0, <[u8]>::len)
    }

    /// Appends it to a batch.
    pub(super) fn write_to(&self, batch: &mut Vec<u8>) {
        let mut head = [0; RECORD_HEAD];
        head[4..8].copy_from_slice(&self.value_bytes.to_le_bytes());
        head[8] = VERSION;
        head[9] = if self.value.is_some() { SET } else { DELETE };
        head[10] = self.key_bytes;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&head[4..]);
        crc.update(self.key.as_bytes());
        crc.update(self.value.unwrap_or_default());
        head[..4].copy_from_slice(&crc.finalize().to_le_bytes());
        batch.reserve(self.encoded_bytes());
        batch.extend_from_slice(&head);
        batch.extend_from_slice(self.key.as_bytes());
        batch.extend_from_slice(self.value.unwrap_or_default());
    }
}

/// The head of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchHead {
    pub(super) number: u64,
    /// Bytes of the records behind it.
    pub(super) bytes: u32,
    pub(super) records: u32,
}

impl BatchHead {
    pub(super) fn encode(self, marker: u64) -> [u8; BATCH_HEAD] {
        let mut head = [0; BATCH_HEAD];
        head[..8].copy_from_slice(&marker.to_le_bytes());
        head[8..16].copy_from_slice(&self.number.to_le_bytes());
        head[16..20].copy_from_slice(&self.bytes.to_le_bytes());
        head[20..24].copy_from_slice(&self.records.to_le_bytes());
        let crc = crc32fast::hash(&head[..24]);
        head[24..].copy_from_slice(&crc.to_le_bytes());
        head
    }

    /// The head that `bytes` begin with, if it is a sound one of this file.
    pub(super) fn decode(bytes: &[u8], marker: u64) -> Option<Self> {
        let bytes: &[u8; BATCH_HEAD] = bytes.first_chunk()?;
        let head = Self {
            number: u64::from_le_bytes(*bytes[8..].first_chunk()?),
            bytes: u32::from_le_bytes(*bytes[16..].first_chunk()?),
            records: u32::from_le_bytes(*bytes[20..].first_chunk()?),
        };
        (head.encode(marker) == *bytes).then_some(head)
    }
}

/// A frame as its lengths say, sound or not.
struct Frame<'a> {
    crc: u32,
    covered: &'a [u8],
    version: u8,
    kind: u8,
    key: &'a [u8],
    value: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame that `bytes` begin with, and what is behind it.
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let head: &[u8; RECORD_HEAD] = bytes.first_chunk()?;
        let value_bytes = usize::try_from(u32::from_le_bytes(*head[4..].first_chunk()?)).ok()?;
        let total = RECORD_HEAD.checked_add(usize::from(head[10]))?.checked_add(value_bytes)?;
        let (frame, rest) = bytes.split_at_checked(total)?;
        let (key, value) = frame.get(RECORD_HEAD..)?.split_at_checked(usize::from(head[10]))?;
        let frame = Self {
            crc: u32::from_le_bytes(*head.first_chunk()?),
            covered: frame.get(4..)?,
            version: head[8],
            kind: head[9],
            key,
            value,
        };
        Some((frame, rest))
    }

    fn record(&self) -> Option<(&'a str, Option<&'a [u8]>)> {
        if crc32fast::hash(self.covered) != self.crc || self.version != VERSION {
            return None;
        }
        let key = std::str::from_utf8(self.key).ok().filter(|key| !key.is_empty())?;
        match self.kind {
            SET => Some((key, Some(self.value))),
            DELETE if self.value.is_empty() => Some((key, None)),
            _ => None,
        }
    }
}

/// The sound records of a batch, in their order.
///
/// A record that is not sound is stepped over by its length, but only if the lengths from there on lead to exactly the
/// end of the batch and its number of records: else the length itself may be damaged, point into a value, and take what
/// a peer sent for a record. Then the rest of the batch is lost.
#[derive(Debug)]
pub(super) struct Records<'a> {
    rest: &'a [u8],
    left: u64,
    damaged: u64,
}

impl<'a> Records<'a> {
    /// Of the `bytes` behind a head that speaks of so many `records`.
    pub(super) fn new(bytes: &'a [u8], records: u32) -> Self {
        Self { rest: bytes, left: u64::from(records), damaged: 0 }
    }

    /// Records that were not sound; final after the last one.
    pub(super) fn damaged(&self) -> u64 {
        self.damaged
    }

    fn leads_to_the_end(&self) -> bool {
        let (mut rest, mut left) = (self.rest, self.left);
        while left > 0 {
            let Some((_, behind)) = Frame::split(rest) else { return false };
            (rest, left) = (behind, left - 1);
        }
        rest.is_empty()
    }

    fn give_up(&mut self) {
        self.damaged += self.left;
        (self.rest, self.left) = (&[], 0);
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        while self.left > 0 {
            let Some((frame, rest)) = Frame::split(self.rest) else {
                self.give_up();
                break;
            };
            let record = frame.record();
            if record.is_none() && self.damaged == 0 && !self.leads_to_the_end() {
                self.give_up();
                break;
            }
            (self.rest, self.left) = (rest, self.left - 1);
            match record {
                Some(record) => return Some(record),
                None => self.damaged += 1,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = (String, Option<Vec<u8>>);

    fn record() -> impl Strategy<Value = Owned> {
        ("[a-zä]{1,20}", prop::option::of(prop::collection::vec(any::<u8>(), 0..60)))
    }

    fn batch(records: &[Owned]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, value) in records {
            let record = Record::new(key, value.as_deref(), 100).unwrap();
            let before = bytes.len();
            record.write_to(&mut bytes);
            assert_eq!(bytes.len() - before, record.encoded_bytes());
        }
        bytes
    }

    fn read(bytes: &[u8], records: usize) -> (Vec<Owned>, u64) {
        let mut read = Records::new(bytes, u32::try_from(records).unwrap());
        let list = read.by_ref().map(|(key, value)| (key.to_owned(), value.map(<[u8]>::to_vec))).collect();
        (list, read.damaged())
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(records in prop::collection::vec(record(), 0..8)) {
            prop_assert_eq!(read(&batch(&records), records.len()), (records, 0));
        }

        /// Of a flipped bit no more than the rest of the batch is lost, each lost record is counted, and what is read
        /// was written.
        #[test]
        fn a_flipped_bit_is_counted(records in prop::collection::vec(record(), 1..8), at in any::<prop::sample::Index>(), bit in 0..8) {
            let mut bytes = batch(&records);
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            let (list, damaged) = read(&bytes, records.len());
            prop_assert!(damaged >= 1);
            prop_assert_eq!(list.len() as u64 + damaged, records.len() as u64);
            prop_assert!(list.iter().all(|record| records.contains(record)));
        }

        #[test]
        fn garbage_is_no_record(bytes in prop::collection::vec(any::<u8>(), 0..300), records in 0_u32..9) {
            let mut read = Records::new(&bytes, records);
            prop_assert_eq!(read.by_ref().count() as u64 + read.damaged(), u64::from(records));
        }

        #[test]
        fn a_head_is_one_of_its_file_only(number in any::<u64>(), bytes in any::<u32>(), records in any::<u32>(), at in 0..BATCH_HEAD, bit in 0..8) {
            let head = BatchHead { number, bytes, records };
            let mut encoded = head.encode(7);
            prop_assert_eq!(BatchHead::decode(&encoded, 7), Some(head));
            prop_assert_eq!(BatchHead::decode(&encoded, 8), None);
            prop_assert_eq!(BatchHead::decode(&encoded[1..], 7), None);
            encoded[at] ^= 1_u8 << bit;
            prop_assert_eq!(BatchHead::decode(&encoded, 7), None);
        }
    }

    #[test]
    fn a_record_in_a_value_is_not_taken_for_one() {
        let inner = batch(&[("forged".to_owned(), Some(b"evil".to_vec()))]);
        // As if the length of the outer record had been damaged so that the next frame is the one in its value.
        let mut bytes = batch(&[("a".to_owned(), Some(inner)), ("b".to_owned(), None)]);
        bytes[4..8].copy_from_slice(&0_u32.to_le_bytes());
        assert_eq!(read(&bytes, 2), (Vec::new(), 2));
    }

    #[test]
    fn a_damaged_value_costs_its_record_only() {
        let records = ["a", "b", "c"].map(|key| (key.to_owned(), Some(vec![1; 10])));
        let mut bytes = batch(&records);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        assert_eq!(read(&bytes, 3), (vec![records[0].clone(), records[2].clone()], 1));
    }

    #[test]
    fn bounds_are_checked() {
        let long = "k".repeat(256);
        for key in ["", "a\0b", &long] {
            assert_eq!(Record::new(key, None, 9).unwrap_err(), SubmitError::BadKey(key.into()));
        }
        assert!(Record::new(&long[1..], Some(&[0; 9]), 9).is_ok());
        let error = Record::new("a", Some(&[0; 10]), 9).unwrap_err();
        assert_eq!(error, SubmitError::TooLarge { key: "a".into(), bytes: 10, limit: 9 });
    }
}
