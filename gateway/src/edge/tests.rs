//! Both sides over real sockets, and the edge's certificate on disk.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use callboard_codecs::edge::{RELAY_HEADER_BYTES, RelayDoor, read_relay_header};
use callboard_core::pki::{Authority, AuthorityParams, KeyKind, Series, SiteRequest};
use callboard_core::time::Timestamp;
use jiff::SignedDuration;
use quinn::{Endpoint, RecvStream, SendStream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::QuicLimits;
use super::branch::BranchLimits;
use super::branch::testing::{Identity, IdentityError, Relays};
use super::core::{CoreLimits, testing::server_config};

const DAY: Duration = Duration::from_hours(24);
/// Bytes of one relayed connection on their way to whoever does not read.
const WINDOW: usize = 32_768;
/// Most that the edge takes from a phone at once.
const CHUNK: usize = 16_384;

fn quic() -> QuicLimits {
    QuicLimits {
        stream_window: WINDOW,
        connection_window: 1 << 20,
        send_window: 1 << 20,
        idle_timeout: Duration::from_secs(30),
    }
}

fn branch_limits() -> BranchLimits {
    let patience = Duration::from_secs(30);
    BranchLimits {
        quic: quic(),
        connect_timeout: patience,
        open_timeout: patience,
        write_timeout: patience,
        report_interval: patience,
        retry: (patience, patience),
        pending: 10,
        socket_bytes: 65_536,
    }
}

fn authority() -> Authority {
    Authority::create(&AuthorityParams {
        common_name: "Test authority".to_owned(),
        organisation: "Test".to_owned(),
        lifetime: 3_650 * DAY,
        key: KeyKind::P256,
        now: jiff::Timestamp::now(),
    })
    .unwrap()
}

fn identity(authority: &Authority, began: i64, ends: i64) -> Identity {
    let (made, now) = (SiteRequest::new().unwrap(), jiff::Timestamp::now());
    let at = |days: i64| now + SignedDuration::from_hours(24 * days);
    let issued = authority.issue_site(&made.request, "0123456789ab", at(began), at(ends)).unwrap();
    Identity::new(issued.certificate_der, authority.cert_der().to_vec(), made.key).unwrap()
}

/// A relayed connection: the phone's end, the stream at the core, and the edge between them.
struct Line {
    phone: TcpStream,
    send: SendStream,
    receive: RecvStream,
    relays: Relays,
    _core: Endpoint,
}

async fn line() -> Line {
    let authority = authority();
    let patience = Duration::from_secs(30);
    let limits = CoreLimits {
        quic: quic(),
        relays_per_site: 10,
        handshakes: 1,
        enrolments: 1,
        handshake_timeout: patience,
        header_timeout: patience,
        write_timeout: patience,
        certificate_lifetime: DAY,
        own_lifetime: DAY,
    };
    let now = Timestamp::from_jiff(jiff::Timestamp::now());
    let config = server_config(&authority, &limits, now).unwrap();
    let core = Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = core.local_addr().unwrap();
    let accepting = tokio::spawn({
        let core = core.clone();
        async move { core.accept().await.unwrap().await.unwrap() }
    });
    let relays = Relays::connect(address, identity(&authority, -1, 90), branch_limits()).await;
    let connection = accepting.await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let phone = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, client) = listener.accept().await.unwrap();
    relays.spawn(RelayDoor::WpiSecure, accepted, client);
    let (send, mut receive) = connection.accept_bi().await.unwrap();
    let mut header = [0; RELAY_HEADER_BYTES];
    receive.read_exact(&mut header[..9]).await.unwrap();
    let (header, length) = read_relay_header(&header[..9]).unwrap().unwrap();
    assert_eq!((header.door, header.client, length), (RelayDoor::WpiSecure, client, 9));
    Line { phone, send, receive, relays, _core: core }
}

#[tokio::test]
async fn a_core_that_reads_slowly_slows_the_phone() {
    let Line { phone, send, mut receive, relays, _core } = line().await;
    let sent: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_be_bytes).collect();
    let (mut from, mut to) = phone.into_split();
    let expected = sent.clone();
    let writing = tokio::spawn(async move {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    });
    let mut read = Vec::new();
    while let Some(chunk) = receive.read_chunk(1_000, true).await.unwrap() {
        read.extend_from_slice(&chunk.bytes);
        let taken = usize::try_from(relays.report().bytes_up).unwrap();
        assert!(taken <= read.len() + WINDOW + CHUNK, "{taken} bytes taken, {} wanted", read.len());
    }
    writing.await.unwrap();
    assert!(read == expected, "byte for byte");
    drop((send, receive));
    assert_eq!(from.read(&mut [0; 1]).await.unwrap(), 0, "the core has said all");
}

#[tokio::test]
async fn what_the_core_says_reaches_the_phone_to_the_end() {
    let Line { mut phone, mut send, receive: _receive, relays, _core } = line().await;
    let said = vec![7; 200_000];
    let expected = said.clone();
    let saying = tokio::spawn(async move {
        send.write_all(&said).await.unwrap();
        send.finish().unwrap();
        // Kept until the phone has all: dropping it would be an end too.
        send.stopped().await.ok();
    });
    let mut heard = Vec::new();
    phone.read_to_end(&mut heard).await.unwrap();
    assert!(heard == expected);
    assert_eq!(relays.report().bytes_down, 200_000);
    drop(phone);
    saying.await.unwrap();
}

#[tokio::test]
async fn without_a_core_a_phone_is_closed_at_once() {
    let relays = Relays::alone(branch_limits());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut phone = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, client) = listener.accept().await.unwrap();
    relays.spawn(RelayDoor::Wpi, accepted, client);
    assert_eq!(phone.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!((relays.report().refused, relays.report().relayed), (1, 0));
}

#[test]
fn the_certificate_is_kept_for_its_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Identity::load(dir.path()).unwrap().is_none());
    let made = identity(&authority(), -1, 90);
    made.store(dir.path()).unwrap();
    let read = Identity::load(dir.path()).unwrap().unwrap();
    assert_eq!((read.site, read.not_after), (made.site, made.not_after));
    let path = dir.path().join("edge.pem");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Identity::load(dir.path()), Err(IdentityError::Open { mode: 0o640, .. })));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "-----BEGIN CERTIFICATE-----\nbroken").unwrap();
    assert!(matches!(Identity::load(dir.path()), Err(IdentityError::Content { .. })));
}

#[test]
fn a_certificate_ages_when_a_third_of_its_life_is_left() {
    let (authority, now) = (authority(), jiff::Timestamp::now());
    let is_ageing = |began, ends| identity(&authority, began, ends).is_ageing(now);
    assert!(!is_ageing(-1, 90) && !is_ageing(-50, 40) && is_ageing(-70, 20));
    assert!(identity(&authority, -70, 20).is_good(now));
    assert!(!identity(&authority, -90, -1).is_good(now));
}

#[test]
fn a_phones_certificate_makes_no_edge() {
    let (authority, now) = (authority(), jiff::Timestamp::now());
    let phone = authority
        .issue_client("0123456789ab", Series::new(1), KeyKind::P256, now, now + SignedDuration::from_hours(1))
        .unwrap();
    let made =
        Identity::new(phone.issued.certificate_der, authority.cert_der().to_vec(), phone.issued.key.clone());
    assert!(matches!(made, Err(IdentityError::Content { .. })));
    // A certificate and the key of another.
    let (one, two) = (SiteRequest::new().unwrap(), SiteRequest::new().unwrap());
    let end = now + SignedDuration::from_hours(1);
    let issued = authority.issue_site(&one.request, "0123456789ab", now, end).unwrap();
    assert!(Identity::new(issued.certificate_der, authority.cert_der().to_vec(), two.key).is_err());
}
