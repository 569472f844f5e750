//! Scans.

use callboard_core::reach::CallOutcome;
use callboard_core::reach::scan::{Probe, ScanAnswer};
use serde_json::{Value, json};

use crate::harness::Rig;

/// All calls that a scan wants now.
fn probes(rig: &Rig) -> Vec<Probe> {
    std::iter::from_fn(|| rig.service.reach.next_probe(rig.service.now())).collect()
}

#[tokio::test]
async fn a_scan_is_begun_followed_and_forgotten() {
    let rig = Rig::new();
    let wish = json!({ "range": "192.0.2.0/29", "service_address": "198.51.100.7", "service_port": 18443 });
    let begun = rig.post("/scans", &wish).await;
    let scan = begun.expect(201);
    assert_eq!(begun.header("location"), format!("/api/v1/scans/{}", scan["id"]));
    assert_eq!((&scan["range"], &scan["port"]), (&json!("192.0.2.1-192.0.2.6"), &json!(8085)));
    assert_eq!(
        (&scan["state"], &scan["addresses"], &scan["ended"]),
        (&json!("running"), &json!(6), &Value::Null)
    );
    let path = format!("/scans/{}", scan["id"]);
    let probes = probes(&rig);
    assert_eq!(probes.len(), 6);
    assert_eq!(probes[0].service.unwrap().port, Some(18_443));
    let answers = [
        ScanAnswer::Phone,
        ScanAnswer::Other(404),
        ScanAnswer::Nothing(CallOutcome::TimedOut),
        ScanAnswer::Phone,
        ScanAnswer::Phone,
    ];
    for (probe, answer) in probes.iter().zip(answers) {
        rig.service.reach.answered(probe, answer, rig.service.now());
    }
    let scan = rig.get(&path).await.expect(200);
    assert_eq!((&scan["state"], &scan["tried"], &scan["phones"]), (&json!("running"), &json!(5), &json!(3)));
    assert_eq!((&scan["others"], &scan["nothing"], &scan["skipped"]), (&json!(1), &json!(1), &json!(0)));
    // Page by page.
    let first = rig.get(&format!("{path}/results?answer=phone&limit=2")).await.expect(200);
    assert_eq!(
        first["items"][1],
        json!({ "address": "192.0.2.4", "answer": "phone", "detail": "a phone understood" })
    );
    let next = first["next"].as_str().unwrap();
    let last = rig.get(&format!("{path}/results?answer=phone&limit=2&cursor={next}")).await.expect(200);
    assert_eq!((&last["items"][0]["address"], &last["next"]), (&json!("192.0.2.5"), &Value::Null));
    let all = rig.get(&format!("{path}/results")).await.expect(200);
    assert_eq!(all["items"][1]["status"], 404);
    assert_eq!(all["items"][2]["detail"], "not delivered: no answer in time");
    rig.service.reach.answered(&probes[5], ScanAnswer::Phone, rig.service.now());
    let scan = rig.get(&path).await.expect(200);
    assert_eq!((&scan["state"], scan["ended"].is_string()), (&json!("done"), true));
    assert_eq!(rig.get("/scans").await.expect(200), json!({ "items": [scan], "next": null }));
    rig.delete(&path, "").await.expect(204);
    rig.delete(&path, "").await.problem(404, "not-found");
    rig.get(&path).await.problem(404, "not-found");
    rig.get(&format!("{path}/results")).await.problem(404, "not-found");
    rig.get("/scans/x").await.problem(404, "not-found");
}

#[tokio::test]
async fn a_scan_that_is_cancelled_calls_nobody_and_can_be_read() {
    let rig = Rig::new();
    let scan = rig.post("/scans", &json!({ "range": "192.0.2.0/24" })).await.expect(201);
    let path = format!("/scans/{}", scan["id"]);
    let probe = rig.service.reach.next_probe(rig.service.now()).unwrap();
    rig.service.reach.answered(&probe, ScanAnswer::Phone, rig.service.now());
    rig.delete(&path, "").await.expect(204);
    assert_eq!(probes(&rig), []);
    let scan = rig.get(&path).await.expect(200);
    assert_eq!((&scan["state"], &scan["tried"]), (&json!("cancelled"), &json!(1)));
    assert_eq!(rig.get(&format!("{path}/results")).await.expect(200)["items"].as_array().unwrap().len(), 1);
    let events = rig.get("/events?kind=admin-change").await.expect(200);
    let texts: Vec<_> =
        events["items"].as_array().unwrap().iter().map(|event| event["text"].clone()).collect();
    assert_eq!(texts[0], format!("scan {} cancelled", scan["id"]));
}

#[tokio::test]
async fn scans_at_once_are_bounded() {
    let rig = Rig::new();
    for _ in 0..4 {
        rig.post("/scans", &json!({ "range": "192.0.2.0/24" })).await.expect(201);
    }
    let fifth = rig.post("/scans", &json!({ "range": "192.0.2.0/24" })).await;
    fifth.problem(503, "busy");
    assert_eq!(fifth.header("retry-after"), "10");
}

#[tokio::test]
async fn wrong_scans_are_refused() {
    let rig = Rig::new();
    for (body, field) in [
        (json!({}), "range"),
        (json!({ "range": "phones" }), "range"),
        (json!({ "range": "192.0.2.1/24" }), "range"),
        (json!({ "range": "192.0.2.9-192.0.2.1" }), "range"),
        (json!({ "range": "10.0.0.0/8" }), "range"),
        (json!({ "range": "127.0.0.1" }), "range"),
        (json!({ "range": "169.254.169.254" }), "range"),
        (json!({ "range": "[::1]" }), "range"),
        (json!({ "range": "::1" }), "range"),
        (json!({ "range": "::ffff:127.0.0.1" }), "range"),
        (json!({ "range": "223.255.255.0-224.0.0.1" }), "range"),
        (json!({ "range": "192.0.2.1", "port": 22 }), "port"),
        (json!({ "range": "192.0.2.1", "port": 70_000 }), "port"),
        (json!({ "range": "192.0.2.1", "service_address": "callboard.example.net" }), "service_address"),
        (json!({ "range": "192.0.2.1", "service_port": 18443 }), "service_port"),
        (json!({ "range": "192.0.2.1", "service_address": "192.0.2.7", "service_port": 0 }), "service_port"),
        (json!({ "range": "192.0.2.1", "dls": "x" }), "dls"),
    ] {
        assert_eq!(rig.post("/scans", &body).await.fields(422, "validation"), [field], "{body}");
    }
    let loopback = rig.post("/scans", &json!({ "range": "126.255.255.255-127.0.0.1" })).await;
    let reason = loopback.problem(422, "validation")["errors"][0]["reason"].clone();
    assert_eq!(reason, "127.0.0.0 cannot be called: it is a loopback address");
    assert_eq!(rig.get("/scans").await.expect(200)["items"], json!([]));
}
