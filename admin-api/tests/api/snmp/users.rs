//! Users of version 3.

use callboard_core::snmp::access::User;
use serde_json::{Value, json};

use super::{assert_fields, keeps_the_rules, with_group};
use crate::harness::Rig;
use crate::sip::{all, deeds};

/// The passwords of a user.
fn passwords(rig: &Rig, name: &str) -> [Option<String>; 2] {
    let user = rig.service.snmp.access.get::<User>(name).unwrap();
    let auth = user.auth.as_ref().map(|auth| auth.secret.expose().to_owned());
    [auth, user.privacy.as_ref().map(|privacy| privacy.secret.expose().to_owned())]
}

fn some(words: [&str; 2]) -> [Option<String>; 2] {
    words.map(|word| Some(word.to_owned()))
}

#[tokio::test]
async fn a_user_is_made_changed_and_deleted() {
    let rig = with_group().await;
    let path = "/snmp/users/noc";
    let body = json!({ "user_name": "the noc", "auth_protocol": "sha-256", "auth_password": "auth word",
                       "priv_protocol": "aes-256-c", "priv_password": "priv word", "group": "g",
                       "notifications": "authPriv", "networks": ["192.0.2.0/24", "2001:db8::7"] });
    let wanted = json!({ "name": "noc", "revision": 1, "user_name": "the noc", "auth_protocol": "sha-256",
                         "auth_password_set": true, "priv_protocol": "aes-256-c", "priv_password_set": true,
                         "group": "g", "notifications": "authPriv", "networks": ["192.0.2.0/24", "2001:db8::7/128"] });
    assert_eq!(rig.put(path, "", &body).await.expect(201), wanted);
    assert_eq!(rig.get(path).await.expect(200), wanted);
    assert_eq!(rig.get("/snmp/users").await.expect(200), json!({ "items": [wanted], "next": null }));
    assert_eq!(passwords(&rig, "noc"), some(["auth word", "priv word"]));

    // Without a password that which there is stays; all else has its default.
    let body =
        json!({ "auth_protocol": "sha-256", "priv_protocol": "aes-256-c", "priv_password": "other word" });
    let wanted = json!({ "name": "noc", "revision": 2, "user_name": "noc", "auth_protocol": "sha-256",
                         "auth_password_set": true, "priv_protocol": "aes-256-c", "priv_password_set": true,
                         "group": null, "notifications": null, "networks": [] });
    assert_eq!(rig.put(path, "\"1\"", &body).await.expect(200), wanted);
    assert_eq!(passwords(&rig, "noc"), some(["auth word", "other word"]));
    let answer = rig.put(path, "\"2\"", &json!({})).await.expect(200);
    let told = ["auth_protocol", "auth_password_set", "priv_protocol", "priv_password_set"]
        .map(|name| &answer[name]);
    assert_eq!(told, [&Value::Null, &json!(false), &Value::Null, &json!(false)]);
    assert_eq!(passwords(&rig, "noc"), [None, None]);
    rig.delete(path, "\"3\"").await.expect(204);
    let deeds = deeds(&rig, "").await;
    let words = ["deleted", "changed", "changed", "created"].map(|word| format!("SNMP user noc {word}"));
    assert_eq!(deeds[..4], words);
    let body = json!({ "auth_protocol": "md5", "auth_password": "auth word" });
    keeps_the_rules(&rig, "/snmp/users", &body).await;
}

#[tokio::test]
async fn what_cannot_be_a_user_is_refused() {
    let rig = with_group().await;
    let path = "/snmp/users/u";
    let auth = |more: Value| {
        let mut body = json!({ "auth_protocol": "sha", "auth_password": "auth word" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (body, fields) in [
        (json!({ "user_name": "" }), vec!["user_name"]),
        (json!({ "user_name": "x".repeat(33) }), vec!["user_name"]),
        (json!({ "user_name": "a\u{0}b" }), vec!["user_name"]),
        (json!({ "user_name": 7 }), vec!["user_name"]),
        (json!({ "auth_protocol": "sha" }), vec!["auth_password"]),
        (json!({ "auth_protocol": "sha-1", "auth_password": "auth word" }), vec!["auth_protocol"]),
        (json!({ "auth_password": "auth word" }), vec!["auth_protocol"]),
        (json!({ "auth_protocol": "sha", "auth_password": "7 bytes" }), vec!["auth_password"]),
        (json!({ "auth_protocol": "sha", "auth_password": "x".repeat(257) }), vec!["auth_password"]),
        (json!({ "priv_protocol": "des", "priv_password": "priv word" }), vec!["priv_protocol"]),
        (auth(json!({ "priv_protocol": "3des", "priv_password": "priv word" })), vec!["priv_protocol"]),
        (auth(json!({ "priv_protocol": "des" })), vec!["priv_password"]),
        (auth(json!({ "priv_password": "priv word" })), vec!["priv_protocol"]),
        (auth(json!({ "priv_protocol": "des", "priv_password": "7 bytes" })), vec!["priv_password"]),
        (auth(json!({ "group": "x" })), vec!["group"]),
        (auth(json!({ "group": "a b" })), vec!["group"]),
        (auth(json!({ "notifications": "authPriv" })), vec!["notifications"]),
        (auth(json!({ "notifications": true })), vec!["notifications"]),
        (
            auth(json!({ "networks": ["192.0.2.0/24", "192.0.2.1/24", "x"] })),
            vec!["networks[1]", "networks[2]"],
        ),
        (auth(json!({ "networks": vec!["::/0"; 65] })), vec!["networks"]),
        (auth(json!({ "auth_password_set": true })), vec!["auth_password_set"]),
    ] {
        assert_fields(&rig.put(path, "", &body).await, &fields, &body);
    }
    rig.get(path).await.problem(404, "not-found");
    let long = rig.put(&format!("/snmp/users/{}", "x".repeat(33)), "", &json!({})).await;
    assert_fields(&long, &["user_name"], &json!({}));
    rig.put(path, "", &auth(json!({}))).await.expect(201);
    for body in [json!({ "auth_protocol": "md5" }), auth(json!({ "priv_protocol": "des" }))] {
        let field = if body["auth_password"].is_null() { "auth_password" } else { "priv_password" };
        assert_fields(&rig.put(path, "*", &body).await, &[field], &body);
    }
    assert_eq!(passwords(&rig, "u"), [Some("auth word".into()), None]);
}

#[tokio::test]
async fn a_name_in_messages_is_of_one_user() {
    let rig = Rig::new();
    rig.put("/snmp/users/a", "", &json!({ "user_name": "same" })).await.expect(201);
    for (name, body) in [("b", json!({ "user_name": "same" })), ("same", json!({}))] {
        let taken = rig.put(&format!("/snmp/users/{name}"), "", &body).await.problem(409, "conflict");
        assert_eq!(taken["detail"], "user a has this user_name already");
    }
    rig.put("/snmp/users/a", "*", &json!({ "user_name": "same" })).await.expect(200);
    rig.put("/snmp/users/b", "", &json!({ "user_name": "Same" })).await.expect(201);
    for limit in [1, 20] {
        assert_eq!(all(&rig, &format!("/snmp/users?limit={limit}"), "user_name").await, ["same", "Same"]);
    }
}

#[tokio::test]
async fn there_are_only_so_many_users() {
    let rig = Rig::new();
    for number in 0..1_000 {
        rig.put(&format!("/snmp/users/u{number}"), "", &json!({})).await.expect(201);
    }
    let full = rig.put("/snmp/users/more", "", &json!({})).await.problem(409, "conflict");
    assert_eq!(full["detail"], "there are 1000 users already");
    rig.put("/snmp/users/u1", "*", &json!({})).await.expect(200);
}
