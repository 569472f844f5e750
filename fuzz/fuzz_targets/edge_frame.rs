//! Any bytes as the control stream and as a relayed stream of an edge: what is read is written the same, and a frame does
//! not depend on how it was cut.

#![no_main]

use callboard_codecs::edge::{read_frame, read_relay_header, write_frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some((header, length))) = read_relay_header(bytes) {
        let mut again = Vec::new();
        header.write(&mut again);
        assert_eq!(again, bytes[..length]);
    }
    let mut rest = bytes;
    while let Ok(Some((frame, length))) = read_frame(rest) {
        let (one, more) = rest.split_at(length);
        for cut in [0, 1, length / 2, length - 1] {
            assert_eq!(read_frame(&one[..cut]), Ok(None));
        }
        let mut again = Vec::new();
        write_frame(&frame, &mut again).expect("what was read fits");
        assert_eq!(again, one);
        rest = more;
    }
});
