//! Many credentials at once.

use serde_json::{Value, json};

use super::{deeds, field, rig};
use crate::harness::Rig;

const LIST: &str = "/sip/realms/phones/credentials";

async fn office() -> Rig {
    let rig = rig();
    rig.put("/sip/realms/phones", "", &json!({ "domains": [] })).await.expect(201);
    rig
}

fn entries(users: impl IntoIterator<Item = usize>) -> Vec<Value> {
    users
        .into_iter()
        .map(|user| json!({ "username": user.to_string(), "password": format!("p{user}") }))
        .collect()
}

#[tokio::test]
async fn each_has_its_own_outcome() {
    let rig = office().await;
    let first = rig.post(LIST, &json!({ "credentials": entries(0..300) })).await.expect(200);
    assert_eq!(first, json!({ "created": 300, "replaced": 0, "failed": [] }));
    assert_eq!(rig.store.reopen().len(), 301);
    let again = rig.post(LIST, &json!({ "credentials": entries(299..301) })).await.expect(200);
    let failed = json!([{ "username": "299", "reason": "it is there already" }]);
    assert_eq!(again, json!({ "created": 1, "replaced": 0, "failed": failed }));
    let replaced = json!({ "credentials": [{ "username": "7", "device": "00:1a:e8:00:00:01" },
                                           { "username": "new" }], "replace": true });
    let replaced = rig.post(LIST, &replaced).await.expect(200);
    let failed = json!([{ "username": "new", "reason": "a password has 1 to 256 bytes" }]);
    assert_eq!(replaced, json!({ "created": 0, "replaced": 1, "failed": failed }));
    let shown = rig.get(&format!("{LIST}/7")).await.expect(200);
    assert_eq!((&shown["device"], &shown["revision"]), (&json!("00:1a:e8:00:00:01"), &json!(2)));
    let wanted = ["1 credential", "1 credential", "300 credentials"]
        .map(|count| format!("SIP realm phones: {count} imported"));
    assert_eq!(deeds(&rig, "").await[..3], wanted);
}

#[tokio::test]
async fn bounds_hold_for_each() {
    let rig = office().await;
    let of_one: Vec<_> = (0..257)
        .map(|user| json!({ "username": format!("{user:03}"), "password": "p", "device": "00:1a:e8:00:00:01" }))
        .collect();
    let result = rig.post(LIST, &json!({ "credentials": of_one })).await.expect(200);
    assert_eq!((&result["created"], &result["failed"][0]["username"]), (&json!(256), &json!("256")));
    assert_eq!(result["failed"][0]["reason"], "there are 256 credentials of this device already");
}

#[tokio::test]
async fn nothing_is_stored_of_what_is_wrong_in_form() {
    let rig = office().await;
    let good = json!({ "username": "good", "password": "p" });
    for (bad, name) in [
        (json!({ "username": "", "password": "p" }), "credentials[1].username"),
        (json!({ "username": "a:b", "password": "p" }), "credentials[1].username"),
        (json!({ "username": "good", "password": "p" }), "credentials[1].username"),
        (json!({ "username": "a", "password": "" }), "credentials[1].password"),
        (json!({ "username": "a", "password": "x".repeat(257) }), "credentials[1].password"),
        (json!({ "username": "a", "password": ["p"] }), "credentials[1].password"),
        (json!({ "username": "a", "password": "p", "device": "a b" }), "credentials[1].device"),
        (json!({ "username": "a", "realm": "b" }), "credentials[1].realm"),
        (json!({ "password": "p" }), "credentials[1].username"),
        (json!(["a", "p", null]), "credentials[1]"),
    ] {
        let answer = rig.post(LIST, &json!({ "credentials": [good, bad] })).await;
        assert_eq!(answer.fields(422, "validation"), [name], "{bad}");
    }
    for body in [json!({ "credentials": [] }), json!({ "credentials": entries(0..1_001) }), json!({})] {
        assert_eq!(rig.post(LIST, &body).await.fields(422, "validation"), ["credentials"]);
    }
    let answer = rig.post(LIST, &json!({ "credentials": [good], "replace": 1 })).await;
    assert_eq!(answer.fields(422, "validation"), ["replace"]);
    rig.post("/sip/realms/nowhere/credentials", &json!({ "credentials": [good] }))
        .await
        .problem(404, "not-found");
    assert_eq!(field(&rig.get(LIST).await.expect(200), "username"), Vec::<&str>::new());
    rig.post(LIST, &json!({ "credentials": entries(0..1_000) })).await.expect(200);
}

#[tokio::test]
async fn a_store_that_takes_nothing_is_no_fault_of_users() {
    let rig = office().await;
    rig.store.fail("gone");
    let answer = rig.post(LIST, &json!({ "credentials": entries(0..3) })).await;
    answer.problem(503, "store-unavailable");
    assert_eq!((answer.header("retry-after"), deeds(&rig, "").await.len()), ("30", 1));
}
