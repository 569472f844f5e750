//! quinn on tokio, its tasks after all others that are due.
//!
//! A relayed connection that writes wakes the task that makes packets, and tokio's runtime of many threads would run that task
//! next, with the bytes of one connection. Behind the others it finds the bytes of all of them: fewer packets,
//! acknowledgements and system calls.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};

use super::quic::PACKET_BYTES;

/// The runtime of the endpoints of both sides.
#[derive(Debug)]
pub(super) struct LastInLine;

impl Runtime for LastInLine {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        TokioRuntime.spawn(Box::pin(Behind { future, has_waited: false }));
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(Batching(TokioRuntime.wrap_udp_socket(socket)?)))
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}

/// A task that goes to the end of the line each time it is woken.
struct Behind {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    has_waited: bool,
}

impl Future for Behind {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.has_waited = !self.has_waited;
        if self.has_waited {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.future.as_mut().poll(cx)
    }
}

/// Most bytes that the system takes at once, cut into packets or not: those of the longest UDP payload (IPv4).
const BATCH_BYTES: usize = 65_507;

/// Most packets that are handed to the system at once. quinn takes no account of their size: of a longer batch nothing would
/// leave, and nothing would say so.
const BATCH_PACKETS: usize = BATCH_BYTES / PACKET_BYTES as usize;

/// A socket that is given no more at once than it can send.
#[derive(Debug)]
struct Batching(Arc<dyn AsyncUdpSocket>);

impl AsyncUdpSocket for Batching {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.0).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.0.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        received: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_recv(cx, buffers, received)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.0.max_transmit_segments().min(BATCH_PACKETS)
    }

    fn max_receive_segments(&self) -> usize {
        self.0.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.0.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn the_longest_batch_can_be_sent() {
        let (from, to) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let destination = to.local_addr().unwrap();
        from.set_nonblocking(true).unwrap();
        let socket = LastInLine.wrap_udp_socket(from).unwrap();
        let length = socket.max_transmit_segments() * usize::from(PACKET_BYTES);
        let contents = vec![7; length];
        let transmit = Transmit {
            destination,
            ecn: None,
            contents: &contents,
            segment_size: Some(usize::from(PACKET_BYTES)),
            src_ip: None,
        };
        let mut poller = socket.clone().create_io_poller();
        std::future::poll_fn(|cx| poller.as_mut().poll_writable(cx)).await.unwrap();
        socket.try_send(&transmit).unwrap();
        to.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let (mut received, mut space) = (0, vec![0; length]);
        while received < length {
            received += to.recv(&mut space).unwrap();
        }
    }

    /// What the task of quinn and the connections of phones do, by name.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn packets_are_made_when_all_that_is_due_has_written() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let [waits, bell, done] = [(); 3].map(|()| Arc::new(Notify::new()));
        let (driver, ready, rung, ended) = (seen.clone(), waits.clone(), bell.clone(), done.clone());
        LastInLine.spawn(Box::pin(async move {
            ready.notify_one();
            rung.notified().await;
            driver.lock().unwrap().push("packet");
            ended.notify_one();
        }));
        waits.notified().await;
        let written = seen.clone();
        // On the one thread, so that all of them are due when the first is over.
        tokio::spawn(async move {
            for _ in 0..3 {
                let (seen, bell) = (written.clone(), bell.clone());
                tokio::spawn(async move {
                    seen.lock().unwrap().push("write");
                    bell.notify_one();
                });
            }
        });
        done.notified().await;
        assert_eq!(*seen.lock().unwrap(), ["write", "write", "write", "packet"]);
    }
}
