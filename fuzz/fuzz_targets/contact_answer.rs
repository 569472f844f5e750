//! Any bytes as a phone's answer to contact-me: what is known of a part is known of the whole.

#![no_main]

use callboard_codecs::contact::{MAX_HEAD_BYTES, read_head};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let bytes = &bytes[..bytes.len().min(MAX_HEAD_BYTES - 1)];
    let whole = read_head(bytes, false);
    for cut in 0..bytes.len() {
        match read_head(&bytes[..cut], false) {
            Ok(None) => {}
            known => assert_eq!(known, whole, "after {cut} bytes"),
        }
    }
    // When nothing more comes it is an answer or none.
    assert!(!matches!(read_head(bytes, true), Ok(None)));
});
