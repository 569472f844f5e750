//! A socket that many phones share: many datagrams with one system call each way.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::batch::{Batch, Run};

/// Bytes for one datagram: the largest there is, and several of one size that the system puts together.
const DATAGRAM_BYTES: usize = 65_535;
/// Buffers that one system call fills.
const BUFFERS: usize = 4;
/// Room that the system is asked for, in each direction. It may give less.
const SOCKET_BYTES: usize = 4 << 20;

pub(super) struct UdpLink {
    socket: UdpSocket,
    state: UdpSocketState,
    server: SocketAddr,
    space: Box<[u8]>,
}

impl UdpLink {
    pub(super) fn bind(local: SocketAddr, server: SocketAddr) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(local)?;
        socket.set_nonblocking(true)?;
        set_socket_recv_buffer_size(&socket, SOCKET_BYTES)?;
        set_socket_send_buffer_size(&socket, SOCKET_BYTES)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let space = vec![0; DATAGRAM_BYTES * BUFFERS].into_boxed_slice();
        Ok(Self { socket: UdpSocket::from_std(socket)?, state, server, space })
    }

    pub(super) fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Send all of them, waiting for room as long as the system has none.
    pub(super) async fn send(&self, batch: &Batch) -> io::Result<()> {
        for run in batch.runs(self.state.max_gso_segments()) {
            match self.send_run(&run).await {
                // What Linux says (EIO, EINVAL) when the way does not let one system call have many datagrams.
                Err(error) if run.datagrams > 1 && matches!(error.raw_os_error(), Some(5 | 22)) => {
                    for bytes in run.bytes.chunks(run.length) {
                        self.send_run(&Run { bytes, length: bytes.len(), datagrams: 1, ..run }).await?;
                    }
                }
                outcome => outcome?,
            }
        }
        Ok(())
    }

    async fn send_run(&self, run: &Run<'_>) -> io::Result<()> {
        let transmit = Transmit {
            destination: self.server,
            ecn: None,
            contents: run.bytes,
            segment_size: (run.datagrams > 1).then_some(run.length),
            src_ip: run.from,
        };
        let send = || self.state.try_send((&self.socket).into(), &transmit);
        loop {
            match self.socket.try_io(Interest::WRITABLE, send) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.socket.writable().await?,
                outcome => return outcome,
            }
        }
    }

    /// Wait for datagrams; `take` gets each that is there, with the address that it was sent to.
    pub(super) async fn receive(&mut self, mut take: impl FnMut(&[u8], Option<IpAddr>)) -> io::Result<()> {
        let mut metas = [RecvMeta::default(); BUFFERS];
        let filled = loop {
            self.socket.readable().await?;
            let mut buffers = self.space.chunks_mut(DATAGRAM_BYTES).map(IoSliceMut::new);
            let mut buffers: [IoSliceMut<'_>; BUFFERS] =
                std::array::from_fn(|_| buffers.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
            let receive = || self.state.recv((&self.socket).into(), &mut buffers, &mut metas);
            match self.socket.try_io(Interest::READABLE, receive) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => break outcome?,
            }
        };
        for (meta, buffer) in metas.iter().zip(self.space.chunks(DATAGRAM_BYTES)).take(filled) {
            for bytes in buffer[..meta.len].chunks(meta.stride.max(1)) {
                take(bytes, meta.dst_ip);
            }
        }
        Ok(())
    }
}
