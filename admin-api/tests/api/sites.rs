//! Sites: making, reading, new tokens, deleting.

use callboard_core::service::Settings;
use callboard_core::site::{Presence, SiteCertificate, SiteId, SiteSettings, SiteToken};
use callboard_core::time::Timestamp;
use http::Method;
use serde_json::{Value, json};

use crate::harness::{Rig, settings};

fn rig(sites: usize) -> Rig {
    let sites = SiteSettings { sites, ..SiteSettings::default() };
    Rig::with(Settings { sites, ..settings() }, callboard_admin_api::ApiSettings::default())
}

async fn make(rig: &Rig, name: &str) -> (String, SiteToken) {
    let made = rig.post("/sites", &json!({ "name": name })).await.expect(201);
    let token = made["token"].as_str().unwrap().parse().unwrap();
    (made["id"].as_str().unwrap().to_owned(), token)
}

fn enrol(rig: &Rig, token: &SiteToken, serial: &str) -> bool {
    let now = rig.service.now();
    let certificate = SiteCertificate { serial: serial.into(), expires: now };
    rig.service.sites.registry.enrol(token, certificate, now).is_ok()
}

#[tokio::test]
async fn a_token_is_shown_once() {
    let rig = rig(10);
    let answer = rig.post("/sites", &json!({ "name": "Hamburg" })).await;
    let made = answer.expect(201);
    let id = made["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/api/v1/sites/{id}"));
    assert_eq!((answer.header("etag"), answer.header("cache-control")), ("\"1\"", "no-store"));
    assert!(made["token"].as_str().unwrap().starts_with(&format!("callboard-edge.{id}.")));
    let shown = rig.get(&format!("/sites/{id}")).await.expect(200);
    assert_eq!((&shown["name"], &shown["state"]), (&json!("Hamburg"), &json!("never-enrolled")));
    assert_eq!((&shown["edge"], &shown["device_count"]), (&Value::Null, &json!(0)));
    let mut without = made.clone();
    without.as_object_mut().unwrap().remove("token");
    assert_eq!(shown, without, "all but the token");
    assert_eq!(rig.get("/sites").await.expect(200)["items"], json!([shown]));
}

#[tokio::test]
async fn lists_go_page_by_page() {
    let rig = rig(10);
    for name in ["a", "b", "c"] {
        make(&rig, name).await;
    }
    let first = rig.get("/sites?limit=2").await.expect(200);
    let next = first["next"].as_str().unwrap();
    let second = rig.get(&format!("/sites?limit=2&cursor={next}")).await.expect(200);
    assert_eq!((first["items"].as_array().unwrap().len(), &second["items"][0]["name"]), (2, &json!("c")));
    assert_eq!(second["next"], Value::Null);
    assert_eq!(rig.get("/sites?cursor=x").await.fields(400, "malformed"), ["cursor"]);
}

#[tokio::test]
async fn a_new_token_takes_the_place_of_the_old() {
    let rig = rig(10);
    let (id, one) = make(&rig, "Hamburg").await;
    assert!(enrol(&rig, &one, "0a"));
    let wrong =
        rig.ask(Method::POST, &format!("/sites/{id}/token"), &[("if-match", "\"1\"")], &Value::Null).await;
    wrong.problem(412, "precondition-failed");
    let renewed =
        rig.ask(Method::POST, &format!("/sites/{id}/token"), &[("if-match", "\"2\"")], &Value::Null).await;
    let renewed = renewed.expect(200);
    let two: SiteToken = renewed["token"].as_str().unwrap().parse().unwrap();
    assert!(renewed["certificate_serial"] == "0a" && renewed["token_used"].is_null());
    assert!(!enrol(&rig, &one, "0b") && enrol(&rig, &two, "0c"));
    let shown = rig.get(&format!("/sites/{id}")).await.expect(200);
    assert!(shown["token_used"].is_string() && shown["certificate_serial"] == "0c", "{shown}");
    assert_eq!(shown["state"], "away");
}

#[tokio::test]
async fn an_edge_shows_while_it_is_there_and_is_cut_with_its_site() {
    let rig = rig(10);
    let (text, token) = make(&rig, "Hamburg").await;
    let id: SiteId = text.parse().unwrap();
    assert!(enrol(&rig, &token, "0a"));
    let session =
        rig.service.sites.live.enter(id, [192, 0, 2, 9].into(), "edge 1", Timestamp::from_millis(5));
    session.holds(7);
    let device = rig.device_with("00:1a:e8:00:00:01", &[], |device| device.route.site = Some(id));
    let shown = rig.get(&format!("/sites/{text}")).await.expect(200);
    assert_eq!((&shown["state"], &shown["device_count"]), (&json!("connected"), &json!(1)));
    let edge = &shown["edge"];
    assert_eq!((&edge["address"], &edge["software"]), (&json!("192.0.2.9"), &json!("edge 1")));
    assert_eq!((&edge["held_version"], &edge["since"]), (&json!(7), &json!("1970-01-01T00:00:00.005Z")));
    assert_eq!(rig.get(&format!("/devices/{}", device.id)).await.expect(200)["site"], json!(text));

    let path = format!("/sites/{text}");
    rig.delete(&path, "").await.problem(428, "precondition-required");
    rig.delete(&path, "\"1\"").await.problem(412, "precondition-failed");
    rig.delete(&path, "*").await.expect(204);
    assert_eq!(session.cut().await, callboard_core::site::Cut::Revoked);
    rig.get(&path).await.problem(404, "not-found");
    assert!(!rig.service.sites.registry.admits(id, "0a"));
    session.leave(rig.service.now());
    let live = rig.service.sites.live.get(id).map(|live| live.presence);
    assert!(!matches!(live, Some(Presence::Connected(_))));
}

#[tokio::test]
async fn what_cannot_be_a_site_is_refused() {
    let rig = rig(1);
    assert_eq!(rig.post("/sites", &json!({ "name": "" })).await.fields(422, "validation"), ["name"]);
    assert_eq!(
        rig.post("/sites", &json!({ "name": "a\u{202e}b" })).await.fields(422, "validation"),
        ["name"]
    );
    assert_eq!(rig.post("/sites", &json!({})).await.fields(422, "validation"), ["name"]);
    let unknown = rig.post("/sites", &json!({ "name": "a", "colour": "red" })).await;
    assert_eq!(unknown.fields(422, "validation"), ["colour"]);
    make(&rig, "Hamburg").await;
    rig.post("/sites", &json!({ "name": "Kiel" })).await.problem(409, "conflict");
    rig.get("/sites/000000000000").await.problem(404, "not-found");
    rig.get("/sites/x").await.problem(404, "not-found");
}
