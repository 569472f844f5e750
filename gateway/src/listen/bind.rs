//! Opens the listening socket of a door.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::Door;
use super::accept::{Injected, Injector};

/// A door's address could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("door {door} cannot listen on {address}: {step}: {source}")]
pub struct BindError {
    /// The door.
    pub door: Door,
    /// The address it was to listen on.
    pub address: SocketAddr,
    /// The system call's purpose.
    pub step: &'static str,
    /// What the system said.
    pub source: io::Error,
}

/// An open listening socket; connections queue in the kernel until it is served.
#[derive(Debug)]
pub struct Bound {
    pub(super) door: Door,
    pub(super) listener: TcpListener,
    pub(super) injected: Option<mpsc::Receiver<Injected>>,
    local: SocketAddr,
}

impl Bound {
    /// The door it belongs to.
    pub fn door(&self) -> Door {
        self.door
    }

    /// A way to hand connections to the door beside those of its socket. At most `waiting` of them stand in line.
    pub fn injector(&mut self, waiting: usize) -> Injector {
        let (injector, injected) = mpsc::channel(waiting.max(1));
        self.injected = Some(injected);
        Injector(injector)
    }

    /// The address in use, with the port the system chose when port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

/// Opens `address` for `door`. `backlog` is the number of connections the kernel may queue (it caps it at
/// `net.core.somaxconn`). An IPv6 wildcard address takes IPv4 peers too.
///
/// Must be called inside a tokio runtime.
pub fn bind(door: Door, address: SocketAddr, backlog: u32) -> Result<Bound, BindError> {
    let failed = |step| move |source| BindError { door, address, step, source };
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))
        .map_err(failed("opening a socket"))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified()).map_err(failed("choosing IP versions"))?;
    }
    socket.set_reuse_address(true).map_err(failed("allowing a quick restart"))?;
    // Accepted sockets inherit this, which saves a system call for each of them.
    socket.set_tcp_nodelay(true).map_err(failed("turning off Nagle's algorithm"))?;
    socket.set_nonblocking(true).map_err(failed("making it non-blocking"))?;
    socket.bind(&address.into()).map_err(failed("binding"))?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX)).map_err(failed("listening"))?;
    let listener = TcpListener::from_std(socket.into()).map_err(failed("registering with the runtime"))?;
    let local = listener.local_addr().map_err(failed("reading its address"))?;
    Ok(Bound { door, listener, injected: None, local })
}

/// An open UDP socket.
#[derive(Debug)]
pub struct BoundUdp {
    door: Door,
    socket: UdpSocket,
    local: SocketAddr,
}

impl BoundUdp {
    /// The door it belongs to.
    pub fn door(&self) -> Door {
        self.door
    }

    /// The address in use, with the port the system chose when port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The socket, non-blocking.
    pub fn into_socket(self) -> UdpSocket {
        self.socket
    }
}

/// Opens a UDP socket for `door`, with room for `buffer_bytes` in each direction if the system grants it. An IPv6 wildcard
/// address takes IPv4 peers too.
pub fn bind_udp(door: Door, address: SocketAddr, buffer_bytes: usize) -> Result<BoundUdp, BindError> {
    open_udp(door, address, buffer_bytes, false)
}

/// Like [`bind_udp`], for one of several sockets with the same address (`SO_REUSEPORT`): the system gives each sender to one of
/// them.
pub fn bind_udp_shared(door: Door, address: SocketAddr, buffer_bytes: usize) -> Result<BoundUdp, BindError> {
    open_udp(door, address, buffer_bytes, true)
}

/// Opens a socket that takes what is sent to the group `address`, on the networks of these addresses of this machine; without
/// any, on the one that the system chooses. Other programs of this machine may listen to the group as well.
pub fn bind_group(door: Door, address: SocketAddrV4, interfaces: &[Ipv4Addr]) -> Result<BoundUdp, BindError> {
    let local = SocketAddr::V4(address);
    let failed = |step| move |source| BindError { door, address: local, step, source };
    let socket =
        Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).map_err(failed("opening a socket"))?;
    socket.set_reuse_address(true).map_err(failed("sharing its address"))?;
    // The wildcard sockets of the same port have it, too: without it they would be in the way.
    socket.set_reuse_port(true).map_err(failed("sharing its address"))?;
    socket.set_nonblocking(true).map_err(failed("making it non-blocking"))?;
    socket.bind(&local.into()).map_err(failed("binding"))?;
    let any = [Ipv4Addr::UNSPECIFIED];
    for interface in if interfaces.is_empty() { &any } else { interfaces } {
        socket.join_multicast_v4(address.ip(), interface).map_err(failed("joining the group"))?;
    }
    Ok(BoundUdp { door, socket: UdpSocket::from(socket), local })
}

fn open_udp(
    door: Door,
    address: SocketAddr,
    buffer_bytes: usize,
    shared: bool,
) -> Result<BoundUdp, BindError> {
    let failed = |step| move |source| BindError { door, address, step, source };
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))
        .map_err(failed("opening a socket"))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified()).map_err(failed("choosing IP versions"))?;
    }
    // The system cuts what is beyond its own bound (net.core.rmem_max); more is better, less works.
    for set in [Socket::set_recv_buffer_size, Socket::set_send_buffer_size] {
        if let Err(error) = set(&socket, buffer_bytes) {
            tracing::debug!(%door, %error, "the socket keeps its buffers as they are");
        }
    }
    socket.set_reuse_port(shared).map_err(failed("sharing its address"))?;
    socket.set_nonblocking(true).map_err(failed("making it non-blocking"))?;
    socket.bind(&address.into()).map_err(failed("binding"))?;
    let socket = UdpSocket::from(socket);
    let local = socket.local_addr().map_err(failed("reading its address"))?;
    Ok(BoundUdp { door, socket, local })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_address_is_named_in_the_error() {
        let first = bind(Door::WPI, "127.0.0.1:0".parse().unwrap(), 16).unwrap();
        assert_ne!(first.local_addr().port(), 0);
        let text = bind(Door::ADMIN, first.local_addr(), 16).unwrap_err().to_string();
        assert!(text.starts_with(&format!("door admin cannot listen on {}: ", first.local_addr())), "{text}");
    }

    #[tokio::test]
    async fn an_ipv6_wildcard_takes_ipv4_peers() {
        let Ok(bound) = bind(Door::WPI, "[::]:0".parse().unwrap(), 16) else {
            return; // No IPv6 on this machine.
        };
        let peer = tokio::net::TcpStream::connect(("127.0.0.1", bound.local_addr().port())).await.unwrap();
        let (_, seen) = bound.listener.accept().await.unwrap();
        assert_eq!(seen.port(), peer.local_addr().unwrap().port());
    }
}
