//! No secret ever comes out.

use std::collections::BTreeSet;

use callboard_core::device::{DeviceUpdate, Offered, SecurityChange};
use callboard_core::pki::Series;
use callboard_core::time::Timestamp;
use serde_json::{Value, json};

use crate::harness::{Answer, Rig, TOKEN};

const PLANTED: [&str; 6] =
    ["reported-x7", "template-x7", "task-value-x7", "pin-number-x7", "misplaced-x7", "digest-x7"];
/// `planted:r:digest-x7` by MD5 and SHA-256: with them somebody could register as with the password.
const HASHES: [&str; 2] =
    ["b6d8781e0f8c4d870f52eb1f3f256cbd", "ef05d320c394393bf1630930e61160be638ed56599268e690dd171c84253e8d6"];

/// Every answer that the API can give after secrets went in by every way, wrong ways included.
async fn answers(rig: &Rig) -> Vec<String> {
    let [reported, in_template, in_task, pin, misplaced, _] = PLANTED;
    rig.device(
        "00:00:00:00:00:01",
        &[("sip-pwd", None, reported), ("user-pwd", None, reported), ("realm", None, "r")],
    );
    let device = "/devices/00:00:00:00:00:01";
    let items = json!([{ "name": "sip-pwd", "value": in_template }, { "name": "admin-pwd", "value": in_template },
                       { "name": "unheard-of-passwd", "value": format!("{in_template}-%%{{e164}}") }]);
    let body = json!({ "name": "t", "kind": "default", "applies_to": "all", "items": items });
    let made = rig.post("/templates", &body).await;
    let template = format!("/templates/{}", made.expect(201)["id"].as_str().unwrap());
    let mut seen = vec![made];
    seen.push(rig.put(&template, "*", &body).await);
    let write = |items: Value| json!({ "type": "write-items", "items": items });
    let tasks = format!("{device}/tasks");
    seen.push(rig.post(&tasks, &write(json!([{ "name": "sip-pwd", "value": in_task }]))).await);
    seen.push(rig.post(&tasks, &write(json!([{ "name": "realm", "value": in_task }]))).await);
    let mode = format!("{device}/secure-mode");
    seen.push(rig.put(&mode, "", &json!({ "mode": "individual-pin", "pin": pin })).await);
    // In the wrong place, of the wrong type, with another fault beside it.
    for (path, body) in [
        (&tasks, write(json!([{ "name": "sip-pwd", "value": [misplaced] }]))),
        (&tasks, write(json!([{ "name": "sip-pwd", "index": misplaced, "value": "x" }]))),
        (&tasks, write(json!([misplaced]))),
        (&tasks, write(json!([{ "name": "sip-pwd", "value": misplaced }, { "name": "dhcp", "value": "y" }]))),
        (
            &tasks,
            write(
                json!([{ "name": "sip-pwd", "value": misplaced }, { "name": "sip-pwd", "value": misplaced }]),
            ),
        ),
        (&tasks, json!({ "type": "read-items", "items": [{ "name": "sip-pwd", "value": misplaced }] })),
        (&tasks, json!(misplaced)),
    ] {
        let answer = rig.post(path, &body).await;
        answer.problem(422, "validation");
        seen.push(answer);
    }
    for body in [
        json!({ "mode": "individual-pin", "pin": [misplaced] }),
        json!({ "mode": "off", "pin": misplaced }),
        json!({ "mode": "individual-pin", "pin": format!("{misplaced} ä") }),
    ] {
        seen.push(rig.put(&mode, "", &body).await);
    }
    seen.extend(sip_answers(rig, misplaced).await);
    for path in [
        "/devices",
        device,
        "/sip/realms",
        "/sip/realms/r/credentials",
        "/sip/realms/r/credentials/planted",
        &tasks,
        &template,
        "/templates",
        "/events",
        "/status",
        "/catalogue",
        &format!("{device}/items"),
        &format!("{device}/items?view=desired"),
        &format!("{device}/items?view=difference"),
        &format!("/devices?q={reported}"),
    ] {
        let answer = rig.get(path).await;
        answer.expect(200);
        seen.push(answer);
    }
    let dry_run = json!({ "template": body, "assume_assigned": true });
    seen.push(rig.post("/templates/dry-run", &dry_run).await);
    seen.into_iter().map(|answer| format!("{:?}\n{}", answer.headers, answer.text)).collect()
}

/// What is answered to passwords of SIP.
async fn sip_answers(rig: &Rig, misplaced: &str) -> Vec<Answer> {
    let [.., password] = PLANTED;
    let (realm, users) = ("/sip/realms/r", "/sip/realms/r/credentials");
    let user = &format!("{users}/planted");
    let mut seen = vec![rig.put(realm, "", &json!({ "domains": [] })).await];
    seen.push(rig.put(user, "", &json!({ "password": password, "device": "00:00:00:00:00:01" })).await);
    seen.push(rig.put(user, "*", &json!({ "password": password })).await);
    let many = json!({ "credentials": [{ "username": "planted", "password": password },
                                       { "username": "other", "password": misplaced }] });
    seen.push(rig.post(users, &many).await);
    for answer in &seen {
        assert!(answer.status.is_success(), "{answer:?}");
    }
    for body in [
        json!({ "password": [misplaced] }),
        json!({ "password": misplaced.repeat(99) }),
        json!({ "password": misplaced, "device": format!("{misplaced} ä") }),
        json!(misplaced),
    ] {
        seen.push(rig.put(user, "*", &body).await);
    }
    for entry in [
        json!({ "username": misplaced, "password": [misplaced] }),
        json!({ "username": format!("{misplaced}:"), "password": misplaced }),
        json!({ "username": "a", "password": misplaced.repeat(99) }),
        json!([misplaced]),
    ] {
        seen.push(rig.post(users, &json!({ "credentials": [entry] })).await);
    }
    for answer in seen.iter().skip(4) {
        answer.problem(422, "validation");
    }
    seen
}

#[tokio::test]
async fn no_answer_holds_a_planted_secret() {
    let rig = Rig::new();
    for answer in answers(&rig).await {
        for secret in PLANTED.into_iter().chain(HASHES).chain([TOKEN, "default-pin-123"]) {
            assert!(!answer.contains(secret), "{secret} in {answer}");
        }
    }
    // The secrets did go in.
    let wanted: BTreeSet<_> = ["sip-pwd", "admin-pwd", "unheard-of-passwd"].into();
    let device = rig.service.fleet.get(&"00:00:00:00:00:01".parse().unwrap()).unwrap();
    let due = rig.service.difference(&device);
    let names: BTreeSet<_> = due.writes.iter().map(|item| item.key.name()).collect();
    let faulty: BTreeSet<_> = due.faults.iter().map(|fault| fault.key.name()).collect();
    assert_eq!(&names | &faulty, wanted);
    assert!(due.writes.iter().all(|item| item.value.expose().starts_with("template-x7")));
    assert_eq!((device.tasks.len(), device.security.pin.is_some()), (2, true));
}

#[tokio::test]
async fn credentials_handed_out_are_shown_by_serial_only() {
    let rig = Rig::new();
    rig.device("00:00:00:00:00:01", &[]);
    let path = "/devices/00:00:00:00:00:01";
    rig.put(&format!("{path}/secure-mode"), "", &json!({ "mode": "no-pin" })).await.expect(200);
    let id = path.rsplit('/').next().unwrap().parse().unwrap();
    let ends = Timestamp::from_millis(1);
    let series = Series::new(7);
    let serial = format!("{}0a0b", series.to_hex());
    let security = rig.service.fleet.get(&id).unwrap().security.clone();
    let offered =
        SecurityChange::Offered { offered: Offered::series(series, ends, ends), choice: security.choice() };
    let sent = SecurityChange::Sent { serial: serial.as_str().into(), expires: ends };
    for step in [offered, sent] {
        let update = DeviceUpdate { security: Some(step), ..DeviceUpdate::default() };
        rig.service.fleet.update_detached(&id, false, |device| Ok(update.apply(device))).unwrap();
    }
    let mode = rig.get(path).await.expect(200)["secure_mode"].clone();
    assert_eq!((&mode["certificate_serial"], &mode["sent"]), (&json!(serial), &json!(true)));
    assert_eq!(mode["certificate_expires"], "1970-01-01T00:00:00.001Z");
}
