//! Files and storage providers.

use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::harness::{Answer, Rig, TOKEN};

async fn upload(rig: &Rig, query: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::post(format!("/api/v1/files?{query}"));
    request = request.header("authorization", format!("Bearer {TOKEN}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    rig.raw(request.body(Body::from(body.to_owned())).unwrap()).await
}

fn http(name: &str) -> Value {
    json!({ "name": name, "type": "http", "url": "https://files.example.net/", "username": "u", "password": "hunter2" })
}

#[tokio::test]
async fn a_file_comes_is_shown_and_goes() {
    let rig = Rig::new();
    let answer =
        upload(&rig, "name=bell.wav&kind=ringtone", &[("content-type", "audio/x-wav")], "ding dong").await;
    let made = answer.expect(201);
    let id = made["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/api/v1/files/{id}"));
    assert_eq!(
        (&made["size"], &made["kind"], &made["firmware"]),
        (&json!(9), &json!("ringtone"), &Value::Null)
    );
    assert_eq!(
        (made["uploaded_by"].as_str(), made["sha256"].as_str().map(str::len)),
        (Some("administrator"), Some(64))
    );
    let path = made["path"].as_str().unwrap();
    assert!(path.starts_with("/files/") && path.ends_with("/bell.wav") && path.len() == 48, "{path}");
    let got = rig.get(&format!("/files/{id}")).await;
    assert_eq!((got.header("etag"), got.expect(200)), ("\"1\"", made.clone()));
    let content = rig.get(&format!("/files/{id}/content")).await;
    assert_eq!((content.status.as_u16(), content.text.as_str()), (200, "ding dong"));
    assert_eq!(content.header("content-length"), "9");
    assert_eq!(content.header("content-disposition"), "attachment; filename=\"bell.wav\"");
    let listed = rig.get("/files").await.expect(200);
    assert_eq!(listed["items"][0]["id"], made["id"]);
    assert_eq!(listed["items"][0]["path"], Value::Null, "paths are shown one by one");

    rig.delete(&format!("/files/{id}"), "").await.problem(428, "precondition-required");
    rig.delete(&format!("/files/{id}"), "\"2\"").await.problem(412, "precondition-failed");
    rig.service.files.hold(id.parse().unwrap()).unwrap();
    rig.delete(&format!("/files/{id}"), "\"1\"").await.problem(409, "conflict");
    rig.service.files.release(id.parse().unwrap());
    rig.delete(&format!("/files/{id}"), "\"1\"").await.expect(204);
    rig.get(&format!("/files/{id}")).await.problem(404, "not-found");
}

#[tokio::test]
async fn what_is_no_plain_file_is_refused() {
    let rig = Rig::new();
    for headers in [
        ("content-encoding", "gzip"),
        ("content-encoding", "identity"),
        ("content-type", "multipart/form-data; boundary=x"),
        ("content-type", "application/x-www-form-urlencoded"),
    ] {
        let refused = upload(&rig, "name=a&kind=logo", &[headers], "x").await;
        refused.problem(415, "unsupported-media-type");
    }
    for name in ["..", "a%2Fb", ".a", "a%20b", "%00", ""] {
        let refused = upload(&rig, &format!("name={name}&kind=logo"), &[], "x").await;
        assert_eq!(refused.fields(422, "validation"), ["name"], "{name}");
    }
    for query in ["name=a", "kind=logo", "name=a&kind=movie", "name=a&kind=logo&x=1"] {
        upload(&rig, query, &[], "x").await.problem(400, "malformed");
    }
    upload(&rig, "name=a&kind=logo", &[], &"x".repeat(101)).await.problem(413, "too-large");
    upload(&rig, "name=a&kind=logo", &[], "x").await.expect(201);
    upload(&rig, "name=a&kind=logo", &[], "x").await.problem(409, "conflict");
    upload(&rig, "name=a&kind=picture", &[], "x").await.expect(201);
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let rig = Rig::new();
    for (name, kind) in [("Bell.wav", "ringtone"), ("door.wav", "ringtone"), ("bell.png", "logo")] {
        upload(&rig, &format!("name={name}&kind={kind}"), &[], "x").await.expect(201);
    }
    let names = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap().iter();
        items.map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&rig.get("/files?name=bell").await.expect(200)), ["Bell.wav", "bell.png"]);
    assert_eq!(names(&rig.get("/files?name=BELL&kind=logo").await.expect(200)), ["bell.png"]);
    let first = rig.get("/files?limit=2").await.expect(200);
    let next = first["next"].as_str().unwrap();
    let second = rig.get(&format!("/files?limit=2&cursor={next}")).await.expect(200);
    assert_eq!(
        (names(&first).len(), names(&second), &second["next"]),
        (2, vec!["bell.png".to_owned()], &Value::Null)
    );
    rig.get("/files?cursor=x").await.problem(400, "malformed");
    rig.get("/files?kind=movie").await.problem(400, "malformed");
}

#[tokio::test]
async fn a_provider_hides_its_secret_and_keeps_it_for_its_own_address_only() {
    let rig = Rig::new();
    let answer = rig.post("/providers", &http("p")).await;
    let made = answer.expect(201);
    let path = format!("/providers/{}", made["id"].as_str().unwrap());
    assert_eq!(answer.header("location"), format!("/api/v1{path}"));
    assert_eq!((&made["has_secret"], &made["username"]), (&json!(true), &json!("u")));
    assert!(!answer.text.contains("hunter2") && !answer.text.contains("\"password\""), "{}", answer.text);
    let without = |url: &str| json!({ "name": "p", "type": "http", "url": url, "username": "u" });
    rig.put(&path, "", &without("https://files.example.net/")).await.problem(428, "precondition-required");
    let kept = rig.put(&path, "\"1\"", &without("https://files.example.net/")).await.expect(200);
    assert_eq!((&kept["has_secret"], &kept["revision"]), (&json!(true), &json!(2)));
    let moved = rig.put(&path, "*", &without("https://evil.example.net/")).await.expect(200);
    assert_eq!(moved["has_secret"], false, "a secret does not follow to another address");
    rig.put(&path, "\"1\"", &http("p")).await.problem(412, "precondition-failed");
    rig.post("/providers", &http("p")).await.problem(409, "conflict");
    rig.delete(&path, "\"3\"").await.expect(204);
    assert_eq!(rig.get("/providers").await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn fields_of_providers_are_checked() {
    let rig = Rig::new();
    let with = |field: &str, value: Value| {
        let mut body = http("p");
        body[field] = value;
        body
    };
    for (field, value) in [
        ("url", json!("http://127.0.0.1/")),
        ("bucket", json!("b")),
        ("secret", json!("s")),
        ("username", json!("a:b")),
        ("name", json!("")),
    ] {
        let refused = rig.post("/providers", &with(field, value)).await;
        assert_eq!(refused.fields(422, "validation"), [field]);
    }
    let s3 = json!({ "name": "s", "type": "s3", "url": "https://s3.example.net", "access_key": "k" });
    assert_eq!(rig.post("/providers", &s3).await.fields(422, "validation"), ["bucket", "access_key"]);
    let s3 = json!({ "name": "s", "type": "s3", "url": "https://s3.example.net", "bucket": "b", "access_key": "k", "secret": "s" });
    let made = rig.post("/providers", &s3).await.expect(201);
    assert_eq!(
        (&made["region"], &made["has_secret"], &made["type"]),
        (&json!("us-east-1"), &json!(true), &json!("s3"))
    );
}

#[tokio::test]
async fn files_of_a_provider_are_found_and_registered() {
    let rig = Rig::new();
    let made = rig.post("/providers", &http("p")).await.expect(201);
    let path = format!("/providers/{}", made["id"].as_str().unwrap());
    let scan = rig.post(&format!("{path}/scan"), &json!({})).await.expect(200);
    assert_eq!((&scan["found"], &scan["usable"], &scan["truncated"]), (&json!(2), &json!(1), &json!(false)));
    let wish = json!({ "path": "a/bell.wav", "kind": "ringtone" });
    let file = rig.post(&format!("{path}/files"), &wish).await.expect(201);
    assert_eq!(
        (&file["name"], &file["provider"], &file["sha256"]),
        (&json!("bell.wav"), &made["id"], &Value::Null)
    );
    assert_eq!((&file["provider_name"], &file["provider_path"]), (&json!("p"), &json!("a/bell.wav")));
    rig.post(&format!("{path}/files"), &wish).await.problem(409, "conflict");
    let bad = json!({ "path": "a b", "kind": "ringtone" });
    assert_eq!(rig.post(&format!("{path}/files"), &bad).await.fields(422, "validation"), ["name"]);
    rig.delete(&path, "*").await.problem(409, "conflict");
    assert_eq!(rig.get(&path).await.expect(200)["file_count"], 1);
    let content = format!("/files/{}/content", file["id"].as_str().unwrap());
    rig.get(&content).await.problem(502, "provider-failed");
    rig.ask(Method::POST, "/providers/000000000000/scan", &[], &Value::Null).await.problem(404, "not-found");
}
