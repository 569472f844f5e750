//! The disk is full, and has space again.

use callboard_codecs::wpi::Action::{CleanUp, ReadAllItems, WriteItems};
use callboard_tests::admin::{json, problem};
use callboard_tests::disk::Disk;
use callboard_tests::phone::Phone;
use callboard_tests::server::{Launch, Server};
use callboard_tests::until;
use serde_json::Value;

const MAC: &str = "00:1a:e8:0a:0b:0c";
const NEW: &str = "00:1a:e8:0a:0b:0d";
const MIB: u64 = 1 << 20;

/// A disk of its own, or nothing where that is not allowed.
#[allow(clippy::print_stdout, reason = "says why a test proves nothing here")]
fn disk(bytes: u64) -> Option<Disk> {
    match Disk::new(bytes) {
        Ok(disk) => Some(disk),
        Err(error) => {
            println!("left out: a disk of its own cannot be made here ({error})");
            None
        }
    }
}

#[tokio::test]
async fn with_less_space_than_configured_a_server_starts_but_takes_nothing() {
    let server = Launch::new().set("store.min_free_bytes", 1_u64 << 40).start().await;
    let (status, body) = readiness(&server).await;
    let causes = body["causes"].as_array().unwrap();
    // Both lie on one disk.
    for wanted in ["journal", "store"] {
        let cause = causes.iter().find(|cause| cause["cause"] == wanted).unwrap_or_else(|| panic!("{body}"));
        assert!(cause["detail"].as_str().unwrap().contains("bytes are free"), "{body}");
    }
    assert_eq!(status, 503);
    assert!(server.phone(MAC).start_up().await.is_overload());
    assert_eq!(server.admin().get("/status").await["devices"]["total"], 0);
    server.stop().await;
}

#[tokio::test]
async fn a_store_is_not_opened_without_space_and_not_harmed_by_the_attempt() {
    let Some(disk) = disk(64 * MIB) else { return };
    let launch = Launch::new().data_dir(disk.path().join("data")).set("store.min_free_bytes", 16 * MIB);
    let server = launch.start().await;
    assert!(server.phone(MAC).boot().await.last.is_end());
    let launch = server.stop().await;
    disk.fill(MIB);
    let refusal = launch.refused().await;
    assert_eq!(refusal.code, Some(1), "{refusal:?}");
    assert!(refusal.err.contains("nearly full") && refusal.err.contains("needed"), "{}", refusal.err);
    disk.empty();
    let server = launch.start().await;
    assert_eq!(server.admin().device(MAC).await["state"], "registered");
}

async fn readiness(server: &Server) -> (u16, Value) {
    let response = server.metrics().get("/readyz").await;
    (response.status, json(&response, response.status))
}

/// Waits until as many events tell of trouble with the store, and of its end.
async fn trouble(server: &Server, times: usize) {
    let admin = server.admin();
    let told = || async {
        let events = admin.get("/events?kind=store-trouble").await;
        (events["items"].as_array().unwrap().len() == times).then_some(())
    };
    until("the event", told).await;
}

/// Everybody is told that nothing can be stored, and what is there is shown as ever.
async fn is_told(server: &Server, new: &mut Phone, known: &Value) {
    let admin = server.admin();
    assert!(new.start_up().await.is_overload());
    let told = server.metrics().count("callboard_overload_total", &[("cause", "store")]).await;
    assert!(told >= 2, "{told}");
    let body = r#"{"name": "t", "kind": "default", "applies_to": "all", "items": [{"name": "sntp-addr", "value": "a"}]}"#;
    let refused = admin.request("POST", "/templates", "", body).await;
    problem(&refused, 503, "store-unavailable");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(admin.get("/status").await["store"]["health"], "no-space");
    assert_eq!(admin.get("/templates").await["items"], serde_json::json!([]));
    // Reading goes on.
    assert_eq!(&admin.device(MAC).await, known);
    assert_eq!(server.metrics().get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_full_disk_is_told_to_everybody_and_nothing_acknowledged_is_lost() {
    let Some(disk) = disk(96 * MIB) else { return };
    let launch = Launch::new()
        .data_dir(disk.path().join("data"))
        .set("store.min_free_bytes", 32 * MIB)
        .set("store.space_retry_ms", 100);
    let server = launch.start().await;
    let admin = server.admin();
    let mut phone = server.phone(MAC);
    assert!(phone.boot().await.last.is_end());
    assert_eq!(readiness(&server).await, (200, serde_json::json!({"ready": true, "causes": []})));
    let known = admin.device(MAC).await;

    // A phone is in a dialogue when the disk fills up.
    let mut inside = server.phone("00:1a:e8:0a:0b:0e");
    let answer = inside.start_up().await;
    assert_eq!(answer.action, ReadAllItems);
    disk.fill(16 * MIB);

    let dialogue = inside.follow(answer).await;
    assert!(dialogue.last.is_overload(), "{dialogue:?}");
    let not_ready = || async {
        let (status, body) = readiness(&server).await;
        (status == 503).then_some(body)
    };
    let body = until("the node to be not ready", not_ready).await;
    let causes = body["causes"].as_array().unwrap();
    assert!(causes.iter().any(|cause| cause["cause"] == "store"), "{body}");
    trouble(&server, 1).await;
    let mut new = server.phone(NEW);
    is_told(&server, &mut new, &known).await;

    disk.empty();
    let ready = || async { (readiness(&server).await.0 == 200).then_some(()) };
    until("the node to be ready again", ready).await;
    assert!(new.boot().await.last.is_end());
    assert!(inside.boot().await.last.is_end());
    admin.template("t", 1, &[("sntp-addr", None, "ntp.example.net")]).await;
    trouble(&server, 2).await;

    let server = server.kill().await.start().await;
    let admin = server.admin();
    for mac in [MAC, NEW, &inside.mac] {
        assert_eq!(admin.device(mac).await["state"], "registered", "{mac}");
    }
    assert_eq!(admin.get("/templates").await["items"][0]["name"], "t");
    phone.address = server.door("wpi");
    phone.hang_up();
    assert_eq!(phone.boot().await.actions, [WriteItems, CleanUp], "the template is for this one too");
    server.stop().await;
}
