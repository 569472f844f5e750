//! Any bytes as polls, one after the other: each is refused, incomplete or taken, the same however it is cut; what is taken
//! has an id that reads back.

#![no_main]

use callboard_codecs::dcmp::{CanonicalId, parse_answer, parse_poll, write_poll};
use libfuzzer_sys::fuzz_target;

/// Longest head: one that small inputs reach.
const HEAD: usize = 256;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok(Some((poll, consumed))) = parse_poll(rest, HEAD) {
        assert!(consumed > 0 && consumed <= HEAD && poll.device.len() < consumed);
        for end in 0..consumed {
            assert_eq!(parse_poll(&rest[..end], HEAD), Ok(None));
        }
        if let Ok(id) = CanonicalId::read(poll.device) {
            reads_back(id, poll.keep_alive);
        }
        rest = &rest[consumed..];
    }
    if rest.len() >= HEAD {
        assert_ne!(parse_poll(rest, HEAD), Ok(None));
    }
    if let Ok(Some((_, consumed))) = parse_answer(bytes, HEAD) {
        assert!(consumed > 0 && consumed <= bytes.len().min(HEAD));
    }
});

fn reads_back(id: CanonicalId, keep_alive: bool) {
    let text = str::from_utf8(id.as_bytes()).expect("visible ASCII");
    let mut bytes = Vec::new();
    write_poll(&mut bytes, "/dcmp/", "h", text, keep_alive);
    let (poll, consumed) = parse_poll(&bytes, 1_024).expect("a poll").expect("all of it");
    assert_eq!((consumed, poll.keep_alive), (bytes.len(), keep_alive));
    assert_eq!(CanonicalId::read(poll.device), Ok(id));
}
