//! Sockets that share an address.

use std::net::SocketAddr;

use crate::listen::{BindError, BoundUdp, Door, bind_udp_shared};

/// Opens `sockets` sockets with one address, among which the system shares out the senders. Port 0 is chosen once.
///
/// # Errors
/// If one cannot be opened.
pub fn bind_udp_group(
    door: Door,
    address: SocketAddr,
    sockets: usize,
    buffer_bytes: usize,
) -> Result<Vec<BoundUdp>, BindError> {
    let first = bind_udp_shared(door, address, buffer_bytes)?;
    let address = SocketAddr::new(address.ip(), first.local_addr().port());
    let mut bound = vec![first];
    for _ in 1..sockets {
        bound.push(bind_udp_shared(door, address, buffer_bytes)?);
    }
    Ok(bound)
}
