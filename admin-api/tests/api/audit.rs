//! Who asked for what, and whether the record of it is durable.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use callboard_admin_api::{ApiSettings, Client};
use callboard_core::event::{AuditBarrier, AuditError, Event, EventKind, Settling, Severity, Tap};
use callboard_core::store::{CommitError, SubmitError};
use http::header::AUTHORIZATION;
use http::{Method, Request};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::bounds::futures_now;
use crate::harness::{Answer, Rig, request, settings};
use crate::templates::sample;

/// A request that comes from somewhere.
fn from(address: &str, mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(Client(address.parse().unwrap()));
    request
}

/// The events of a kind, oldest first.
fn events(rig: &Rig, kind: EventKind) -> Vec<Event> {
    let mut found = rig.service.events.recent(None, 1_000, |event| event.kind == kind);
    found.reverse();
    found
}

fn audits(rig: &Rig) -> Vec<String> {
    events(rig, EventKind::Audit).into_iter().map(|event| event.text).collect()
}

#[tokio::test]
async fn each_change_leaves_a_record_of_who_asked_from_where_for_what() {
    let rig = Rig::new();
    let wish = request(Method::POST, "/templates", &[], &sample("t"));
    let made = rig.raw(from("192.0.2.7", wish)).await.expect(201);
    let path = format!("/templates/{}", made["id"].as_str().unwrap());
    let forget = request(Method::DELETE, &path, &[("if-match", "\"1\"")], &Value::Null);
    rig.raw(from("2001:db8::7", forget)).await.expect(204);
    let realm = rig.put("/sip/realms/My%20Company?x=y", "", &json!({ "domains": [] })).await;
    realm.expect(201);
    assert_eq!(
        audits(&rig),
        [
            "administrator from 192.0.2.7: POST /api/v1/templates, answered 201".to_owned(),
            format!("administrator from 2001:db8::7: DELETE /api/v1{path}, answered 204"),
            "administrator from an unknown address: PUT /api/v1/sip/realms/My%20Company, answered 201".into(),
        ]
    );
    let record = &rig.get("/events?kind=audit&limit=1").await.expect(200)["items"][0];
    assert_eq!((&record["severity"], &record["device"]), (&json!("info"), &Value::Null));
}

#[tokio::test]
async fn what_changes_nothing_leaves_no_record() {
    let rig = Rig::new();
    rig.get("/status").await.expect(200);
    rig.ask(Method::HEAD, "/status", &[], &Value::Null).await.expect(200);
    rig.post("/templates", &json!({ "name": 7 })).await.problem(422, "validation");
    rig.delete("/sites/000000000001", "\"1\"").await.problem(404, "not-found");
    rig.ask(Method::PATCH, "/status", &[], &Value::Null).await.problem(405, "method-not-allowed");
    rig.post("/nowhere", &json!({})).await.problem(404, "not-found");
    assert_eq!(audits(&rig), [] as [&str; 0]);
}

#[tokio::test]
async fn a_download_leaves_a_record() {
    let rig = Rig::new();
    let headers = [("content-type", "application/octet-stream")];
    let mut bring = request(Method::POST, "/files?name=bell.wav&kind=ringtone", &headers, &Value::Null);
    *bring.body_mut() = Body::from("ding");
    let made = rig.raw(bring).await.expect(201);
    let path = format!("/files/{}", made["id"].as_str().unwrap());
    rig.get(&path).await.expect(200);
    rig.ask(Method::HEAD, &format!("{path}/content"), &[], &Value::Null).await;
    assert_eq!(audits(&rig).len(), 1, "only the upload");
    assert_eq!(rig.get(&format!("{path}/content")).await.text, "ding");
    let wanted = format!("administrator from an unknown address: GET /api/v1{path}/content, answered 200");
    assert_eq!(audits(&rig)[1], wanted);
    rig.get("/files/000000000001/content").await.problem(404, "not-found");
    assert_eq!(audits(&rig).len(), 2);
}

#[tokio::test]
async fn a_change_that_failed_here_may_have_been_made_and_is_told() {
    let rig = Rig::new();
    rig.store.set_no_space(true);
    rig.post("/templates", &sample("t")).await.problem(503, "store-unavailable");
    let wanted = ["administrator from an unknown address: POST /api/v1/templates, answered 503"];
    assert_eq!(audits(&rig), wanted);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_nobody_waits_for_any_more_is_told() {
    let limit = Duration::from_secs(3);
    let rig = Rig::with(settings(), ApiSettings { request_timeout: limit, ..ApiSettings::default() });
    rig.store.hold();
    rig.post("/templates", &sample("t")).await.problem(503, "timeout");
    let realm = json!({ "domains": [] });
    {
        let leaves = rig.put("/sip/realms/r", "", &realm);
        tokio::pin!(leaves);
        assert!(futures_now(&mut leaves).await.is_none());
    }
    let wanted = ["POST /api/v1/templates", "PUT /api/v1/sip/realms/r"];
    let wanted = wanted.map(|what| format!("administrator from an unknown address: {what}, not answered"));
    assert_eq!(audits(&rig), wanted);
}

#[tokio::test]
async fn failed_logins_are_told_once_and_counted_without_the_token() {
    let rig = Rig::new();
    let attempt = |token: &str| {
        let request = Request::get("/api/v1/status").header(AUTHORIZATION, format!("Bearer {token}"));
        from("198.51.100.9", request.body(Body::empty()).unwrap())
    };
    for token in ["wrong-token-one", "wrong-token-two", "wrong-token-three"] {
        rig.raw(attempt(token)).await.problem(401, "unauthorized");
    }
    let bare = Request::delete("/api/v1/nowhere").body(Body::empty()).unwrap();
    rig.raw(from("198.51.100.9", bare)).await.problem(401, "unauthorized");
    rig.raw(attempt(crate::harness::TOKEN)).await.expect(200);
    let told = events(&rig, EventKind::LoginFailed);
    let told: Vec<_> = told.iter().map(|event| (&*event.text, event.repeated)).collect();
    assert_eq!(told, [("wrong token from 198.51.100.9", 2), ("no token from 198.51.100.9", 0)]);
    assert_eq!(EventKind::LoginFailed.severity(), Severity::Warning);
    assert_eq!(audits(&rig), [] as [&str; 0], "who is not known asks for nothing");
}

/// How far events are durable.
#[derive(Clone, Debug)]
struct Durable {
    up_to: u64,
    failed: bool,
}

/// Makes events durable when a test says so.
struct Spool {
    newest: watch::Sender<u64>,
    durable: watch::Sender<Durable>,
}

impl Spool {
    fn put(rig: &Rig) -> Arc<Self> {
        let durable = watch::Sender::new(Durable { up_to: 0, failed: false });
        let spool = Arc::new(Self { newest: watch::Sender::new(0), durable });
        rig.service.events.set_tap(spool.clone());
        rig.service.set_audit_barrier(spool.clone());
        spool
    }

    fn sync(&self) {
        let up_to = *self.newest.borrow();
        self.durable.send_modify(|durable| durable.up_to = up_to);
    }

    fn fail(&self) {
        self.durable.send_modify(|durable| durable.failed = true);
    }
}

impl Tap for Spool {
    fn recorded(&self, event: &Event) {
        self.newest.send_replace(event.id);
    }
}

impl AuditBarrier for Spool {
    fn settled(&self) -> Option<Settling> {
        let (newest, mut durable) = (*self.newest.borrow(), self.durable.subscribe());
        if durable.borrow().up_to >= newest {
            return None;
        }
        Some(Box::pin(async move {
            let stopped = AuditError::Submit(SubmitError::Stopped);
            let done = durable.wait_for(|durable| durable.failed || durable.up_to >= newest).await;
            let done = done.map_err(|_| stopped)?;
            if done.up_to >= newest { Ok(()) } else { Err(CommitError::NoSpace.into()) }
        }))
    }
}

#[tokio::test]
async fn the_record_is_durable_before_the_answer_leaves() {
    let rig = Rig::new();
    let spool = Spool::put(&rig);
    let template = sample("t");
    let wish = rig.post("/templates", &template);
    tokio::pin!(wish);
    assert!(futures_now(&mut wish).await.is_none());
    assert_eq!((audits(&rig).len(), rig.store.len()), (1, 1), "done and recorded, but not answered");
    rig.get("/status").await.expect(200);
    spool.sync();
    wish.await.expect(201);
}

#[tokio::test]
async fn a_record_that_is_not_durable_is_confessed() {
    let rig = Rig::new();
    let spool = Spool::put(&rig);
    spool.fail();
    let detail = |answer: &Answer| {
        let problem = answer.problem(503, "audit-not-durable");
        problem["detail"].as_str().unwrap().to_owned()
    };
    let changed = detail(&rig.post("/templates", &sample("t")).await);
    assert!(changed.starts_with("the change was made, but"), "{changed}");
    assert!(changed.contains("nearly full"), "{changed}");
    assert_eq!(rig.get("/templates").await.expect(200)["items"][0]["name"], "t");
    // What was refused or failed by itself says why.
    rig.post("/templates", &json!({ "name": 7 })).await.problem(422, "validation");
    rig.store.set_no_space(true);
    rig.post("/templates", &sample("u")).await.problem(503, "store-unavailable");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_for_a_record() {
    let limit = Duration::from_secs(3);
    let rig = Rig::with(settings(), ApiSettings { request_timeout: limit, ..ApiSettings::default() });
    let _spool = Spool::put(&rig);
    let answer = rig.post("/templates", &sample("t")).await;
    let problem = answer.problem(503, "timeout");
    assert!(problem["detail"].as_str().unwrap().contains("may have been made"), "{problem}");
    assert_eq!(audits(&rig).len(), 1, "told once");
}
