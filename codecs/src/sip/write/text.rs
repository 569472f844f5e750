//! Small texts: numbers, addresses, values without their folds.

use std::io::Write;
use std::net::IpAddr;

use memchr::memchr2;

use crate::sip::lex;

/// Appends a number in decimal.
pub(in crate::sip) fn decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    for place in digits.iter_mut().rev() {
        *place = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        at -= 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// Appends an address without brackets.
pub(in crate::sip) fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let (mut text, mut end) = ([b'.'; 16], 0);
            for octet in address.octets() {
                let digits = [octet / 100, octet / 10 % 10, octet % 10];
                let skipped = usize::from(octet < 100) + usize::from(octet < 10);
                for (place, digit) in text.iter_mut().skip(end).zip(digits.iter().skip(skipped)) {
                    *place = b'0' + digit;
                }
                end += 3 - skipped + 1;
            }
            out.extend_from_slice(text.get(..end - 1).unwrap_or_default());
        }
        IpAddr::V6(address) => {
            // Writing into a vector cannot fail.
            let _ = write!(out, "{address}");
        }
    }
}

/// Appends a value with each fold as one space, so that it stands on one line whatever it was (RFC 3261, section 7.3.1).
pub fn write_unfolded(out: &mut Vec<u8>, value: &[u8]) {
    if !lex::may_have_control(value) {
        return out.extend_from_slice(value);
    }
    let mut rest = value;
    while let Some(at) = memchr2(b'\r', b'\n', rest) {
        let (before, after) = rest.split_at(at);
        out.extend_from_slice(before);
        out.push(b' ');
        rest = lex::skip_blank(after);
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal() {
        for number in [0, 9, 10, 5_060, u64::MAX] {
            let mut out = Vec::new();
            decimal(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }

    #[test]
    fn addresses_are_written_as_they_are_shown() {
        for text in
            ["0.0.0.0", "255.255.255.255", "192.0.2.1", "10.20.100.9", "2001:db8::1", "::ffff:192.0.2.1"]
        {
            let mut out = b"x".to_vec();
            address(&mut out, text.parse().unwrap());
            assert_eq!(out, format!("x{text}").as_bytes());
        }
    }

    #[test]
    fn no_fold_remains() {
        for (value, expected) in [
            ("a", "a"),
            ("a\r\n b", "a b"),
            ("a;\r\n\t\r\n  b", "a; b"),
            ("a\rb\n", "a b "),
            ("\r\n", " "),
            ("\u{e4}bcdefg\u{1}h", "\u{e4}bcdefg\u{1}h"),
            ("abcdefgh\n i", "abcdefgh i"),
        ] {
            let mut out = Vec::new();
            write_unfolded(&mut out, value.as_bytes());
            assert_eq!(out, expected.as_bytes());
        }
    }
}
