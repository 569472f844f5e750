//! Credentials, one by one.

use std::fmt::Write as _;

use callboard_core::secret::Secret;
use callboard_core::sip::digest::{Ha1, Known as _};
use callboard_core::store::Table;
use serde_json::{Value, json};

use super::{all, deeds, rig};
use crate::harness::Rig;

const REALM: &str = "/sip/realms/phones";
const LIST: &str = "/sip/realms/phones/credentials";
const MAC: &str = "00:1a:e8:00:00:01";

async fn office() -> Rig {
    let rig = rig();
    rig.put(REALM, "", &json!({ "domains": [] })).await.expect(201);
    rig
}

/// Whether this is the password of a user.
fn opens(rig: &Rig, user: &str, password: &str) -> bool {
    let known = rig.service.sip.credentials.find("phones", user).unwrap();
    *known.ha1() == Ha1::of(user, "phones", &Secret::new(password)).unwrap()
}

/// A name in a path, all of it percent-encoded.
fn escaped(name: &str) -> String {
    name.bytes().fold(String::new(), |mut path, byte| {
        write!(path, "%{byte:02X}").unwrap();
        path
    })
}

#[tokio::test]
async fn a_credential_is_made_changed_and_deleted() {
    let rig = office().await;
    let path = &format!("{LIST}/alice");
    rig.get(path).await.problem(404, "not-found");
    rig.put(path, "\"1\"", &json!({ "password": "one" })).await.problem(404, "not-found");
    let answer = rig.put(path, "", &json!({ "password": "one", "device": "00-1A-E8-00-00-01" })).await;
    let shown =
        json!({ "username": "alice", "revision": 1, "device": MAC, "algorithms": ["SHA-256", "MD5"] });
    assert_eq!(answer.expect(201), shown);
    assert_eq!(
        (answer.header("location"), answer.header("etag")),
        (format!("/api/v1{path}").as_str(), "\"1\"")
    );
    let got = rig.get(path).await;
    assert_eq!((got.header("etag"), got.expect(200)), ("\"1\"", shown.clone()));
    assert!(opens(&rig, "alice", "one"));
    assert_eq!(rig.get(LIST).await.expect(200), json!({ "items": [shown], "next": null }));

    rig.put(path, "", &json!({ "password": "two" })).await.problem(428, "precondition-required");
    rig.put(path, "\"2\"", &json!({ "password": "two" })).await.problem(412, "precondition-failed");
    assert!(opens(&rig, "alice", "one"));
    // Without a password that which there is stays; without a device there is none.
    let answer = rig.put(path, "\"1\"", &json!({})).await;
    assert_eq!((answer.header("etag"), &answer.expect(200)["device"]), ("\"2\"", &Value::Null));
    assert!(opens(&rig, "alice", "one"));
    rig.put(path, "*", &json!({ "password": "two", "device": MAC })).await.expect(200);
    assert!(opens(&rig, "alice", "two") && !opens(&rig, "alice", "one"));

    rig.delete(path, "").await.problem(428, "precondition-required");
    rig.delete(path, "\"1\"").await.problem(412, "precondition-failed");
    rig.delete(path, "\"3\"").await.expect(204);
    rig.delete(path, "*").await.problem(404, "not-found");
    assert_eq!(rig.store.reopen().get(Table::SipCredential, "phones/alice"), None);
    let word = |word: &str| format!("SIP user alice of realm phones {word}");
    assert_eq!(
        deeds(&rig, &format!("&device={MAC}")).await,
        [word("deleted"), word("changed"), word("created")]
    );
}

#[tokio::test]
async fn a_credential_is_durable_when_it_is_acknowledged() {
    let rig = office().await;
    rig.put(&format!("{LIST}/alice"), "", &json!({ "password": "one" })).await.expect(201);
    assert!(rig.store.reopen().get(Table::SipCredential, "phones/alice").is_some());
    rig.store.fail("broken");
    rig.put(&format!("{LIST}/bob"), "", &json!({ "password": "one" }))
        .await
        .problem(503, "store-unavailable");
    rig.get(&format!("{LIST}/bob")).await.problem(404, "not-found");
    rig.delete(&format!("{LIST}/alice"), "*").await.problem(503, "store-unavailable");
    rig.get(&format!("{LIST}/alice")).await.expect(200);
}

#[tokio::test]
async fn lists_go_page_by_page_and_are_filtered() {
    let rig = office().await;
    rig.put("/sip/realms/other", "", &json!({ "domains": ["o"] })).await.expect(201);
    let names = ["+49891", "+49892", "100", "101", "a b&c#%/?", "zoe@example.net"];
    for (at, name) in names.iter().enumerate() {
        let path = escaped(name);
        let body = json!({ "password": "p", "device": (at % 2 == 0).then_some(MAC) });
        rig.put(&format!("{LIST}/{path}"), "", &body).await.expect(201);
        rig.put(&format!("/sip/realms/other/credentials/{path}"), "", &body).await.expect(201);
        assert_eq!(rig.get(&format!("{LIST}/{path}")).await.expect(200)["username"], *name);
    }
    for limit in [1, 2, 5, 20] {
        assert_eq!(all(&rig, &format!("{LIST}?limit={limit}"), "username").await, names, "{limit}");
    }
    for (query, wanted) in [
        ("device=001ae8000001&limit=2", vec!["+49891", "100", "a b&c#%/?"]),
        ("username_prefix=%2B4989&limit=1", vec!["+49891", "+49892"]),
        ("username_prefix=Z", vec![]),
        ("username_prefix=10&device=00:1a:e8:00:00:01", vec!["100"]),
        ("device=nobody", vec![]),
    ] {
        assert_eq!(all(&rig, &format!("{LIST}?{query}"), "username").await, wanted, "{query}");
    }
    let long = format!("username_prefix={}", "x".repeat(129));
    for (query, name) in [
        ("limit=21", "limit"),
        ("cursor=alice", "cursor"),
        ("cursor=after:3a", "cursor"),
        ("device=a%20b", "device"),
        ("username=x", "username"),
        (&long, "username_prefix"),
    ] {
        assert_eq!(rig.get(&format!("{LIST}?{query}")).await.fields(400, "malformed"), [name], "{query}");
    }
    rig.get("/sip/realms/nowhere/credentials").await.problem(404, "not-found");
}

#[tokio::test]
async fn what_cannot_be_a_credential_is_refused() {
    let rig = office().await;
    let path = &format!("{LIST}/alice");
    for (body, name) in [
        (json!({}), "password"),
        (json!({ "password": "" }), "password"),
        (json!({ "password": "x".repeat(257) }), "password"),
        (json!({ "password": 7 }), "password"),
        (json!({ "password": "p", "device": "a b" }), "device"),
        (json!({ "password": "p", "device": 7 }), "device"),
        (json!({ "password": "p", "ha1": "0" }), "ha1"),
    ] {
        assert_eq!(rig.put(path, "", &body).await.fields(422, "validation"), [name], "{body}");
    }
    let body = json!({ "password": "p" });
    for name in ["a:b", "a%22", "%20", &"x".repeat(129)] {
        let answer = rig.put(&format!("{LIST}/{name}"), "", &body).await;
        assert_eq!(answer.fields(400, "malformed"), ["username"], "{name}");
        rig.get(&format!("{LIST}/{name}")).await.problem(404, "not-found");
    }
    let nowhere = rig.put("/sip/realms/nowhere/credentials/alice", "", &body).await.problem(404, "not-found");
    assert_eq!(nowhere["detail"], "no realm nowhere");
    rig.get("/sip/realms/nowhere/credentials/alice").await.problem(404, "not-found");
    assert_eq!(rig.get(LIST).await.expect(200)["items"], json!([]));
}
