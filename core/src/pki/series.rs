//! Serial numbers that belong together.

/// How the serial numbers of some certificates begin, so that the certificates are known by it without a list of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series([u8; Series::BYTES]);

impl Series {
    /// Bytes of a serial number that tell its series; as many random ones follow (RFC 5280, section 4.1.2.2, allows 20).
    pub const BYTES: usize = 8;

    /// From random bits.
    pub fn new(random: u64) -> Self {
        let mut bytes = random.to_be_bytes();
        // Neither negative nor shortened in its DER form.
        bytes[0] = bytes[0] & 0x7f | 0x40;
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// Lower-case hex.
    pub fn to_hex(self) -> String {
        format!("{:016x}", u64::from_be_bytes(self.0))
    }

    /// From what [`Series::to_hex`] wrote.
    pub fn from_hex(text: &str) -> Option<Self> {
        let series = (text.len() == 2 * Self::BYTES).then(|| u64::from_str_radix(text, 16).ok())??;
        let series = Self(series.to_be_bytes());
        (series.to_hex() == text).then_some(series)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_positive_and_is_read_as_it_is_written() {
        for random in [0, 1, u64::MAX, 0x8000_0000_0000_0007] {
            let series = Series::new(random);
            assert!((0x40..0x80).contains(&series.as_bytes()[0]));
            assert_eq!(Series::from_hex(&series.to_hex()), Some(series));
        }
        for text in ["", "40", "400000000000000x", "+000000000000001", "40000000000000000000000000000000"] {
            assert_eq!(Series::from_hex(text), None, "{text}");
        }
    }
}
