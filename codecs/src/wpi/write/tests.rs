//! Tests of the writers on single messages.

use super::super::{Limits, ReplyStatus, parse_phone_message, parse_service_message};
use super::*;

fn service(items: &[ItemRef<'_>], dialect: Dialect) -> Result<String, EmitError> {
    let mut out = Vec::new();
    write_service_message(&mut out, "A1", Action::WriteItems, items, dialect)?;
    Ok(String::from_utf8(out).unwrap())
}

/// One item as it is written.
fn item(item: ItemRef<'_>, dialect: Dialect) -> String {
    let mut out = Vec::new();
    write_item(&mut out, &item, dialect).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_service_message_has_the_strict_form() {
    let mut out = b"HTTP head ".to_vec();
    let items = [ItemRef::new("reg-addr", ""), ItemRef::indexed("key-label-unicode", 1001, "Sören")];
    write_service_message(&mut out, "C1", Action::ReadItems, &items, Dialect::Current).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "HTTP head <?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <DLSMessage xmlns=\"http://www.siemens.com/DLS\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
         xsi:schemaLocation=\"http://www.siemens.com/DLS\">\
         <Message nonce=\"C1\"><Action>ReadItems</Action><ItemList><Item name=\"reg-addr\"></Item>\
         <Item name=\"key-label-unicode\" index=\"1001\">Sören</Item></ItemList></Message></DLSMessage>"
    );
}

#[test]
fn a_message_without_items_has_no_list() {
    let mut out = Vec::new();
    write_service_message(&mut out, "C1", Action::CleanUp, &[], Dialect::V1).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.ends_with("<Message nonce=\"C1\"><Action>CleanUp</Action></Message></DLSMessage>"),
        "{text}"
    );
}

#[test]
fn a_phone_message_is_laid_out_as_phones_do() {
    let reason = Reason::ReplyTo { action: Some(Action::WriteItems), status: Some(ReplyStatus::Accepted) };
    let refused = ItemRef { status: Some("read only"), ..ItemRef::new("device-type", "") };
    let mut message = PhoneMessageRef {
        nonce: "B2",
        max_items: Some(-1),
        fragment: Fragment::Final,
        reason: &reason,
        items: &[refused, ItemRef::indexed("alert", 1, "^^^^")],
        layout: Layout::Indented,
    };
    let mut out = Vec::new();
    write_phone_message(&mut out, &message).unwrap();
    let text = String::from_utf8(out).unwrap();
    let (_, inside) = text.split_once("DLS\">").unwrap();
    assert_eq!(
        inside,
        "\n  <Message nonce=\"B2\" maxItems=\"-1\" fragment=\"final\">\
         \n    <ReasonForContact action=\"WriteItems\" status=\"accepted\">reply-to</ReasonForContact>\
         \n    <ItemList>\
         \n      <Item name=\"device-type\" status=\"read only\"/>\
         \n      <Item name=\"alert\" index=\"1\">^^^^</Item>\
         \n    </ItemList>\n  </Message>\n</WorkpointMessage>\n"
    );

    message.layout = Layout::Compact;
    let mut compact = Vec::new();
    write_phone_message(&mut compact, &message).unwrap();
    let limits = Limits::default();
    assert_eq!(parse_phone_message(&compact, &limits), parse_phone_message(text.as_bytes(), &limits));
    assert_eq!(String::from_utf8(compact).unwrap().lines().count(), 2);
}

#[test]
fn values_are_escaped() {
    let written = item(ItemRef::new("x", "a<b> & \"c\" 'd'\r\n\te"), Dialect::Current);
    assert_eq!(written, "<Item name=\"x\">a&lt;b&gt; &amp; \"c\" 'd'&#13;\n\te</Item>");
    let odd = ItemRef { status: Some("a\tb\nc\"<"), ..ItemRef::new("x\"&>", "1") };
    let written = item(odd, Dialect::Current);
    assert_eq!(written, "<Item name=\"x&quot;&amp;&gt;\" status=\"a&#9;b&#10;c&quot;&lt;\">1</Item>");
}

#[test]
fn old_firmware_gets_no_references_but_for_quotes() {
    let written = item(ItemRef::new("x", "<a> & \"b\"\r\n"), Dialect::V1);
    assert_eq!(written, "<Item name=\"x\">a + \"b\"\n</Item>");
    let odd = ItemRef { status: Some("a\tb\nc"), ..ItemRef::new("x\"<", "1") };
    assert_eq!(item(odd, Dialect::V1), "<Item name=\"x&quot;\" status=\"a b c\">1</Item>");
    assert_eq!(service(&[ItemRef::new("<>", "1")], Dialect::V1), Err(EmitError::BadName { item: 0 }));
}

#[test]
fn what_a_dialect_carries_is_what_the_phone_reads() {
    for dialect in [Dialect::Current, Dialect::V1] {
        for value in ["", "plain", "a<b> & \"c\" 'd'\r\n\te", "<>", "<NULL>", "a\rb", "&&"] {
            let mut out = Vec::new();
            let items = [ItemRef::new("x", value)];
            write_service_message(&mut out, "C1", Action::WriteItems, &items, dialect).unwrap();
            let read = parse_service_message(&out, &Limits::default()).unwrap();
            assert_eq!(read.items[0].value, dialect.carried(value), "{value:?}");
        }
    }
}

#[test]
fn characters_that_xml_lacks_are_refused() {
    let good = ItemRef::new("x", "\u{fffd}\u{feff}\u{ff21}\u{10ffff}\u{7f}");
    assert!(service(&[good], Dialect::Current).is_ok());
    for character in ["\0", "\u{1}", "\u{b}", "\u{1f}", "\u{fffe}", "\u{ffff}"] {
        let refused = Err(EmitError::IllegalCharacter { item: 1 });
        for dialect in [Dialect::Current, Dialect::V1] {
            assert_eq!(service(&[good, ItemRef::new("x", character)], dialect), refused);
        }
        let name = format!("x{character}y");
        assert_eq!(service(&[good, ItemRef::new(&name, "")], Dialect::Current), refused);
    }
}

#[test]
fn a_refused_message_leaves_the_buffer_alone() {
    let nul = [ItemRef::new("x", "\0")];
    let blank = [ItemRef::new(" x", "")];
    let mut out = b"before".to_vec();
    for (nonce, items, error) in [
        ("A1", &nul[..], EmitError::IllegalCharacter { item: 0 }),
        ("A1", &blank[..], EmitError::BadName { item: 0 }),
        ("A-1", &[], EmitError::BadNonce),
        ("", &[], EmitError::BadNonce),
    ] {
        let written = write_service_message(&mut out, nonce, Action::WriteItems, items, Dialect::Current);
        assert_eq!(written, Err(error));
        assert_eq!(out, b"before");
        let message = PhoneMessageRef {
            nonce,
            max_items: None,
            fragment: Fragment::Absent,
            reason: &Reason::StartUp,
            items,
            layout: Layout::Compact,
        };
        assert_eq!(write_phone_message(&mut out, &message), Err(error));
        assert_eq!(out, b"before");
    }
    for word in ["", " \n", "\u{1}"] {
        let message = PhoneMessageRef {
            nonce: "A1",
            max_items: None,
            fragment: Fragment::Absent,
            reason: &Reason::Unknown(word.into()),
            items: &[],
            layout: Layout::Compact,
        };
        assert_eq!(write_phone_message(&mut out, &message), Err(EmitError::BadReason));
        assert_eq!(out, b"before");
    }
}

#[test]
fn messages_end_at_the_size_limit() {
    let empty = service(&[ItemRef::new("x", "")], Dialect::Current).unwrap().len();
    let longest = "v".repeat(MAX_MESSAGE_BYTES - empty);
    let written = service(&[ItemRef::new("x", &longest)], Dialect::Current).unwrap();
    assert_eq!(written.len(), MAX_MESSAGE_BYTES);
    let message = parse_service_message(written.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(message.items[0].value, longest);
    let longer = longest + "v";
    let refused = Err(EmitError::TooLarge { limit: MAX_MESSAGE_BYTES });
    assert_eq!(service(&[ItemRef::new("x", &longer)], Dialect::Current), refused);
}

#[test]
fn numbers_are_decimal() {
    for number in [0, 9, 10, 1001, u32::MAX] {
        assert_eq!(Decimal::new(number).as_str(), number.to_string());
    }
}
