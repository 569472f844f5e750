//! Which device an endpoint is: by its instance, by the MAC address that it shows somewhere, or by its number.

use crate::device::DeviceId;

/// The device in a `+sip.instance` value such as `<urn:uuid:00000000-0000-1000-8000-001ae8000001>`: the node of a UUID that is
/// made of time and node, as phones without a clock make theirs (RFC 5626, section 4.1; RFC 9562, section 5.1). Other UUIDs
/// say nothing about the device.
pub fn device_of_instance(instance: &str) -> Option<DeviceId> {
    let text = instance.trim_start_matches('<').trim_end_matches('>');
    let (scheme, uuid) = text.split_at_checked("urn:uuid:".len())?;
    let mut parts = uuid.split('-');
    let (version, node) = (parts.nth(2)?, parts.nth(1)?);
    let is_node = parts.next().is_none() && version.starts_with('1') && is_mac(node.as_bytes());
    // Nodes that are dice have the group bit set (RFC 9562, section 6.10).
    let is_single = u8::from_str_radix(node.get(..2)?, 16).is_ok_and(|first| first & 1 == 0);
    (scheme.eq_ignore_ascii_case("urn:uuid:") && is_node && is_single).then(|| node.parse().ok()).flatten()
}

/// The device whose MAC address stands in a text, by itself: `Yealink SIP-T46S 001565aabbcc`, `MAC%3a001565AABBCC`,
/// `00-15-65-aa-bb-cc`. Twelve digits without a letter may be a telephone number, and are none.
pub fn device_in(text: &str) -> Option<DeviceId> {
    let bytes = text.as_bytes();
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric();
    (0..bytes.len()).find_map(|at| {
        // `%3a` and `%3A` end like a hexadecimal digit, but are none.
        let begins = at == 0 || !is_word(&bytes[at - 1]) || is_escape(&bytes[..at]);
        let found = begins.then(|| [12, 17].into_iter().find_map(|length| mac_at(text, at, length)))?;
        let (length, mac) = found?;
        let ends = bytes.get(at + length).is_none_or(|byte| !is_word(byte));
        ends.then(|| mac.parse().ok()).flatten()
    })
}

fn is_escape(before: &[u8]) -> bool {
    matches!(before, [.., b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

fn mac_at(text: &str, at: usize, length: usize) -> Option<(usize, &str)> {
    let part = text.get(at..at + length)?;
    let bytes = part.as_bytes();
    let is_it = match length {
        12 => is_mac(bytes) && bytes.iter().any(u8::is_ascii_alphabetic),
        _ => bytes.iter().enumerate().all(|(index, byte)| match index % 3 {
            2 => matches!(byte, b':' | b'-') && *byte == bytes[2],
            _ => byte.is_ascii_hexdigit(),
        }),
    };
    is_it.then_some((length, part))
}

fn is_mac(bytes: &[u8]) -> bool {
    bytes.len() == 12 && bytes.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_instance_with_a_node_is_a_device() {
        let of = |text| device_of_instance(text).map(|id| id.to_string());
        let device = Some("00:1a:e8:00:00:01".to_owned());
        assert_eq!(of("<urn:uuid:00000000-0000-1000-8000-001AE8000001>"), device);
        assert_eq!(of("URN:UUID:f81d4fae-7dec-11d0-a765-001ae8000001"), device);
        for text in [
            "<urn:uuid:f81d4fae-7dec-41d0-a765-001ae8000001>",
            "<urn:uuid:f81d4fae-7dec-11d0-a765-011ae8000001>",
            "<urn:uuid:f81d4fae-7dec-11d0-a765-001ae800000>",
            "<urn:uuid:f81d4fae-7dec-11d0-a765-001ae8000001-1>",
            "<urn:imei:90420156-025763-0>",
            "",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn a_mac_address_in_a_text_is_a_device() {
        let of = |text| device_in(text).map(|id| id.to_string());
        for text in [
            "Yealink SIP-T46S 66.85.0.5 001565aabbcc",
            "sip:MAC%3a001565AABBCC@224.0.1.75",
            "sip:MAC%3A001565AABBCC@224.0.1.75",
            "00-15-65-aa-bb-cc",
            "Aastra 57i (00:15:65:AA:BB:CC)",
        ] {
            assert_eq!(of(text).as_deref(), Some("00:15:65:aa:bb:cc"), "{text}");
        }
        for text in ["498970011234", "001565aabbcc0", "x001565aabbcc", "00-15-65:aa-bb-cc", "a84b4c76e66710"]
        {
            assert_eq!(of(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_looked_at(text in "\\PC{0,40}") {
            let _ = (device_in(&text), device_of_instance(&text));
        }
    }
}
