//! SIP and devices: what is shown, and what goes with a device.

use callboard_core::store::Table;
use serde_json::{Value, json};

use super::{deeds, field, register, rig};
use crate::harness::Rig;

const MAC: &str = "00:1a:e8:00:00:01";
const DEVICE: &str = "/devices/00:1a:e8:00:00:01";
const CREDENTIALS: &str = "/sip/realms/phones/credentials";

/// A phone that is known, is registered and has two credentials; and another one.
async fn office() -> Rig {
    let rig = rig();
    rig.device(MAC, &[]);
    rig.put("/sip/realms/phones", "", &json!({ "domains": [] })).await.expect(201);
    for (user, device) in [("alice", json!(MAC)), ("alice-2", json!(MAC)), ("bob", Value::Null)] {
        let body = json!({ "password": "wonderland", "device": device });
        rig.put(&format!("{CREDENTIALS}/{user}"), "", &body).await.expect(201);
    }
    register(&rig, "alice", "User-Agent: snom370 001ae8000001\r\n");
    register(&rig, "bob", "");
    rig
}

async fn users(rig: &Rig) -> Vec<String> {
    let page = rig.get(CREDENTIALS).await.expect(200);
    field(&page, "username").into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_device_shows_where_it_is_registered() {
    let rig = office().await;
    let device = rig.get(DEVICE).await.expect(200);
    let expires = device["registrations"][0]["expires"].clone();
    let short = json!({ "aor": "alice@example.com", "contact": "sip:alice@192.0.2.4", "state": "registered",
        "transport": "udp", "registrar": "sip_udp", "remote": "192.0.2.4:5060", "nat": false,
        "user_agent": "snom370 001ae8000001", "expires": expires });
    assert_eq!(device["registrations"], json!([short]));
    let all = rig.get(&format!("{DEVICE}/registrations")).await.expect(200);
    assert_eq!(all, rig.get("/sip/registrations?has_device=true").await.expect(200));
    rig.device("00:1a:e8:00:00:02", &[]);
    let none = rig.get("/devices/00:1a:e8:00:00:02/registrations").await.expect(200);
    assert_eq!(none, json!({ "items": [], "next": null }));
    rig.get("/devices/nobody/registrations").await.problem(404, "not-found");
}

#[tokio::test]
async fn a_device_shows_a_bounded_number_of_registrations() {
    let rig = rig();
    rig.device(MAC, &[]);
    for number in 0..40 {
        register(&rig, &number.to_string(), "User-Agent: snom370 001ae8000001\r\n");
    }
    let shown = rig.get(DEVICE).await.expect(200)["registrations"].as_array().unwrap().len();
    let all =
        rig.get(&format!("{DEVICE}/registrations")).await.expect(200)["items"].as_array().unwrap().len();
    assert_eq!((shown, all), (32, 40));
}

#[tokio::test]
async fn credentials_and_registrations_go_with_their_device() {
    let rig = office().await;
    rig.delete(DEVICE, "\"9\"").await.problem(412, "precondition-failed");
    assert_eq!(users(&rig).await, ["alice", "alice-2", "bob"], "nothing of a refused request is done");
    rig.delete(DEVICE, "\"1\"").await.expect(204);
    assert_eq!(users(&rig).await, ["bob"]);
    let registered = rig.get("/sip/registrations").await.expect(200);
    assert_eq!(field(&registered, "aor"), ["bob@example.com"]);
    let (store, journal) = (rig.store.reopen(), rig.journal.reopen());
    assert_eq!(store.get(Table::SipCredential, "phones/alice"), None);
    assert!(store.get(Table::SipCredential, "phones/bob").is_some());
    assert_eq!(journal.get("alice@example.com"), None);
    let wanted = ["2 SIP credentials and 1 registration deleted with it", "device deleted"];
    assert_eq!(deeds(&rig, &format!("&device={MAC}")).await[..2], wanted);
    rig.delete(DEVICE, "").await.problem(404, "not-found");
}

#[tokio::test]
async fn credentials_stay_if_that_is_wanted() {
    let rig = office().await;
    rig.delete(&format!("{DEVICE}?keep_credentials=true"), "").await.expect(204);
    let page = rig.get(&format!("{CREDENTIALS}?device={MAC}")).await.expect(200);
    assert_eq!(field(&page, "username"), ["alice", "alice-2"]);
    assert_eq!(rig.get("/sip/registrations?has_device=true").await.expect(200)["items"], json!([]));
    rig.delete(&format!("{DEVICE}?keep_credentials=true"), "").await.problem(404, "not-found");
    for (query, name) in [("keep_credentials=yes", "keep_credentials"), ("keep=true", "keep")] {
        let answer = rig.delete(&format!("{DEVICE}?{query}"), "").await;
        assert_eq!(answer.fields(400, "malformed"), [name], "{query}");
    }
}

#[tokio::test]
async fn a_removal_that_was_broken_off_is_completed_by_the_next() {
    let rig = office().await;
    rig.journal.set_no_space(true);
    rig.delete(DEVICE, "").await.problem(503, "store-unavailable");
    assert_eq!(users(&rig).await, ["bob"]);
    rig.get(DEVICE).await.problem(404, "not-found");
    let registered = rig.get("/sip/registrations?has_device=true").await.expect(200);
    assert_eq!(field(&registered, "aor"), ["alice@example.com"]);
    rig.journal.set_no_space(false);
    // What is left has no revision.
    rig.delete(DEVICE, "\"1\"").await.problem(412, "precondition-failed");
    rig.delete(DEVICE, "").await.expect(204);
    assert_eq!(rig.journal.reopen().get("alice@example.com"), None);
    rig.delete(DEVICE, "").await.problem(404, "not-found");
}

#[tokio::test]
async fn credentials_of_a_device_that_never_came_are_forgotten_with_it() {
    let rig = office().await;
    let body = json!({ "password": "wonderland", "device": "00:1a:e8:00:00:09" });
    rig.put(&format!("{CREDENTIALS}/carol"), "", &body).await.expect(201);
    rig.delete("/devices/00:1a:e8:00:00:09", "").await.expect(204);
    assert_eq!(users(&rig).await, ["alice", "alice-2", "bob"]);
    assert_eq!(rig.store.reopen().get(Table::SipCredential, "phones/carol"), None);
    rig.delete("/devices/00:1a:e8:00:00:09", "").await.problem(404, "not-found");
}
