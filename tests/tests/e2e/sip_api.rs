//! SIP as an administrator sees it: who is registered, who may, and what goes with a device.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use callboard_tests::admin::problem;
use callboard_tests::server::{Launch, Server};
use callboard_tests::{until, within};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

const MAC: &str = "00:1a:e8:0a:0b:0c";
const PASSWORD: &str = "sip-word-7K2v9Q";

/// Time after which a request is sent again: a datagram to this machine is hardly ever lost.
const AGAIN: Duration = Duration::from_secs(5);

/// A telephone that registers over UDP.
struct Endpoint {
    socket: UdpSocket,
    user: &'static str,
    cseq: u32,
}

/// An answer: its status, and all of it.
#[derive(Debug)]
struct Answer {
    status: u16,
    text: String,
}

impl Endpoint {
    async fn new(server: &Server, user: &'static str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(server.door("sip_udp")).await.unwrap();
        Self { socket, user, cseq: 0 }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    fn contact(&self) -> String {
        format!("sip:{}@{}", self.user, self.address())
    }

    /// Sends a REGISTER, again and again as UDP wants it, until it is answered.
    async fn register(&mut self, more: &str) -> Answer {
        self.cseq += 1;
        let (user, cseq) = (self.user, self.cseq);
        let (address, contact) = (self.address(), self.contact());
        let request = format!(
            "REGISTER sip:phones.example SIP/2.0\r\nVia: SIP/2.0/UDP {address};branch=z9hG4bK{user}{cseq};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@phones.example>;tag=1\r\nTo: <sip:{user}@phones.example>\r\n\
             Call-ID: {user}\r\nCSeq: {cseq} REGISTER\r\nContact: <{contact}>\r\n\
             User-Agent: snom370/8.7 {mac}\r\n{more}Content-Length: 0\r\n\r\n",
            mac = MAC.replace(':', ""),
        );
        let mut bytes = [0; 2_048];
        within("an answer to REGISTER", async {
            loop {
                self.socket.send(request.as_bytes()).await.unwrap();
                let answer = tokio::time::timeout(AGAIN, self.socket.recv(&mut bytes)).await;
                let Ok(Ok(length)) = answer else { continue };
                let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
                // An answer to an earlier one may come late.
                if text.contains(&format!("CSeq: {cseq} ")) {
                    break Answer { status: text.split(' ').nth(1).unwrap().parse().unwrap(), text };
                }
            }
        })
        .await
    }

    /// Registers, with the password if it is asked for one.
    async fn sign_in(&mut self, password: &str) -> Answer {
        let challenged = self.register("").await;
        assert_eq!(challenged.status, 401, "{}", challenged.text);
        let answer = authorization(&challenged.text, self.user, password);
        self.register(&answer).await
    }
}

fn sha256(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// The header field that answers the challenge for SHA-256 (RFC 7616, section 3.4.1).
fn authorization(challenge: &str, user: &str, password: &str) -> String {
    let line = challenge.lines().find(|line| line.contains("algorithm=SHA-256")).expect("a challenge");
    let part = |name: &str| line.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap();
    let (realm, nonce, uri) = (part("realm"), part("nonce"), "sip:phones.example");
    let (a1, a2) = (sha256(&format!("{user}:{realm}:{password}")), sha256(&format!("REGISTER:{uri}")));
    let response = sha256(&format!("{a1}:{nonce}:00000001:c0ffee:auth:{a2}"));
    format!(
        "Authorization: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
         algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\"c0ffee\", response=\"{response}\"\r\n"
    )
}

async fn office() -> Server {
    let server = Launch::new().set("log.filter", "trace").start().await;
    let admin = server.admin();
    let body = json!({ "domains": ["phones.example"] }).to_string();
    assert_eq!(admin.request("PUT", "/sip/realms/phones", "", &body).await.status, 201);
    let body = json!({ "credentials": [{ "username": "alice", "password": PASSWORD, "device": MAC },
                                       { "username": "bob", "password": PASSWORD }] });
    let stored = admin.post("/sip/realms/phones/credentials", &body).await;
    assert_eq!(stored, json!({ "created": 2, "replaced": 0, "failed": [] }));
    server
}

#[tokio::test]
async fn a_registration_is_seen_and_ended_for_good() {
    let launch = Launch::new().set("sip.trusted_networks", "127.0.0.0/8").set("sip.spread_percent", 0);
    let server = launch.start().await;
    server.phone(MAC).boot().await;
    let mut phone = Endpoint::new(&server, "alice").await;
    let answer = phone.register("Expires: 600\r\n").await;
    assert!(answer.status == 200 && answer.text.contains("expires=600"), "{}", answer.text);

    let admin = server.admin();
    let page = admin.get("/sip/registrations?transport=udp&user_agent=SNOM").await;
    let shown = &page["items"][0];
    let name = |name: &str| shown[name].as_str().unwrap().to_owned();
    assert_eq!((name("aor"), name("contact")), ("alice@phones.example".to_owned(), phone.contact()));
    assert_eq!((name("remote"), name("device")), (phone.address().to_string(), MAC.to_owned()));
    assert_eq!(
        (name("state"), name("registrar"), name("vendor")),
        ("registered".into(), "sip_udp".into(), "snom".into())
    );
    let doors = admin.get("/status").await["doors"].clone();
    let door = json!({ "name": "sip_udp", "address": server.door("sip_udp").to_string() });
    assert!(doors.as_array().unwrap().contains(&door), "{doors}");
    assert_eq!(admin.get("/sip/registrations/alice%40PHONES.example").await, page);
    assert_eq!(admin.get(&format!("/devices/{MAC}/registrations")).await, page);
    assert_eq!(admin.device(MAC).await["registrations"][0]["contact"], json!(phone.contact()));
    let labels = [("transport", "udp"), ("state", "registered")];
    server.metrics().wait("callboard_sip_bindings", &labels, |bindings| bindings == 1).await;
    assert_eq!(admin.get("/status").await["sip"]["bindings"]["udp"]["registered"], 1);

    // It is there after a crash, and gone for good when it was removed.
    let server = server.kill().await.start().await;
    let admin = server.admin();
    assert_eq!(admin.get("/sip/registrations").await["items"][0]["contact"], page["items"][0]["contact"]);
    let path = "/sip/registrations/alice@phones.example";
    assert_eq!(admin.request("DELETE", path, "", "").await.status, 204);
    let server = server.kill().await.start().await;
    let admin = server.admin();
    problem(&admin.request("GET", path, "", "").await, 404, "not-found");
    problem(&admin.request("DELETE", path, "", "").await, 404, "not-found");
    assert_eq!(admin.device(MAC).await["registrations"], json!([]));
    server.metrics().wait("callboard_sip_bindings", &labels, |bindings| bindings == 0).await;
}

#[tokio::test]
async fn who_may_register_is_said_by_the_api() {
    let server = office().await;
    let (admin, metrics) = (server.admin(), server.metrics());
    let mut alice = Endpoint::new(&server, "alice").await;
    let registered = alice.sign_in(PASSWORD).await;
    assert_eq!(registered.status, 200, "{}", registered.text);
    let shown = admin.get("/sip/registrations").await["items"][0].clone();
    assert_eq!((&shown["username"], &shown["device"]), (&json!("alice"), &json!(MAC)));
    let mut wrong = Endpoint::new(&server, "bob").await;
    assert_eq!(wrong.sign_in("another word").await.status, 401);
    for (verdict, wanted) in [("accepted", 1), ("wrong_password", 1), ("no_credentials", 2)] {
        let found = metrics.count("callboard_sip_authentications_total", &[("verdict", verdict)]).await;
        assert_eq!(found, wanted, "{verdict}");
    }
    let answers = [("method", "REGISTER"), ("status", "200")];
    assert_eq!(metrics.count("callboard_sip_responses_total", &answers).await, 1);
    assert!(metrics.count("callboard_journal_records_total", &[]).await >= 1);

    // Bob's password is changed, his old one is of no use.
    let bob = "/sip/realms/phones/credentials/bob";
    admin.put(bob, &json!({ "password": "a-new-word" })).await;
    assert_eq!(wrong.sign_in(PASSWORD).await.status, 401);
    assert_eq!(wrong.sign_in("a-new-word").await.status, 200);
    assert_eq!(admin.request("DELETE", bob, "If-Match: *\r\n", "").await.status, 204);
    assert_eq!(wrong.sign_in("a-new-word").await.status, 401);
    assert_eq!(admin.get("/sip/registrations/bob@phones.example").await["items"][0]["username"], "bob");
    let status = admin.get("/status").await;
    assert_eq!((&status["sip"]["realms"], &status["sip"]["credentials"]), (&json!(1), &json!(1)));
    assert_eq!(status["journal"]["health"], "healthy");
}

#[tokio::test]
async fn a_device_takes_its_credentials_with_it() {
    let server = office().await;
    server.phone(MAC).boot().await;
    let mut alice = Endpoint::new(&server, "alice").await;
    assert_eq!(alice.sign_in(PASSWORD).await.status, 200);
    let deleted = server.admin().request("DELETE", &format!("/devices/{MAC}"), "", "").await;
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    let server = server.kill().await.start().await;
    let admin = server.admin();
    let left = admin.get("/sip/realms/phones/credentials").await;
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    assert_eq!(left["items"][0]["username"], "bob");
    assert_eq!(admin.get("/sip/registrations").await["items"], json!([]));
    let mut alice = Endpoint::new(&server, "alice").await;
    assert_eq!(alice.sign_in(PASSWORD).await.status, 401);
}

fn files(folder: &Path, all: &mut Vec<u8>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, all);
        } else {
            all.extend(std::fs::read(path).unwrap());
        }
    }
}

#[tokio::test]
async fn no_password_of_sip_reaches_log_metrics_api_or_disk() {
    let server = office().await;
    let admin = server.admin();
    let mut alice = Endpoint::new(&server, "alice").await;
    assert_eq!(alice.sign_in(PASSWORD).await.status, 200);
    // Rubbish with a secret in it: errors must not quote it.
    alice.socket.send(format!("REGISTER {PASSWORD}\r\n\r\n").as_bytes()).await.unwrap();
    assert_eq!(alice.register("").await.status, 401);
    let refused = json!({ "password": PASSWORD, "device": [PASSWORD] }).to_string();
    let refused =
        admin.request("PUT", "/sip/realms/phones/credentials/alice", "If-Match: *\r\n", &refused).await;
    assert_eq!(refused.status, 422);
    let mut shown = refused.text().to_owned();
    for path in [
        "/sip/realms",
        "/sip/realms/phones/credentials",
        "/sip/registrations",
        "/events?limit=500",
        "/status",
    ] {
        shown += &admin.get(path).await.to_string();
    }
    shown += &server.metrics().scrape().await.0;
    let log = server.log.clone();
    let launch = server.stop().await;
    shown += &log.all().await;
    let mut disk = Vec::new();
    files(launch.data(), &mut disk);
    // The places are the right ones, and what opens the realm is in none of them: the password, and its hash in either form.
    let hash = digest(&SHA256, format!("alice:phones:{PASSWORD}").as_bytes());
    let found = |bytes: &[u8]| memchr::memmem::find(&disk, bytes).is_some();
    assert!(shown.contains("TRACE") && shown.contains("alice@phones.example"));
    assert!(found(b"alice@phones.example") && found(b"bob"));
    let hex = sha256(&format!("alice:phones:{PASSWORD}"));
    for secret in [PASSWORD, &hex] {
        assert!(!shown.contains(secret) && !found(secret.as_bytes()), "{secret}");
    }
    assert!(!found(hash.as_ref()));
}

#[tokio::test]
async fn an_endpoint_that_answers_is_reachable() {
    let launch = Launch::new().set("sip.trusted_networks", "127.0.0.0/8").set("sip.ping_interval_s", 1);
    let server = launch.start().await;
    let mut phone = Endpoint::new(&server, "alice").await;
    assert_eq!(phone.register("").await.status, 200);
    let mut bytes = [0; 2_048];
    let length = within("OPTIONS", phone.socket.recv(&mut bytes)).await.unwrap();
    let request = String::from_utf8(bytes[..length].to_vec()).unwrap();
    assert!(request.starts_with("OPTIONS "), "{request}");
    let kept = request.lines().filter(|line| {
        ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name))
    });
    let answer =
        format!("SIP/2.0 200 OK\r\n{}\r\nContent-Length: 0\r\n\r\n", kept.collect::<Vec<_>>().join("\r\n"));
    phone.socket.send(answer.as_bytes()).await.unwrap();
    let admin = server.admin();
    let reachable = until("an endpoint that is reachable", || async {
        let page: Value = admin.get("/sip/registrations?state=reachable").await;
        page["items"].as_array().filter(|items| !items.is_empty()).cloned()
    });
    assert_eq!(reachable.await[0]["aor"], "alice@phones.example");
}

#[tokio::test]
async fn a_connection_on_which_nobody_registers_ends_soon() {
    let launch =
        Launch::new().set("sip.unregistered_timeout_s", 1).set("sip.trusted_networks", "127.0.0.0/8");
    let server = launch.start().await;
    let connect = async || TcpStream::connect(server.door("sip_tcp")).await.unwrap();
    let (mut silent, mut speaking, mut registered) = (connect().await, connect().await, connect().await);
    let request = |method: &str, more: &str| {
        format!(
            "{method} sip:h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK{method}\r\nMax-Forwards: 70\r\n\
             From: <sip:zoe@h>;tag=1\r\nTo: <sip:zoe@h>\r\nCall-ID: {method}\r\nCSeq: 1 {method}\r\n{more}\
             Content-Length: 0\r\n\r\n"
        )
    };
    registered.write_all(request("REGISTER", "Contact: <sip:zoe@h>\r\n").as_bytes()).await.unwrap();
    speaking.write_all(request("OPTIONS", "").as_bytes()).await.unwrap();
    for stream in [&mut silent, &mut speaking] {
        let mut all = Vec::new();
        within("the end of a connection", stream.read_to_end(&mut all)).await.unwrap();
        assert_eq!(all.is_empty(), !all.starts_with(b"SIP/2.0 200"), "{}", String::from_utf8_lossy(&all));
    }
    // One that came before them is there, and answered.
    registered.write_all(request("OPTIONS", "").as_bytes()).await.unwrap();
    let mut seen = String::new();
    within("both answers", async {
        while seen.matches("SIP/2.0 200 OK").count() < 2 {
            let mut bytes = [0; 2_048];
            let length = registered.read(&mut bytes).await.unwrap();
            assert!(length > 0, "closed: {seen}");
            seen.push_str(str::from_utf8(&bytes[..length]).unwrap());
        }
    })
    .await;
}
