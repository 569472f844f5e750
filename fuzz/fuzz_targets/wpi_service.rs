//! Any bytes as a message of the service: what is read can be written, and reads back the same; its items
//! can be cut into batches that all fit.

#![no_main]

use callboard_codecs::wpi::{
    Action, Dialect, EmitError, Ignored, Item, ItemRef, Limits, MAX_MESSAGE_BYTES, ServiceMessage,
    parse_service_message, split_items, write_service_message,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let limits = Limits::default();
    match parse_service_message(body, &limits) {
        Ok(message) => {
            let items: Vec<_> = message.items.iter().map(Item::as_item_ref).collect();
            reads_back(&message, &items, &limits);
            for dialect in [Dialect::Current, Dialect::V1] {
                batches_fit(&items, dialect);
            }
        }
        Err(error) => assert!(error.offset <= body.len() && !error.expected.is_empty()),
    }
});

fn reads_back(message: &ServiceMessage<'_>, items: &[ItemRef<'_>], limits: &Limits) {
    let mut out = Vec::new();
    match write_service_message(&mut out, message.nonce, message.action, items, Dialect::Current) {
        Ok(()) => {
            let expected = ServiceMessage { signed: false, ignored: Ignored::default(), ..message.clone() };
            assert_eq!(parse_service_message(&out, limits), Ok(expected));
        }
        Err(error) => assert!(matches!(error, EmitError::TooLarge { .. }) && out.is_empty()),
    }
}

fn batches_fit(items: &[ItemRef<'_>], dialect: Dialect) {
    let Ok(batches) = split_items(items, Some(3), MAX_MESSAGE_BYTES, dialect) else { return };
    assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), items.len());
    let mut out = Vec::new();
    for batch in batches {
        assert!((1..=3).contains(&batch.len()));
        out.clear();
        assert_eq!(
            write_service_message(&mut out, &"9".repeat(128), Action::WriteItems, &batch, dialect),
            Ok(())
        );
    }
}
