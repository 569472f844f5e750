//! The history of events and the live feed.

use axum::body::Body;
use callboard_admin_api::ApiSettings;
use callboard_core::device::TaskId;
use callboard_core::event::{EventDraft, EventKind, EventLimits};
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

/// The id of the process's n-th event.
fn id(rig: &Rig, n: u64) -> u64 {
    rig.service.events.start() + n
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
    let ids = |page: &Value| {
        let number = |event: &Value| event["id"].as_u64().unwrap() - id(&rig, 0);
        page["items"].as_array().unwrap().iter().map(number).collect::<Vec<_>>()
    };
    let next = id(&rig, 4).to_string();
    assert_eq!((ids(&first), &first["next"]), (vec![5, 4], &json!(next)));
    let rest = rig.get(&format!("/events?limit=3&before={next}")).await.expect(200);
    assert_eq!((ids(&rest), &rest["next"]), (vec![3, 2, 1], &Value::Null));
}

#[tokio::test]
async fn history_is_filtered() {
    let rig = Rig::new();
    let device = rig.device("00:00:00:00:00:01", &[]);
    happen(&rig, 1);
    rig.service.record(EventDraft::about(&device.id, EventKind::TanFailure, "x"));
    rig.service.record(EventDraft::about(&device.id, EventKind::ItemsRefused, "y"));
    rig.service.record(EventDraft::about(&device.id, EventKind::TaskDone, "z").of_task(TaskId(7)));
    for (query, wanted) in [
        ("kind=admin-change", vec!["0"]),
        ("severity=warning", vec!["y", "x"]),
        ("severity=error", vec!["x"]),
        ("device=00-00-00-00-00-01", vec!["z", "y", "x"]),
        ("device=00-00-00-00-00-01&task=7", vec!["z"]),
        ("task=8", vec![]),
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
    let (number, kind, data) = stream.next().await.unwrap();
    assert_eq!((number, kind.as_str()), (id(&rig, 4).to_string(), "admin-change"));
    assert_eq!((&data["device"], &data["severity"]), (&json!("00:00:00:00:00:01"), &json!("info")));
    let task = &rig.get("/devices/00:00:00:00:00:01/tasks").await.expect(200)["items"][0]["id"];
    assert_eq!((&data["task"], &data["repeated"]), (task, &json!(0)));
    assert_eq!(data, rig.get("/events?limit=1&kind=admin-change").await.expect(200)["items"][0]);
}

#[tokio::test]
async fn a_reader_goes_on_where_it_was() {
    let rig = Rig::new();
    happen(&rig, 70);
    let mut stream =
        Stream::open(&rig, "/events/stream", &[("last-event-id", &id(&rig, 3).to_string())]).await;
    let ids = stream.ids(67).await;
    assert_eq!((&ids[0], &ids[66]), (&id(&rig, 4).to_string(), &id(&rig, 70).to_string()));
    happen(&rig, 1);
    assert_eq!(stream.ids(1).await, [id(&rig, 71).to_string()]);
}

#[tokio::test]
async fn what_is_lost_is_told() {
    let rig = Rig::with(
        Settings { events: EventLimits { administration: 10, ..EventLimits::default() }, ..settings() },
        ApiSettings::default(),
    );
    happen(&rig, 30);
    let mut stream =
        Stream::open(&rig, "/events/stream", &[("last-event-id", &id(&rig, 5).to_string())]).await;
    let (number, kind, data) = stream.next().await.unwrap();
    assert_eq!(
        (&number, kind.as_str(), data),
        (&id(&rig, 20).to_string(), "lagged", json!({ "missed": 15 }))
    );
    // Who comes back with that is not told again, even if no event behind the gap was wanted.
    let mut again = Stream::open(&rig, "/events/stream", &[("last-event-id", &number)]).await;
    assert_eq!(again.ids(1).await, [id(&rig, 21).to_string()]);
    assert_eq!(*stream.ids(10).await.last().unwrap(), id(&rig, 30).to_string());
    // Far more than wait for a reader: it is slow, and loses some.
    happen(&rig, 5_000);
    let mut missed = 0;
    loop {
        let (number, kind, data) = stream.next().await.unwrap();
        if kind == "lagged" {
            missed += data["missed"].as_u64().unwrap();
        }
        if number == id(&rig, 5_030).to_string() {
            break;
        }
    }
    assert!(missed > 4_000, "{missed}");
}

#[tokio::test]
async fn a_reader_from_before_a_restart_gets_all_of_this_process() {
    let rig = Rig::new();
    happen(&rig, 2);
    // Of the process before, and of one whose clock was ahead.
    for last in [id(&rig, 0) - 1_000, id(&rig, 1_000)] {
        let mut stream = Stream::open(&rig, "/events/stream", &[("last-event-id", &last.to_string())]).await;
        let (number, kind, data) = stream.next().await.unwrap();
        assert_eq!((number, kind.as_str()), (id(&rig, 0).to_string(), "lagged"));
        assert_eq!(data, json!({ "missed": null }));
        assert_eq!(stream.ids(2).await, [id(&rig, 1).to_string(), id(&rig, 2).to_string()]);
    }
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
    assert_eq!(stream.next().await.unwrap().0, id(&rig, 4).to_string());
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
