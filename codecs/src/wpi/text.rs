//! Character data: references, line ends, white space.

use std::borrow::Cow;

use memchr::{memchr, memchr2};
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::char as literal_char;
use nom::combinator::{map_opt, value};
use nom::error::context;
use nom::sequence::{delimited, preceded};

use super::error::ParseErrorKind;
use super::xml::{Fault, Parsed, flatten};

/// Whether XML counts this byte as white space.
pub(super) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Whether XML 1.0 has this character.
pub(super) const fn is_legal(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | '\u{20}'..='\u{FFFD}' | '\u{10000}'..)
}

/// Cuts XML white space off both ends.
pub(super) fn trim(text: &str) -> &str {
    let bytes = text.as_bytes();
    let start = bytes.iter().position(|&byte| !is_blank(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|&byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &text[start..end]
}

/// The same for text that may be owned, without a copy.
pub(super) fn trim_cow(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(trim(text)),
        Cow::Owned(mut text) => {
            let start =
                text.len() - text.trim_start_matches(|c: char| c.is_ascii() && is_blank(c as u8)).len();
            text.drain(..start);
            text.truncate(trim(&text).len());
            Cow::Owned(text)
        }
    }
}

/// Checks the references of text that nobody wants.
pub(super) fn check(mut raw: &str) -> Result<(), Fault<'_>> {
    while let Some(at) = memchr(b'&', raw.as_bytes()) {
        raw = reference(&raw[at..]).map_err(flatten)?.0;
    }
    Ok(())
}

/// Whether content stands for itself: no references, no carriage returns.
pub(super) fn is_literal(raw: &str) -> bool {
    memchr2(b'&', b'\r', raw.as_bytes()).is_none()
}

/// Content with references replaced and line ends normalised (XML 1.0, 2.11 and 4.4), appended to `out`.
pub(super) fn push_content<'a>(out: &mut String, mut raw: &'a str) -> Result<(), Fault<'a>> {
    while let Some(at) = memchr2(b'&', b'\r', raw.as_bytes()) {
        out.push_str(&raw[..at]);
        raw = if raw.as_bytes()[at] == b'&' {
            let (rest, character) = reference(&raw[at..]).map_err(flatten)?;
            out.push(character);
            rest
        } else {
            out.push('\n');
            after_line_end(&raw[at..])
        };
    }
    out.push_str(raw);
    Ok(())
}

/// A CDATA section's text: line ends are normalised, references do not exist.
pub(super) fn push_verbatim(out: &mut String, mut raw: &str) {
    while let Some(at) = memchr(b'\r', raw.as_bytes()) {
        out.push_str(&raw[..at]);
        out.push('\n');
        raw = after_line_end(&raw[at..]);
    }
    out.push_str(raw);
}

/// An attribute's value: references replaced, white space made blanks (XML 1.0, 3.3.3), ends trimmed.
pub(super) fn attribute(raw: &str) -> Result<Cow<'_, str>, Fault<'_>> {
    let raw = trim(raw);
    if !raw.bytes().any(|byte| matches!(byte, b'&' | b'\t' | b'\n' | b'\r')) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'&' | b'\t' | b'\n' | b'\r')) {
        out.push_str(&rest[..at]);
        rest = match rest.as_bytes()[at] {
            b'&' => {
                let (after, character) = reference(&rest[at..]).map_err(flatten)?;
                out.push(character);
                after
            }
            b'\r' => {
                out.push(' ');
                after_line_end(&rest[at..])
            }
            _ => {
                out.push(' ');
                &rest[at + 1..]
            }
        };
    }
    out.push_str(rest);
    Ok(trim_cow(Cow::Owned(out)))
}

/// What follows a carriage return and the line feed that may belong to it.
fn after_line_end(at: &str) -> &str {
    at.strip_prefix("\r\n").unwrap_or(&at[1..])
}

/// One of the five named references or a numeric one.
fn reference(input: &str) -> Parsed<'_, char> {
    let named = alt((
        value('<', tag("lt")),
        value('>', tag("gt")),
        value('&', tag("amp")),
        value('"', tag("quot")),
        value('\'', tag("apos")),
    ));
    let hexadecimal = preceded(tag("x"), numeral(16));
    let numeric = preceded(literal_char('#'), alt((hexadecimal, numeral(10))));
    delimited(literal_char('&'), alt((numeric, named)), literal_char(';')).parse(input).map_err(
        |_: nom::Err<Fault<'_>>| {
            nom::Err::Failure(Fault {
                at: input,
                kind: ParseErrorKind::UnknownEntity,
                expected: "a predefined or numeric reference",
            })
        },
    )
}

/// A character by its number.
fn numeral<'a>(radix: u32) -> impl Parser<&'a str, Output = char, Error = Fault<'a>> {
    context(
        "the number of a character that XML has",
        map_opt(take_while1(move |c: char| c.is_digit(radix)), move |digits| {
            let number = u32::from_str_radix(digits, radix).ok()?;
            char::from_u32(number).filter(|&character| is_legal(character))
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(raw: &str) -> Result<String, (ParseErrorKind, usize)> {
        let mut out = String::new();
        push_content(&mut out, raw).map_err(|fault| (fault.kind, raw.len() - fault.at.len()))?;
        Ok(out)
    }

    #[test]
    fn references_are_replaced() {
        assert_eq!(content("a&lt;b&gt;&amp;&quot;&apos;c").unwrap(), "a<b>&\"'c");
        assert_eq!(content("&#83;&#xf6;&#x0000F6;ren &#x1F4DE;").unwrap(), "Söören \u{1F4DE}");
        assert_eq!(content("&amp;lt;").unwrap(), "&lt;");
    }

    #[test]
    fn other_references_are_errors_at_their_place() {
        for bad in [
            "&nbsp;",
            "&;",
            "&",
            "&lt",
            "&LT;",
            "&#;",
            "&#x;",
            "&#xG;",
            "&#X41;",
            "&#0;",
            "&#8;",
            "&#xD800;",
            "&#xFFFE;",
            "&#x110000;",
            "&#99999999999;",
            "& ",
            "&# 65;",
            "&#-1;",
            "&#+65;",
        ] {
            assert_eq!(content(&format!("ab{bad}")), Err((ParseErrorKind::UnknownEntity, 2)), "{bad}");
            assert!(check(bad).is_err() && attribute(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn line_ends_are_normalised_unless_referenced() {
        assert_eq!(content("a\r\nb\rc\n\r\n").unwrap(), "a\nb\nc\n\n");
        assert_eq!(content("a&#13;\nb").unwrap(), "a\r\nb");
        let mut out = String::new();
        push_verbatim(&mut out, "&amp;\r\n\r");
        assert_eq!(out, "&amp;\n\n");
    }

    #[test]
    fn attributes_have_blanks_for_white_space() {
        assert_eq!(attribute(" a\tb\r\nc\rd ").unwrap(), "a b c d");
        assert_eq!(attribute("a&#9;b").unwrap(), "a\tb");
        assert!(matches!(attribute(" plain ").unwrap(), Cow::Borrowed("plain")));
    }

    #[test]
    fn trimming_takes_xml_white_space_only() {
        assert_eq!(trim(" \t\r\n\u{a0}x \n"), "\u{a0}x");
        assert_eq!(trim(" \n"), "");
        assert_eq!(trim_cow(Cow::Owned("\n  a b \r".to_owned())), "a b");
        assert_eq!(trim_cow(Cow::Owned(" \n".to_owned())), "");
    }
}
