//! Phones behind an edge.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use callboard_codecs::edge::{Frame, read_frame, write_frame};
use callboard_codecs::wpi::Action::{CleanUp, ReadAllItems, ReadItems, WriteItems};
use callboard_codecs::wpi::{Fragment, Reason, ReplyStatus};
use callboard_tests::certificates::{Kind, credentials, self_signed};
use callboard_tests::contact::{UNDERSTOOD, WebServer};
use callboard_tests::edge::{Edge, EdgeLaunch, certificate_of, free_udp, knock};
use callboard_tests::phone::Phone;
use callboard_tests::secure::without_pin;
use callboard_tests::server::{Launch, Server};
use callboard_tests::tls::Client;
use callboard_tests::wire::Wire;
use callboard_tests::{until, within};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const MAC: &str = "00:1a:e8:0a:0b:0c";
/// Where the phones of the branch call from.
const PHONE: Ipv4Addr = Ipv4Addr::new(127, 0, 7, 9);

/// Makes a site: its id and its token.
async fn site(server: &Server, name: &str) -> (String, String) {
    let made = server.admin().post("/sites", &json!({ "name": name })).await;
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    (text("id"), text("token"))
}

/// A core, a site, and its edge, connected.
async fn branch(launch: Launch) -> (Server, Edge, String) {
    let server = launch.start().await;
    let (id, token) = site(&server, "Hamburg").await;
    let edge = EdgeLaunch::new(&[server.door("edge")]).token(&token).start().await;
    edge.connected(true).await;
    (server, edge, id)
}

/// A phone of the branch, in front of the edge's default door.
fn phone(edge: &Edge, mac: &str) -> Phone {
    let mut phone = Phone::new(edge.door("wpi"), mac);
    phone.client = Client::default().from(PHONE);
    phone
}

/// Waits until the site looks as wanted.
async fn wait_site(server: &Server, id: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    until(what, || async {
        Some(server.admin().get(&format!("/sites/{id}")).await).filter(|site| wanted(site))
    })
    .await
}

/// A connection is closed by the edge before anything comes.
async fn refused(door: SocketAddr) {
    let tcp = Client::default().from(PHONE).tcp(door).await.unwrap();
    let mut wire = Wire::new(tcp);
    wire.assert_closed().await;
}

#[tokio::test]
async fn a_phone_boots_through_an_edge_and_its_own_address_is_seen() {
    let (server, edge, id) = branch(Launch::new()).await;
    server.admin().template("time", 1, &[("sntp-addr", None, "ntp.example.net")]).await;
    let mut phone = phone(&edge, MAC);
    assert_eq!(phone.boot().await.actions, [ReadAllItems, WriteItems, CleanUp]);
    assert_eq!(phone.setting("sntp-addr"), Some("ntp.example.net"));
    let device = server.admin().device(MAC).await;
    assert_eq!((&device["state"], &device["source"]), (&json!("registered"), &json!(PHONE.to_string())));
    assert_eq!(device["site"], json!(id));

    let told = |site: &Value| site["edge"]["figures"]["relayed"].as_u64() > Some(0);
    let shown = wait_site(&server, &id, "the edge's figures", told).await;
    assert_eq!((&shown["state"], &shown["device_count"]), (&json!("connected"), &json!(1)));
    assert_eq!((&shown["edge"]["address"], &shown["token_used"].is_string()), (&json!("127.0.0.1"), &true));
    let relayed = [("outcome", "relayed")];
    assert!(server.metrics().count("callboard_edge_relays_total", &relayed).await > 0);
    assert!(
        edge.metrics().count("callboard_branch_relayed_bytes_total", &[("direction", "up")]).await > 2_000
    );
    server.metrics().wait("callboard_edge_relays", &[], |open| open == 0).await;
    assert_eq!(edge.metrics().get("/readyz").await.status, 200);

    // The same phone by itself: it is of no site any more.
    phone.address = server.door("wpi");
    phone.hang_up();
    phone.boot().await;
    assert_eq!(server.admin().device(MAC).await["site"], Value::Null);
    server.stop().await;
}

#[tokio::test]
async fn a_phone_in_secure_mode_comes_through_an_edge() {
    let (server, edge, id) = branch(Launch::new()).await;
    let mut phone = phone(&edge, MAC);
    phone.boot().await;
    server.admin().secure_mode(MAC, "no-pin", None).await;
    let answer = phone.start_up().await;
    let item = |name: &str| answer.item(name).unwrap();
    let authority = answer.indexed("dls-server-ca", Some(0)).unwrap();
    let own = without_pin(item("dls-client-certificate"), authority, item("dls-secure-port"), "");
    assert!(phone.reply(WriteItems, ReplyStatus::Accepted, Fragment::Final, &[]).await.is_end());
    phone.address = edge.door("wpi_secure");
    phone.client = Client::default().from(PHONE).with(own.own.clone()).trusting(&own.authority);
    phone.hang_up();
    assert!(phone.boot().await.last.is_end());
    let device = server.admin().device(MAC).await;
    assert_eq!((&device["secure_mode"]["mode"], &device["site"]), (&json!("secure"), &json!(id)));

    // The certificate of a phone is none of an edge.
    let connection = knock(server.door("edge"), Some(&own.own)).await.unwrap();
    let closed = within("the core to close", connection.closed()).await.to_string();
    assert!(closed.contains("no certificate of a site"), "{closed}");
    // Nor is that of an edge one of a phone.
    let edges = Client::default().with(certificate_of(&edge.launch.data()));
    let mut wire = edges.connect(server.door("wpi_secure")).await;
    let (_, body) = phone.message(&Reason::StartUp, Fragment::Absent, &phone.basic_items());
    let request = [phone.head(body.len()).as_bytes(), &body].concat();
    assert_eq!(wire.ask(request).await.status, 400);
    assert_eq!(server.admin().events("certificate-mismatch", MAC).await, Vec::<Value>::new());
}

#[tokio::test]
async fn while_the_core_is_away_polls_tell_of_no_work_and_phones_are_refused() {
    let door = free_udp();
    let launch = Launch::new().set("listen.edge", door).set("dcmp.mode", "disabled");
    let (server, edge, id) = branch(launch).await;
    let mut phone = phone(&edge, MAC);
    phone.boot().await;
    assert_eq!(edge.poll(MAC).await, 200);
    let task = json!({ "type": "read-items", "items": [{ "name": "hostname" }] });
    server.admin().post(&format!("/devices/{MAC}/tasks"), &task).await;
    until("the edge to know", || async { (edge.poll(MAC).await == 202).then_some(()) }).await;
    for spelling in ["00-1A-E8-0A-0B-0C", "001ae80a0b0c", "00%3a1a%3ae8%3a0a%3a0b%3a0c"] {
        assert_eq!(edge.poll(spelling).await, 202, "{spelling}");
    }
    assert_eq!((edge.poll("00:1a:e8:0a:0b:0d").await, edge.poll("").await), (200, 400));

    let launch = server.kill().await;
    edge.connected(false).await;
    assert_eq!(edge.metrics().get("/readyz").await.status, 503);
    refused(edge.door("wpi")).await;
    let away = [("outcome", "core_away")];
    assert!(edge.metrics().count("callboard_branch_relays_total", &away).await > 0);
    assert_eq!((edge.poll(MAC).await, edge.poll("00:1a:e8:0a:0b:0d").await), (200, 200));

    let server = launch.start().await;
    edge.connected(true).await;
    let held = |site: &Value| site["edge"]["held_version"].is_u64();
    wait_site(&server, &id, "the set of the new process", held).await;
    until("the edge to know again", || async { (edge.poll(MAC).await == 202).then_some(()) }).await;
    phone.hang_up();
    let answer = phone.open(Reason::Solicited).await;
    assert_eq!(phone.follow(answer).await.actions, [ReadItems, CleanUp]);
    until("the edge to forget", || async { (edge.poll(MAC).await == 200).then_some(()) }).await;
}

#[tokio::test]
async fn an_edge_calls_the_phones_of_its_branch_as_its_own_configuration_allows() {
    let server = Launch::new().set("contact.allow_networks", "127.0.0.0/8").start().await;
    let (_, token) = site(&server, "Hamburg").await;
    let edge = EdgeLaunch::new(&[server.door("edge")]).token(&token);
    let edge = edge.set("contact.allow_networks", "127.0.0.8/29").start().await;
    edge.connected(true).await;
    let reach = |mac: &str| format!("/devices/{mac}/reach");
    let (mut allowed, mut forbidden) =
        (WebServer::start("127.0.0.9:0".parse().unwrap(), UNDERSTOOD).await, WebServer::phone().await);
    for (mac, web) in [(MAC, &allowed), ("00:1a:e8:0a:0b:0d", &forbidden)] {
        let mut phone = phone(&edge, mac);
        phone.contact_me_uri = web.uri();
        phone.boot().await;
        let task = json!({ "type": "read-items", "items": [{ "name": "hostname" }] });
        server.admin().post(&format!("/devices/{mac}/tasks"), &task).await;
    }
    let heard = allowed.called().await;
    assert_eq!(heard.form, "ContactMe=true");
    let outcome = |mac: &'static str, outcome: &'static str| {
        let (admin, path) = (server.admin(), reach(mac));
        async move {
            let told = || async {
                let reach = admin.get(&path).await;
                (reach["calls"]["last"]["outcome"] == outcome).then_some(reach)
            };
            until(outcome, told).await
        }
    };
    let told = outcome(MAC, "understood").await;
    assert_eq!(told["calls"]["state"], "waiting", "{told}");
    let told = outcome("00:1a:e8:0a:0b:0d", "not-called").await;
    assert_eq!(
        told["calls"]["last"]["detail"],
        "not called: the edge of its site must not call that address"
    );
    forbidden.assert_quiet();
    assert_eq!(edge.metrics().count("callboard_branch_calls_total", &[]).await, 2);
}

#[tokio::test]
async fn phones_of_a_site_are_told_to_poll_at_its_edge() {
    let launch = Launch::new().set("dcmp.mode", "enabled").set("dcmp.external_address", "core.example.net");
    let (server, edge, _) = branch(launch.set("dcmp.site_port", 8_081)).await;
    let (mut inside, mut outside) = (phone(&edge, MAC), server.phone("00:1a:e8:0a:0b:0d"));
    inside.boot().await;
    outside.boot().await;
    assert_eq!(inside.setting("dcmp-url"), Some("http://127.0.0.1:8081/dcmp/"));
    let told = outside.setting("dcmp-url").unwrap();
    assert!(told.starts_with("http://core.example.net"), "{told}");
}

#[tokio::test]
async fn a_call_that_an_edge_took_with_it_counts_as_made() {
    let launch = Launch::new().set("contact.allow_networks", "127.0.0.0/8");
    let server = launch.set("edge.idle_timeout_s", 3).start().await;
    let (_, token) = site(&server, "Hamburg").await;
    let edge = EdgeLaunch::new(&[server.door("edge")]).token(&token);
    let edge = edge.set("contact.allow_networks", "127.0.0.8/29").start().await;
    edge.connected(true).await;
    let web = TcpListener::bind("127.0.0.9:0").await.unwrap();
    let mut phone = phone(&edge, MAC);
    phone.contact_me_uri = format!("http://{}{}", web.local_addr().unwrap(), callboard_tests::contact::PATH);
    phone.boot().await;
    let task = json!({ "type": "read-items", "items": [{ "name": "hostname" }] });
    server.admin().post(&format!("/devices/{MAC}/tasks"), &task).await;
    // The phone has heard the call; nobody tells the core.
    let (stream, _) = within("a contact-me", web.accept()).await.unwrap();
    let mut wire = Wire::new(stream);
    within("the call", wire.head()).await.unwrap();
    let edge = edge.kill().await.start().await;
    edge.connected(true).await;

    let told = until("the end of the call", || async {
        let reach = server.admin().get(&format!("/devices/{MAC}/reach")).await;
        (!reach["calls"]["last"].is_null()).then_some(reach)
    })
    .await;
    // Else the phone is called again at once, and it may be one that crashes then.
    assert_eq!(told["calls"]["last"]["outcome"], "timeout", "{told}");
}

#[tokio::test]
async fn a_token_is_good_once_and_stays_out_of_logs() {
    let (server, edge, id) = branch(Launch::new()).await;
    let token = std::fs::read_to_string(edge.launch.data().join("../token")).unwrap();
    // Another edge with the same token.
    let ended = EdgeLaunch::new(&[server.door("edge")]).token(&token).refused().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("the core refuses the enrolment"), "{}", ended.err);
    let labels = [("outcome", "token")];
    assert_eq!(server.metrics().count("callboard_edge_connections_total", &labels).await, 1);
    let events = server.admin().get("/events?kind=site-refused").await;
    let text = events["items"][0]["text"].as_str().unwrap();
    assert!(text.ends_with(&format!("came with the token of site {id}: it was used")), "{text}");
    // The one that used it starts again with its certificate, although the file is still there.
    let edge = edge.kill().await.start().await;
    edge.connected(true).await;
    let secret = token.split('.').nth(2).unwrap();
    for text in [server.log.text(), edge.log.text(), ended.err] {
        assert!(!text.contains(secret));
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(edge.launch.data().join("edge.pem")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(server.admin().get(&format!("/sites/{id}")).await["state"], "connected");
}

#[tokio::test]
async fn an_edge_begins_with_the_core_that_enrolled_it() {
    let server = Server::new().await;
    let (_, token) = site(&server, "Hamburg").await;
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let cores = [silent.local_addr().unwrap(), server.door("edge")];
    let edge = EdgeLaunch::new(&cores).token(&token).start().await;
    edge.connected(true).await;
    // Each attempt has a socket of its own: one, to enrol, came to the core that does not answer.
    let mut callers = std::collections::BTreeSet::new();
    while let Ok((_, caller)) = silent.try_recv_from(&mut [0; 2_048]) {
        callers.insert(caller);
    }
    assert_eq!(callers.len(), 1, "{callers:?}");
}

#[tokio::test]
async fn strangers_get_nothing_from_the_door_of_edges() {
    let server = Server::new().await;
    let (id, _) = site(&server, "Hamburg").await;
    // A certificate that says all the right things and is signed by nobody.
    let (certificate, key) = self_signed(&id, Kind::P256);
    let own = credentials(&certificate, &key);
    match knock(server.door("edge"), Some(&own)).await {
        Err(_) => {}
        // With TLS 1.3 the client hears of it after its own end of the handshake.
        Ok(connection) => drop(within("the core to refuse", connection.closed()).await),
    }
    let labels = [("outcome", "handshake")];
    server.metrics().wait("callboard_edge_connections_total", &labels, |count| count == 1).await;

    // Without a certificate: no relay, no set of devices, and no certificate for a token that was never given.
    for frame in [
        Frame::Hello { epoch: 0, version: 0, software: "stranger" },
        Frame::Enrol { token: &format!("callboard-edge.{id}.{0}.{0}", "A".repeat(43)), request: b"" },
    ] {
        let connection = knock(server.door("edge"), None).await.unwrap();
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        let mut bytes = Vec::new();
        write_frame(&frame, &mut bytes).unwrap();
        send.write_all(&bytes).await.unwrap();
        let answer = within("an answer or the end", receive.read_to_end(1_000)).await.unwrap_or_default();
        match read_frame(&answer) {
            Ok(None | Some((Frame::Refused { .. }, _))) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(server.admin().get(&format!("/sites/{id}")).await["state"], "never-enrolled");
}

#[tokio::test]
async fn strangers_have_few_streams_and_few_places() {
    // They stay as long as the test needs them.
    let launch = Launch::new().set("listen.edge", free_udp());
    let launch = launch.set("edge.handshakes", 2).set("limits.header_timeout_ms", 600_000);
    let (server, edge, id) = branch(launch).await;
    // The connection of the enrolment has one of their places until the core has seen its end. A new process has none.
    let server = server.kill().await.start().await;
    wait_site(&server, &id, "the edge at the new process", |site| site["state"] == "connected").await;
    let mut strangers = Vec::new();
    for _ in 0..2 {
        let stranger = knock(server.door("edge"), None).await.unwrap();
        let (one, two) = (stranger.open_bi().await.unwrap(), stranger.open_bi().await.unwrap());
        let third = tokio::time::timeout(Duration::ZERO, stranger.open_bi()).await;
        assert!(third.is_err(), "a third stream is granted");
        strangers.push((stranger, one, two));
    }
    // One more is closed; where the handshakes of the others are not over yet, before its own.
    if let Ok(third) = knock(server.door("edge"), None).await {
        within("the core to close", third.closed()).await;
    }
    let busy = [("outcome", "busy")];
    // Twice, if it repeats its first packet before it hears of that.
    server.metrics().wait("callboard_edge_connections_total", &busy, |count| count >= 1).await;
    // Edges do not wait for them, and have all their streams.
    let edge = edge.kill().await.start().await;
    edge.connected(true).await;
    let mut phones = Vec::new();
    for number in 0..4 {
        let mut phone = phone(&edge, &format!("00:1a:e8:0a:0b:{number:02x}"));
        phone.start_up().await;
        phones.push(phone);
    }
    server.metrics().wait("callboard_edge_relays", &[], |open| open == 4).await;
    assert!(strangers.iter().all(|(stranger, ..)| stranger.close_reason().is_none()));
}

#[tokio::test]
async fn an_edge_learns_of_a_core_that_restarted_without_waiting_for_silence() {
    // Longer than the test waits for anything.
    let launch = Launch::new().set("listen.edge", free_udp()).set("edge.idle_timeout_s", 600);
    let server = launch.start().await;
    let (id, token) = site(&server, "Hamburg").await;
    let edge = EdgeLaunch::new(&[server.door("edge")]).set("edge.idle_timeout_s", 600).token(&token);
    let edge = edge.start().await;
    edge.connected(true).await;
    let server = server.kill().await.start().await;
    wait_site(&server, &id, "the edge at the new process", |site| site["state"] == "connected").await;
    phone(&edge, MAC).boot().await;
}

#[tokio::test]
async fn a_deleted_site_is_cut_and_does_not_come_back() {
    let (server, edge, id) = branch(Launch::new()).await;
    let mut phone = phone(&edge, MAC);
    phone.boot().await;
    let response = server.admin().request("DELETE", &format!("/sites/{id}"), "If-Match: *\r\n", "").await;
    assert_eq!(response.status, 204, "{}", response.text());
    edge.connected(false).await;
    refused(edge.door("wpi")).await;
    // It tries again, and is refused by its certificate.
    let labels = [("outcome", "certificate")];
    server.metrics().wait("callboard_edge_connections_total", &labels, |count| count > 0).await;
    edge.log.line("no certificate of a site").await;
    assert_eq!(server.admin().request("GET", &format!("/sites/{id}"), "", "").await.status, 404);
    assert_eq!(server.admin().device(MAC).await["state"], "registered", "its phones stay");
}

#[tokio::test]
async fn a_new_token_brings_a_new_edge_and_ends_the_old() {
    let (server, old, id) = branch(Launch::new()).await;
    let renewed = server.admin().request("POST", &format!("/sites/{id}/token"), "", "").await;
    let renewed: Value = serde_json::from_slice(&renewed.body).unwrap();
    old.connected(true).await;
    // The first of its cores does not answer.
    let cores = [free_udp(), server.door("edge")];
    let new = EdgeLaunch::new(&cores)
        .set("edge.connect_timeout_ms", 500)
        .token(renewed["token"].as_str().unwrap())
        .start()
        .await;
    new.connected(true).await;
    old.connected(false).await;
    assert_eq!(phone(&new, MAC).boot().await.actions, [ReadAllItems, CleanUp]);
    assert_eq!(server.admin().device(MAC).await["site"], json!(id));
}
