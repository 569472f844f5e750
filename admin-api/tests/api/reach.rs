//! How a device is reached, and calling it.

use callboard_core::device::DeviceId;
use callboard_core::reach::CallOutcome;
use callboard_core::service::Settings;
use callboard_core::service::Way;
use serde_json::{Value, json};

use crate::harness::{Rig, settings};

const ID: &str = "00:00:00:00:00:01";
const PATH: &str = "/devices/00:00:00:00:00:01/reach";
const CONTACT: &str = "/devices/00:00:00:00:00:01/contact";
const TASKS: &str = "/devices/00:00:00:00:00:01/tasks";

/// A phone that named its web server at `host` and called from `source`.
fn phone(rig: &Rig, host: &str, source: &str) -> DeviceId {
    let now = rig.service.now();
    let device = rig.device_with(ID, &[("sntp-addr", None, "old")], |device| {
        device.contacts.first = now;
        device.identity.contact_me_uri = format!("http://{host}/contact_dls.html/ContactDLS").into();
        device.contacts.source = Some(source.parse().unwrap());
    });
    device.id.clone()
}

#[tokio::test]
async fn a_phone_with_work_is_called_and_every_step_is_told() {
    let rig = Rig::new();
    let id = phone(&rig, "192.0.2.41:8085", "192.0.2.41");
    let reach = rig.get(PATH).await.expect(200);
    assert_eq!(
        reach,
        json!({
            "contact_me": true,
            "work_waiting": false, "site": null, "polls": false,
            "direct": {
                "uri": "http://192.0.2.41:8085/contact_dls.html/ContactDLS",
                "address": "192.0.2.41:8085",
                "callable": true,
            },
            "calls": { "state": "resting", "tries": 0, "tries_left": 5, "last": null },
        })
    );
    let task = rig.post(TASKS, &json!({ "type": "read-all" })).await.expect(201);
    let waiting = rig.get(PATH).await.expect(200);
    assert_eq!((&waiting["work_waiting"], &waiting["calls"]["state"]), (&json!(true), &json!("waiting")));
    // What the dispatcher does.
    let reach = &rig.service.reach;
    assert_eq!(reach.due(rig.service.now(), 9).calls, std::slice::from_ref(&id));
    assert_eq!(rig.get(PATH).await.expect(200)["calls"]["state"], "calling");
    let Ok(Way::ContactMe(target, None)) = rig.service.way(&id) else { panic!() };
    assert_eq!(target.address.to_string(), "192.0.2.41:8085");
    rig.service.called(&id, CallOutcome::Status(503));
    let calls = rig.get(PATH).await.expect(200)["calls"].clone();
    assert_eq!((&calls["state"], &calls["tries_left"]), (&json!("waiting"), &json!(4)));
    assert_eq!(calls["last"]["outcome"], "status");
    assert_eq!(calls["last"]["detail"], "not delivered: answered with status 503");
    assert!(calls["next"].is_string(), "{calls}");
    // Without work there is no need.
    rig.delete(&format!("{TASKS}/{}", task["id"]), "").await.expect(204);
    assert_eq!(rig.get(PATH).await.expect(200)["calls"]["state"], "resting");
    assert_eq!(reach.next_at(), None);
}

#[tokio::test]
async fn a_phone_behind_nat_is_not_called() {
    let rig = Rig::new();
    let id = phone(&rig, "10.1.2.3:8085", "203.0.113.9");
    let direct = rig.get(PATH).await.expect(200)["direct"].clone();
    assert_eq!((&direct["callable"], &direct["address"]), (&json!(false), &Value::Null));
    assert_eq!(direct["reason"], "behind-nat");
    let problem = rig.post(CONTACT, &Value::Null).await.problem(409, "conflict");
    assert!(problem["detail"].as_str().unwrap().contains("behind NAT"), "{problem}");
    rig.post(TASKS, &json!({ "type": "read-all" })).await.expect(201);
    assert_eq!(rig.service.reach.due(rig.service.now(), 9).calls, std::slice::from_ref(&id));
    let why = rig.service.way(&id).unwrap_err();
    rig.service.called(&id, why);
    let calls = rig.get(PATH).await.expect(200)["calls"].clone();
    assert_eq!((&calls["state"], &calls["last"]["outcome"]), (&json!("used-up"), &json!("not-called")));
    assert_eq!(calls["tries"], 0);
}

#[tokio::test]
async fn a_phone_of_a_deleted_site_is_given_up() {
    let rig = Rig::new();
    let id = phone(&rig, "10.1.2.3:8085", "10.1.2.3");
    let (site, _) = rig.service.create_site("Graz").await.unwrap();
    rig.service
        .fleet
        .update_detached(&id, false, |old| {
            let mut new = old.clone();
            new.revision += 1;
            new.route.site = Some(site.id);
            Ok(new)
        })
        .unwrap();
    assert_eq!(rig.get(PATH).await.expect(200)["direct"]["callable"], true);
    rig.post(TASKS, &json!({ "type": "read-all" })).await.expect(201);
    assert!(matches!(rig.service.way(&id), Ok(Way::ContactMe(_, at)) if at == Some(site.id)));
    rig.service.delete_site(site.id, None).await.unwrap();
    let direct = rig.get(PATH).await.expect(200)["direct"].clone();
    assert_eq!((&direct["callable"], &direct["reason"]), (&json!(false), &json!("site-gone")));
    rig.post(CONTACT, &Value::Null).await.problem(409, "conflict");
    assert_eq!(rig.service.reach.due(rig.service.now(), 9).calls, std::slice::from_ref(&id));
    let why = rig.service.way(&id).unwrap_err();
    rig.service.called(&id, why);
    let calls = rig.get(PATH).await.expect(200)["calls"].clone();
    assert_eq!((&calls["state"], &calls["last"]["outcome"]), (&json!("used-up"), &json!("not-called")));
    assert_eq!(calls["last"]["detail"], "not called: the site through which it came is no longer there");
    assert_eq!(rig.service.reach.next_at(), None);
}

#[tokio::test]
async fn a_phone_is_called_when_an_administrator_says_so_but_not_too_often() {
    let rig = Rig::new();
    let id = phone(&rig, "192.0.2.41:8085", "192.0.2.41");
    let answer = rig.post(CONTACT, &Value::Null).await.expect(202);
    assert_eq!((&answer["work_waiting"], &answer["calls"]["state"]), (&json!(false), &json!("waiting")));
    assert_eq!(rig.service.reach.due(rig.service.now(), 9).calls, std::slice::from_ref(&id));
    rig.service.called(&id, CallOutcome::Understood);
    let refused = rig.post(CONTACT, &Value::Null).await;
    refused.problem(429, "too-soon");
    let seconds: u32 = refused.header("retry-after").parse().unwrap();
    assert!((59..=60).contains(&seconds), "{seconds}");
    rig.post("/devices/00:00:00:00:00:02/contact", &Value::Null).await.problem(404, "not-found");
    rig.get("/devices/00:00:00:00:00:02/reach").await.problem(404, "not-found");
}

#[tokio::test]
async fn a_phone_that_never_comes_is_told_of_once() {
    let mut limits = settings();
    limits.reach.calls.tries = 1;
    limits.reach.calls.spacing = std::time::Duration::from_millis(1);
    limits.reach.calls.retries = [limits.reach.calls.spacing; 3];
    let rig = Rig::with(limits, callboard_admin_api::ApiSettings::default());
    let id = phone(&rig, "192.0.2.41:8085", "192.0.2.41");
    rig.post(TASKS, &json!({ "type": "read-all" })).await.expect(201);
    let reach = &rig.service.reach;
    assert_eq!(reach.due(rig.service.now(), 9).calls, std::slice::from_ref(&id));
    rig.service.called(&id, CallOutcome::TimedOut);
    // The harness' clock goes on by itself.
    let due = std::iter::repeat_with(|| reach.due(rig.service.now(), 9)).find(|due| !due.used_up.is_empty());
    for (id, last) in due.unwrap().used_up {
        rig.service.unreached(&id, last);
    }
    let events = rig.get(&format!("/events?kind=contact-failed&device={ID}")).await.expect(200);
    let text = &events["items"][0]["text"];
    let wanted = "it did not come after 1 contact-me calls, the last: not delivered: no answer in time";
    assert_eq!((events["items"].as_array().unwrap().len(), text), (1, &json!(wanted)));
    assert_eq!(rig.get(PATH).await.expect(200)["calls"]["state"], "used-up");
}

#[tokio::test]
async fn calls_can_be_switched_off() {
    let off = Settings { reach: callboard_core::reach::ReachSettings::default(), ..settings() };
    let rig = Rig::with(off, callboard_admin_api::ApiSettings::default());
    phone(&rig, "192.0.2.41:8085", "192.0.2.41");
    rig.post(TASKS, &json!({ "type": "read-all" })).await.expect(201);
    let reach = rig.get(PATH).await.expect(200);
    assert_eq!((&reach["contact_me"], &reach["calls"]["state"]), (&json!(false), &json!("resting")));
    rig.post(CONTACT, &Value::Null).await.problem(409, "conflict");
    rig.post("/scans", &json!({ "range": "192.0.2.1" })).await.problem(409, "conflict");
}
