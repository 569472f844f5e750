//! Any bytes as a firmware image: what it says of itself fits into a record, and depends on its two ends alone.

#![no_main]

use callboard_core::file::{HEAD_BYTES, TAIL_BYTES, recognise};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(image) = recognise(bytes, bytes) else { return };
    for text in
        [Some(&image.product), Some(&image.version), image.device_type.as_ref(), image.software_type.as_ref()]
            .into_iter()
            .flatten()
    {
        assert!((1..=64).contains(&text.len()), "{text:?}");
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{text:?}");
    }
    let head = &bytes[..bytes.len().min(HEAD_BYTES)];
    let tail = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
    assert_eq!(recognise(head, tail), Some(image));
});
