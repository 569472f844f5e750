//! Assigning to many devices at once.

use serde_json::{Value, json};

use crate::harness::Rig;
use crate::templates::sample;

async fn template(rig: &Rig) -> String {
    rig.post("/templates", &sample("t")).await.expect(201)["id"].as_str().unwrap().to_owned()
}

async fn assigned(rig: &Rig, id: &str) -> usize {
    let page = rig.get(&format!("/devices?template={id}")).await.expect(200);
    page["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn listed_devices_are_changed_one_by_one() {
    let rig = Rig::new();
    rig.devices(3);
    let id = template(&rig).await;
    let wish =
        json!({ "devices": ["00:00:00:00:00:01", "00-00-00-00-00-02", "00:00:00:00:00:01", "nobody"] });
    let result = rig.post(&format!("/templates/{id}/assign"), &wish).await.expect(200);
    let failed = json!([{ "id": "nobody", "reason": "no such device" }]);
    assert_eq!(result, json!({ "changed": 2, "unchanged": 0, "failed": failed, "next": null }));
    assert_eq!(assigned(&rig, &id).await, 2);

    let again = json!({ "devices": ["00:00:00:00:00:01", "00:00:00:00:00:03"] });
    let result = rig.post(&format!("/templates/{id}/assign"), &again).await.expect(200);
    assert_eq!(result, json!({ "changed": 1, "unchanged": 1, "failed": [], "next": null }));

    let result = rig.post(&format!("/templates/{id}/unassign"), &again).await.expect(200);
    assert_eq!(result["changed"], 2);
    assert_eq!(assigned(&rig, &id).await, 1);
    let events = rig.get("/events?kind=admin-change").await.expect(200);
    let text = |at: usize| events["items"][at]["text"].as_str().unwrap().to_owned();
    assert_eq!(text(0), format!("template {id} (t) taken from 2 devices"));
    assert_eq!(text(1), format!("template {id} (t) assigned to 1 device"));
}

#[tokio::test]
async fn a_filter_goes_on_at_its_cursor() {
    let rig = Rig::new();
    for n in 0..1_001 {
        rig.device(&format!("phone-{n:04}"), &[]);
    }
    rig.device("other", &[]);
    let id = template(&rig).await;
    let path = format!("/templates/{id}/assign");
    let first = rig.post(&path, &json!({ "filter": { "q": "phone" } })).await.expect(200);
    assert_eq!((&first["changed"], &first["next"]), (&json!(1_000), &json!("after:phone-0999")));
    let rest = json!({ "filter": { "q": "phone" }, "cursor": first["next"] });
    let rest = rig.post(&path, &rest).await.expect(200);
    assert_eq!((&rest["changed"], &rest["next"]), (&json!(1), &Value::Null));
    let everybody = rig.post(&path, &json!({ "filter": {}, "cursor": "after:other" })).await.expect(200);
    assert_eq!((&everybody["changed"], &everybody["unchanged"]), (&json!(0), &json!(1_000)));
}

#[tokio::test]
async fn limits_hold_per_device() {
    let rig = Rig::new();
    rig.devices(1);
    let mut last = json!({});
    for n in 0..5 {
        let id = rig.post("/templates", &sample(&n.to_string())).await.expect(201)["id"].clone();
        let path = format!("/templates/{}/assign", id.as_str().unwrap());
        last = rig.post(&path, &json!({ "filter": {} })).await.expect(200);
    }
    assert_eq!((&last["changed"], &last["failed"][0]["id"]), (&json!(0), &json!("00:00:00:00:00:01")));
}

#[tokio::test]
async fn wishes_must_be_clear() {
    let rig = Rig::new();
    let id = template(&rig).await;
    let many: Vec<_> = (0..1_001).map(|n| n.to_string()).collect();
    for (body, field) in [
        (json!({}), "devices"),
        (json!({ "devices": ["a"], "filter": {} }), "devices"),
        (json!({ "devices": [] }), "devices"),
        (json!({ "devices": many }), "devices"),
        (json!({ "devices": ["a", "b c"] }), "devices[1]"),
        (json!({ "devices": ["a"], "cursor": "a" }), "cursor"),
        (json!({ "filter": { "template": "x" } }), "filter.template"),
    ] {
        let answer = rig.post(&format!("/templates/{id}/assign"), &body).await;
        assert_eq!(answer.fields(422, "validation"), [field]);
    }
    let nowhere = rig.post("/templates/000000000fff/assign", &json!({ "filter": {} })).await;
    nowhere.problem(404, "not-found");
}

#[tokio::test]
async fn a_store_that_takes_nothing_is_no_fault_of_devices() {
    let rig = Rig::new();
    rig.devices(2);
    let id = template(&rig).await;
    rig.store.fail("gone");
    let answer = rig.post(&format!("/templates/{id}/assign"), &json!({ "filter": {} })).await;
    answer.problem(503, "store-unavailable");
    assert_eq!(answer.header("retry-after"), "30");
}
