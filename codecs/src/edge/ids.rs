//! Lists of device ids inside a frame.

use super::{MAX_FRAME_BYTES, MAX_ID_BYTES};

/// Bytes that a list may take: two of them and the fields around them fit into one frame.
const MAX_LIST_BYTES: usize = MAX_FRAME_BYTES / 2 - 64;

/// Device ids as they stand in a frame; each was checked when the frame was read: visible ASCII, 1 to 64 bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Ids<'a> {
    pub(super) count: u16,
    pub(super) bytes: &'a [u8],
}

impl<'a> Ids<'a> {
    /// How many.
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let (id, after) = split(rest)?;
            rest = after;
            Some(id)
        })
    }
}

impl std::fmt::Debug for Ids<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The first id, and what follows it; `None` if there is none or it is not as it should be.
pub(super) fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (id, rest) = rest.split_at_checked(usize::from(*length))?;
    let is_good = (1..=MAX_ID_BYTES).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic);
    Some((std::str::from_utf8(id).ok().filter(|_| is_good)?, rest))
}

/// Device ids on their way into a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdList {
    count: u16,
    bytes: Vec<u8>,
}

impl IdList {
    /// Adds an id. `false` if the list is full, or the id is none: then nothing was added.
    pub fn push(&mut self, id: &str) -> bool {
        let is_good =
            (1..=MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
        let Some(count) = self.count.checked_add(1).filter(|_| is_good) else { return false };
        let Ok(length) = u8::try_from(id.len()) else { return false };
        if self.bytes.len() + 1 + id.len() > MAX_LIST_BYTES {
            return false;
        }
        self.bytes.push(length);
        self.bytes.extend_from_slice(id.as_bytes());
        self.count = count;
        true
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// As a frame holds them.
    pub fn ids(&self) -> Ids<'_> {
        Ids { count: self.count, bytes: &self.bytes }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.count = 0;
        self.bytes.clear();
    }
}
