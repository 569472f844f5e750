//! What happens at the bounds: body, time, requests at once.

use std::time::Duration;

use callboard_admin_api::ApiSettings;
use callboard_core::sip::trust::Trust;
use serde_json::json;

use crate::harness::{Rig, settings};
use crate::sip::register;
use crate::templates::sample;

#[tokio::test]
async fn long_bodies_are_refused() {
    let rig = Rig::with(settings(), ApiSettings { body_bytes: 400, ..ApiSettings::default() });
    rig.post("/templates", &sample("t")).await.expect(201);
    rig.post("/templates", &sample(&"x".repeat(300))).await.problem(413, "too-large");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_too_long_is_given_up() {
    let limit = Duration::from_secs(3);
    let rig = Rig::with(settings(), ApiSettings { request_timeout: limit, ..ApiSettings::default() });
    rig.store.hold();
    let answer = rig.post("/templates", &sample("t")).await;
    let problem = answer.problem(503, "timeout");
    assert!(problem["detail"].as_str().unwrap().contains("may have been made"), "{problem}");
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn acknowledged_is_durable() {
    let rig = Rig::new();
    rig.store.hold();
    let template = sample("t");
    let wish = rig.post("/templates", &template);
    tokio::pin!(wish);
    assert!(futures_now(&mut wish).await.is_none());
    assert_eq!(rig.store.len(), 0);
    rig.store.release();
    wish.await.expect(201);
    assert_eq!(rig.store.len(), 1);
}

#[tokio::test]
async fn one_request_too_many_is_told_to_come_later() {
    let rig = Rig::with(settings(), ApiSettings { concurrent_requests: 1, ..ApiSettings::default() });
    rig.devices(1);
    rig.store.hold();
    let template = sample("t");
    let first = rig.post("/templates", &template);
    tokio::pin!(first);
    assert!(futures_now(&mut first).await.is_none());
    let second = rig.get("/status").await;
    second.problem(503, "busy");
    assert_eq!(second.header("retry-after"), "1");
    rig.store.release();
    first.await.expect(201);
    rig.get("/status").await.expect(200);
}

#[tokio::test]
async fn the_status_tells_all() {
    let mut trusting = settings();
    trusting.sip.trust = Trust::new(vec!["0.0.0.0/0".parse().unwrap()], true).unwrap();
    let rig = Rig::with(trusting, ApiSettings::default());
    rig.devices(2);
    rig.put("/sip/realms/r", "", &json!({ "domains": [] })).await.expect(201);
    rig.put("/sip/realms/r/credentials/u", "", &json!({ "password": "p" })).await.expect(201);
    register(&rig, "alice", "");
    let status = rig.get("/status").await.expect(200);
    assert_eq!(
        (&status["node"], &status["ready"], &status["causes"]),
        (&json!("callboard"), &json!(true), &json!([]))
    );
    assert_eq!(status["uptime_seconds"], 60);
    assert_eq!(status["doors"], json!([{ "name": "wpi", "address": "127.0.0.1:18443" }]));
    assert_eq!(status["devices"]["by_state"], json!({ "new": 0, "registered": 2 }));
    assert_eq!(status["devices"]["by_secure_mode"]["off"], 2);
    assert_eq!((&status["devices"]["unreadable"], &status["unreadable_templates"]), (&json!(0), &json!(0)));
    assert_eq!(
        (&status["store"]["health"], &status["store"]["committed_records"]),
        (&json!("healthy"), &json!(4))
    );
    let none = json!({ "registered": 0, "reachable": 0, "lost": 0 });
    let some = json!({ "registered": 1, "reachable": 0, "lost": 0 });
    assert_eq!(
        status["sip"],
        json!({
            "aors": 1, "aors_limit": 1_200_000, "bindings": { "udp": some, "tcp": none, "tls": none },
            "client_transactions": 0, "client_transactions_limit": 100_000, "server_transactions": 0,
            "server_transactions_limit": 65_536, "realms": 1, "credentials": 1, "unreadable_credentials": 0,
        })
    );
    let journal = &status["journal"];
    assert_eq!((&journal["health"], &journal["committed_records"]), (&json!("healthy"), &json!(1)));
    assert_eq!((&journal["load"], &journal["queued_bytes"]), (&json!(0.0), &json!(0)));
    rig.node.draining.send_replace(true);
    rig.store.set_no_space(true);
    rig.journal.set_no_space(true);
    let status = rig.get("/status").await.expect(200);
    assert_eq!((&status["ready"], &status["causes"][0]["cause"]), (&json!(false), &json!("draining")));
    assert_eq!(status["store"]["health"], "no-space");
    assert_eq!((&status["journal"]["health"], &status["journal"]["load"]), (&json!("no-space"), &json!(1.0)));
}

#[tokio::test]
async fn the_catalogue_is_searched() {
    let rig = Rig::new();
    let all = rig.get("/catalogue").await.expect(200);
    assert_eq!(all["items"].as_array().unwrap().len(), callboard_codecs::wpi::catalogue::COUNT);
    let some = rig.get("/catalogue?q=SIP-PWD").await.expect(200);
    let entry = some["items"].as_array().unwrap().iter().find(|entry| entry["name"] == "sip-pwd").unwrap();
    assert_eq!(entry["secret"], true);
}

/// The outcome of a future that is ready, after everything that can go on went on.
pub(crate) async fn futures_now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    for _ in 0..10 {
        let polled = std::future::poll_fn(|cx| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(cx) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        });
        if let Some(output) = polled.await {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}
