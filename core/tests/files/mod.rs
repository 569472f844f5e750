//! What tests of damaged stores share: stores as files, and records that tell a wrong one.

use std::fs;
use std::path::Path;

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The value of record number `at`, unlike all others.
pub(crate) fn value_of(at: u64) -> Vec<u8> {
    (0..1_500_u64).map(|byte| ((byte * 31) ^ (at * 7)).to_le_bytes()[0]).collect()
}
