//! Peers that send what no phone sends. A server must refuse each, and soon.

use std::fmt::Write as _;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::task::JoinSet;

use super::{Counts, Field};
use crate::call::PATH;
use crate::wire::link::connect_tcp;

/// Within this time a server must have refused garbage.
const PATIENCE: Duration = Duration::from_secs(90);
/// Peers at work at the same time; more are not begun.
const MAX_AT_WORK: usize = 500;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Garbage {
    /// Random bytes in place of TLS.
    NoTls,
    /// Random bytes in place of HTTP.
    NoHttp,
    /// HTTP that is none: bad versions, two lengths, control characters.
    BadHttp,
    /// A head without end.
    HugeHead,
    /// A body that is announced as larger than any server should take.
    HugeBody,
    /// Random bytes in place of XML.
    NoXml,
    /// XML that is no WPI message.
    OtherXml,
    /// Entities that would grow to gigabytes.
    EntityBomb,
    /// Elements in elements in elements.
    DeepXml,
}

const ALL: [Garbage; 9] = [
    Garbage::NoTls,
    Garbage::NoHttp,
    Garbage::BadHttp,
    Garbage::HugeHead,
    Garbage::HugeBody,
    Garbage::NoXml,
    Garbage::OtherXml,
    Garbage::EntityBomb,
    Garbage::DeepXml,
];

/// How a server took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// Refused in words: status 400 or higher.
    Refused,
    /// The connection was ended without an answer.
    Ended,
    /// Answered as if it were good.
    Accepted,
}

/// `rate` peers per second, for ever.
pub(super) async fn peers(field: Field, rate: f64) {
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut tasks = JoinSet::new();
    for number in 0u32.. {
        ticks.tick().await;
        while tasks.try_join_next().is_some() {}
        if tasks.len() < MAX_AT_WORK {
            tasks.spawn(peer(field.clone(), number));
        }
    }
}

async fn peer(field: Field, number: u32) {
    let garbage = ALL[number as usize % ALL.len()];
    let Ok(mut tcp) = connect_tcp(Field::source(number), field.target).await else {
        return Counts::add(&field.counts.refused);
    };
    let talk = async {
        if garbage == Garbage::NoTls {
            return send(&mut tcp, &noise(600)).await;
        }
        match field.tls.connect(ServerName::from(field.target.ip()), tcp).await {
            Ok(mut tls) => send(&mut tls, &bytes(garbage, &field.host)).await,
            Err(_) => Taken::Ended,
        }
    };
    match tokio::time::timeout(PATIENCE, talk).await {
        Ok(Taken::Refused | Taken::Ended) => Counts::add(&field.counts.garbage_refused),
        Ok(Taken::Accepted) | Err(_) => Counts::add(&field.counts.garbage_taken),
    }
}

/// Send, and see what comes back until the connection ends.
async fn send(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), bytes: &[u8]) -> Taken {
    // A server may refuse, and close, before it has read everything: the answer counts.
    let _ = stream.write_all(bytes).await;
    let _ = stream.flush().await;
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    while let Ok(count @ 1..) = stream.read(&mut part).await {
        answer.extend_from_slice(&part[..count]);
        if answer.len() > 65_536 {
            break;
        }
    }
    judge(&answer)
}

fn judge(answer: &[u8]) -> Taken {
    match answer.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2)) {
        Some(b'4' | b'5') => Taken::Refused,
        Some(_) => Taken::Accepted,
        // Nothing, or a TLS alert.
        None => Taken::Ended,
    }
}

fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|_| rand::random()).collect()
}

/// What one kind of garbage looks like.
fn bytes(garbage: Garbage, host: &str) -> Vec<u8> {
    let post = |body: &[u8]| {
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    match garbage {
        Garbage::NoTls | Garbage::NoHttp => noise(2_000),
        Garbage::BadHttp => format!(
            "POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nContent-Length: 6\r\nX\x01: y\r\n\r\nhello"
        )
        .into_bytes(),
        Garbage::HugeHead => {
            let mut head = format!("POST {PATH} HTTP/1.1\r\nHost: {host}\r\n");
            for number in 0..4_000 {
                let _ = write!(head, "X-Filler-{number}: {:f>64}\r\n", "");
            }
            head.into_bytes()
        }
        Garbage::HugeBody => {
            format!("POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99999999999\r\n\r\n").into_bytes()
        }
        Garbage::NoXml => post(&noise(3_000)),
        Garbage::OtherXml => post(b"<?xml version=\"1.0\"?><note><to>nobody</to></note>"),
        Garbage::EntityBomb => post(entity_bomb().as_bytes()),
        Garbage::DeepXml => post(format!("{}{}", "<a>".repeat(20_000), "</a>".repeat(20_000)).as_bytes()),
    }
}

/// Each entity stands for ten of the one before.
fn entity_bomb() -> String {
    let mut text = String::from("<?xml version=\"1.0\"?><!DOCTYPE b [<!ENTITY e0 \"boom\">");
    for level in 1..10 {
        let ten = format!("&e{};", level - 1).repeat(10);
        // Writing to a String cannot fail.
        let _ = write!(text, "<!ENTITY e{level} \"{ten}\">");
    }
    text.push_str(
        "]><WorkpointMessage xmlns=\"http://www.siemens.com/DLS\"><Message nonce=\"A1\"><ReasonForContact>&e9;\
         </ReasonForContact></Message></WorkpointMessage>",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged() {
        assert_eq!(judge(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Taken::Refused);
        assert_eq!(judge(b"HTTP/1.1 503 Busy\r\n\r\n"), Taken::Refused);
        assert_eq!(judge(b"HTTP/1.1 200 OK\r\n\r\n"), Taken::Accepted);
        assert_eq!(judge(b""), Taken::Ended);
        assert_eq!(judge(&[0x15, 3, 3, 0, 2, 2, 50]), Taken::Ended);
    }

    #[test]
    fn garbage_is_what_its_name_says() {
        assert!(bytes(Garbage::HugeHead, "h").len() > 300_000);
        let bomb = String::from_utf8(bytes(Garbage::EntityBomb, "h")).unwrap();
        assert!(bomb.contains("<!ENTITY e9") && bomb.len() < 2_000);
        let deep = bytes(Garbage::DeepXml, "h");
        assert!(deep.ends_with(b"</a>") && deep.len() > 140_000);
    }

    #[tokio::test]
    async fn what_comes_back_is_read_to_its_end() {
        let (mut ours, mut theirs) = tokio::io::duplex(4_096);
        let server = tokio::spawn(async move {
            let mut got = vec![0; 5];
            theirs.read_exact(&mut got).await.unwrap();
            theirs.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        });
        assert_eq!(send(&mut ours, b"hello").await, Taken::Refused);
        server.await.unwrap();
    }
}
