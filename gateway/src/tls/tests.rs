//! Handshakes over memory pipes with a rustls client, and the life of the certificate files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use callboard_core::pki::{self, KeyKind, Series};
use jiff::{SignedDuration, Timestamp};
use metrics::Gauge;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, HandshakeKind, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::handshake::Handshake;
use super::hello::HELLO_BYTES;
use super::{
    HandshakeError, HandshakeOutcome, Identity, KeyFiles, Purpose, Server, Settings, TlsError, Version,
};

const RSA: &[SignatureScheme] = &[SignatureScheme::RSA_PKCS1_SHA256, SignatureScheme::RSA_PSS_SHA256];
const ALL: &[SignatureScheme] = &[
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::ECDSA_NISTP256_SHA256,
];
const ECDSA: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256];

/// A phone in default mode: takes any certificate, as long as its signature is of a form it knows.
#[derive(Debug)]
struct Trusting(&'static [SignatureScheme]);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.to_vec()
    }
}

fn client(version: &'static SupportedProtocolVersion, schemes: &'static [SignatureScheme]) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting(schemes)))
        .with_no_client_auth()
}

type Accepted = Result<Handshake<DuplexStream>, HandshakeError>;
type Connected = std::io::Result<TlsStream<DuplexStream>>;

async fn shake(server: &Server, client: &Arc<ClientConfig>) -> (Accepted, Connected) {
    let (ours, theirs) = duplex(64 * 1024);
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::clone(client));
    let waiting = Gauge::noop();
    tokio::join!(server.accept(ours, false, &waiting), async {
        let mut stream = connector.connect(name, theirs).await?;
        stream.flush().await?;
        Ok(stream)
    })
}

fn settings(root: &Path) -> Settings {
    Settings { directory: root.join("tls"), ..Settings::default() }
}

fn now() -> Timestamp {
    Timestamp::now()
}

fn served(identity: &Identity, kind: KeyKind) -> Vec<u8> {
    let offered = if kind == KeyKind::P256 { ECDSA } else { RSA };
    let keys = identity.resolver_keys();
    keys.choose(offered).unwrap().1.cert[0].to_vec()
}

#[tokio::test]
async fn each_client_gets_the_best_key_it_can_check() {
    let root = tempfile::tempdir().unwrap();
    let identity = Identity::open(settings(root.path()), now()).unwrap();
    let server = identity.server(Purpose::Phones).unwrap();
    for (tls, version) in
        [(&rustls::version::TLS12, Version::Tls12), (&rustls::version::TLS13, Version::Tls13)]
    {
        for (schemes, key) in [(RSA, KeyKind::Rsa2048), (ALL, KeyKind::P256), (ECDSA, KeyKind::P256)] {
            let (accepted, connected) = shake(&server, &Arc::new(client(tls, schemes))).await;
            let accepted = accepted.unwrap();
            assert_eq!((accepted.version, accepted.key), (version, key));
            let (_, session) = connected.as_ref().unwrap().get_ref();
            let leaf = session.peer_certificates().unwrap().first().unwrap().to_vec();
            assert_eq!(pki::inspect(&leaf).unwrap().key, Some(key));
            assert_eq!(session.alpn_protocol(), None);
        }
    }
}

#[tokio::test]
async fn a_returning_phone_resumes() {
    let root = tempfile::tempdir().unwrap();
    let identity = Identity::open(settings(root.path()), now()).unwrap();
    let server = identity.server(Purpose::Phones).unwrap();
    for tls in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = Arc::new(client(tls, ALL));
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (accepted, connected) = shake(&server, &config).await;
            let (mut accepted, mut connected) = (accepted.unwrap(), connected.unwrap());
            assert_eq!(accepted.stream.get_ref().1.handshake_kind(), Some(expected));
            // TLS 1.3 clients see the ticket when they read.
            accepted.stream.write_all(b"x").await.unwrap();
            accepted.stream.flush().await.unwrap();
            connected.read_u8().await.unwrap();
        }
    }
}

#[tokio::test]
async fn secure_mode_asks_for_a_certificate_of_our_own() {
    let root = tempfile::tempdir().unwrap();
    let identity = Identity::open(settings(root.path()), now()).unwrap();
    let server = identity.server(Purpose::SecurePhones).unwrap();
    let end = now() + SignedDuration::from_hours(24);
    let phone = identity
        .authority()
        .issue_client("00:1a:e8:00:00:07", Series::new(7), KeyKind::P256, now(), end)
        .unwrap();

    // As a phone in secure mode: it trusts the internal authority and nobody else.
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(identity.authority().cert_der())).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = || {
        ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
    };
    let with = |issued: &pki::Issued| {
        let key = PrivateKeyDer::from_pem_slice(issued.key.expose().as_bytes()).unwrap();
        let chain = vec![CertificateDer::from(issued.certificate_der.clone())];
        Arc::new(builder().with_client_auth_cert(chain, key).unwrap())
    };
    let (accepted, _) = shake(&server, &with(&phone.issued)).await;
    let client = accepted.unwrap().client.unwrap();
    assert_eq!(client.device.to_string(), "00:1a:e8:00:00:07");
    assert_eq!(*client.serial, *phone.serial_hex);

    let (accepted, _) = shake(&server, &Arc::new(builder().with_no_client_auth())).await;
    assert_eq!(accepted.unwrap_err().outcome(), HandshakeOutcome::Certificate);

    let other = Identity::open(settings(&root.path().join("other")), now()).unwrap();
    let stranger = other
        .authority()
        .issue_client("00:1a:e8:00:00:07", Series::new(7), KeyKind::P256, now(), end)
        .unwrap();
    let (accepted, _) = shake(&server, &with(&stranger.issued)).await;
    assert_eq!(accepted.unwrap_err().outcome(), HandshakeOutcome::Certificate);

    let expired = now() - SignedDuration::from_hours(1);
    let start = now() - SignedDuration::from_hours(2);
    let late = identity
        .authority()
        .issue_client("00:1a:e8:00:00:07", Series::new(7), KeyKind::P256, start, expired)
        .unwrap();
    let (accepted, _) = shake(&server, &with(&late.issued)).await;
    assert_eq!(accepted.unwrap_err().outcome(), HandshakeOutcome::Expired);
}

#[tokio::test]
async fn what_went_wrong_is_told_apart() {
    let root = tempfile::tempdir().unwrap();
    let identity = Identity::open(settings(root.path()), now()).unwrap();
    let server = identity.server(Purpose::Admin).unwrap();
    let accept = |bytes: &'static [u8]| {
        let server = &server;
        async move {
            let (ours, mut theirs) = duplex(64 * 1024);
            theirs.write_all(bytes).await.unwrap();
            theirs.shutdown().await.unwrap();
            server.accept(ours, true, &Gauge::noop()).await.unwrap_err().outcome()
        }
    };
    assert_eq!(accept(b"GET / HTTP/1.1\r\n\r\n").await, HandshakeOutcome::Garbage);
    assert_eq!(accept(b"").await, HandshakeOutcome::Aborted);
    assert_eq!(accept(&[22, 3, 1]).await, HandshakeOutcome::Aborted);
    // A client that knows TLS 1.0 only, with one RSA suite: version 3.1, 32 bytes of randomness, no session.
    let mut hello = vec![22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 1];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    assert_eq!(accept(hello.leak()).await, HandshakeOutcome::Incompatible);

    // A first message that announces 64 kB and keeps coming.
    let record = [vec![22, 3, 1, 0x40, 0], vec![0; 0x4000]].concat();
    let mut hello = [record.clone(), record].concat();
    hello[5..9].copy_from_slice(&[1, 0, 0xff, 0xff]);
    assert!(hello.len() > HELLO_BYTES);
    assert_eq!(accept(hello.leak()).await, HandshakeOutcome::Garbage);

    let mut config = client(&rustls::version::TLS13, ALL);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let (_, connected) = shake(&server, &Arc::new(config)).await;
    assert_eq!(connected.unwrap().get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
}

#[tokio::test]
async fn a_storm_stands_in_line() {
    let root = tempfile::tempdir().unwrap();
    let settings = Settings { concurrent_handshakes: 1, ..settings(root.path()) };
    let identity = Identity::open(settings, now()).unwrap();
    let server = identity.server(Purpose::Phones).unwrap();
    let turn = server.gate.enter(false, &Gauge::noop()).await.unwrap();
    let config = Arc::new(client(&rustls::version::TLS13, ALL));
    let waiting = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let gauge = Gauge::from_arc(Arc::clone(&waiting));
    let seen = || f64::from_bits(waiting.load(std::sync::atomic::Ordering::Relaxed));

    let (ours, theirs) = duplex(64 * 1024);
    let name = ServerName::try_from("localhost").unwrap();
    let connecting = tokio::spawn(TlsConnector::from(Arc::clone(&config)).connect(name.clone(), theirs));
    let (served, line) = (Arc::clone(&server), gauge.clone());
    let accepting = tokio::spawn(async move { served.accept(ours, false, &line).await });
    while seen() < 1.0 {
        tokio::task::yield_now().await;
    }
    // Connections to be shed do not stand in that line.
    let (shed_ours, shed_theirs) = duplex(64 * 1024);
    let connector = TlsConnector::from(config);
    let (shed, _) =
        tokio::join!(server.accept(shed_ours, true, &gauge), connector.connect(name, shed_theirs));
    assert!(shed.is_ok());
    assert!(!accepting.is_finished());
    drop(turn);
    assert!(accepting.await.unwrap().is_ok());
    assert!(connecting.await.unwrap().is_ok());
    assert!(seen() == 0.0);
}

#[test]
fn the_first_start_makes_everything_and_the_second_keeps_it() {
    let root = tempfile::tempdir().unwrap();
    let one = Identity::open(settings(root.path()), now()).unwrap();
    let directory = root.path().join("tls");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    let mut files: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let names: Vec<_> = files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["authority-key.pem", "authority.pem", "server-ecdsa.pem", "server-rsa.pem"]);
    assert!(files.iter().all(|path| mode(path) == 0o600));
    let public = fs::read_to_string(directory.join("authority.pem")).unwrap();
    assert!(public.contains("BEGIN CERTIFICATE") && !public.contains("PRIVATE"));

    let two = Identity::open(settings(root.path()), now()).unwrap();
    assert_eq!(one.authority().cert_der(), two.authority().cert_der());
    for kind in [KeyKind::Rsa2048, KeyKind::P256] {
        assert_eq!(served(&one, kind), served(&two, kind));
    }

    let renamed = Settings { names: vec!["192.0.2.1".to_owned()], ..settings(root.path()) };
    let three = Identity::open(renamed, now()).unwrap();
    assert_eq!(pki::inspect(&served(&three, KeyKind::P256)).unwrap().names, ["192.0.2.1"]);

    fs::write(directory.join("server-rsa.pem"), "damaged").unwrap();
    let four = Identity::open(settings(root.path()), now()).unwrap();
    assert_ne!(served(&four, KeyKind::Rsa2048), served(&two, KeyKind::Rsa2048));
}

#[test]
fn a_damaged_authority_is_reported_and_left_alone() {
    let root = tempfile::tempdir().unwrap();
    drop(Identity::open(settings(root.path()), now()).unwrap());
    let path = root.path().join("tls/authority-key.pem");
    fs::write(&path, "damaged").unwrap();
    let error = Identity::open(settings(root.path()), now()).unwrap_err();
    assert!(matches!(&error, TlsError::Content { path: named, .. } if *named == path), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "damaged");
}

#[test]
fn internal_certificates_are_renewed_in_time() {
    let root = tempfile::tempdir().unwrap();
    let start = now();
    let identity = Identity::open(settings(root.path()), start).unwrap();
    let first = served(&identity, KeyKind::P256);
    let after = |days: i64| start + SignedDuration::from_hours(24 * days);
    identity.refresh(after(794));
    assert_eq!(served(&identity, KeyKind::P256), first);
    identity.refresh(after(796));
    let second = served(&identity, KeyKind::P256);
    assert_ne!(second, first);
    let facts = pki::inspect(&second).unwrap();
    assert_eq!(facts.not_after.as_second(), after(796 + 825).as_second());

    // Short-lived ones keep a third of their life in hand.
    let short = Settings { lifetime: Duration::from_hours(72), ..settings(&root.path().join("short")) };
    let identity = Identity::open(short, start).unwrap();
    let first = served(&identity, KeyKind::Rsa2048);
    identity.refresh(start + SignedDuration::from_hours(47));
    assert_eq!(served(&identity, KeyKind::Rsa2048), first);
    identity.refresh(start + SignedDuration::from_hours(49));
    assert_ne!(served(&identity, KeyKind::Rsa2048), first);
}

#[test]
fn given_files_are_reloaded_and_bad_ones_are_not() {
    let root = tempfile::tempdir().unwrap();
    let maker = Identity::open(settings(root.path()), now()).unwrap();
    let end = now() + SignedDuration::from_hours(24);
    let issue = |kind| maker.authority().issue_server(&["localhost".to_owned()], kind, now(), end).unwrap();
    let files = KeyFiles { certificate: root.path().join("given.crt"), key: root.path().join("given.key") };
    let put = |issued: &pki::Issued| {
        fs::write(&files.certificate, &issued.certificate_pem).unwrap();
        fs::write(&files.key, issued.key.expose()).unwrap();
    };
    let given = Settings { ecdsa: Some(files.clone()), ..settings(&root.path().join("other")) };

    let refused = Identity::open(given.clone(), now()).unwrap_err();
    assert!(matches!(refused, TlsError::File { .. }), "{refused}");
    put(&issue(KeyKind::Rsa2048));
    let refused = Identity::open(given.clone(), now()).unwrap_err();
    assert!(refused.to_string().contains("not of the kind"), "{refused}");

    let (one, two) = (issue(KeyKind::P256), issue(KeyKind::P256));
    put(&one);
    let identity = Identity::open(given, now()).unwrap();
    assert_eq!(served(&identity, KeyKind::P256), one.certificate_der);
    assert!(identity.resolver_keys().rsa.is_none(), "only what is given is used");

    fs::write(&files.certificate, &two.certificate_pem).unwrap();
    identity.refresh(now());
    assert_eq!(served(&identity, KeyKind::P256), one.certificate_der, "half a change is no change");
    fs::write(&files.key, two.key.expose()).unwrap();
    identity.refresh(now());
    assert_eq!(served(&identity, KeyKind::P256), two.certificate_der);
    for bad in ["", "no certificate"] {
        fs::write(&files.certificate, bad).unwrap();
        identity.refresh(now());
        assert_eq!(served(&identity, KeyKind::P256), two.certificate_der);
    }
    fs::remove_file(&files.key).unwrap();
    identity.refresh(now());
    assert_eq!(served(&identity, KeyKind::P256), two.certificate_der);
    put(&one);
    identity.refresh(now());
    assert_eq!(served(&identity, KeyKind::P256), one.certificate_der);
}

#[tokio::test]
async fn a_reload_does_not_disturb_open_connections() {
    let root = tempfile::tempdir().unwrap();
    let start = now();
    let identity = Identity::open(settings(root.path()), start).unwrap();
    let server = identity.server(Purpose::Phones).unwrap();
    let config = Arc::new(client(&rustls::version::TLS13, ECDSA));
    let (accepted, connected) = shake(&server, &config).await;
    let (mut accepted, mut connected) = (accepted.unwrap(), connected.unwrap());
    let before = served(&identity, KeyKind::P256);
    identity.refresh(start + SignedDuration::from_hours(24 * 800));
    connected.write_all(b"still here").await.unwrap();
    connected.flush().await.unwrap();
    let mut text = [0; 10];
    accepted.stream.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"still here");
    let fresh = Arc::new(client(&rustls::version::TLS13, ECDSA));
    let (_, connected) = shake(&server, &fresh).await;
    let seen = connected.unwrap().get_ref().1.peer_certificates().unwrap()[0].to_vec();
    assert_ne!(seen, before);
    assert_eq!(seen, served(&identity, KeyKind::P256));
}
