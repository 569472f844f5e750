//! Conditions and ranges of a request (RFC 9110, sections 13 and 14).

use std::ops::Range;

use http::HeaderMap;
use http::header::{HeaderName, IF_NONE_MATCH, IF_RANGE, RANGE};

/// What a request wants of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// These bytes, of which there is at least one.
    Bytes(Range<u64>),
    /// Bytes that the file does not have.
    Unsatisfiable,
}

/// Whether the requester has this very file already. `tag` is the entity tag without quotes.
pub(super) fn has_it(headers: &HeaderMap, tag: &str) -> bool {
    headers.get_all(IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok()).any(|line| {
        // Tags of ours hold no comma.
        line.split(',').map(str::trim).any(|one| {
            one == "*"
                || one
                    .strip_prefix("W/")
                    .unwrap_or(one)
                    .strip_prefix('"')
                    .and_then(|one| one.strip_suffix('"'))
                    == Some(tag)
        })
    })
}

/// The part of a file of `size` bytes that a GET wants. What is no single range of bytes, or is bound to another file by
/// `If-Range`, means all of it.
pub(super) fn part(headers: &HeaderMap, size: u64, tag: &str) -> Part {
    let Some(range) = single(headers, &RANGE) else { return Part::Whole };
    if headers.contains_key(IF_RANGE) {
        let same = single(headers, &IF_RANGE).and_then(|one| one.trim().strip_prefix('"')?.strip_suffix('"'));
        if same != Some(tag) {
            return Part::Whole;
        }
    }
    parse(range, size).unwrap_or(Part::Whole)
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next()?.to_str().ok()?;
    lines.next().is_none().then_some(line)
}

fn parse(text: &str, size: u64) -> Option<Part> {
    let (unit, range) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || range.contains(',') {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    let bytes = match (number(first), number(last)) {
        (Some(first), Some(last)) if first > last => return None,
        (Some(first), Some(last)) => first..last.saturating_add(1).min(size),
        (Some(first), None) if last.is_empty() => first..size,
        (None, Some(suffix)) if first.is_empty() => size.saturating_sub(suffix)..size,
        _ => return None,
    };
    Some(if bytes.start < bytes.end { Part::Bytes(bytes) } else { Part::Unsatisfiable })
}

/// A number of digits only; one that is too large is as large as can be.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn ranges_are_read() {
        for (text, wanted) in [
            ("bytes=0-0", Part::Bytes(0..1)),
            ("bytes=0-99", Part::Bytes(0..100)),
            ("bytes=50-1000", Part::Bytes(50..100)),
            ("bytes=50-", Part::Bytes(50..100)),
            ("bytes=-1", Part::Bytes(99..100)),
            ("bytes=-1000", Part::Bytes(0..100)),
            ("Bytes = 1-2", Part::Bytes(1..3)),
            ("bytes=0-18446744073709551615", Part::Bytes(0..100)),
            ("bytes=100-", Part::Unsatisfiable),
            ("bytes=99999999999999999999999-", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=2-1", Part::Whole),
            ("bytes=0-1,5-6", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=", Part::Whole),
            ("lines=0-1", Part::Whole),
            ("0-1", Part::Whole),
        ] {
            assert_eq!(part(&headers(&[(RANGE, text)]), 100, "t"), wanted, "{text}");
        }
        assert_eq!(part(&headers(&[]), 100, "t"), Part::Whole);
        assert_eq!(part(&headers(&[(RANGE, "bytes=0-1"), (RANGE, "bytes=2-3")]), 100, "t"), Part::Whole);
    }

    #[test]
    fn a_range_of_another_file_is_none() {
        let of = |tag: &str| part(&headers(&[(RANGE, "bytes=5-"), (IF_RANGE, tag)]), 10, "t");
        assert_eq!(of("\"t\""), Part::Bytes(5..10));
        for other in ["\"u\"", "W/\"t\"", "t", "Sat, 29 Oct 1994 19:43:31 GMT"] {
            assert_eq!(of(other), Part::Whole, "{other}");
        }
    }

    #[test]
    fn who_has_it_is_known() {
        let has = |tags: &str| has_it(&headers(&[(IF_NONE_MATCH, tags)]), "t");
        assert!(has("*") && has("\"t\"") && has("W/\"t\"") && has("\"a\", \"t\""));
        assert!(!has("t") && !has("\"a\"") && !has("") && !has_it(&headers(&[]), "t"));
    }

    proptest! {
        #[test]
        fn a_part_is_never_outside(text in "(bytes=)?[0-9]{0,20}-?[0-9]{0,20}", size in 0_u64..1_000_000) {
            if let Part::Bytes(range) = part(&headers(&[(RANGE, &text)]), size, "t") {
                prop_assert!(range.start < range.end && range.end <= size);
            }
        }
    }
}
