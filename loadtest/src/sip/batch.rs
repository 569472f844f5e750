//! Messages that leave together.

use std::net::IpAddr;

/// Most bytes of one run: what one datagram of IPv4 can be, which is what the system counts it as.
const RUN_BYTES: usize = 65_000;

/// Messages in one buffer, each behind the other.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// Where each ends, and the address that it is sent from, if that is not the socket's own.
    messages: Vec<(usize, Option<IpAddr>)>,
}

/// Datagrams of one length and source, for one system call (generic segmentation offload).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run<'a> {
    pub(super) from: Option<IpAddr>,
    pub(super) bytes: &'a [u8],
    /// Length of each but the last, which may be shorter.
    pub(super) length: usize,
    pub(super) datagrams: usize,
}

impl Batch {
    /// Where the next message is written.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// What was written is a message.
    pub(super) fn close(&mut self, from: Option<IpAddr>) {
        self.messages.push((self.bytes.len(), from));
    }

    /// What was written is none.
    pub(super) fn cancel(&mut self) {
        self.bytes.truncate(self.messages.last().map_or(0, |last| last.0));
    }

    /// All of them as a stream.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.messages.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The messages in runs of at most `most` each.
    pub(super) fn runs(&self, most: usize) -> impl Iterator<Item = Run<'_>> {
        let (mut begin, mut messages) = (0, self.messages.as_slice());
        std::iter::from_fn(move || {
            let (end, from) = *messages.first()?;
            let length = end - begin;
            let mut run = Run { from, bytes: &self.bytes[begin..end], length, datagrams: 1 };
            let mut last = end;
            for (end, from) in messages.iter().skip(1).take(most.saturating_sub(1)) {
                let own = end - last;
                if *from != run.from || own > length || end - begin > RUN_BYTES {
                    break;
                }
                (last, run.datagrams) = (*end, run.datagrams + 1);
                if own < length {
                    break;
                }
            }
            run.bytes = &self.bytes[begin..last];
            (begin, messages) = (last, &messages[run.datagrams..]);
            Some(run)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(messages: &[(usize, u8)], most: usize) -> Vec<(usize, usize)> {
        let mut batch = Batch::default();
        for (length, from) in messages {
            batch.buffer().extend(std::iter::repeat_n(b'x', *length));
            batch.close(Some(IpAddr::from([127, 0, 0, *from])));
        }
        let runs: Vec<_> = batch.runs(most).map(|run| (run.bytes.len(), run.datagrams)).collect();
        assert_eq!(runs.iter().map(|run| run.0).sum::<usize>(), batch.bytes().len());
        runs
    }

    #[test]
    fn neighbours_of_one_length_and_source_leave_together() {
        assert_eq!(runs(&[(5, 1), (5, 1), (5, 2), (5, 1)], 64), [(10, 2), (5, 1), (5, 1)]);
        assert_eq!(runs(&[(5, 1), (3, 1), (3, 1)], 64), [(8, 2), (3, 1)]);
        assert_eq!(runs(&[(5, 1), (6, 1)], 64), [(5, 1), (6, 1)]);
        assert_eq!(runs(&[(5, 1), (5, 1), (5, 1)], 2), [(10, 2), (5, 1)]);
        assert_eq!(runs(&[(40_000, 1), (40_000, 1)], 9).len(), 2);
        assert_eq!(runs(&[], 64), []);
    }

    #[test]
    fn what_is_cancelled_does_not_leave() {
        let mut batch = Batch::default();
        batch.buffer().extend_from_slice(b"one");
        batch.close(None);
        batch.buffer().extend_from_slice(b"two");
        batch.cancel();
        assert_eq!((batch.bytes(), batch.is_empty()), (&b"one"[..], false));
        batch.clear();
        assert!(batch.is_empty() && batch.runs(9).next().is_none());
    }
}
