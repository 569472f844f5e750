//! What stands before the bytes of a relayed connection.

use std::net::{IpAddr, SocketAddr};

use super::FrameError;
use super::read::address;

/// Version of the header.
const VERSION: u8 = 1;

/// Longest header: version, door, family, an IPv6 address, a port.
pub const RELAY_HEADER_BYTES: usize = 21;

/// The door of the core that a relayed connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelayDoor {
    /// Phones in default mode.
    Wpi,
    /// Phones in secure mode.
    WpiSecure,
}

impl RelayDoor {
    /// All doors.
    pub const ALL: [Self; 2] = [Self::Wpi, Self::WpiSecure];

    const fn code(self) -> u8 {
        match self {
            Self::Wpi => 1,
            Self::WpiSecure => 2,
        }
    }
}

/// Who is at the other end of a relayed connection, and which door it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayHeader {
    /// The door.
    pub door: RelayDoor,
    /// The phone's address as the edge sees it.
    pub client: SocketAddr,
}

impl RelayHeader {
    /// Appends the header.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[VERSION, self.door.code()]);
        write_address(self.client, out);
    }
}

pub(super) fn write_address(address: SocketAddr, out: &mut Vec<u8>) {
    match address.ip() {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend_from_slice(&ip.octets());
        }
    }
    out.extend_from_slice(&address.port().to_be_bytes());
}

/// The header at the beginning of `input`, with the number of bytes that it takes; `None` if more are needed.
///
/// # Errors
/// [`FrameError::Header`] as soon as the bytes cannot become a header.
pub fn read_relay_header(input: &[u8]) -> Result<Option<(RelayHeader, usize)>, FrameError> {
    let [version, door, family, ..] = *input else {
        let is_good = input.first().is_none_or(|version| *version == VERSION);
        return if is_good { Ok(None) } else { Err(FrameError::Header) };
    };
    let door = RelayDoor::ALL.into_iter().find(|known| known.code() == door);
    let length = match family {
        4 => 9,
        6 => RELAY_HEADER_BYTES,
        _ => return Err(FrameError::Header),
    };
    let (VERSION, Some(door)) = (version, door) else { return Err(FrameError::Header) };
    let Some(bytes) = input.get(2..length) else { return Ok(None) };
    match address(bytes) {
        Ok(([], client)) => Ok(Some((RelayHeader { door, client }, length))),
        _ => Err(FrameError::Header),
    }
}
