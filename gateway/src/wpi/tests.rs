//! The handler behind a real door: what a dialogue leaves in the log.

use std::net::SocketAddr;
use std::sync::Arc;

use callboard_codecs::wpi::{Action, Dialect, Limits, parse_phone_message};
use callboard_core::dialogue::wpi::Reply;
use callboard_core::item::ItemWrite;
use callboard_core::service::{Outcome, Service, Settings, WpiResponse};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{LargeBodies, Mode, WpiHandler, WpiLimits};
use crate::listen::{self, Door, Shutdown, bind, serve};
use crate::telemetry::sink::Sink;
use crate::testing::surroundings;

const OPENING: &str = r#"<WorkpointMessage><Message nonce="AA01" maxItems="-1">
<ReasonForContact>start-up</ReasonForContact><ItemList><Item name="mac-addr">00:1a:e8:0a:0b:0c</Item>
<Item name="device-type">OpenStage 40</Item><Item name="software-version">V3 R5.12.0</Item></ItemList>
</Message></WorkpointMessage>"#;
const ANSWER: &str = r#"<WorkpointMessage><Message nonce="AA02" maxItems="-1" fragment="final">
<ReasonForContact action="ReadAllItems" status="accepted">reply-to</ReasonForContact>
<ItemList><Item name="hostname">desk</Item></ItemList></Message></WorkpointMessage>"#;

fn handler() -> WpiHandler {
    handler_with(Arc::new(LargeBodies::new(1 << 20)))
}

fn handler_with(large_bodies: Arc<LargeBodies>) -> WpiHandler {
    handler_that(large_bodies, true)
}

fn handler_that(large_bodies: Arc<LargeBodies>, close_after_clean_up: bool) -> WpiHandler {
    let mut settings = Settings::default();
    settings.fleet.devices = 10;
    let limits = WpiLimits {
        message: Limits::default(),
        body_bytes: 400_000,
        large_bodies,
        paths: vec!["/DeploymentService/LoginService".to_owned()],
        close_after_clean_up,
    };
    WpiHandler::new(Arc::new(Service::new(surroundings(), settings)), Mode::Default, limits)
}

async fn post(address: SocketAddr, cookie: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!(
        "POST /DeploymentService/LoginService HTTP/1.1\r\nConnection: close\r\nCookie: {cookie}\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all([&head, body].concat().as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn all_lines_of_a_flow_carry_its_number() {
    let sink = Sink::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(sink.clone())
        .finish();
    let _here = tracing::subscriber::set_default(subscriber);

    let bound = bind(Door::WPI, "127.0.0.1:0".parse().unwrap(), 16).unwrap();
    let (address, shutdown) = (bound.local_addr(), Shutdown::new());
    let limits = Arc::new(listen::Limits::default());
    let door = tokio::spawn(serve(bound, None, limits, Arc::new(handler()), shutdown.clone()));
    let first = post(address, "stale=1", OPENING).await;
    assert!(first.contains("ReadAllItems"), "{first}");
    let cookie = first.lines().find_map(|line| line.strip_prefix("Set-Cookie: ")).unwrap();
    let last = post(address, cookie, ANSWER).await;
    assert!(last.contains("CleanUp"), "{last}");
    shutdown.drain();
    door.await.unwrap();

    let text = sink.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said = |message: &str| lines.iter().filter(|line| line["message"] == message).collect::<Vec<_>>();
    let ended = said("flow ended");
    assert_eq!(ended.len(), 1, "{text}");
    let number = ended[0]["span"]["flow"].as_str().unwrap();
    assert_eq!(number.len(), 8, "{number}");
    assert_eq!((&ended[0]["reason"], &ended[0]["actions"]), (&"start-up".into(), &1.into()), "{text}");
    assert_eq!(ended[0]["device"], "00:1a:e8:0a:0b:0c");
    assert_eq!((said("message").len(), said("event").len()), (2, 1), "{text}");
    for line in said("message").into_iter().chain(said("event")) {
        assert_eq!(line["span"]["flow"], number, "{line}");
    }
    // Whoever reads the log must not be able to speak for the phone.
    let cookie = cookie.trim_start_matches("JSESSIONID=").split(';').next().unwrap();
    assert!(cookie.len() == 32 && !text.contains(cookie) && !text.contains(&cookie[..8]), "{text}");
}

#[tokio::test]
async fn large_bodies_share_their_room_and_small_ones_need_none() {
    let room = Arc::new(LargeBodies::new(300_000));
    let bound = bind(Door::WPI, "127.0.0.1:0".parse().unwrap(), 16).unwrap();
    let (address, shutdown) = (bound.local_addr(), Shutdown::new());
    let limits = Arc::new(listen::Limits::default());
    let handler = Arc::new(handler_with(room.clone()));
    let door = tokio::spawn(serve(bound, None, limits, handler, shutdown.clone()));

    let large = "x".repeat(100_000);
    let taken = room.take(250_000).unwrap();
    let refused = post(address, "", &large).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(post(address, "", OPENING).await.contains("ReadAllItems"));
    drop(taken);
    let read = post(address, "", &large).await;
    assert!(read.starts_with("HTTP/1.1 400 "), "it is no WPI message, and was read as far as that: {read}");
    assert!(room.take(250_000).is_some(), "the room is given back");
    shutdown.stop();
    door.await.unwrap();
}

/// Asks on a connection that stays, and reads the one answer.
async fn ask(stream: &mut TcpStream, cookie: &str, body: &str) -> String {
    let length = body.len();
    let head = format!(
        "POST /DeploymentService/LoginService HTTP/1.1\r\nCookie: {cookie}\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all([&head, body].concat().as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        let ended = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            length.is_some_and(|length| length.parse() == Ok(body.len()))
        });
        if ended || stream.read_buf(&mut answer).await.unwrap() == 0 {
            return String::from_utf8(answer).unwrap();
        }
    }
}

fn cookie_of(answer: &str) -> &str {
    answer
        .lines()
        .find_map(|line| line.to_lowercase().starts_with("set-cookie: ").then(|| &line[12..]))
        .unwrap()
}

#[tokio::test]
async fn over_the_budget_of_its_source_an_open_flow_ends() {
    let bound = bind(Door::WPI, "127.0.0.1:0".parse().unwrap(), 16).unwrap();
    let (address, shutdown) = (bound.local_addr(), Shutdown::new());
    let limits = listen::Limits { requests_per_source_per_second: 1, ..listen::Limits::default() };
    let door = tokio::spawn(serve(bound, None, Arc::new(limits), Arc::new(handler()), shutdown.clone()));
    let first = post(address, "", OPENING).await;
    assert!(first.contains("ReadAllItems"), "{first}");
    // On a slow machine a second may pass between two of them: then the next is asked.
    let mut others = (0x10..=0xff).map(|last| OPENING.replace("0b:0c", &format!("0c:{last:02x}")));
    while !post(address, "", &others.next().unwrap()).await.contains(">overload<") {}
    let last = post(address, cookie_of(&first), ANSWER).await;
    assert!(last.contains("CleanUp") && !last.contains(">overload<"), "{last}");
    shutdown.stop();
    door.await.unwrap();
}

#[tokio::test]
async fn who_is_to_come_later_sends_small_bodies_but_for_those_inside_a_flow() {
    let bound = bind(Door::WPI, "127.0.0.1:0".parse().unwrap(), 16).unwrap();
    let (address, shutdown) = (bound.local_addr(), Shutdown::new());
    let limits = Arc::new(listen::Limits::default());
    let door = tokio::spawn(serve(bound, None, limits, Arc::new(handler()), shutdown.clone()));
    let mut inside = TcpStream::connect(address).await.unwrap();
    let first = ask(&mut inside, "", OPENING).await;
    assert!(first.contains("ReadAllItems"), "{first}");
    shutdown.drain();
    let large = ANSWER.replace("</ItemList>", &format!("{}</ItemList>", " ".repeat(100_000)));
    let refused = post(address, "", &large).await;
    assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");
    let last = ask(&mut inside, cookie_of(&first), &large).await;
    assert!(last.contains("CleanUp"), "{last}");
    shutdown.stop();
    door.await.unwrap();
}

#[tokio::test]
async fn a_flow_that_is_over_allows_no_large_bodies_over_the_budget() {
    let bound = bind(Door::WPI, "127.0.0.1:0".parse().unwrap(), 16).unwrap();
    let (address, shutdown) = (bound.local_addr(), Shutdown::new());
    let limits = listen::Limits { requests_per_source_per_second: 1, ..listen::Limits::default() };
    let handler = Arc::new(handler_that(Arc::new(LargeBodies::new(1 << 20)), false));
    let door = tokio::spawn(serve(bound, None, Arc::new(limits), handler, shutdown.clone()));
    let mut inside = TcpStream::connect(address).await.unwrap();
    let first = ask(&mut inside, "", OPENING).await;
    assert!(first.contains("ReadAllItems"), "{first}");
    let cookie = cookie_of(&first);
    let last = ask(&mut inside, cookie, ANSWER).await;
    assert!(last.contains("CleanUp") && !last.contains(">overload<"), "{last}");
    let large = ANSWER.replace("</ItemList>", &format!("{}</ItemList>", " ".repeat(100_000)));
    let mut answer = String::new();
    // On a slow machine a second may pass between two of them: then the budget is spent again.
    for _ in 0..200 {
        post(address, "", ANSWER).await;
        answer = ask(&mut inside, cookie, &large).await;
        if !answer.starts_with("HTTP/1.1 200 ") {
            break;
        }
    }
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    shutdown.stop();
    door.await.unwrap();
}

#[tokio::test]
async fn a_stop_has_its_own_cause_among_those_for_overload() {
    let recorder = metrics_prometheus::Recorder::builder().with_registry(prometheus::Registry::new()).build();
    let handler = Arc::new(metrics::with_local_recorder(&recorder, handler));
    let bound = bind(Door::WPI, "127.0.0.1:0".parse().unwrap(), 16).unwrap();
    let (address, shutdown) = (bound.local_addr(), Shutdown::new());
    let door =
        tokio::spawn(serve(bound, None, Arc::new(listen::Limits::default()), handler, shutdown.clone()));
    // Its dialogue keeps the door open.
    assert!(post(address, "", OPENING).await.contains("ReadAllItems"));
    shutdown.drain();
    let other = OPENING.replace("0a:0b:0c", "0a:0b:0d");
    assert!(post(address, "", &other).await.contains(">overload<"));
    let scrape = prometheus::TextEncoder::new().encode_to_string(&recorder.registry().gather()).unwrap();
    for (cause, count) in [("draining", 1), ("connections", 0)] {
        let line = format!("callboard_overload_total{{cause=\"{cause}\"}} {count}");
        assert!(scrape.lines().any(|own| own == line), "{line} is not in\n{scrape}");
    }
    shutdown.stop();
    door.await.unwrap();
}

#[test]
fn a_reply_that_cannot_be_written_is_told() {
    let recorder = metrics_prometheus::Recorder::builder().with_registry(prometheus::Registry::new()).build();
    let handler = metrics::with_local_recorder(&recorder, handler);
    let message = parse_phone_message(OPENING.as_bytes(), &Limits::default()).unwrap();
    let items = vec![ItemWrite::new("hostname", None, "no\u{1}XML")];
    let reply = Reply { action: Action::WriteItems, items, dialect: Dialect::Current };
    let answer =
        WpiResponse { reply, set_cookie: None, flow: None, outcome: Outcome::Answered, flow_time: None };
    let response = handler.write("192.0.2.1".parse().unwrap(), &message, &answer);
    assert_eq!(response.status(), 500);
    let scrape = prometheus::TextEncoder::new().encode_to_string(&recorder.registry().gather()).unwrap();
    let line = "callboard_events_total{kind=\"reply-unwritable\",severity=\"error\"} 1";
    assert!(scrape.lines().any(|own| own == line), "{line} is not in\n{scrape}");
}
