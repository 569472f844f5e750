//! Random messages and documents.

use proptest::prelude::*;
use proptest::sample::select;

/// An item that owns its parts.
#[derive(Debug, Clone)]
pub(crate) struct OwnedItem {
    pub(crate) name: String,
    pub(crate) index: Option<u32>,
    pub(crate) status: Option<String>,
    pub(crate) value: String,
}

impl OwnedItem {
    pub(crate) fn as_ref(&self) -> callboard_codecs::wpi::ItemRef<'_> {
        callboard_codecs::wpi::ItemRef {
            name: &self.name,
            index: self.index,
            status: self.status.as_deref(),
            value: &self.value,
        }
    }
}

pub(crate) fn nonce() -> impl Strategy<Value = String> {
    prop_oneof!["[0-9A-F]{32}", "[0-9a-zA-Z]{1,128}"]
}

/// Text that XML can carry, often with characters that need escaping.
fn any_text(longest: usize) -> impl Strategy<Value = String> {
    let legal = any::<char>()
        .prop_filter("XML lacks it", |&c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..));
    let special = select(&['<', '>', '&', '"', '\'', '\r', '\n', '\t', ' ', ';', '#', ']', '-', 'ö'][..]);
    let plain = select(&['a', 'Z', '0', '-', '.', '/', ':'][..]);
    let character = prop_oneof![1 => legal, 2 => special, 4 => plain];
    prop::collection::vec(character, 0..=longest).prop_map(String::from_iter)
}

/// The same without white space at its ends, which no reader keeps.
pub(crate) fn trimmed_text(longest: usize) -> impl Strategy<Value = String> {
    any_text(longest).prop_map(|text| text.trim_matches([' ', '\t', '\r', '\n']).to_owned())
}

fn item_name() -> impl Strategy<Value = String> {
    let odd = trimmed_text(12).prop_filter("a name is not empty", |name| !name.is_empty());
    prop_oneof![
        3 => "[a-z]{1,10}(-[a-z0-9]{1,8}){0,3}",
        1 => odd,
    ]
}

pub(crate) fn item() -> impl Strategy<Value = OwnedItem> {
    let status = prop_oneof![
        Just("failed".to_owned()),
        Just("unknown item".to_owned()),
        trimmed_text(12).prop_filter("an empty status is none", |status| !status.is_empty()),
    ];
    let index = prop::option::of(prop_oneof![0_u32..2_000, any::<u32>()]);
    (item_name(), index, prop::option::weighted(0.2, status), trimmed_text(40))
        .prop_map(|(name, index, status, value)| OwnedItem { name, index, status, value })
}

pub(crate) fn items() -> impl Strategy<Value = Vec<OwnedItem>> {
    prop::collection::vec(item(), 0..12)
}

/// A well-formed phone message in one of the many forms that XML allows.
pub(crate) fn document() -> impl Strategy<Value = String> {
    let prolog = select(
        &[
            "",
            "\u{feff}",
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
            "<?xml version='1.0'?>\r\n<!-- <Message> -->",
            "<?other?>",
        ][..],
    );
    let prefix = select(&["", "w:"][..]);
    let children = prop::collection::vec(list_child(), 0..8);
    (prolog, prefix, nonce(), blank(), children, select(&["", "\n", "<!-- end -->"][..])).prop_map(
        |(prolog, w, nonce, blank, children, end)| {
            let list = children.concat().replace("{w}", w);
            format!(
                "{prolog}<{w}WorkpointMessage{blank} xmlns:w='urn:x'>{blank}<{w}Message{blank} nonce{blank}={blank}\
                 '{nonce}'><New/>{blank}<{w}ReasonForContact>{blank}status<!---->{blank}</{w}ReasonForContact{blank}>\
                 <{w}ItemList>{list}</{w}ItemList></{w}Message>{blank}</{w}WorkpointMessage>{end}"
            )
        },
    )
}

fn blank() -> impl Strategy<Value = &'static str> {
    select(&["", " ", "\n  ", "\r\n", "\t"][..])
}

/// What may stand in an item list.
fn list_child() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => document_item(),
        1 => select(&["<!-- <Item name='no'/> -->", "<New><Item name='no'/></New>", "words &amp; more", "<?pi?>",
            "<![CDATA[<Item name='no'/>]]>", "\n   "][..]).prop_map(str::to_owned),
    ]
}

fn document_item() -> impl Strategy<Value = String> {
    let plain = ("[a-z-]{1,20}", prop::option::of("[0-9]{1,4}"), "[ -%'-;=-z]{0,30}").prop_map(
        |(name, index, value)| {
            let index = index.map(|index| format!(" index=\"{index}\"")).unwrap_or_default();
            format!("<Item name=\"{name}\"{index}>{value}</Item>")
        },
    );
    let content = prop::collection::vec(content(), 0..5).prop_map(|pieces| pieces.concat());
    prop_oneof![
        plain,
        attributes().prop_map(|attributes| format!("<{{w}}Item{attributes}/>")),
        (attributes(), content)
            .prop_map(|(attributes, content)| format!("<{{w}}Item{attributes}>{content}</{{w}}Item>")),
    ]
}

/// The attributes of an item in any order, with the blanks around them.
fn attributes() -> impl Strategy<Value = String> {
    let status = any_text(10).prop_map(|text| encode(&text));
    let name = "[a-z]{1,10}(-[a-z0-9]{1,8}){0,3}";
    let list =
        (name, prop::option::of("[0-9]{1,9}"), prop::option::of(status)).prop_map(|(name, index, status)| {
            let mut list = vec![format!("name=\"{name}\""), "new='>'".to_owned()];
            list.extend(index.map(|index| format!("index = '{index}'")));
            list.extend(status.map(|status| format!("status=\"{status}\"")));
            list
        });
    (list.prop_shuffle(), blank()).prop_map(|(list, blank)| format!(" {}{blank}", list.join(" ")))
}

/// A piece of an item's content.
fn content() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => any_text(12).prop_map(|text| encode(&text)),
        1 => any_text(12).prop_map(|text| format!("<![CDATA[{}]]>", text.replace("]]>", ""))),
        1 => select(&["<!-- & < -->", "<?pi & ?>", "<New a='1'>no &lt;<New/></New>", "&#x1F4DE;", "&#0010;", "&apos;"][..])
            .prop_map(str::to_owned),
    ]
}

/// Encodes what must be encoded; white space stays raw. Braces are the mark of [`document`]'s prefix.
fn encode(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&#34;").replace('{', "(")
}
