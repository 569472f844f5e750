//! A connection that many phones share: TCP or TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};

use callboard_codecs::sip::{Frame, Framer, Limits, Side};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::batch::Batch;

/// Bytes that one read may bring.
const READ_BYTES: usize = 16_384;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(super) struct StreamLink {
    read: ReadHalf<Box<dyn Stream>>,
    write: WriteHalf<Box<dyn Stream>>,
    framer: Framer,
    input: Vec<u8>,
    /// What has to leave; of it so many bytes have.
    output: Vec<u8>,
    sent: usize,
    flushed: bool,
}

/// What became of a step.
enum Step {
    Read(io::Result<usize>),
    Wrote(io::Result<usize>),
    Flushed(io::Result<()>),
}

/// Open a TCP connection from this address.
pub(super) async fn connect(from: IpAddr, server: SocketAddr) -> io::Result<TcpStream> {
    let socket = if server.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(from, 0))?;
    let stream = socket.connect(server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl StreamLink {
    pub(super) async fn open(
        from: IpAddr,
        server: SocketAddr,
        tls: Option<&TlsConnector>,
    ) -> io::Result<Self> {
        let tcp = connect(from, server).await?;
        let stream: Box<dyn Stream> = match tls {
            Some(tls) => Box::new(tls.connect(ServerName::from(server.ip()), tcp).await?),
            None => Box::new(tcp),
        };
        let (read, write) = split(stream);
        let framer = Framer::new(Side::Client, Limits::default());
        Ok(Self { read, write, framer, input: Vec::new(), output: Vec::new(), sent: 0, flushed: true })
    }

    /// Have all of them sent by [`Self::receive`].
    pub(super) fn send(&mut self, batch: &Batch) {
        self.output.drain(..self.sent);
        self.sent = 0;
        self.output.extend_from_slice(batch.bytes());
    }

    /// Wait for messages, and send meanwhile what waits; `take` gets each whole message.
    pub(super) async fn receive(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        loop {
            match self.step().await {
                Step::Wrote(written) => {
                    self.sent += written?;
                    self.flushed = false;
                }
                Step::Flushed(outcome) => {
                    outcome?;
                    self.flushed = true;
                }
                Step::Read(read) => match read? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    _ => break,
                },
            }
        }
        let mut used = 0;
        loop {
            let rest = &self.input[used..];
            match self.framer.next(rest).map_err(|bad| io::Error::other(bad.to_string()))? {
                Frame::More => break,
                Frame::Ping(bytes) | Frame::Pong(bytes) => used += bytes,
                Frame::Message(bytes) => {
                    take(&rest[..bytes]);
                    used += bytes;
                }
            }
        }
        self.input.drain(..used);
        Ok(())
    }

    /// One step, which may be given up and taken again.
    async fn step(&mut self) -> Step {
        self.input.reserve(READ_BYTES);
        let waiting = &self.output[self.sent..];
        let is_idle = waiting.is_empty() && self.flushed;
        let write = async {
            if waiting.is_empty() {
                Step::Flushed(self.write.flush().await)
            } else {
                Step::Wrote(self.write.write(waiting).await)
            }
        };
        tokio::select! {
            step = write, if !is_idle => step,
            read = self.read.read_buf(&mut self.input) => Step::Read(read),
        }
    }
}
