//! Any bytes as endpoints, networks, disks and administrators around the registrar: what it promises holds after every step.
//! What bytes mean and what is checked stands in `core/tests/sip/drive.rs`.

#![no_main]

#[path = "../../core/tests/sip/drive.rs"]
mod drive;
#[path = "../../core/tests/sip/words.rs"]
mod words;
#[path = "../../core/tests/sip/world.rs"]
#[allow(dead_code, reason = "written tests use the rest of it")]
mod world;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| drive::run(bytes));
