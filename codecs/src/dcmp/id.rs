//! The device id of a poll in the form in which devices are known.

/// Longest id, in bytes after decoding.
pub const MAX_ID_BYTES: usize = 64;

/// Length of a MAC address with its colons.
const MAC_BYTES: usize = 17;

/// A device id in its one form: a MAC address in lower case with colons, any other text as it is.
///
/// The same rules as those of `DeviceId` in `callboard-core`, without its allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CanonicalId {
    bytes: [u8; MAX_ID_BYTES],
    length: usize,
}

/// A text that cannot be the id of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadId {
    /// None at all, or an empty one.
    #[error("there is no device-id")]
    Missing,
    /// Too long.
    #[error("the device-id has more than {MAX_ID_BYTES} bytes")]
    TooLong,
    /// A percent sign without two hexadecimal digits behind it.
    #[error("the device-id is not percent-encoded as a URL should be")]
    Escape,
    /// A character outside of visible ASCII, or a slash.
    #[error("a device-id is visible ASCII without `/`")]
    Character,
}

impl CanonicalId {
    /// Read an id as it stands in a URL: percent signs are decoded; a plus is a plus; white space around it is dropped.
    ///
    /// # Errors
    /// For what can be the id of no device.
    pub fn read(raw: &[u8]) -> Result<Self, BadId> {
        let mut id = Self { bytes: [0; MAX_ID_BYTES], length: 0 };
        let mut rest = raw.iter();
        // White space met since the last other character: nothing if it is at the end.
        let mut blanks = false;
        while let Some(byte) = rest.next() {
            let byte = match byte {
                b'%' => {
                    let mut digit = || rest.next().copied().and_then(hex);
                    let (high, low) = (digit(), digit());
                    high.zip(low).map(|(high, low)| high << 4 | low).ok_or(BadId::Escape)?
                }
                byte => *byte,
            };
            match byte {
                b' ' | 0x09..=0x0d => blanks |= id.length > 0,
                byte if blanks || byte == b'/' || !byte.is_ascii_graphic() => return Err(BadId::Character),
                byte => {
                    *id.bytes.get_mut(id.length).ok_or(BadId::TooLong)? = byte;
                    id.length += 1;
                }
            }
        }
        if id.length == 0 {
            return Err(BadId::Missing);
        }
        if let Some(digits) = mac_digits(id.as_bytes()) {
            id.set_mac(digits);
        }
        Ok(id)
    }

    fn set_mac(&mut self, digits: [u8; 12]) {
        for (at, pair) in digits.chunks_exact(2).enumerate() {
            if let Some(place) = self.bytes.get_mut(at * 3..at * 3 + 2) {
                place.copy_from_slice(pair);
            }
            if let Some(colon) = self.bytes.get_mut(at * 3 + 2) {
                *colon = b':';
            }
        }
        self.length = MAC_BYTES;
    }

    /// The id.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl std::fmt::Debug for CanonicalId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The digits of a MAC address, in lower case: with colons, hyphens or dots between them, or with nothing.
fn mac_digits(text: &[u8]) -> Option<[u8; 12]> {
    let is_separator: fn(usize) -> bool = match text {
        [_, _, b':' | b'-', ..] if text.len() == MAC_BYTES => |at| at % 3 == 2,
        [_, _, _, _, b'.', ..] if text.len() == 14 => |at| at == 4 || at == 9,
        _ if text.len() == 12 => |_| false,
        _ => return None,
    };
    let separator = if text.len() == MAC_BYTES { text.get(2) } else { Some(&b'.') };
    let mut digits = [0; 12];
    let mut places = digits.iter_mut();
    for (at, byte) in text.iter().enumerate() {
        if is_separator(at) {
            if Some(byte) != separator {
                return None;
            }
        } else {
            *places.next()? = Some(byte.to_ascii_lowercase()).filter(u8::is_ascii_hexdigit)?;
        }
    }
    Some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Result<String, BadId> {
        CanonicalId::read(raw.as_bytes()).map(|id| String::from_utf8(id.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn all_spellings_of_a_mac_are_one() {
        for spelling in [
            "00:1A:E8:0A:0B:0C",
            "00%3A1A%3ae8%3a0A%3A0b%3A0C",
            "00-1a-e8-0a-0b-0c",
            "001AE80a0b0c",
            "001a.e80a.0b0c",
            "%2000:1a:e8:0a:0b:0c%0A",
            "%30%30:1a:e8:0a:0b:0c",
        ] {
            assert_eq!(read(spelling).unwrap(), "00:1a:e8:0a:0b:0c", "{spelling}");
        }
    }

    #[test]
    fn other_ids_stay_as_they_are() {
        for id in
            ["Soft-Phone+17", "00:1a:e8-0a:0b:0c", "001a.e80a:0b0c", "00:1A:E8:0A:0B:0G", &"x".repeat(64)]
        {
            assert_eq!(read(id).unwrap(), id);
        }
        assert_eq!(read("a%25b").unwrap(), "a%b");
    }

    #[test]
    fn what_can_be_no_id_is_refused() {
        for (raw, expected) in [
            ("", BadId::Missing),
            ("%20%09", BadId::Missing),
            (&"x".repeat(65), BadId::TooLong),
            ("%", BadId::Escape),
            ("a%4", BadId::Escape),
            ("a%zz", BadId::Escape),
            ("a%2Fb", BadId::Character),
            ("a%20b", BadId::Character),
            ("%C3%A4", BadId::Character),
            ("a%00", BadId::Character),
        ] {
            assert_eq!(read(raw), Err(expected), "{raw}");
        }
    }
}
