//! Whether an address is this machine's.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use rustix::io::Errno;

/// Whether this machine has an address: only then a socket can be bound to it. Nothing is sent. `None`: there is no
/// socket to find out with.
///
/// Where the system lets programs bind to any address (`ip_nonlocal_bind`, as high availability has it), the way to the
/// address is asked for instead: it begins at the address itself if that is one of this machine.
#[must_use]
pub fn is_own(address: IpAddr) -> Option<bool> {
    // Addresses for documentation (RFC 5737, RFC 3849): nobody has them.
    let nobodys: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    let bound = can_bind(address)?;
    if bound && address != nobodys && can_bind(nobodys)? { begins_at(address) } else { Some(bound) }
}

fn can_bind(address: IpAddr) -> Option<bool> {
    match UdpSocket::bind((address, 0)) {
        Ok(_) => Some(true),
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => Some(false),
        // A machine without IPv6 has no IPv6 address.
        Err(error) if Errno::from_io_error(&error) == Some(Errno::AFNOSUPPORT) => Some(false),
        Err(error) => {
            tracing::debug!(%error, "no socket to look at this machine's addresses with");
            None
        }
    }
}

fn begins_at(address: IpAddr) -> Option<bool> {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // The port does not matter: connecting a UDP socket only looks the way up. No way there: not ours.
    if socket.connect((address, 9)).is_err() {
        return Some(false);
    }
    socket.local_addr().ok().map(|local| local.ip() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_its_addresses_and_no_others() {
        for own in ["127.0.0.1", "127.8.9.10"] {
            assert_eq!(is_own(own.parse().unwrap()), Some(true), "{own}");
        }
        for other in ["192.0.2.1", "198.51.100.77", "203.0.113.5", "2001:db8::1", "2001:db8::77"] {
            assert_eq!(is_own(other.parse().unwrap()), Some(false), "{other}");
        }
    }

    #[test]
    fn the_way_to_an_own_address_begins_there() {
        assert_eq!(begins_at(Ipv4Addr::LOCALHOST.into()), Some(true));
        assert_eq!(begins_at("198.51.100.77".parse().unwrap()), Some(false));
    }
}
