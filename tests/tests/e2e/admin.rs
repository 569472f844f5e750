//! The administration door over real TLS.

use callboard_tests::admin::{Admin, problem};
use callboard_tests::server::{Launch, Server};
use callboard_tests::until;
use callboard_tests::wire::Wire;
use serde_json::{Value, json};

const MAC: &str = "00:1a:e8:0a:0b:0c";

#[tokio::test]
async fn without_the_token_nothing_is_shown_and_nothing_happens() {
    let server = Server::new().await;
    let admin = server.admin();
    admin.template("t", 1, &[("sntp-addr", None, "a")]).await;
    let token = std::fs::read_to_string(server.launch.data().join("admin-token")).unwrap();
    let wrong =
        ["", "wrong", &token.trim()[1..], &format!("{}0", token.trim()), &token.trim().to_uppercase()];
    for token in wrong {
        let stranger = admin.with_token(token);
        for (method, path) in
            [("GET", "/devices"), ("GET", "/status"), ("DELETE", "/templates/x"), ("GET", "/nothing")]
        {
            let response = stranger.request(method, path, "", "").await;
            problem(&response, 401, "unauthorized");
            assert_eq!(response.header("www-authenticate"), Some("Bearer"));
        }
    }
    let nobody = Admin::new(server.door("admin"), "");
    let other_scheme = format!("Authorization: Basic {}\r\n", token.trim());
    problem(&nobody.request("GET", "/status", &other_scheme, "").await, 401, "unauthorized");
    let in_query = format!("/status?token={}", token.trim());
    problem(&nobody.request("GET", &in_query, "", "").await, 401, "unauthorized");
    // The document describes the API and holds no data.
    let document = nobody.request("GET", "/openapi.json", "", "").await;
    assert_eq!(document.status, 200);
    assert!(serde_json::from_slice::<Value>(&document.body).unwrap()["paths"]["/api/v1/devices"].is_object());
    assert_eq!(admin.get("/templates").await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_new_token_file_counts_from_the_next_start() {
    let server = Server::new().await;
    let old = server.admin();
    old.get("/status").await;
    let launch = server.stop().await;
    std::fs::write(launch.data().join("admin-token"), "a-token-that-somebody-typed-0123456789\n").unwrap();
    let server = launch.start().await;
    server.admin().get("/status").await;
    let old = server.admin().with_token("the-old-one");
    problem(&old.request("GET", "/status", "", "").await, 401, "unauthorized");
    let launch = server.stop().await;
    std::fs::write(launch.data().join("admin-token"), "short\n").unwrap();
    let refusal = launch.refused().await;
    assert!(refusal.err.contains("at least 32"), "{}", refusal.err);
    assert!(!refusal.err.contains("short\n"), "{}", refusal.err);
}

#[tokio::test]
async fn errors_are_problem_documents_without_effect() {
    let server = Launch::new().set("admin.body_bytes", 4_096).start().await;
    let admin = server.admin();
    let id = admin.template("t", 1, &[("sntp-addr", None, "a")]).await;
    let template = format!("/templates/{id}");
    let before = admin.get(&template).await;
    let good = r#"{"name": "u", "kind": "default", "items": []}"#;
    let cases = [
        ("GET", "/devices/00:1a:e8:ff:ff:ff", "", "", 404, "not-found"),
        ("GET", "/nothing", "", "", 404, "not-found"),
        ("PATCH", "/devices", "", "", 405, "method-not-allowed"),
        ("GET", "/devices?stat=new", "", "", 400, "malformed"),
        ("POST", "/templates", "", "{\"name\": ", 400, "malformed"),
        ("POST", "/templates", "", r#"{"name": "t", "kind": "default", "items": []}"#, 409, "conflict"),
        ("PUT", template.as_str(), "", good, 428, "precondition-required"),
        ("PUT", template.as_str(), "If-Match: \"99\"\r\n", good, 412, "precondition-failed"),
        ("DELETE", template.as_str(), "If-Match: \"99\"\r\n", "", 412, "precondition-failed"),
    ];
    for (method, path, headers, body, status, kind) in cases {
        problem(&admin.request(method, path, headers, body).await, status, kind);
    }
    let huge = format!(r#"{{"name": "{}"}}"#, "x".repeat(5_000));
    problem(&admin.request("POST", "/templates", "", &huge).await, 413, "too-large");
    let wrong =
        json!({"name": "", "kind": "default", "rankin": 3, "items": [{"name": "mac-addr", "value": "x"}]});
    let response = admin.request("POST", "/templates", "", &wrong.to_string()).await;
    let document = problem(&response, 422, "validation");
    assert!(document["errors"].as_array().is_some_and(|errors| !errors.is_empty()), "{document}");
    assert!(document.to_string().contains("rankin"), "the field is named: {document}");
    assert_eq!(admin.get(&template).await, before);
    assert_eq!(admin.get("/templates").await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn writes_take_the_revision_that_was_read() {
    let server = Server::new().await;
    let admin = server.admin();
    let id = admin.template("t", 1, &[("sntp-addr", None, "a")]).await;
    let path = format!("/templates/{id}");
    let shown = admin.request("GET", &path, "", "").await;
    let tag = shown.header("etag").unwrap().to_owned();
    let body = r#"{"name": "t", "kind": "default", "ranking": 5, "items": []}"#;
    let if_match = format!("If-Match: {tag}\r\n");
    let changed = admin.request("PUT", &path, &if_match, body).await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
    problem(&admin.request("PUT", &path, &if_match, body).await, 412, "precondition-failed");
}

/// The next event of a stream: kind and data. `None` at its end.
async fn next_event(wire: &mut Wire, text: &mut String) -> Option<(String, Value)> {
    loop {
        while let Some((frame, rest)) = text.split_once("\n\n") {
            let (frame, rest) = (frame.to_owned(), rest.to_owned());
            *text = rest;
            let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
            if let (Some(kind), Some(data)) = (field("event"), field("data")) {
                return Some((kind.to_owned(), serde_json::from_str(data).unwrap()));
            }
        }
        text.push_str(str::from_utf8(&wire.chunk().await?).unwrap());
    }
}

#[tokio::test]
async fn events_are_told_as_they_happen_until_the_server_drains() {
    let mut server = Server::new().await;
    let admin = server.admin();
    let mut wire = admin.open("GET", "/events/stream?severity=info", "", "").await;
    let head = wire.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.to_lowercase().contains("text/event-stream"), "{head}");
    let streams = || async { (admin.get("/status").await["event_streams"] == 1).then_some(()) };
    until("the stream to be open", streams).await;

    server.phone(MAC).boot().await;
    let mut text = String::new();
    let (kind, data) = next_event(&mut wire, &mut text).await.unwrap();
    assert_eq!((kind.as_str(), &data["device"]), ("device-registered", &json!(MAC)));
    admin.template("t", 1, &[("sntp-addr", None, "a")]).await;
    assert_eq!(next_event(&mut wire, &mut text).await.unwrap().0, "admin-change");
    let (kind, data) = next_event(&mut wire, &mut text).await.unwrap();
    let wanted = "administrator from 127.0.0.1: POST /api/v1/templates, answered 201";
    assert_eq!((kind.as_str(), &data["text"]), ("audit", &json!(wanted)));

    server.terminate();
    let mut kinds = Vec::new();
    while let Some((kind, _)) = next_event(&mut wire, &mut text).await {
        kinds.push(kind);
    }
    // The last chunk came: the stream was ended, not cut.
    assert!(kinds.iter().all(|kind| kind == "node-stopping"), "{kinds:?}");
    assert!(server.wait().await.success());
}

#[tokio::test]
async fn work_given_through_the_api_is_done_at_the_next_contact() {
    let server = Server::new().await;
    let admin = server.admin();
    let mut phone = server.phone(MAC);
    phone.boot().await;
    let write = json!({"type": "write-items", "items": [{"name": "hostname", "value": "lobby"}]});
    admin.post(&format!("/devices/{MAC}/tasks"), &write).await;
    let restart = admin.post(&format!("/devices/{MAC}/tasks"), &json!({"type": "restart"})).await;
    // It survives a kill: what was answered 2xx is on disk.
    let server = server.kill().await.start().await;
    phone.address = server.door("wpi");
    phone.hang_up();
    let answer = phone.start_up().await;
    let answer = phone.obey(&answer).await.unwrap();
    assert_eq!(phone.setting("hostname"), Some("lobby"));
    assert_eq!(answer.action, callboard_codecs::wpi::Action::Restart);
    phone.hang_up();
    assert!(phone.boot().await.last.is_end(), "it is not told to restart twice");
    let admin = server.admin();
    let tasks = admin.get(&format!("/devices/{MAC}/tasks")).await;
    let states: Vec<_> = tasks["items"].as_array().unwrap().iter().map(|task| &task["state"]).collect();
    assert_eq!(states, ["successful", "successful"]);
    let done = admin.events("task-done", MAC).await;
    assert_eq!((done.len(), &done[0]["task"]), (2, &restart["id"]));
}
