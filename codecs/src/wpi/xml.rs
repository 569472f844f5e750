//! A pull scanner for the part of XML 1.0 that WPI needs: elements, attributes, text, CDATA. Comments and
//! processing instructions are passed over, document types refused.
//!
//! [`Scanner`] checks that elements nest. It owns no memory but a fixed stack of names.

use memchr::{memchr, memchr2, memmem};
use nom::bytes::complete::tag;
use nom::character::complete::{char as literal_char, one_of};
use nom::combinator::opt;
use nom::error::{ContextError, ErrorKind, context};
use nom::sequence::{delimited, pair, separated_pair};
use nom::{IResult, Parser};

use super::error::{ParseError, ParseErrorKind};
use super::text;

/// Deepest nesting of elements that is read.
pub const MAX_DEPTH: usize = 32;

/// Most attributes of one element.
pub const MAX_ATTRIBUTES: usize = 16;

pub(super) type Parsed<'a, T> = IResult<&'a str, T, Fault<'a>>;

/// A broken rule, with the place as a slice of the body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault<'a> {
    pub(super) at: &'a str,
    pub(super) kind: ParseErrorKind,
    pub(super) expected: &'static str,
}

impl<'a> Fault<'a> {
    /// Malformed XML, or truncated if nothing is left.
    pub(super) fn syntax(at: &'a str, expected: &'static str) -> Self {
        let kind = if at.is_empty() { ParseErrorKind::Truncated } else { ParseErrorKind::NotXml };
        Self { at, kind, expected }
    }

    /// The same with the place as an offset. `at` is a part of `body`.
    pub(super) fn within(self, body: &str) -> ParseError {
        let offset = self.at.as_ptr().addr().saturating_sub(body.as_ptr().addr()).min(body.len());
        ParseError { kind: self.kind, offset, expected: self.expected }
    }
}

impl<'a> nom::error::ParseError<&'a str> for Fault<'a> {
    fn from_error_kind(input: &'a str, _: ErrorKind) -> Self {
        Self::syntax(input, "")
    }

    fn append(_: &'a str, _: ErrorKind, other: Self) -> Self {
        other
    }
}

impl<'a> ContextError<&'a str> for Fault<'a> {
    fn add_context(_: &'a str, expected: &'static str, other: Self) -> Self {
        if other.expected.is_empty() { Self { expected, ..other } } else { other }
    }
}

/// The fault inside nom's wrapper. Whole bodies are parsed, so `Incomplete` does not occur.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn flatten(error: nom::Err<Fault<'_>>) -> Fault<'_> {
    match error {
        nom::Err::Error(fault) | nom::Err::Failure(fault) => fault,
        nom::Err::Incomplete(_) => Fault::syntax("", "the rest of the message"),
    }
}

/// A start tag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tag<'a> {
    name: &'a str,
    attributes: Kept<'a>,
    closed: bool,
}

/// The attributes that WPI gives a meaning; all others are checked and forgotten.
const MEANT: [&str; 7] = ["name", "index", "status", "nonce", "maxItems", "fragment", "action"];

/// The raw values of [`MEANT`].
type Kept<'a> = [Option<&'a str>; MEANT.len()];

impl<'a> Tag<'a> {
    /// The name without its prefix.
    pub(super) fn local_name(&self) -> &'a str {
        self.name.rsplit_once(':').map_or(self.name, |(_, local)| local)
    }

    /// The name as it stands in the body: the place of the tag.
    pub(super) fn place(&self) -> &'a str {
        self.name
    }

    /// The raw value of one of [`MEANT`]. An attribute with a prefix is another one.
    pub(super) fn attribute(&self, name: &str) -> Option<&'a str> {
        MEANT.iter().zip(self.attributes).find_map(|(own, value)| value.filter(|_| *own == name))
    }
}

/// What the scanner meets inside an element.
#[derive(Debug, Clone, Copy)]
pub(super) enum Node<'a> {
    /// A child begins; its end will come too, even after `<child/>`.
    Start(Tag<'a>),
    /// The element that began last and is still open ends.
    End,
    /// Raw character data, never empty.
    Text(&'a str),
    /// The inside of a CDATA section.
    Verbatim(&'a str),
}

/// Walks through a document.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    rest: &'a str,
    open: [&'a str; MAX_DEPTH],
    depth: usize,
    /// The innermost element was `<empty/>`: its end comes next.
    closing: bool,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(body: &'a str) -> Self {
        Self { rest: body, open: [""; MAX_DEPTH], depth: 0, closing: false }
    }

    /// What has not been read yet.
    pub(super) fn rest(&self) -> &'a str {
        self.rest
    }

    /// Reads up to and including the root's start tag.
    pub(super) fn root(&mut self) -> Result<Tag<'a>, Fault<'a>> {
        let (rest, ()) = prolog(self.rest).map_err(flatten)?;
        let (rest, tag) = start_tag(rest).map_err(flatten)?;
        self.rest = rest;
        self.enter(&tag)?;
        Ok(tag)
    }

    /// After the root's end: nothing but comments, processing instructions and white space may follow.
    pub(super) fn finish(&mut self) -> Result<(), Fault<'a>> {
        let (rest, ()) = miscellany(self.rest).map_err(flatten)?;
        if rest.is_empty() {
            return Ok(());
        }
        Err(Fault { at: rest, kind: ParseErrorKind::TrailingContent, expected: "the end of the body" })
    }

    /// The next piece of the innermost open element.
    pub(super) fn next(&mut self) -> Result<Node<'a>, Fault<'a>> {
        if self.closing {
            self.closing = false;
            self.depth -= 1;
            return Ok(Node::End);
        }
        loop {
            let (rest, piece) = piece(self.rest).map_err(flatten)?;
            match piece {
                Piece::PassedOver => self.rest = rest,
                Piece::Text(raw) => {
                    self.rest = rest;
                    return Ok(Node::Text(raw));
                }
                Piece::Verbatim(raw) => {
                    self.rest = rest;
                    return Ok(Node::Verbatim(raw));
                }
                Piece::Start(tag) => {
                    self.rest = rest;
                    self.enter(&tag)?;
                    return Ok(Node::Start(tag));
                }
                Piece::End(name) => {
                    self.leave(name)?;
                    self.rest = rest;
                    return Ok(Node::End);
                }
            }
        }
    }

    /// The next child of the innermost open element; `None` at that element's end. Text between is dropped.
    pub(super) fn child(&mut self) -> Result<Option<Tag<'a>>, Fault<'a>> {
        loop {
            match self.next()? {
                Node::Start(tag) => return Ok(Some(tag)),
                Node::End => return Ok(None),
                Node::Text(raw) => text::check(raw)?,
                Node::Verbatim(_) => {}
            }
        }
    }

    /// Passes over the rest of the element that has just begun, with all that is in it.
    pub(super) fn skip(&mut self) -> Result<(), Fault<'a>> {
        let outside = self.depth - 1;
        while self.depth > outside {
            if let Node::Text(raw) = self.next()? {
                text::check(raw)?;
            }
        }
        Ok(())
    }

    /// Takes what `parser` finds next, if anything, as content of the innermost open element. It must take
    /// whole elements only.
    pub(super) fn shortcut<T>(&mut self, parser: impl FnOnce(&'a str) -> Parsed<'a, T>) -> Option<T> {
        if self.closing {
            return None;
        }
        let (rest, found) = parser(self.rest).ok()?;
        self.rest = rest;
        Some(found)
    }

    fn enter(&mut self, tag: &Tag<'a>) -> Result<(), Fault<'a>> {
        let Some(slot) = self.open.get_mut(self.depth) else {
            return Err(Fault {
                at: tag.name,
                kind: ParseErrorKind::TooDeep,
                expected: "at most 32 elements inside each other",
            });
        };
        *slot = tag.name;
        self.depth += 1;
        self.closing = tag.closed;
        Ok(())
    }

    fn leave(&mut self, name: &'a str) -> Result<(), Fault<'a>> {
        if self.open[self.depth - 1] != name {
            return Err(Fault::syntax(name, "the end tag of the element that is open"));
        }
        self.depth -= 1;
        Ok(())
    }
}

#[derive(Debug)]
enum Piece<'a> {
    Start(Tag<'a>),
    End(&'a str),
    Text(&'a str),
    Verbatim(&'a str),
    PassedOver,
}

fn piece(input: &str) -> Parsed<'_, Piece<'_>> {
    match memchr(b'<', input.as_bytes()) {
        None => Err(fail(Fault::syntax(&input[input.len()..], "the end tag of an open element"))),
        Some(0) => markup(input),
        Some(at) => Ok((&input[at..], Piece::Text(&input[..at]))),
    }
}

/// What begins with `<` inside the root.
fn markup(input: &str) -> Parsed<'_, Piece<'_>> {
    match input.as_bytes().get(1) {
        Some(b'/') => end_tag(input).map(|(rest, name)| (rest, Piece::End(name))),
        Some(b'?') => instruction(input).map(|(rest, ())| (rest, Piece::PassedOver)),
        Some(b'!') if is_start_of(input, "<![CDATA[") => {
            let (rest, inside) = enclosed(input, "<![CDATA[", "]]>", "the end of a CDATA section")?;
            Ok((rest, Piece::Verbatim(inside)))
        }
        Some(b'!') => comment(input).map(|(rest, ())| (rest, Piece::PassedOver)),
        _ => start_tag(input).map(|(rest, tag)| (rest, Piece::Start(tag))),
    }
}

/// Byte order mark, declaration and whatever may stand before the root. White space before the declaration
/// is no XML, but sent.
fn prolog(input: &str) -> Parsed<'_, ()> {
    let input = input.strip_prefix('\u{feff}').unwrap_or(input);
    let (input, _) = blanks(input)?;
    let input = if is_declaration(input) {
        enclosed(input, "<?xml", "?>", "the end of the XML declaration")?.0
    } else {
        input
    };
    let (input, ()) = miscellany(input)?;
    if input.starts_with("<!") {
        comment(input)?;
    }
    Ok((input, ()))
}

/// Comments, processing instructions and white space outside of the root.
fn miscellany(mut input: &str) -> Parsed<'_, ()> {
    loop {
        let (rest, _) = blanks(input)?;
        let after = if rest.starts_with("<?") {
            instruction(rest)?.0
        } else if rest.starts_with("<!--") {
            comment(rest)?.0
        } else {
            return Ok((rest, ()));
        };
        input = after;
    }
}

fn is_declaration(input: &str) -> bool {
    input.strip_prefix("<?xml").is_some_and(|rest| rest.starts_with([' ', '\t', '\r', '\n', '?']))
}

fn instruction(input: &str) -> Parsed<'_, ()> {
    if is_declaration(input) {
        return Err(fail(Fault::syntax(input, "the XML declaration at the start only")));
    }
    let (rest, _) = enclosed(input, "<?", "?>", "the end of a processing instruction")?;
    Ok((rest, ()))
}

/// A comment; everything else that begins with `<!` is refused here.
fn comment(input: &str) -> Parsed<'_, ()> {
    if is_start_of(input, "<!DOCTYPE") {
        let kind = ParseErrorKind::Dtd;
        return Err(fail(Fault { at: input, kind, expected: "no document type" }));
    }
    let (rest, _) = enclosed(input, "<!--", "-->", "the end of a comment")?;
    Ok((rest, ()))
}

/// Whether `input` begins with `literal`, or ends in the middle of it.
fn is_start_of(input: &str, literal: &str) -> bool {
    input.starts_with(literal) || (input.len() > 2 && literal.starts_with(input))
}

/// What stands between `open` and the next `close`.
fn enclosed<'a>(input: &'a str, open: &str, close: &str, expected: &'static str) -> Parsed<'a, &'a str> {
    let Some(inside) = input.strip_prefix(open) else {
        let at = if open.starts_with(input) { &input[input.len()..] } else { input };
        return Err(fail(Fault::syntax(at, "an element, a comment or text")));
    };
    match memmem::find(inside.as_bytes(), close.as_bytes()) {
        Some(at) => Ok((&inside[at + close.len()..], &inside[..at])),
        None => Err(fail(Fault::syntax(&inside[inside.len()..], expected))),
    }
}

/// Any amount of white space.
#[expect(clippy::unnecessary_wraps, reason = "the shape of a nom parser")]
pub(super) fn blanks(input: &str) -> Parsed<'_, &str> {
    let bytes = input.as_bytes();
    let end = bytes.iter().position(|&byte| !text::is_blank(byte)).unwrap_or(bytes.len());
    Ok((&input[end..], &input[..end]))
}

/// A name, prefix included.
fn name(input: &str) -> Parsed<'_, &str> {
    let bytes = input.as_bytes();
    let end = bytes.iter().position(|&byte| !is_name_byte(byte)).unwrap_or(bytes.len());
    if bytes.first().is_some_and(|&first| is_name_byte(first) && !matches!(first, b'0'..=b'9' | b'-' | b'.'))
    {
        Ok((&input[end..], &input[..end]))
    } else {
        Err(nom::Err::Error(Fault::syntax(input, "a name")))
    }
}

/// Bytes above ASCII are taken as they come: WPI has no such names, and unknown ones are skipped anyway.
const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | 0x80..)
}

fn end_tag(input: &str) -> Parsed<'_, &str> {
    let close = context("'>' at the end of an end tag", pair(blanks, literal_char('>')));
    delimited(tag("</"), name, close).parse(input)
}

fn start_tag(input: &str) -> Parsed<'_, Tag<'_>> {
    let (rest, _) = context("an element", literal_char('<')).parse(input)?;
    let (rest, name) = name(rest)?;
    let (rest, attributes) = attributes(rest)?;
    let mut close = context("'>' at the end of a start tag", pair(opt(literal_char('/')), literal_char('>')));
    let (rest, (slash, _)) = close.parse(rest)?;
    Ok((rest, Tag { name, attributes, closed: slash.is_some() }))
}

/// The attributes of one element, up to the end of its tag.
fn attributes(mut input: &str) -> Parsed<'_, Kept<'_>> {
    let mut kept = Kept::default();
    let mut names = [""; MAX_ATTRIBUTES];
    let mut count = 0;
    loop {
        let (rest, gap) = blanks(input)?;
        if matches!(rest.as_bytes().first(), None | Some(b'>' | b'/')) {
            return Ok((rest, kept));
        }
        if gap.is_empty() {
            return Err(fail(Fault::syntax(rest, "white space before an attribute")));
        }
        let (rest, (name, value)) = attribute(rest)?;
        if names[..count].contains(&name) {
            return Err(fail(Fault::syntax(name, "each attribute once")));
        }
        let Some(slot) = names.get_mut(count) else {
            let kind = ParseErrorKind::TooManyAttributes;
            return Err(fail(Fault { at: name, kind, expected: "at most 16 attributes" }));
        };
        *slot = name;
        count += 1;
        text::check(value).map_err(fail)?;
        if let Some(place) = MEANT.iter().position(|meant| *meant == name) {
            kept[place] = Some(value);
        }
        input = rest;
    }
}

fn attribute(input: &str) -> Parsed<'_, (&str, &str)> {
    let equals = context("'=' after an attribute's name", delimited(blanks, literal_char('='), blanks));
    separated_pair(name, equals, quoted).parse(input)
}

fn quoted(input: &str) -> Parsed<'_, &str> {
    let (inside, quote) = context("a quoted attribute value", one_of("\"'")).parse(input)?;
    match memchr2(if quote == '"' { b'"' } else { b'\'' }, b'<', inside.as_bytes()) {
        Some(at) if inside.as_bytes()[at] != b'<' => Ok((&inside[at + 1..], &inside[..at])),
        Some(at) => Err(fail(Fault::syntax(&inside[at..], "no '<' in an attribute value"))),
        None => Err(fail(Fault::syntax(&inside[inside.len()..], "the closing quote of an attribute value"))),
    }
}

fn fail(fault: Fault<'_>) -> nom::Err<Fault<'_>> {
    nom::Err::Failure(fault)
}
