//! Writing answers.

use std::hash::BuildHasher as _;
use std::io::Write as _;

use callboard_codecs::sip::{BadText, HeaderName, Message, MessageWriter, Reply, Request};

use super::{Incoming, Keys, Reaction, Sip};
use crate::sip::binding::Transport;
use crate::time::Timestamp;

/// Most bytes of an answer to somebody who is not known, as a multiple of the request's: whoever forges a sender's address gains
/// nothing by it.
const AMPLIFICATION: usize = 3;

/// A request that is being answered.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) incoming: &'a Incoming<'a>,
    pub(super) request: &'a Request<'a>,
    /// Its transaction, as a keyed hash: the same for a request that comes again.
    pub(super) transaction: u64,
    /// The tag of its answers, the same for a request that comes again (RFC 3261, section 8.2.7).
    tag: [u8; 16],
    pub(super) now: Timestamp,
}

impl<'a> Asked<'a> {
    pub(super) fn new(
        keys: &Keys,
        incoming: &'a Incoming<'a>,
        request: &'a Request<'a>,
        now: Timestamp,
    ) -> Self {
        // A request comes again as it was, from where it came. One that only borrows the names of another is another one.
        let transaction = keys.transaction.hash_one((incoming.flow.remote.ip(), incoming.bytes));
        Self { incoming, request, transaction, tag: hex(keys.tag.hash_one(transaction)), now }
    }

    /// The tag of its answers.
    pub(super) fn tag(&self) -> &str {
        str::from_utf8(&self.tag).unwrap_or_default()
    }

    /// Begin an answer.
    pub(super) fn begin<'o>(&self, status: u16, reason: &str, out: &'o mut Vec<u8>) -> MessageWriter<'o> {
        let source = Some(self.incoming.flow.remote);
        let reply = Reply { status, reason, to_tag: &self.tag, source };
        MessageWriter::response(out, self.request, &reply)
    }
}

fn hex(number: u64) -> [u8; 16] {
    std::array::from_fn(|at| b"0123456789abcdef"[(number >> (60 - 4 * at) & 15) as usize])
}

/// Whether the answer goes to somebody who is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// Who has shown who they are, or need not.
    Known,
    /// Anybody, perhaps with a forged address.
    Anybody,
}

impl Sip {
    /// Answer with a status and no more.
    pub(super) fn answer(&self, asked: &Asked<'_>, status: u16, reason: &str, out: &mut Vec<u8>) -> Reaction {
        self.answer_with(asked, (status, reason), To::Anybody, out, |writer| writer)
    }

    /// Answer with a status and the header fields that `add` adds. One that is too long for its request loses those, or is not
    /// sent at all.
    pub(super) fn answer_with(
        &self,
        asked: &Asked<'_>,
        (status, reason): (u16, &str),
        to: To,
        out: &mut Vec<u8>,
        add: impl FnOnce(MessageWriter<'_>) -> MessageWriter<'_>,
    ) -> Reaction {
        if !asked.request.is_answerable() {
            return self.drop_request(asked);
        }
        let start = out.len();
        let most = match (to, asked.incoming.flow.transport) {
            (To::Anybody, Transport::Udp) => asked.incoming.bytes.len() * AMPLIFICATION,
            _ => usize::MAX,
        };
        let mut written = add(asked.begin(status, reason, out)).finish();
        if written.is_ok_and(|bytes| bytes > most) {
            out.truncate(start);
            written = asked.begin(status, reason, out).finish();
        }
        match written {
            Ok(bytes) if bytes <= most => {
                self.metrics.answered(asked.request.method, status);
                Reaction::Answer
            }
            Ok(_) => {
                out.truncate(start);
                self.drop_request(asked)
            }
            Err(bad) => self.unwritable(asked, bad),
        }
    }

    /// An answer that cannot be written: a piece of the request that was taken for good is not.
    pub(super) fn unwritable(&self, asked: &Asked<'_>, bad: BadText) -> Reaction {
        tracing::debug!(source = %asked.incoming.flow.remote, %bad, "a SIP request is not answered");
        self.drop_request(asked)
    }

    fn drop_request(&self, asked: &Asked<'_>) -> Reaction {
        self.metrics.dropped(&Message::Request(*asked.request));
        Reaction::Nothing
    }

    /// Answer that it is to come later (RFC 3261, section 21.5.4), not all at the same time.
    pub(super) fn answer_later(&self, asked: &Asked<'_>, out: &mut Vec<u8>) -> Reaction {
        let least = self.settings.retry_after;
        let dice = self.keys.dice.hash_one(asked.transaction) % (u64::from(least) + 1);
        let seconds = least.saturating_add(u32::try_from(dice).unwrap_or(0)).max(1);
        self.metrics.shed(asked.request.method);
        self.answer_with(asked, (503, "Service Unavailable"), To::Anybody, out, |writer| {
            writer.number(HeaderName::RetryAfter, seconds)
        })
    }
}

/// The text of a `Date` (RFC 3261, section 20.17), made once a second.
#[derive(Debug, Default)]
pub(super) struct Dates {
    second: Option<u64>,
    text: Vec<u8>,
}

impl Dates {
    pub(super) fn text(&mut self, now: Timestamp) -> &[u8] {
        let second = now.as_millis() / 1_000;
        if self.second != Some(second) {
            self.second = Some(second);
            self.text.clear();
            let date = now.to_jiff().strftime("%a, %d %b %Y %H:%M:%S GMT");
            // Writing to a vector cannot fail.
            let _ = write!(self.text, "{date}");
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_rfc_1123() {
        let mut dates = Dates::default();
        let now = Timestamp::from_millis(1_289_690_940_999);
        assert_eq!(dates.text(now), b"Sat, 13 Nov 2010 23:29:00 GMT");
        assert_eq!(dates.text(Timestamp::from_millis(0)), b"Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn tags_are_hexadecimal() {
        assert_eq!(&hex(0x0123_4567_89ab_cdef), b"0123456789abcdef");
    }
}
