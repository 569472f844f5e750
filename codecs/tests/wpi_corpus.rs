//! Replays the fuzz corpora: the seeds with their known outcome, everything else for calm.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use callboard_codecs::wpi::{
    Dialect, Item, Layout, Limits, PhoneMessageRef, parse_phone_message, parse_service_message,
    write_phone_message, write_service_message,
};

/// All files of a corpus by name.
fn corpus(target: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    files
        .map(|file| {
            let file = file.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
            let name = file.file_name().to_string_lossy().into_owned();
            (name, fs::read(file.path()).unwrap_or_else(|error| panic!("{}: {error}", file.path().display())))
        })
        .collect()
}

/// Checks the outcome of the seeds: items read, or the label of the error.
fn check(
    outcomes: &BTreeMap<String, Result<usize, &'static str>>,
    seeds: &[(&str, Result<usize, &'static str>)],
) {
    for (name, expected) in seeds {
        assert_eq!(outcomes.get(*name), Some(expected), "{name}");
    }
}

#[test]
fn phone_messages() {
    let limits = Limits::default();
    let mut outcomes = BTreeMap::new();
    for (name, body) in corpus("wpi_phone") {
        let read = parse_phone_message(&body, &limits);
        outcomes.insert(
            name,
            read.as_ref().map(|message| message.items.len()).map_err(|error| error.kind.as_label()),
        );
        let Ok(message) = read else { continue };
        let items: Vec<_> = message.items.iter().map(Item::as_item_ref).collect();
        let again = PhoneMessageRef {
            nonce: message.nonce,
            max_items: message.max_items.map(i64::from),
            fragment: message.fragment,
            reason: &message.reason,
            items: &items,
            layout: Layout::Indented,
        };
        let mut out = Vec::new();
        assert_eq!(write_phone_message(&mut out, &again), Ok(()));
        let reread = parse_phone_message(&out, &limits).map(|message| message.items);
        assert_eq!(reread.as_ref(), Ok(&message.items));
    }
    check(
        &outcomes,
        &[
            ("start-up.xml", Ok(8)),
            ("reply-fragment.xml", Ok(4)),
            ("write-result.xml", Ok(3)),
            ("busy.xml", Ok(0)),
            ("clean-up.xml", Ok(1)),
            ("odd-text.xml", Ok(2)),
            ("unknown-reason.xml", Ok(0)),
            ("doctype.xml", Err("dtd")),
            ("deep.xml", Ok(0)),
            ("cut.xml", Err("truncated")),
        ],
    );
}

#[test]
fn service_messages() {
    let limits = Limits::default();
    let mut outcomes = BTreeMap::new();
    for (name, body) in corpus("wpi_service") {
        let read = parse_service_message(&body, &limits);
        outcomes.insert(
            name,
            read.as_ref().map(|message| message.items.len()).map_err(|error| error.kind.as_label()),
        );
        let Ok(message) = read else { continue };
        let items: Vec<_> = message.items.iter().map(Item::as_item_ref).collect();
        let mut out = Vec::new();
        let written =
            write_service_message(&mut out, message.nonce, message.action, &items, Dialect::Current);
        assert_eq!(written, Ok(()));
        let reread = parse_service_message(&out, &limits).map(|message| message.items);
        assert_eq!(reread.as_ref(), Ok(&message.items));
    }
    check(
        &outcomes,
        &[
            ("clean-up.xml", Ok(1)),
            ("read-all.xml", Ok(0)),
            ("read.xml", Ok(2)),
            ("write-keys.xml", Ok(7)),
            ("restart.xml", Ok(2)),
            ("signed.xml", Ok(0)),
            ("lax.xml", Ok(1)),
            ("warning.xml", Err("not_xml")),
            ("deploy.xml", Ok(4)),
        ],
    );
}
