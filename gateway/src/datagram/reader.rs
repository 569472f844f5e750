//! Reading datagrams, many with one system call.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use quinn_udp::{BATCH_SIZE, RecvMeta};

use super::link::UdpLink;

/// Bytes for one datagram: the largest there is, and several of one size that the system puts together.
const DATAGRAM_BYTES: usize = 65_535;

/// Reads what comes in on one socket.
#[derive(Debug)]
pub struct UdpReader {
    link: Arc<UdpLink>,
    space: Box<[u8]>,
    metas: [RecvMeta; BATCH_SIZE],
    /// Buffers that the last reading filled.
    filled: usize,
}

/// One datagram that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// What was sent.
    pub bytes: &'a [u8],
    /// Who sent it, in the form in which this socket answers.
    pub from: SocketAddr,
    /// The address of this machine that it was sent to, in the same form.
    pub to: Option<IpAddr>,
}

impl Received<'_> {
    /// Who sent it; an IPv4 address is one, whatever the socket is.
    pub fn remote(&self) -> SocketAddr {
        SocketAddr::new(self.from.ip().to_canonical(), self.from.port())
    }

    /// The address that it was sent to, in the same form.
    pub fn local(&self) -> Option<IpAddr> {
        self.to.map(|local| local.to_canonical())
    }
}

impl UdpReader {
    /// Reads from this socket.
    pub fn new(link: Arc<UdpLink>) -> Self {
        let space = vec![0; DATAGRAM_BYTES * BATCH_SIZE].into_boxed_slice();
        Self { link, space, metas: [RecvMeta::default(); BATCH_SIZE], filled: 0 }
    }

    /// Wait for datagrams, and take as many as there are and have room: [`Self::datagrams`]. Nothing is lost if the wait is given
    /// up.
    ///
    /// # Errors
    /// If the system refuses. Who goes on should pause.
    pub async fn read(&mut self) -> io::Result<()> {
        let Self { link, space, metas, filled } = self;
        *filled = 0;
        *filled = std::future::poll_fn(|cx| {
            let mut buffers = space.chunks_mut(DATAGRAM_BYTES).map(IoSliceMut::new);
            let mut buffers: [IoSliceMut<'_>; BATCH_SIZE] =
                std::array::from_fn(|_| buffers.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
            link.poll_receive(cx, &mut buffers, metas)
        })
        .await?;
        let came = metas.iter().take(*filled).map(|meta| meta.len.div_ceil(meta.stride.max(1))).sum();
        link.metrics().received(came);
        Ok(())
    }

    /// What the last reading took. A wildcard socket hears of every group that some program of this machine has joined: what was
    /// sent to one is left out.
    pub fn datagrams(&self) -> impl Iterator<Item = Received<'_>> {
        let filled = self.metas.iter().take(self.filled).zip(self.space.chunks(DATAGRAM_BYTES));
        filled.filter(|(meta, _)| !is_to_group(meta)).flat_map(|(meta, buffer)| {
            let bytes = buffer.get(..meta.len).unwrap_or_default();
            bytes.chunks(meta.stride.max(1)).map(|bytes| Received { bytes, from: meta.addr, to: meta.dst_ip })
        })
    }
}

fn is_to_group(meta: &RecvMeta) -> bool {
    meta.dst_ip.is_some_and(|to| to.to_canonical().is_multicast())
}

#[cfg(test)]
mod tests {
    use super::super::metrics::{Protocol, UdpMetrics};
    use super::*;

    #[tokio::test]
    async fn datagrams_are_read_as_they_were_sent_until_the_next_reading() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        let metrics = Arc::new(UdpMetrics::new(Protocol { word: "test", name: "test" }));
        let mut reader = UdpReader::new(Arc::new(UdpLink::new(socket, metrics).unwrap()));
        assert_eq!(reader.datagrams().count(), 0);
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let (mut seen, sent) = (Vec::new(), [&b"one"[..], b"two and more", b"three"]);
        for bytes in sent {
            sender.send_to(bytes, at).unwrap();
        }
        while seen.len() < sent.len() {
            reader.read().await.unwrap();
            for datagram in reader.datagrams() {
                assert_eq!(datagram.remote(), sender.local_addr().unwrap());
                assert_eq!(datagram.local(), Some(at.ip()));
                seen.push(datagram.bytes.to_vec());
            }
        }
        assert_eq!(seen, sent);
        let given_up = is_ready_at_once(reader.read());
        assert!(!given_up && reader.datagrams().next().is_none(), "what was read before is not read again");
    }

    /// Whether a future is ready at once.
    fn is_ready_at_once<T>(future: impl Future<Output = T>) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(future).as_mut().poll(&mut context).is_ready()
    }
}
