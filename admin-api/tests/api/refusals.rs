//! Everything that is not a good request gets a problem document.

use axum::body::Body;
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request};
use serde_json::{Value, json};

use crate::harness::{Answer, Rig, TOKEN, request};
use crate::templates::sample;

async fn post_text(rig: &Rig, path: &str, content_type: &str, body: &str) -> Answer {
    let request = Request::post(format!("/api/v1{path}"))
        .header(AUTHORIZATION, format!("Bearer {TOKEN}"))
        .header(CONTENT_TYPE, content_type)
        .body(Body::from(body.to_owned()))
        .unwrap();
    rig.raw(request).await
}

#[tokio::test]
async fn nobody_comes_in_without_the_token() {
    let rig = Rig::new();
    rig.devices(1);
    for authorization in [None, Some("Bearer wrong-but-long-enough"), Some("Basic YTpi"), Some(TOKEN)] {
        for path in ["/devices", "/status", "/events/stream", "/catalogue", "/nothing"] {
            let mut request = Request::get(format!("/api/v1{path}"));
            if let Some(text) = authorization {
                request = request.header(AUTHORIZATION, text);
            }
            let answer = rig.raw(request.body(Body::empty()).unwrap()).await;
            answer.problem(401, "unauthorized");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
        let mut request = Request::delete("/api/v1/devices/00:00:00:00:00:01");
        if let Some(text) = authorization {
            request = request.header(AUTHORIZATION, text);
        }
        rig.raw(request.body(Body::empty()).unwrap()).await.problem(401, "unauthorized");
    }
    assert_eq!(rig.service.fleet.len(), 1);
}

#[tokio::test]
async fn routes_and_methods_are_told_apart() {
    let rig = Rig::new();
    rig.get("/nothing").await.problem(404, "not-found");
    rig.get("/devices/").await.problem(404, "not-found");
    let answer = rig.ask(Method::PATCH, "/devices/x", &[], &Value::Null).await;
    answer.problem(405, "method-not-allowed");
    let mut allowed: Vec<_> = answer.header(ALLOW.as_str()).split(',').map(str::trim).collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["DELETE", "GET", "HEAD"]);
    let outside = Request::get("/metrics").header(AUTHORIZATION, format!("Bearer {TOKEN}"));
    rig.raw(outside.body(Body::empty()).unwrap()).await.problem(404, "not-found");
}

#[tokio::test]
async fn ids_that_cannot_exist_are_not_found() {
    let rig = Rig::new();
    let long = "x".repeat(65);
    for path in
        ["/devices/a%20b", "/devices/%FF", "/devices/a%2Fb/items", "/templates/x", "/templates/00000000ABCD"]
    {
        rig.get(path).await.problem(404, "not-found");
    }
    rig.get(&format!("/devices/{long}")).await.problem(404, "not-found");
}

#[tokio::test]
async fn queries_are_strict() {
    let rig = Rig::new();
    rig.devices(1);
    for (path, field) in [
        ("/devices?limit=0", "limit"),
        ("/devices?limit=21", "limit"),
        ("/devices?limit=x", "limit"),
        ("/devices?limit=1&limit=2", "limit"),
        ("/devices?cursor=a%20b", "cursor"),
        ("/devices?cursor=zzz", "cursor"),
        ("/devices?cursor=!!!", "cursor"),
        ("/devices?cursor=after:", "cursor"),
        ("/devices?refused=1", "refused"),
        ("/devices?template=000000000def", "template"),
        ("/devices?state=old", "state"),
        ("/devices?secure_mode=on", "secure_mode"),
        ("/devices?faults=1", "faults"),
        ("/devices?template=1", "template"),
        ("/devices?colour=red", "colour"),
        ("/devices/00:00:00:00:00:01/items?view=all", "view"),
        ("/devices/00:00:00:00:00:01/items?vew=all", "vew"),
        ("/templates?cursor=1", "cursor"),
        ("/templates?page=1", "page"),
        ("/events?before=x", "before"),
        ("/events?kind=x", "kind"),
        ("/events?severity=fatal", "severity"),
        ("/events?device=a%20b", "device"),
        ("/events/stream?before=3", "before"),
        ("/catalogue?name=x", "name"),
    ] {
        assert_eq!(rig.get(path).await.fields(400, "malformed"), [field], "{path}");
    }
    let long = format!("/devices?q={}", "x".repeat(257));
    assert_eq!(rig.get(&long).await.fields(400, "malformed"), ["q"]);
}

#[tokio::test]
async fn numbers_are_told_what_they_may_be() {
    let rig = Rig::new();
    for (path, reason) in [
        ("/devices?limit=abc", "limit: 1 to 20"),
        ("/devices?limit=", "limit: 1 to 20"),
        ("/events?limit=99999999999999999999", "limit: 1 to 20"),
        ("/events?before=abc", "before: a whole number, 0 to 18446744073709551615"),
    ] {
        assert_eq!(rig.get(path).await.problem(400, "malformed")["detail"], reason, "{path}");
    }
}

#[tokio::test]
async fn bodies_are_strict() {
    let rig = Rig::new();
    let problem = post_text(&rig, "/templates", "application/json", "{\n \"name\": }").await;
    let detail = problem.problem(400, "malformed")["detail"].to_string();
    assert!(detail.contains("line 2 column 10"), "{detail}");
    post_text(&rig, "/templates", "application/json", "").await.problem(400, "malformed");
    post_text(&rig, "/templates", "application/json", "{} {}").await.problem(422, "validation");
    let twice = format!("{} x", sample("t"));
    post_text(&rig, "/templates", "application/json", &twice).await.problem(400, "malformed");
    for content_type in ["text/plain", "", "application/jsonx", "application/x-www-form-urlencoded"] {
        let answer = post_text(&rig, "/templates", content_type, &sample("t").to_string()).await;
        answer.problem(415, "unsupported-media-type");
    }
    let utf8 = "Application/JSON; charset=utf-8";
    post_text(&rig, "/templates", utf8, &sample("t").to_string()).await.expect(201);

    for (body, field) in [
        (json!({ "name": "x", "kind": "default", "items": [], "colour": 1 }), "colour"),
        (json!({ "name": "x", "kind": "never", "items": [] }), "kind"),
        (json!({ "name": 3, "kind": "default", "items": [] }), "name"),
        (json!({ "name": "x", "kind": "default", "items": [{ "name": "a", "val": "b" }] }), "items[0].val"),
        (
            json!({ "name": "x", "kind": "default", "items": [{ "name": "a", "index": -1 }] }),
            "items[0].index",
        ),
        (json!({ "name": "x", "kind": "default", "ranking": 1.5, "items": [] }), "ranking"),
        (json!({ "kind": "default", "items": [] }), "name"),
        (json!({ "name": "x", "kind": "default", "items": [["a", 1, "b", false]] }), "items[0]"),
        (json!({ "name": "x", "kind": "default", "items": [{ "value": "b" }] }), "items[0].name"),
        (json!([1]), "body"),
        (json!("x"), "body"),
    ] {
        assert_eq!(rig.post("/templates", &body).await.fields(422, "validation"), [field], "{body}");
    }
    let filter = json!({ "filter": { "colour": "red" } });
    let id = rig.get("/templates").await.expect(200)["items"][0]["id"].as_str().unwrap().to_owned();
    let answer = rig.post(&format!("/templates/{id}/assign"), &filter).await;
    assert_eq!(answer.fields(422, "validation"), ["filter.colour"]);
}

#[tokio::test]
async fn the_store_says_later() {
    let rig = Rig::new();
    rig.devices(1);
    rig.store.set_no_space(true);
    let answer = rig.post("/templates", &sample("t")).await;
    answer.problem(503, "store-unavailable");
    assert_eq!(answer.header("retry-after"), "10");
    rig.store.set_no_space(false);
    rig.post("/templates", &sample("t")).await.expect(201);
    rig.store.fail("broken");
    let answer = rig.delete("/devices/00:00:00:00:00:01", "").await;
    answer.problem(503, "store-unavailable");
    assert_eq!(answer.header("retry-after"), "30");
    rig.get("/devices/00:00:00:00:00:01").await.expect(200);
}

#[tokio::test]
async fn answers_are_not_kept_by_anybody() {
    let rig = Rig::new();
    let head = rig.raw(request(Method::HEAD, "/status", &[], &Value::Null)).await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
    for answer in [head, rig.get("/status").await, rig.get("/nothing").await] {
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
}
