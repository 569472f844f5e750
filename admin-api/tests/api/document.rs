//! The `OpenAPI` document: complete, checked in, and shown.

use std::collections::BTreeSet;

use axum::body::Body;
use callboard_admin_api::openapi_document;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::harness::Rig;

const ROUTES: [(&str, &str); 94] = [
    ("DELETE", "/api/v1/devices/{id}"),
    ("DELETE", "/api/v1/devices/{id}/tasks/{task}"),
    ("DELETE", "/api/v1/files/{id}"),
    ("DELETE", "/api/v1/jobs/{id}"),
    ("DELETE", "/api/v1/providers/{id}"),
    ("DELETE", "/api/v1/scans/{id}"),
    ("DELETE", "/api/v1/sip/profiles/{name}"),
    ("DELETE", "/api/v1/sip/realms/{realm}"),
    ("DELETE", "/api/v1/sip/realms/{realm}/credentials/{username}"),
    ("DELETE", "/api/v1/sip/registrations/{aor}"),
    ("DELETE", "/api/v1/sites/{id}"),
    ("DELETE", "/api/v1/snmp/communities/{name}"),
    ("DELETE", "/api/v1/snmp/groups/{name}"),
    ("DELETE", "/api/v1/snmp/receivers/{name}"),
    ("DELETE", "/api/v1/snmp/users/{name}"),
    ("DELETE", "/api/v1/snmp/views/{name}"),
    ("DELETE", "/api/v1/templates/{id}"),
    ("GET", "/api/v1/catalogue"),
    ("GET", "/api/v1/devices"),
    ("GET", "/api/v1/devices/{id}"),
    ("GET", "/api/v1/devices/{id}/items"),
    ("GET", "/api/v1/devices/{id}/reach"),
    ("GET", "/api/v1/devices/{id}/registrations"),
    ("GET", "/api/v1/devices/{id}/tasks"),
    ("GET", "/api/v1/devices/{id}/tasks/{task}"),
    ("GET", "/api/v1/events"),
    ("GET", "/api/v1/events/stream"),
    ("GET", "/api/v1/files"),
    ("GET", "/api/v1/files/{id}"),
    ("GET", "/api/v1/files/{id}/content"),
    ("GET", "/api/v1/jobs"),
    ("GET", "/api/v1/jobs/{id}"),
    ("GET", "/api/v1/jobs/{id}/progress"),
    ("GET", "/api/v1/jobs/{id}/tasks"),
    ("GET", "/api/v1/providers"),
    ("GET", "/api/v1/providers/{id}"),
    ("GET", "/api/v1/scans"),
    ("GET", "/api/v1/scans/{id}"),
    ("GET", "/api/v1/scans/{id}/results"),
    ("GET", "/api/v1/sip/profiles"),
    ("GET", "/api/v1/sip/profiles/preview"),
    ("GET", "/api/v1/sip/profiles/{name}"),
    ("GET", "/api/v1/sip/realms"),
    ("GET", "/api/v1/sip/realms/{realm}"),
    ("GET", "/api/v1/sip/realms/{realm}/credentials"),
    ("GET", "/api/v1/sip/realms/{realm}/credentials/{username}"),
    ("GET", "/api/v1/sip/registrations"),
    ("GET", "/api/v1/sip/registrations/{aor}"),
    ("GET", "/api/v1/sip/subscriptions"),
    ("GET", "/api/v1/sites"),
    ("GET", "/api/v1/sites/{id}"),
    ("GET", "/api/v1/snmp/communities"),
    ("GET", "/api/v1/snmp/communities/{name}"),
    ("GET", "/api/v1/snmp/groups"),
    ("GET", "/api/v1/snmp/groups/{name}"),
    ("GET", "/api/v1/snmp/receivers"),
    ("GET", "/api/v1/snmp/receivers/{name}"),
    ("GET", "/api/v1/snmp/users"),
    ("GET", "/api/v1/snmp/users/{name}"),
    ("GET", "/api/v1/snmp/views"),
    ("GET", "/api/v1/snmp/views/{name}"),
    ("GET", "/api/v1/status"),
    ("GET", "/api/v1/templates"),
    ("GET", "/api/v1/templates/{id}"),
    ("POST", "/api/v1/devices/{id}/check-sync"),
    ("POST", "/api/v1/devices/{id}/contact"),
    ("POST", "/api/v1/devices/{id}/tasks"),
    ("POST", "/api/v1/files"),
    ("POST", "/api/v1/jobs"),
    ("POST", "/api/v1/jobs/{id}/cancel"),
    ("POST", "/api/v1/providers"),
    ("POST", "/api/v1/providers/{id}/files"),
    ("POST", "/api/v1/providers/{id}/scan"),
    ("POST", "/api/v1/scans"),
    ("POST", "/api/v1/sip/realms/{realm}/credentials"),
    ("POST", "/api/v1/sip/registrations/{aor}/check-sync"),
    ("POST", "/api/v1/sites"),
    ("POST", "/api/v1/sites/{id}/token"),
    ("POST", "/api/v1/templates"),
    ("POST", "/api/v1/templates/dry-run"),
    ("POST", "/api/v1/templates/{id}/assign"),
    ("POST", "/api/v1/templates/{id}/unassign"),
    ("PUT", "/api/v1/devices/{id}/secure-mode"),
    ("PUT", "/api/v1/devices/{id}/templates"),
    ("PUT", "/api/v1/providers/{id}"),
    ("PUT", "/api/v1/sip/profiles/{name}"),
    ("PUT", "/api/v1/sip/realms/{realm}"),
    ("PUT", "/api/v1/sip/realms/{realm}/credentials/{username}"),
    ("PUT", "/api/v1/snmp/communities/{name}"),
    ("PUT", "/api/v1/snmp/groups/{name}"),
    ("PUT", "/api/v1/snmp/receivers/{name}"),
    ("PUT", "/api/v1/snmp/users/{name}"),
    ("PUT", "/api/v1/snmp/views/{name}"),
    ("PUT", "/api/v1/templates/{id}"),
];

fn document() -> Value {
    serde_json::to_value(openapi_document()).unwrap()
}

fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let operations = |(path, item): (&String, &Value)| {
        let item = item.as_object().unwrap().clone();
        let path = path.clone();
        item.into_iter().map(move |(method, operation)| (method.to_uppercase(), path.clone(), operation))
    };
    paths.iter().flat_map(operations).collect()
}

/// `CALLBOARD_BLESS=1` writes the file instead.
#[test]
fn the_file_is_what_the_server_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let mut generated = openapi_document().to_pretty_json().unwrap();
    generated.push('\n');
    if std::env::var_os("CALLBOARD_BLESS").is_some() {
        std::fs::write(path, &generated).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == generated, "openapi.json is out of date: run this test with CALLBOARD_BLESS=1");
}

#[test]
fn every_route_is_described() {
    let document = document();
    let found: BTreeSet<_> =
        operations(&document).into_iter().map(|(method, path, _)| (method, path)).collect();
    let wanted = ROUTES.into_iter();
    assert_eq!(found, wanted.map(|(method, path)| (method.to_owned(), path.to_owned())).collect());
    let names: BTreeSet<_> =
        operations(&document).iter().map(|found| found.2["operationId"].to_string()).collect();
    assert_eq!(names.len(), ROUTES.len(), "{names:?}");
    let manual = include_str!("../../../docs/api.md");
    for (method, path, operation) in operations(&document) {
        let short = path.strip_prefix("/api/v1").unwrap();
        let row =
            manual.lines().find(|line| line.starts_with("| ") && line.contains(&format!("`{short}` |")));
        assert!(row.is_some_and(|row| row.contains(&method)), "docs/api.md lacks {method} {short}");
        assert!(operation["summary"].is_string(), "{method} {path} has no summary");
        assert!(operation["responses"]["default"].is_object(), "{method} {path} has no error form");
    }
}

#[tokio::test]
async fn every_described_route_is_there() {
    let rig = Rig::new();
    for (method, path, _) in operations(&document()) {
        let path = path.strip_prefix("/api/v1").unwrap().replace("{task}", "1");
        let path = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
        let path = path.collect::<Vec<_>>().join("/");
        let answer = rig.ask(Method::from_bytes(method.as_bytes()).unwrap(), &path, &[], &json!({})).await;
        let detail = if answer.status.is_success() { Value::Null } else { answer.json()["detail"].clone() };
        let nowhere = detail.as_str().is_some_and(|detail| detail.contains("no such route"));
        assert!(!nowhere && answer.status != 405, "{method} {path}: {answer:?}");
    }
}

#[test]
fn references_lead_somewhere() {
    let document = document();
    let text = document.to_string();
    let mut count = 0;
    for piece in text.split("\"#/components/schemas/").skip(1) {
        let name = piece.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "no schema {name}");
        count += 1;
    }
    assert!(count > 20, "{count}");
    assert!(document["components"]["securitySchemes"]["token"].is_object());
}

#[tokio::test]
async fn the_document_and_its_viewer_are_public() {
    let rig = Rig::new();
    let get = |path: &str| rig.raw(Request::get(path).body(Body::empty()).unwrap());
    let served = get("/api/v1/openapi.json").await;
    assert_eq!(served.header("content-type"), "application/json");
    assert_eq!(served.expect(200), document());
    let viewer = get("/api/v1/docs/").await;
    assert_eq!(viewer.status, 200);
    assert!(viewer.text.contains("swagger-ui"), "{}", viewer.text);
    let setup = get("/api/v1/docs/swagger-initializer.js").await;
    assert!(setup.text.contains("/api/v1/openapi.json"), "{}", setup.text);
    assert!(!setup.text.contains("petstore"));
    assert_eq!(get("/api/v1/docs").await.status, 303);
    get("/api/v1/docs/nothing.js").await.problem(404, "not-found");
    let delete = Request::delete("/api/v1/openapi.json").body(Body::empty()).unwrap();
    let answer = rig.raw(delete).await;
    answer.problem(405, "method-not-allowed");
    assert_eq!(answer.header("allow"), "GET,HEAD");
}
