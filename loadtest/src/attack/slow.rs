//! Slow-loris peers: each does as little as keeps its connection alive.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{Counts, Field};
use crate::call::PATH;
use crate::wire::link::connect_tcp;

/// Between two bytes of a peer.
const DRIBBLE: Duration = Duration::from_secs(3);
/// Between two messages of a peer that reads nothing.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// Before a peer that was thrown out comes again, at least; at most twice as long.
const PAUSE: Duration = Duration::from_secs(1);
/// Peers come one after the other over this time, so that they do not only queue in the kernel.
pub(super) const RAMP_PER_SECOND: f64 = 1_000.0;

/// What a slow peer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Connects and says nothing.
    Silent,
    /// Begins a TLS handshake, byte by byte.
    HalfHandshake,
    /// Shakes hands and sends a request's head, byte by byte.
    HalfHead,
    /// Sends a whole head and then the body, byte by byte.
    HalfBody,
    /// Sends good messages of no flow now and then, and reads no answer.
    NoReading,
}

impl Manner {
    fn of(number: u32) -> Self {
        [Self::Silent, Self::HalfHandshake, Self::HalfHead, Self::HalfBody, Self::NoReading]
            [(number % 5) as usize]
    }
}

/// One slow peer, for ever.
pub(super) async fn peer(field: Field, number: u32) {
    tokio::time::sleep(Duration::from_secs_f64(f64::from(number) / RAMP_PER_SECOND)).await;
    loop {
        let Ok(tcp) = connect_tcp(Field::source(number), field.target).await else {
            Counts::add(&field.counts.refused);
            pause().await;
            continue;
        };
        let held = Held::new(&field);
        let manner = Manner::of(number);
        if matches!(manner, Manner::Silent | Manner::HalfHandshake) {
            let hello = client_hello(&field);
            let slowly = if manner == Manner::Silent { &[] } else { &*hello };
            dribble(tcp, b"", slowly).await;
        } else if let Ok(tls) = field.tls.connect(ServerName::from(field.target.ip()), tcp).await {
            let head = request_head(&field.host);
            match manner {
                Manner::HalfHead => dribble(tls, b"", head.as_bytes()).await,
                Manner::HalfBody => dribble(tls, head.as_bytes(), &[b' '; 2_000]).await,
                _ => ask_without_reading(tls, &field.host).await,
            }
        }
        drop(held);
        Counts::add(&field.counts.ended);
        pause().await;
    }
}

async fn pause() {
    tokio::time::sleep(PAUSE.mul_f64(1.0 + rand::random::<f64>())).await;
}

/// Counts a connection while it is open.
struct Held<'a>(&'a Field);

impl<'a> Held<'a> {
    fn new(field: &'a Field) -> Self {
        field.counts.held.fetch_add(1, Ordering::Relaxed);
        Self(field)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.counts.held.fetch_sub(1, Ordering::Relaxed);
    }
}

fn request_head(host: &str) -> String {
    format!("POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/xml\r\nContent-Length: 2000\r\n\r\n")
}

/// The first message of a handshake, as the TLS stack would send it.
fn client_hello(field: &Field) -> Vec<u8> {
    let mut hello = Vec::new();
    let name = ServerName::from(field.target.ip());
    if let Ok(mut connection) = rustls::ClientConnection::new(field.tls.config().clone(), name) {
        // Into a Vec it cannot fail.
        let _ = connection.write_tls(&mut hello);
    }
    hello
}

/// Send `first` at once and `slowly` a byte at a time, then nothing, until the server ends the connection.
async fn dribble(mut stream: impl AsyncRead + AsyncWrite + Unpin, first: &[u8], slowly: &[u8]) {
    if stream.write_all(first).await.is_err() || stream.flush().await.is_err() {
        return;
    }
    let mut unsent = slowly.iter();
    let mut answer = [0; 512];
    loop {
        tokio::select! {
            read = stream.read(&mut answer) => match read {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            },
            () = tokio::time::sleep(DRIBBLE) => {
                if let Some(byte) = unsent.next()
                    && (stream.write_all(&[*byte]).await.is_err() || stream.flush().await.is_err())
                {
                    return;
                }
            }
        }
    }
}

/// Send messages until nothing more is taken; read nothing.
async fn ask_without_reading(mut stream: impl AsyncWrite + Unpin, host: &str) {
    let request = stray_reply(host);
    loop {
        // When the server takes no more this waits, and when it has ended the connection it fails.
        if stream.write_all(request.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// A well-formed reply that belongs to no flow: the service cleans up and keeps nothing.
fn stray_reply(host: &str) -> String {
    let body = "<?xml version=\"1.0\"?><WorkpointMessage xmlns=\"http://www.siemens.com/DLS\"><Message nonce=\"5A5A\" \
                fragment=\"final\"><ReasonForContact action=\"WriteItems\" status=\"accepted\">reply-to\
                </ReasonForContact></Message></WorkpointMessage>";
    let length = body.len();
    format!(
        "POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_manners_occur() {
        let seen: Vec<_> = (0..5).map(Manner::of).collect();
        for manner in
            [Manner::Silent, Manner::HalfHandshake, Manner::HalfHead, Manner::HalfBody, Manner::NoReading]
        {
            assert!(seen.contains(&manner));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dribble_goes_on_until_the_other_side_ends_it() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let peer = tokio::spawn(dribble(ours, b"head", b"abc"));
        let mut got = [0; 7];
        theirs.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"headabc");
        assert!(!peer.is_finished());
        drop(theirs);
        peer.await.unwrap();
    }
}
