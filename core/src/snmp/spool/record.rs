//! What the spool keeps in its journal: entries, receivers, and how far numbers are taken.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::entry::{Entry, Kind};
use super::losses::Losses;
use crate::device::{DeviceId, TaskId};
use crate::time::Timestamp;

/// First byte of a record. Newer ones are not read.
pub(super) const VERSION: u8 = 1;

/// Key of the number up to which numbers are taken.
pub(super) const TAKEN: &str = "numbers";

const ENTRY: &str = "event/";
const RECEIVER: &str = "receiver/";

/// A record that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadRecord {
    /// Written by a newer Callboard.
    #[error("it has version {0}, and this Callboard reads up to {VERSION}")]
    Newer(u8),
    /// Not what it should be.
    #[error("it is malformed: {0}")]
    Malformed(&'static str),
}

/// One record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// An entry, and the numbers of the receivers that wanted it when it was pushed.
    Entry(Entry, Vec<u64>),
    /// A receiver.
    Receiver(SavedReceiver),
    /// Numbers up to this one may have been given.
    Taken(u64),
}

/// What is kept of a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SavedReceiver {
    /// The number that was given to it instead of an entry.
    pub(super) id: u64,
    pub(super) name: Box<str>,
    /// It needs no entry up to here any more,
    pub(super) passed: u64,
    /// and this is the last that it acknowledged.
    pub(super) acknowledged: u64,
    pub(super) losses: Losses,
}

#[derive(Serialize, Deserialize)]
struct StoredEntry<'a> {
    event: u64,
    at: Timestamp,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    /// Empty: none.
    #[serde(borrow)]
    device: Cow<'a, str>,
    task: Option<TaskId>,
    #[serde(borrow)]
    text: Cow<'a, str>,
    receivers: Cow<'a, [u64]>,
}

#[derive(Serialize, Deserialize)]
struct StoredReceiver<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    passed: u64,
    acknowledged: u64,
    lost: u64,
    told: u64,
}

/// The key of an entry.
pub(super) fn entry_key(number: u64) -> String {
    format!("{ENTRY}{number:x}")
}

/// The key of a receiver: not its name, which another may have after it.
pub(super) fn receiver_key(id: u64) -> String {
    format!("{RECEIVER}{id:x}")
}

/// Write an entry into `out`, which is emptied before.
pub(super) fn write_entry(entry: &Entry, receivers: &[u64], out: &mut Vec<u8>) {
    let device = entry.device.as_ref().map_or(Cow::Borrowed(""), |id| Cow::Owned(id.to_string()));
    let stored = StoredEntry {
        event: entry.event,
        at: entry.at,
        kind: Cow::Borrowed(entry.kind.as_str()),
        device,
        task: entry.task,
        text: Cow::Borrowed(&entry.text),
        receivers: Cow::Borrowed(receivers),
    };
    write(&stored, out);
}

/// Write a receiver into `out`, which is emptied before.
pub(super) fn write_receiver(receiver: &SavedReceiver, out: &mut Vec<u8>) {
    let (lost, told) = receiver.losses.figures();
    let stored = StoredReceiver {
        name: Cow::Borrowed(&receiver.name),
        passed: receiver.passed,
        acknowledged: receiver.acknowledged,
        lost,
        told,
    };
    write(&stored, out);
}

/// Write how far numbers are taken into `out`, which is emptied before.
pub(super) fn write_taken(number: u64, out: &mut Vec<u8>) {
    write(&number, out);
}

fn write(value: &impl Serialize, out: &mut Vec<u8>) {
    out.clear();
    out.push(VERSION);
    // Written to a vector: the only error is a type that cannot be written, and these can be.
    let _ = postcard::to_io(value, &mut *out);
}

/// Read what one of the others wrote.
pub(super) fn read(key: &str, bytes: &[u8]) -> Result<Record, BadRecord> {
    let (version, rest) = bytes.split_first().ok_or(BadRecord::Malformed("empty"))?;
    match *version {
        VERSION => {}
        newer if newer > VERSION => return Err(BadRecord::Newer(newer)),
        _ => return Err(BadRecord::Malformed("version")),
    }
    if let Some(number) = key.strip_prefix(ENTRY) {
        read_entry(number_of(number)?, rest)
    } else if let Some(id) = key.strip_prefix(RECEIVER) {
        read_receiver(number_of(id)?, rest)
    } else if key == TAKEN {
        parse(rest).map(Record::Taken)
    } else {
        Err(BadRecord::Malformed("key"))
    }
}

fn number_of(text: &str) -> Result<u64, BadRecord> {
    u64::from_str_radix(text, 16).map_err(|_| BadRecord::Malformed("key"))
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, BadRecord> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        _ => Err(BadRecord::Malformed("contents")),
    }
}

fn read_entry(number: u64, bytes: &[u8]) -> Result<Record, BadRecord> {
    let stored: StoredEntry<'_> = parse(bytes)?;
    let device = match &*stored.device {
        "" => None,
        text => Some(text.parse::<DeviceId>().map_err(|_| BadRecord::Malformed("device id"))?),
    };
    let entry = Entry {
        number,
        event: stored.event,
        at: stored.at,
        kind: Kind::from_word(&stored.kind),
        device,
        task: stored.task,
        text: stored.text.as_ref().into(),
    };
    Ok(Record::Entry(entry, stored.receivers.into_owned()))
}

fn read_receiver(id: u64, bytes: &[u8]) -> Result<Record, BadRecord> {
    let stored: StoredReceiver<'_> = parse(bytes)?;
    Ok(Record::Receiver(SavedReceiver {
        id,
        name: stored.name.as_ref().into(),
        passed: stored.passed,
        acknowledged: stored.acknowledged,
        losses: Losses::restored(stored.lost, stored.told),
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::EventKind;

    fn entries() -> impl Strategy<Value = Entry> {
        let kind = prop_oneof![
            prop::sample::select(EventKind::ALL).prop_map(Kind::Known),
            "later-[a-z]{1,20}".prop_map(|word| Kind::Other(word.into())),
        ];
        let device = prop_oneof![
            any::<[u8; 6]>().prop_map(|mac| mac
                .map(|byte| format!("{byte:02x}"))
                .join(":")
                .parse::<DeviceId>()
                .unwrap()),
            "[a-z]{1,9}".prop_map(|text| text.parse().unwrap()),
        ];
        let rest = (prop::option::of(device), prop::option::of(any::<u64>().prop_map(TaskId)), ".*");
        ((1_u64.., any::<u64>(), any::<u64>()), kind, rest).prop_map(
            |((number, event, at), kind, (device, task, text))| Entry {
                number,
                event,
                at: Timestamp::from_millis(at),
                kind,
                device,
                task,
                text: text.into(),
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(entry in entries(), receivers: Vec<u64>, numbers: [u64; 4], name: String) {
            let mut bytes = vec![9];
            write_entry(&entry, &receivers, &mut bytes);
            let key = entry_key(entry.number);
            prop_assert_eq!(read(&key, &bytes), Ok(Record::Entry(entry, receivers)));
            let [id, passed, acknowledged, lost] = numbers;
            let losses = Losses::restored(lost, lost / 2);
            let receiver = SavedReceiver { id, name: name.into(), passed, acknowledged, losses };
            write_receiver(&receiver, &mut bytes);
            prop_assert_eq!(read(&receiver_key(id), &bytes), Ok(Record::Receiver(receiver)));
            write_taken(id, &mut bytes);
            prop_assert_eq!(read(TAKEN, &bytes), Ok(Record::Taken(id)));
            bytes[0] = VERSION + 1;
            prop_assert_eq!(read(TAKEN, &bytes), Err(BadRecord::Newer(VERSION + 1)));
        }

        #[test]
        fn garbage_is_refused(key in "(event/|receiver/|numbers|)[0-9a-g]{0,18}", mut bytes: Vec<u8>) {
            bytes.insert(0, VERSION);
            if let Ok(Record::Entry(entry, receivers)) = read(&key, &bytes) {
                prop_assert!(receivers.len() + entry.text.len() <= bytes.len());
            }
        }
    }

    #[test]
    fn what_is_no_record_says_why() {
        let malformed = |what| Err(BadRecord::Malformed(what));
        assert_eq!(read(TAKEN, &[]), malformed("empty"));
        assert_eq!(read(TAKEN, &[0, 1]), malformed("version"));
        assert_eq!(read("letter/1", &[VERSION, 1]), malformed("key"));
        assert_eq!(read("event/x", &[VERSION]), malformed("key"));
        assert_eq!(read(TAKEN, &[VERSION, 1, 1]), malformed("contents"));
    }
}
