//! Properties of the WPI codec: what is written reads back, what is read is what quick-xml reads, and no
//! bytes at all make it panic.

use callboard_codecs::wpi::{
    Action, Dialect, Fragment, Ignored, Item, ItemRef, Layout, Limits, MAX_MESSAGE_BYTES, PhoneMessageRef,
    Reason, ReplyStatus, parse_phone_message, parse_service_message, split_items, write_phone_message,
    write_service_message,
};
use proptest::prelude::*;
use proptest::sample::select;

mod oracle;
mod strategies;

use strategies::{OwnedItem, document, items, nonce, trimmed_text};

fn refs(items: &[OwnedItem]) -> Vec<ItemRef<'_>> {
    items.iter().map(OwnedItem::as_ref).collect()
}

fn read_refs<'a>(items: &'a [Item<'_>]) -> Vec<ItemRef<'a>> {
    items.iter().map(Item::as_item_ref).collect()
}

fn reason() -> impl Strategy<Value = Reason<'static>> {
    let action = prop::option::of(select(&Action::ALL[..]));
    let status = prop::option::of(select(
        &[ReplyStatus::Accepted, ReplyStatus::Failed, ReplyStatus::Busy, ReplyStatus::Unknown][..],
    ));
    prop_oneof![
        select(vec![
            Reason::StartUp,
            Reason::Solicited,
            Reason::LocalChanges,
            Reason::InventoryChanges,
            Reason::Status,
            Reason::CleanUp,
        ]),
        (action, status).prop_map(|(action, status)| Reason::ReplyTo { action, status }),
        trimmed_text(16).prop_filter("a reason is not empty", |word| !word.is_empty()).prop_map(|word| {
            // The prefix keeps it apart from the known words.
            Reason::Unknown(format!("x{word}").into())
        }),
    ]
}

/// Writes a phone's message and checks that it reads back.
fn phone_round_trip(message: &PhoneMessageRef<'_>) -> Result<Vec<u8>, TestCaseError> {
    let mut body = Vec::new();
    write_phone_message(&mut body, message).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let limits = Limits { max_name_bytes: 1_000, ..Limits::default() };
    let read = parse_phone_message(&body, &limits).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(read.nonce, message.nonce);
    prop_assert_eq!(read.max_items.map(i64::from), message.max_items.filter(|&most| most > 0));
    prop_assert_eq!(read.fragment, message.fragment);
    prop_assert_eq!(&read.reason, message.reason);
    prop_assert_eq!(read_refs(&read.items), message.items);
    prop_assert_eq!(read.ignored, Ignored::default());
    Ok(body)
}

proptest! {
    #[test]
    fn phone_messages_read_back(
        nonce in nonce(),
        max_items in prop::option::of(-1_i64..5_000),
        fragment in select(&[Fragment::Absent, Fragment::Next, Fragment::Final][..]),
        reason in reason(),
        items in items(),
        layout in select(&[Layout::Compact, Layout::Indented][..]),
    ) {
        let items = refs(&items);
        let message = PhoneMessageRef { nonce: &nonce, max_items, fragment, reason: &reason, items: &items, layout };
        phone_round_trip(&message)?;
    }

    #[test]
    fn service_messages_read_back(nonce in nonce(), action in select(&Action::ALL[..]), items in items()) {
        let items = refs(&items);
        let mut body = Vec::new();
        write_service_message(&mut body, &nonce, action, &items, Dialect::Current).unwrap();
        let limits = Limits { max_name_bytes: 1_000, ..Limits::default() };
        let read = parse_service_message(&body, &limits).unwrap();
        prop_assert_eq!((read.nonce, read.action, read.signed), (&*nonce, action, false));
        prop_assert_eq!(read_refs(&read.items), items);
        prop_assert_eq!(read.ignored, Ignored::default());
    }

    #[test]
    fn old_firmware_sees_no_reference_but_quotes(items in items()) {
        let items = refs(&items);
        let mut body = Vec::new();
        if write_service_message(&mut body, "A1", Action::WriteItems, &items, Dialect::V1).is_ok() {
            let text = String::from_utf8(body).unwrap();
            prop_assert_eq!(text.matches('&').count(), text.matches("&quot;").count());
            let read = parse_service_message(text.as_bytes(), &Limits::default()).unwrap();
            prop_assert_eq!(read.items.len(), items.len());
            for (read, written) in read.items.iter().zip(&items) {
                let expected = written.value.replace(['<', '>', '\r'], "").replace('&', "+");
                prop_assert_eq!(&*read.value, expected.trim_matches([' ', '\t', '\n']));
            }
        }
    }

    #[test]
    fn quick_xml_reads_the_same(body in document()) {
        let limits = Limits { max_items: 10_000, max_name_bytes: 10_000, ..Limits::default() };
        let limits = Limits { max_status_bytes: 10_000, ..limits };
        let ours = parse_phone_message(body.as_bytes(), &limits)
            .map_err(|error| TestCaseError::fail(format!("{error} in {body}")))?;
        let theirs = oracle::extract(body.as_bytes())
            .map_err(|error| TestCaseError::fail(format!("{error} in {body}")))?;
        prop_assert_eq!(ours.nonce, theirs.nonce);
        prop_assert_eq!(ours.reason.as_str(), theirs.reason);
        prop_assert_eq!(ours.items, theirs.items, "{}", body);
        prop_assert_eq!(ours.ignored.total(), 0);
    }

    #[test]
    fn any_bytes_are_taken_calmly(body in prop::collection::vec(any::<u8>(), 0..200)) {
        both_are_calm(&body)?;
    }

    #[test]
    fn any_xml_like_text_is_taken_calmly(body in "[<>/!?=&;#'\" a-cx0-9\\[\\]\\-]{0,100}") {
        both_are_calm(body.as_bytes())?;
        both_are_calm(format!("<WorkpointMessage><Message nonce='A1'>{body}").as_bytes())?;
        both_are_calm(format!("<DLSMessage><Message nonce='A1'><ItemList>{body}").as_bytes())?;
    }

    #[test]
    fn damaged_messages_are_taken_calmly(
        body in document(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), damage()), 1..4),
    ) {
        let mut body = body.into_bytes();
        for (place, damage) in damage {
            if body.is_empty() {
                break;
            }
            let place = place.index(body.len());
            match damage {
                Damage::Replace(byte) => body[place] = byte,
                Damage::Insert(text) => drop(body.splice(place..place, text.bytes())),
                Damage::Remove(count) => drop(body.drain(place..body.len().min(place + count))),
                Damage::Cut => body.truncate(place),
            }
        }
        both_are_calm(&body)?;
    }

    #[test]
    fn batches_hold_every_item_once_and_fit(
        items in prop::collection::vec((strategies::item(), related_name()), 0..40),
        max_items in prop::option::of(0_u32..6),
        max_bytes in 1_200_usize..3_000,
    ) {
        let items: Vec<_> = items.iter().map(|(item, name)| ItemRef { name, ..item.as_ref() }).collect();
        let batches = split_items(&items, max_items, max_bytes, Dialect::Current).unwrap();
        for batch in &batches {
            prop_assert!(!batch.is_empty());
            prop_assert!(max_items.is_none_or(|most| most == 0 || batch.len() <= most as usize));
            let mut body = Vec::new();
            let nonce = "9".repeat(128);
            write_service_message(&mut body, &nonce, Action::WriteItems, batch, Dialect::Current).unwrap();
            prop_assert!(body.len() <= max_bytes, "{} bytes", body.len());
        }
        // Moved, but none lost or doubled, and instances of one name and index still in their order.
        let sent = batches.concat();
        prop_assert_eq!(sent.len(), items.len());
        for item in &items {
            let same = |other: &&ItemRef<'_>| other.name == item.name && other.index == item.index;
            prop_assert!(sent.iter().filter(same).eq(items.iter().filter(same)));
        }
    }
}

/// Parses as either kind. What is read can be written and reads back.
fn both_are_calm(body: &[u8]) -> Result<(), TestCaseError> {
    match parse_phone_message(body, &Limits::default()) {
        Ok(read) => {
            let items = read_refs(&read.items);
            let message = PhoneMessageRef {
                nonce: read.nonce,
                max_items: read.max_items.map(i64::from),
                fragment: read.fragment,
                reason: &read.reason,
                items: &items,
                layout: Layout::Compact,
            };
            phone_round_trip(&message)?;
        }
        Err(error) => prop_assert!(error.offset <= body.len() && !error.expected.is_empty(), "{:?}", error),
    }
    match parse_service_message(body, &Limits::default()) {
        Ok(read) => prop_assert!(read.items.len() <= Limits::default().max_items),
        Err(error) => prop_assert!(error.offset <= body.len() && !error.expected.is_empty(), "{:?}", error),
    }
    Ok(())
}

#[derive(Debug, Clone)]
enum Damage {
    Replace(u8),
    Insert(&'static str),
    Remove(usize),
    Cut,
}

fn damage() -> impl Strategy<Value = Damage> {
    let pieces =
        &["<", ">", "&", ";", "\"", "'", "</Item>", "<Item name=\"", "]]>", "<!--", "-->", "<?", "\0", "\r"]
            [..];
    prop_oneof![
        any::<u8>().prop_map(Damage::Replace),
        select(pieces).prop_map(Damage::Insert),
        (1_usize..20).prop_map(Damage::Remove),
        Just(Damage::Cut),
    ]
}

fn related_name() -> impl Strategy<Value = &'static str> {
    select(
        &[
            "reg-addr",
            "reg-port",
            "function-key-def",
            "key-label",
            "line-sip-uri",
            "codec-type",
            "dls-addr",
            "time",
            "x",
        ][..],
    )
}

/// One batch is the rule: nothing is cut that fits.
#[test]
fn a_usual_write_is_one_message() {
    let items: Vec<_> = (1..=100).map(|index| ItemRef::indexed("key-label-unicode", index, "Anna")).collect();
    let batches = split_items(&items, None, MAX_MESSAGE_BYTES, Dialect::Current).unwrap();
    assert_eq!(batches, [items]);
}
