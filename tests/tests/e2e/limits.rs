//! Bounds: whoever is over one is told to come later, or shown the door, and those inside feel nothing of it.

use std::net::Ipv4Addr;

use callboard_codecs::wpi::Action::{CleanUp, ReadAllItems};
use callboard_codecs::wpi::{Fragment, ReplyStatus};
use callboard_tests::metrics::Scrape;
use callboard_tests::phone::{Answer, PATH, Phone};
use callboard_tests::server::{Launch, Server};
use callboard_tests::tls::Client;
use callboard_tests::wire::Wire;
use tokio::task::JoinSet;

fn mac(number: u8) -> String {
    format!("00:1a:e8:0a:0b:{number:02x}")
}

/// A phone with an address of its own.
fn phone(server: &Server, number: u8) -> Phone {
    let mut phone = server.phone(&mac(number));
    phone.client = Client::default().from(Ipv4Addr::new(127, 0, 0, number));
    phone
}

fn wpi(scrape: &Scrape, name: &str, cause: &str) -> i64 {
    scrape.count(name, &[("door", "wpi"), ("cause", cause)])
}

#[tokio::test]
async fn over_the_connection_limit_phones_are_told_to_come_later() {
    let launch = Launch::new()
        .set("limits.connections", 2)
        .set("limits.connections_per_source", 2)
        .set("limits.shed_connections", 8);
    let server = launch.start().await;
    let (mut one, mut two, mut three) = (phone(&server, 1), phone(&server, 2), phone(&server, 3));
    let inside = (one.start_up().await, two.start_up().await);

    let answer = three.start_up().await;
    assert!(answer.is_overload() && answer.response.closes(), "{answer:?}");
    let scrape = server.metrics().scrape().await;
    assert_eq!(wpi(&scrape, "callboard_listen_shed_total", "connections"), 1);
    assert_eq!(scrape.count("callboard_overload_total", &[("cause", "connections")]), 1);
    assert_eq!(
        server.admin().get("/status").await["devices"]["total"],
        0,
        "who is shed leaves nothing behind"
    );

    // One source may hold a quarter of the places for those to be told; it has given back the one it had.
    let told = "callboard_listen_shed_connections";
    server.metrics().wait(told, &[("door", "wpi")], |open| open == 0).await;
    let client = three.client.clone();
    let waiting = (client.connect(three.address).await, client.connect(three.address).await);
    let mut last = Wire::new(client.tcp(three.address).await.unwrap());
    last.rest().await;
    let scrape = server.metrics().scrape().await;
    assert_eq!(wpi(&scrape, "callboard_listen_rejected_total", "connections"), 1);
    drop(waiting);

    assert_eq!(one.follow(inside.0).await.actions, [ReadAllItems, CleanUp]);
    assert_eq!(two.follow(inside.1).await.actions, [ReadAllItems, CleanUp]);
    let gauge = "callboard_listen_connections";
    server.metrics().wait(gauge, &[("door", "wpi")], |open| open == 0).await;
    assert_eq!(three.boot().await.actions, [ReadAllItems, CleanUp]);
}

#[tokio::test]
async fn one_source_cannot_take_the_places_of_others() {
    let server = Launch::new().set("limits.connections_per_source", 2).start().await;
    let client = Client::default().from(Ipv4Addr::new(127, 0, 0, 9));
    let held = (client.connect(server.door("wpi")).await, client.connect(server.door("wpi")).await);
    let mut third = phone(&server, 9);
    assert!(third.start_up().await.is_overload());
    assert_eq!(phone(&server, 8).boot().await.actions, [ReadAllItems, CleanUp]);
    let scrape = server.metrics().scrape().await;
    assert_eq!(wpi(&scrape, "callboard_listen_shed_total", "source_connections"), 1);
    drop(held);
}

#[tokio::test]
async fn new_connections_of_one_source_are_counted_by_the_second() {
    // The first connection does not shake hands before all the others are there.
    let launch = Launch::new()
        .set("limits.new_connections_per_source_per_second", 2)
        .set("tls.handshake_timeout_ms", 60_000);
    let server = launch.start().await;
    let client = Client::default().from(Ipv4Addr::new(127, 0, 0, 9));
    let mut held = Vec::new();
    for _ in 0..60 {
        held.push(client.tcp(server.door("wpi")).await.unwrap());
    }
    let labels = [("door", "wpi")];
    server.metrics().wait("callboard_listen_accepted_total", &labels, |accepted| accepted == 60).await;
    assert_eq!(phone(&server, 8).boot().await.actions, [ReadAllItems, CleanUp]);
    let scrape = server.metrics().scrape().await;
    let shed = wpi(&scrape, "callboard_listen_shed_total", "source_rate");
    let rejected = wpi(&scrape, "callboard_listen_rejected_total", "source_rate");
    assert!(shed >= 2 && rejected > 0 && shed + rejected < 60, "{shed} told, {rejected} closed");
    // Those who were let in are served, those who were shed are told; the first of all was let in.
    let mut first = Wire::new(client.handshake(held.remove(0)).await.unwrap());
    let response = first.ask(format!("GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    assert_eq!(response.status, 400);
}

#[tokio::test]
async fn open_dialogues_are_bounded() {
    let server = Launch::new().set("flow.flows", 1).start().await;
    let (mut one, mut two) = (phone(&server, 1), phone(&server, 2));
    let answer = one.start_up().await;
    assert!(two.start_up().await.is_overload());
    let told = server.metrics().count("callboard_overload_total", &[("cause", "flows")]).await;
    assert_eq!(told, 1);
    // Its own dialogue may be begun anew, and ends.
    one.hang_up();
    let again = one.start_up().await;
    assert_eq!((answer.action, again.action), (ReadAllItems, ReadAllItems));
    assert!(one.follow(again).await.last.is_end());
    assert!(two.boot().await.last.is_end());
}

#[tokio::test]
async fn the_fleet_is_bounded() {
    let server = Launch::new().set("fleet.devices", 1).start().await;
    assert!(phone(&server, 1).boot().await.last.is_end());
    assert!(phone(&server, 2).start_up().await.is_overload());
    assert!(phone(&server, 1).boot().await.last.is_end(), "who is known is served");
}

#[tokio::test]
async fn a_head_has_a_size() {
    let server = Launch::new().set("limits.header_bytes", 4_096).start().await;
    let mut wire = Client::default().connect(server.door("wpi")).await;
    let filler = "x".repeat(5_000);
    let request =
        format!("POST {PATH} HTTP/1.1\r\nHost: x\r\nX-Filler: {filler}\r\nContent-Length: 0\r\n\r\n");
    let response = wire.ask(request).await;
    assert_eq!((response.status, response.body.len()), (431, 0));
    wire.assert_closed().await;
    let labels = [("door", "wpi"), ("cause", "head_too_large")];
    server.metrics().wait("callboard_http_errors_total", &labels, |count| count == 1).await;
}

/// Waits until a time-out of this phase is counted.
async fn timed_out(server: &Server, phase: &str, times: i64) {
    let labels = [("door", "wpi"), ("phase", phase)];
    server.metrics().wait("callboard_http_timeouts_total", &labels, |count| count == times).await;
}

#[tokio::test]
async fn slow_heads_end() {
    let server = Launch::new().set("limits.header_timeout_ms", 200).start().await;
    let connect = async || Client::default().connect(server.door("wpi")).await;
    let mut silent = connect().await;
    silent.assert_closed().await;
    let mut slow = connect().await;
    // On a busy machine the time may be over before this is sent.
    let _ = slow.try_send(format!("POST {PATH} HTTP/1.1\r\nHost: ")).await;
    slow.assert_closed().await;
    timed_out(&server, "header", 2).await;
}

#[tokio::test]
async fn slow_bodies_end() {
    // The head's time is not the body's: it must not run out first on a busy machine.
    let launch = Launch::new().set("limits.header_timeout_ms", 60_000).set("limits.body_timeout_ms", 200);
    let server = launch.start().await;
    let mut slow = Client::default().connect(server.door("wpi")).await;
    slow.send(format!("POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n<?xml")).await;
    slow.rest().await;
    timed_out(&server, "body", 1).await;
    assert!(phone(&server, 1).boot().await.last.is_end());
}

#[tokio::test]
async fn a_handshake_that_does_not_come_ends() {
    let server = Launch::new()
        .set("limits.header_timeout_ms", 60_000)
        .set("tls.handshake_timeout_ms", 200)
        .start()
        .await;
    let mut silent = Wire::new(Client::default().tcp(server.door("wpi")).await.unwrap());
    silent.assert_closed().await;
    let mut slow = Wire::new(Client::default().tcp(server.door("wpi")).await.unwrap());
    // On a busy machine the time may be over before this is sent.
    let _ = slow.try_send([22, 3, 1, 2]).await;
    slow.rest().await;
    let labels = [("door", "wpi"), ("outcome", "timeout")];
    server.metrics().wait("callboard_tls_handshakes_total", &labels, |count| count == 2).await;
}

#[tokio::test]
async fn a_dialogue_outlives_its_idle_connection() {
    let server = Launch::new().set("limits.idle_timeout_ms", 200).start().await;
    let mut phone = phone(&server, 1);
    let answer = phone.start_up().await;
    phone.wire().await.assert_closed().await;
    timed_out(&server, "idle", 1).await;
    phone.hang_up();
    assert_eq!(phone.follow(answer).await.actions, [ReadAllItems, CleanUp]);
}

#[tokio::test]
async fn a_dialogue_that_rests_too_long_is_given_up() {
    let server = Launch::new().set("flow.idle_timeout_s", 1).start().await;
    let mut phone = phone(&server, 1);
    assert_eq!(phone.start_up().await.action, ReadAllItems);
    let admin = server.admin();
    let told = || async { (!admin.events("flow-abandoned", &mac(1)).await.is_empty()).then_some(()) };
    callboard_tests::until("the event", told).await;
    let items: Vec<_> = phone.settings.clone().into_iter().collect();
    let answer = phone.reply(ReadAllItems, ReplyStatus::Accepted, Fragment::Final, &items).await;
    assert!(answer.is_end());
    assert_eq!(phone.boot().await.actions, [ReadAllItems, CleanUp], "it was not read, so it is read");
}

/// A server at which a connection may rest after its handshake until all others are there.
fn patient() -> Launch {
    Launch::new().set("limits.header_timeout_ms", 120_000)
}

/// Strangers at one address, connected. What they say after that, all at the same time, costs no handshake.
async fn branch(server: &Server, numbers: std::ops::RangeInclusive<u8>) -> Vec<Phone> {
    let mut phones = Vec::new();
    for number in numbers {
        let mut phone = server.phone(&mac(number));
        phone.client = Client::default().from(Ipv4Addr::new(127, 0, 0, 9));
        phone.wire().await;
        phones.push(phone);
    }
    phones
}

/// All start up before any is followed.
async fn start_all(phones: Vec<Phone>) -> Vec<(Phone, Answer)> {
    let mut starting = JoinSet::new();
    for mut phone in phones {
        starting.spawn(async move {
            let answer = phone.start_up().await;
            (phone, answer)
        });
    }
    starting.join_all().await
}

#[tokio::test]
async fn requests_of_one_source_are_counted_by_the_second() {
    // One request: the bucket is full again after a second at the earliest, so the next one finds it empty.
    let server = patient().set("limits.requests_per_source_per_second", 1).start().await;
    let started = start_all(branch(&server, 1..=20).await).await;
    let (told, inside): (Vec<_>, Vec<_>) = started.into_iter().partition(|(_, answer)| answer.is_overload());
    assert!(!told.is_empty() && !inside.is_empty(), "{} told", told.len());
    let scrape = server.metrics().scrape().await;
    let counted = scrape.count("callboard_overload_total", &[("cause", "source_requests")]);
    assert_eq!(counted, i64::try_from(told.len()).unwrap());
    for (mut phone, answer) in inside {
        assert_eq!(phone.follow(answer).await.actions, [ReadAllItems, CleanUp], "who is inside is served");
    }
    assert_eq!(phone(&server, 30).start_up().await.action, ReadAllItems, "another source is not concerned");
}

#[tokio::test]
async fn one_source_brings_so_many_new_devices_and_no_more() {
    let launch =
        patient().set("limits.new_devices_per_source", 2).set("limits.new_devices_per_source_per_second", 1);
    let server = launch.start().await;
    let started = start_all(branch(&server, 1..=20).await).await;
    let (told, taken): (Vec<_>, Vec<_>) = started.into_iter().partition(|(_, answer)| answer.is_overload());
    assert!(!told.is_empty() && taken.len() >= 2, "{} told", told.len());
    let scrape = server.metrics().scrape().await;
    let counted = scrape.count("callboard_overload_total", &[("cause", "source_new_devices")]);
    assert_eq!(counted, i64::try_from(told.len()).unwrap());
    let mut known = Vec::new();
    for (mut phone, answer) in taken {
        assert!(phone.follow(answer).await.last.is_end());
        phone.hang_up();
        known.push(phone);
    }
    assert_eq!(server.admin().get("/status").await["devices"]["total"], known.len());
    for mut phone in known {
        assert!(phone.boot().await.last.is_end(), "who is known is served");
    }
    assert!(phone(&server, 30).boot().await.last.is_end(), "another source is not concerned");
}

#[tokio::test]
async fn an_exempt_network_is_no_single_source() {
    let launch = Launch::new()
        .set("limits.exempt_networks", "127.0.0.8/30")
        .set("limits.requests_per_source_per_second", 1)
        .set("limits.new_devices_per_source", 1)
        .set("limits.new_devices_per_source_per_second", 1)
        .set("limits.connections_per_source", 1)
        .set("flow.flows_per_source", 1);
    let server = launch.start().await;
    let mut behind_the_proxy = Vec::new();
    for number in 1..=10 {
        let mut phone = server.phone(&mac(number));
        phone.client = Client::default().from(Ipv4Addr::new(127, 0, 0, 9));
        let answer = phone.start_up().await;
        behind_the_proxy.push((phone, answer));
    }
    for (mut phone, answer) in behind_the_proxy {
        assert_eq!(phone.follow(answer).await.actions, [ReadAllItems, CleanUp]);
    }
}
