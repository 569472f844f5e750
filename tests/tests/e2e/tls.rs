//! TLS: versions, certificates by what a client can check, certificate files that change (WPI reference, section 1.4).

use std::path::Path;

use callboard_codecs::wpi::Action::{CleanUp, ReadAllItems};
use callboard_tests::certificates::{Kind, der, kind, self_signed};
use callboard_tests::server::{Launch, Server};
use callboard_tests::tls::{Client, Keys};
use callboard_tests::until;
use callboard_tests::wire::Wire;
use rustls::ProtocolVersion::{TLSv1_2, TLSv1_3};
use rustls::version::{TLS12, TLS13};

const MAC: &str = "00:1a:e8:0a:0b:0c";

#[tokio::test]
async fn the_certificate_is_chosen_by_what_the_client_can_check() {
    let server = Server::new().await;
    let mut expected = Vec::new();
    for (version, agreed, label) in [(&TLS12, TLSv1_2, "1.2"), (&TLS13, TLSv1_3, "1.3")] {
        for (keys, wanted, key) in [
            (Keys::Rsa, Kind::Rsa2048, "rsa"),
            (Keys::P256, Kind::P256, "ecdsa"),
            // Who can check both gets the one that is cheaper for everybody.
            (Keys::Any, Kind::P256, "ecdsa"),
        ] {
            let mut phone = server.phone(MAC);
            phone.client = Client::default().version(version).keys(keys);
            let (session, wire) = phone.client.session(server.door("wpi")).await.unwrap();
            assert_eq!((session.version, kind(&session.certificate)), (agreed, wanted), "{keys:?}");
            wire.close().await;
            assert!(phone.boot().await.last.is_end());
            expected.push((label, key));
        }
    }
    // Each of them connected twice.
    for (version, key) in [("1.2", "rsa"), ("1.2", "ecdsa"), ("1.3", "rsa"), ("1.3", "ecdsa")] {
        let labels = [("door", "wpi"), ("outcome", "ok"), ("version", version), ("key", key)];
        let wanted = 2 * expected.iter().filter(|done| **done == (version, key)).count();
        let counted = server.metrics().count("callboard_tls_handshakes_total", &labels).await;
        assert_eq!(usize::try_from(counted).unwrap(), wanted, "{labels:?}");
    }
}

#[tokio::test]
async fn both_certificates_are_of_the_internal_authority_and_for_the_configured_names() {
    let server = Launch::new().set("tls.names", "localhost,198.51.100.7").start().await;
    let authority = std::fs::read_to_string(server.launch.data().join("tls/authority.pem")).unwrap();
    for keys in [Keys::Rsa, Keys::P256] {
        // The client asks for `localhost` and checks the chain.
        let client = Client::default().trusting(&der(&authority)).keys(keys);
        for door in ["wpi", "admin"] {
            client.connect(server.door(door)).await.close().await;
        }
    }
}

/// A client hello of TLS 1.1 (RFC 4346, section 7.4.1.2) with suites and curves of its time, and with signature
/// algorithms if its sender knows TLS 1.2 but is not allowed to use it.
fn hello_of_tls_1_1(with_signatures: bool) -> Vec<u8> {
    let mut extensions = vec![
        0, 10, 0, 4, 0, 2, 0, 23, // supported groups: P-256
        0, 11, 0, 2, 1, 0, // point formats: uncompressed
    ];
    if with_signatures {
        extensions.extend([0, 13, 0, 4, 0, 2, 4, 1]);
    }
    let suites: &[u8] = &[0xc0, 0x13, 0xc0, 0x14, 0xc0, 0x09, 0xc0, 0x0a, 0, 0x2f, 0, 0x35];
    let mut body = vec![3, 2];
    body.extend([7; 32]);
    body.push(0);
    body.extend([0, u8::try_from(suites.len()).unwrap()]);
    body.extend(suites);
    body.extend([1, 0]);
    body.extend([0, u8::try_from(extensions.len()).unwrap()]);
    body.extend(&extensions);
    let length = u8::try_from(body.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(body);
    record
}

#[tokio::test]
async fn tls_1_1_is_refused_with_an_alert() {
    let server = Server::new().await;
    // Fatal alerts (RFC 8446, section 6): `handshake_failure` and `protocol_version`.
    for (with_signatures, alert) in [(false, [2, 40]), (true, [2, 70])] {
        let mut wire = Wire::new(Client::default().tcp(server.door("wpi")).await.unwrap());
        wire.send(hello_of_tls_1_1(with_signatures)).await;
        let answer = wire.rest().await;
        assert_eq!((answer[0], &answer[answer.len() - 2..]), (21, &alert[..]), "{answer:?}");
    }
    let labels = [("door", "wpi"), ("outcome", "incompatible")];
    server.metrics().wait("callboard_tls_handshakes_total", &labels, |count| count == 2).await;
}

#[tokio::test]
async fn what_is_not_tls_is_closed_and_counted() {
    let server = Server::new().await;
    let mut wire = Wire::new(Client::default().tcp(server.door("wpi")).await.unwrap());
    wire.send("POST / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    wire.rest().await;
    let labels = [("door", "wpi"), ("outcome", "garbage")];
    server.metrics().wait("callboard_tls_handshakes_total", &labels, |count| count == 1).await;
}

/// Puts new content in the place of a file, as tools for certificates do.
fn replace(path: &Path, content: &str) {
    let new = path.with_extension("part");
    std::fs::write(&new, content).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// A server with certificate files of its own: P-256 and RSA.
struct Given {
    launch: Launch,
    ecdsa: String,
    rsa: String,
}

/// A server that is to use this certificate, as `ecdsa` or `rsa`.
fn with_files(mut launch: Launch, name: &str, certificate: &str, key: &str) -> Launch {
    for (what, text) in [("certificate", certificate), ("key", key)] {
        let file = launch.file(&format!("{name}-{what}.pem"));
        std::fs::write(&file, text).unwrap();
        launch = launch.set(&format!("tls.{name}_{what}_file"), file.display());
    }
    launch
}

fn given() -> Given {
    let mut launch = Launch::new().set("tls.reload_interval_s", 1);
    let mut made = Vec::new();
    for (name, kind) in [("ecdsa", Kind::P256), ("rsa", Kind::Rsa2048)] {
        let (certificate, key) = self_signed("phones.example.net", kind);
        launch = with_files(launch, name, &certificate, &key);
        made.push(certificate);
    }
    let [ecdsa, rsa] = made.try_into().unwrap();
    Given { launch, ecdsa, rsa }
}

async fn shown(server: &Server, keys: Keys) -> Vec<u8> {
    let (session, wire) = Client::default().keys(keys).session(server.door("wpi")).await.unwrap();
    wire.close().await;
    session.certificate
}

#[tokio::test]
async fn given_certificates_are_used_and_replaced_under_open_connections() {
    let Given { launch, ecdsa, rsa } = given();
    let server = launch.start().await;
    assert_eq!(shown(&server, Keys::P256).await, der(&ecdsa));
    assert_eq!(shown(&server, Keys::Rsa).await, der(&rsa));
    let mut phone = server.phone(MAC);
    let answer = phone.start_up().await;
    assert_eq!(answer.action, ReadAllItems);

    let (certificate, key) = self_signed("phones.example.net", Kind::P256);
    replace(&server.launch.file("ecdsa-certificate.pem"), &certificate);
    replace(&server.launch.file("ecdsa-key.pem"), &key);
    let wanted = der(&certificate);
    let seen = || async { (shown(&server, Keys::P256).await == wanted).then_some(()) };
    until("the new certificate", seen).await;
    assert_eq!(shown(&server, Keys::Rsa).await, der(&rsa), "the other stays");
    // The dialogue that began under the old certificate goes on over its connection.
    assert_eq!(phone.follow(answer).await.actions, [ReadAllItems, CleanUp]);
    server.log.line("server certificate replaced").await;
}

#[tokio::test]
async fn a_broken_new_certificate_leaves_the_old_one_in_use() {
    let Given { launch, ecdsa, .. } = given();
    let server = launch.start().await;
    let (_, key_of_another) = self_signed("phones.example.net", Kind::P256);
    for (what, content) in [("certificate", "rubbish"), ("key", key_of_another.as_str())] {
        let labels = [("outcome", "failed")];
        let before = server.metrics().count("callboard_tls_reloads_total", &labels).await;
        replace(&server.launch.file(&format!("ecdsa-{what}.pem")), content);
        server.metrics().wait("callboard_tls_reloads_total", &labels, |count| count > before).await;
        assert_eq!(shown(&server, Keys::P256).await, der(&ecdsa), "{what}");
        replace(&server.launch.file("ecdsa-certificate.pem"), &ecdsa);
    }
    let line = server.log.line("server certificate not replaced").await;
    assert!(line.contains("ecdsa-certificate.pem") && !line.contains("PRIVATE"), "{line}");
    assert_eq!(server.phone(MAC).boot().await.actions, [ReadAllItems, CleanUp]);
}

#[tokio::test]
async fn a_single_given_certificate_is_the_only_one() {
    let (certificate, key) = self_signed("phones.example.net", Kind::Rsa2048);
    let server = with_files(Launch::new(), "rsa", &certificate, &key).start().await;
    assert_eq!(shown(&server, Keys::Any).await, der(&certificate));
    assert!(Client::default().keys(Keys::P256).try_connect(server.door("wpi")).await.is_err());
}

#[tokio::test]
async fn an_unusable_certificate_is_refused_at_the_start() {
    let (certificate, _) = self_signed("phones.example.net", Kind::P256);
    let (_, key) = self_signed("phones.example.net", Kind::P256);
    let refusal = with_files(Launch::new(), "ecdsa", &certificate, &key).refused().await;
    assert_eq!(refusal.code, Some(1), "another start may find it mended: {refusal:?}");
    assert!(refusal.err.contains("ecdsa-key.pem"), "{}", refusal.err);
    assert!(!refusal.err.contains(key.lines().nth(1).unwrap()), "no key in an error");
}
