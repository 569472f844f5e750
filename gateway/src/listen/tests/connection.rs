//! One connection, over a memory pipe, in virtual time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Echo;
use super::recorder::Memory;
use crate::listen::admission::Admission;
use crate::listen::clock::{Clock, Timeouts};
use crate::listen::connection::{Shared, drive, http};
use crate::listen::framing::Verdict;
use crate::listen::metrics::DoorMetrics;
use crate::listen::{ConnInfo, Door, Handler, Limits, Shutdown};

const POST: &str = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";

/// A peer on the other end of the pipe.
pub(super) struct Peer {
    pub(super) stream: DuplexStream,
    pub(super) task: JoinHandle<()>,
    pub(super) began: Instant,
    shutdown: Shutdown,
    closing: CancellationToken,
    pub(super) metrics: Memory,
}

fn connect(shed: bool) -> Peer {
    connect_to(Arc::new(Echo), shed)
}

/// A connection to this handler.
pub(super) fn connect_to<H: Handler>(handler: Arc<H>, shed: bool) -> Peer {
    let metrics = Memory::default();
    let (shutdown, closing) = (Shutdown::new(), CancellationToken::new());
    let limits = Limits::default();
    let shared = Shared {
        handler,
        http: http(&limits),
        metrics: Arc::new(metrics::with_local_recorder(&metrics, || DoorMetrics::new(Door::WPI, 1))),
        timeouts: Arc::new(Timeouts::new(&limits)),
        drain_timeout: limits.drain_timeout,
        buffers_timeout: limits.buffers_timeout,
        shutdown: shutdown.clone(),
        closing: closing.clone(),
    };
    // The first connection of a door without room is shed.
    let room = Limits { connections: usize::from(!shed), ..limits.clone() };
    let place =
        Admission::new(Arc::new(room), Arc::clone(&shared.metrics)).admit([192, 0, 2, 1].into(), None);
    let conn = Arc::new(ConnInfo {
        door: Door::WPI,
        peer: SocketAddr::from(([192, 0, 2, 1], 1)),
        site: None,
        client: None,
        id: 1,
        flow: Mutex::new(None),
        place: place.unwrap(),
        in_dialogue: AtomicBool::new(false),
        long_body: AtomicBool::new(false),
        shutdown: shutdown.clone(),
        framing: Verdict::default(),
        clock: Clock::new(Arc::new(Timeouts::new(&limits))),
    });
    let (stream, ours) = duplex(16 * 1024);
    let task = tokio::spawn(async move { drive(ours, conn, &shared).await });
    Peer { stream, task, began: Instant::now(), shutdown, closing, metrics }
}

impl Peer {
    pub(super) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads one response with a Content-Length: head in lower case, and body.
    pub(super) async fn response(&mut self) -> (String, String) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.expect("a whole head"));
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |text| text.parse().unwrap())];
        self.stream.read_exact(&mut body).await.unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    /// Reads until the other side closes, and waits for its task; returns what came and when, since the beginning.
    async fn rest(mut self) -> (String, Duration) {
        let mut text = Vec::new();
        let _ = self.stream.read_to_end(&mut text).await;
        let closed = self.began.elapsed();
        drop(self.stream);
        self.task.await.unwrap();
        (String::from_utf8(text).unwrap(), closed)
    }

    fn errors(&self, cause: &str) -> u64 {
        self.metrics.counter(&format!("http_errors_total{{door=wpi,cause={cause}}}"))
    }
}

/// The virtual clock steps in whole milliseconds.
pub(super) fn about(seen: Duration, seconds: u64) -> bool {
    let expected = Duration::from_secs(seconds);
    seen >= expected && seen < expected + Duration::from_millis(20)
}

#[tokio::test(start_paused = true)]
async fn requests_follow_each_other_with_pauses() {
    let mut peer = connect(false);
    for (pause, count) in [(0, "1"), (0, "2"), (9, "3"), (44, "4"), (44, "5")] {
        sleep(Duration::from_secs(pause)).await;
        peer.send("GET /count HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let (head, body) = peer.response().await;
        assert!(head.starts_with("http/1.1 200 ok"), "{head}");
        assert!(!head.contains("connection: close") && !head.contains("chunked"), "{head}");
        assert_eq!(body, count);
    }
    drop(peer.stream);
    peer.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn two_requests_in_one_write_are_both_answered() {
    let mut peer = connect(false);
    peer.send(&[POST, POST].concat()).await;
    assert_eq!(peer.response().await.1, "hello");
    assert_eq!(peer.response().await.1, "hello");
    // The second half of a request comes while the connection is parked with the first half.
    peer.send(&POST[..20]).await;
    sleep(Duration::from_secs(5)).await;
    peer.send(&POST[20..]).await;
    assert_eq!(peer.response().await.1, "hello");
}

#[tokio::test(start_paused = true)]
async fn silence_after_connecting_ends() {
    let peer = connect(false);
    let metrics = peer.metrics.clone();
    let (text, closed) = peer.rest().await;
    assert!(text.is_empty() && about(closed, 10), "{text:?} {closed:?}");
    assert_eq!(metrics.counter("http_timeouts_total{door=wpi,phase=header}"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_head_in_drops_ends_at_its_absolute_limit() {
    let mut peer = connect(false);
    sleep(Duration::from_secs(3)).await;
    peer.send("POST /echo HTTP/1.1\r\n").await;
    // A new connection's first head is due from the beginning on, however many bytes trickle in.
    for second in 4..10 {
        sleep(Duration::from_secs(1)).await;
        peer.send(&format!("X-{second}: drop\r\n")).await;
    }
    let metrics = peer.metrics.clone();
    assert!(about(peer.rest().await.1, 10));
    assert_eq!(metrics.counter("http_timeouts_total{door=wpi,phase=header}"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_later_head_has_its_time_from_its_first_byte() {
    let mut peer = connect(false);
    peer.send(POST).await;
    peer.response().await;
    sleep(Duration::from_secs(30)).await;
    peer.send("POST /").await;
    let (text, closed) = peer.rest().await;
    assert!(text.is_empty() && about(closed, 40), "{text:?} {closed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_in_drops_ends() {
    let mut peer = connect(false);
    peer.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n").await;
    for _ in 0..29 {
        sleep(Duration::from_secs(1)).await;
        peer.send("x").await;
    }
    let metrics = peer.metrics.clone();
    assert!(about(peer.rest().await.1, 30));
    assert_eq!(metrics.counter("http_timeouts_total{door=wpi,phase=body}"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_response_nobody_reads_ends() {
    let mut peer = connect(false);
    peer.send("GET /long HTTP/1.1\r\nHost: x\r\n\r\n").await;
    // Taking a little now and then does not help: the whole response is due.
    for _ in 0..15 {
        sleep(Duration::from_secs(2)).await;
        let mut sip = [0; 64];
        let _ = peer.stream.read(&mut sip).await.unwrap();
    }
    peer.task.await.unwrap();
    assert!(about(peer.began.elapsed(), 30));
    assert_eq!(peer.metrics.counter("http_timeouts_total{door=wpi,phase=write}"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stuck_handler_ends() {
    let mut peer = connect(false);
    peer.send("GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let metrics = peer.metrics.clone();
    assert!(about(peer.rest().await.1, 60));
    assert_eq!(metrics.counter("http_timeouts_total{door=wpi,phase=handler}"), 1);
}

#[tokio::test(start_paused = true)]
async fn idleness_ends() {
    let mut peer = connect(false);
    peer.send(POST).await;
    peer.response().await;
    let metrics = peer.metrics.clone();
    assert!(about(peer.rest().await.1, 45));
    assert_eq!(metrics.counter("http_timeouts_total{door=wpi,phase=idle}"), 1);
    assert_eq!(metrics.counter("http_timeouts_total{door=wpi,phase=header}"), 0);
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_ends_between_requests() {
    for busy_at_its_end in [false, true] {
        let mut peer = connect(false);
        for _ in 0..89 {
            peer.send(POST).await;
            assert!(!peer.response().await.0.contains("connection: close"));
            sleep(Duration::from_secs(40)).await;
        }
        peer.send(POST).await;
        peer.response().await;
        if busy_at_its_end {
            sleep(Duration::from_secs(35)).await;
            peer.send(&POST[..POST.len() - 1]).await;
            sleep(Duration::from_secs(10)).await;
            peer.send("o").await;
            assert!(peer.response().await.0.contains("connection: close"));
        }
        let end = if busy_at_its_end { 3_605 } else { 3_600 };
        let (text, closed) = peer.rest().await;
        assert!(text.is_empty() && about(closed, end), "{text:?} {closed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn http_1_0_closes_unless_asked_to_stay() {
    let mut peer = connect(false);
    peer.send("POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi").await;
    let (head, body) = peer.response().await;
    assert!(head.contains("connection: keep-alive"), "{head}");
    assert_eq!(body, "hi");
    peer.send("POST /echo HTTP/1.0\r\nContent-Length: 2\r\n\r\nho").await;
    let (text, closed) = peer.rest().await;
    assert!(text.starts_with("HTTP/1.0 200") && text.ends_with("\r\n\r\nho"), "{text}");
    assert!(about(closed, 0), "{closed:?}");
}

#[tokio::test(start_paused = true)]
async fn continue_is_sent_when_the_body_is_wanted() {
    let mut peer = connect(false);
    peer.send("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n").await;
    assert!(peer.response().await.0.starts_with("http/1.1 100 "));
    peer.send("hi").await;
    assert_eq!(peer.response().await.1, "hi");
    peer.send("POST /early HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n").await;
    let (head, _) = peer.response().await;
    assert!(head.starts_with("http/1.1 403") && head.contains("connection: close"), "{head}");
}

#[tokio::test(start_paused = true)]
async fn a_chunked_body_is_put_together_and_bounded() {
    let mut peer = connect(false);
    let head = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    peer.send(head).await;
    for part in ["3\r\nabc\r\n", "4\r\ndefg\r\n", "0\r\n\r\n"] {
        sleep(Duration::from_secs(1)).await;
        peer.send(part).await;
    }
    assert_eq!(peer.response().await.1, "abcdefg");
    let mut peer = connect(false);
    peer.send(head).await;
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    for _ in 0..5 {
        peer.send(&chunk).await;
    }
    let (head, _) = peer.response().await;
    assert!(head.starts_with("http/1.1 413") && head.contains("connection: close"), "{head}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_body_does_not_cost_the_response() {
    let mut peer = connect(false);
    peer.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n").await;
    // The pipe holds less than this: somebody must read it although nobody wants it.
    let (mut reader, mut writer) = tokio::io::split(peer.stream);
    let sent = tokio::spawn(async move { writer.write_all(&vec![b'x'; 200_000]).await });
    let mut text = String::new();
    reader.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 413"), "{text}");
    sent.await.unwrap().expect("all of the body is taken");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_http_gets_400_and_the_end() {
    for garbage in ["\u{1}\u{2}\u{3}\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n"] {
        let mut peer = connect(false);
        peer.send(garbage).await;
        let (head, body) = peer.response().await;
        assert!(head.starts_with("http/1.1 400") && head.contains("connection: close"), "{head}");
        assert!(body.is_empty());
        let metrics = peer.metrics.clone();
        assert!(peer.rest().await.0.is_empty());
        assert_eq!(metrics.counter("http_errors_total{door=wpi,cause=parse}"), 1, "{garbage:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_length_that_can_be_read_in_two_ways_is_refused() {
    let both = ["Transfer-Encoding: chunked", "Content-Length: 5"];
    for [one, other] in
        [both, [both[1], both[0]], [both[1], both[1]], ["Transfer-Encoding: x, chunked", "X: y"]]
    {
        let mut peer = connect(false);
        let bad = format!("POST /echo HTTP/1.1\r\nHost: x\r\n{one}\r\n{other}\r\n\r\n0\r\n\r\n");
        // What hides behind it is never answered; what came before it is.
        peer.send(&[POST, &bad, POST].concat()).await;
        assert_eq!(peer.response().await.1, "hello");
        let (head, body) = peer.response().await;
        assert!(
            head.starts_with("http/1.1 400 ") && head.contains("connection: close"),
            "{one} {other}: {head}"
        );
        assert_eq!((body.as_str(), peer.errors("ambiguous_length")), ("", 1), "{one} {other}");
        assert_eq!(peer.rest().await.0, "", "{one} {other}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_follows_a_chunked_request() {
    let mut peer = connect(false);
    let chunked =
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    peer.send(&[chunked, POST].concat()).await;
    let (head, body) = peer.response().await;
    assert!(head.starts_with("http/1.1 200 ") && head.contains("connection: close"), "{head}");
    assert_eq!((body.as_str(), peer.rest().await.0.as_str()), ("hello", ""));
}

#[tokio::test(start_paused = true)]
async fn a_head_beyond_the_limit_is_refused() {
    let mut peer = connect(false);
    peer.send(&format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(17_000))).await;
    let (head, _) = peer.response().await;
    assert!(head.starts_with("http/1.1 431") && head.contains("connection: close"), "{head}");
    assert_eq!(peer.errors("head_too_large"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_leaves_in_the_middle_is_counted() {
    let mut peer = connect(false);
    peer.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nhello").await;
    sleep(Duration::from_secs(1)).await;
    drop(peer.stream);
    peer.task.await.unwrap();
    let all: u64 = ["parse", "head_too_large", "incomplete", "unsent", "other"]
        .map(|cause| peer.metrics.counter(&format!("http_errors_total{{door=wpi,cause={cause}}}")))
        .into_iter()
        .sum();
    assert_eq!(all, 1);
}

#[tokio::test(start_paused = true)]
async fn a_shed_connection_closes_after_one_answer() {
    let mut peer = connect(true);
    peer.send(&[POST, POST].concat()).await;
    let (text, _) = peer.rest().await;
    assert!(text.starts_with("HTTP/1.1 503") && text.to_lowercase().contains("connection: close"), "{text}");
    assert_eq!(text.matches("HTTP/1.1").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn draining_closes_the_idle_at_once() {
    for pause in [0, 5] {
        let mut peer = connect(false);
        peer.send(POST).await;
        peer.response().await;
        sleep(Duration::from_secs(pause)).await;
        peer.shutdown.drain();
        assert!(about(peer.rest().await.1, pause));
    }
}

#[tokio::test(start_paused = true)]
async fn draining_answers_who_has_not_asked_yet() {
    let mut peer = connect(false);
    peer.shutdown.drain();
    sleep(Duration::from_secs(2)).await;
    peer.send(POST).await;
    let (text, closed) = peer.rest().await;
    assert!(text.to_lowercase().contains("connection: close") && text.ends_with("later"), "{text}");
    assert!(about(closed, 2), "{closed:?}");

    let peer = connect(false);
    peer.shutdown.drain();
    sleep(Duration::from_secs(2)).await;
    peer.closing.cancel();
    assert!(about(peer.rest().await.1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_dialogue_that_begins_as_the_drain_does_keeps_its_connection() {
    let mut peer = connect(false);
    peer.send("POST /go-on HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nh").await;
    sleep(Duration::from_secs(1)).await;
    peer.shutdown.drain();
    sleep(Duration::from_secs(1)).await;
    peer.send("i").await;
    assert!(!peer.response().await.0.contains("connection: close"));
    sleep(Duration::from_secs(1)).await;
    // Ended on another connection: this one rests until the door closes.
    peer.closing.cancel();
    let (text, closed) = peer.rest().await;
    assert!(text.is_empty() && about(closed, 3), "{text:?} {closed:?}");
}

#[tokio::test(start_paused = true)]
async fn draining_finishes_the_request_in_hand() {
    let mut peer = connect(false);
    peer.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n").await;
    sleep(Duration::from_secs(1)).await;
    peer.shutdown.drain();
    sleep(Duration::from_secs(1)).await;
    peer.send("hello").await;
    let (text, closed) = peer.rest().await;
    assert!(text.to_lowercase().contains("connection: close") && text.ends_with("hello"), "{text}");
    assert!(about(closed, 2), "{closed:?}");
}

#[tokio::test(start_paused = true)]
async fn draining_lets_a_dialogue_come_to_its_end() {
    let mut peer = connect(false);
    let step = |path| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    peer.send(&step("/go-on")).await;
    assert!(!peer.response().await.0.contains("connection: close"));
    peer.shutdown.drain();
    // Longer than a connection keeps its buffers.
    for pause in [0, 3] {
        sleep(Duration::from_secs(pause)).await;
        peer.send(&step("/go-on")).await;
        assert!(!peer.response().await.0.contains("connection: close"));
    }
    peer.send(&step("/over")).await;
    let (text, closed) = peer.rest().await;
    assert!(text.to_lowercase().contains("connection: close"), "{text}");
    assert!(about(closed, 3), "{closed:?}");
}

#[tokio::test(start_paused = true)]
async fn draining_does_not_wait_for_ever_for_a_dialogue() {
    let mut peer = connect(false);
    peer.send("GET /go-on HTTP/1.1\r\nHost: x\r\n\r\n").await;
    peer.response().await;
    peer.shutdown.drain();
    let (text, closed) = peer.rest().await;
    assert!(text.is_empty() && about(closed, 10), "{text:?} {closed:?}");
}

#[tokio::test(start_paused = true)]
async fn draining_has_an_end() {
    let mut peer = connect(false);
    peer.send("GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n").await;
    sleep(Duration::from_secs(1)).await;
    peer.shutdown.drain();
    assert!(about(peer.rest().await.1, 11));

    let mut peer = connect(false);
    peer.send("GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n").await;
    peer.shutdown.drain();
    sleep(Duration::from_secs(1)).await;
    peer.shutdown.stop();
    assert!(about(peer.rest().await.1, 1));
}
