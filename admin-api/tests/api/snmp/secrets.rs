//! Passwords and communities go in, and never come out.

use callboard_core::snmp::access::{Community, Receiver, User};
use callboard_core::store::Table;
use serde_json::json;

use crate::harness::{Answer, Rig};

const PLANTED: [&str; 5] = ["auth-word-x7", "priv-word-x7", "community-x7", "receiver-x7", "misplaced-x7"];

/// Every answer that the API gives after secrets went in by every way, wrong ways included.
async fn answers(rig: &Rig) -> Vec<Answer> {
    let [auth, privacy, community, receiver, misplaced] = PLANTED;
    let user = json!({ "auth_protocol": "sha", "auth_password": auth, "priv_protocol": "des", "priv_password": privacy });
    let told = json!({ "address": "192.0.2.7", "version": "v2c", "community": receiver });
    let mut seen = Vec::new();
    for (path, body) in [
        ("/snmp/users/u", user),
        ("/snmp/communities/c", json!({ "community": community })),
        ("/snmp/receivers/r", told),
    ] {
        seen.push(rig.put(path, "", &body).await);
        seen.push(rig.put(path, "*", &body).await);
    }
    for path in ["users", "users/u", "communities", "communities/c", "receivers", "receivers/r"] {
        seen.push(rig.get(&format!("/snmp/{path}")).await);
    }
    seen.push(rig.get("/events").await);
    seen.push(rig.get("/status").await);
    for answer in &seen {
        assert!(answer.status.is_success(), "{answer:?}");
    }
    let good = seen.len();
    // In the wrong place, of the wrong type, with another fault beside it, the same twice.
    for (path, body) in [
        ("users/u", json!({ "auth_protocol": misplaced })),
        ("users/u", json!({ "auth_protocol": "sha", "auth_password": [misplaced] })),
        ("users/u", json!({ "auth_protocol": "sha", "auth_password": misplaced.repeat(30) })),
        ("users/u", json!({ "auth_password": misplaced })),
        ("users/u", json!({ "priv_protocol": misplaced, "priv_password": misplaced })),
        ("users/u", json!({ "notifications": misplaced })),
        ("users/u", json!({ "networks": [misplaced] })),
        ("users/u", json!({ "group": format!("{misplaced} ä") })),
        ("users/u", json!(misplaced)),
        ("communities/c", json!({ "community": format!("{misplaced}\n") })),
        ("communities/c", json!({ "community": { "text": misplaced } })),
        ("communities/c", json!({ "versions": [misplaced] })),
        ("communities/d", json!({ "community": community })),
        ("receivers/r", json!({ "address": misplaced, "version": "v2c" })),
        ("receivers/r", json!({ "address": "192.0.2.7", "version": misplaced })),
        (
            "receivers/r",
            json!({ "address": "192.0.2.7", "version": "v1", "filter": { "kinds": [misplaced] } }),
        ),
        ("receivers/r", json!({ "address": "192.0.2.7", "version": "v3", "community": misplaced })),
        ("receivers/r", json!({ "address": "192.0.2.7", "version": "v2c", "mode": misplaced })),
    ] {
        let if_match = if path == "communities/d" { "" } else { "*" };
        seen.push(rig.put(&format!("/snmp/{path}"), if_match, &body).await);
    }
    for answer in &seen[good..] {
        assert!([409, 422].contains(&answer.status.as_u16()), "{answer:?}");
    }
    seen
}

#[tokio::test]
async fn no_answer_and_no_record_holds_a_planted_secret() {
    let rig = Rig::new();
    for answer in answers(&rig).await {
        let text = format!("{:?}\n{}", answer.headers, answer.text);
        for secret in PLANTED {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    let access = &rig.service.snmp.access;
    let shown = format!("{:?} {:?}", rig.service.snmp, access.snapshot());
    assert!(!shown.contains("x7"), "{shown}");
    for (table, key) in [(Table::SnmpUser, "u"), (Table::SnmpCommunity, "c"), (Table::SnmpReceiver, "r")] {
        let record = rig.store.get(table, key).unwrap();
        assert!(!record.windows(2).any(|part| part == b"x7"), "{key}");
    }
    // The secrets did go in.
    let user = access.get::<User>("u").unwrap();
    let words = [&user.auth.as_ref().unwrap().secret, &user.privacy.as_ref().unwrap().secret];
    assert_eq!(words.map(callboard_core::secret::Secret::expose), PLANTED[..2]);
    assert_eq!(access.get::<Community>("c").unwrap().community.expose(), PLANTED[2]);
    assert_eq!(access.get::<Receiver>("r").unwrap().community().unwrap().expose(), PLANTED[3]);
}
