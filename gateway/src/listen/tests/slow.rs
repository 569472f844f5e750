//! Long transfers, in virtual time: what goes on may last, what stops ends.

use std::convert::Infallible;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, Sleep, sleep};

use super::connection::{about, connect_to};
use crate::listen::{ConnInfo, Handler, RequestBody, read_body};

const PIECE_BYTES: usize = 16 * 1024;
const PIECES: u64 = 8;

/// A body of eight pieces with a pause before each.
struct Drip {
    left: u64,
    pause: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Drip {
    fn new(pieces: u64, pause: Duration) -> Self {
        Self { left: pieces, pause, sleep: Box::pin(sleep(pause)) }
    }
}

impl Body for Drip {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        ready!(self.sleep.as_mut().poll(cx));
        let next = Instant::now() + self.pause;
        self.sleep.as_mut().reset(next);
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(vec![b'x'; PIECE_BYTES].into()))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left * PIECE_BYTES as u64)
    }
}

/// Gives long answers at `/drip` (slowly) and `/pour`, and takes long bodies at `/take`.
struct Long;

impl Handler for Long {
    type Body = Drip;

    async fn call(&self, conn: Arc<ConnInfo>, request: Request<RequestBody>) -> Response<Drip> {
        let pause = match request.uri().path() {
            // Longer than a peer may take to read.
            "/drip" => Duration::from_secs(40),
            "/pour" => Duration::ZERO,
            _ => {
                conn.expect_long_body(true);
                let read = read_body(request.into_body(), 1 << 20).await;
                let mut response = Response::new(Drip::new(0, Duration::ZERO));
                *response.status_mut() =
                    if read.is_ok() { StatusCode::CREATED } else { StatusCode::BAD_REQUEST };
                return response;
            }
        };
        Response::new(Drip::new(PIECES, pause))
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

#[tokio::test(start_paused = true)]
async fn a_response_may_wait_for_its_source_again_and_again() {
    let mut peer = connect_to(Arc::new(Long), false);
    peer.send(&get("/drip")).await;
    let (head, body) = peer.response().await;
    assert!(head.contains("content-length: 131072") && !head.contains("chunked"), "{head}");
    assert_eq!(body.len(), 8 * PIECE_BYTES);
    assert!(about(peer.began.elapsed(), 320));
    // The connection goes on as any other.
    peer.send(&get("/pour")).await;
    assert_eq!(peer.response().await.1.len(), 8 * PIECE_BYTES);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_a_long_response_bit_by_bit_gets_all_of_it() {
    let mut peer = connect_to(Arc::new(Long), false);
    peer.send(&get("/pour")).await;
    let mut taken = 0;
    while taken < 8 * PIECE_BYTES {
        // 16 KiB in 20 s: far longer than a response's time for the whole, shorter for each part.
        sleep(Duration::from_secs(5)).await;
        let mut sip = [0; 4_096];
        let read = peer.stream.read(&mut sip).await.unwrap();
        assert!(read > 0, "closed after {taken} bytes and {:?}", peer.began.elapsed());
        taken += read;
    }
    assert!(peer.began.elapsed() > Duration::from_mins(2));
    assert_eq!(peer.metrics.counter("http_timeouts_total{door=wpi,phase=write}"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_taking_a_long_response_is_let_go() {
    let mut peer = connect_to(Arc::new(Long), false);
    peer.send(&get("/pour")).await;
    sleep(Duration::from_secs(10)).await;
    let mut much = vec![0; 3 * PIECE_BYTES];
    peer.stream.read_exact(&mut much).await.unwrap();
    let stopped = peer.began.elapsed();
    peer.task.await.unwrap();
    assert!(about(peer.began.elapsed().checked_sub(stopped).unwrap(), 30), "{:?}", peer.began.elapsed());
    assert_eq!(peer.metrics.counter("http_timeouts_total{door=wpi,phase=write}"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_long_body_may_last_as_long_as_it_comes() {
    let mut peer = connect_to(Arc::new(Long), false);
    peer.send("POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 280000\r\n\r\n").await;
    for _ in 0..4 {
        sleep(Duration::from_secs(25)).await;
        peer.send(&"x".repeat(70_000)).await;
    }
    let (head, _) = peer.response().await;
    assert!(head.starts_with("http/1.1 201 "), "{head}");
    assert!(about(peer.began.elapsed(), 100));
}

#[tokio::test(start_paused = true)]
async fn a_long_body_in_drops_ends_all_the_same() {
    let mut peer = connect_to(Arc::new(Long), false);
    peer.send("POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 280000\r\n\r\n").await;
    peer.send(&"x".repeat(70_000)).await;
    for _ in 0..29 {
        sleep(Duration::from_secs(1)).await;
        peer.send("x").await;
    }
    peer.task.await.unwrap();
    assert!(about(peer.began.elapsed(), 30));
    assert_eq!(peer.metrics.counter("http_timeouts_total{door=wpi,phase=body}"), 1);
}
