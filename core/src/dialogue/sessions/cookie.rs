//! The name of a flow.

use std::fmt;
use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;

/// The name of a flow: 128 unpredictable bits, of which six tell the shard.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cookie(u128);

impl Cookie {
    /// The number, to be remembered beside a connection.
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// From a number that [`Cookie::as_u128`] gave.
    pub const fn from_u128(number: u128) -> Self {
        Self(number)
    }

    /// The flow's number for the log.
    pub fn number(self) -> FlowNumber {
        #[allow(clippy::cast_possible_truncation)] // 32 bits are meant
        FlowNumber(FixedState::default().hash_one(self.0) as u32)
    }

    /// Read 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        digits.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(Self)
    }
}

/// Tells flows apart in the log. Far too short to guess the cookie from, so that who reads the log cannot speak for a
/// phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowNumber(u32);

impl fmt::Display for FlowNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032X}", self.0)
    }
}

impl fmt::Debug for Cookie {
    /// The first digits only: whoever has a cookie can speak for its phone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}…", self.0 >> 96)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_have_32_digits_and_hide_in_debug() {
        let cookie = Cookie::from_u128(0x0D3C_55F1);
        assert_eq!(cookie.to_string(), format!("{}0D3C55F1", "0".repeat(24)));
        assert_eq!(cookie.to_string().len(), 32);
        assert_eq!(Cookie::parse(&cookie.to_string()), Some(cookie));
        for bad in ["", "12", &"g".repeat(32), &format!("+{}", "1".repeat(31))] {
            assert_eq!(Cookie::parse(bad), None, "{bad}");
        }
        assert!(!format!("{cookie:?}").contains("D3C55F1"));
    }
}
