//! Connections of polling phones: over memory pipes in virtual time, and over a stream that counts.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use callboard_codecs::dcmp::{Told, parse_answer};
use callboard_core::device::DeviceId;
use callboard_core::reach::pending::PendingSet;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex,
};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::DcmpHandler;
use crate::listen::{Limits, StreamConn, StreamHandler};

const BUSY: &str = "00:1a:e8:0a:0b:0c";
const FREE: &str = "00:1a:e8:0a:0b:0d";
const SPACING: Duration = Duration::from_secs(5);

fn peer() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 41], 1_024))
}

/// One device has work waiting.
fn handler() -> DcmpHandler {
    let pending = Arc::new(PendingSet::default());
    pending.insert(&BUSY.parse::<DeviceId>().unwrap());
    DcmpHandler::new(pending, SPACING, 1_024)
}

fn get(device: &str) -> String {
    format!("GET /dcmp/contact-me?device-id={device} HTTP/1.1\r\nHost: dcmp.example.net:8080\r\n\r\n")
}

/// A phone's end of a connection.
struct Phone {
    stream: DuplexStream,
    read: Vec<u8>,
    task: JoinHandle<()>,
    began: Instant,
}

impl Phone {
    fn connect(limits: Limits, room: usize) -> Self {
        Self::on(StreamConn::alone(peer(), limits).unwrap(), room)
    }

    fn on(conn: StreamConn, room: usize) -> Self {
        let (stream, ours) = duplex(room);
        let task = tokio::spawn(async move { handler().serve(ours, conn).await });
        Self { stream, read: Vec::new(), task, began: Instant::now() }
    }

    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next answer; `None` if the connection ends.
    async fn told(&mut self) -> Option<Told> {
        loop {
            if let Some((told, length)) = parse_answer(&self.read, 4_096).unwrap() {
                self.read.drain(..length);
                return Some(told);
            }
            if self.stream.read_buf(&mut self.read).await.unwrap() == 0 {
                assert!(self.read.is_empty());
                return None;
            }
        }
    }

    async fn status(&mut self) -> (u16, bool) {
        let told = self.told().await.unwrap();
        (told.status, told.keep_alive)
    }

    /// The server ends the connection after so many seconds, counted from its beginning.
    async fn ends_after(mut self, seconds: u64) {
        assert_eq!(self.told().await, None);
        self.task.await.unwrap();
        assert_eq!(self.began.elapsed().as_secs(), seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_work_is_told_in_every_spelling_and_however_often() {
    let mut phone = Phone::connect(Limits::default(), 4_096);
    for spelling in
        [BUSY, "00:1A:E8:0A:0B:0C", "00%3a1a%3Ae8%3A0a%3A0b%3A0c", "00-1a-e8-0a-0b-0c", "001AE80A0B0C"]
    {
        phone.send(&get(spelling)).await;
        assert_eq!(phone.status().await, (202, true), "{spelling}");
    }
    for device in [FREE, FREE, "nobody-knows-me"] {
        phone.send(&get(device)).await;
        assert_eq!(phone.status().await, (200, true), "{device}");
    }
    phone.send(&get(BUSY).replace("HTTP/1.1", "HTTP/1.0")).await;
    assert_eq!(phone.status().await, (202, false));
    phone.ends_after(0).await;
}

#[tokio::test(start_paused = true)]
async fn polls_may_come_together_or_byte_by_byte() {
    let all = [get(BUSY), get(FREE), get(BUSY)].concat();
    for piece in [1, 7, 90, 1_000] {
        let mut phone = Phone::connect(Limits::default(), 4_096);
        for bytes in all.as_bytes().chunks(piece) {
            phone.stream.write_all(bytes).await.unwrap();
            tokio::task::yield_now().await;
        }
        for expected in [202, 200, 202] {
            assert_eq!(phone.status().await, (expected, true), "{piece}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_gets_all_answers_in_the_end() {
    const POLLS: usize = 300;
    // Room for less than one answer, and for less than two polls.
    let mut phone = Phone::connect(Limits::default(), 100);
    let (mut reader, mut writer) = tokio::io::split(phone.stream);
    let sender = tokio::spawn(async move {
        for at in 0..POLLS {
            writer.write_all(get(if at % 3 == 0 { BUSY } else { FREE }).as_bytes()).await.unwrap();
        }
        writer
    });
    for at in 0..POLLS {
        let status = loop {
            if let Some((told, length)) = parse_answer(&phone.read, 4_096).unwrap() {
                phone.read.drain(..length);
                break told.status;
            }
            assert!(reader.read_buf(&mut phone.read).await.unwrap() > 0);
        };
        assert_eq!(status, if at % 3 == 0 { 202 } else { 200 }, "{at}");
    }
    sender.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_no_poll_is_told_so_and_ends_the_connection() {
    for (request, status) in [
        (get("").as_str(), 400),
        (get(&"x".repeat(65)).as_str(), 400),
        (get("a%2Fb").as_str(), 400),
        ("hello\r\n", 400),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 404),
        ("DELETE /dcmp/contact-me?device-id=x HTTP/1.1\r\n\r\n", 405),
        (format!("{}x: {}\r\n", get("x").trim_end_matches("\r\n"), "y".repeat(5_000)).as_str(), 431),
        (format!("GET /contact-me?device-id=x HTTP/1.1\r\nx: {}", "y".repeat(4_060)).as_str(), 431),
    ] {
        let limits = Limits { header_bytes: 4_096, ..Limits::default() };
        let mut phone = Phone::connect(limits, 16_384);
        phone.send(request).await;
        assert_eq!(phone.status().await, (status, false), "{request:?}");
        // Nothing behind it is looked at.
        let _ = phone.stream.write_all(get(BUSY).as_bytes()).await;
        assert_eq!(phone.told().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn over_a_limit_only_waiting_work_is_told() {
    let full = Limits { connections: 0, ..Limits::default() };
    for (device, status) in [(BUSY, 202), (FREE, 503)] {
        let mut phone = Phone::connect(full.clone(), 4_096);
        phone.send(&get(device)).await;
        assert_eq!(phone.status().await, (status, false));
        phone.ends_after(0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_asks_too_often_is_told_later_whatever_waits() {
    let bounded = Limits { requests_per_source_per_second: 3, ..Limits::default() };
    // Sent at once or one by one.
    for piece in [1_000, 1] {
        let mut phone = Phone::connect(bounded.clone(), 4_096);
        let polls = [BUSY, FREE, BUSY, BUSY, BUSY].map(get).concat();
        for bytes in polls.as_bytes().chunks(piece) {
            let _ = phone.stream.write_all(bytes).await;
        }
        for expected in [(202, true), (200, true), (202, true), (503, false)] {
            assert_eq!(phone.status().await, expected, "{piece}");
        }
        phone.ends_after(0).await;
    }
    // All that a source has open counts together, and a second later there is room again.
    let [one, two] = StreamConn::two(peer(), bounded.clone());
    let (mut one, mut two) = (Phone::on(one, 4_096), Phone::on(two, 4_096));
    for _ in 0..3 {
        one.send(&get(BUSY)).await;
        assert_eq!(one.status().await, (202, true));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..3 {
        one.send(&get(FREE)).await;
        assert_eq!(one.status().await, (200, true));
    }
    two.send(&get(BUSY)).await;
    assert_eq!(two.status().await, (503, false));
    // Where many stand behind one address, and where there is no bound, all are told.
    let exempt = Limits { exempt_networks: vec!["192.0.2.0/24".parse().unwrap()], ..bounded };
    let unbounded = Limits { requests_per_source_per_second: 0, ..Limits::default() };
    for limits in [exempt, unbounded] {
        let mut phone = Phone::connect(limits, 4_096);
        for _ in 0..50 {
            phone.send(&get(BUSY)).await;
            assert_eq!(phone.status().await, (202, true));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_holds_a_connection_for_nothing() {
    let limits = Limits {
        header_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(15),
        write_timeout: Duration::from_secs(30),
        connection_lifetime: Duration::from_mins(1),
        ..Limits::default()
    };
    // It says nothing.
    Phone::connect(limits.clone(), 4_096).ends_after(10).await;
    // It rests; each poll begins the time anew.
    let mut rests = Phone::connect(limits.clone(), 4_096);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(9)).await;
        rests.send(&get(FREE)).await;
        assert_eq!(rests.status().await, (200, true));
    }
    rests.ends_after(27 + 15).await;
    // It sends one poll for ever.
    let mut trickles = Phone::connect(limits.clone(), 4_096);
    trickles.send(&get(FREE)).await;
    assert_eq!(trickles.status().await, (200, true));
    for byte in get(FREE).chars().take(4) {
        tokio::time::sleep(Duration::from_secs(2)).await;
        trickles.send(&byte.to_string()).await;
    }
    trickles.ends_after(2 + 10).await;
    // It does not take its answers.
    let mut deaf = Phone::connect(limits.clone(), 100);
    deaf.send(&get(FREE)).await;
    deaf.send(&get(FREE)).await;
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert!(!deaf.task.is_finished());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(deaf.task.is_finished());
    // It is there for too long.
    let mut old = Phone::connect(limits, 4_096);
    for turn in 1..=7 {
        tokio::time::sleep(Duration::from_secs(9)).await;
        old.send(&get(FREE)).await;
        assert_eq!(old.status().await, (200, turn < 7));
    }
}

/// A stream that gives the same poll as often as it is told to, and takes every answer.
struct Counting {
    poll: Vec<u8>,
    left: usize,
    answered: usize,
}

impl AsyncRead for Counting {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Pending;
        }
        this.left -= 1;
        buf.put_slice(&this.poll);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counting {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        assert!(bytes.starts_with(b"HTTP/1.1 20"));
        this.answered += 1;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Lets a handler answer so many polls of one device, all on one connection, and counts the allocations.
fn allocations(handler: &DcmpHandler, device: &str, polls: usize) -> u64 {
    let mut stream = Counting { poll: get(device).into_bytes(), left: polls, answered: 0 };
    // As many as can come are asked about and let in.
    let limits = Limits { requests_per_source_per_second: 1_000_000, ..Limits::default() };
    let conn = StreamConn::alone(peer(), limits).unwrap();
    let counted = {
        let mut serving = pin!(handler.serve(&mut stream, conn));
        allocation_counter::measure(|| {
            let polled = serving.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending(), "it waits for the next poll");
        })
    };
    assert_eq!(stream.answered, polls);
    counted.count_total
}

#[tokio::test]
async fn a_poll_allocates_nothing() {
    let handler = handler();
    // What a thread sets up at its first look, and a connection at its first wait.
    for device in [BUSY, FREE] {
        allocations(&handler, device, 1);
        let (few, many) = (allocations(&handler, device, 10), allocations(&handler, device, 10_010));
        assert_eq!(few, many, "ten thousand polls of {device}");
        assert_eq!(few, 0, "nor does a connection");
    }
}
