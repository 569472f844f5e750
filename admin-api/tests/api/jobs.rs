//! Jobs: what is taken, what is refused, and what is shown.

use serde_json::{Value, json};

use crate::harness::Rig;

const PATH: &str = "/jobs";

fn software(changes: &Value) -> Value {
    let mut software =
        json!({"url": "https://h/files/x/a.img", "software_type": "Siemens SIP", "version": "V3 R6.0.0"});
    for (field, value) in changes.as_object().unwrap() {
        software[field] = value.clone();
    }
    json!({"type": "software-deployment", "filter": {}, "software": software})
}

#[tokio::test]
async fn a_job_is_made_shown_listed_and_cancelled() {
    let rig = Rig::new();
    rig.devices(3);
    let body = json!({"type": "apply-templates", "name": " spring ", "filter": {}, "wait_seconds": 60});
    let made = rig.post(PATH, &body).await;
    let job = made.expect(201);
    assert_eq!(made.header("location"), format!("/api/v1/jobs/{}", job["id"].as_str().unwrap()));
    assert_eq!(
        (&job["name"], &job["type"], &job["state"]),
        (&json!("spring"), &json!("apply-templates"), &json!("created"))
    );
    assert_eq!((&job["progress"]["devices"], &job["progress"]["waiting"]), (&json!(3), &json!(3)));
    rig.service.work_on_jobs().await;
    let path = format!("{PATH}/{}", job["id"].as_str().unwrap());
    let tasks = rig.get(&format!("{path}/tasks?limit=2")).await.expect(200);
    assert_eq!(tasks["items"].as_array().unwrap().len(), 2);
    let next = tasks["next"].as_str().unwrap();
    let rest = rig.get(&format!("{path}/tasks?limit=2&cursor={next}")).await.expect(200);
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["items"][0]["state"]), (1, &json!("created")));

    let other =
        rig.post(PATH, &json!({"type": "restart", "devices": ["00:00:00:00:00:01"]})).await.expect(201);
    let all = rig.get(PATH).await.expect(200);
    assert_eq!(all["items"][0]["id"], other["id"], "the newest first");
    let first = rig.get(&format!("{PATH}?limit=1")).await.expect(200);
    let next = first["next"].as_str().unwrap();
    let second = rig.get(&format!("{PATH}?limit=1&cursor={next}")).await.expect(200);
    assert_eq!((&second["items"][0]["id"], &second["next"]), (&job["id"], &Value::Null));
    let restarts = rig.get(&format!("{PATH}?type=restart&state=created")).await.expect(200);
    assert_eq!(restarts["items"].as_array().unwrap().len(), 1);

    rig.post(&format!("{path}/cancel"), &json!({})).await.expect(200);
    rig.service.work_on_jobs().await;
    let cancelled = rig.get(&path).await.expect(200);
    assert_eq!((&cancelled["state"], &cancelled["progress"]["cancelled"]), (&json!("cancelled"), &json!(3)));
    rig.post(&format!("{path}/cancel"), &json!({})).await.problem(409, "conflict");
    assert_eq!(rig.get(&format!("{path}/tasks?state=created")).await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn wrong_jobs_are_refused_and_nothing_is_left_of_them() {
    let rig = Rig::new();
    rig.devices(1);
    let one = "00:00:00:00:00:01";
    let restart = |more: Value| {
        let mut job = json!({"type": "restart", "devices": [one]});
        for (field, value) in more.as_object().unwrap() {
            job[field] = value.clone();
        }
        job
    };
    let file = |file: Value| json!({"type": "file-deployment", "devices": [one], "files": [file]});
    let hours = |from: &str, to: &str| json!({"restrictions": {"intervals": [{"weekday": "monday", "from": from, "to": to}]}});
    let days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let week: Vec<_> = days.iter().map(|day| json!({"weekday": day})).collect();
    for (body, field) in [
        (json!({"type": "restart"}), "devices"),
        (json!({"type": "restart", "devices": [one], "filter": {}}), "devices"),
        (json!({"type": "restart", "devices": []}), "devices"),
        (json!({"type": "restart", "devices": [one, "00:00:00:00:00:09"]}), "devices[1]"),
        (json!({"type": "restart", "devices": ["a b"]}), "devices[0]"),
        (json!({"type": "restart", "filter": {"device_type": "none such"}}), "filter"),
        (json!({"type": "restart", "filter": {"job": "zz"}}), "filter.job"),
        (restart(json!({"items": []})), "items"),
        (restart(json!({"pin": "none"})), "pin"),
        (restart(json!({"name": "x".repeat(129)})), "name"),
        (restart(json!({"running_seconds": 0})), "running_seconds"),
        (restart(json!({"wait_seconds": 315_360_001})), "wait_seconds"),
        (restart(json!({"schedule": {"at": "soon"}})), "schedule.at"),
        (restart(json!({"schedule": {"at": "2001-01-01T00:00"}})), "schedule.at"),
        (restart(json!({"schedule": {"at": "2199-01-01T00:00", "time_zone": "Mars"}})), "schedule.time_zone"),
        (json!({"type": "write-items", "filter": {}}), "items"),
        (json!({"type": "read-items", "filter": {}, "items": []}), "items"),
        (json!({"type": "software-deployment", "filter": {}}), "software"),
        (software(&json!({"url": "ftp://h/a"})), "software.url"),
        (software(&json!({"url": null})), "software.file"),
        (software(&json!({"version": "new"})), "software.version"),
        (software(&json!({"software_type": " "})), "software.software_type"),
        (software(&json!({"device_types": ["a\u{7}"]})), "software.device_types[0]"),
        (software(&hours("08:00", "25:00")), "software.restrictions.intervals[0].to"),
        (software(&hours("08:00", "08:00")), "software.restrictions.intervals[0].to"),
        (software(&json!({"restrictions": {"intervals": week}})), "software.restrictions.intervals"),
        (
            software(&json!({"restrictions": {"time_zone": "Mars", "intervals": []}})),
            "software.restrictions.time_zone",
        ),
        (json!({"type": "file-deployment", "filter": {}, "files": []}), "files"),
        (file(json!({"action": "deploy", "type": "LOGO"})), "files[0].file"),
        (file(json!({"action": "delete", "type": "LOGO"})), "files[0].name"),
        (file(json!({"action": "delete", "type": "LOGO", "name": "../x"})), "files[0].name"),
        (file(json!({"action": "deploy", "type": "", "url": "https://h/a"})), "files[0].type"),
        (
            file(json!({"action": "deploy", "type": "LOGO", "ftp": {"server": "h", "port": 0, "name": "a"}})),
            "files[0].ftp.port",
        ),
    ] {
        assert_eq!(rig.post(PATH, &body).await.fields(422, "validation"), [field], "{body}");
    }
    assert_eq!(rig.get(PATH).await.expect(200)["items"], json!([]));
    rig.get("/jobs/000000000001").await.problem(404, "not-found");
    rig.get("/jobs/nonsense/tasks").await.problem(404, "not-found");
}
