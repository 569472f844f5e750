//! Profiles and subscriptions to them.

use callboard_core::service::Settings;
use callboard_core::service::sip::{Incoming, ProfileRequests, Reaction, Scratch, SipSettings};
use callboard_core::sip::binding::Flow;
use callboard_core::store::Table;
use serde_json::{Value, json};

use super::{all, deeds, rig};
use crate::harness::{Rig, settings};

fn body(url: &str) -> Value {
    json!({ "url": url })
}

#[tokio::test]
async fn a_profile_is_made_changed_and_deleted() {
    let rig = rig();
    let path = "/sip/profiles/snom";
    rig.put(path, "*", &body("http://h/")).await.problem(404, "not-found");
    let answer = rig.put(path, "", &body("http://h/{mac}")).await;
    let wanted = json!({ "name": "snom", "revision": 1, "order": 100, "vendor": "", "model": "", "mac_prefixes": [],
                         "profile_type": "device", "url": "http://h/{mac}", "content_type": "application/url",
                         "devices": "any" });
    assert_eq!(answer.expect(201), wanted);
    assert_eq!((answer.header("location"), answer.header("etag")), ("/api/v1/sip/profiles/snom", "\"1\""));
    let got = rig.get(path).await;
    assert_eq!((got.header("etag"), got.expect(200)), ("\"1\"", wanted.clone()));
    assert_eq!(rig.get("/sip/profiles").await.expect(200), json!({ "items": [wanted], "next": null }));
    rig.put(path, "", &body("http://h/")).await.problem(428, "precondition-required");
    rig.put(path, "\"2\"", &body("http://h/")).await.problem(412, "precondition-failed");
    let all = json!({ "order": 7, "vendor": " Snom ", "model": "D7", "mac_prefixes": ["00:04:13", "000413", "F"],
                      "profile_type": "local-network", "url": "tftp://h/{MAC}",
                      "content_type": "message/external-body", "devices": "known" });
    let mut wanted = all.clone();
    wanted["vendor"] = json!("Snom");
    wanted["mac_prefixes"] = json!(["000413", "f"]);
    wanted["name"] = json!("snom");
    wanted["revision"] = json!(2);
    assert_eq!(rig.put(path, "\"1\"", &all).await.expect(200), wanted);
    rig.delete(path, "").await.problem(428, "precondition-required");
    rig.delete(path, "\"1\"").await.problem(412, "precondition-failed");
    rig.delete(path, "\"2\"").await.expect(204);
    rig.get(path).await.problem(404, "not-found");
    rig.delete(path, "*").await.problem(404, "not-found");
    assert_eq!(rig.store.reopen().get(Table::SipProfile, "snom"), None);
    assert_eq!(
        deeds(&rig, "").await,
        ["deleted", "changed", "created"].map(|word| format!("SIP profile snom {word}"))
    );
}

#[tokio::test]
async fn what_cannot_be_a_profile_is_refused() {
    let rig = rig();
    let path = "/sip/profiles/a";
    for (body, fields) in [
        (json!({}), vec!["url"]),
        (json!({ "url": "file:///etc/passwd" }), vec!["url"]),
        (json!({ "url": "http://u:p@h/" }), vec!["url"]),
        (json!({ "url": "http://h/{serial}" }), vec!["url"]),
        (json!({ "url": 7 }), vec!["url"]),
        (json!({ "url": "http://h", "order": 65_536 }), vec!["order"]),
        (json!({ "url": "http://h", "vendor": "x".repeat(65) }), vec!["vendor"]),
        (
            json!({ "url": "h", "model": "ä", "mac_prefixes": ["0", "x"] }),
            vec!["model", "mac_prefixes[1]", "url"],
        ),
        (json!({ "url": "http://h", "mac_prefixes": vec!["0"; 17] }), vec!["mac_prefixes"]),
        (json!({ "url": "http://h", "profile_type": "x" }), vec!["profile_type"]),
        (json!({ "url": "http://h", "name": "x" }), vec!["name"]),
    ] {
        assert_eq!(rig.put(path, "", &body).await.fields(422, "validation"), fields, "{body}");
    }
    for path in ["%20", "a%2Fb", "gr%C3%B6%C3%9Fe", ".", &"x".repeat(65)] {
        rig.get(&format!("/sip/profiles/{path}")).await.problem(404, "not-found");
        let answer = rig.put(&format!("/sip/profiles/{path}"), "", &body("http://h")).await;
        assert_eq!(answer.fields(400, "malformed"), ["name"], "{path}");
    }
    for number in 0..256 {
        rig.put(&format!("/sip/profiles/p{number}"), "", &body("http://h")).await.expect(201);
    }
    rig.put(path, "", &body("http://h")).await.problem(409, "conflict");
}

#[tokio::test]
async fn profiles_are_listed_in_their_order() {
    let rig = rig();
    for (name, order) in [("z", 1), ("b", 5), ("a", 5), ("c", 300)] {
        let body = json!({ "url": "http://h", "order": order });
        rig.put(&format!("/sip/profiles/{name}"), "", &body).await.expect(201);
    }
    for limit in [1, 3, 20] {
        assert_eq!(all(&rig, &format!("/sip/profiles?limit={limit}"), "name").await, ["z", "a", "b", "c"]);
    }
    for (query, name) in
        [("cursor=a", "cursor"), ("cursor=after:x:a", "cursor"), ("limit=0", "limit"), ("x=y", "x")]
    {
        assert_eq!(rig.get(&format!("/sip/profiles?{query}")).await.fields(400, "malformed"), [name]);
    }
}

#[tokio::test]
async fn a_preview_says_what_a_phone_gets() {
    let rig = rig();
    let body =
        json!({ "vendor": "yealink", "mac_prefixes": ["001565"], "url": "http://h/{model}/{mac}?{version}" });
    rig.put("/sip/profiles/yealink", "", &body).await.expect(201);
    let preview = async |query: &str| rig.get(&format!("/sip/profiles/preview?{query}")).await;
    let told = preview("mac=00-15-65-AA-BB-CC&vendor=Yealink&model=T46%20S&version=1").await.expect(200);
    let url = "http://h/T46%20S/001565aabbcc?1";
    assert_eq!(told, json!({ "profile": "yealink", "url": url, "content_type": "application/url" }));
    let nothing = json!({ "profile": null, "url": null, "content_type": null });
    for query in [
        "",
        "mac=001566aabbcc&vendor=yealink",
        "vendor=yealink",
        "mac=001565aabbcc&vendor=yealink&profile_type=user",
    ] {
        assert_eq!(preview(query).await.expect(200), nothing, "{query}");
    }
    let long = format!("model={}", "x".repeat(65));
    for (query, name) in
        [("mac=x", "mac"), (&long, "model"), ("profile_type=x", "profile_type"), ("x=y", "x")]
    {
        assert_eq!(preview(query).await.fields(400, "malformed"), [name]);
    }
}

/// Phones may ask this server itself.
fn open_rig() -> Rig {
    let mut sip = SipSettings::default();
    sip.plug_and_play.requests = ProfileRequests::All;
    Rig::with(Settings { sip, ..settings() }, callboard_admin_api::ApiSettings::default())
}

fn subscribe(rig: &Rig, mac: &str) {
    let request = format!(
        "SUBSCRIBE sip:MAC%3a{mac}@h SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK{mac};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:h>;tag=1\r\nTo: <sip:h>\r\nCall-ID: {mac}\r\nCSeq: 7 SUBSCRIBE\r\n\
         Contact: <sip:10.0.0.9>\r\nEvent: ua-profile;vendor=\"snom\";model=\"D7\";version=\"8\"\r\nExpires: 600\r\n\r\n"
    );
    let flow = Flow::udp("10.0.0.9:5060".parse().unwrap());
    let incoming = Incoming { bytes: request.as_bytes(), flow, proof: None };
    let mut answer = Vec::new();
    let reaction =
        rig.service.sip_received(&incoming, &mut Scratch::default(), rig.service.now(), &mut answer);
    assert!(reaction == Reaction::Answer && answer.starts_with(b"SIP/2.0 200 "), "{reaction:?}");
}

#[tokio::test]
async fn subscriptions_are_listed() {
    let rig = open_rig();
    rig.put("/sip/profiles/snom", "", &body("http://h/{mac}")).await.expect(201);
    for number in 10..15 {
        subscribe(&rig, &format!("0004130000{number}"));
    }
    let page = rig.get("/sip/subscriptions").await.expect(200);
    let one =
        page["items"].as_array().unwrap().iter().find(|one| one["device"] == "00:04:13:00:00:12").unwrap();
    let (id, since, expires) = (&one["id"], &one["since"], &one["expires"]);
    assert_eq!(id.as_str().unwrap().len(), 16);
    assert!(since.as_str().unwrap() < expires.as_str().unwrap(), "{one}");
    let wanted = json!({
        "id": id, "device": "00:04:13:00:00:12", "vendor": "snom", "model": "D7", "version": "8",
        "profile_type": "device", "profile": "snom", "url": "http://h/000413000012", "contact": "sip:10.0.0.9",
        "remote": "10.0.0.9:5060", "transport": "udp", "since": since, "expires": expires,
    });
    assert_eq!(*one, wanted);
    for limit in [1, 2, 20] {
        let mut seen = all(&rig, &format!("/sip/subscriptions?limit={limit}"), "device").await;
        seen.sort();
        assert_eq!((seen.len(), seen[0].as_str()), (5, "00:04:13:00:00:10"));
    }
    assert_eq!(rig.get("/sip/subscriptions?cursor=after:1").await.fields(400, "malformed"), ["cursor"]);
}
