//! Reads and answers a REGISTER so many times, for counting instructions:
//!
//! ```text
//! cargo build --release -p callboard-benches --example sip_register
//! valgrind --tool=callgrind target/release/examples/sip_register 10000 plain
//! ```

use std::hint::black_box;

use callboard_benches::sip::{PLAIN, register, with_digest};
use callboard_codecs::sip::Index;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let times = arguments.next().and_then(|times| times.parse().ok()).unwrap_or(10_000_u32);
    let digest = with_digest();
    let bytes = if arguments.next().as_deref() == Some("digest") { &digest[..] } else { PLAIN };
    let (mut index, mut key, mut out) = (Index::new(), Vec::new(), Vec::new());
    for _ in 0..times {
        assert!(register(black_box(bytes), &mut index, &mut key, &mut out).is_some());
        black_box(&out);
    }
}
