//! Any bytes as a stream, cut where the first bytes say: the frames are those of the stream in one piece, and none exceeds the limits.

#![no_main]

use callboard_codecs::sip::{BadStream, Frame, Framer, Index, Limits, Side, parse};
use libfuzzer_sys::fuzz_target;

/// Small enough to be reached.
const LIMITS: Limits = Limits { message_bytes: 700, headers: 20, line_bytes: 200, vias: 4, contacts: 2 };

/// Lengths of all frames, and how it ended.
fn frames<'a>(side: Side, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<BadStream>) {
    let (mut framer, mut buffer, mut all) = (Framer::new(side, LIMITS), Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match framer.next(&buffer) {
                Ok(Frame::More) => break,
                Ok(frame @ (Frame::Ping(length) | Frame::Pong(length) | Frame::Message(length))) => {
                    assert!(length > 0 && length <= LIMITS.message_bytes);
                    if let Frame::Message(_) = frame {
                        let _ = parse(&buffer[..length], &mut Index::new(), &LIMITS);
                    }
                    all.push(frame);
                    buffer.drain(..length);
                }
                Err(error) => return (all, Some(error)),
            }
        }
        assert!(buffer.len() <= LIMITS.message_bytes);
    }
    (all, None)
}

fuzz_target!(|input: (bool, u8, u8, &[u8])| {
    let (client, first, size, bytes) = input;
    let side = if client { Side::Client } else { Side::Server };
    let whole = frames(side, [bytes].into_iter());
    let (head, tail) = bytes.split_at(bytes.len().min(first.into()));
    let pieces = tail.chunks(usize::from(size).max(1));
    assert_eq!(frames(side, [head].into_iter().chain(pieces)), whole);
});
