//! Views.

use callboard_core::store::Table;
use serde_json::json;

use super::{assert_fields, keeps_the_rules};
use crate::harness::Rig;
use crate::sip::{all, deeds};

#[tokio::test]
async fn a_view_is_made_changed_and_deleted() {
    let rig = Rig::new();
    let path = "/snmp/views/mib-2";
    let body = json!({ "include": [".1.3.6.1.2.1", "1.3.6.1.2.1", "1.3.6.1.2.1.1.5.0"], "exclude": ["1.3.6.1.2.1.1"] });
    let wanted = json!({ "name": "mib-2", "revision": 1, "built_in": false, "exclude": ["1.3.6.1.2.1.1"],
                         "include": ["1.3.6.1.2.1.1.5.0", "1.3.6.1.2.1"] });
    assert_eq!(rig.put(path, "", &body).await.expect(201), wanted);
    assert_eq!(rig.get(path).await.expect(200), wanted);
    let answer = rig.put(path, "\"1\"", &json!({ "include": ["1.3.6.1.2.1.2.2.1.*.7"] })).await;
    let wanted = json!({ "name": "mib-2", "revision": 2, "built_in": false, "exclude": [],
                         "include": ["1.3.6.1.2.1.2.2.1.*.7"] });
    assert_eq!(answer.expect(200), wanted);
    rig.delete(path, "*").await.expect(204);
    assert_eq!(rig.store.reopen().get(Table::SnmpView, "mib-2"), None);
    let words = ["deleted", "changed", "created"].map(|word| format!("SNMP view mib-2 {word}"));
    assert_eq!(deeds(&rig, "").await, words);
    keeps_the_rules(&rig, "/snmp/views", &body).await;
}

#[tokio::test]
async fn the_view_that_is_built_in_cannot_be_changed() {
    let rig = Rig::new();
    let all =
        json!({ "name": "all", "revision": 0, "built_in": true, "include": ["1.3.6.1"], "exclude": [] });
    assert_eq!(rig.get("/snmp/views").await.expect(200), json!({ "items": [all], "next": null }));
    for revision in ["", "*", "\"0\""] {
        let body = json!({ "include": ["1.3"] });
        let refused = rig.put("/snmp/views/all", revision, &body).await.problem(409, "conflict");
        assert_eq!(refused["detail"], "view all is built in and cannot be changed");
        rig.delete("/snmp/views/all", revision).await.problem(409, "conflict");
    }
    assert_eq!(rig.get("/snmp/views/all").await.expect(200), all);
}

#[tokio::test]
async fn what_cannot_be_a_view_is_refused() {
    let rig = Rig::new();
    for (body, fields) in [
        (json!({}), vec!["include"]),
        (json!({ "include": [] }), vec!["include"]),
        (json!({ "include": [], "exclude": ["1.3"] }), vec!["include"]),
        (
            json!({ "include": ["1.3", "sysName", "1..3"], "exclude": ["3"] }),
            vec!["include[1]", "include[2]", "exclude[0]"],
        ),
        (json!({ "include": "1.3" }), vec!["include"]),
        (json!({ "include": [7] }), vec!["include[0]"]),
        (json!({ "include": vec!["1.3"; 65] }), vec!["include"]),
        (json!({ "include": ["1.3"], "mask": "ff" }), vec!["mask"]),
        (json!({ "include": ["1.3"], "built_in": true }), vec!["built_in"]),
    ] {
        assert_fields(&rig.put("/snmp/views/v", "", &body).await, &fields, &body);
    }
    let many =
        |range: std::ops::Range<u32>| range.map(|arc| format!("1.{}.{}", arc % 40, arc)).collect::<Vec<_>>();
    let body = json!({ "include": many(0..40), "exclude": many(40..65) });
    assert_fields(&rig.put("/snmp/views/v", "", &body).await, &["include"], &body);
}

#[tokio::test]
async fn views_are_listed_by_name() {
    let rig = Rig::new();
    for name in ["zoo", "A", "b-1", "_"] {
        rig.put(&format!("/snmp/views/{name}"), "", &json!({ "include": ["1"] })).await.expect(201);
    }
    for limit in [1, 2, 20] {
        let names = all(&rig, &format!("/snmp/views?limit={limit}"), "name").await;
        assert_eq!(names, ["A", "_", "all", "b-1", "zoo"]);
    }
}
