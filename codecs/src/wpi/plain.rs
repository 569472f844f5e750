//! The short way for the shape that nearly every item has: `<Item name="..." index="n">value</Item>`.
//!
//! It takes only what it reads in the same way as the general scanner; at anything else, even an odd blank,
//! it steps back and the general one goes on.

use memchr::memchr3;
use nom::Parser;
use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::char as literal_char;
use nom::combinator::opt;
use nom::sequence::{delimited, preceded, terminated};

use super::text;
use super::xml::{Fault, Parsed, blanks};

/// An item without references, comments, CDATA sections and carriage returns.
#[derive(Debug)]
pub(super) struct PlainItem<'a> {
    pub(super) name: &'a str,
    pub(super) index: Option<&'a str>,
    pub(super) value: &'a str,
}

pub(super) fn item(input: &str) -> Parsed<'_, PlainItem<'_>> {
    let name = take_while1(|c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    let index = take_while1(|c: char| c.is_ascii_digit());
    (
        preceded((blanks, tag("<Item name=\"")), terminated(name, literal_char('"'))),
        opt(delimited(tag(" index=\""), index, literal_char('"'))),
        delimited(literal_char('>'), value, tag("</Item>")),
    )
        .map(|(name, index, value)| PlainItem { name, index, value })
        .parse(input)
}

fn value(input: &str) -> Parsed<'_, &str> {
    match memchr3(b'<', b'&', b'\r', input.as_bytes()) {
        Some(at) => Ok((&input[at..], text::trim(&input[..at]))),
        None => Err(nom::Err::Error(Fault::syntax("", "the end of the item"))),
    }
}
