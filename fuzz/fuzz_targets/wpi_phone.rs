//! Any bytes as a phone's message: what is read can be written, and reads back the same; plain items read
//! the same when an extra blank keeps them off the short way.

#![no_main]

use callboard_codecs::wpi::{
    EmitError, Ignored, Item, Layout, Limits, PhoneMessage, PhoneMessageRef, parse_phone_message,
    write_phone_message,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    for limits in [Limits::default(), tight()] {
        let read = parse_phone_message(body, &limits);
        if let Ok(message) = &read {
            assert!(message.items.len() <= limits.max_items);
            reads_back(message, &limits);
        }
        if let Err(error) = &read {
            assert!(error.offset <= body.len() && !error.expected.is_empty());
        }
        if let Some(detour) = detour(body) {
            let general = parse_phone_message(detour.as_bytes(), &limits);
            match (read, general) {
                (Ok(short), Ok(general)) => assert_eq!(short, general),
                (short, general) => assert_eq!(short.map_err(|e| e.kind), general.map_err(|e| e.kind)),
            }
        }
    }
});

/// Limits that small inputs reach.
fn tight() -> Limits {
    Limits { max_items: 2, max_name_bytes: 4, max_value_bytes: 5, max_status_bytes: 3 }
}

fn reads_back(message: &PhoneMessage<'_>, limits: &Limits) {
    let items: Vec<_> = message.items.iter().map(Item::as_item_ref).collect();
    for layout in [Layout::Compact, Layout::Indented] {
        let again = PhoneMessageRef {
            nonce: message.nonce,
            max_items: message.max_items.map(i64::from),
            fragment: message.fragment,
            reason: &message.reason,
            items: &items,
            layout,
        };
        let mut out = Vec::new();
        match write_phone_message(&mut out, &again) {
            Ok(()) => {
                let expected = PhoneMessage { ignored: Ignored::default(), ..message.clone() };
                assert_eq!(parse_phone_message(&out, limits), Ok(expected));
            }
            Err(error) => assert!(matches!(error, EmitError::TooLarge { .. }) && out.is_empty()),
        }
    }
}

/// The body with a second blank in each `<Item name`, if that cannot change its meaning.
fn detour(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    // Inside comments, CDATA sections and instructions the words would be text.
    (!text.contains("<!") && !text.contains("<?")).then(|| text.replace("<Item name", "<Item  name"))
}
