//! Any bytes as phones, administrators, time and disks around the whole service: what is promised in a dialogue holds
//! after every step. What bytes mean and what is checked stands in `core/tests/replay/drive.rs`.

#![no_main]

#[path = "../../core/tests/replay/drive.rs"]
mod drive;
#[path = "../../core/tests/replay/world.rs"]
#[allow(dead_code, reason = "written dialogues use the rest of it")]
mod world;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| drive::run(bytes));
