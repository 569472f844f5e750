//! Answers that leave together.

use std::net::{IpAddr, SocketAddr};

/// Datagrams in the order in which they are to leave, in one buffer: those beside each other that go to one address and have one
/// length are one system call (generic segmentation offload).
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    datagrams: Vec<Datagram>,
}

/// Where a datagram goes, and where in the buffer it ends; it begins where the one before ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Datagram {
    to: SocketAddr,
    from: Option<IpAddr>,
    end: usize,
}

/// Datagrams for one system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run<'a> {
    pub(super) to: SocketAddr,
    pub(super) from: Option<IpAddr>,
    pub(super) bytes: &'a [u8],
    /// Length of each but the last, which may be shorter.
    pub(super) length: usize,
    pub(super) datagrams: usize,
}

/// Most bytes of one run: what one datagram of IPv4 can be, which is what the system counts it as.
const RUN_BYTES: usize = 65_000;

impl Batch {
    /// Whether there is no datagram in it.
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Datagrams in it.
    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// Makes room for others, and keeps what it has of memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.datagrams.clear();
    }

    /// The buffer, to write the next datagram behind what is there. [`Batch::close`] ends it.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// What was written behind the last datagram is one more, to leave by `from`, an address of this machine.
    pub fn close(&mut self, to: SocketAddr, from: Option<IpAddr>) {
        let begin = self.datagrams.last().map_or(0, |last| last.end);
        if self.bytes.len() > begin {
            self.datagrams.push(Datagram { to, from, end: self.bytes.len() });
        }
    }

    /// Takes over what was written into the buffer of `other` behind its last datagram.
    pub fn take_open(&mut self, other: &mut Self) {
        let begin = other.datagrams.last().map_or(0, |last| last.end);
        self.bytes.extend_from_slice(other.bytes.get(begin..).unwrap_or_default());
        other.bytes.truncate(begin);
    }

    /// The datagrams in runs of at most `most` each.
    pub(super) fn runs(&self, most: usize) -> impl Iterator<Item = Run<'_>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let run = self.run(at, most.max(1))?;
            at += run.datagrams;
            Some(run)
        })
    }

    fn run(&self, at: usize, most: usize) -> Option<Run<'_>> {
        let first = self.datagrams.get(at)?;
        let begin =
            at.checked_sub(1).and_then(|before| self.datagrams.get(before)).map_or(0, |before| before.end);
        let length = first.end - begin;
        let (mut end, mut datagrams) = (first.end, 1);
        for next in self.datagrams.get(at + 1..)?.iter().take(most - 1) {
            let own = next.end - end;
            let fits = (next.to, next.from) == (first.to, first.from)
                && own <= length
                && next.end - begin <= RUN_BYTES;
            if !fits {
                break;
            }
            (end, datagrams) = (next.end, datagrams + 1);
            if own < length {
                break;
            }
        }
        let bytes = self.bytes.get(begin..end)?;
        Some(Run { to: first.to, from: first.from, bytes, length, datagrams })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn batch(datagrams: &[(u16, usize)]) -> Batch {
        let mut batch = Batch::default();
        for (number, (port, length)) in datagrams.iter().enumerate() {
            let byte = u8::try_from(number).unwrap();
            batch.buffer().extend(std::iter::repeat_n(byte, *length));
            batch.close(to(*port), None);
        }
        batch
    }

    fn runs(datagrams: &[(u16, usize)], most: usize) -> Vec<(u16, usize, usize, usize)> {
        let batch = batch(datagrams);
        let tell = |run: Run<'_>| (run.to.port(), run.bytes.len(), run.length, run.datagrams);
        batch.runs(most).map(tell).collect()
    }

    #[test]
    fn neighbours_of_one_length_to_one_address_leave_together() {
        assert_eq!(
            runs(&[(1, 5), (1, 5), (1, 5), (2, 5), (1, 5)], 64),
            [(1, 15, 5, 3), (2, 5, 5, 1), (1, 5, 5, 1)]
        );
        assert_eq!(
            runs(&[(1, 5), (1, 3), (1, 3)], 64),
            [(1, 8, 5, 2), (1, 3, 3, 1)],
            "a shorter one ends a run"
        );
        assert_eq!(runs(&[(1, 5), (1, 6)], 64), [(1, 5, 5, 1), (1, 6, 6, 1)]);
        assert_eq!(runs(&[(1, 5), (1, 5), (1, 5)], 2), [(1, 10, 5, 2), (1, 5, 5, 1)]);
        assert_eq!(runs(&[(1, 5), (1, 5)], 0), [(1, 5, 5, 1), (1, 5, 5, 1)]);
        assert_eq!(runs(&[(1, 40_000), (1, 40_000)], 9).len(), 2, "as one they would be too long");
        assert_eq!(runs(&[], 64), []);
    }

    #[test]
    fn what_is_not_written_is_no_datagram_and_what_is_open_can_be_taken_over() {
        let mut now = batch(&[(1, 5)]);
        now.close(to(1), None);
        assert_eq!((now.len(), now.is_empty()), (1, false));
        now.buffer().extend_from_slice(b"later");
        let mut later = Batch::default();
        later.take_open(&mut now);
        later.close(to(2), None);
        assert_eq!((now.len(), later.len()), (1, 1));
        assert_eq!(later.runs(9).next().map(|run| run.bytes), Some(&b"later"[..]));
        later.clear();
        assert!(later.is_empty() && later.runs(9).next().is_none());
    }
}
