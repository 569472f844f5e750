//! From a body to a message.

use std::borrow::Cow;

use memchr::memmem;

use super::error::{ParseError, ParseErrorKind};
use super::is_nonce;
use super::message::{Ignored, Item, Limits, PhoneMessage, ServiceMessage};
use super::plain;
use super::text;
use super::vocabulary::{Action, Fragment, Reason, ReplyStatus};
use super::xml::{Fault, Node, Scanner, Tag};

/// Reads a phone's message.
///
/// Items over a limit are left out and counted in [`PhoneMessage::ignored`]. Anything that is not a phone's
/// message, or not well-formed, is an error.
pub fn parse_phone_message<'a>(body: &'a [u8], limits: &Limits) -> Result<PhoneMessage<'a>, ParseError> {
    let body = as_xml_text(body)?;
    Reader::<true>::new(body, limits).phone_document().map_err(|fault| fault.within(body))
}

/// Reads a message of the service.
///
/// Taken are the strict form, the signed envelope (the signature is not checked) and the lax forms that
/// phones take: a root in another case, no namespace, an `ItemList` beside `Message`, extra elements.
pub fn parse_service_message<'a>(body: &'a [u8], limits: &Limits) -> Result<ServiceMessage<'a>, ParseError> {
    let body = as_xml_text(body)?;
    Reader::<true>::new(body, limits).service_document().map_err(|fault| fault.within(body))
}

/// The body as text in which every raw character is one that XML has.
fn as_xml_text(body: &[u8]) -> Result<&str, ParseError> {
    let illegal = |kind, offset, expected| ParseError { kind, offset, expected };
    let text = std::str::from_utf8(body)
        .map_err(|error| illegal(ParseErrorKind::NotUtf8, error.valid_up_to(), "UTF-8"))?;
    // One pass without early exit, which the compiler turns into vector instructions.
    let odd = body.iter().fold(false, |odd, &byte| odd | (byte < 0x20 && !text::is_blank(byte)));
    if odd {
        let is_odd = |&byte: &u8| byte < 0x20 && !text::is_blank(byte);
        let offset = body.iter().position(is_odd).unwrap_or_default();
        let kind = if body[offset] == 0 { ParseErrorKind::Nul } else { ParseErrorKind::IllegalCharacter };
        return Err(illegal(kind, offset, "a character that XML has"));
    }
    for noncharacter in ["\u{fffe}", "\u{ffff}"] {
        if let Some(offset) = memmem::find(body, noncharacter.as_bytes()) {
            return Err(illegal(ParseErrorKind::IllegalCharacter, offset, "a character that XML has"));
        }
    }
    if text::trim(text.trim_start_matches('\u{feff}')).is_empty() {
        return Err(illegal(ParseErrorKind::Empty, text.len(), "an XML document"));
    }
    Ok(text)
}

/// Reads one document. `SHORTCUT` is whether plain items take the short way; the outcome is the same.
struct Reader<'a, 'l, const SHORTCUT: bool> {
    xml: Scanner<'a>,
    limits: &'l Limits,
    items: Vec<Item<'a>>,
    ignored: Ignored,
}

/// What `Message` of a phone holds beside the items.
struct PhoneHead<'a> {
    nonce: &'a str,
    max_items: Option<u32>,
    fragment: Fragment,
    reason: Reason<'a>,
}

impl<'a, 'l, const SHORTCUT: bool> Reader<'a, 'l, SHORTCUT> {
    fn new(body: &'a str, limits: &'l Limits) -> Self {
        Self { xml: Scanner::new(body), limits, items: Vec::new(), ignored: Ignored::default() }
    }

    fn phone_document(mut self) -> Result<PhoneMessage<'a>, Fault<'a>> {
        let root = self.xml.root()?;
        if root.local_name() != "WorkpointMessage" {
            return Err(fault(root.place(), ParseErrorKind::WrongRoot, "WorkpointMessage"));
        }
        let mut head = None;
        while let Some(tag) = self.xml.child()? {
            if tag.local_name() == "Message" && head.is_none() {
                head = Some(self.phone_message(&tag)?);
            } else {
                self.xml.skip()?;
            }
        }
        let end = self.xml.rest();
        self.xml.finish()?;
        let head = head.ok_or_else(|| fault(end, ParseErrorKind::NoMessage, "Message inside the root"))?;
        let PhoneHead { nonce, max_items, fragment, reason } = head;
        Ok(PhoneMessage { nonce, max_items, fragment, reason, items: self.items, ignored: self.ignored })
    }

    fn phone_message(&mut self, message: &Tag<'a>) -> Result<PhoneHead<'a>, Fault<'a>> {
        let nonce = nonce(message)?;
        let max_items = word(message, "maxItems")?;
        let fragment = word(message, "fragment")?;
        let mut reason = None;
        while let Some(tag) = self.xml.child()? {
            match tag.local_name() {
                "ReasonForContact" if reason.is_none() => reason = Some(self.reason(&tag)?),
                "ItemList" => self.item_list()?,
                _ => self.xml.skip()?,
            }
        }
        let missing = || fault(message.place(), ParseErrorKind::NoReason, "ReasonForContact inside Message");
        Ok(PhoneHead {
            nonce,
            max_items: max_items.as_deref().and_then(decimal).filter(|&count| count > 0),
            fragment: fragment.as_deref().map_or(Fragment::Absent, Fragment::from_word),
            reason: reason.ok_or_else(missing)?,
        })
    }

    fn reason(&mut self, tag: &Tag<'a>) -> Result<Reason<'a>, Fault<'a>> {
        let action = word(tag, "action")?;
        let status = word(tag, "status")?;
        let text = self.text()?;
        Ok(match &*text {
            "" => return Err(fault(tag.place(), ParseErrorKind::NoReason, "a reason")),
            "start-up" => Reason::StartUp,
            "solicited" => Reason::Solicited,
            "local-changes" => Reason::LocalChanges,
            "inventory-changes" => Reason::InventoryChanges,
            "status" => Reason::Status,
            "reply-to" => Reason::ReplyTo {
                action: action.and_then(|word| word.parse().ok()),
                status: status.filter(|word| !word.is_empty()).map(|word| ReplyStatus::from_word(&word)),
            },
            "clean-up" => Reason::CleanUp,
            unknown if unknown.len() > self.limits.max_name_bytes => {
                return Err(fault(tag.place(), ParseErrorKind::BadReason, "a short reason"));
            }
            _ => Reason::Unknown(text),
        })
    }

    fn service_document(mut self) -> Result<ServiceMessage<'a>, Fault<'a>> {
        let root = self.xml.root()?;
        let signed = root.local_name() == "Signature";
        let head = if signed {
            self.envelope()?
        } else if is_service_root(&root) {
            self.service_root()?
        } else {
            return Err(fault(root.place(), ParseErrorKind::WrongRoot, "DLSMessage or Signature"));
        };
        let end = self.xml.rest();
        self.xml.finish()?;
        let (nonce, action) =
            head.ok_or_else(|| fault(end, ParseErrorKind::NoMessage, "DLSMessage with Message inside"))?;
        Ok(ServiceMessage { nonce, action, items: self.items, signed, ignored: self.ignored })
    }

    /// The inside of `Signature`: the first message in an `Object` counts.
    fn envelope(&mut self) -> Result<Option<(&'a str, Action)>, Fault<'a>> {
        let mut head = None;
        while let Some(tag) = self.xml.child()? {
            if tag.local_name() != "Object" {
                self.xml.skip()?;
                continue;
            }
            while let Some(tag) = self.xml.child()? {
                if head.is_none() && is_service_root(&tag) {
                    head = self.service_root()?;
                } else {
                    self.xml.skip()?;
                }
            }
        }
        Ok(head)
    }

    fn service_root(&mut self) -> Result<Option<(&'a str, Action)>, Fault<'a>> {
        let mut head = None;
        while let Some(tag) = self.xml.child()? {
            match tag.local_name() {
                "Message" if head.is_none() => head = Some(self.service_message(&tag)?),
                "ItemList" => self.item_list()?,
                _ => self.xml.skip()?,
            }
        }
        Ok(head)
    }

    fn service_message(&mut self, message: &Tag<'a>) -> Result<(&'a str, Action), Fault<'a>> {
        let nonce = nonce(message)?;
        let mut action = None;
        while let Some(tag) = self.xml.child()? {
            match tag.local_name() {
                "Action" if action.is_none() => action = Some(self.action(&tag)?),
                "ItemList" => self.item_list()?,
                _ => self.xml.skip()?,
            }
        }
        let missing = || fault(message.place(), ParseErrorKind::NoAction, "Action inside Message");
        Ok((nonce, action.ok_or_else(missing)?))
    }

    fn action(&mut self, tag: &Tag<'a>) -> Result<Action, Fault<'a>> {
        let word = self.text()?;
        if word.is_empty() {
            return Err(fault(tag.place(), ParseErrorKind::NoAction, "an action"));
        }
        word.parse()
            .map_err(|_| fault(tag.place(), ParseErrorKind::UnknownAction, "one of the eight actions"))
    }

    fn item_list(&mut self) -> Result<(), Fault<'a>> {
        // Smaller items than this are rare; one allocation then serves the whole list.
        const SMALL_ITEM_BYTES: usize = 32;
        let room = self.xml.rest().len() / SMALL_ITEM_BYTES + 1;
        self.items.reserve(room.min(self.limits.max_items.saturating_sub(self.items.len())));
        loop {
            while SHORTCUT && let Some(item) = self.xml.shortcut(plain::item) {
                let value = Cow::Borrowed(item.value);
                self.admit(Some(Cow::Borrowed(item.name)), item.index, None, value);
            }
            match self.xml.child()? {
                None => return Ok(()),
                Some(tag) if tag.local_name() == "Item" => self.item(&tag)?,
                Some(_) => self.xml.skip()?,
            }
        }
    }

    fn item(&mut self, tag: &Tag<'a>) -> Result<(), Fault<'a>> {
        let name = word(tag, "name")?;
        let index = word(tag, "index")?;
        let status = word(tag, "status")?;
        let value = self.text()?;
        self.admit(name, index.as_deref(), status, value);
        Ok(())
    }

    /// Keeps an item, or counts why not.
    fn admit(
        &mut self,
        name: Option<Cow<'a, str>>,
        index: Option<&str>,
        status: Option<Cow<'a, str>>,
        value: Cow<'a, str>,
    ) {
        let limits = self.limits;
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return count(&mut self.ignored.nameless);
        };
        if name.len() > limits.max_name_bytes {
            return count(&mut self.ignored.name_too_long);
        }
        let number = index.map(decimal);
        if number == Some(None) {
            return count(&mut self.ignored.bad_index);
        }
        let status = status.filter(|status| !status.is_empty());
        if status.as_ref().is_some_and(|status| status.len() > limits.max_status_bytes) {
            return count(&mut self.ignored.too_long_status);
        }
        if value.len() > limits.max_value_bytes {
            return count(&mut self.ignored.too_long_value);
        }
        if self.items.len() >= limits.max_items {
            return count(&mut self.ignored.too_many);
        }
        self.items.push(Item { name, index: number.flatten(), status, value });
    }

    /// The text of the element that has just begun, up to its end, trimmed. Elements in it are skipped.
    fn text(&mut self) -> Result<Cow<'a, str>, Fault<'a>> {
        let mut text = Cow::Borrowed("");
        loop {
            match self.xml.next()? {
                Node::End => return Ok(text::trim_cow(text)),
                Node::Start(_) => self.xml.skip()?,
                // Blanks so far would be trimmed. Only a slice is asked: a string that grows piece by piece
                // would be looked through again and again.
                Node::Text(raw)
                    if text::is_literal(raw)
                        && matches!(text, Cow::Borrowed(so_far) if text::trim(so_far).is_empty()) =>
                {
                    text = Cow::Borrowed(raw);
                }
                Node::Text(raw) => text::push_content(owned(&mut text, raw.len()), raw)?,
                Node::Verbatim(raw) => text::push_verbatim(owned(&mut text, raw.len()), raw),
            }
        }
    }
}

/// The text as a string with room for more.
fn owned<'t>(text: &'t mut Cow<'_, str>, more: usize) -> &'t mut String {
    if let Cow::Borrowed(so_far) = text {
        let mut string = String::with_capacity(so_far.len() + more);
        string.push_str(so_far);
        *text = Cow::Owned(string);
    }
    text.to_mut()
}

fn is_service_root(tag: &Tag<'_>) -> bool {
    tag.local_name().eq_ignore_ascii_case("DLSMessage")
}

/// The nonce as it stands: it is given back byte for byte, so nothing is trimmed or replaced.
fn nonce<'a>(message: &Tag<'a>) -> Result<&'a str, Fault<'a>> {
    let raw = message
        .attribute("nonce")
        .ok_or_else(|| fault(message.place(), ParseErrorKind::NoNonce, "the attribute nonce"))?;
    if is_nonce(raw) {
        return Ok(raw);
    }
    Err(fault(raw, ParseErrorKind::BadNonce, "1 to 128 letters and digits"))
}

/// An attribute's value without references and without white space around it.
fn word<'a>(tag: &Tag<'a>, name: &str) -> Result<Option<Cow<'a, str>>, Fault<'a>> {
    tag.attribute(name).map(text::attribute).transpose()
}

/// Decimal digits only: no sign, no blanks.
fn decimal(digits: &str) -> Option<u32> {
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

fn count(counter: &mut u32) {
    *counter = counter.saturating_add(1);
}

fn fault<'a>(at: &'a str, kind: ParseErrorKind, expected: &'static str) -> Fault<'a> {
    Fault { at, kind, expected }
}

#[cfg(test)]
mod shortcut_tests;
#[cfg(test)]
mod tests;
