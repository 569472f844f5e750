//! The same extraction as `parse_phone_message`, by quick-xml's event reader: the second opinion of the
//! tests and the yardstick of the benchmark. It borrows from the body where quick-xml does.

use std::borrow::Cow;

use callboard_codecs::wpi::Item;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;

/// What a phone's message holds.
#[derive(Debug, Default)]
pub(crate) struct Extract<'a> {
    /// The nonce.
    pub(crate) nonce: Cow<'a, str>,
    /// The reason's text.
    pub(crate) reason: Cow<'a, str>,
    /// All items with a name.
    pub(crate) items: Vec<Item<'a>>,
}

/// What the text that comes belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Nothing,
    Reason,
    Item,
}

/// Reads a phone's message that is well-formed.
pub(crate) fn extract(body: &[u8]) -> Result<Extract<'_>, quick_xml::Error> {
    let body = std::str::from_utf8(body).map_err(quick_xml::encoding::EncodingError::Utf8)?;
    let mut reader = Reader::from_str(body);
    reader.config_mut().expand_empty_elements = true;
    let mut found = Extract::default();
    let mut depth = 0_usize;
    let mut in_list = false;
    let mut wanted = Wanted::Nothing;
    loop {
        let wanted_here =
            if (wanted == Wanted::Reason && depth == 3) || (wanted == Wanted::Item && depth == 4) {
                wanted
            } else {
                Wanted::Nothing
            };
        match reader.read_event()? {
            Event::Start(tag) => {
                let name = tag.local_name();
                match (depth, name.as_ref()) {
                    (1, "Message") => found.nonce = attribute(body, &tag, "nonce")?.unwrap_or_default(),
                    (2, "ItemList") => in_list = true,
                    (2, "ReasonForContact") => wanted = Wanted::Reason,
                    (3, "Item") if in_list => {
                        wanted = Wanted::Item;
                        found.items.push(item(body, &tag)?);
                    }
                    _ => {}
                }
                depth += 1;
            }
            Event::End(_) => {
                depth -= 1;
                match (depth, wanted) {
                    (2, Wanted::Reason) | (3, Wanted::Item) => {
                        let text = target(&mut found, wanted);
                        *text = trim(std::mem::take(text));
                        wanted = Wanted::Nothing;
                    }
                    (2, _) => in_list = false,
                    _ => {}
                }
            }
            Event::Text(text) if wanted_here != Wanted::Nothing => {
                append(target(&mut found, wanted), text.xml10_content());
            }
            Event::CData(text) if wanted_here != Wanted::Nothing => {
                append(target(&mut found, wanted), text.xml10_content());
            }
            Event::GeneralRef(reference) if wanted_here != Wanted::Nothing => {
                target(&mut found, wanted).to_mut().push(character(&reference)?);
            }
            Event::Eof => return Ok(found),
            _ => {}
        }
    }
}

fn target<'f, 'a>(found: &'f mut Extract<'a>, wanted: Wanted) -> &'f mut Cow<'a, str> {
    match (wanted, found.items.last_mut()) {
        (Wanted::Item, Some(item)) => &mut item.value,
        _ => &mut found.reason,
    }
}

fn item<'a>(body: &'a str, tag: &BytesStart<'_>) -> Result<Item<'a>, quick_xml::Error> {
    let mut item = Item { name: "".into(), index: None, status: None, value: "".into() };
    for attribute in tag.attributes() {
        let attribute = attribute?;
        let value = || attribute.normalized_value(XmlVersion::Implicit1_0).map(|value| rejoin(body, value));
        match attribute.key.as_ref() {
            "name" => item.name = trim(value()?),
            "index" => item.index = trim(value()?).parse().ok(),
            "status" => item.status = Some(trim(value()?)).filter(|status| !status.is_empty()),
            _ => {}
        }
    }
    Ok(item)
}

fn attribute<'a>(
    body: &'a str,
    tag: &BytesStart<'_>,
    name: &str,
) -> Result<Option<Cow<'a, str>>, quick_xml::Error> {
    let Some(attribute) = tag.try_get_attribute(name)? else { return Ok(None) };
    Ok(Some(rejoin(body, attribute.normalized_value(XmlVersion::Implicit1_0)?)))
}

/// quick-xml ties attributes to the event, although they lie in the body: this saves it the copy.
fn rejoin<'a>(body: &'a str, value: Cow<'_, str>) -> Cow<'a, str> {
    if let Cow::Borrowed(value) = value
        && let Some(start) = value.as_ptr().addr().checked_sub(body.as_ptr().addr())
        && let Some(same) = body.get(start..start + value.len())
    {
        return Cow::Borrowed(same);
    }
    Cow::Owned(value.into_owned())
}

fn character(reference: &BytesRef<'_>) -> Result<char, quick_xml::Error> {
    if let Some(character) = reference.resolve_char_ref()? {
        return Ok(character);
    }
    let escaped = format!("&{};", &**reference);
    Ok(quick_xml::escape::unescape(&escaped)?.chars().next().unwrap_or_default())
}

fn append<'a>(text: &mut Cow<'a, str>, more: Cow<'a, str>) {
    if text.is_empty() {
        *text = more;
    } else {
        text.to_mut().push_str(&more);
    }
}

fn trim(text: Cow<'_, str>) -> Cow<'_, str> {
    let blank = [' ', '\t', '\r', '\n'];
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_matches(blank)),
        Cow::Owned(text) => Cow::Owned(text.trim_matches(blank).to_owned()),
    }
}
