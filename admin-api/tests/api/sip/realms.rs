//! Realms: making, reading, changing, deleting.

use callboard_core::sip::credentials::CredentialLimits;
use callboard_core::store::Table;
use serde_json::{Value, json};

use super::{all, deeds, rig};
use crate::harness::{Rig, settings};

fn domains(domains: &[&str]) -> Value {
    json!({ "domains": domains })
}

#[tokio::test]
async fn a_realm_is_made_changed_and_deleted() {
    let rig = rig();
    let path = "/sip/realms/phones.example";
    rig.put(path, "*", &domains(&[])).await.problem(404, "not-found");
    let answer = rig.put(path, "", &domains(&["Phones.Example.", "192.0.2.1", "phones.example"])).await;
    let wanted = json!({ "name": "phones.example", "revision": 1, "domains": ["192.0.2.1", "phones.example"],
                         "credential_count": 0 });
    assert_eq!(answer.expect(201), wanted);
    assert_eq!(
        (answer.header("location"), answer.header("etag")),
        ("/api/v1/sip/realms/phones.example", "\"1\"")
    );
    let got = rig.get(path).await;
    assert_eq!((got.header("etag"), got.expect(200)), ("\"1\"", wanted.clone()));
    assert_eq!(rig.get("/sip/realms").await.expect(200), json!({ "items": [wanted], "next": null }));

    rig.put(path, "", &domains(&[])).await.problem(428, "precondition-required");
    rig.put(path, "\"2\"", &domains(&[])).await.problem(412, "precondition-failed");
    let answer = rig.put(path, "\"1\"", &domains(&["pbx"])).await;
    assert_eq!((answer.header("etag"), answer.header("location")), ("\"2\"", ""));
    assert_eq!(answer.expect(200)["domains"], json!(["pbx"]));

    rig.put(&format!("{path}/credentials/alice"), "", &json!({ "password": "p" })).await.expect(201);
    assert_eq!(rig.get(path).await.expect(200)["credential_count"], 1);
    rig.delete(path, "").await.problem(428, "precondition-required");
    rig.delete(path, "\"1\"").await.problem(412, "precondition-failed");
    let in_use = rig.delete(path, "\"2\"").await.problem(409, "conflict");
    assert_eq!(in_use["detail"], "the realm has 1 credentials; delete them first");
    rig.delete(&format!("{path}/credentials/alice"), "*").await.expect(204);
    rig.delete(path, "\"2\"").await.expect(204);
    rig.get(path).await.problem(404, "not-found");
    rig.delete(path, "*").await.problem(404, "not-found");
    assert_eq!(rig.store.reopen().get(Table::SipRealm, "phones.example"), None);
    let mut deeds = deeds(&rig, "").await;
    deeds.retain(|text| !text.contains("alice"));
    let word = |word: &str| format!("SIP realm phones.example {word}");
    assert_eq!(deeds, [word("deleted"), word("changed"), word("created")]);
}

#[tokio::test]
async fn names_are_texts_of_challenges() {
    let rig = rig();
    for (path, name) in
        [("My%20Company", "My Company"), ("a%2Fb%3F", "a/b?"), ("a%25", "a%"), ("host:5060", "host:5060")]
    {
        let path = format!("/sip/realms/{path}");
        let answer = rig.put(&path, "", &domains(&[&format!("d{}", name.len())])).await;
        assert_eq!(answer.expect(201)["name"], name);
        assert_eq!(answer.header("location"), format!("/api/v1{path}"));
        assert_eq!(rig.get(&path).await.expect(200)["name"], name);
    }
    for path in ["%20a", "a%22b", "gr%C3%B6%C3%9Fe", "%FF", &"x".repeat(129)] {
        rig.get(&format!("/sip/realms/{path}")).await.problem(404, "not-found");
        let answer = rig.put(&format!("/sip/realms/{path}"), "", &domains(&[])).await;
        assert_eq!(answer.fields(400, "malformed"), ["realm"], "{path}");
    }
    let mut wanted = ["My Company", "a/b?", "a%", "host:5060"];
    wanted.sort_unstable();
    for limit in [1, 3, 20] {
        assert_eq!(all(&rig, &format!("/sip/realms?limit={limit}"), "name").await, wanted);
    }
    for (query, name) in [("cursor=a", "cursor"), ("limit=0", "limit"), ("domain=x", "domain")] {
        assert_eq!(rig.get(&format!("/sip/realms?{query}")).await.fields(400, "malformed"), [name]);
    }
}

#[tokio::test]
async fn a_host_is_of_one_realm() {
    let rig = rig();
    rig.put("/sip/realms/one", "", &domains(&["a.example"])).await.expect(201);
    rig.put("/sip/realms/rest", "", &domains(&[])).await.expect(201);
    let taken = rig.put("/sip/realms/two", "", &domains(&["b.example", "A.example"])).await;
    assert_eq!(taken.problem(409, "conflict")["detail"], "realm one covers a.example already");
    let taken = rig.put("/sip/realms/one", "*", &domains(&[])).await.problem(409, "conflict");
    assert!(taken["detail"].as_str().unwrap().starts_with("realm rest covers all other"), "{taken}");
    assert_eq!(rig.get("/sip/realms/one").await.expect(200)["revision"], 1);
}

#[tokio::test]
async fn what_cannot_be_a_realm_is_refused() {
    let limits = CredentialLimits { realms: 1, credentials: 1 };
    let mut wanted = settings();
    wanted.sip.credentials = limits;
    let rig = Rig::with(wanted, callboard_admin_api::ApiSettings::default());
    let path = "/sip/realms/phones";
    for (body, fields) in [
        (json!({}), vec!["domains"]),
        (json!({ "domains": "x" }), vec!["domains"]),
        (json!({ "domains": ["a", 7] }), vec!["domains[1]"]),
        (json!({ "domains": [], "name": "x" }), vec!["name"]),
        (json!({ "domains": ["a", "b c", "c", "d:5060"] }), vec!["domains[1]", "domains[3]"]),
        (json!({ "domains": vec!["a"; 65] }), vec!["domains"]),
        (json!([]), vec!["body"]),
    ] {
        assert_eq!(rig.put(path, "", &body).await.fields(422, "validation"), fields, "{body}");
    }
    rig.put(path, "not a tag", &domains(&[])).await.problem(400, "malformed");
    rig.put(path, "", &domains(&["a"])).await.expect(201);
    rig.put("/sip/realms/two", "", &domains(&["b"])).await.problem(409, "conflict");
    for path in ["/sip", "/sip/realms/", "/sip/realms//credentials"] {
        rig.get(path).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn the_store_says_later() {
    let rig = rig();
    rig.store.set_no_space(true);
    rig.put("/sip/realms/phones", "", &domains(&[])).await.problem(503, "store-unavailable");
    rig.get("/sip/realms/phones").await.problem(404, "not-found");
}
