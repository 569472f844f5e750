//! HTTP as phones speak and hear it (WPI reference, sections 1.2 to 1.6).

use std::net::SocketAddr;

use callboard_codecs::wpi::Action::{CleanUp, ReadAllItems};
use callboard_codecs::wpi::{Fragment, Reason};
use callboard_tests::metrics::Door;
use callboard_tests::phone::{PATH, Phone};
use callboard_tests::server::{Launch, Server};
use callboard_tests::tls::Client;
use callboard_tests::wire::Wire;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const MAC: &str = "00:1a:e8:0a:0b:0c";

/// A body that opens a dialogue, with its nonce.
fn start_up(phone: &Phone) -> (String, Vec<u8>) {
    let items = phone.basic_items();
    phone.message(&Reason::StartUp, Fragment::Absent, &items)
}

fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {PATH} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

async fn connect(server: &Server) -> Wire {
    Client::default().connect(server.door("wpi")).await
}

#[tokio::test]
async fn responses_have_the_form_that_old_phones_read() {
    let server = Server::new().await;
    let mut phone = server.phone(MAC);
    let answer = phone.start_up().await;
    assert_eq!(answer.action, ReadAllItems);
    let response = answer.response.clone();
    assert_eq!((response.version.as_str(), response.status), ("HTTP/1.1", 200));
    let names: Vec<_> = response.headers.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["Content-Type", "Content-Length", "Set-Cookie"] {
        assert!(names.contains(&name), "letter case counts for old phones: {names:?}");
    }
    let cookie = response.header("set-cookie").unwrap();
    let id = cookie
        .strip_prefix("JSESSIONID=")
        .and_then(|rest| rest.strip_suffix("; Path=/DeploymentService; Secure"));
    let id = id.unwrap_or_else(|| panic!("{cookie:?}"));
    assert_eq!(id.len(), 32);
    assert!(id.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase()), "{id}");
    assert!(response.body.starts_with(b"<?xml "), "nothing stands before the XML");
    assert!(!response.closes());

    // One connection, one cookie for the whole dialogue; the end closes it. `say` checks the rest.
    let dialogue = phone.follow(answer).await;
    assert!(dialogue.last.is_end() && dialogue.last.response.closes());
    // The next dialogue brings the old cookie, and gets a new one.
    let again = phone.start_up().await;
    assert!(again.is_end());
    assert_ne!(again.response.header("set-cookie"), Some(cookie));
}

#[tokio::test]
async fn a_dialogue_may_use_a_connection_per_request() {
    let server = Server::new().await;
    server.admin().template("time", 1, &[("sntp-addr", None, "ntp.example.net")]).await;
    let mut phone = server.phone(MAC);
    phone.connection_per_request = true;
    let dialogue = phone.boot().await;
    assert_eq!(dialogue.written.len(), 1);
    assert_eq!(server.admin().device(MAC).await["state"], "registered");
}

#[tokio::test]
async fn http_1_0_gets_a_length_and_the_end_of_the_connection() {
    let server = Server::new().await;
    let mut phone = server.phone(MAC);
    phone.version = "HTTP/1.0";
    phone.connection_per_request = true;
    assert_eq!(phone.boot().await.actions, [ReadAllItems, CleanUp]);
    // And without saying `Connection: close`, which version 1.0 need not.
    phone.connection_per_request = false;
    assert_eq!(phone.boot().await.actions, [CleanUp]);
}

#[tokio::test]
async fn a_connection_stays_open_after_a_dialogue_if_configured() {
    let server = Launch::new().set("wpi.after_clean_up", "keep").start().await;
    let mut phone = server.phone(MAC);
    phone.boot().await;
    phone.boot().await;
    let accepted = server.metrics().count("callboard_listen_accepted_total", &[("door", "wpi")]).await;
    assert_eq!(accepted, 1);
}

#[tokio::test]
async fn a_body_comes_after_continue_in_pieces_or_in_chunks() {
    let server = Launch::new().set("wpi.after_clean_up", "keep").start().await;
    let mut phone = server.phone(MAC);
    phone.boot().await;
    let mut wire = connect(&server).await;

    let (nonce, body) = start_up(&phone);
    wire.send(post(&format!("Content-Length: {}\r\nExpect: 100-continue\r\n", body.len()), &[])).await;
    let head = wire.head().await.unwrap();
    assert_eq!(head, "HTTP/1.1 100 Continue");
    let response = wire.ask(&body).await;
    assert!(phone.check(&nonce, true, response).is_end());

    let (nonce, body) = start_up(&phone);
    for part in post(&format!("Content-Length: {}\r\n", body.len()), &body).chunks(97) {
        wire.send(part).await;
    }
    let response = wire.response().await;
    assert!(phone.check(&nonce, true, response).is_end());

    let (nonce, body) = start_up(&phone);
    let mut request = post("Transfer-Encoding: chunked\r\n", &[]);
    for part in body.chunks(100) {
        request.extend(format!("{:x}\r\n", part.len()).bytes());
        request.extend(part);
        request.extend(b"\r\n");
    }
    request.extend(b"0\r\n\r\n");
    let response = wire.ask(request).await;
    assert!(phone.check(&nonce, true, response).is_end());
}

/// Asks for something wrong and sees that it is turned away, the connection closed and the cause counted.
async fn rejected(server: &Server, request: Vec<u8>, status: u16, cause: &str) {
    let count = |scrape: callboard_tests::metrics::Scrape| {
        let labels = [("door", "wpi"), ("cause", cause)];
        scrape.get("callboard_wpi_rejected_total", &labels).unwrap_or(0.0)
    };
    let door: Door = server.metrics();
    let before = count(door.scrape().await);
    let mut wire = connect(server).await;
    let response = wire.ask(&request).await;
    assert_eq!(response.status, status, "{cause}: {response:?}");
    assert_eq!((response.body.len(), response.header("content-length")), (0, Some("0")), "{cause}");
    assert!(response.closes(), "{cause}: {response:?}");
    assert_eq!(response.header("set-cookie"), None, "{cause}");
    wire.assert_closed().await;
    let after = count(door.scrape().await);
    assert!((after - before - 1.0).abs() < f64::EPSILON, "{cause}: {before} {after}");
}

#[tokio::test]
async fn what_is_no_message_is_refused_closed_and_counted() {
    let server = Server::new().await;
    let phone = server.phone(MAC);
    let (_, body) = start_up(&phone);
    let text = String::from_utf8(body.clone()).unwrap();
    let length = |body: &[u8]| format!("Content-Length: {}\r\n", body.len());
    let wrong_body = |body: &str| post(&length(body.as_bytes()), body.as_bytes());

    let elsewhere = String::from_utf8(post(&length(&body), &body)).unwrap().replace(PATH, "/elsewhere");
    rejected(&server, elsewhere.into(), 400, "path").await;
    let get = format!("GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n");
    rejected(&server, get.into(), 400, "method").await;
    rejected(&server, wrong_body(""), 400, "empty").await;
    rejected(&server, wrong_body("hello"), 400, "not_xml").await;
    rejected(&server, wrong_body("{\"reason\": \"start-up\"}"), 400, "not_xml").await;
    rejected(&server, wrong_body(&text[..text.len() / 2]), 400, "truncated").await;
    rejected(&server, wrong_body("<html><body/></html>"), 400, "wrong_root").await;
    let dtd = "<!DOCTYPE x [<!ENTITY a \"aaaa\">]><WorkpointMessage>&a;</WorkpointMessage>";
    rejected(&server, wrong_body(dtd), 400, "dtd").await;
    let start = text.find(" nonce=").unwrap();
    let end = start + text[start..].find(" maxItems").unwrap();
    let no_nonce = format!("{}{}", &text[..start], &text[end..]);
    rejected(&server, wrong_body(&no_nonce), 400, "no_nonce").await;
    let nul = text.replace("OpenStage 60", "OpenStage\0 60");
    rejected(&server, wrong_body(&nul), 400, "nul").await;
    let mut latin = body.clone();
    latin.splice(latin.len() - 60..latin.len() - 60, [0xfc]);
    rejected(&server, post(&length(&latin), &latin), 400, "not_utf8").await;

    let devices = server.admin().get("/devices").await;
    assert_eq!(devices["items"], serde_json::json!([]), "nothing is stored");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_whatever_it_says_of_itself() {
    let server = Launch::new().set("limits.body_bytes", 65_536).set("wpi.value_bytes", 60_000).start().await;
    // Announced: refused before it is sent.
    rejected(&server, post("Content-Length: 65537\r\n", &[]), 413, "body_too_large").await;
    // Not announced: refused when it has become too long.
    let mut request = post("Transfer-Encoding: chunked\r\n", &[]);
    for _ in 0..5 {
        request.extend(b"4000\r\n");
        request.resize(request.len() + 0x4000, b'x');
        request.extend(b"\r\n");
    }
    rejected(&server, request, 413, "body_too_large").await;
    // As long as allowed is no message either, but for another reason.
    let body = vec![b'x'; 65_536];
    rejected(&server, post("Content-Length: 65536\r\n", &body), 400, "not_xml").await;
}

#[tokio::test]
async fn odd_forms_of_phones_are_taken() {
    let server = Launch::new().set("wpi.after_clean_up", "keep").start().await;
    let mut phone = server.phone(MAC);
    phone.boot().await;
    let mut wire = connect(&server).await;
    let (nonce, body) = start_up(&phone);
    let text = String::from_utf8(body).unwrap();
    let root = text.find("<WorkpointMessage").unwrap();
    let cases = [
        ("a byte order mark", format!("\u{feff}{text}")),
        ("white space before the declaration", format!("\r\n {text}")),
        ("no declaration", text[root..].to_owned()),
        ("upper-case encoding", text.replace("UTF-8", "utf-8")),
        (
            "a prefix",
            text.replace("<Message", "<a:Message xmlns:a=\"x\"").replace("</Message", "</a:Message"),
        ),
        ("a comment", text.replace("start-up", "start<!-- now -->-up")),
        ("no namespace", text.replace(" xmlns=\"http://www.siemens.com/DLS\"", "")),
    ];
    for (what, body) in cases {
        assert_ne!(body, text, "{what} changes nothing");
        let request = post(
            &format!("content-type: text/xml; charset=UTF-8\r\nCONTENT-LENGTH: {}\r\n", body.len()),
            body.as_bytes(),
        );
        let response = wire.ask(request).await;
        assert_eq!(response.status, 200, "{what}");
        assert!(phone.check(&nonce, true, response).is_end(), "{what}");
    }
}

#[tokio::test]
async fn what_is_not_http_gets_an_answer_and_the_end() {
    let server = Server::new().await;
    for (garbage, status) in [("\u{1}\u{2}\r\n\r\n", 400), ("POST /x\r\n\r\n", 400)] {
        let mut wire = connect(&server).await;
        let response = wire.ask(garbage).await;
        assert_eq!((response.status, response.body.len()), (status, 0));
        wire.assert_closed().await;
    }
    let labels = [("door", "wpi"), ("cause", "parse")];
    server.metrics().wait("callboard_http_errors_total", &labels, |count| count == 2).await;
    let (_, body) = start_up(&server.phone(MAC));
    let both = format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", body.len());
    let mut wire = connect(&server).await;
    let response = wire.ask(post(&both, &body)).await;
    assert_eq!((response.status, response.body.len()), (400, 0));
    wire.assert_closed().await;
    let labels = [("door", "wpi"), ("cause", "ambiguous_length")];
    server.metrics().wait("callboard_http_errors_total", &labels, |count| count == 1).await;
}

/// Passes one connection on, and gives what the server sent.
async fn tap(server: &Server) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, server) = (listener.local_addr().unwrap(), server.door("wpi"));
    let passing = tokio::spawn(async move {
        let (mut phone_reads, mut phone_writes) = listener.accept().await.unwrap().0.into_split();
        let (mut reads, mut writes) = TcpStream::connect(server).await.unwrap().into_split();
        let up = tokio::spawn(async move { tokio::io::copy(&mut phone_reads, &mut writes).await });
        let mut sent = Vec::new();
        let mut buffer = [0; 4_096];
        while let Ok(read @ 1..) = reads.read(&mut buffer).await {
            sent.extend(&buffer[..read]);
            phone_writes.write_all(&buffer[..read]).await.unwrap();
        }
        up.abort();
        sent
    });
    (address, passing)
}

#[tokio::test]
async fn head_and_body_leave_together() {
    let server = Server::new().await;
    let mut phone = server.phone(MAC);
    phone.boot().await;
    let (address, sent) = tap(&server).await;
    phone.address = address;
    // In TLS 1.2 the type of a record is not hidden (RFC 5246, section 6.2.1): 23 is application data.
    phone.client = Client::default().version(&rustls::version::TLS12);
    assert_eq!(phone.boot().await.actions, [CleanUp]);
    let sent = callboard_tests::within("the server to close", sent).await.unwrap();
    let (mut records, mut rest) = (0, sent.as_slice());
    while let [kind, _, _, high, low, more @ ..] = rest {
        records += usize::from(*kind == 23);
        rest = &more[usize::from(*high) * 256 + usize::from(*low)..];
    }
    assert_eq!(records, 1, "old phones want a response in one piece");
}
