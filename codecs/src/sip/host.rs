//! Hosts and ports of URIs and Vias (RFC 3261, section 25.1; IPv6 by RFC 5954).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use memchr::memchr;
use nom::Parser;
use nom::character::complete::digit1;

use super::lex::{self, HOST, Parsed, fail};
use super::write;

/// Where a URI or a Via points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// A host name as it stands there.
    Name(&'a [u8]),
    /// An address.
    V4(Ipv4Addr),
    /// An address; in the message it stands in brackets.
    V6(Ipv6Addr),
}

impl Host<'_> {
    /// The address, if this is one.
    #[must_use]
    pub const fn address(&self) -> Option<IpAddr> {
        match *self {
            Self::Name(_) => None,
            Self::V4(address) => Some(IpAddr::V4(address)),
            Self::V6(address) => Some(IpAddr::V6(address)),
        }
    }

    /// Whether both are the same host without asking anybody: names by letters in any case and without a final dot,
    /// addresses by value. A name is never an address (RFC 3261, section 19.1.4).
    #[must_use]
    pub fn is_same(&self, other: &Host<'_>) -> bool {
        match (self, other) {
            (Self::Name(one), Host::Name(other)) => dotless(one).eq_ignore_ascii_case(dotless(other)),
            (Self::V4(one), Host::V4(other)) => one == other,
            (Self::V6(one), Host::V6(other)) => one == other,
            _ => false,
        }
    }

    /// Appends the host as it is compared: names in small letters without a final dot, addresses in their shortest form.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        match self {
            Self::Name(name) => out.extend(dotless(name).iter().map(u8::to_ascii_lowercase)),
            Self::V4(address) => write::address(out, (*address).into()),
            Self::V6(address) => {
                out.push(b'[');
                write::address(out, (*address).into());
                out.push(b']');
            }
        }
    }
}

fn dotless(name: &[u8]) -> &[u8] {
    name.strip_suffix(b".").unwrap_or(name)
}

/// `host`.
pub(super) fn host(input: &[u8]) -> Parsed<'_, Host<'_>> {
    if let Some(reference) = input.strip_prefix(b"[") {
        let end = memchr(b']', reference).unwrap_or(reference.len());
        let (address, rest) = reference.split_at(end);
        let Some(address) = ipv6(address) else { return fail(input) };
        return rest.split_first().map_or_else(|| fail(rest), |(_, rest)| Ok((rest, Host::V6(address))));
    }
    let (name, rest) = input.split_at(lex::span(input, HOST));
    if let Some(address) = ipv4(name) {
        return Ok((rest, Host::V4(address)));
    }
    if is_name(name) { Ok((rest, Host::Name(name))) } else { fail(input) }
}

/// Whether labels are a name: none is empty, and the last is no number, or a broken address would be taken for a name.
fn is_name(name: &[u8]) -> bool {
    let mut last = dotless(name);
    while let Some(end) = lex::find_near(last, b'.') {
        if end == 0 {
            return false;
        }
        last = last.get(end + 1..).unwrap_or_default();
    }
    last.iter().any(|byte| !byte.is_ascii_digit())
}

/// Digits that are a port.
pub(super) fn port(input: &[u8]) -> Parsed<'_, u16> {
    let (rest, digits) = digit1.parse(input)?;
    lex::number(digits).map_or_else(|| fail(input), |port| Ok((rest, port)))
}

/// Four numbers of one to three digits.
fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut octets, mut at) = ([0_u8; 4], 0);
    let (mut number, mut digits) = (0_u16, 0);
    for byte in text.iter().chain(b".") {
        if byte.is_ascii_digit() && digits < 3 {
            number = number * 10 + u16::from(byte - b'0');
            digits += 1;
        } else if *byte == b'.' && digits > 0 {
            *octets.get_mut(at)? = u8::try_from(number).ok()?;
            (at, number, digits) = (at + 1, 0, 0);
        } else {
            return None;
        }
    }
    (at == 4).then(|| octets.into())
}

/// Bytes of the longest spelling of an IPv6 address.
const LONGEST_IPV6: usize = 45;

/// An IPv6 address without brackets. The grammar of RFC 3261 makes three colons out of two before an IPv4 address, which
/// is to be read as it is meant (RFC 5118, section 4.10).
fn ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    let text = str::from_utf8(text).ok()?;
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (before, after) = text.split_once(":::").filter(|(_, after)| after.contains('.'))?;
    let mut spelled = [0; LONGEST_IPV6];
    let length = before.len() + 2 + after.len();
    let (head, tail) = spelled.get_mut(..length)?.split_at_mut(before.len());
    head.copy_from_slice(before.as_bytes());
    let (colons, tail) = tail.split_at_mut(2);
    colons.copy_from_slice(b"::");
    tail.copy_from_slice(after.as_bytes());
    str::from_utf8(spelled.get(..length)?).ok()?.parse().ok()
}

/// An address with or without brackets, as `received` has it (RFC 5118, section 4.5).
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    let inner = text.strip_prefix(b"[").and_then(|text| text.strip_suffix(b"]"));
    match (inner, ipv4(text)) {
        (None, Some(address)) => Some(IpAddr::V4(address)),
        (inner, _) => ipv6(inner.unwrap_or(text)).map(IpAddr::V6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(String, usize)> {
        let (rest, host) = host(text.as_bytes()).ok()?;
        let mut canonical = Vec::new();
        host.write_canonical(&mut canonical);
        Some((String::from_utf8(canonical).unwrap(), rest.len()))
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        for (text, expected) in [
            ("Example.COM.", Some(("example.com", 0))),
            ("example.com:5060", Some(("example.com", 5))),
            ("3com", Some(("3com", 0))),
            ("192.0.2.001;x", Some(("192.0.2.1", 2))),
            ("[2001:DB8::10]:5070", Some(("[2001:db8::10]", 5))),
            ("[2001:db8::10:5070]", Some(("[2001:db8::10:5070]", 0))),
            ("[::ffff:192.0.2.10]", Some(("[::ffff:192.0.2.10]", 0))),
            ("[2001:db8:::192.0.2.1]", Some(("[2001:db8::c000:201]", 0))),
            ("[:::192.0.2.1]", Some(("[::c000:201]", 0))),
            ("192.0.2.256", None),
            ("192.0.2", None),
            ("1234", None),
            ("a..", None),
            (".a", None),
            ("a..b", None),
            ("[0000:0000:0000:0000:0000:ffff:255.255.255.255]", Some(("[::ffff:255.255.255.255]", 0))),
            ("[2001:db8:::10]", None),
            ("[2001:db8::1:::192.0.2.1]", None),
            ("[1:2:3:4:5:6:7:::192.0.2.1]", None),
            ("[::1", None),
            ("", None),
            ("-\u{e4}", Some(("-", 2))),
        ] {
            assert_eq!(read(text), expected.map(|(host, rest)| (host.to_owned(), rest)), "{text}");
        }
    }

    #[test]
    fn an_address_may_stand_in_brackets() {
        let six = Some(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 9, 0x255)));
        assert_eq!(address(b"[2001:db8::9:255]"), six);
        assert_eq!(address(b"2001:db8::9:255"), six);
        assert_eq!(address(b"192.0.2.1"), Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))));
        for bad in [&b"[192.0.2.1]"[..], b"[2001:db8::9", b"example.com", b""] {
            assert_eq!(address(bad), None);
        }
    }
}
