//! Random phones, administrators and disks against the whole service: the corpus of the fuzz target `wpi_dialogue`,
//! and fresh bytes in every run.

#![allow(clippy::unwrap_used, clippy::expect_used)] // these are tests

#[path = "replay/drive.rs"]
mod drive;
#[path = "replay/world.rs"]
mod world;

use std::path::Path;

use proptest::prelude::*;

#[test]
fn the_corpus_breaks_no_promise() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/wpi_dialogue");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        drive::run(&std::fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files > 0, "the corpus is empty");
}

proptest! {
    #[test]
    fn nothing_breaks_a_promise(bytes in proptest::collection::vec(any::<u8>(), 0..1_500)) {
        drive::run(&bytes);
    }
}
