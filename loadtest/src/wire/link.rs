//! A phone's connection: connect from an address of its own, one request, one answer, again.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::head::{self, Head};
use crate::fault::Fault;

/// Bytes that one read may bring.
const READ_BYTES: usize = 8_192;
/// Longest head in bytes.
const MAX_HEAD: usize = 8_192;

/// The source address of a phone: one of `sources` addresses in `127.<block>.0.0/16`.
pub(crate) fn source(number: u32, sources: u16, block: u8) -> Ipv4Addr {
    // Zero-based host parts would give network addresses; loopback takes them, but they are confusing in logs.
    let host = number % u32::from(sources.max(1)) + 1;
    let [_, _, high, low] = host.to_be_bytes();
    Ipv4Addr::new(127, block, high, low)
}

/// Open a TCP connection from `source`.
pub(crate) async fn connect_tcp(source: Ipv4Addr, target: SocketAddr) -> Result<TcpStream, Fault> {
    let connect = async {
        let socket = TcpSocket::new_v4()?;
        if target.ip().is_loopback() {
            socket.bind(SocketAddrV4::new(source, 0).into())?;
        }
        let stream = socket.connect(target).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    connect.await.map_err(Fault::Connect)
}

/// A TLS connection with its read buffer.
pub(crate) struct Link {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
    /// Bytes at the front of the buffer that belong to the last answer.
    consumed: usize,
}

/// An answer whose head is good; the body is in the link's buffer.
pub(crate) struct Answer<'a> {
    pub(crate) head: Head,
    pub(crate) body: &'a [u8],
    /// The whole answer as it came.
    pub(crate) raw: &'a [u8],
}

impl Link {
    /// Connect and shake hands.
    pub(crate) async fn open(
        source: Ipv4Addr,
        target: SocketAddr,
        tls: &TlsConnector,
        buffer: Vec<u8>,
    ) -> Result<Self, Fault> {
        let tcp = connect_tcp(source, target).await?;
        let stream = tls.connect(ServerName::from(target.ip()), tcp).await.map_err(Fault::Handshake)?;
        Ok(Self { stream, buffer, consumed: 0 })
    }

    /// Send a request and read the answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Answer<'_>, Fault> {
        self.settle()?;
        let broken = |doing| move |source| Fault::Broken { doing, source };
        self.stream.write_all(request).await.map_err(broken("sending"))?;
        self.stream.flush().await.map_err(broken("sending"))?;
        let head = loop {
            if let Some(head) = head::read(&self.buffer)? {
                break head;
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(Fault::Head("too long".into()));
            }
            self.fill("waiting for an answer").await?;
        };
        let end = head.len + head.body;
        while self.buffer.len() < end {
            self.fill("reading an answer").await?;
        }
        self.consumed = end;
        if self.buffer.len() > end {
            return Err(Fault::Trailing(self.buffer.len() - end));
        }
        Ok(Answer { body: &self.buffer[head.len..end], raw: &self.buffer[..end], head })
    }

    /// Drop the last answer; nothing may have come after it.
    fn settle(&mut self) -> Result<(), Fault> {
        let extra = self.buffer.len() - self.consumed;
        self.buffer.clear();
        self.consumed = 0;
        if extra > 0 { Err(Fault::Trailing(extra)) } else { Ok(()) }
    }

    async fn fill(&mut self, doing: &'static str) -> Result<(), Fault> {
        self.buffer.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => Err(Fault::Ended(doing)),
            Ok(_) => Ok(()),
            Err(source) => Err(Fault::Broken { doing, source }),
        }
    }

    /// Say goodbye, as a phone does after `CleanUp`. Gives the buffer back for the next link.
    pub(crate) async fn close(mut self) -> Vec<u8> {
        // The dialogue is over; whether the goodbye arrives does not matter.
        let _ = self.stream.shutdown().await;
        self.buffer.clear();
        self.buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn sources_are_spread_within_their_block() {
        let seen: HashSet<_> = (0..10_000).map(|n| source(n, 4096, 1)).collect();
        assert_eq!(seen.len(), 4096);
        assert!(seen.iter().all(|ip| ip.octets()[..2] == [127, 1]));
    }
}
