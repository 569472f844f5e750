//! One call: connect, ask, read the head of the answer, hang up.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use callboard_codecs::contact::{MAX_HEAD_BYTES, ServiceAddress, read_head, write_request};
use callboard_core::reach::CallOutcome;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// The service that a phone is told to call in place of the one it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// This one.
    This(ServiceAddress),
    /// The address that the call comes from, with this port.
    Caller(u16),
}

/// Whom to call. The address was judged by `callboard_core::reach::Guard`.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Where the phone's web server is.
    pub address: SocketAddr,
    /// The request target.
    pub path: &'a str,
    /// What the phone is told beside.
    pub told: Option<Told>,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// How it ended.
    pub outcome: CallOutcome,
    /// The status, if there was an answer.
    pub status: Option<u16>,
    /// A phone answered, by its own word.
    pub is_phone: bool,
}

impl From<CallOutcome> for Reply {
    fn from(outcome: CallOutcome) -> Self {
        Self { outcome, status: None, is_phone: false }
    }
}

/// Call, and wait for the answer no longer than `limit`.
pub async fn call(call: &Call<'_>, limit: Duration) -> Reply {
    match timeout(limit, exchange(call)).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(outcome)) => outcome.into(),
        Err(_) => CallOutcome::TimedOut.into(),
    }
}

async fn exchange(call: &Call<'_>) -> Result<Reply, CallOutcome> {
    let socket = if call.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(|_| CallOutcome::NoSocket)?;
    let mut stream = socket.connect(call.address).await.map_err(|error| unconnected(&error))?;
    let service = match call.told {
        None => None,
        Some(Told::This(service)) => Some(service),
        Some(Told::Caller(port)) => {
            let own = stream.local_addr().map_err(|_| CallOutcome::Broken)?;
            Some(ServiceAddress { address: own.ip(), port: Some(port) })
        }
    };
    let mut request = Vec::with_capacity(512);
    write_request(&mut request, call.address, call.path, service);
    stream.write_all(&request).await.map_err(|_| CallOutcome::Broken)?;
    answer(&mut stream).await
}

async fn answer(stream: &mut TcpStream) -> Result<Reply, CallOutcome> {
    let (mut buffer, mut filled) = (vec![0; MAX_HEAD_BYTES], 0);
    loop {
        // An error after a whole status line is an end like any other: some web servers reset when they are done.
        let read = match stream.read(&mut buffer[filled..]).await {
            Ok(read) => read,
            Err(_) if filled > 0 => 0,
            Err(_) => return Err(CallOutcome::Broken),
        };
        filled += read;
        if filled == 0 {
            return Err(CallOutcome::Broken);
        }
        match read_head(&buffer[..filled], read == 0) {
            Ok(Some(head)) => {
                let outcome = match head.status {
                    200..=299 => CallOutcome::Understood,
                    status => CallOutcome::Status(status),
                };
                return Ok(Reply { outcome, status: Some(head.status), is_phone: head.is_phone });
            }
            Ok(None) => {}
            Err(_) => return Err(CallOutcome::NotHttp),
        }
    }
}

fn unconnected(error: &io::Error) -> CallOutcome {
    match error.kind() {
        ErrorKind::ConnectionRefused => CallOutcome::Refused,
        ErrorKind::TimedOut => CallOutcome::TimedOut,
        // The last is the word of a packet filter.
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::PermissionDenied => {
            CallOutcome::Unreachable
        }
        // All ports of this machine are in use.
        ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse => CallOutcome::NoSocket,
        _ => CallOutcome::Broken,
    }
}
