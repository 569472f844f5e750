//! One file of the journal: its head, and reading it past damage.
//!
//! | head of a file | bytes |
//! |---|---|
//! | `callbdjl` | 8 |
//! | format, 1 | 4 |
//! | 1 for a log, 2 for a snapshot | 4 |
//! | number of the file | 8 |
//! | number of its first batch | 8 |
//! | marker: drawn at random, begins each batch | 8 |
//! | CRC-32 of the above | 4 |

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::frame::{BATCH_HEAD, BatchHead, Records};
use super::status::Stretch;

/// Format written by this version; the newest it reads.
pub(super) const FORMAT: u32 = 1;

/// Bytes of the head of a file.
pub(super) const HEAD: usize = 44;

/// Where the first batch begins.
pub(super) const FIRST: u64 = HEAD as u64;

const TITLE: [u8; 8] = *b"callbdjl";

/// How much is read at a time, at least.
const WINDOW: usize = 512 * 1024;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Changes, in the order they were made.
    Log = 1,
    /// What is left of all changes up to the log of the same number.
    Snapshot = 2,
}

/// The head of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) number: u64,
    pub(super) first_batch: u64,
    pub(super) marker: u64,
}

/// Why a file has no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeadFault {
    Damaged,
    /// Written by a newer version.
    Newer(u32),
}

impl Head {
    pub(super) fn encode(self) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        head[..8].copy_from_slice(&TITLE);
        head[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        head[12..16].copy_from_slice(&(self.kind as u32).to_le_bytes());
        head[16..24].copy_from_slice(&self.number.to_le_bytes());
        head[24..32].copy_from_slice(&self.first_batch.to_le_bytes());
        head[32..40].copy_from_slice(&self.marker.to_le_bytes());
        let crc = crc32fast::hash(&head[..40]);
        head[40..].copy_from_slice(&crc.to_le_bytes());
        head
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeadFault> {
        let long = |at: usize| bytes.get(at..).and_then(<[u8]>::first_chunk).copied().map(u64::from_le_bytes);
        let short =
            |at: usize| bytes.get(at..).and_then(<[u8]>::first_chunk).copied().map(u32::from_le_bytes);
        if !bytes.starts_with(&TITLE) {
            return Err(HeadFault::Damaged);
        }
        // A newer format may have another head behind this.
        if let Some(format) = short(8).filter(|format| *format > FORMAT) {
            return Err(HeadFault::Newer(format));
        }
        let kind = match short(12) {
            Some(1) => Kind::Log,
            Some(2) => Kind::Snapshot,
            _ => return Err(HeadFault::Damaged),
        };
        let head = match (long(16), long(24), long(32)) {
            (Some(number), Some(first_batch), Some(marker)) => Self { kind, number, first_batch, marker },
            _ => return Err(HeadFault::Damaged),
        };
        if bytes.get(..HEAD) == Some(&head.encode()) { Ok(head) } else { Err(HeadFault::Damaged) }
    }
}

/// A file to read, up to `end`.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) number: u64,
    pub(super) file: Arc<File>,
    /// `None` when it is damaged: then nothing of the file can be read.
    pub(super) head: Option<Head>,
    /// Bytes to read; what is behind is not durable yet, or a torn end.
    pub(super) end: u64,
}

/// What comes next in a file.
#[derive(Debug)]
pub(super) enum Event<'a> {
    Batch {
        offset: u64,
        head: BatchHead,
        records: Records<'a>,
    },
    /// A stretch that cannot be read, and more batches behind it.
    Damage(Stretch),
    /// Nothing behind here can be read.
    Tail(Stretch),
}

/// Where a file that was being written ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// Behind its last whole batch. What follows was never acknowledged.
    pub(super) offset: u64,
    /// The number the next batch gets.
    pub(super) next_batch: u64,
    /// Whether there is damage before.
    pub(super) damaged: bool,
}

impl Segment {
    /// The batches, from the first one on.
    pub(super) fn walk(&self) -> Walk<'_> {
        let marker = self.head.map_or(0, |head| head.marker);
        // A snapshot counts its own batches; the number in its head is that of the log that follows.
        let expected = self.head.filter(|head| head.kind == Kind::Log).map_or(0, |head| head.first_batch);
        Walk { segment: self, window: Vec::new(), window_at: 0, offset: 0, marker, expected }
    }

    /// Finds the end of the newest log. A batch is written only after the one before it is durable, so what is not whole
    /// and has nothing behind it is what a crash left of the last one.
    pub(super) fn find_end(&self) -> io::Result<End> {
        let mut walk = self.walk();
        let mut damaged = self.head.is_none();
        let mut last = None;
        while let Some(event) = walk.next()? {
            match event {
                Event::Batch { offset, head, .. } => last = Some((offset, head)),
                Event::Damage(_) => damaged = true,
                Event::Tail(_) => {}
            }
        }
        let first_batch = self.head.map_or(0, |head| head.first_batch);
        let Some((offset, head)) = last else {
            return Ok(End { offset: FIRST.min(self.end), next_batch: first_batch, damaged });
        };
        let bytes = BATCH_HEAD as u64 + u64::from(head.bytes);
        let sound = walk.batch_at(offset)?.is_some_and(|(_, mut records)| {
            records.by_ref().for_each(drop);
            records.damaged() == 0
        });
        Ok(if sound {
            End { offset: offset + bytes, next_batch: head.number + 1, damaged }
        } else {
            End { offset, next_batch: head.number, damaged }
        })
    }

    /// Whether the file ends with an empty batch, as a snapshot does that was written to its end.
    pub(super) fn is_sealed(&self) -> io::Result<bool> {
        let Some(offset) = self.end.checked_sub(BATCH_HEAD as u64) else { return Ok(false) };
        let head = self.walk().batch_at(offset)?.map(|(head, _)| head);
        Ok(head.is_some_and(|head| head.records == 0))
    }
}

/// A walk along a file. Each byte is looked at a bounded number of times, whatever is in it.
pub(super) struct Walk<'a> {
    segment: &'a Segment,
    window: Vec<u8>,
    window_at: u64,
    offset: u64,
    marker: u64,
    expected: u64,
}

impl Walk<'_> {
    /// The number that the next batch should have.
    pub(super) fn expected(&self) -> u64 {
        self.expected
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Event<'_>>> {
        if self.segment.head.is_none() {
            return Ok(self
                .skip_to(self.segment.end, None, "the head of the file is damaged")
                .map(Event::Tail));
        }
        self.offset = self.offset.max(FIRST);
        if self.offset >= self.segment.end {
            return Ok(None);
        }
        let offset = self.offset;
        let Some(head) = self.head_at(offset)? else { return self.skip_damage().map(Some) };
        if head.number > self.expected {
            self.expected = head.number;
            let missing = self.stretch(0, None, "batches before this one are missing");
            return Ok(Some(Event::Damage(missing)));
        }
        self.expected = head.number + 1;
        self.offset = offset + BATCH_HEAD as u64 + u64::from(head.bytes);
        Ok(self.batch_at(offset)?.map(|(head, records)| Event::Batch { offset, head, records }))
    }

    /// Steps over what cannot be read.
    fn skip_damage(&mut self) -> io::Result<Event<'static>> {
        let next = self.find_head()?;
        let stretch = |walk: &mut Self, to, reason| {
            walk.skip_to(to, None, reason).unwrap_or_else(|| walk.stretch(0, None, reason))
        };
        Ok(match next {
            Some((offset, number)) => {
                self.expected = number;
                Event::Damage(stretch(self, offset, "the head of a batch is damaged"))
            }
            None => Event::Tail(stretch(self, self.segment.end, "the end cannot be read")),
        })
    }

    /// The stretch up to `to`, behind which the walk goes on.
    fn skip_to(&mut self, to: u64, records: Option<u64>, reason: &'static str) -> Option<Stretch> {
        let bytes = to.checked_sub(self.offset).filter(|bytes| *bytes > 0)?;
        let stretch = self.stretch(bytes, records, reason);
        self.offset = to;
        Some(stretch)
    }

    fn stretch(&self, bytes: u64, records: Option<u64>, reason: &'static str) -> Stretch {
        Stretch { file: self.segment.name.clone(), offset: self.offset, bytes, records, reason }
    }

    /// The next place behind the offset where a batch begins, and its number.
    fn find_head(&mut self) -> io::Result<Option<(u64, u64)>> {
        let marker = self.marker.to_le_bytes();
        let mut from = self.offset + 1;
        loop {
            let view = self.view(from, WINDOW)?;
            if view.len() < BATCH_HEAD {
                return Ok(None);
            }
            let Some(found) = view.windows(marker.len()).position(|bytes| bytes == marker) else {
                from += (view.len() - marker.len() + 1) as u64;
                continue;
            };
            let at = from + found as u64;
            let expected = self.expected;
            if let Some(head) = self.head_at(at)?.filter(|head| head.number >= expected) {
                return Ok(Some((at, head.number)));
            }
            from = at + 1;
        }
    }

    /// The head at `offset`, if it is sound, not one of before, and its batch ends within the file.
    fn head_at(&mut self, offset: u64) -> io::Result<Option<BatchHead>> {
        let (marker, expected, end) = (self.marker, self.expected, self.segment.end);
        let head = BatchHead::decode(self.view(offset, BATCH_HEAD)?, marker);
        Ok(head.filter(|head| {
            head.number >= expected && offset + BATCH_HEAD as u64 + u64::from(head.bytes) <= end
        }))
    }

    /// The batch at `offset`, whatever its number.
    fn batch_at(&mut self, offset: u64) -> io::Result<Option<(BatchHead, Records<'_>)>> {
        let marker = self.marker;
        let Some(head) = BatchHead::decode(self.view(offset, BATCH_HEAD)?, marker) else { return Ok(None) };
        let bytes = usize::try_from(head.bytes).unwrap_or(usize::MAX);
        let records = self.view(offset + BATCH_HEAD as u64, bytes)?;
        Ok((records.len() == bytes).then(|| (head, Records::new(records, head.records))))
    }

    /// The `bytes` at `offset`; fewer at the end of the file.
    fn view(&mut self, offset: u64, bytes: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.segment.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let bytes = bytes.min(left);
        let inside = |at: u64| offset.checked_sub(at).and_then(|start| usize::try_from(start).ok());
        let start = inside(self.window_at).filter(|start| start + bytes <= self.window.len());
        let start = if let Some(start) = start {
            start
        } else {
            self.window.resize(bytes.max(WINDOW).min(left), 0);
            self.window_at = offset;
            let read = self.segment.file.read_exact_at(&mut self.window, offset);
            if let Err(error) = read {
                self.window.clear();
                return Err(io::Error::new(error.kind(), format!("{}: {error}", self.segment.name)));
            }
            0
        };
        Ok(self.window.get(start..start + bytes).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::frame::Record;
    use super::*;

    const HEAD_OF_LOG: Head =
        Head { kind: Kind::Log, number: 3, first_batch: 40, marker: 0x0123_4567_89ab_cdef };

    fn batch(number: u64, keys: &[String]) -> Vec<u8> {
        let mut records = Vec::new();
        for key in keys {
            Record::new(key, Some(key.as_bytes()), 100).unwrap().write_to(&mut records);
        }
        let head = BatchHead {
            number,
            bytes: u32::try_from(records.len()).unwrap(),
            records: u32::try_from(keys.len()).unwrap(),
        };
        [head.encode(HEAD_OF_LOG.marker).as_slice(), &records].concat()
    }

    /// A log of batches with two records each, and where each batch begins.
    fn log(batches: u64) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = HEAD_OF_LOG.encode().to_vec();
        let mut begins = Vec::new();
        for at in 0..batches {
            begins.push(bytes.len());
            bytes.extend(batch(40 + at, &[format!("{at}-a"), format!("{at}-b")]));
        }
        (bytes, begins)
    }

    fn segment(bytes: &[u8]) -> Segment {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, 0).unwrap();
        Segment {
            name: "log-3".to_owned(),
            kind: Kind::Log,
            number: 3,
            head: Head::decode(bytes).ok(),
            file: Arc::new(file),
            end: bytes.len() as u64,
        }
    }

    fn keys(segment: &Segment) -> (Vec<String>, u64) {
        let (mut keys, mut damaged) = (Vec::new(), 0);
        let mut walk = segment.walk();
        while let Some(event) = walk.next().unwrap() {
            match event {
                Event::Batch { mut records, .. } => {
                    keys.extend(records.by_ref().map(|(key, _)| key.to_owned()));
                    damaged += records.damaged();
                }
                Event::Damage(_) | Event::Tail(_) => damaged += 1,
            }
        }
        (keys, damaged)
    }

    #[test]
    fn a_head_is_whole_or_none_and_a_newer_one_is_told() {
        let encoded = HEAD_OF_LOG.encode();
        assert_eq!(Head::decode(&encoded), Ok(HEAD_OF_LOG));
        for at in (0..HEAD).filter(|at| !(8..12).contains(at)) {
            let mut bytes = encoded;
            bytes[at] ^= 4;
            assert_eq!(Head::decode(&bytes), Err(HeadFault::Damaged), "byte {at}");
            assert!(Head::decode(&encoded[..at]).is_err());
        }
        let mut newer = *b"callbdjl\x09\x00\x00\x00 and who knows what";
        assert_eq!(Head::decode(&newer), Err(HeadFault::Newer(9)));
        newer[0] = b'C';
        assert_eq!(Head::decode(&newer), Err(HeadFault::Damaged));
    }

    #[test]
    fn a_whole_log_is_read_to_its_end() {
        let (bytes, _) = log(5);
        let segment = segment(&bytes);
        let (keys, damaged) = keys(&segment);
        assert_eq!((keys.len(), damaged), (10, 0));
        let end = End { offset: bytes.len() as u64, next_batch: 45, damaged: false };
        assert_eq!(segment.find_end().unwrap(), end);
    }

    #[test]
    fn a_missing_batch_is_told() {
        let (bytes, begins) = log(5);
        let without = [&bytes[..begins[2]], &bytes[begins[3]..]].concat();
        let (keys, damaged) = keys(&segment(&without));
        assert_eq!((keys.len(), damaged), (8, 1));
    }

    #[test]
    fn a_log_whose_head_is_damaged_is_one_stretch() {
        let (mut bytes, _) = log(2);
        bytes[20] ^= 1;
        let segment = segment(&bytes);
        assert_eq!(keys(&segment), (Vec::new(), 1));
        assert!(segment.find_end().unwrap().damaged);
    }

    proptest! {
        /// However a crash cuts the last batch, or fills its pages with nothing, the batches before it stay and it goes.
        #[test]
        fn a_torn_batch_is_cut_off(batches in 1_u64..6, cut in any::<prop::sample::Index>(), zeros in any::<bool>()) {
            let (mut bytes, begins) = log(batches);
            let last = *begins.last().unwrap();
            let at = last + cut.index(bytes.len() - last);
            if zeros { bytes[at..].fill(0) } else { bytes.truncate(at) }
            let end = segment(&bytes).find_end().unwrap();
            prop_assert_eq!(end, End { offset: last as u64, next_batch: 39 + batches, damaged: false });
        }

        /// A flipped bit before the last batch costs no more than its batch, is told, and is not taken for the end.
        #[test]
        fn damage_in_the_middle_is_told(batches in 2_u64..6, at in any::<prop::sample::Index>(), bit in 0..8) {
            let (mut bytes, begins) = log(batches);
            let last = *begins.last().unwrap();
            let at = HEAD + at.index(last - HEAD);
            bytes[at] ^= 1_u8 << bit;
            let segment = segment(&bytes);
            let (keys, damaged) = keys(&segment);
            prop_assert!(damaged >= 1);
            prop_assert!(keys.len() as u64 >= 2 * batches - 2, "{keys:?}");
            let end = segment.find_end().unwrap();
            prop_assert_eq!((end.offset, end.next_batch), (bytes.len() as u64, 40 + batches));
        }

        #[test]
        fn garbage_is_walked_to_its_end(bytes in prop::collection::vec(any::<u8>(), 0..2_000), cut in 0_usize..200) {
            let (mut log, _) = log(2);
            log.truncate(log.len().saturating_sub(cut));
            log.extend(bytes);
            let segment = segment(&log);
            keys(&segment);
            let end = segment.find_end().unwrap();
            prop_assert!(end.offset <= segment.end);
        }
    }
}
