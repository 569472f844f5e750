//! One phone's connection, relayed byte for byte.
//!
//! Nothing is read that cannot be handed on: a slow core slows the phone, a slow phone slows the core. An idle connection
//! holds no buffer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use callboard_codecs::edge::{RELAY_HEADER_BYTES, RelayDoor, RelayHeader};
use quinn::{RecvStream, SendStream, WriteError};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::timeout;

use super::figures::{Figures, RelayOutcome};
use super::link::Link;
use crate::edge::quic::Close;

/// Most that is taken from a phone at once.
const CHUNK_BYTES: usize = 16_384;

/// When one direction has ended well, the other has this long to end too.
const HALF_CLOSED: Duration = Duration::from_mins(1);

/// When the core has said all, the phone has this long to close.
const LINGER: Duration = Duration::from_secs(2);

/// Relays a phone's connection to the end.
pub(super) async fn relay(link: Arc<Link>, door: RelayDoor, mut phone: TcpStream, client: SocketAddr) {
    let Some(connection) = link.current.load_full() else {
        return link.figures.relay(RelayOutcome::CoreAway);
    };
    let opened = timeout(link.limits.open_timeout, connection.open_bi()).await;
    drop(connection);
    let (mut send, receive) = match opened {
        Ok(Ok(stream)) => stream,
        Ok(Err(_)) => return link.figures.relay(RelayOutcome::CoreAway),
        Err(_) => return link.figures.relay(RelayOutcome::NoStream),
    };
    link.figures.relay(RelayOutcome::Relayed);
    let _open = link.figures.open();
    let mut header = Vec::with_capacity(RELAY_HEADER_BYTES);
    RelayHeader { door, client }.write(&mut header);
    if send.write_chunk(header.into()).await.is_ok() {
        pump(&link, &mut phone, send, receive).await;
    }
}

/// How a direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Its sender has said all.
    Finished,
    /// Its receiver wants no more.
    Unwanted,
    /// It broke.
    Broken,
}

async fn pump(link: &Link, phone: &mut TcpStream, mut send: SendStream, mut receive: RecvStream) {
    let (from, mut to) = phone.split();
    let ended = {
        let up = up(&link.figures, &from, &mut send);
        let down = down(link, &mut receive, &mut to);
        tokio::pin!(up, down);
        tokio::select! {
            end = &mut up => match end {
                End::Broken => End::Broken,
                // What the core still has to say is for the phone.
                End::Finished | End::Unwanted => timeout(HALF_CLOSED, down).await.unwrap_or(End::Broken),
            },
            end = &mut down => match end {
                End::Finished => {
                    let _ = timeout(LINGER, up).await;
                    End::Finished
                }
                End::Unwanted | End::Broken => End::Broken,
            },
        }
    };
    if ended == End::Broken {
        let _ = send.reset(Close::Done.code());
        let _ = receive.stop(Close::Done.code());
    }
}

/// From the phone to the core.
async fn up(figures: &Figures, from: &ReadHalf<'_>, send: &mut SendStream) -> End {
    loop {
        if from.readable().await.is_err() {
            return End::Broken;
        }
        let bytes = match take(from) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return End::Broken,
        };
        if bytes.is_empty() {
            let _ = send.finish();
            return End::Finished;
        }
        figures.up(bytes.len());
        match send.write_chunk(bytes).await {
            Ok(()) => {}
            Err(WriteError::Stopped(_)) => return End::Unwanted,
            Err(_) => return End::Broken,
        }
    }
}

/// What has arrived, in as much memory as it needs.
fn take(from: &ReadHalf<'_>) -> io::Result<Bytes> {
    let mut space = [0; CHUNK_BYTES];
    let length = from.try_read(&mut space)?;
    Ok(Bytes::copy_from_slice(space.get(..length).unwrap_or_default()))
}

/// From the core to the phone.
async fn down(link: &Link, receive: &mut RecvStream, to: &mut WriteHalf<'_>) -> End {
    loop {
        let chunk = match receive.read_chunk(CHUNK_BYTES, true).await {
            Ok(Some(chunk)) => chunk.bytes,
            Ok(None) => {
                let _ = to.shutdown().await;
                return End::Finished;
            }
            Err(_) => return End::Broken,
        };
        link.figures.down(chunk.len());
        match timeout(link.limits.write_timeout, to.write_all(&chunk)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return End::Unwanted,
            Err(_) => return End::Broken,
        }
    }
}
