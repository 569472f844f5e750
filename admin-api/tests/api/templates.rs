//! Templates: making, reading, replacing, forgetting, trying.

use callboard_admin_api::ApiSettings;
use callboard_core::service::Settings;
use serde_json::{Value, json};

use crate::harness::{Rig, settings};

pub(crate) fn sample(name: &str) -> Value {
    json!({ "name": name, "kind": "default", "ranking": 7, "description": "d", "device_types": ["OpenStage 60"],
            "items": [{ "name": "sntp-addr", "value": "ntp.example.net" },
                      { "name": "alert", "index": 2, "value": "a^b^c^1" },
                      { "name": "sip-pwd", "value": "hunter2" }] })
}

#[tokio::test]
async fn a_template_comes_back_as_it_was_made() {
    let rig = Rig::new();
    let answer = rig.post("/templates", &sample("one")).await;
    let made = answer.expect(201);
    let id = made["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/api/v1/templates/{id}"));
    assert_eq!(answer.header("etag"), "\"1\"");
    let got = rig.get(&format!("/templates/{id}")).await;
    assert_eq!(got.header("etag"), "\"1\"");
    assert_eq!(got.expect(200), made);
    assert_eq!(
        made["items"],
        json!([{ "name": "sntp-addr", "value": "ntp.example.net" },
               { "name": "alert", "index": 2, "value": "a^b^c^1" },
               { "name": "sip-pwd", "value": null, "secret": true }])
    );
    assert_eq!(made["applies_to"], "assigned");
    assert_eq!(made["item_count"], 3);
    let list = rig.get("/templates").await.expect(200);
    assert_eq!((&list["items"][0]["name"], &list["next"]), (&json!("one"), &Value::Null));
    assert!(list["items"][0].get("items").is_none());
}

#[tokio::test]
async fn lists_go_page_by_page() {
    let rig = Rig::new();
    for n in 0..5 {
        rig.post("/templates", &sample(&n.to_string())).await.expect(201);
    }
    let first = rig.get("/templates?limit=3").await.expect(200);
    let next = first["next"].as_str().unwrap();
    let second = rig.get(&format!("/templates?limit=3&cursor={next}")).await.expect(200);
    let names = |page: &Value| {
        page["items"].as_array().unwrap().iter().map(|t| t["name"].to_string()).collect::<Vec<_>>()
    };
    let mut all = [names(&first), names(&second)].concat();
    all.sort_unstable();
    assert_eq!(all, ["\"0\"", "\"1\"", "\"2\"", "\"3\"", "\"4\""]);
    assert_eq!(second["next"], Value::Null);
}

#[tokio::test]
async fn replacing_needs_the_revision() {
    let rig = Rig::new();
    let id = rig.post("/templates", &sample("one")).await.expect(201)["id"].as_str().unwrap().to_owned();
    let path = format!("/templates/{id}");
    let changed = json!({ "name": "uno", "kind": "disabled", "items": [] });
    rig.put(&path, "", &changed).await.problem(428, "precondition-required");
    rig.put(&path, "\"2\"", &changed).await.problem(412, "precondition-failed");
    rig.put(&path, "W/\"1\"", &changed).await.problem(412, "precondition-failed");
    assert_eq!(rig.put(&path, "1", &changed).await.fields(400, "malformed"), ["If-Match"]);
    let answer = rig.put(&path, "\"1\"", &changed).await;
    assert_eq!(answer.header("etag"), "\"2\"");
    let now = answer.expect(200);
    assert_eq!((&now["name"], &now["kind"], &now["ranking"]), (&json!("uno"), &json!("disabled"), &json!(1)));
    assert!(now["changed"].as_str() > now["created"].as_str());
    rig.delete(&path, "").await.problem(428, "precondition-required");
    rig.delete(&path, "\"1\"").await.problem(412, "precondition-failed");
    rig.delete(&path, "\"2\"").await.expect(204);
    for answer in [rig.get(&path).await, rig.put(&path, "*", &changed).await, rig.delete(&path, "*").await] {
        answer.problem(404, "not-found");
    }
}

#[tokio::test]
async fn a_secret_without_value_stays_as_it_is() {
    let rig = Rig::new();
    let made = rig.post("/templates", &sample("one")).await.expect(201);
    let path = format!("/templates/{}", made["id"].as_str().unwrap());
    // What was read goes back as it came.
    let body = json!({ "name": "one", "kind": "default", "items": made["items"] });
    let now = rig.put(&path, "\"1\"", &body).await.expect(200);
    assert_eq!(now["items"], made["items"]);
    let id = made["id"].as_str().unwrap().parse().unwrap();
    let stored = rig.service.templates.get(id).unwrap();
    assert_eq!(stored.items[2].reveal(rig.service.vault()).unwrap().expose(), "hunter2");

    let other = json!({ "name": "one", "kind": "default", "items": [
        { "name": "sip-pwd", "value": "hunter3" }, { "name": "admin-pwd" }, { "name": "sntp-addr" },
        { "name": "realm", "value": "x", "secret": true }] });
    let fields = rig.put(&path, "*", &other).await.fields(422, "validation");
    assert_eq!(fields, ["items[1].value", "items[2].value", "items[3].secret"]);
}

#[tokio::test]
async fn wrong_fields_are_named_all_at_once() {
    let rig = Rig::new();
    let body = json!({ "name": "", "kind": "default", "ranking": 0, "items": [
        { "name": "dhcp", "value": "yes" }, { "name": "mac-addr", "value": "x" }] });
    let fields = rig.post("/templates", &body).await.fields(422, "validation");
    assert_eq!(fields, ["name", "ranking", "items[0].value", "items[1].name"]);
    assert_eq!(rig.get("/templates").await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn names_are_unique_and_numbers_bounded() {
    let rig = Rig::with(Settings { templates: 2, ..settings() }, ApiSettings::default());
    rig.post("/templates", &sample("one")).await.expect(201);
    rig.post("/templates", &sample("one")).await.problem(409, "conflict");
    rig.post("/templates", &sample("two")).await.expect(201);
    rig.post("/templates", &sample("three")).await.problem(409, "conflict");
}

#[tokio::test]
async fn a_dry_run_shows_and_changes_nothing() {
    let rig = Rig::new();
    rig.devices(3);
    rig.device("00:00:00:00:00:04", &[("sntp-addr", None, "new")]);
    let template = json!({ "name": "t", "kind": "default", "items": [
        { "name": "sntp-addr", "value": "new" }, { "name": "hostname", "value": "x" }] });
    let nobody = rig.post("/templates/dry-run", &json!({ "template": template })).await.expect(200);
    assert_eq!((&nobody["items"], &nobody["looked_at"]), (&json!([]), &json!(4)));

    let wish = json!({ "template": template, "assume_assigned": true, "limit": 2 });
    let first = rig.post("/templates/dry-run", &wish).await.expect(200);
    let one = &first["items"][0];
    assert_eq!(one["id"], "00:00:00:00:00:01");
    assert_eq!(one["writes"], json!([{ "name": "sntp-addr", "from": "old", "to": "new" }]));
    assert_eq!(one["faults"][0]["name"], "hostname");
    assert_eq!(first["items"].as_array().unwrap().len(), 2);

    let wish = json!({ "template": template, "assume_assigned": true, "cursor": first["next"],
                       "filter": { "q": "00:04" } });
    let rest = rig.post("/templates/dry-run", &wish).await.expect(200);
    assert_eq!(
        (&rest["items"][0]["id"], &rest["items"][0]["writes"]),
        (&json!("00:00:00:00:00:04"), &json!([]))
    );
    assert_eq!(rest["next"], Value::Null);
    assert_eq!(rig.get("/templates").await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn an_onboarding_template_reaches_new_devices_only() {
    let rig = Rig::new();
    rig.devices(2);
    rig.device_with("00:00:00:00:00:03", &[("sntp-addr", None, "old")], |device| device.onboarded = false);
    let template = json!({ "name": "t", "kind": "onboarding", "applies_to": "all",
                           "items": [{ "name": "sntp-addr", "value": "new" }] });
    let run = rig.post("/templates/dry-run", &json!({ "template": template })).await.expect(200);
    assert_eq!(
        run["items"],
        json!([{ "id": "00:00:00:00:00:03", "faults": [],
                 "writes": [{ "name": "sntp-addr", "from": "old", "to": "new" }] }])
    );
    assert_eq!((&run["looked_at"], &run["past_onboarding"]), (&json!(3), &json!(2)));
    assert!(run["note"].as_str().unwrap().contains("2 devices are past it"), "{run}");

    let template = json!({ "name": "t", "kind": "default", "applies_to": "all",
                           "items": [{ "name": "sntp-addr", "value": "new" }] });
    let run = rig.post("/templates/dry-run", &json!({ "template": template })).await.expect(200);
    assert_eq!(run["items"].as_array().unwrap().len(), 3);
    assert_eq!((&run["past_onboarding"], run.get("note")), (&json!(0), None));
}

#[tokio::test]
async fn names_that_are_nearly_known_are_taken_with_a_warning() {
    let rig = Rig::new();
    let template = json!({ "name": "t", "kind": "default", "items": [
        { "name": "hostnam", "value": "x" }, { "name": "name-of-tomorrow", "value": "x" }] });
    let warnings = json!(["items[0].name: not in the catalogue; did you mean hostname?"]);
    let run = rig.post("/templates/dry-run", &json!({ "template": template })).await.expect(200);
    assert_eq!(run["warnings"], warnings);
    let made = rig.post("/templates", &template).await.expect(201);
    assert_eq!(made["warnings"], warnings);
    let path = format!("/templates/{}", made["id"].as_str().unwrap());
    assert_eq!(rig.put(&path, "*", &template).await.expect(200)["warnings"], warnings);
    assert!(rig.get(&path).await.expect(200).get("warnings").is_none());
}

#[tokio::test]
async fn a_stored_template_can_be_tried_too() {
    let rig = Rig::new();
    rig.devices(1);
    let body = json!({ "name": "t", "kind": "default", "items": [{ "name": "sntp-addr", "value": "new" }] });
    let id = rig.post("/templates", &body).await.expect(201)["id"].clone();
    let run = rig.post("/templates/dry-run", &json!({ "id": id, "assume_assigned": true })).await.expect(200);
    assert_eq!(run["items"][0]["writes"][0]["to"], "new");
    for (wish, field) in [
        (json!({}), "template"),
        (json!({ "id": "x" }), "id"),
        (json!({ "id": "000000000fff" }), "id"),
        (json!({ "template": { "name": "", "kind": "default", "items": [] } }), "template.name"),
        (json!({ "id": id, "filter": { "template": "x" } }), "filter.template"),
    ] {
        let fields = rig.post("/templates/dry-run", &wish).await.fields(422, "validation");
        assert_eq!(fields, [field], "{wish}");
    }
}
