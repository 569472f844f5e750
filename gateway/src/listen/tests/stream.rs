//! Doors whose handler takes whole connections.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::recorder::Memory;
use crate::listen::{Door, Limits, Shutdown, StreamConn, StreamHandler, Waiting, bind, serve_streams};

/// Answers each byte with one: whether the connection is shed.
struct Bytewise;

impl StreamHandler for Bytewise {
    async fn serve<S>(&self, mut stream: S, conn: StreamConn)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        while stream.read_u8().await.is_ok() {
            let answer = if conn.is_shed() { b's' } else { b'.' };
            if stream.write_u8(answer).await.is_err() || conn.is_shed() {
                return conn.timed_out(Waiting::Write);
            }
        }
    }
}

#[tokio::test]
async fn a_stream_handler_lives_under_the_same_bounds_and_ends_with_the_door() {
    let bound = bind(Door::DCMP, "127.0.0.1:0".parse().unwrap(), 64).unwrap();
    let address = bound.local_addr();
    let (metrics, shutdown) = (Memory::default(), Shutdown::new());
    let limits =
        Limits { connections: 1, connections_per_source: 1, shed_connections: 4, ..Limits::default() };
    let door = metrics::with_local_recorder(&metrics, || {
        serve_streams(bound, None, Arc::new(limits), Arc::new(Bytewise), shutdown.clone())
    });
    let task = tokio::spawn(door);
    let mut inside = TcpStream::connect(address).await.unwrap();
    for _ in 0..3 {
        inside.write_u8(b'?').await.unwrap();
        assert_eq!(inside.read_u8().await.unwrap(), b'.');
    }
    let mut beyond = TcpStream::connect(address).await.unwrap();
    beyond.write_u8(b'?').await.unwrap();
    assert_eq!(beyond.read_u8().await.unwrap(), b's');
    assert!(beyond.read_u8().await.is_err(), "its handler ended it");
    assert_eq!(metrics.counter("http_timeouts_total{door=dcmp,phase=write}"), 1);
    shutdown.drain();
    assert!(inside.read_u8().await.is_err(), "the door closes it although it is open");
    task.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
