//! Phones that cannot be called ask whether work waits for them (WPI reference, section 9).

use callboard_codecs::dcmp::write_poll;
use callboard_codecs::wpi::Action::{CleanUp, ReadAllItems, ReadItems, WriteItems};
use callboard_codecs::wpi::Reason;
use callboard_tests::server::{Launch, Server};
use callboard_tests::tls::Client;
use callboard_tests::wire::Wire;
use serde_json::{Value, json};
use tokio::net::TcpStream;

const MAC: &str = "00:1a:e8:0a:0b:0c";
const SPELLINGS: [&str; 6] = [
    MAC,
    "00:1A:E8:0A:0B:0C",
    "00%3A1A%3AE8%3a0a%3a0b%3a0c",
    "00-1A-E8-0A-0B-0C",
    "001ae80a0b0c",
    "001A.E80A.0B0C",
];

async fn connect(server: &Server) -> Wire {
    Wire::new(TcpStream::connect(server.door("dcmp")).await.unwrap())
}

fn poll(device: &str) -> String {
    format!("GET /dcmp/contact-me?device-id={device} HTTP/1.1\r\nHost: dcmp.example.net\r\n\r\n")
}

async fn status(wire: &mut Wire, device: &str) -> u16 {
    let response = wire.ask(poll(device)).await;
    assert_eq!((response.header("content-length"), response.closes()), (Some("0"), false), "{response:?}");
    response.status
}

async fn add_task(server: &Server) {
    let body = json!({"type": "read-items", "items": [{"name": "hostname"}]});
    server.admin().post(&format!("/devices/{MAC}/tasks"), &body).await;
}

#[tokio::test]
async fn a_task_is_told_in_every_spelling_until_its_phone_calls() {
    let server = Server::new().await;
    let mut phone = server.phone(MAC);
    phone.boot().await;
    let mut wire = connect(&server).await;
    assert_eq!(status(&mut wire, MAC).await, 200, "nothing waits");
    add_task(&server).await;
    for spelling in SPELLINGS {
        assert_eq!(status(&mut wire, spelling).await, 202, "{spelling}");
        let old = poll(spelling).replace("HTTP/1.1", "HTTP/1.0").replace("GET", "HEAD");
        let response = connect(&server).await.ask(old).await;
        assert_eq!((response.status, response.closes()), (202, true), "{spelling}");
    }
    assert_eq!(status(&mut wire, "00:1a:e8:0a:0b:0d").await, 200, "nobody learns which devices there are");
    assert_eq!(server.admin().get("/status").await["polling"]["pending"], 1);

    // A poll alone does not take the mark away, and neither does the end of the process.
    let server = server.kill().await.start().await;
    let mut wire = connect(&server).await;
    assert_eq!(status(&mut wire, MAC).await, 202);

    phone.address = server.door("wpi");
    phone.hang_up();
    let answer = phone.open(Reason::Solicited).await;
    assert_eq!(answer.action, ReadItems);
    assert_eq!(status(&mut wire, MAC).await, 200, "it is about to do it");
    phone.follow(answer).await;
    assert_eq!(server.admin().device(MAC).await["tasks"][0]["state"], "successful");
    assert_eq!(status(&mut wire, MAC).await, 200);
    let answers = |answer: &'static str| [("answer", answer)];
    let metrics = server.metrics();
    assert_eq!(metrics.count("callboard_dcmp_polls_total", &answers("waiting")).await, 1);
    let told = metrics.count("callboard_dcmp_polls_total", &answers("idle")).await;
    assert_eq!(told + metrics.count("callboard_dcmp_polls_total", &answers("early")).await, 2);
}

#[tokio::test]
async fn what_is_no_poll_is_refused() {
    let server = Server::new().await;
    let long = "x".repeat(65);
    for (request, expected) in [
        ("GET /dcmp/contact-me HTTP/1.1\r\n\r\n".to_owned(), 400),
        (poll(""), 400),
        (poll(&long), 400),
        (poll("%zz"), 400),
        (poll(MAC).replace("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\nhello"), 400),
        (poll(MAC).replace("/contact-me", "/"), 404),
        (poll(MAC).replace("GET", "PUT"), 405),
        (poll(MAC).replace("Host: ", &format!("Host: {}", "x".repeat(5_000))), 431),
        ("\u{16}\u{3}\u{1}\r\n".to_owned(), 400),
    ] {
        let mut wire = connect(&server).await;
        let response = wire.ask(&request).await;
        assert_eq!((response.status, response.closes()), (expected, true), "{request:?}");
        wire.assert_closed().await;
    }
    assert_eq!(server.metrics().count("callboard_dcmp_polls_total", &[("answer", "bad")]).await, 9);
}

#[tokio::test]
async fn polls_come_in_pipes_and_pieces_and_over_a_limit() {
    let server = Launch::new().set("dcmp.connections", 1).start().await;
    server.phone(MAC).boot().await;
    add_task(&server).await;
    let mut wire = connect(&server).await;
    wire.send([poll(MAC), poll("other"), poll(MAC)].concat()).await;
    let (first, second) = (wire.response().await.status, wire.response().await.status);
    assert_eq!((first, second, wire.response().await.status), (202, 200, 202));
    for byte in poll(MAC).bytes() {
        wire.send([byte]).await;
    }
    assert_eq!(wire.response().await.status, 202);
    // One connection is all there may be: the next is told to come later, unless work waits.
    for (device, expected) in [(MAC, 202), ("other", 503)] {
        let mut beyond = connect(&server).await;
        let response = beyond.ask(poll(device)).await;
        assert_eq!((response.status, response.closes()), (expected, true));
        beyond.assert_closed().await;
    }
    // The door closes at once when the server stops, although a phone rests at it.
    server.terminate();
    wire.assert_closed().await;
    server.stop().await;
}

#[tokio::test]
async fn all_phones_are_told_to_poll_and_the_api_says_so() {
    let launch =
        Launch::new().set("dcmp.mode", "enabled").set("dcmp.external_address", "dcmp.example.net:81");
    let server = launch.set("dcmp.interval_min", 15).set("dcmp.tls", "on").start().await;
    let admin = server.admin();
    let mut phone = server.phone(MAC);
    let written = |items: &[callboard_tests::phone::Item]| -> Vec<Value> {
        items.iter().map(|item| json!([item.key.0, item.value])).collect()
    };
    let expected =
        [json!(["dcmp-url", "https://dcmp.example.net:81/dcmp/"]), json!(["dcmp-poll-interval", "15"])];
    let dialogue = phone.boot().await;
    assert_eq!(dialogue.actions, [ReadAllItems, WriteItems, CleanUp]);
    assert_eq!(written(&dialogue.written), expected);
    // The phone need not keep it.
    let dialogue = phone.boot().await;
    assert_eq!(
        (dialogue.actions, written(&dialogue.written)),
        (vec![WriteItems, CleanUp], expected.to_vec())
    );
    assert_eq!(admin.device(MAC).await["polls"], true);
    let polling = &admin.get("/status").await["polling"];
    let shown = json!({"mode": "enabled", "url": "https://dcmp.example.net:81/dcmp/", "interval_minutes": 15, "pending": 0});
    assert_eq!(*polling, shown);
    // Over TLS, with the certificate that phones know.
    let mut wire = Client::default().connect(server.door("dcmp")).await;
    let mut request = Vec::new();
    write_poll(&mut request, "/dcmp/", "dcmp.example.net:81", MAC, false);
    let response = wire.ask(request).await;
    assert_eq!((response.status, response.closes()), (200, true));
    wire.assert_closed().await;
}

#[tokio::test]
async fn where_nobody_polls_there_is_no_door() {
    let server = Launch::new().set("dcmp.mode", "disabled").start().await;
    assert!(server.doors().contains_key("dcmp"), "it was asked for");
    assert_eq!(server.admin().get("/status").await["polling"]["mode"], "disabled");
    let refused = Launch::new().set("dcmp.mode", "enabled").refused().await;
    assert!(refused.err.contains("dcmp.external_address"), "{}", refused.err);
}
