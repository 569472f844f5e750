//! Tasks of a device.

use callboard_core::device::{TaskKind, Work};
use serde_json::{Value, json};

use crate::harness::Rig;

const PATH: &str = "/devices/00:00:00:00:00:01/tasks";

#[tokio::test]
async fn tasks_are_added_shown_and_taken_away() {
    let rig = Rig::new();
    rig.devices(1);
    let answer = rig.post(PATH, &json!({ "type": "read-all" })).await;
    let task = answer.expect(201);
    assert_eq!((&task["type"], &task["state"]), (&json!("read-all"), &json!("created")));
    let location = answer.header("location").strip_prefix("/api/v1").unwrap().to_owned();
    assert_eq!(rig.get(&location).await.expect(200), task);
    assert_eq!(rig.get(PATH).await.expect(200), json!({ "items": [task], "next": null }));
    rig.delete(&location, "").await.expect(204);
    rig.delete(&location, "").await.problem(404, "not-found");
    rig.get(&location).await.problem(404, "not-found");
    rig.get(&format!("{PATH}/x")).await.problem(404, "not-found");
}

#[tokio::test]
async fn every_type_is_taken() {
    let rig = Rig::new();
    rig.devices(1);
    for body in [
        json!({ "type": "restart" }),
        json!({ "type": "factory-reset" }),
        json!({ "type": "read-items", "items": [{ "name": "alert", "index": 1 }, { "name": "device-type" }] }),
    ] {
        assert_eq!(rig.post(PATH, &body).await.expect(201)["type"], body["type"]);
    }
    // The bound of the harness.
    rig.post(PATH, &json!({ "type": "restart" })).await.problem(409, "conflict");
}

#[tokio::test]
async fn what_is_written_is_kept_and_not_shown() {
    let rig = Rig::new();
    let before = rig.device("00:00:00:00:00:01", &[]);
    let items = json!([{ "name": "sip-pwd", "value": "hunter2" }, { "name": "realm", "value": "%%{e164" }]);
    let task = rig.post(PATH, &json!({ "type": "write-items", "items": items })).await.expect(201);
    assert_eq!(task["items"], json!([{ "name": "sip-pwd" }, { "name": "realm" }]));
    let device = rig.service.fleet.get(&before.id).unwrap();
    let Work::Own(TaskKind::WriteItems(writes)) = &device.tasks[0].work else { panic!("{device:?}") };
    let values: Vec<_> = writes.iter().map(|w| rig.service.vault().open(&w.value).unwrap()).collect();
    assert_eq!((values[0].expose(), values[1].expose()), ("hunter2", "%%{e164"));
}

#[tokio::test]
async fn names_that_are_nearly_known_are_taken_with_a_warning() {
    let rig = Rig::new();
    rig.devices(1);
    let warning = json!(["items[1].name: not in the catalogue; did you mean hostname?"]);
    for (kind, items) in [
        ("read-items", json!([{ "name": "realm" }, { "name": "HOSTNAME" }])),
        ("write-items", json!([{ "name": "realm", "value": "x" }, { "name": "hostnam", "value": "x" }])),
    ] {
        let task = rig.post(PATH, &json!({ "type": kind, "items": items })).await.expect(201);
        assert_eq!(task["warnings"], warning);
        let shown = rig.get(&format!("{PATH}/{}", task["id"])).await.expect(200);
        assert!(shown.get("warnings").is_none(), "{shown}");
    }
}

#[tokio::test]
async fn wrong_tasks_are_refused() {
    let rig = Rig::new();
    rig.devices(1);
    let item = |name: &str, value: &str| json!({ "name": name, "value": value });
    let write = |items: Value| json!({ "type": "write-items", "items": items });
    let many: Vec<_> = (0..501).map(|n| json!({ "name": "alert", "index": n, "value": "x" })).collect();
    for (body, fields) in [
        (json!({ "type": "write-items" }), vec!["items"]),
        (json!({ "type": "read-all", "items": [] }), vec!["items"]),
        (json!({ "type": "read-items", "items": [] }), vec!["items"]),
        (json!({ "type": "read-items", "items": [item("realm", "x")] }), vec!["items[0].value"]),
        (
            json!({ "type": "read-items", "items": [{ "name": "a b" }, { "name": "restart-type" }] }),
            vec!["items[0].name", "items[1].name"],
        ),
        (
            json!({ "type": "read-items", "items": [{ "name": "realm" }, { "name": "realm" }] }),
            vec!["items[1]"],
        ),
        (write(json!([])), vec!["items"]),
        (write(json!([{ "name": "realm" }])), vec!["items[0].value"]),
        (write(json!([item("mac-addr", "x"), item("dhcp", "yes")])), vec!["items[0].name", "items[1].value"]),
        (write(json!([item("alert", "x")])), vec!["items[0].index"]),
        (write(json!([item("goto-secure-mode", "x")])), vec!["items[0].name"]),
        (write(json!([item("realm", "x"), item("realm", "y")])), vec!["items[1]"]),
        (write(Value::from(many)), vec!["items"]),
    ] {
        assert_eq!(rig.post(PATH, &body).await.fields(422, "validation"), fields, "{body}");
    }
    assert_eq!(rig.get(PATH).await.expect(200)["items"], json!([]));
    rig.post("/devices/00:00:00:00:00:02/tasks", &json!({ "type": "read-all" }))
        .await
        .problem(404, "not-found");
}
