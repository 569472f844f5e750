//! Attackers with connections: endless header fields, and silence.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::super::DOMAIN;
use super::super::stream::connect;
use super::{Counters, Force, Seen, over};
use crate::wire::link::source;

/// Bytes of a header field.
const LONG: usize = 1 << 20;
/// Longest time of one connection with such.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of these at the same time.
const LONG_AT_ONCE: usize = 256;
/// Silent connections that are opened per second.
const OPENED_PER_SECOND: u32 = 5_000;
/// The addresses of the attackers: 127.3.0.0/16 and 127.4.0.0/16.
const LONG_BLOCK: u8 = 3;
const SILENT_BLOCK: u8 = 4;
const SOURCES: u16 = 1_024;

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Connections with a header field of 1 MB each.
pub(super) async fn long_headers(
    force: Force,
    counters: Arc<Counters>,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<Seen> {
    let mut ticks = interval(Duration::from_secs_f64((100.0 / force.rate).max(1e-4)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut peers = JoinSet::new();
    for number in 0_u32.. {
        tokio::select! {
            biased;
            () = over(&mut stop) => break,
            _ = ticks.tick() => {}
        }
        while peers.try_join_next().is_some() {}
        if peers.len() < LONG_AT_ONCE {
            let counters = Arc::clone(&counters);
            peers.spawn(async move {
                match timeout(PATIENCE, long_header(force, number)).await {
                    // Whoever is not let in, or is cut off while it sends, is refused too.
                    Ok(Ok(false) | Err(_)) => count(&counters.long_refused),
                    Ok(Ok(true)) | Err(_) => count(&counters.long_taken),
                }
            });
        }
    }
    Ok(Seen::default())
}

/// Whether the server takes it.
async fn long_header(force: Force, number: u32) -> io::Result<bool> {
    let mut stream = connect(source(number, SOURCES, LONG_BLOCK).into(), force.tcp).await?;
    let head = format!(
        "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKl{number:x}\r\n\
         From: <sip:a@{DOMAIN}>;tag=1\r\nTo: <sip:a@{DOMAIN}>\r\nCall-ID: {number:x}\r\nCSeq: 1 REGISTER\r\n\
         Contact: <sip:a@127.0.0.1>\r\nX-Long: "
    );
    stream.write_all(head.as_bytes()).await?;
    let part = vec![b'a'; 16_384];
    for _ in 0..LONG / part.len() {
        stream.write_all(&part).await?;
    }
    stream.write_all(b"\r\nContent-Length: 0\r\n\r\n").await?;
    let mut answer = [0; 64];
    let read = stream.read(&mut answer).await?;
    Ok(answer[..read].starts_with(b"SIP/2.0 2"))
}

/// Connections that say nothing, as many as wanted, each opened anew when the server has ended it.
pub(super) async fn half_open(
    force: Force,
    counters: Arc<Counters>,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<Seen> {
    let mut peers = JoinSet::new();
    let mut ticks = interval(Duration::from_millis(10));
    let mut next = 0;
    while next < force.half_open {
        tokio::select! {
            biased;
            () = over(&mut stop) => return Ok(Seen::default()),
            _ = ticks.tick() => {}
        }
        let until = force.half_open.min(next + OPENED_PER_SECOND / 100);
        for number in next..until {
            peers.spawn(silent(force, number, Arc::clone(&counters)));
        }
        next = until;
    }
    // Dropping them closes the connections.
    over(&mut stop).await;
    Ok(Seen::default())
}

async fn silent(force: Force, number: u32, counters: Arc<Counters>) {
    const AGAIN: Duration = Duration::from_secs(1);
    loop {
        match connect(source(number, SOURCES, SILENT_BLOCK).into(), force.tcp).await {
            Ok(stream) => hold(stream, &counters).await,
            Err(_) => count(&counters.not_let_in),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Wait until the server ends the connection.
async fn hold(mut stream: TcpStream, counters: &Counters) {
    let held = counters.held.fetch_add(1, Ordering::Relaxed) + 1;
    counters.held_most.fetch_max(held, Ordering::Relaxed);
    let mut byte = [0];
    // Whatever comes, an end or an error: it is over.
    let _ = stream.read(&mut byte).await;
    counters.held.fetch_sub(1, Ordering::Relaxed);
    count(&counters.ended);
}
