//! STUN as SIP needs it: a Binding request over the SIP port keeps a NAT open and asks for the address it is seen from
//! (RFC 5626, sections 3.5.2 and 8; RFC 8489).

use std::net::{IpAddr, SocketAddr};

const HEADER_BYTES: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
const BINDING_ERROR: [u8; 2] = [0x01, 0x11];
const XOR_MAPPED_ADDRESS: [u8; 2] = [0x00, 0x20];
const ERROR_CODE: [u8; 2] = [0x00, 0x09];
const UNKNOWN_ATTRIBUTES: [u8; 2] = [0x00, 0x0A];
/// Attributes that have to be understood and were not, of one request: how many are reported.
const MAX_REPORTED: usize = 8;

/// A Binding request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingRequest {
    /// Identifies it; the answer has the same.
    pub transaction: [u8; 12],
    /// The first attributes that have to be understood and are not: zero where there are no more.
    unknown: [u16; MAX_REPORTED],
}

/// This is no Binding request. It is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no STUN Binding request")]
pub struct BadStun;

/// Whether a datagram is STUN (RFC 8489, section 5).
pub(super) fn is_stun(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_BYTES
        && bytes.first().is_some_and(|first| *first < 0x40)
        && bytes.get(4..8) == Some(&MAGIC_COOKIE)
}

/// Attributes below 0x8000 have to be understood. These are, as they need nothing to be done: credentials that nobody asked for
/// (USERNAME, MESSAGE-INTEGRITY, REALM, NONCE and their successors).
const fn is_understood(attribute: u16) -> bool {
    matches!(attribute, 0x0006 | 0x0008 | 0x0014 | 0x0015 | 0x001C | 0x001D | 0x001E | 0x8000..)
}

impl BindingRequest {
    /// Read the request that is all of a datagram.
    ///
    /// # Errors
    /// If it is anything else: another message, or one whose lengths do not fit together.
    pub fn read(bytes: &[u8]) -> Result<Self, BadStun> {
        let (head, mut rest) = bytes.split_at_checked(HEADER_BYTES).ok_or(BadStun)?;
        let length = head.get(2..4).and_then(word).ok_or(BadStun)?;
        let good = is_stun(bytes) && head.starts_with(&BINDING_REQUEST) && usize::from(length) == rest.len();
        let transaction = head.get(8..).and_then(|id| id.try_into().ok()).filter(|_| good).ok_or(BadStun)?;
        let mut unknown = [0; MAX_REPORTED];
        let mut places = unknown.iter_mut();
        while !rest.is_empty() {
            let kind = rest.get(..2).and_then(word).ok_or(BadStun)?;
            let length = rest.get(2..4).and_then(word).ok_or(BadStun)?;
            let padded = 4 + usize::from(length).next_multiple_of(4);
            rest = rest.get(padded..).ok_or(BadStun)?;
            if !is_understood(kind)
                && let Some(place) = places.next()
            {
                *place = kind;
            }
        }
        Ok(Self { transaction, unknown })
    }

    /// Appends the answer: the address the request came from, or which attributes are unknown (RFC 8489, section 6.3.1).
    pub fn write_answer(&self, source: SocketAddr, out: &mut Vec<u8>) {
        let unknown = || self.unknown.iter().filter(|kind| **kind != 0);
        if unknown().next().is_some() {
            return self.write_unknown(unknown().count(), out);
        }
        let address = source.ip().to_canonical();
        let (family, length): (u8, u16) = if address.is_ipv4() { (1, 8) } else { (2, 20) };
        self.write_head(BINDING_SUCCESS, 4 + length, out);
        out.extend_from_slice(&XOR_MAPPED_ADDRESS);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&[0, family]);
        // Address and port are disguised, as some NATs rewrite whatever looks like an address (RFC 8489, section 14.2).
        let mask = MAGIC_COOKIE.into_iter().chain(self.transaction);
        let disguise = |bytes: &[u8], out: &mut Vec<u8>| {
            out.extend(bytes.iter().zip(mask.clone()).map(|(byte, mask)| byte ^ mask));
        };
        disguise(&source.port().to_be_bytes(), out);
        match address {
            IpAddr::V4(address) => disguise(&address.octets(), out),
            IpAddr::V6(address) => disguise(&address.octets(), out),
        }
    }

    fn write_unknown(&self, count: usize, out: &mut Vec<u8>) {
        const REASON: &[u8; 20] = b"Unknown attribute(s)";
        // 420 is written as its hundreds and the rest (RFC 8489, section 14.8).
        const CODE: [u8; 4] = [0, 0, 4, 20];
        let list = u16::try_from(2 * count).unwrap_or_default();
        let error = 24_u16;
        self.write_head(BINDING_ERROR, 4 + error + 4 + list.next_multiple_of(4), out);
        out.extend_from_slice(&ERROR_CODE);
        out.extend_from_slice(&error.to_be_bytes());
        out.extend_from_slice(&CODE);
        out.extend_from_slice(REASON);
        out.extend_from_slice(&UNKNOWN_ATTRIBUTES);
        out.extend_from_slice(&list.to_be_bytes());
        for kind in self.unknown.iter().take(count) {
            out.extend_from_slice(&kind.to_be_bytes());
        }
        if count % 2 == 1 {
            out.extend_from_slice(&[0, 0]);
        }
    }

    fn write_head(&self, kind: [u8; 2], length: u16, out: &mut Vec<u8>) {
        out.extend_from_slice(&kind);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&MAGIC_COOKIE);
        out.extend_from_slice(&self.transaction);
    }
}

fn word(bytes: &[u8]) -> Option<u16> {
    bytes.try_into().ok().map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The transaction of the examples of RFC 5769.
    const TRANSACTION: [u8; 12] = [0xB7, 0xE7, 0xA7, 0x01, 0xBC, 0x34, 0xD6, 0x86, 0xFA, 0x87, 0xDF, 0xAE];

    fn request(attributes: &[u8]) -> Vec<u8> {
        let length = u16::try_from(attributes.len()).unwrap().to_be_bytes();
        [&BINDING_REQUEST, &length, &MAGIC_COOKIE[..], &TRANSACTION, attributes].concat()
    }

    fn answer(attributes: &[u8], source: &str) -> Vec<u8> {
        let mut out = Vec::new();
        BindingRequest::read(&request(attributes)).unwrap().write_answer(source.parse().unwrap(), &mut out);
        out
    }

    /// The attribute of the sample response in RFC 5769, section 2.2.
    #[test]
    fn an_ipv4_address_is_disguised_as_in_the_rfc() {
        let attribute = [0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xA1, 0x47, 0xE1, 0x12, 0xA6, 0x43];
        let expected = [&[0x01, 0x01, 0x00, 0x0C][..], &MAGIC_COOKIE, &TRANSACTION, &attribute].concat();
        assert_eq!(answer(&[], "192.0.2.1:32853"), expected);
        assert_eq!(answer(&[], "[::ffff:192.0.2.1]:32853"), expected);
    }

    /// The attribute of the sample response in RFC 5769, section 2.3.
    #[test]
    fn an_ipv6_address_is_disguised_as_in_the_rfc() {
        let attribute = [
            0x00, 0x20, 0x00, 0x14, 0x00, 0x02, 0xA1, 0x47, 0x01, 0x13, 0xA9, 0xFA, 0xA5, 0xD3, 0xF1, 0x79,
            0xBC, 0x25, 0xF4, 0xB5, 0xBE, 0xD2, 0xB9, 0xD9,
        ];
        let out = answer(&[], "[2001:db8:1234:5678:11:2233:4455:6677]:32853");
        assert_eq!(out, [&[0x01, 0x01, 0x00, 0x18][..], &MAGIC_COOKIE, &TRANSACTION, &attribute].concat());
    }

    /// The attributes of the sample request in RFC 5769, section 2.1: it is for ICE, whose PRIORITY has to be understood.
    #[test]
    fn what_has_to_be_understood_and_is_not_is_reported() {
        let software = [&[0x80, 0x22, 0x00, 0x10][..], b"STUN test client"].concat();
        let username = [&[0x00, 0x06, 0x00, 0x09][..], b"evtj:h6vY   "].concat();
        let priority = [0x00, 0x24, 0x00, 0x04, 0x6E, 0x00, 0x01, 0xFF];
        assert_eq!(answer(&[&software[..], &username].concat(), "192.0.2.1:1")[..2], BINDING_SUCCESS);
        let out = answer(&[&software[..], &priority, &username].concat(), "192.0.2.1:1");
        let attributes =
            [&[0, 9, 0, 24, 0, 0, 4, 20][..], b"Unknown attribute(s)", &[0, 10, 0, 2, 0, 0x24, 0, 0]]
                .concat();
        assert_eq!(out, [&[0x01, 0x11, 0x00, 0x24][..], &MAGIC_COOKIE, &TRANSACTION, &attributes].concat());
        let many: Vec<u8> =
            (0x4000..0x4020_u16).flat_map(|kind| [kind.to_be_bytes(), [0, 0]].concat()).collect();
        assert_eq!(answer(&many, "192.0.2.1:1").len(), 20 + 28 + 4 + 2 * MAX_REPORTED);
    }

    #[test]
    fn what_is_no_binding_request_is_dropped() {
        let good = request(&[]);
        let mut success = good.clone();
        success[0] = 1;
        let mut long = good.clone();
        long[3] = 4;
        for bad in [
            &good[..19],
            &success,
            &long,
            &request(&[0, 6, 0, 9, 1]),
            &request(&[0, 6]),
            b"REGISTER sip:h SIP/2.0",
        ] {
            assert_eq!(BindingRequest::read(bad), Err(BadStun), "{bad:?}");
        }
        assert!(BindingRequest::read(&good).is_ok());
    }
}
