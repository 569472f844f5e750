//! SNMP in the API: who may ask and tell, and who is told.

mod communities;
mod groups;
mod receivers;
mod secrets;
mod users;
mod views;

use serde_json::{Value, json};

use crate::harness::Rig;

/// A view `v`, and a group `g` that may read it.
async fn with_group() -> Rig {
    let rig = Rig::new();
    rig.put("/snmp/views/v", "", &json!({ "include": ["1.3.6.1.2.1.1"] })).await.expect(201);
    rig.put("/snmp/groups/g", "", &json!({ "access": { "noAuthNoPriv": "v" } })).await.expect(201);
    rig
}

/// Every body is refused, each for these fields.
#[track_caller]
fn assert_fields(answer: &crate::harness::Answer, fields: &[&str], body: &Value) {
    assert_eq!(answer.fields(422, "validation"), fields, "{body}");
}

/// What holds for the names of all resources, and for their revisions.
async fn keeps_the_rules(rig: &Rig, list: &str, body: &Value) {
    let path = &format!("{list}/a");
    rig.get(path).await.problem(404, "not-found");
    rig.put(path, "*", body).await.problem(404, "not-found");
    rig.delete(path, "*").await.problem(404, "not-found");
    let made = rig.put(path, "", body).await;
    assert_eq!((made.expect(201)["name"].as_str(), made.header("etag")), (Some("a"), "\"1\""));
    assert_eq!(made.header("location"), format!("/api/v1{path}"));
    rig.put(path, "", body).await.problem(428, "precondition-required");
    rig.put(path, "\"2\"", body).await.problem(412, "precondition-failed");
    let changed = rig.put(path, "\"1\"", body).await;
    assert_eq!((changed.expect(200)["revision"].as_u64(), changed.header("location")), (Some(2), ""));
    let got = rig.get(path).await;
    assert_eq!((got.header("etag"), got.expect(200)), ("\"2\"", changed.json()));
    rig.delete(path, "").await.problem(428, "precondition-required");
    rig.delete(path, "\"1\"").await.problem(412, "precondition-failed");
    rig.delete(path, "\"2\"").await.expect(204);
    rig.get(path).await.problem(404, "not-found");
    for name in ["%20", "a%2Fb", "gr%C3%B6%C3%9Fe", ".", ".a", &"x".repeat(65)] {
        rig.get(&format!("{list}/{name}")).await.problem(404, "not-found");
        let answer = rig.put(&format!("{list}/{name}"), "", body).await;
        assert_eq!(answer.fields(400, "malformed"), ["name"], "{name}");
    }
    for (query, name) in [("cursor=a%20b", "cursor"), ("limit=0", "limit"), ("x=y", "x")] {
        assert_eq!(rig.get(&format!("{list}?{query}")).await.fields(400, "malformed"), [name]);
    }
    rig.store.set_no_space(true);
    rig.put(path, "", body).await.problem(503, "store-unavailable");
    rig.get(path).await.problem(404, "not-found");
}
