//! Jobs and their targets as bytes in the store.

use serde::{Deserialize, Serialize};

use super::{Job, JobId};
use crate::device::DeviceId;

/// Version of the record forms that this build writes.
pub const VERSION: u8 = 1;

/// A record that cannot be read as a job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadJobRecord {
    /// Written by a newer Callboard.
    #[error("job record version {0} is newer than this Callboard reads (up to {VERSION})")]
    Newer(u8),
    /// The bytes do not fit the form.
    #[error("malformed job record: {0}")]
    Malformed(postcard::Error),
}

fn pack<T: Serialize>(value: &T) -> Result<Vec<u8>, BadJobRecord> {
    postcard::to_extend(value, vec![VERSION]).map_err(BadJobRecord::Malformed)
}

fn unpack<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Result<T, BadJobRecord> {
    match bytes.split_first() {
        Some((&VERSION, payload)) => postcard::from_bytes(payload).map_err(BadJobRecord::Malformed),
        Some((&version, _)) if version > VERSION => Err(BadJobRecord::Newer(version)),
        _ => Err(BadJobRecord::Malformed(postcard::Error::DeserializeBadEncoding)),
    }
}

/// Pack a job.
pub(super) fn encode(job: &Job) -> Result<Vec<u8>, BadJobRecord> {
    pack(job)
}

/// Unpack a job.
pub fn decode(bytes: &[u8]) -> Result<Job, BadJobRecord> {
    unpack(bytes)
}

/// Pack a part of a job's targets.
pub(super) fn encode_targets(targets: &[DeviceId]) -> Result<Vec<u8>, BadJobRecord> {
    pack(&targets)
}

/// Unpack a part of a job's targets.
pub(super) fn decode_targets(bytes: &[u8]) -> Result<Vec<DeviceId>, BadJobRecord> {
    unpack(bytes)
}

/// Where a record belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A job itself.
    Job(JobId),
    /// The targets of a job from this one on.
    Targets(JobId, u32),
}

impl Key {
    /// The text of a key: jobs come before their targets, and those in order.
    pub(super) fn to_text(self) -> String {
        match self {
            Self::Job(job) => job.to_string(),
            Self::Targets(job, from) => format!("{job}-{from:010}"),
        }
    }

    /// Read a key.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let Some((job, from)) = text.split_once('-') else { return text.parse().ok().map(Self::Job) };
        let key = Self::Targets(job.parse().ok()?, from.parse().ok()?);
        (key.to_text() == text).then_some(key)
    }
}

/// Bytes of one record of targets, about.
const TARGETS_BYTES: usize = 60_000;

/// Cut targets into parts that are small enough for a record: each with the number of its first target.
pub(super) fn parts(targets: &[DeviceId]) -> Vec<(u32, &[DeviceId])> {
    let mut parts = Vec::new();
    let (mut begin, mut bytes) = (0, 0);
    for (at, target) in targets.iter().enumerate() {
        let own = target.heap_bytes().max(17) + 2;
        if bytes + own > TARGETS_BYTES {
            parts.push((begin, at));
            (begin, bytes) = (at, 0);
        }
        bytes += own;
    }
    if begin < targets.len() {
        parts.push((begin, targets.len()));
    }
    let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    parts.into_iter().map(|(begin, end)| (number(begin), &targets[begin..end])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_and_sort() {
        let job = JobId::from_u64(0xabc);
        let texts = [Key::Job(job), Key::Targets(job, 0), Key::Targets(job, 20), Key::Targets(job, 100)]
            .map(Key::to_text);
        assert!(texts.is_sorted());
        for text in &texts {
            assert_eq!(Key::parse(text).unwrap().to_text(), *text);
        }
        for bad in ["", "abc", "000000000abc-", "000000000abc-1", "000000000abc-000000000x"] {
            assert_eq!(Key::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn targets_are_cut_into_small_records() {
        let targets: Vec<DeviceId> = (0..10_000_u32)
            .map(|number| format!("00:1a:e8:{:02x}:{:02x}:01", number >> 8, number & 255).parse().unwrap())
            .collect();
        let parts = parts(&targets);
        assert!(parts.len() > 2);
        let mut all = Vec::new();
        for (from, part) in parts {
            assert_eq!(from as usize, all.len());
            let bytes = encode_targets(part).unwrap();
            assert!(bytes.len() <= TARGETS_BYTES);
            all.extend(decode_targets(&bytes).unwrap());
        }
        assert_eq!(all, targets);
        assert_eq!(super::parts(&[]), []);
    }

    #[test]
    fn newer_and_damaged_records_are_refused() {
        assert_eq!(decode(&[VERSION + 1, 0]), Err(BadJobRecord::Newer(VERSION + 1)));
        assert!(matches!(decode(&[]), Err(BadJobRecord::Malformed(_))));
        assert!(matches!(decode(&[VERSION, 1]), Err(BadJobRecord::Malformed(_))));
    }
}
