//! Tests of the readers on single messages. Properties are in `properties.rs` of the package's tests.

use super::super::{ItemRef, MAX_ATTRIBUTES, MAX_DEPTH};
use super::*;

const START_UP: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<WorkpointMessage xmlns="http://www.siemens.com/DLS"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://www.siemens.com/DLS">
  <Message nonce="4A1F00C27B9E4D5588316677AA90BC01" maxItems="-1">
    <ReasonForContact>start-up</ReasonForContact>
    <ItemList>
      <Item name="device-type">OpenStage 60</Item>
      <Item name="mac-addr">00:1A:E8:0A:0B:0C</Item>
      <Item name="user-pwd-unicode" status="failed"/>
      <Item name="contact-me-uri">
        http://192.0.2.41:8085/contact_dls.html/ContactDLS
      </Item>
      <Item index="2" name="key-label-unicode">S&#246;ren &amp; Anna</Item>
    </ItemList>
  </Message>
</WorkpointMessage>
"#;

fn phone(body: &str) -> PhoneMessage<'_> {
    parse_phone_message(body.as_bytes(), &Limits::default()).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn phone_error(body: impl AsRef<[u8]>) -> (ParseErrorKind, usize) {
    let body = body.as_ref();
    match parse_phone_message(body, &Limits::default()) {
        Ok(message) => panic!("{message:?} from {:?}", String::from_utf8_lossy(body)),
        Err(error) => {
            assert!(!error.expected.is_empty(), "{error}");
            (error.kind, error.offset)
        }
    }
}

fn service(body: &str) -> ServiceMessage<'_> {
    parse_service_message(body.as_bytes(), &Limits::default())
        .unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn service_error(body: &str) -> ParseErrorKind {
    parse_service_message(body.as_bytes(), &Limits::default()).unwrap_err().kind
}

/// A phone's message around the inside of an `ItemList`.
fn listing(items: &str) -> String {
    format!(
        "<WorkpointMessage><Message nonce=\"A1\"><ReasonForContact>status</ReasonForContact>\
         <ItemList>{items}</ItemList></Message></WorkpointMessage>"
    )
}

/// A phone's message around the inside of `Message`.
fn message(inside: &str) -> String {
    format!("<WorkpointMessage><Message nonce=\"A1\">{inside}</Message></WorkpointMessage>")
}

fn values(body: &str) -> Vec<(String, Option<u32>, String)> {
    phone(body).items.into_iter().map(|item| (item.name.into(), item.index, item.value.into())).collect()
}

fn value(content: &str) -> String {
    let body = listing(&format!("<Item name=\"x\">{content}</Item>"));
    let mut items = values(&body);
    assert_eq!(items.len(), 1, "{body}");
    items.remove(0).2
}

#[test]
fn a_start_up_is_read() {
    let message = phone(START_UP);
    assert_eq!(message.nonce, "4A1F00C27B9E4D5588316677AA90BC01");
    assert_eq!((message.max_items, message.fragment), (None, Fragment::Absent));
    assert_eq!(message.reason, Reason::StartUp);
    assert_eq!(message.ignored, Ignored::default());
    let items: Vec<_> = message
        .items
        .iter()
        .map(|item| (&*item.name, item.index, item.status.as_deref(), &*item.value))
        .collect();
    assert_eq!(
        items,
        [
            ("device-type", None, None, "OpenStage 60"),
            ("mac-addr", None, None, "00:1A:E8:0A:0B:0C"),
            ("user-pwd-unicode", None, Some("failed"), ""),
            ("contact-me-uri", None, None, "http://192.0.2.41:8085/contact_dls.html/ContactDLS"),
            ("key-label-unicode", Some(2), None, "Sören & Anna"),
        ]
    );
}

#[test]
fn only_items_with_references_own_their_text() {
    for item in phone(START_UP).items {
        let owned = matches!(item.value, Cow::Owned(_));
        assert_eq!(owned, item.value.contains('&'), "{item:?}");
        assert!(matches!(item.name, Cow::Borrowed(_)));
    }
}

#[test]
fn a_reply_is_read_with_attributes_in_any_order() {
    let reply = message(
        "<ReasonForContact status='Accepted' action='ReadAllItems'>\n reply-to\n</ReasonForContact><ItemList/>",
    )
    .replace("nonce=\"A1\"", "fragment=\"next\" maxItems=\" 50 \" nonce=\"abc1\"");
    let message = phone(&reply);
    assert_eq!((message.nonce, message.max_items, message.fragment), ("abc1", Some(50), Fragment::Next));
    let expected =
        Reason::ReplyTo { action: Some(Action::ReadAllItems), status: Some(ReplyStatus::Accepted) };
    assert_eq!(message.reason, expected);
    assert!(message.items.is_empty());
}

#[test]
fn unreadable_attributes_of_a_reply_are_absent() {
    let odd = message("<ReasonForContact action='Dance' status=''>reply-to</ReasonForContact>");
    assert_eq!(phone(&odd).reason, Reason::ReplyTo { action: None, status: None });
    let odd = message("<ReasonForContact status='perhaps'>reply-to</ReasonForContact>");
    assert_eq!(phone(&odd).reason, Reason::ReplyTo { action: None, status: Some(ReplyStatus::Unknown) });
}

#[test]
fn max_items_without_a_positive_number_is_no_limit() {
    for (text, limit) in [
        ("-1", None),
        ("0", None),
        ("", None),
        ("many", None),
        ("4294967296", None),
        ("+5", None),
        ("7", Some(7)),
    ] {
        let body = listing("").replace("nonce=", &format!("maxItems=\"{text}\" nonce="));
        assert_eq!(phone(&body).max_items, limit, "{text:?}");
    }
}

#[test]
fn every_reason_is_known_by_its_word() {
    for (word, reason) in [
        ("start-up", Reason::StartUp),
        ("solicited", Reason::Solicited),
        ("local-changes", Reason::LocalChanges),
        ("inventory-changes", Reason::InventoryChanges),
        ("status", Reason::Status),
        ("clean-up", Reason::CleanUp),
        ("<!-- so it is --><![CDATA[clean]]>-up", Reason::CleanUp),
        ("status-update", Reason::Unknown("status-update".into())),
        ("Start-Up", Reason::Unknown("Start-Up".into())),
    ] {
        assert_eq!(phone(&message(&format!("<ReasonForContact>{word}</ReasonForContact>"))).reason, reason);
    }
}

#[test]
fn prefixes_and_foreign_namespaces_do_not_matter() {
    let body = "<w:WorkpointMessage xmlns:w='urn:else'><w:Message nonce='A1'><w:ReasonForContact>status\
                </w:ReasonForContact><x:ItemList><Item name='a'>1</Item><y:Item name='b'>2</y:Item></x:ItemList>\
                </w:Message></w:WorkpointMessage>";
    assert_eq!(
        values(body),
        [("a".to_owned(), None, "1".to_owned()), ("b".to_owned(), None, "2".to_owned())]
    );
}

#[test]
fn unknown_elements_and_attributes_are_skipped() {
    let body = "<WorkpointMessage a='1' b=\"2\"><New><Message nonce='no'/></New><Message nonce='A1' new='&lt;'>\
                <New x='1'/>words<ReasonForContact when='now'>status</ReasonForContact>\
                <ItemList new='1'><New><Item name='no'/></New><Item name='a' new='1' x:index='3'>1<b>2</b>3</Item>\
                </ItemList><ReasonForContact/></Message><Message/></WorkpointMessage>";
    assert_eq!(values(body), [("a".to_owned(), None, "13".to_owned())]);
}

#[test]
fn all_lists_of_a_message_count_and_duplicates_stay_in_order() {
    let body = listing("<Item name='a'>1</Item></ItemList><ItemList><Item name='a'>2</Item>");
    let expected = ["1", "2"].map(|value| ("a".to_owned(), None, value.to_owned()));
    assert_eq!(values(&body), expected);
}

#[test]
fn text_is_what_xml_says() {
    assert_eq!(value(" a <!-- not this --> b "), "a  b");
    assert_eq!(value("<![CDATA[<&amp;>]]>"), "<&amp;>");
    assert_eq!(value("a<![CDATA[]]>b<?php echo ?>c"), "abc");
    assert_eq!(value("&lt;a href=&quot;x&quot;&gt;"), "<a href=\"x\">");
    assert_eq!(value("-----BEGIN-----\r\nAAAA\r\n-----END-----\r\n"), "-----BEGIN-----\nAAAA\n-----END-----");
    assert_eq!(value("\u{1F4DE} Grüße"), "\u{1F4DE} Grüße");
    assert_eq!(value("^^^^"), "^^^^");
    assert_eq!(value(""), "");
    assert_eq!(value(" \n "), "");
    assert_eq!(value("a ]]> b > c"), "a ]]> b > c");
}

#[test]
fn names_and_statuses_are_unescaped_and_trimmed() {
    let body = listing("<Item name=' a&amp;b ' index=' 07 ' status='unknown&#x20;item'/>");
    let message = phone(&body);
    let item = &message.items[0];
    assert_eq!((&*item.name, item.index, item.status.as_deref()), ("a&b", Some(7), Some("unknown item")));
}

#[test]
fn what_precedes_and_follows_the_root_is_taken() {
    let core = listing("");
    for body in [
        format!("\u{feff}{core}"),
        format!("\u{feff}\n <?xml version='1.0'?>{core}"),
        format!(
            "\n\n<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<!-- hello -->\n{core}\n"
        ),
        format!("<?xml-stylesheet href='x'?>{core}<!-- bye --><?end?>\r\n"),
    ] {
        assert_eq!(phone(&body).reason, Reason::Status);
    }
}

#[test]
fn items_without_use_are_counted_and_left_out() {
    let limits = Limits { max_items: 2, max_name_bytes: 4, max_value_bytes: 5, max_status_bytes: 3 };
    let body = listing(
        "<Item>1</Item><Item name=''>1</Item><Item name='&#32;'/>\
         <Item name=\"abcde\">1</Item>\
         <Item name=\"a\" index=\"x\">1</Item><Item name='a' index='-1'/><Item name='a' index='4294967296'/>\
         <Item name='a' index=''/>\
         <Item name='a' status='fail'/>\
         <Item name=\"a\">123456</Item><Item name='a'>&lt;12345</Item>\
         <Item name=\"a\"> 12345 </Item><Item name=\"b\" index=\"4294967295\">&lt;1234</Item>\
         <Item name=\"c\">1</Item><Item name='d'/>",
    );
    let message = parse_phone_message(body.as_bytes(), &limits).unwrap();
    let kept: Vec<_> = message.items.iter().map(|item| (&*item.name, item.index, &*item.value)).collect();
    assert_eq!(kept, [("a", None, "12345"), ("b", Some(u32::MAX), "<1234")]);
    let expected = Ignored {
        nameless: 3,
        name_too_long: 1,
        bad_index: 4,
        too_long_status: 1,
        too_long_value: 2,
        too_many: 2,
    };
    assert_eq!(message.ignored, expected);
}

#[test]
fn bodies_that_are_no_xml_text_are_refused() {
    assert_eq!(phone_error(""), (ParseErrorKind::Empty, 0));
    assert_eq!(phone_error(" \r\n"), (ParseErrorKind::Empty, 3));
    assert_eq!(phone_error("\u{feff}"), (ParseErrorKind::Empty, 3));
    assert_eq!(phone_error(b"<Workpoint\xffMessage/>"), (ParseErrorKind::NotUtf8, 10));
    assert_eq!(phone_error(b"\xff\xfe<\0W\0"), (ParseErrorKind::NotUtf8, 0));
    let body = listing("<Item name=\"a\">\0</Item>");
    assert_eq!(phone_error(&body), (ParseErrorKind::Nul, body.find('\0').unwrap()));
    let body = listing("<Item name=\"a\">\u{b}</Item>");
    assert_eq!(phone_error(&body), (ParseErrorKind::IllegalCharacter, body.find('\u{b}').unwrap()));
    let body = listing("<Item name=\"a\">ab\u{ffff}</Item>");
    assert_eq!(phone_error(&body), (ParseErrorKind::IllegalCharacter, body.find('\u{ffff}').unwrap()));
    assert_eq!(phone_error("ContactMe=true"), (ParseErrorKind::NotXml, 0));
}

#[test]
fn document_types_are_refused() {
    let bomb = format!("<?xml version='1.0'?>\n<!DOCTYPE a [<!ENTITY b 'ha'>]>{}", listing(""));
    assert_eq!(phone_error(bomb), (ParseErrorKind::Dtd, 22));
    assert_eq!(phone_error("<!DOCTYPE html><html/>"), (ParseErrorKind::Dtd, 0));
    assert_eq!(phone_error(listing("<!DOCTYPE a>")).0, ParseErrorKind::Dtd);
}

#[test]
fn unknown_entities_are_refused_wherever_they_stand() {
    for items in [
        "<Item name=\"a\">&nbsp;</Item>",
        "<Item name=\"&x;\"/>",
        "<Item name=\"a\" new=\"&x;\"/>",
        "<New>&x;</New>",
        "&x;",
        "<Item name=\"a\"><b>&x;</b></Item>",
        "<Item name=\"a\">&#0;</Item>",
    ] {
        let body = listing(items);
        assert_eq!(phone_error(&body), (ParseErrorKind::UnknownEntity, body.find('&').unwrap()), "{body}");
    }
}

#[test]
fn malformed_xml_is_refused_at_its_place() {
    for (items, place) in [
        ("<Item name=\"a\">1</Iten>", "Iten"),
        ("<Item name=\"a\">1</Item ></ItemList></ItemList>", "ItemList></ItemList></M"),
        ("<Item name=a>1</Item>", "a>1"),
        ("<Item name>1</Item>", ">1"),
        ("<Item name=\"a\" name=\"b\"/>", "name=\"b\""),
        ("<Item name=\"a\"index=\"1\"/>", "index"),
        ("<Item name=\"a<b\"/>", "<b"),
        ("<Item name=\"a\" / >", " >"),
        ("< Item/>", " Item"),
        ("<1/>", "1/"),
        ("<!ELEMENT a>", "<!EL"),
        ("<?xml version='1.0'?>", "<?xml"),
        ("<Item name=\"a\">1</Item x='1'>", "x="),
    ] {
        let body = listing(items);
        let (kind, offset) = phone_error(&body);
        assert_eq!(kind, ParseErrorKind::NotXml, "{body}");
        assert!(body[offset..].starts_with(place), "{} for {items}", &body[offset..]);
    }
}

#[test]
fn a_message_cut_anywhere_is_truncated() {
    let whole = START_UP.trim_end();
    for end in (1..whole.len()).filter(|&end| whole.is_char_boundary(end)) {
        let (kind, offset) = phone_error(&whole[..end]);
        assert_eq!((kind, offset), (ParseErrorKind::Truncated, end), "{:?}", &whole[..end]);
    }
}

#[test]
fn what_follows_the_root_is_refused() {
    for tail in ["x", "<a/>", "\u{feff}", "<![CDATA[]]>"] {
        let body = listing("");
        assert_eq!(
            phone_error(format!("{body}{tail}")),
            (ParseErrorKind::TrailingContent, body.len()),
            "{tail}"
        );
    }
}

#[test]
fn depth_and_attributes_are_bounded() {
    // The root, Message and ItemList are three of the levels.
    let nested = |depth: usize| listing(&format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth)));
    assert!(phone(&nested(MAX_DEPTH - 3)).items.is_empty());
    assert_eq!(phone_error(nested(MAX_DEPTH - 2)).0, ParseErrorKind::TooDeep);
    assert_eq!(phone_error("<a>".repeat(100_000)).0, ParseErrorKind::WrongRoot);
    assert_eq!(phone_error(listing(&"<a>".repeat(100_000))).0, ParseErrorKind::TooDeep);
    let wide = |count: usize| {
        let attributes: Vec<_> = (0..count).map(|number| format!("a{number}='1'")).collect();
        listing(&format!("<Item {}/>", attributes.join(" ")))
    };
    assert_eq!(phone(&wide(MAX_ATTRIBUTES)).ignored.nameless, 1);
    assert_eq!(phone_error(wide(MAX_ATTRIBUTES + 1)).0, ParseErrorKind::TooManyAttributes);
}

#[test]
fn messages_without_a_needed_part_are_refused() {
    assert_eq!(phone_error("<DLSMessage/>"), (ParseErrorKind::WrongRoot, 1));
    assert_eq!(phone_error("<WorkpointMessage/>").0, ParseErrorKind::NoMessage);
    assert_eq!(phone_error("<WorkpointMessage><Message/></WorkpointMessage>"), (ParseErrorKind::NoNonce, 19));
    assert_eq!(phone_error(message("")), (ParseErrorKind::NoReason, 19));
    assert_eq!(phone_error(message("<ReasonForContact> </ReasonForContact>")).0, ParseErrorKind::NoReason);
    let long = message(&format!("<ReasonForContact>{}</ReasonForContact>", "x".repeat(65)));
    assert_eq!(phone_error(long).0, ParseErrorKind::BadReason);
    for nonce in ["", " A1", "A-1", "&#65;1", "ä", &"A".repeat(129)] {
        let body = listing("").replace("\"A1\"", &format!("\"{nonce}\""));
        assert_eq!(phone_error(body), (ParseErrorKind::BadNonce, 34), "{nonce}");
    }
    let longest = "9".repeat(128);
    assert_eq!(phone(&listing("").replace("A1", &longest)).nonce, longest);
}

#[test]
fn a_service_message_is_read() {
    let message = service(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DLSMessage xmlns=\"http://www.siemens.com/DLS\">\n  \
         <Message nonce=\"C1\">\n    <Action>\n WriteItems </Action>\n    <ItemList>\n      \
         <Item name=\"function-key-def\" index=\"1001\">1</Item>\n      \
         <Item name=\"sip-mobility-state\" status=\"secure\">0</Item></ItemList></Message></DLSMessage>",
    );
    assert_eq!((message.nonce, message.action, message.signed), ("C1", Action::WriteItems, false));
    let items: Vec<_> = message.items.iter().map(Item::as_item_ref).collect();
    let secure = ItemRef { status: Some("secure"), ..ItemRef::new("sip-mobility-state", "0") };
    assert_eq!(items, [ItemRef::indexed("function-key-def", 1001, "1"), secure]);
}

#[test]
fn a_signed_envelope_is_opened() {
    let signed = |object: &str| {
        format!(
            "<Signature xmlns=\"http://www.w3.org/2000/09/xmldsig#\"><SignedInfo>\
             <Reference URI=\"#DLSMessage\"><DigestValue>AAAA</DigestValue></Reference></SignedInfo>\
             <SignatureValue>AAAA</SignatureValue>{object}</Signature>"
        )
    };
    let inside = "<DLSMessage><Message nonce='A1'><Action>CleanUp</Action></Message></DLSMessage>";
    let body = signed(&format!("<Object Id=\"DLSMessage\">{inside}</Object>"));
    let message = service(&body);
    assert_eq!((message.nonce, message.action, message.signed), ("A1", Action::CleanUp, true));
    assert_eq!(service_error(&signed("<Object/>")), ParseErrorKind::NoMessage);
    assert_eq!(service_error(&signed("")), ParseErrorKind::NoMessage);
    assert_eq!(service_error(&signed(inside)), ParseErrorKind::NoMessage);
}

#[test]
fn lax_service_messages_are_read() {
    for body in [
        "\n<DlsMessage><Message nonce='A1'><Action>ReadItems</Action></Message>\
         <ItemList><Item name='a'></Item></ItemList></DlsMessage>",
        "<!-- made by hand --><DLSMessage><ItemList><Item name='a'/></ItemList>\
         <Message nonce='A1'><Action>ReadItems</Action></Message></DLSMessage>",
        "<DLSMessage><Message nonce='A1'><Action>ReadItems</Action><ReasonForContact></ReasonForContact>\
         <ItemList><Item name='a'/></ItemList></Message></DLSMessage>",
    ] {
        let message = service(body);
        assert_eq!((message.action, message.items.len()), (Action::ReadItems, 1), "{body}");
    }
}

#[test]
fn broken_service_messages_are_refused() {
    let with = |inside: &str| format!("<DLSMessage><Message nonce='A1'>{inside}</Message></DLSMessage>");
    assert_eq!(service_error("<WorkpointMessage/>"), ParseErrorKind::WrongRoot);
    assert_eq!(service_error("<DLSMessage/>"), ParseErrorKind::NoMessage);
    assert_eq!(service_error(&with("")), ParseErrorKind::NoAction);
    assert_eq!(service_error(&with("<Action/>")), ParseErrorKind::NoAction);
    assert_eq!(service_error(&with("<Action>cleanup</Action>")), ParseErrorKind::UnknownAction);
    assert_eq!(service_error(&with("<Action>CleanUp</Action>").replace("A1", "")), ParseErrorKind::BadNonce);
    assert_eq!(service_error("Warning: undefined index\n<DLSMessage/>"), ParseErrorKind::NotXml);
}

#[test]
fn errors_say_what_where_and_what_was_expected() {
    let error = parse_phone_message(b"<html></html>", &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "wrong root element at byte 1: expected WorkpointMessage");
}
