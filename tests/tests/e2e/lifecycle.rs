//! Start, stop, start again.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use callboard_codecs::wpi::Action::{CleanUp, ReadAllItems};
use callboard_tests::server::{Launch, Server};
use callboard_tests::wire::Wire;
use tokio::net::{TcpListener, TcpStream};

const MAC: &str = "00:1a:e8:0a:0b:0c";
const DOORS: [&str; 10] =
    ["admin", "dcmp", "edge", "metrics", "sip_tcp", "sip_tls", "sip_udp", "snmp_trap", "wpi", "wpi_secure"];

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).permissions().mode() & 0o777
}

/// What must be the same after each start.
fn kept(data: &Path) -> Vec<Vec<u8>> {
    let files = ["key", "admin-token", "default-pin", "tls/authority-key.pem", "tls/server-rsa.pem"];
    files.iter().map(|file| std::fs::read(data.join(file)).unwrap()).collect()
}

#[tokio::test]
async fn the_first_start_makes_what_it_needs_and_says_where_it_listens() {
    let server = Server::new().await;
    let data = server.launch.data();
    assert_eq!(mode(data), 0o700);
    for file in ["key", "admin-token", "default-pin", "tls/authority-key.pem", "tls/server-ecdsa.pem"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    assert_eq!(std::fs::read(data.join("key")).unwrap().len(), 32);
    let token = std::fs::read_to_string(data.join("admin-token")).unwrap();
    assert!(token.trim().len() >= 32, "a token that cannot be guessed");
    assert!(data.join("store").is_dir());

    assert_eq!(server.doors().keys().collect::<Vec<_>>(), DOORS);
    let log = server.log.text();
    let place = |text: &str| log.find(text).unwrap_or_else(|| panic!("no {text:?} in\n{log}"));
    let ready = place(": ready ");
    for (door, address) in server.doors() {
        assert!(place(&format!("listening door=\"{door}\" address={address}")) < ready, "{door}");
        assert_ne!(address.port(), 0);
        if !["edge", "sip_udp", "snmp_trap"].contains(&door.as_str()) {
            TcpStream::connect(address).await.unwrap();
        }
    }
    assert!(!log.contains(token.trim()), "the token is told to nobody");
    assert_eq!(server.metrics().get("/readyz").await.status, 200);
    assert_eq!(server.metrics().get("/healthz").await.status, 200);
}

#[tokio::test]
async fn an_empty_address_closes_a_door() {
    let closed = ["listen.wpi_secure", "listen.dcmp", "listen.edge", "listen.admin"];
    let launch = closed.iter().fold(Launch::new(), |launch, door| launch.set(door, ""));
    let server = launch.start().await;
    assert_eq!(
        server.doors().keys().collect::<Vec<_>>(),
        ["metrics", "sip_tcp", "sip_tls", "sip_udp", "snmp_trap", "wpi"]
    );
    assert_eq!(server.phone(MAC).boot().await.actions, [ReadAllItems, CleanUp]);
    server.stop().await;
}

#[tokio::test]
async fn a_stop_is_clean_and_a_second_start_keeps_everything() {
    let server = Server::new().await;
    let template = server.admin().template("time", 7, &[("sntp-addr", None, "ntp.example.net")]).await;
    server.phone(MAC).boot().await;
    let before = (kept(server.launch.data()), server.admin().device(MAC).await);
    let ready_file = server.launch.file("ready.json");
    assert!(ready_file.exists());
    let log = server.log.clone();
    let launch = server.stop().await;
    assert!(log.all().await.trim_end().ends_with("stopped"), "{}", log.text());
    assert!(!ready_file.exists(), "who looks for it must not think that the server still runs");

    let server = launch.start().await;
    assert!(!server.log.text().contains("token created"));
    assert_eq!((kept(server.launch.data()), server.admin().device(MAC).await), before);
    assert_eq!(server.admin().get(&format!("/templates/{template}")).await["name"], "time");
}

#[tokio::test]
async fn a_dialogue_that_is_open_at_the_stop_comes_to_its_end() {
    let mut server = Launch::new().set("limits.drain_timeout_ms", 60_000).start().await;
    let mut phone = server.phone(MAC);
    let answer = phone.start_up().await;
    assert_eq!(answer.action, ReadAllItems);
    server.terminate();
    server.log.line("stopping").await;
    let dialogue = phone.follow(answer).await;
    assert_eq!(dialogue.actions, [ReadAllItems, CleanUp]);
    assert!(server.wait().await.success());
    let server = server.launch.start().await;
    assert_eq!(server.admin().device(MAC).await["state"], "registered");
}

#[tokio::test]
async fn whoever_watches_sees_the_server_stop() {
    let mut server = Launch::new().set("limits.drain_timeout_ms", 60_000).start().await;
    let mut phone = server.phone(MAC);
    let answer = phone.start_up().await;
    server.terminate();
    server.log.line("stopping").await;
    let ready = server.metrics().get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains(r#""cause":"draining""#), "{ready:?}");
    assert_eq!(server.metrics().get("/healthz").await.status, 200);
    assert_eq!(server.metrics().count("callboard_ready_blocked", &[("cause", "draining")]).await, 1);
    assert_eq!(phone.follow(answer).await.actions, [ReadAllItems, CleanUp]);
    assert!(server.wait().await.success());
    assert!(TcpStream::connect(server.door("metrics")).await.is_err(), "closed in the end");
}

#[tokio::test]
async fn a_stop_waits_for_silent_phones_as_long_as_configured_and_no_longer() {
    let mut server = Launch::new().set("limits.drain_timeout_ms", 300).start().await;
    let mut phone = server.phone(MAC);
    assert_eq!(phone.start_up().await.action, ReadAllItems);
    server.terminate();
    // The phone says nothing; its connection is closed and the server ends.
    phone.wire().await.assert_closed().await;
    assert!(server.wait().await.success());
}

#[tokio::test]
async fn a_stopping_server_takes_nobody_new() {
    let mut server = Launch::new().set("limits.drain_timeout_ms", 60_000).start().await;
    let mut phone = server.phone(MAC);
    phone.connection_per_request = true;
    let answer = phone.start_up().await;
    server.terminate();
    server.log.line("stopping").await;
    let newcomer = server.phone("00:1a:e8:0a:0b:0d").start_up().await;
    assert!(newcomer.is_overload(), "{newcomer:?}");
    // This one is in a dialogue, and makes new connections for the rest of it.
    assert_eq!(phone.follow(answer).await.actions, [ReadAllItems, CleanUp]);
    let address = server.door("wpi");
    let refused = || async { TcpStream::connect(address).await.err() };
    callboard_tests::until("the door to close", refused).await;
    assert!(server.wait().await.success());
}

#[tokio::test]
async fn a_server_that_is_still_starting_stops_at_once() {
    let launch = Server::new().await.stop().await;
    let (marker, kept) = (launch.data().join("store/STORE"), launch.file("STORE"));
    std::fs::rename(&marker, &kept).unwrap();
    // Whoever reads this waits for what is written, and whoever opens it to write waits for a reader.
    assert!(std::process::Command::new("mkfifo").arg(&marker).status().unwrap().success());
    let mut server = launch.begin();
    let fifo = marker.clone();
    let opened = tokio::task::spawn_blocking(move || std::fs::OpenOptions::new().write(true).open(fifo));
    let writer = callboard_tests::within("the server to open its store", opened).await.unwrap().unwrap();
    server.terminate();
    assert!(server.wait().await.success());
    drop(writer);
    assert!(server.log.all().await.contains("stopped before it was ready"), "{}", server.log.text());
    assert!(!launch.file("ready.json").exists());
    std::fs::rename(&kept, &marker).unwrap();
    launch.start().await;
}

#[tokio::test]
async fn a_data_directory_serves_one_server_at_a_time() {
    let server = Server::new().await;
    let refusal = server.launch.refused().await;
    assert_eq!(refusal.code, Some(1), "{refusal:?}");
    assert!(refusal.err.contains("in use by another process"), "{}", refusal.err);
    assert_eq!(server.phone(MAC).boot().await.actions, [ReadAllItems, CleanUp], "the first goes on");
    let launch = server.stop().await;
    launch.start().await;
}

#[tokio::test]
async fn what_an_interrupted_command_left_is_removed_or_told() {
    let launch = Server::new().await.stop().await;
    let store = launch.data().join("store");
    for name in ["records-copy", "records-7"] {
        std::fs::create_dir(store.join(name)).unwrap();
    }
    let server = launch.start().await;
    let line = server.log.line("left by an interrupted compaction").await;
    assert!(line.contains("records-7"), "{line}");
    server.log.line("removed the copy that an interrupted check or export left").await;
    assert!(!store.join("records-copy").exists() && store.join("records-7").exists());
}

#[tokio::test]
async fn a_taken_port_is_told_before_anything_is_made() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let launch = Launch::new().set("listen.wpi_secure", address);
    let refusal = launch.refused().await;
    assert_eq!(refusal.code, Some(1), "{refusal:?}");
    for word in ["wpi_secure", &address.to_string()] {
        assert!(refusal.err.contains(word), "no {word} in {}", refusal.err);
    }
    assert_eq!(refusal.err.matches("Address already in use").count(), 1, "told once: {}", refusal.err);
    assert!(!launch.data().exists());
}

#[tokio::test]
async fn a_lost_key_file_is_not_replaced() {
    let launch = Server::new().await.stop().await;
    std::fs::remove_file(launch.data().join("key")).unwrap();
    let refusal = launch.refused().await;
    assert_eq!(refusal.code, Some(1), "{refusal:?}");
    assert!(refusal.err.contains("put the key file back"), "{}", refusal.err);
    assert!(!launch.data().join("key").exists());
}

#[tokio::test]
async fn a_second_signal_cuts_the_wait_short() {
    let mut server = Launch::new().set("limits.drain_timeout_ms", 600_000).start().await;
    let mut phone = server.phone(MAC);
    assert_eq!(phone.start_up().await.action, ReadAllItems);
    server.terminate();
    server.log.line("stopping").await;
    server.terminate();
    assert!(server.wait().await.success());
    server.log.line("stopping at once").await;
}

#[tokio::test]
async fn as_many_files_are_opened_as_the_system_allows() {
    let server = Launch::new().open_files(64, 4_096).set("limits.connections", 2_000).start().await;
    assert_eq!(server.metrics().count("callboard_process_max_fds", &[]).await, 4_096);
    assert!(!server.log.text().contains("fewer files"), "{}", server.log.text());
    let launch = server.stop().await.open_files(64, 2_500);
    let server = launch.start().await;
    server.log.line("fewer files may be open than a door may hold connections").await;
    server.stop().await;
}

#[tokio::test]
async fn peers_write_nothing_into_an_ordinary_log() {
    let server = Launch::new().set("log.filter", "info").start().await;
    let lines = server.log.text().lines().count();
    for number in 0..5 {
        let mut phone = server.phone(&format!("00:1a:e8:00:00:0{number}"));
        phone.boot().await;
        phone.boot().await;
        assert_eq!(phone.post(b"no message").await.status, 400);
        let mut raw = Wire::new(TcpStream::connect(server.door("wpi")).await.unwrap());
        raw.send("no TLS, and long enough to tell").await;
        raw.rest().await;
    }
    let log = server.log.clone();
    server.stop().await;
    let log = log.all().await;
    let after: Vec<_> = log.lines().skip(lines).collect();
    assert!(after[0].contains("stopping"), "{after:?}");
}

#[tokio::test]
async fn a_json_log_is_json_line_by_line() {
    let server = Launch::new().set("log.format", "json").set("log.filter", "trace").start().await;
    server.phone(MAC).boot().await;
    let log = server.log.clone();
    server.stop().await;
    let lines: Vec<serde_json::Value> =
        log.all().await.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let doors = lines.iter().filter(|line| line["message"] == "listening");
    assert_eq!(doors.map(|line| line["door"].as_str().unwrap()).collect::<Vec<_>>(), DOORS);
    assert!(lines.iter().any(|line| line["level"] == "TRACE" && line["action"] == "ReadAllItems"));
}
