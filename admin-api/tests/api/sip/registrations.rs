//! Who is registered, and the end of it.

use callboard_core::sip::binding::Transport;
use serde_json::{Value, json};

use super::{all, deeds, register, register_over, rig};

const MAC: &str = "00:1a:e8:00:00:01";

#[tokio::test]
async fn a_registration_is_shown_in_full() {
    let rig = rig();
    let instance = "<urn:uuid:00000000-0000-1000-8000-001ae8000001>";
    let contact = format!(
        "Contact: <sip:alice@10.0.0.9:5070>;+sip.instance=\"{instance}\";reg-id=1;q=0.7;expires=600\r\n\
         Supported: path, outbound\r\nPath: <sip:edge.example.com;lr>\r\nUser-Agent: snomD765/10.1.64.14\r\n"
    );
    register_over(&rig, Transport::Tls, "Alice", &contact);
    let page = rig.get("/sip/registrations").await.expect(200);
    let (since, expires) = (page["items"][0]["since"].clone(), page["items"][0]["expires"].clone());
    assert!(since.as_str().unwrap().starts_with("2026-01-02T03:04:05.6"), "{since}");
    assert!(expires.as_str().unwrap().starts_with("2026-01-02T03:14:05.6"), "{expires}");
    let wanted = json!({
        "aor": "Alice@example.com", "contact": "sip:alice@10.0.0.9:5070", "state": "registered",
        "transport": "tls", "registrar": "sip_tls", "remote": "192.0.2.4:5060", "nat": true,
        "user_agent": "snomD765/10.1.64.14", "expires": expires,
        "params": { "instance": instance, "reg_id": 1, "q": 0.7,
                    "text": format!(";+sip.instance=\"{instance}\";reg-id=1") },
        "call_id": "call-Alice", "cseq": 7, "path": "<sip:edge.example.com;lr>", "vendor": "snom",
        "username": null, "device": MAC, "device_proven": true, "since": since, "refreshed": since,
    });
    assert_eq!(page, json!({ "items": [wanted], "next": null }));
    assert_eq!(rig.get("/sip/registrations/Alice@EXAMPLE.com").await.expect(200), page);
    assert_eq!(rig.get("/sip/registrations/%41lice%40example.com").await.expect(200), page);
    rig.get("/sip/registrations/alice@example.com").await.problem(404, "not-found");
}

#[tokio::test]
async fn lists_go_page_by_page() {
    let rig = rig();
    let mut wanted: Vec<_> = (0..45).map(|number| format!("{number}@example.com")).collect();
    for number in 0..45 {
        register(&rig, &number.to_string(), "");
    }
    wanted.sort();
    for limit in [1, 7, 20] {
        let mut seen = all(&rig, &format!("/sip/registrations?limit={limit}"), "aor").await;
        seen.sort();
        assert_eq!(seen, wanted, "{limit}");
    }
    // Two of one address stay together.
    register_over(&rig, Transport::Udp, "both", "Contact: <sip:a@192.0.2.4>, <sip:b@192.0.2.4>\r\n");
    let page = rig.get("/sip/registrations?limit=1&aor=both").await.expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn filters_choose() {
    let rig = rig();
    register(&rig, "alice", "User-Agent: Yealink SIP-T46S 66.85.0.5\r\n");
    register(&rig, "bob", "User-Agent: snom370 001ae8000001\r\n");
    let carol = register_over(&rig, Transport::Tcp, "carol", "Contact: <sip:carol@10.0.0.9>\r\n");
    rig.service.sip_connection_closed(carol, 1);
    let aor = |user: &str| format!("{user}@example.com");
    for (query, wanted) in [
        ("aor=LIC", vec![aor("alice")]),
        ("user_agent=SNOM", vec![aor("bob")]),
        ("transport=tcp", vec![aor("carol")]),
        ("transport=tls", vec![]),
        ("nat=true", vec![aor("carol")]),
        ("nat=false&transport=udp&aor=b", vec![aor("bob")]),
        ("state=registered&aor=carol", vec![]),
        ("state=lost", vec![aor("carol")]),
        ("state=reachable", vec![]),
        ("device=00-1A-E8-00-00-01", vec![aor("bob")]),
        ("device=nobody", vec![]),
        ("has_device=true", vec![aor("bob")]),
        ("has_device=false&user_agent=yealink", vec![aor("alice")]),
    ] {
        assert_eq!(all(&rig, &format!("/sip/registrations?{query}"), "aor").await, wanted, "{query}");
    }
}

#[tokio::test]
async fn queries_are_strict() {
    let rig = rig();
    for (query, name) in [
        ("limit=0", "limit"),
        ("limit=21", "limit"),
        ("cursor=1", "cursor"),
        ("cursor=at:64.0", "cursor"),
        ("transport=sctp", "transport"),
        ("state=gone", "state"),
        ("nat=1", "nat"),
        ("device=a%20b", "device"),
        ("has_device=maybe", "has_device"),
        ("vendor=snom", "vendor"),
    ] {
        let answer = rig.get(&format!("/sip/registrations?{query}")).await;
        assert_eq!(answer.fields(400, "malformed"), [name], "{query}");
    }
    for name in ["aor", "user_agent"] {
        let answer = rig.get(&format!("/sip/registrations?{name}={}", "x".repeat(257))).await;
        assert_eq!(answer.fields(400, "malformed"), [name]);
    }
    for path in ["a%20b", "a@b;transport=tcp", "a@b%2Fc", "%FF", "a:secret@b"] {
        rig.get(&format!("/sip/registrations/{path}")).await.problem(404, "not-found");
        rig.delete(&format!("/sip/registrations/{path}"), "").await.problem(404, "not-found");
    }
    let answer = rig.delete("/sip/registrations/a@b?kontakt=x", "").await;
    assert_eq!(answer.fields(400, "malformed"), ["kontakt"]);
}

#[tokio::test]
async fn a_registration_ends_for_good_by_contact_or_all_at_once() {
    let rig = rig();
    let contacts = "Contact: <sip:a@192.0.2.4>, <sip:b@192.0.2.4>, <sip:c@192.0.2.4>\r\n\
                    User-Agent: snom370 001ae8000001\r\n";
    register_over(&rig, Transport::Udp, "alice", contacts);
    register(&rig, "bob", "");
    let path = "/sip/registrations/alice@example.com";
    rig.delete(&format!("{path}?contact=sip:nobody@x"), "").await.problem(404, "not-found");
    rig.delete(&format!("{path}?contact=sip%3Ab%40192.0.2.4"), "").await.expect(204);
    let left = rig.get(path).await.expect(200);
    assert_eq!(super::field(&left, "contact"), ["sip:a@192.0.2.4", "sip:c@192.0.2.4"]);
    rig.delete(path, "").await.expect(204);
    rig.get(path).await.problem(404, "not-found");
    rig.delete(path, "").await.problem(404, "not-found");
    // What 204 said is on the disk.
    let reopened = rig.journal.reopen();
    assert_eq!((reopened.get("alice@example.com"), reopened.get("bob@example.com").is_some()), (None, true));
    assert_eq!(
        deeds(&rig, "&device=00:1a:e8:00:00:01").await,
        ["2 registrations of alice@example.com removed", "1 registration of alice@example.com removed"]
    );
}

#[tokio::test]
async fn an_end_that_is_not_durable_is_not_acknowledged() {
    let rig = rig();
    register(&rig, "alice", "");
    let path = "/sip/registrations/alice@example.com";
    rig.journal.set_no_space(true);
    let answer = rig.delete(path, "").await;
    answer.problem(503, "store-unavailable");
    assert_eq!(answer.header("retry-after"), "10");
    rig.get(path).await.expect(200);
    rig.journal.set_no_space(false);
    rig.journal.hold();
    let end = rig.delete(path, "");
    tokio::pin!(end);
    let waits = tokio::time::timeout(std::time::Duration::ZERO, &mut end).await.is_err();
    assert!(waits && rig.journal.get("alice@example.com").is_some());
    assert_eq!(deeds(&rig, "").await, Vec::<String>::new());
    rig.journal.release();
    end.await.expect(204);
    assert_eq!(rig.journal.get("alice@example.com"), None);
    assert_eq!(rig.get("/sip/registrations").await.expect(200)["items"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn a_phone_is_told_to_fetch_its_configuration() {
    let rig = rig();
    register(&rig, "alice", "User-Agent: Yealink SIP-T46S 66.85.0.5 001565aabbcc\r\n");
    let fetch = json!({ "restart": false });
    // No door is open here, so that nothing leaves.
    let told = rig.post("/sip/registrations/alice%40example.com/check-sync", &fetch).await.expect(200);
    assert_eq!(told["outcome"], "no-socket", "{told}");
    let told = rig.post("/devices/001565aabbcc/check-sync", &json!({ "restart": true })).await.expect(200);
    assert_eq!(told["outcome"], "no-socket", "{told}");
    rig.post("/sip/registrations/bob%40example.com/check-sync", &fetch).await.problem(404, "not-found");
    rig.post("/devices/001565aabbcd/check-sync", &fetch).await.problem(404, "not-found");
    for (body, field) in [(json!({ "restart": 1 }), "restart"), (json!({ "x": 1 }), "x")] {
        let refused = rig.post("/devices/001565aabbcc/check-sync", &body).await;
        assert_eq!(refused.fields(422, "validation"), [field]);
    }
    // It is told where it came from when it is not registered any more, but not too often.
    rig.delete("/sip/registrations/alice%40example.com", "").await.expect(204);
    rig.post("/devices/001565aabbcc/check-sync", &fetch).await.expect(200);
    let late = rig.post("/devices/001565aabbcc/check-sync", &fetch).await;
    assert!(!late.header("retry-after").is_empty());
    late.problem(429, "too-soon");
}
