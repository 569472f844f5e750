//! How a record lies in the database.
//!
//! A stored key is the byte of the table and the key's text; that of part *n* adds NUL and *n* as two
//! bytes, so the parts of a record follow its head and no other record comes between. A stored value is
//!
//! | form | bytes |
//! |---|---|
//! | whole | 1, CRC-32 (4), payload |
//! | head | 2, CRC-32 (4), generation (4), number of parts (2), length of the payload (4), first data |
//! | part | 3, CRC-32 (4), generation (4), number of the part (2), data |
//!
//! with numbers in little-endian order but for the part's number in a key. The CRC covers the first
//! byte, the stored key and what follows the CRC, so a value under a wrong key is noticed too. Payloads
//! are cut because the database is safe with small values only.

use super::{DamagedRecord, Table};

/// Most bytes of payload in one stored value.
const CUT: usize = 3_900;

const WHOLE: u8 = 1;
const HEAD: u8 = 2;
const PART: u8 = 3;

const CRC_END: usize = 5;
const HEAD_DATA: usize = CRC_END + 4 + 2 + 4;
const PART_DATA: usize = CRC_END + 4 + 2;

/// The stored key of a record's head.
pub(super) fn stored_key(table: Table, key: &str) -> Vec<u8> {
    let mut stored = Vec::with_capacity(1 + key.len() + 3);
    stored.push(table as u8);
    stored.extend_from_slice(key.as_bytes());
    stored
}

/// What the keys of all parts of a record begin with.
pub(super) fn part_prefix(head: &[u8]) -> Vec<u8> {
    let mut prefix = head.to_vec();
    prefix.push(0);
    prefix
}

/// The greatest key that belongs to the record.
pub(super) fn last_key(head: &[u8]) -> Vec<u8> {
    part_key(head, u16::MAX)
}

fn part_key(head: &[u8], number: u16) -> Vec<u8> {
    let mut key = part_prefix(head);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The key of the head a stored key belongs to.
pub(super) fn head_of(stored: &[u8]) -> &[u8] {
    split_key(stored).0
}

/// Splits a stored key into the head's key and the number of the part.
fn split_key(stored: &[u8]) -> (&[u8], Option<u16>) {
    match stored {
        [head @ .., 0, high, low] if !head.contains(&0) => (head, Some(u16::from_be_bytes([*high, *low]))),
        head => (head, None),
    }
}

fn sealed(form: u8, key: &[u8], fields: &[&[u8]]) -> Vec<u8> {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[form]);
    crc.update(key);
    let mut value = Vec::with_capacity(CRC_END + fields.iter().map(|field| field.len()).sum::<usize>());
    value.extend_from_slice(&[form, 0, 0, 0, 0]);
    for field in fields {
        crc.update(field);
        value.extend_from_slice(field);
    }
    value[1..CRC_END].copy_from_slice(&crc.finalize().to_le_bytes());
    value
}

/// Whether the CRC of a stored value is right; what follows the CRC may then be trusted.
fn is_sound(key: &[u8], value: &[u8]) -> bool {
    let Some((front, rest)) = value.split_at_checked(CRC_END) else { return false };
    let mut crc = crc32fast::Hasher::new();
    crc.update(&front[..1]);
    crc.update(key);
    crc.update(rest);
    front[1..] == crc.finalize().to_le_bytes()
}

/// The payload of a stored value that is whole.
pub(super) fn whole<'a>(key: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
    (value.first() == Some(&WHOLE) && is_sound(key, value)).then(|| &value[CRC_END..])
}

/// The stored entries of a record, its head first.
///
/// `generation` must differ from that of any part which may still lie under this key.
pub(super) fn encode(head: Vec<u8>, payload: &[u8], generation: u32) -> Vec<(Vec<u8>, Vec<u8>)> {
    if payload.len() <= CUT {
        let value = sealed(WHOLE, &head, &[payload]);
        return vec![(head, value)];
    }
    let mut pieces = payload.chunks(CUT);
    let first = pieces.next().unwrap_or_default();
    let generation = generation.to_le_bytes();
    let mut entries = Vec::with_capacity(1 + pieces.len());
    // 65,536 parts are 255 MB; the bound of a record is far below.
    let parts = u16::try_from(pieces.len()).unwrap_or(u16::MAX);
    let total = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let value = sealed(HEAD, &head, &[&generation, &parts.to_le_bytes(), &total.to_le_bytes(), first]);
    for (number, piece) in (1..=parts).zip(pieces) {
        let key = part_key(&head, number);
        let value = sealed(PART, &key, &[&generation, &number.to_le_bytes(), piece]);
        entries.push((key, value));
    }
    entries.insert(0, (head, value));
    entries
}

/// What lies under a head's key, as far as overwriting it needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Present {
    /// One value with a payload of this many bytes, no parts.
    Whole(usize),
    /// Parts of this generation; the payload has this many bytes.
    Parts(u32, usize),
    /// Something unreadable.
    Damaged,
}

/// Looks at a head without checking its CRC: a wrong length in it costs nothing but a wrong statistic.
pub(super) fn peek(value: &[u8]) -> Present {
    match value.first() {
        Some(&WHOLE) if value.len() >= CRC_END => Present::Whole(value.len() - CRC_END),
        Some(&HEAD) => head_fields(value)
            .map_or(Present::Damaged, |(generation, _, total)| Present::Parts(generation, total as usize)),
        _ => Present::Damaged,
    }
}

fn head_fields(value: &[u8]) -> Option<(u32, u16, u32)> {
    let fields = value.get(CRC_END..HEAD_DATA)?;
    let (generation, rest) = fields.split_first_chunk::<4>()?;
    let (parts, rest) = rest.split_first_chunk::<2>()?;
    let total = rest.first_chunk::<4>()?;
    Some((u32::from_le_bytes(*generation), u16::from_le_bytes(*parts), u32::from_le_bytes(*total)))
}

/// A record read back, or what is wrong with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    Record { table: Table, key: Box<str>, value: Vec<u8> },
    Damaged(DamagedRecord),
}

/// Puts records together from stored entries that come in key order.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    open: Option<Open>,
}

/// A record whose parts are still expected, or whose damage has been told and whose parts are skipped.
#[derive(Debug)]
struct Open {
    head: Vec<u8>,
    generation: u32,
    parts: u16,
    next: u16,
    total: usize,
    data: Vec<u8>,
    told: bool,
}

impl Assembler {
    /// Takes the next stored entry and returns what is complete now: at most two items.
    pub(super) fn push(&mut self, stored: &[u8], value: &[u8]) -> [Option<Item>; 2] {
        let (head, part) = split_key(stored);
        match part {
            Some(number) if self.open.as_ref().is_some_and(|open| open.head == head) => {
                [self.part(number, stored, value), None]
            }
            Some(_) => {
                let unfinished = self.finish();
                self.open = Some(Open::told(head));
                [unfinished, Some(damaged(head, "parts without a head"))]
            }
            None => [self.finish(), self.head(head, value)],
        }
    }

    /// Ends the input: a record whose parts are missing is reported.
    pub(super) fn finish(&mut self) -> Option<Item> {
        let open = self.open.take()?;
        (!open.told).then(|| damaged(&open.head, "parts are missing"))
    }

    fn head(&mut self, head: &[u8], value: &[u8]) -> Option<Item> {
        let item = if !matches!(value.first(), Some(&(WHOLE | HEAD))) {
            damaged(head, "unknown form of record")
        } else if !is_sound(head, value) {
            damaged(head, "wrong checksum")
        } else if value[0] == WHOLE {
            return Some(record(head, value[CRC_END..].to_vec()));
        } else if let Some((generation, parts, total)) = head_fields(value) {
            self.open = Some(Open {
                head: head.to_vec(),
                generation,
                parts,
                next: 1,
                total: total as usize,
                data: value[HEAD_DATA..].to_vec(),
                told: false,
            });
            return None;
        } else {
            damaged(head, "head too short")
        };
        self.open = Some(Open::told(head));
        Some(item)
    }

    fn part(&mut self, number: u16, stored: &[u8], value: &[u8]) -> Option<Item> {
        let open = self.open.as_mut()?;
        if open.told {
            return None;
        }
        let generation = value.get(CRC_END..CRC_END + 4);
        let fault = if !is_sound(stored, value) || value[0] != PART || value.len() < PART_DATA {
            Some("wrong checksum in a part")
        } else if generation != Some(&open.generation.to_le_bytes()) {
            Some("parts of different generations")
        } else if number != open.next || number > open.parts {
            Some("parts are missing or too many")
        } else {
            open.data.extend_from_slice(&value[PART_DATA..]);
            open.next = open.next.saturating_add(1);
            (number == open.parts && open.data.len() != open.total).then_some("wrong length")
        };
        if let Some(reason) = fault {
            open.told = true;
            return Some(damaged(&open.head, reason));
        }
        if number < open.parts {
            return None;
        }
        let open = self.open.take()?;
        let item = record(&open.head, open.data);
        // Anything that still follows under this key is too much, but the record itself is whole.
        self.open = Some(Open::told(&open.head));
        Some(item)
    }
}

impl Open {
    fn told(head: &[u8]) -> Self {
        Self { head: head.to_vec(), generation: 0, parts: 0, next: 0, total: 0, data: Vec::new(), told: true }
    }
}

fn record(head: &[u8], value: Vec<u8>) -> Item {
    let table = head.first().copied().and_then(Table::from_byte);
    let key = head.get(1..).and_then(|key| std::str::from_utf8(key).ok());
    match (table, key) {
        (Some(table), Some(key)) if !key.is_empty() => Item::Record { table, key: key.into(), value },
        (None, _) => damaged(head, "unknown table"),
        _ => damaged(head, "key is not text"),
    }
}

fn damaged(head: &[u8], reason: &'static str) -> Item {
    let table = head.first().copied().and_then(Table::from_byte);
    let key = String::from_utf8_lossy(head.get(1..).unwrap_or_default()).into_owned();
    Item::Damaged(DamagedRecord { table, key, reason })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<Item> {
        let mut assembler = Assembler::default();
        let mut items: Vec<Item> = entries
            .iter()
            .flat_map(|(key, value)| assembler.push(key, value).into_iter().flatten())
            .collect();
        items.extend(assembler.finish());
        items
    }

    fn payload(bytes: usize, seed: u8) -> Vec<u8> {
        (0_u8..251).cycle().map(|byte| byte ^ seed).take(bytes).collect()
    }

    fn device(key: &str, value: Vec<u8>) -> Item {
        Item::Record { table: Table::Device, key: key.into(), value }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            records in prop::collection::vec((0_usize..20_000, any::<u8>()), 1..6),
            generation in any::<u32>(),
        ) {
            let mut entries = Vec::new();
            let mut expected = Vec::new();
            for (at, (length, seed)) in records.into_iter().enumerate() {
                let key = format!("device-{at}");
                let value = payload(length, seed);
                entries.extend(encode(stored_key(Table::Device, &key), &value, generation));
                expected.push(device(&key, value));
            }
            entries.sort();
            prop_assert!(entries.iter().all(|(_, value)| value.len() <= 4_000));
            prop_assert_eq!(read(&entries), expected);
        }

        #[test]
        fn one_wrong_byte_is_noticed_and_costs_one_record(
            length in 0_usize..9_000,
            entry in any::<prop::sample::Index>(),
            byte in any::<prop::sample::Index>(),
            flip in 1_u8..,
        ) {
            let mut entries = encode(stored_key(Table::Device, "b"), &payload(length, 1), 7);
            let victim = entry.index(entries.len());
            let at = byte.index(entries[victim].1.len());
            entries[victim].1[at] ^= flip;
            entries.splice(0..0, encode(stored_key(Table::Device, "a"), b"before", 1));
            entries.extend(encode(stored_key(Table::Device, "c"), &payload(5_000, 2), 1));
            let items = read(&entries);
            prop_assert_eq!(items.len(), 3);
            prop_assert_eq!(&items[0], &device("a", b"before".to_vec()));
            prop_assert!(matches!(&items[1], Item::Damaged(damage) if damage.key == "b"));
            prop_assert_eq!(&items[2], &device("c", payload(5_000, 2)));
        }

        #[test]
        fn anything_at_all_can_be_read(
            entries in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 0..6), prop::collection::vec(any::<u8>(), 0..40)),
                0..12,
            ),
        ) {
            read(&entries);
        }
    }

    #[test]
    fn missing_mixed_and_orphaned_parts_are_damage() {
        let old = encode(stored_key(Table::Device, "a"), &payload(9_000, 1), 1);
        let new = encode(stored_key(Table::Device, "a"), &payload(9_000, 2), 2);
        for entries in [
            vec![new[0].clone()],
            vec![new[0].clone(), new[1].clone()],
            vec![new[0].clone(), new[2].clone()],
            vec![new[0].clone(), new[1].clone(), old[2].clone()],
            vec![new[1].clone(), new[2].clone()],
        ] {
            let items = read(&entries);
            assert!(matches!(items.as_slice(), [Item::Damaged(damage)] if damage.key == "a"), "{items:?}");
        }
    }

    #[test]
    fn a_value_under_another_key_is_damage() {
        let mut entries = encode(stored_key(Table::Device, "a"), b"x", 1);
        entries[0].0 = stored_key(Table::Device, "b");
        assert!(matches!(read(&entries).as_slice(), [Item::Damaged(_)]));
    }

    #[test]
    fn heads_tell_what_overwriting_must_remove() {
        let whole = encode(stored_key(Table::Device, "a"), &payload(100, 1), 1);
        assert_eq!(peek(&whole[0].1), Present::Whole(100));
        let parts = encode(stored_key(Table::Device, "a"), &payload(9_000, 1), 5);
        assert_eq!(parts.len(), 3);
        assert_eq!(peek(&parts[0].1), Present::Parts(5, 9_000));
        assert_eq!(peek(b""), Present::Damaged);
        assert_eq!(peek(&[HEAD, 0]), Present::Damaged);
    }
}
