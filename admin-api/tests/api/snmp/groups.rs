//! Groups.

use callboard_core::snmp::protocol::SecurityLevel;
use serde_json::json;

use super::{assert_fields, keeps_the_rules, with_group};
use crate::harness::Rig;
use crate::sip::deeds;

#[tokio::test]
async fn a_group_is_made_changed_and_deleted() {
    let rig = Rig::new();
    rig.put("/snmp/views/v", "", &json!({ "include": ["1.3.6.1.2.1"] })).await.expect(201);
    let path = "/snmp/groups/noc";
    let body = json!({ "access": { "noAuthNoPriv": "v", "authPriv": "all" } });
    let wanted = json!({ "name": "noc", "revision": 1,
                         "access": { "noAuthNoPriv": "v", "authNoPriv": null, "authPriv": "all" } });
    assert_eq!(rig.put(path, "", &body).await.expect(201), wanted);
    assert_eq!(rig.get(path).await.expect(200), wanted);
    // It holds for whoever is of it.
    rig.put("/snmp/users/u", "", &json!({ "group": "noc" })).await.expect(201);
    let reads = |level| {
        let now = rig.service.snmp.access.snapshot();
        now.user(b"u").unwrap().view(level).is_some_and(|view| view.contains(&[1, 3, 6, 1, 4]))
    };
    assert_eq!(SecurityLevel::ALL.map(reads), [false, false, true]);
    let body = json!({ "access": { "noAuthNoPriv": null, "authNoPriv": "all", "authPriv": "v" } });
    rig.put(path, "\"1\"", &body).await.expect(200);
    assert_eq!(SecurityLevel::ALL.map(reads), [false, true, false]);
    rig.delete("/snmp/users/u", "*").await.expect(204);
    rig.delete(path, "\"2\"").await.expect(204);
    let deeds = deeds(&rig, "").await;
    let words = ["deleted", "changed", "created"].map(|word| format!("SNMP group noc {word}"));
    assert!(words.iter().all(|word| deeds.contains(word)), "{deeds:?}");
    keeps_the_rules(&rig, "/snmp/groups", &body).await;
}

#[tokio::test]
async fn what_cannot_be_a_group_is_refused() {
    let rig = with_group().await;
    for (body, fields) in [
        (json!({}), vec!["access"]),
        (json!({ "access": {} }), vec!["access"]),
        (json!({ "access": [] }), vec!["access"]),
        (json!({ "access": { "noAuthNoPriv": null } }), vec!["access"]),
        (json!({ "access": { "authPriv": "x" } }), vec!["access.authPriv"]),
        (
            json!({ "access": { "noAuthNoPriv": "x", "authNoPriv": "v", "authPriv": "y" } }),
            vec!["access.noAuthNoPriv", "access.authPriv"],
        ),
        (json!({ "access": { "authNoPriv": "a b" } }), vec!["access.authNoPriv"]),
        (json!({ "access": { "authNoPriv": 7 } }), vec!["access.authNoPriv"]),
        (json!({ "access": { "write": "v" } }), vec!["access.write"]),
        (json!({ "access": { "authPriv": "v" }, "write": {} }), vec!["write"]),
    ] {
        assert_fields(&rig.put("/snmp/groups/h", "", &body).await, &fields, &body);
    }
    let refused = rig.put("/snmp/groups/h", "", &json!({ "access": { "authPriv": "x" } })).await;
    assert_eq!(refused.json()["detail"], "access.authPriv: no view x");
}

#[tokio::test]
async fn what_is_in_use_cannot_be_deleted() {
    let rig = with_group().await;
    let passwords = json!({ "group": "g", "auth_protocol": "sha", "auth_password": "password 1" });
    rig.put("/snmp/users/u", "", &passwords).await.expect(201);
    rig.put("/snmp/communities/c", "", &json!({ "community": "x", "group": "g" })).await.expect(201);
    let body = json!({ "address": "192.0.2.1", "version": "v3", "user": "u", "level": "authNoPriv" });
    rig.put("/snmp/receivers/r", "", &body).await.expect(201);
    for (path, detail) in [
        ("/snmp/views/v", "view v is used by group g"),
        ("/snmp/groups/g", "group g is used by user u, community c"),
        ("/snmp/users/u", "user u is used by receiver r"),
    ] {
        assert_eq!(rig.delete(path, "*").await.problem(409, "conflict")["detail"], detail);
        rig.get(path).await.expect(200);
    }
    let weaker = rig.put("/snmp/users/u", "*", &json!({})).await.problem(409, "conflict");
    let detail = "receiver r is told as this user at a level for which there would be no password";
    assert_eq!(weaker["detail"], detail);
    for path in ["receivers/r", "communities/c", "users/u", "groups/g", "views/v"] {
        rig.delete(&format!("/snmp/{path}"), "*").await.expect(204);
    }
    assert!(rig.store.is_empty());
}
