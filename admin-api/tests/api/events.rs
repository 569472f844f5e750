//! The history of events and the live feed.

use axum::body::Body;
use callboard_admin_api::ApiSettings;
use callboard_core::event::{EventDraft, EventKind};
use callboard_core::service::Settings;
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::harness::{Rig, request, settings};

/// An open event stream.
struct Stream {
    body: Body,
    text: String,
}

impl Stream {
    async fn open(rig: &Rig, path: &str, headers: &[(&str, &str)]) -> Self {
        let response =
            rig.router.clone().oneshot(request(Method::GET, path, headers, &Value::Null)).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body(), text: String::new() }
    }

    /// The next event: id, kind and data. `None` at the end.
    async fn next(&mut self) -> Option<(String, String, Value)> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let mut lines = block.lines();
                    lines.find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
                };
                let (id, kind, data) = (field("id:"), field("event:"), field("data:"));
                let rest = rest.to_owned();
                self.text = rest;
                if !data.is_empty() {
                    return Some((id, kind, serde_json::from_str(&data).unwrap()));
                }
                continue;
            }
            let frame = self.body.frame().await?.unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&frame).unwrap());
        }
    }

    async fn ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.next().await.unwrap().0);
        }
        ids
    }
}

fn happen(rig: &Rig, count: usize) {
    for n in 0..count {
        rig.service.record(EventDraft::node(EventKind::AdminChange, n.to_string()));
    }
}

#[tokio::test]
async fn history_goes_backwards_page_by_page() {
    let rig = Rig::new();
    happen(&rig, 5);
    let first = rig.get("/events?limit=2").await.expect(200);
    let ids =
        |page: &Value| page["items"].as_array().unwrap().iter().map(|e| e["id"].clone()).collect::<Vec<_>>();
    assert_eq!((ids(&first), &first["next"]), (vec![json!(5), json!(4)], &json!("4")));
    let rest = rig.get("/events?limit=3&before=4").await.expect(200);
    assert_eq!((ids(&rest), &rest["next"]), (vec![json!(3), json!(2), json!(1)], &Value::Null));
}

#[tokio::test]
async fn history_is_filtered() {
    let rig = Rig::new();
    let device = rig.device("00:00:00:00:00:01", &[]);
    happen(&rig, 1);
    rig.service.record(EventDraft::about(&device.id, EventKind::TanFailure, "x"));
    rig.service.record(EventDraft::about(&device.id, EventKind::ItemsRefused, "y"));
    for (query, wanted) in [
        ("kind=admin-change", vec!["0"]),
        ("severity=warning", vec!["y", "x"]),
        ("severity=error", vec!["x"]),
        ("device=00-00-00-00-00-01", vec!["y", "x"]),
        ("device=nobody", vec![]),
    ] {
        let page = rig.get(&format!("/events?{query}")).await.expect(200);
        let texts: Vec<_> = page["items"].as_array().unwrap().iter().map(|e| e["text"].clone()).collect();
        assert_eq!(texts, wanted, "{query}");
    }
}

#[tokio::test]
async fn changes_are_told_as_they_happen() {
    let rig = Rig::new();
    rig.devices(1);
    happen(&rig, 3);
    let mut stream = Stream::open(&rig, "/events/stream", &[]).await;
    rig.post("/devices/00:00:00:00:00:01/tasks", &json!({ "type": "read-all" })).await.expect(201);
    let (id, kind, data) = stream.next().await.unwrap();
    assert_eq!((id.as_str(), kind.as_str()), ("4", "admin-change"));
    assert_eq!((&data["device"], &data["severity"]), (&json!("00:00:00:00:00:01"), &json!("info")));
    assert_eq!(data, rig.get("/events?limit=1").await.expect(200)["items"][0]);
}

#[tokio::test]
async fn a_reader_goes_on_where_it_was() {
    let rig = Rig::new();
    happen(&rig, 70);
    let mut stream = Stream::open(&rig, "/events/stream", &[("last-event-id", "3")]).await;
    let ids = stream.ids(67).await;
    assert_eq!((ids[0].as_str(), ids[66].as_str()), ("4", "70"));
    happen(&rig, 1);
    assert_eq!(stream.ids(1).await, ["71"]);
}

#[tokio::test]
async fn what_is_lost_is_told() {
    let rig = Rig::with(Settings { events: 10, ..settings() }, ApiSettings::default());
    happen(&rig, 30);
    let mut stream = Stream::open(&rig, "/events/stream", &[("last-event-id", "5")]).await;
    let (id, kind, data) = stream.next().await.unwrap();
    assert_eq!((id.as_str(), kind.as_str(), data), ("", "lagged", json!({ "missed": 15 })));
    assert_eq!(stream.ids(10).await.last().unwrap(), "30");
    // Far more than wait for a reader: it is slow, and loses some.
    happen(&rig, 5_000);
    let mut missed = 0;
    loop {
        let (id, kind, data) = stream.next().await.unwrap();
        if kind == "lagged" {
            missed += data["missed"].as_u64().unwrap();
        }
        if id == "5030" {
            break;
        }
    }
    assert!(missed > 4_000, "{missed}");
}

#[tokio::test]
async fn numbers_of_another_process_start_over() {
    let rig = Rig::new();
    happen(&rig, 2);
    let mut stream = Stream::open(&rig, "/events/stream", &[("last-event-id", "4711")]).await;
    let (_, kind, data) = stream.next().await.unwrap();
    assert_eq!((kind.as_str(), data), ("lagged", json!({ "missed": null })));
    assert_eq!(stream.ids(2).await, ["1", "2"]);
    let wrong = rig.ask(Method::GET, "/events/stream", &[("last-event-id", "x")], &Value::Null).await;
    assert_eq!(wrong.fields(400, "malformed"), ["Last-Event-ID"]);
}

#[tokio::test]
async fn a_stream_can_be_filtered() {
    let rig = Rig::new();
    let device = rig.device("00:00:00:00:00:01", &[]);
    let mut stream = Stream::open(&rig, "/events/stream?severity=error&device=00:00:00:00:00:01", &[]).await;
    happen(&rig, 2);
    rig.service.record(EventDraft::about(&device.id, EventKind::ItemsRefused, "y"));
    rig.service.record(EventDraft::about(&device.id, EventKind::TanFailure, "x"));
    assert_eq!(stream.next().await.unwrap().0, "4");
}

#[tokio::test]
async fn streams_are_few_and_end() {
    let rig = Rig::with(settings(), ApiSettings { event_streams: 1, ..ApiSettings::default() });
    let stream = Stream::open(&rig, "/events/stream", &[]).await;
    let second = rig.get("/events/stream").await;
    second.problem(503, "busy");
    assert_eq!(second.header("retry-after"), "15");
    assert_eq!(rig.get("/status").await.expect(200)["event_streams"], 1);
    // A reader that goes away leaves its place.
    drop(stream);
    let mut stream = loop {
        let request = request(Method::GET, "/events/stream", &[], &Value::Null);
        let response = rig.router.clone().oneshot(request).await.unwrap();
        if response.status() == 200 {
            break Stream { body: response.into_body(), text: String::new() };
        }
        tokio::task::yield_now().await;
    };
    // And a node that stops ends what is open.
    happen(&rig, 1);
    assert!(stream.next().await.is_some());
    rig.node.draining.send_replace(true);
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_by_comments() {
    let rig = Rig::new();
    let mut stream = Stream::open(&rig, "/events/stream", &[]).await;
    let begun = tokio::time::Instant::now();
    let frame = stream.body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(frame.starts_with(b":"), "{frame:?}");
    assert_eq!(begun.elapsed().as_secs(), 15);
}
