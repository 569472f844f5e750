//! Whether a door answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::fleet::BLOCK;

/// Time between two questions.
const AGAIN: Duration = Duration::from_millis(10);
/// Longest time that it may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// Ask a door by OPTIONS until it answers; gives how long that took.
pub(crate) async fn first_answer(door: SocketAddr) -> anyhow::Result<Duration> {
    let socket = UdpSocket::bind((Ipv4Addr::new(127, BLOCK, 0, 1), 0)).await?;
    let local = socket.local_addr()?;
    let begun = Instant::now();
    let mut answer = [0; 2_048];
    for number in 0_u32.. {
        if begun.elapsed() > PATIENCE {
            bail!("no answer to OPTIONS within {} s", PATIENCE.as_secs());
        }
        let question = format!(
            "OPTIONS sip:{door} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKprobe{number};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:probe@{local}>;tag=1\r\nTo: <sip:{door}>\r\n\
             Call-ID: probe-{number}@{local}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        // As long as nobody has the port, this fails or goes nowhere.
        let _ = socket.send_to(question.as_bytes(), door).await;
        if let Ok(Ok((length, from))) = timeout(AGAIN, socket.recv_from(&mut answer)).await
            && from == door
            && answer[..length].starts_with(b"SIP/2.0 ")
        {
            break;
        }
    }
    Ok(begun.elapsed())
}
