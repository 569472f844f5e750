//! Plays the dialogues of `dialogues/` against the whole service: what phones say and what they must be told,
//! written as somebody who knows telephones reads it. `dialogues/README.md` explains the form.

#![allow(clippy::unwrap_used, clippy::expect_used)] // these are tests

#[path = "replay/office.rs"]
mod office;
#[path = "replay/phone.rs"]
mod phone;
#[path = "replay/script.rs"]
mod script;
#[path = "replay/stage.rs"]
mod stage;
#[path = "replay/world.rs"]
mod world;

use std::path::Path;

#[test]
fn every_dialogue_goes_as_it_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "txt"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no dialogues in {}", folder.display());
    let faults: Vec<_> = files.iter().filter_map(|path| stage::play(path).err()).collect();
    assert!(faults.is_empty(), "{} of {} go wrong:\n{}", faults.len(), files.len(), faults.join("\n"));
}
