//! Whole doors over real sockets.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::Echo;
use super::recorder::Memory;
use crate::listen::{
    ConnInfo, Door, Handler, Limits, Phase, RequestBody, Shutdown, TowerHandler, bind, serve,
};
use crate::tls::{Identity, Purpose, Settings};

const GET: &[u8] = b"GET /count HTTP/1.1\r\nHost: x\r\n\r\n";

struct Running {
    address: SocketAddr,
    metrics: Memory,
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

fn open<H: Handler>(limits: Limits, handler: H, tls: Option<Arc<crate::tls::Server>>) -> Running {
    let bound = bind(Door::WPI, "127.0.0.1:0".parse().unwrap(), 64).unwrap();
    let address = bound.local_addr();
    let (metrics, shutdown) = (Memory::default(), Shutdown::new());
    let ending = shutdown.clone();
    let door = metrics::with_local_recorder(&metrics, || {
        serve(bound, tls, Arc::new(limits), Arc::new(handler), ending)
    });
    let task = tokio::spawn(door);
    Running { address, metrics, shutdown, task }
}

/// Sends a request and reads the answer's first line; empty if the connection is closed instead.
async fn ask(stream: &mut TcpStream) -> String {
    if stream.write_all(GET).await.is_err() {
        return String::new();
    }
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return String::new(),
        }
    }
    let head = String::from_utf8(head).unwrap();
    let lower = head.to_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let length: usize = length.parse().unwrap();
    stream.read_exact(&mut vec![0; length]).await.unwrap();
    head.lines().next().unwrap().to_owned()
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Waits for something the server does on its own, without guessing how long it takes.
    async fn until(&self, what: impl Fn(&Memory) -> bool) {
        tokio::time::timeout(Duration::from_secs(20), async {
            while !what(&self.metrics) {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("it happens");
    }

    async fn end(self) {
        self.shutdown.drain();
        self.task.await.unwrap();
        assert_eq!(self.shutdown.phase(), Phase::Draining);
    }
}

/// Answers what the connection's place in the limits deserves.
struct Place;

impl Handler for Place {
    type Body = Full<Bytes>;

    async fn call(&self, conn: Arc<ConnInfo>, _: Request<RequestBody>) -> Response<Full<Bytes>> {
        let status = if conn.shed().is_some() { 503 } else { 200 };
        Response::builder().status(status).body(Full::default()).unwrap()
    }
}

#[tokio::test]
async fn beyond_the_limit_connections_are_shed_then_closed() {
    let limits = Limits { connections: 2, shed_connections: 4, ..Limits::default() };
    let door = open(limits, Place, None);
    let mut inside = Vec::new();
    for _ in 0..2 {
        let mut stream = door.connect().await;
        assert_eq!(ask(&mut stream).await, "HTTP/1.1 200 OK");
        inside.push(stream);
    }
    let waiting = door.connect().await;
    door.until(|m| m.counter("listen_accepted_total{door=wpi}") == 3).await;
    // One source gets a quarter of the shed places, which is one here; it is taken.
    let mut closed = door.connect().await;
    assert_eq!(ask(&mut closed).await, "");
    assert_eq!(door.metrics.counter("listen_rejected_total{door=wpi,cause=connections}"), 1);
    let mut waiting = waiting;
    assert_eq!(ask(&mut waiting).await, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(waiting.read(&mut [0]).await.unwrap(), 0, "a shed connection is closed after its answer");
    door.until(|m| m.gauge("listen_shed_connections{door=wpi}") == 0).await;
    // Those inside are not disturbed, and a place that becomes free is given again.
    assert_eq!(ask(&mut inside[0]).await, "HTTP/1.1 200 OK");
    drop(inside.pop());
    door.until(|m| m.gauge("listen_connections{door=wpi}") == 1).await;
    assert_eq!(ask(&mut door.connect().await).await, "HTTP/1.1 200 OK");
    assert_eq!(door.metrics.gauge("listen_connections_limit{door=wpi}"), 2);
    door.end().await;
}

#[tokio::test]
async fn draining_closes_the_door_and_waits_for_those_inside() {
    let door = open(Limits::default(), Echo, None);
    let mut idle = door.connect().await;
    assert_eq!(ask(&mut idle).await, "HTTP/1.1 200 OK");
    let mut busy = door.connect().await;
    busy.write_all(b"POST /echo HTTP/1.1\r\nContent-Length: 2\r\n\r\nh").await.unwrap();
    door.until(|m| m.gauge("listen_connections{door=wpi}") == 2).await;
    // The half request must have been seen, not only sent; asking on a third connection puts an order between them.
    assert_eq!(ask(&mut door.connect().await).await, "HTTP/1.1 200 OK");
    door.shutdown.drain();
    let mut extra = String::new();
    idle.read_to_string(&mut extra).await.unwrap();
    assert_eq!(extra, "");
    while TcpStream::connect(door.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!door.task.is_finished());
    busy.write_all(b"i").await.unwrap();
    let mut text = String::new();
    busy.read_to_string(&mut text).await.unwrap();
    assert!(text.ends_with("hi"), "{text}");
    door.task.await.unwrap();
    assert_eq!(door.metrics.gauge("listen_connections{door=wpi}"), 0);
}

/// A dialogue of three messages, each on a connection of its own if the peer likes.
#[derive(Default)]
struct Dialogue {
    messages: AtomicUsize,
}

impl Handler for Dialogue {
    type Body = Full<Bytes>;

    async fn call(&self, conn: Arc<ConnInfo>, _: Request<RequestBody>) -> Response<Full<Bytes>> {
        let begins = self.messages.load(Relaxed) == 0;
        let status = if begins && conn.shed().is_some() { 503 } else { 200 };
        if status == 200 {
            let count = self.messages.fetch_add(1, Relaxed) + 1;
            conn.set_in_dialogue(count < 3);
        }
        Response::builder().status(status).body(Full::default()).unwrap()
    }

    fn open_dialogues(&self) -> Option<usize> {
        Some(usize::from((1..3).contains(&self.messages.load(Relaxed))))
    }
}

#[tokio::test]
async fn draining_takes_connections_until_dialogues_are_over() {
    let door = open(Limits::default(), Dialogue::default(), None);
    assert_eq!(ask(&mut door.connect().await).await, "HTTP/1.1 200 OK");
    door.shutdown.drain();
    assert_eq!(ask(&mut door.connect().await).await, "HTTP/1.1 200 OK");
    let mut last = door.connect().await;
    assert_eq!(ask(&mut last).await, "HTTP/1.1 200 OK");
    assert_eq!(last.read(&mut [0]).await.unwrap(), 0, "a connection ends with its dialogue");
    door.task.await.unwrap();
    assert!(TcpStream::connect(door.address).await.is_err());
}

#[tokio::test]
async fn draining_turns_away_who_begins() {
    let dialogue = Dialogue { messages: AtomicUsize::new(0) };
    let door = open(Limits::default(), dialogue, None);
    // Connected before the drain, asks after it.
    let mut newcomer = door.connect().await;
    door.until(|m| m.gauge("listen_connections{door=wpi}") == 1).await;
    door.shutdown.drain();
    assert_eq!(ask(&mut newcomer).await, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(newcomer.read(&mut [0]).await.unwrap(), 0);
    door.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn draining_does_not_wait_for_ever_for_peers_that_are_gone() {
    let dialogue = Dialogue { messages: AtomicUsize::new(1) };
    let door = open(Limits::default(), dialogue, None);
    door.shutdown.drain();
    let began = tokio::time::Instant::now();
    door.task.await.unwrap();
    let took = began.elapsed().as_millis();
    assert!((10_000..10_020).contains(&took), "{took} ms");
}

#[tokio::test]
async fn a_tower_service_can_be_the_handler() {
    let service = tower::service_fn(|request: Request<RequestBody>| async move {
        let conn = request.extensions().get::<Arc<ConnInfo>>().unwrap();
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(conn.peer.ip().to_string()))))
    });
    let door = open(Limits::default(), TowerHandler(service), None);
    let mut stream = door.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.ends_with("127.0.0.1"), "{text}");
    door.end().await;
}

#[tokio::test]
async fn failed_handshakes_are_counted_and_leave_no_place_taken() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { directory: directory.path().join("tls"), ..Settings::default() };
    let identity = Identity::open(settings, jiff::Timestamp::now()).unwrap();
    let limits = Limits { handshake_timeout: Duration::from_millis(200), ..Limits::default() };
    let door = open(limits, Echo, Some(identity.server(Purpose::Phones).unwrap()));

    let mut garbage = door.connect().await;
    garbage.write_all(GET).await.unwrap();
    let silent = door.connect().await;
    drop(door.connect().await);
    let failed = |m: &Memory, outcome: &str| {
        m.counter(&format!("tls_handshakes_total{{door=wpi,outcome={outcome},version=none,key=none}}"))
    };
    door.until(|m| ["garbage", "timeout", "aborted"].iter().all(|outcome| failed(m, outcome) == 1)).await;
    door.until(|m| m.gauge("listen_connections{door=wpi}") == 0).await;
    drop(silent);
    door.end().await;
}
