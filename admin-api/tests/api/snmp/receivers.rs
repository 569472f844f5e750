//! Receivers of notifications.

use callboard_core::event::EventKind;
use callboard_core::snmp::access::Receiver;
use serde_json::{Value, json};

use super::{assert_fields, keeps_the_rules};
use crate::harness::Rig;
use crate::sip::deeds;

/// A user `noc` with both passwords, and one `weak` without.
async fn with_users() -> Rig {
    let rig = Rig::new();
    let body = json!({ "auth_protocol": "sha-512", "auth_password": "auth word",
                       "priv_protocol": "aes-128", "priv_password": "priv word" });
    rig.put("/snmp/users/noc", "", &body).await.expect(201);
    rig.put("/snmp/users/weak", "", &json!({})).await.expect(201);
    rig
}

#[tokio::test]
async fn a_receiver_is_made_changed_and_deleted() {
    let rig = with_users().await;
    let path = "/snmp/receivers/nms";
    let wanted = json!({ "name": "nms", "revision": 1, "enabled": true, "address": "192.0.2.7", "port": 162,
                         "version": "v2c", "community_set": true, "user": null, "level": null, "mode": "trap",
                         "timeout_ms": 1500, "filter": { "kinds": [], "severity": "info" } });
    let body = json!({ "address": "::ffff:192.0.2.7", "version": "v2c", "community": "told" });
    assert_eq!(rig.put(path, "", &body).await.expect(201), wanted);
    assert_eq!(rig.get(path).await.expect(200), wanted);
    let body = json!({ "enabled": false, "address": "2001:db8::7", "port": 10162, "version": "v3", "user": "noc",
                       "level": "authPriv", "mode": "inform", "timeout_ms": 60000,
                       "filter": { "kinds": ["store-trouble", "admin-change", "admin-change"], "severity": "error" } });
    let mut wanted = body.clone();
    let more = json!({ "name": "nms", "revision": 2, "community_set": false });
    wanted.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    wanted["filter"]["kinds"] = json!(["admin-change", "store-trouble"]);
    assert_eq!(rig.put(path, "\"1\"", &body).await.expect(200), wanted);
    let filter = rig.service.snmp.access.get::<Receiver>("nms").unwrap().filter.clone();
    assert!(filter.takes(EventKind::StoreTrouble) && !filter.takes(EventKind::AdminChange));
    rig.delete(path, "\"2\"").await.expect(204);
    let words = ["deleted", "changed", "created"].map(|word| format!("SNMP receiver nms {word}"));
    assert_eq!(deeds(&rig, "").await[..3], words);
    keeps_the_rules(&rig, "/snmp/receivers", &json!({ "address": "::1", "version": "v1", "community": "x" }))
        .await;
}

#[tokio::test]
async fn a_community_stays_until_another_is_given() {
    let rig = with_users().await;
    let path = "/snmp/receivers/nms";
    let put = async |more: Value| {
        let mut body = json!({ "address": "192.0.2.7", "version": "v2c" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        rig.put(path, "*", &body).await
    };
    let told = || {
        let receiver = rig.service.snmp.access.get::<Receiver>("nms").unwrap();
        receiver.community().map(|community| community.expose().to_owned())
    };
    let body = json!({ "address": "192.0.2.7", "version": "v1", "community": "first" });
    rig.put(path, "", &body).await.expect(201);
    put(json!({})).await.expect(200);
    assert_eq!(told().as_deref(), Some("first"));
    put(json!({ "community": "second" })).await.expect(200);
    assert_eq!(told().as_deref(), Some("second"));
    put(json!({ "version": "v3", "user": "weak", "level": "noAuthNoPriv" })).await.expect(200);
    assert_eq!(told(), None);
    assert_eq!(put(json!({})).await.fields(422, "validation"), ["community"]);
}

#[tokio::test]
async fn what_cannot_be_a_receiver_is_refused() {
    let rig = with_users().await;
    let path = "/snmp/receivers/r";
    let with = |body: &Value, more: &Value| {
        let mut body = body.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let v2c = json!({ "address": "192.0.2.7", "version": "v2c", "community": "x" });
    let v3 = json!({ "address": "192.0.2.7", "version": "v3", "user": "noc", "level": "authPriv" });
    for (base, more, fields) in [
        (&json!({}), json!({}), vec!["address"]),
        (&json!({ "address": "192.0.2.7" }), json!({}), vec!["version"]),
        (&json!({ "address": "192.0.2.7", "version": "v1" }), json!({}), vec!["community"]),
        (&v2c, json!({ "address": "nms.example" }), vec!["address"]),
        (&v2c, json!({ "address": "192.0.2.7:162", "user": "a b" }), vec!["address", "user"]),
        (&v2c, json!({ "address": "0.0.0.0" }), vec!["address"]),
        (&v2c, json!({ "address": "ff02::1" }), vec!["address"]),
        (&v2c, json!({ "port": 0 }), vec!["port"]),
        (&v2c, json!({ "port": 65_536 }), vec!["port"]),
        (&v2c, json!({ "version": "v4" }), vec!["version"]),
        (&v2c, json!({ "community": "" }), vec!["community"]),
        (&v2c, json!({ "user": "noc", "level": "authPriv" }), vec!["user", "level"]),
        (&v2c, json!({ "version": "v1", "mode": "inform" }), vec!["mode"]),
        (&v2c, json!({ "mode": "poll" }), vec!["mode"]),
        (&v2c, json!({ "timeout_ms": 99 }), vec!["timeout_ms"]),
        (&v2c, json!({ "timeout_ms": 60_001 }), vec!["timeout_ms"]),
        (&v2c, json!({ "filter": { "kinds": ["nothing"] } }), vec!["filter.kinds[0]"]),
        (&v2c, json!({ "filter": { "severity": "fatal" } }), vec!["filter.severity"]),
        (&v2c, json!({ "filter": [] }), vec!["filter"]),
        (&v2c, json!({ "networks": [] }), vec!["networks"]),
        (&v3, json!({ "community": "x" }), vec!["community"]),
        (&v3, json!({ "user": null, "level": null }), vec!["user", "level"]),
        (&v3, json!({ "user": "nobody" }), vec!["user"]),
        (&v3, json!({ "user": "weak" }), vec!["level"]),
    ] {
        let body = with(base, &more);
        assert_fields(&rig.put(path, "", &body).await, &fields, &body);
    }
    for number in 0..32 {
        rig.put(&format!("/snmp/receivers/r{number}"), "", &v2c).await.expect(201);
    }
    let full = rig.put(path, "", &v2c).await.problem(409, "conflict");
    assert_eq!(full["detail"], "there are 32 receivers already");
}
