//! The name under which a device is known.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest device id, in bytes.
pub const MAX_ID_BYTES: usize = 64;

/// A device's id: the `mac-addr` that it registers, normalised.
///
/// MAC addresses come with colons, hyphens, dots or nothing between the digits and in either case; all spellings
/// are one device, shown as `00:1a:e8:0a:0b:0c`. Any other text of visible ASCII without `/` is taken as it is
/// (soft clients). What a phone registers is checked more closely, see [`DeviceId::from_phone`].
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceId(Repr);

#[derive(Clone, PartialEq, Eq)]
enum Repr {
    Mac([u8; 6]),
    Text(Box<str>),
}

/// A text that cannot be a device id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDeviceId {
    /// Nothing but white space.
    #[error("a device id must not be empty")]
    Empty,
    /// Longer than [`MAX_ID_BYTES`].
    #[error("a device id has at most {MAX_ID_BYTES} bytes, this one has {0}")]
    TooLong(usize),
    /// A character outside of visible ASCII, or a slash.
    #[error("a device id is visible ASCII without `/`")]
    BadCharacter,
    /// Nearly a MAC address: mixed separators, or too few or too many digits.
    #[error(
        "this is no MAC address, although it looks like one: six pairs of hexadecimal digits are expected"
    )]
    NearlyMac,
}

const TEXT_OF_MAC: usize = 17;

impl DeviceId {
    /// The id that a phone brings in a message. A MAC address gone wrong is none: that would be one more device beside
    /// the one that is meant. Ids that are known already, from the store or a certificate, are parsed instead.
    ///
    /// # Errors
    /// As for parsing, and [`BadDeviceId::NearlyMac`].
    pub fn from_phone(text: &str) -> Result<Self, BadDeviceId> {
        let id: Self = text.parse()?;
        match &id.0 {
            Repr::Text(text) if looks_like_mac(text) => Err(BadDeviceId::NearlyMac),
            _ => Ok(id),
        }
    }

    /// Lends its text.
    pub(crate) fn with_text<R>(&self, use_text: impl FnOnce(&str) -> R) -> R {
        match &self.0 {
            Repr::Text(text) => use_text(text),
            Repr::Mac(mac) => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let mut text = [b':'; TEXT_OF_MAC];
                for (at, byte) in mac.iter().enumerate() {
                    text[at * 3] = HEX[usize::from(byte >> 4)];
                    text[at * 3 + 1] = HEX[usize::from(byte & 15)];
                }
                use_text(std::str::from_utf8(&text).unwrap_or_default())
            }
        }
    }

    /// The MAC address, if the id is one.
    pub fn mac(&self) -> Option<[u8; 6]> {
        match self.0 {
            Repr::Mac(mac) => Some(mac),
            Repr::Text(_) => None,
        }
    }

    /// Heap bytes behind this id.
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Repr::Mac(_) => 0,
            Repr::Text(text) => text.len(),
        }
    }
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let bytes = text.as_bytes();
    let separated = match bytes.len() {
        17 if matches!(bytes[2], b':' | b'-') => true,
        12 => false,
        14 if bytes[4] == b'.' => return parse_dotted(text),
        _ => return None,
    };
    let mut mac = [0_u8; 6];
    for (at, byte) in mac.iter_mut().enumerate() {
        let from = if separated { at * 3 } else { at * 2 };
        if separated && at > 0 && bytes[from - 1] != bytes[2] {
            return None;
        }
        *byte = hex_pair(bytes[from], bytes[from + 1])?;
    }
    Some(mac)
}

/// Whether a text that is no MAC address looks like one: pairs in a row, about twelve digits without separator, or twelve
/// in equal groups.
///
/// Numbers without letters, IP addresses and UUIDs do not.
fn looks_like_mac(text: &str) -> bool {
    let is_separator = |c: char| matches!(c, ':' | '-' | '.');
    let lengths = || text.split(is_separator).map(str::len);
    let groups = lengths().count();
    if groups == 6 && lengths().all(|length| length == 2) {
        // A letter beyond `f`, or more than one kind of separator.
        return text.chars().all(|c| c.is_ascii_alphanumeric() || is_separator(c));
    }
    if !text.chars().all(|c| c.is_ascii_hexdigit() || is_separator(c)) || text.parse::<Ipv4Addr>().is_ok() {
        return false;
    }
    if groups >= 4 && lengths().all(|length| length <= 2)
        || groups == 6 && lengths().all(|length| length <= 3)
    {
        return true;
    }
    let has_letter = text.chars().any(|c| c.is_ascii_alphabetic());
    let even = || (2..=3).contains(&groups) && lengths().all(|length| length * groups == 12);
    has_letter && (groups == 1 && (11..=13).contains(&text.len()) || even())
}

fn parse_dotted(text: &str) -> Option<[u8; 6]> {
    let mut plain = String::with_capacity(12);
    for (at, c) in text.chars().enumerate() {
        match (at, c) {
            (4 | 9, '.') => {}
            (4 | 9, _) | (_, '.') => return None,
            _ => plain.push(c),
        }
    }
    if plain.len() == 12 { parse_mac(&plain) } else { None }
}

fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

impl FromStr for DeviceId {
    type Err = BadDeviceId;

    fn from_str(text: &str) -> Result<Self, BadDeviceId> {
        let text = text.trim();
        if text.is_empty() {
            return Err(BadDeviceId::Empty);
        }
        if text.len() > MAX_ID_BYTES {
            return Err(BadDeviceId::TooLong(text.len()));
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() && b != b'/') {
            return Err(BadDeviceId::BadCharacter);
        }
        Ok(Self(parse_mac(text).map_or_else(|| Repr::Text(text.into()), Repr::Mac)))
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.pad(text))
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Hash for DeviceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.0 {
            Repr::Mac(mac) => state.write(mac),
            Repr::Text(text) => state.write(text.as_bytes()),
        }
    }
}

impl PartialOrd for DeviceId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for DeviceId {
    /// The order of the texts, which is also the order of keys in the store.
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Repr::Mac(a), Repr::Mac(b)) => a.cmp(b),
            _ => self.with_text(|a| other.with_text(|b| a.cmp(b))),
        }
    }
}

impl Serialize for DeviceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_text(|text| serializer.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for DeviceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_spellings_of_a_mac_are_one_device() {
        let id: DeviceId = "00:1A:E8:0A:0B:0C".parse().unwrap();
        for spelling in [
            "00:1a:e8:0a:0b:0c",
            "00-1A-E8-0A-0B-0C",
            "001AE80A0B0C",
            "001a.e80a.0b0c",
            " 00:1a:e8:0a:0b:0C\n",
        ] {
            assert_eq!(spelling.parse::<DeviceId>().unwrap(), id, "{spelling}");
        }
        assert_eq!(id.to_string(), "00:1a:e8:0a:0b:0c");
    }

    #[test]
    fn other_texts_stay_as_they_are() {
        for text in [
            "softphone-17",
            "4989700112",
            "0211-1234567",
            "192.168.100.200",
            "10.0.0.12",
            "2001:db8::1a:2b3",
            "fe80::21a:e8ff:fe0a:b0c",
            "550e8400-e29b-41d4-a716-446655440000",
            "00112233aabbccdd0011",
            "cafe",
            "a-b-c",
            "beef-cafe",
            "beef-cafe-01",
            "001ae80a0b",
            "001ae80a0b0c0d",
            "00:1a:e8:0a:0b:0c@home",
        ] {
            assert_eq!(DeviceId::from_phone(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_nearly_a_mac_is_no_device_of_a_phone() {
        for text in [
            "00:1a:e8-aa:bb:cc",
            "00-1A-E8-0A-0B:0C",
            "00:1A:E8:0A:0B",
            "00:11:22:33:44",
            "00:1a:e8:0a:0b:0c:0d",
            "00:1a:e8:ff:fe:0a:0b:0c",
            "0:1a:e8:a:b:c",
            "00:1a:e8:0a:0b:0g",
            "00:11:22:33:44:555",
            "00:1a:e8::0b:0c",
            ":00:1a:e8:0a:0b:0c",
            "001AE80A0B0",
            "001ae80a0b0c0",
            "001a:e80a:0b0c",
            "001ae8-0a0b0c",
        ] {
            assert_eq!(DeviceId::from_phone(text), Err(BadDeviceId::NearlyMac), "{text}");
            assert_eq!(text.parse::<DeviceId>().unwrap().to_string(), text, "one that is known has its name");
        }
    }

    #[test]
    fn bad_ids_are_refused() {
        assert_eq!("  ".parse::<DeviceId>(), Err(BadDeviceId::Empty));
        assert_eq!("x".repeat(65).parse::<DeviceId>(), Err(BadDeviceId::TooLong(65)));
        for text in ["a b", "ä", "a/b", "a\u{0}b"] {
            assert_eq!(text.parse::<DeviceId>(), Err(BadDeviceId::BadCharacter), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn orders_as_its_text(a in "[0-9a-f:-]{1,17}|[!-.0-~]{1,20}", b in "([0-9a-f]{2}:){5}[0-9a-f]{2}|[!-.0-~]{1,20}") {
            let (Ok(a), Ok(b)) = (a.parse::<DeviceId>(), b.parse::<DeviceId>()) else { return Ok(()) };
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
            prop_assert_eq!(a.to_string().parse::<DeviceId>().unwrap(), a);
        }
    }
}
