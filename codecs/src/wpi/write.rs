//! From a message to bytes.

use super::error::EmitError;
use super::message::ItemRef;
use super::version::Dialect;
use super::vocabulary::{Action, Fragment, Reason};
use super::{MAX_MESSAGE_BYTES, NAMESPACE, is_nonce, text};

/// Appends a message of the service to `out`, in the strict form (reference 4.1).
///
/// On an error `out` is as before. A message is at most [`MAX_MESSAGE_BYTES`] long: cut a long write with
/// [`split_items`](super::split_items).
pub fn write_service_message(
    out: &mut Vec<u8>,
    nonce: &str,
    action: Action,
    items: &[ItemRef<'_>],
    dialect: Dialect,
) -> Result<(), EmitError> {
    all_or_nothing(out, |out| {
        check_nonce(nonce)?;
        out.reserve(512 + 64 * items.len());
        service_head(out, nonce, action);
        if !items.is_empty() {
            push(out, "<ItemList>");
            for (place, item) in items.iter().enumerate() {
                write_item(out, item, dialect).map_err(|fault| fault.of_item(place))?;
            }
            push(out, "</ItemList>");
        }
        push(out, "</Message></DLSMessage>");
        Ok(())
    })
}

/// What a [`write_service_message`] of this action adds to its items' own bytes when the nonce is longest.
pub(super) fn service_overhead(action: Action) -> usize {
    let mut out = Vec::new();
    service_head(&mut out, &"0".repeat(super::MAX_NONCE_BYTES), action);
    push(&mut out, "<ItemList></ItemList></Message></DLSMessage>");
    out.len()
}

fn service_head(out: &mut Vec<u8>, nonce: &str, action: Action) {
    root(out, "DLSMessage");
    for part in ["<Message nonce=\"", nonce, "\"><Action>", action.as_str(), "</Action>"] {
        push(out, part);
    }
}

/// The declaration and the root's start tag; the schema location is one token in WPI.
fn root(out: &mut Vec<u8>, name: &str) {
    for part in [
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<",
        name,
        " xmlns=\"",
        NAMESPACE,
        "\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:schemaLocation=\"",
        NAMESPACE,
        "\">",
    ] {
        push(out, part);
    }
}

/// Line breaks between the elements of a phone's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Layout {
    /// None.
    #[default]
    Compact,
    /// As real phones write: one element per line, two blanks per level.
    Indented,
}

/// A message of a phone, to be written.
#[derive(Debug, Clone, Copy)]
pub struct PhoneMessageRef<'a> {
    /// 1 to 128 letters and digits.
    pub nonce: &'a str,
    /// The attribute `maxItems` as it shall stand there; real phones send -1.
    pub max_items: Option<i64>,
    /// The attribute `fragment`.
    pub fragment: Fragment,
    /// Why the phone calls.
    pub reason: &'a Reason<'a>,
    /// The items. Without any there is no `ItemList`.
    pub items: &'a [ItemRef<'a>],
    /// Line breaks or none.
    pub layout: Layout,
}

/// Appends a message of a phone to `out`, for simulated phones and tests.
///
/// On an error `out` is as before. The limit is [`MAX_MESSAGE_BYTES`].
pub fn write_phone_message(out: &mut Vec<u8>, message: &PhoneMessageRef<'_>) -> Result<(), EmitError> {
    let indent = |blanks: &'static str| if message.layout == Layout::Indented { blanks } else { "" };
    all_or_nothing(out, |out| {
        check_nonce(message.nonce)?;
        out.reserve(512 + 80 * message.items.len());
        root(out, "WorkpointMessage");
        push(out, indent("\n  "));
        attribute(out, "<Message nonce=\"", message.nonce);
        if let Some(max_items) = message.max_items {
            attribute(out, " maxItems=\"", &max_items.to_string());
        }
        match message.fragment {
            Fragment::Absent => {}
            Fragment::Next => push(out, " fragment=\"next\""),
            Fragment::Final => push(out, " fragment=\"final\""),
        }
        push(out, ">");
        push(out, indent("\n    "));
        write_reason(out, message.reason)?;
        if !message.items.is_empty() {
            push(out, indent("\n    "));
            push(out, "<ItemList>");
            for (place, item) in message.items.iter().enumerate() {
                push(out, indent("\n      "));
                write_item(out, item, Dialect::Current).map_err(|fault| fault.of_item(place))?;
            }
            push(out, indent("\n    "));
            push(out, "</ItemList>");
        }
        push(out, indent("\n  "));
        push(out, "</Message>");
        push(out, indent("\n"));
        push(out, "</WorkpointMessage>");
        push(out, indent("\n"));
        Ok(())
    })
}

fn write_reason(out: &mut Vec<u8>, reason: &Reason<'_>) -> Result<(), EmitError> {
    push(out, "<ReasonForContact");
    if let Reason::ReplyTo { action, status } = reason {
        if let Some(action) = action {
            attribute(out, " action=\"", action.as_str());
        }
        if let Some(status) = status {
            attribute(out, " status=\"", status.as_str());
        }
    }
    push(out, ">");
    let word = reason.as_str();
    if text::trim(word).is_empty() {
        return Err(EmitError::BadReason);
    }
    escape(out, word, Place::Content, Dialect::Current).map_err(|_| EmitError::BadReason)?;
    push(out, "</ReasonForContact>");
    Ok(())
}

/// What is wrong with one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ItemFault {
    Name,
    Character,
}

impl ItemFault {
    pub(super) fn of_item(self, item: usize) -> EmitError {
        match self {
            Self::Name => EmitError::BadName { item },
            Self::Character => EmitError::IllegalCharacter { item },
        }
    }
}

/// One `Item` element. An empty value with a status is written as phones write it, as `<Item .../>`.
pub(super) fn write_item(out: &mut Vec<u8>, item: &ItemRef<'_>, dialect: Dialect) -> Result<(), ItemFault> {
    if item.name.is_empty() || text::trim(item.name).len() != item.name.len() {
        return Err(ItemFault::Name);
    }
    push(out, "<Item name=\"");
    let name_start = out.len();
    escape(out, item.name, Place::Attribute, dialect)?;
    if out.len() == name_start {
        return Err(ItemFault::Name);
    }
    push(out, "\"");
    if let Some(index) = item.index {
        attribute(out, " index=\"", Decimal::new(index).as_str());
    }
    if let Some(status) = item.status {
        push(out, " status=\"");
        escape(out, status, Place::Attribute, dialect)?;
        push(out, "\"");
        if item.value.is_empty() {
            push(out, "/>");
            return Ok(());
        }
    }
    push(out, ">");
    escape(out, item.value, Place::Content, dialect)?;
    push(out, "</Item>");
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Content,
    Attribute,
}

/// Appends text so that a reader gets the same text back (in V1, the text that this dialect can carry).
fn escape(out: &mut Vec<u8>, text: &str, place: Place, dialect: Dialect) -> Result<(), ItemFault> {
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if !NEEDS_CARE[usize::from(byte)] {
            continue;
        }
        let Some(replacement) = replacement(byte, &bytes[at..], place, dialect)? else { continue };
        out.extend_from_slice(&bytes[copied..at]);
        push(out, replacement);
        copied = at + 1;
    }
    out.extend_from_slice(&bytes[copied..]);
    Ok(())
}

/// What to write for a byte of [`NEEDS_CARE`]; `None` is the byte itself.
fn replacement(
    byte: u8,
    from_here: &[u8],
    place: Place,
    dialect: Dialect,
) -> Result<Option<&'static str>, ItemFault> {
    let v1 = dialect == Dialect::V1;
    let attribute = place == Place::Attribute;
    Ok(match byte {
        b'<' | b'>' | b'\r' if v1 => Some(""),
        b'&' if v1 => Some("+"),
        b'\t' | b'\n' if v1 && attribute => Some(" "),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'&' => Some("&amp;"),
        b'\r' => Some("&#13;"),
        b'"' if attribute => Some("&quot;"),
        b'\t' if attribute => Some("&#9;"),
        b'\n' if attribute => Some("&#10;"),
        b'"' | b'\t' | b'\n' => None,
        // U+FFFE and U+FFFF; other characters with this lead byte are fine.
        0xEF if !matches!(from_here, [_, 0xBF, 0xBE | 0xBF, ..]) => None,
        _ => return Err(ItemFault::Character),
    })
}

/// Bytes that may not be copied unseen.
const NEEDS_CARE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'<' as usize] = true;
    table[b'>' as usize] = true;
    table[b'&' as usize] = true;
    table[b'"' as usize] = true;
    table[0xEF] = true;
    table
};

/// A number as text without an allocation.
struct Decimal {
    digits: [u8; 10],
    start: usize,
}

impl Decimal {
    fn new(mut number: u32) -> Self {
        let mut decimal = Self { digits: [b'0'; 10], start: 10 };
        loop {
            decimal.start -= 1;
            decimal.digits[decimal.start] = b"0123456789"[(number % 10) as usize];
            number /= 10;
            if number == 0 {
                return decimal;
            }
        }
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.digits[self.start..]).unwrap_or("0")
    }
}

fn check_nonce(nonce: &str) -> Result<(), EmitError> {
    if is_nonce(nonce) { Ok(()) } else { Err(EmitError::BadNonce) }
}

/// Runs `write` and undoes what it has written if it fails or writes too much.
fn all_or_nothing(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), EmitError>,
) -> Result<(), EmitError> {
    let start = out.len();
    let outcome = write(out).and_then(|()| {
        if out.len() - start > MAX_MESSAGE_BYTES {
            return Err(EmitError::TooLarge { limit: MAX_MESSAGE_BYTES });
        }
        Ok(())
    });
    if outcome.is_err() {
        out.truncate(start);
    }
    outcome
}

/// An attribute whose value needs no escaping. `opening` runs up to the quote.
fn attribute(out: &mut Vec<u8>, opening: &str, value: &str) {
    push(out, opening);
    push(out, value);
    push(out, "\"");
}

fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests;
