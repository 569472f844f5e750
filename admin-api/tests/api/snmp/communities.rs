//! Communities of versions 1 and 2c.

use callboard_core::snmp::access::Version;
use serde_json::json;

use super::{assert_fields, keeps_the_rules, with_group};
use crate::harness::Rig;
use crate::sip::deeds;

/// The versions in which a text is good from an address.
fn good(rig: &Rig, text: &str, source: &str) -> Vec<&'static str> {
    let now = rig.service.snmp.access.snapshot();
    let Some(known) = now.community(text.as_bytes()) else { return Vec::new() };
    let versions = Version::ALL.into_iter();
    versions.filter(|version| known.is_good(*version, source.parse().unwrap())).map(Version::as_str).collect()
}

#[tokio::test]
async fn a_community_is_made_changed_and_deleted() {
    let rig = with_group().await;
    let path = "/snmp/communities/office";
    let wanted = json!({ "name": "office", "revision": 1, "community_set": true, "versions": ["v1", "v2c"],
                         "group": null, "notifications": false, "networks": [] });
    assert_eq!(rig.put(path, "", &json!({ "community": "a word" })).await.expect(201), wanted);
    assert_eq!(rig.get(path).await.expect(200), wanted);
    assert_eq!(good(&rig, "a word", "203.0.113.1"), ["v1", "v2c"]);
    let body = json!({ "versions": ["v2c", "v2c"], "group": "g", "notifications": true, "networks": ["192.0.2.0/24"] });
    let wanted = json!({ "name": "office", "revision": 2, "community_set": true, "versions": ["v2c"], "group": "g",
                         "notifications": true, "networks": ["192.0.2.0/24"] });
    assert_eq!(rig.put(path, "\"1\"", &body).await.expect(200), wanted);
    assert_eq!((good(&rig, "a word", "192.0.2.1"), good(&rig, "a word", "192.0.3.1")), (vec!["v2c"], vec![]));
    rig.put(path, "\"2\"", &json!({ "community": "another" })).await.expect(200);
    assert_eq!(
        (good(&rig, "a word", "192.0.2.1"), good(&rig, "another", "::1")),
        (vec![], vec!["v1", "v2c"])
    );
    rig.delete(path, "\"3\"").await.expect(204);
    assert!(good(&rig, "another", "::1").is_empty());
    let words =
        ["deleted", "changed", "changed", "created"].map(|word| format!("SNMP community office {word}"));
    assert_eq!(deeds(&rig, "").await[..4], words);
    keeps_the_rules(&rig, "/snmp/communities", &json!({ "community": "x" })).await;
}

#[tokio::test]
async fn what_cannot_be_a_community_is_refused() {
    let rig = Rig::new();
    let path = "/snmp/communities/c";
    for (body, fields) in [
        (json!({}), vec!["community"]),
        (json!({ "community": "" }), vec!["community"]),
        (json!({ "community": "x".repeat(256) }), vec!["community"]),
        (json!({ "community": "größe" }), vec!["community"]),
        (json!({ "community": "a\tb" }), vec!["community"]),
        (json!({ "community": ["x"] }), vec!["community"]),
        (json!({ "community": "x", "versions": [] }), vec!["versions"]),
        (json!({ "community": "x", "versions": ["v2c", "v3"] }), vec!["versions[1]"]),
        (json!({ "community": "x", "versions": ["v2"] }), vec!["versions[0]"]),
        (json!({ "community": "x", "group": "nobody" }), vec!["group"]),
        (json!({ "community": "x", "group": "" }), vec!["group"]),
        (json!({ "community": "x", "notifications": "authPriv" }), vec!["notifications"]),
        (json!({ "community": "x", "networks": ["any"] }), vec!["networks[0]"]),
        (json!({ "community": "x", "community_set": true }), vec!["community_set"]),
    ] {
        assert_fields(&rig.put(path, "", &body).await, &fields, &body);
    }
    rig.put(path, "", &json!({ "community": "x" })).await.expect(201);
    let taken =
        rig.put("/snmp/communities/d", "", &json!({ "community": "x" })).await.problem(409, "conflict");
    assert_eq!(taken["detail"], "community c has this text already");
}
