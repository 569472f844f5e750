//! Bytes and small words of SIP's grammar (RFC 3261, section 25.1).
//!
//! Inside a header value CR and LF stand in folds only, so they count as white space here.

use memchr::memchr2;
use nom::bytes::complete::take;
use nom::error::{Error, ErrorKind};
use nom::{IResult, Parser};

use super::fault::{Malformed, Part};

/// What a rule gives: the bytes behind it, and what it read.
pub(super) type Parsed<'a, T> = IResult<&'a [u8], T>;

/// `token`.
pub(super) const TOKEN: u16 = 1;
/// SP, HTAB, and the CR and LF of a fold.
pub(super) const BLANK: u16 = 1 << 1;
/// `user` of a SIP URI, escapes aside.
pub(super) const USER: u16 = 1 << 2;
/// `password` of a SIP URI, escapes aside.
pub(super) const PASSWORD: u16 = 1 << 3;
/// `paramchar` of a SIP URI, escapes aside.
pub(super) const PARAM: u16 = 1 << 4;
/// `hname` and `hvalue` of a SIP URI, escapes aside.
pub(super) const HEADER: u16 = 1 << 5;
/// Letters, digits, `-` and `.` of host names, and the `_` that hosts of some networks have.
pub(super) const HOST: u16 = 1 << 6;
/// What stands in a URI of any kind: visible ASCII without `<`, `>` and `"`.
pub(super) const URIC: u16 = 1 << 7;
/// An unquoted value of a parameter: `token` and `host`, and the `= @ / & $` that devices write without quotes.
pub(super) const VALUE: u16 = 1 << 8;
/// `word` of a Call-ID and the `@` between two of them.
pub(super) const WORD: u16 = 1 << 9;
/// The set `reserved`, whose members differ from their escapes (RFC 2396, section 2.2).
pub(super) const RESERVED: u16 = 1 << 10;
/// A display name without quotes: tokens, and UTF-8 that the grammar wants quoted and some devices do not.
pub(super) const DISPLAY: u16 = 1 << 11;

static CLASS: [u16; 256] = classes();

const fn mark(mut table: [u16; 256], bytes: &[u8], class: u16) -> [u16; 256] {
    let mut at = 0;
    while at < bytes.len() {
        table[bytes[at] as usize] |= class;
        at += 1;
    }
    table
}

const fn classes() -> [u16; 256] {
    let mut table = [0; 256];
    let mut one = 0_u8;
    loop {
        let byte = one as usize;
        if one.is_ascii_alphanumeric() {
            table[byte] |= TOKEN | USER | PASSWORD | PARAM | HEADER | HOST | VALUE | WORD | DISPLAY;
        }
        if one.is_ascii_graphic() {
            table[byte] |= URIC;
        }
        if !one.is_ascii() {
            table[byte] |= DISPLAY;
        }
        if one == u8::MAX {
            break;
        }
        one += 1;
    }
    table = mark(table, b"-.!%*_+`'~", TOKEN | VALUE | WORD | DISPLAY);
    table = mark(table, b" \t\r\n", BLANK);
    // `unreserved` marks belong to every part of a URI.
    table = mark(table, b"-_.!~*'()", USER | PASSWORD | PARAM | HEADER);
    table = mark(table, b"&=+$,;?/", USER);
    table = mark(table, b"&=+$,", PASSWORD);
    table = mark(table, b"[]/:&+$", PARAM);
    table = mark(table, b"[]/?:+$", HEADER);
    table = mark(table, b"-._", HOST);
    table = mark(table, b"[]:=@/&$", VALUE);
    table = mark(table, b"()<>:\\\"/[]?{}@", WORD);
    table = mark(table, b";/?:@&=+$,", RESERVED);
    table[b'<' as usize] &= !URIC;
    table[b'>' as usize] &= !URIC;
    table[b'"' as usize] &= !URIC;
    table
}

/// Whether a byte belongs to one of these classes.
pub(super) fn is(byte: u8, class: u16) -> bool {
    CLASS[usize::from(byte)] & class != 0
}

/// How many bytes from the first on belong to one of these classes. Four are looked at together, which halves the work.
pub(super) fn span(bytes: &[u8], class: u16) -> usize {
    let mut rest = bytes;
    while let Some(([a, b, c, d], after)) = rest.split_first_chunk() {
        let [a, b, c, d] = [a, b, c, d].map(|byte| CLASS[usize::from(*byte)]);
        if a & b & c & d & class == 0 {
            break;
        }
        rest = after;
    }
    let end = rest.iter().position(|byte| !is(*byte, class)).unwrap_or(rest.len());
    bytes.len() - rest.len() + end
}

/// Whether all bytes belong to this class.
pub(super) fn all(bytes: &[u8], class: u16) -> bool {
    span(bytes, class) == bytes.len()
}

/// The lowest bit of each byte of a word.
const LOW: u64 = 0x0101_0101_0101_0101;

/// Where a byte is, for texts in which it is near: eight bytes are looked at together.
pub(super) fn find_near(bytes: &[u8], byte: u8) -> Option<usize> {
    let wanted = LOW * u64::from(byte);
    let mut rest = bytes;
    while let Some((eight, after)) = rest.split_first_chunk() {
        // The lowest bit that is set marks the first byte that is zero, and no wrong one is below it.
        let differs = u64::from_le_bytes(*eight) ^ wanted;
        let zeros = differs.wrapping_sub(LOW) & !differs & (LOW << 7);
        if zeros != 0 {
            return Some(bytes.len() - rest.len() + zeros.trailing_zeros() as usize / 8);
        }
        rest = after;
    }
    let end = rest.iter().position(|other| *other == byte)?;
    Some(bytes.len() - rest.len() + end)
}

/// Whether a byte below the space may be there: surely if there is one, and sometimes if there is none. Eight are looked at
/// together.
pub(super) fn may_have_control(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some((eight, after)) = rest.split_first_chunk() {
        let eight = u64::from_le_bytes(*eight);
        if eight.wrapping_sub(LOW * u64::from(b' ')) & !eight & (LOW << 7) != 0 {
            return true;
        }
        rest = after;
    }
    rest.iter().any(|byte| *byte < b' ')
}

/// A rule does not hold here.
pub(super) fn fail<T>(at: &[u8]) -> Parsed<'_, T> {
    Err(nom::Err::Error(Error::new(at, ErrorKind::Fail)))
}

/// What stands behind white space.
pub(super) fn skip_blank(input: &[u8]) -> &[u8] {
    let mut rest = input;
    while let Some((first, after)) = rest.split_first()
        && is(*first, BLANK)
    {
        rest = after;
    }
    rest
}

/// The bytes without white space behind them.
pub(super) fn trim_end(input: &[u8]) -> &[u8] {
    let mut rest = input;
    while let Some((last, before)) = rest.split_last()
        && is(*last, BLANK)
    {
        rest = before;
    }
    rest
}

/// The bytes without white space around them.
pub(super) fn trim(input: &[u8]) -> &[u8] {
    trim_end(skip_blank(input))
}

/// A separator with the white space that may stand around it.
pub(super) fn separator(byte: u8, input: &[u8]) -> Parsed<'_, ()> {
    let at = skip_blank(input);
    match at.split_first() {
        Some((first, rest)) if *first == byte => Ok((skip_blank(rest), ())),
        _ => fail(at),
    }
}

/// `token`.
pub(super) fn token(input: &[u8]) -> Parsed<'_, &[u8]> {
    match span(input, TOKEN) {
        0 => fail(input),
        end => Ok(take(end).parse(input)?),
    }
}

/// `quoted-string` with its quotes. A backslash takes any ASCII byte with it, NUL too.
pub(super) fn quoted(input: &[u8]) -> Parsed<'_, &[u8]> {
    let Some(mut rest) = input.strip_prefix(b"\"") else { return fail(input) };
    while let Some(at) = memchr2(b'"', b'\\', rest) {
        let (text, after) = rest.split_at(at);
        if has_control(text) {
            return fail(rest);
        }
        rest = match after {
            [b'\\', byte, after @ ..] if byte.is_ascii() && !b"\r\n".contains(byte) => after,
            [b'"', after @ ..] => {
                let (string, rest) = input.split_at(input.len() - after.len());
                return Ok((rest, string));
            }
            _ => return fail(after),
        };
    }
    fail(input)
}

/// Whether there is a control character, white space aside. It looks at all bytes, as that is faster than to stop.
pub(super) fn has_control(text: &[u8]) -> bool {
    let control = |byte: u8| {
        u8::from(byte < b' ') & u8::from(!matches!(byte, b'\t' | b'\r' | b'\n')) | u8::from(byte == 0x7F)
    };
    text.iter().fold(0, |found, byte| found | control(*byte)) != 0
}

/// The text of a quoted string, or the bytes themselves if they are not quoted.
pub(super) fn unquoted(raw: &[u8]) -> &[u8] {
    raw.strip_prefix(b"\"").and_then(|raw| raw.strip_suffix(b"\"")).unwrap_or(raw)
}

/// The characters of a quoted string's text: a backslash is dropped, a fold is one space.
pub(super) fn unescaped(text: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (byte, after) = rest.split_first()?;
        let (byte, after) = match byte {
            b'\\' => after.split_first().unwrap_or((byte, after)),
            b'\r' | b'\n' => (&b' ', skip_blank(after)),
            _ => (byte, after),
        };
        rest = after;
        Some(*byte)
    })
}

/// Decimal digits and nothing else; what does not fit is `u64::MAX`.
pub(super) fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        Some(number.saturating_mul(10).saturating_add(u64::from(digit)))
    })
}

/// Decimal digits up to a largest value.
pub(super) fn number<T: TryFrom<u64>>(text: &[u8]) -> Option<T> {
    digits(text).filter(|number| *number < u64::MAX).and_then(|number| T::try_from(number).ok())
}

/// What a rule read of a whole value.
pub(super) fn whole<'a, T>(part: Part, value: &'a [u8], parsed: Parsed<'a, T>) -> Result<T, Malformed> {
    let at = |rest: &[u8]| Malformed { part, at: value.len().saturating_sub(rest.len()) };
    match parsed {
        Ok((rest, read)) => match skip_blank(rest) {
            [] => Ok(read),
            rest => Err(at(rest)),
        },
        Err(nom::Err::Error(error) | nom::Err::Failure(error)) => Err(at(error.input)),
        Err(nom::Err::Incomplete(_)) => Err(at(&[])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_strings_end_where_they_end() {
        for (text, length) in [
            (&b"\"\""[..], Some(2)),
            (b"\"a\\\"b\" <", Some(6)),
            (b"\"NUL:\\\0 DEL:\\\x7F\"", Some(15)),
            (b"\"folded\r\n text\"", Some(15)),
            (b"\"open", None),
            (b"\"open\\\"", None),
            (b"\"a\\\r\"", None),
            (b"\"bell \x07\"", None),
            (b"none", None),
        ] {
            assert_eq!(quoted(text).ok().map(|(_, string)| string.len()), length, "{text:?}");
        }
    }

    #[test]
    fn a_quoted_text_is_read_without_its_escapes() {
        let text: Vec<u8> = unescaped(b"J \\\\\\\"R\r\n  T").collect();
        assert_eq!(text, b"J \\\"R T");
    }

    #[test]
    fn spans_end_where_the_first_stranger_is() {
        let text = b"abcdefghijklmnopqrstuvwxyz";
        for end in 0..text.len() {
            let mut other = *text;
            other[end] = b':';
            assert_eq!((span(&other, TOKEN), find_near(&other, b':')), (end, Some(end)));
            assert_eq!((span(&text[..end], TOKEN), find_near(&text[..end], b':')), (end, None));
            other[end] = b';';
            assert_eq!(find_near(&other, b':'), None);
        }
        assert_eq!(find_near(b"\xBA\x3B\x39:\x3A\0\0\0", b':'), Some(3));
    }

    #[test]
    fn numbers_have_bounds() {
        assert_eq!(number::<u8>(b"0068"), Some(68));
        assert_eq!(number::<u8>(b"256"), None);
        assert_eq!(number::<u8>(b"-1"), None);
        assert_eq!(number::<u64>(b"18446744073709551616"), None);
        assert_eq!(digits(b"36893488147419103232"), Some(u64::MAX));
        assert_eq!(digits(b""), None);
    }
}
