//! Attackers with datagrams: one socket, and any address of 127.0.0.0/8 as the sender's.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use callboard_codecs::sip::{Challenge, HeaderName, Index, Limits, Message, parse};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::super::batch::Batch;
use super::super::register::hex;
use super::super::udp::UdpLink;
use super::super::{DOMAIN, user};
use super::trace::{self, Trace};
use super::{Force, Kind, Seen, malformed, over};
use crate::wire::link::source;

/// Time between two bursts.
const TICK: Duration = Duration::from_millis(5);
/// Most datagrams of one burst: what is behind is not made up for.
const BURST: u32 = 2_000;
/// Those who try passwords have few addresses: 127.2.0.1 and following.
const BLOCK: u8 = 2;
const SOURCES: u16 = 16;
/// After the last datagram, time for the last answers.
const STRAGGLERS: Duration = Duration::from_millis(500);
/// A STUN binding request without attributes (RFC 8489, section 5), but for the transaction id.
const STUN: [u8; 8] = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];

pub(super) struct Attacker {
    kind: Kind,
    link: UdpLink,
    phones: u32,
    random: StdRng,
    /// Number of the next datagram.
    number: u32,
    /// The latest challenge that each address has seen: nonce and algorithm.
    challenges: Vec<Option<(String, String)>>,
    trace: Trace,
}

impl Attacker {
    pub(super) fn new(kind: Kind, force: &Force) -> anyhow::Result<Self> {
        Ok(Self {
            kind,
            link: UdpLink::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), force.udp)?,
            phones: force.phones.max(1),
            random: StdRng::seed_from_u64(force.seed),
            number: 0,
            challenges: vec![None; usize::from(SOURCES)],
            trace: Trace::default(),
        })
    }

    /// Attack at this rate until told to stop.
    pub(super) async fn run(mut self, rate: f64, mut stop: watch::Receiver<bool>) -> anyhow::Result<Seen> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (begun, mut batch) = (Instant::now(), Batch::default());
        let mut sent = 0_u64;
        loop {
            tokio::select! {
                biased;
                () = over(&mut stop) => break,
                _ = ticks.tick() => {
                    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // far below 2^52
                    let due = (begun.elapsed().as_secs_f64() * rate) as u64;
                    let burst = u32::try_from(due - sent.min(due)).unwrap_or(BURST).min(BURST);
                    sent = due;
                    (0..burst).for_each(|_| self.write(&mut batch));
                    self.link.send(&batch).await?;
                    batch.clear();
                }
                answers = receive(&mut self.link, &mut self.trace, &mut self.challenges) => answers?,
            }
        }
        let until = Instant::now() + STRAGGLERS;
        while let Ok(answers) =
            timeout_at(until, receive(&mut self.link, &mut self.trace, &mut self.challenges)).await
        {
            answers?;
        }
        Ok(self.trace.seen)
    }

    /// Append the next datagram.
    fn write(&mut self, batch: &mut Batch) {
        let number = self.number;
        self.number = self.number.wrapping_add(1);
        let start = batch.bytes().len();
        let from = match self.kind {
            Kind::WrongPassword => {
                self.guess(number, batch.buffer());
                source(number, SOURCES, BLOCK)
            }
            Kind::Spoofed => {
                self.ask(number, batch.buffer());
                trace::address(number)
            }
            Kind::Malformed | Kind::LongHeader | Kind::HalfOpen => {
                malformed::write(number, &mut self.random, batch.buffer());
                trace::address(number)
            }
        };
        batch.close(Some(from.into()));
        self.trace.sent(number, batch.bytes().len() - start);
    }

    /// A registration of a phone with a wrong password, or without one until there is a challenge.
    fn guess(&mut self, number: u32, out: &mut Vec<u8>) {
        let user = user(self.random.random_range(0..self.phones));
        let place = (number % u32::from(SOURCES)) as usize;
        let head = format!(
            "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKg{number:08x};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@{DOMAIN}>;tag=1\r\nTo: <sip:{user}@{DOMAIN}>\r\n\
             Call-ID: {number:08x}\r\nCSeq: 1 REGISTER\r\nContact: <sip:{user}@127.0.0.1>\r\n"
        );
        out.extend_from_slice(head.as_bytes());
        if let Some((nonce, algorithm)) = &self.challenges[place] {
            let words = if algorithm.eq_ignore_ascii_case("MD5") { 4 } else { 8 };
            let credentials = format!(
                "Authorization: Digest username=\"{user}\", realm=\"{DOMAIN}\", nonce=\"{nonce}\", \
                 uri=\"sip:{DOMAIN}\", algorithm={algorithm}, qop=auth, nc=00000001, cnonce=\"1\", response=\""
            );
            out.extend_from_slice(credentials.as_bytes());
            (0..words).for_each(|_| hex(out, self.random.random()));
            out.extend_from_slice(b"\"\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }

    /// A good request of nobody, as short as it can be.
    fn ask(&mut self, number: u32, out: &mut Vec<u8>) {
        if number % 8 == 7 {
            out.extend_from_slice(&STUN);
            out.extend((0..3).flat_map(|_| self.random.random::<u32>().to_be_bytes()));
            return;
        }
        let method = if number.is_multiple_of(2) { "REGISTER" } else { "OPTIONS" };
        let request = format!(
            "{method} sip:{DOMAIN} SIP/2.0\r\nv:SIP/2.0/UDP a;branch=z9hG4bK{number:x}\r\nf:<sip:a@{DOMAIN}>;tag=1\r\n\
             t:<sip:a@{DOMAIN}>\r\ni:1\r\nCSeq:1 {method}\r\n\r\n"
        );
        out.extend_from_slice(request.as_bytes());
    }
}

async fn receive(
    link: &mut UdpLink,
    trace: &mut Trace,
    challenges: &mut [Option<(String, String)>],
) -> std::io::Result<()> {
    link.receive(|bytes, to| {
        let number = to.and_then(trace::number_of);
        if number.is_some() {
            trace.answered(number, bytes.len());
            if bytes.starts_with(b"SIP/2.0 2") && is_registered(bytes) {
                trace.seen.successes += 1;
            }
            return;
        }
        let told = read(bytes);
        trace.answered(told.as_ref().map(|told| told.number), bytes.len());
        let Some(told) = told else { return };
        trace.seen.successes += u64::from(told.status == 200);
        if let (Some(challenge), Some(place)) = (told.challenge, to.and_then(place_of)) {
            challenges[place] = Some(challenge);
        }
    })
    .await
}

/// Whether a success is one of a registration, and not that of a question.
fn is_registered(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, b"REGISTER\r\n").is_some()
}

/// Which of those who try passwords has this address.
fn place_of(address: IpAddr) -> Option<usize> {
    (0..SOURCES).map(usize::from).find(|place| {
        u32::try_from(*place).is_ok_and(|number| IpAddr::from(source(number, SOURCES, BLOCK)) == address)
    })
}

/// An answer to a guess.
struct Told {
    number: u32,
    status: u16,
    challenge: Option<(String, String)>,
}

fn read(bytes: &[u8]) -> Option<Told> {
    let mut index = Index::new();
    let Ok(Message::Response(response)) = parse(bytes, &mut index, &Limits::default()) else { return None };
    let call_id = response.headers.first(HeaderName::CallId)?;
    let number = u32::from_str_radix(str::from_utf8(call_id).ok()?, 16).ok()?;
    let challenge = response.headers.challenges(HeaderName::WwwAuthenticate).find_map(|one| match one {
        Ok(Challenge::Digest(digest)) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Some((text(digest.nonce), text(digest.algorithm.unwrap_or(b"MD5"))))
        }
        _ => None,
    });
    Some(Told { number, status: response.status, challenge })
}
