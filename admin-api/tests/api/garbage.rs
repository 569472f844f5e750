//! Whatever comes, the answer is one of ours.

use axum::body::Body;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::{Answer, Rig, TOKEN};
use crate::templates::sample;

/// Good bodies to spoil, each with its route.
fn seeds() -> Vec<(Method, &'static str, Value)> {
    let item = json!({ "name": "sip-pwd", "value": "x" });
    vec![
        (Method::POST, "/templates", sample("t")),
        (
            Method::POST,
            "/templates/dry-run",
            json!({ "template": sample("t"), "filter": { "faults": true }, "limit": 3 }),
        ),
        (Method::POST, "/templates/000000000abc/assign", json!({ "devices": ["00:00:00:00:00:01"] })),
        (Method::POST, "/devices/00:00:00:00:00:01/tasks", json!({ "type": "write-items", "items": [item] })),
        (
            Method::PUT,
            "/devices/00:00:00:00:00:01/secure-mode",
            json!({ "mode": "individual-pin", "pin": "4711-4711-4711" }),
        ),
        (Method::PUT, "/devices/00:00:00:00:00:01/templates", json!({ "templates": ["000000000abc"] })),
        (
            Method::PUT,
            "/sip/profiles/p",
            json!({ "order": 1, "vendor": "v", "mac_prefixes": ["001ae8"], "url": "http://h/{mac}", "devices": "known" }),
        ),
        (Method::PUT, "/sip/realms/r", json!({ "domains": ["example.com", "192.0.2.1"] })),
        (
            Method::PUT,
            "/sip/realms/r/credentials/u",
            json!({ "password": "p", "device": "00:00:00:00:00:01" }),
        ),
        (
            Method::POST,
            "/sip/realms/r/credentials",
            json!({ "credentials": [{ "username": "u" }], "replace": true }),
        ),
        (Method::PUT, "/snmp/views/v", json!({ "include": ["1.3.6.1.*.2"], "exclude": ["1.3.6.1.4"] })),
        (Method::PUT, "/snmp/groups/g", json!({ "access": { "noAuthNoPriv": "all", "authPriv": "all" } })),
        (
            Method::PUT,
            "/snmp/users/u",
            json!({ "auth_protocol": "sha", "auth_password": "password", "notifications": "authNoPriv", "networks": ["::/0"] }),
        ),
        (
            Method::PUT,
            "/snmp/communities/c",
            json!({ "community": "x", "versions": ["v1"], "notifications": true }),
        ),
        (
            Method::PUT,
            "/snmp/receivers/r",
            json!({ "address": "::1", "version": "v2c", "community": "x", "mode": "inform", "filter": { "kinds": ["task-done"] } }),
        ),
    ]
}

fn ask(request: Request<Body>) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let rig = Rig::new();
        rig.devices(1);
        rig.put("/sip/realms/r", "", &json!({ "domains": [] })).await.expect(201);
        rig.raw(request).await
    })
}

fn is_ours(answer: &Answer) -> bool {
    let status = answer.status.as_u16();
    match status {
        200..=299 => true,
        400..=499 => {
            answer.header("content-type") == "application/problem+json" && answer.json()["status"] == status
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn spoiled_bodies(seed in 0_usize..15, at in any::<prop::sample::Index>(), cut in 0_usize..4, put in prop::collection::vec(any::<u8>(), 0..4)) {
        let (method, path, body) = seeds().swap_remove(seed);
        let mut bytes = body.to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes.splice(at..(at + cut).min(bytes.len()), put);
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(AUTHORIZATION, format!("Bearer {TOKEN}"))
            .header(CONTENT_TYPE, "application/json");
        let answer = ask(request.body(Body::from(bytes)).unwrap());
        prop_assert!(is_ours(&answer), "{answer:?}");
    }

    #[test]
    fn queries_and_headers(query in "[a-z_]{0,9}=?[ -~]{0,12}", value in "[ -~]{0,20}", path in "[a-z0-9%:/.-]{0,24}") {
        let query: String = query.chars().filter(|c| !" \"<>#`{}|^\\".contains(*c)).collect();
        for (method, path) in [
            (Method::GET, format!("devices?{query}")),
            (Method::GET, format!("events?{query}")),
            (Method::GET, format!("sip/registrations?{query}")),
            (Method::GET, format!("sip/registrations/{path}")),
            (Method::GET, format!("snmp/users?{query}")),
            (Method::DELETE, format!("snmp/views/{path}")),
            (Method::DELETE, format!("sip/realms/{path}")),
            (Method::DELETE, format!("devices/{path}")),
            (Method::PUT, path),
        ] {
            let request = Request::builder()
                .method(method)
                .uri(format!("/api/v1/{path}"))
                .header(AUTHORIZATION, format!("Bearer {TOKEN}"))
                .header("if-match", &value);
            let Ok(request) = request.body(Body::empty()) else { continue };
            let answer = ask(request);
            prop_assert!(is_ours(&answer), "{answer:?}");
        }
    }
}
