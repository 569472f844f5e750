//! Lists of devices, one device, its items and its secure mode.

use callboard_admin_api::ApiSettings;
use callboard_core::device::{Refusal, SecureMode, TemplateFault};
use callboard_core::item::ItemKey;
use callboard_core::policy::TemplateId;
use callboard_core::secret::Secret;
use callboard_core::service::Settings;
use callboard_core::time::Timestamp;
use serde_json::{Value, json};

use crate::harness::{Rig, settings};

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|device| device["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn lists_go_page_by_page() {
    let rig = Rig::new();
    rig.devices(5);
    let mut seen = Vec::new();
    let mut path = "/devices?limit=2".to_owned();
    let mut pages = 0;
    loop {
        let page = rig.get(&path).await.expect(200);
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/devices?limit=2&cursor={next}");
    }
    let all: Vec<_> = (1..=5).map(|n| format!("00:00:00:00:00:{n:02x}")).collect();
    assert_eq!((seen, pages), (all, 3));
}

#[tokio::test]
async fn filters_choose() {
    let rig = Rig::new();
    rig.device("00:00:00:00:00:01", &[("sntp-addr", None, "x")]);
    rig.device("00:00:00:00:00:02", &[]);
    rig.device_with("00:00:00:00:00:03", &[], |device| {
        device.identity.device_type = "OpenScape CP600".into();
        device.identity.software_version = "V1 R9".into();
        device.security.mode = SecureMode::Secure;
        device.templates.push(TemplateId::from_u64(0xabc));
        device.faults.push(TemplateFault {
            template: TemplateId::from_u64(0xabc),
            key: ItemKey::new("alert", Some(2)),
            reason: "why not".into(),
        });
        device.refused.push(Refusal {
            key: ItemKey::new("dhcp", None),
            digest: 1,
            status: "invalid data".into(),
            at: Timestamp::from_millis(0),
        });
    });
    rig.template(0xabc);
    for (query, wanted) in [
        ("state=registered", vec!["00:00:00:00:00:01"]),
        ("state=new", vec!["00:00:00:00:00:02", "00:00:00:00:00:03"]),
        ("secure_mode=secure", vec!["00:00:00:00:00:03"]),
        ("device_type=openscape%20cp600", vec!["00:00:00:00:00:03"]),
        ("software_type=Siemens+SIP&state=new&device_type=OpenStage+60", vec!["00:00:00:00:00:02"]),
        ("software_version=V1%20R9", vec!["00:00:00:00:00:03"]),
        ("template=000000000abc", vec!["00:00:00:00:00:03"]),
        ("faults=true", vec!["00:00:00:00:00:03"]),
        ("faults=false&limit=1", vec!["00:00:00:00:00:01"]),
        ("refused=true", vec!["00:00:00:00:00:03"]),
        ("refused=false&limit=1", vec!["00:00:00:00:00:01"]),
        ("q=000000000003", vec!["00:00:00:00:00:03"]),
        ("q=00-00-00-03", vec!["00:00:00:00:00:03"]),
        ("q=CP6", vec!["00:00:00:00:00:03"]),
        ("q=nothing", vec![]),
    ] {
        let page = rig.get(&format!("/devices?{query}")).await.expect(200);
        assert_eq!(ids(&page), wanted, "{query}");
    }
}

#[tokio::test]
async fn a_device_is_shown_in_full() {
    let rig = Rig::new();
    rig.device_with("00:1a:e8:0a:0b:0c", &[("sntp-addr", None, "x")], |device| {
        device.contacts.source = Some("192.0.2.41".parse().unwrap());
        device.contacts.started = Some(Timestamp::from_millis(5));
        device.faults.push(TemplateFault {
            template: TemplateId::from_u64(1),
            key: ItemKey::new("alert", Some(2)),
            reason: "why not".into(),
        });
        device.refused.push(Refusal {
            key: ItemKey::new("dhcp", None),
            digest: 1,
            status: "invalid data".into(),
            at: Timestamp::from_millis(0),
        });
    });
    let answer = rig.get("/devices/00-1A-E8-0A-0B-0C").await;
    assert_eq!(answer.header("etag"), "\"1\"");
    let device = answer.expect(200);
    let mode = json!({ "mode": "off", "since": null, "certificate_serial": null, "certificate_expires": null,
                       "sent": false, "fault": null });
    assert_eq!(
        device,
        json!({
            "id": "00:1a:e8:0a:0b:0c", "revision": 1, "state": "registered", "device_type": "OpenStage 60",
            "software_type": "Siemens SIP", "software_version": "V3 R5.12.0", "part_number": "",
            "e164": "4989123", "basic_e164": "", "contact_me_uri": "", "site": null, "source": "192.0.2.41",
            "first_contact": "2026-01-02T03:04:05.678Z", "last_contact": "2026-01-02T03:04:05.678Z",
            "last_start_up": "1970-01-01T00:00:00.005Z", "last_read": "2026-01-02T03:04:05.678Z",
            "last_written": null, "item_count": 1, "templates": [], "template_fault_count": 1,
            "refused_count": 1, "task_count": 0, "polls": false, "secure_mode": mode,
            "template_faults": [{ "template": "000000000001", "name": "alert", "index": 2, "reason": "why not" }],
            "refused": [{ "name": "dhcp", "status": "invalid data", "at": "1970-01-01T00:00:00.000Z" }],
            "tasks": [], "registrations": [],
        })
    );
}

#[tokio::test]
async fn deleting_forgets_the_device() {
    let rig = Rig::new();
    rig.devices(2);
    rig.delete("/devices/00:00:00:00:00:01", "\"7\"").await.problem(412, "precondition-failed");
    rig.get("/devices/00:00:00:00:00:01").await.expect(200);
    let gone = rig.delete("/devices/00:00:00:00:00:01", "\"1\"").await;
    assert_eq!((gone.status.as_u16(), gone.text.as_str()), (204, ""));
    rig.get("/devices/00:00:00:00:00:01").await.problem(404, "not-found");
    rig.delete("/devices/00:00:00:00:00:01", "").await.problem(404, "not-found");
    rig.delete("/devices/00:00:00:00:00:02", "").await.expect(204);
    assert!(rig.store.is_empty());
}

#[tokio::test]
async fn items_have_three_views() {
    let rig = Rig::new();
    let reported = [
        ("sntp-addr", None, "old"),
        ("sip-pwd", None, "hunter2"),
        ("alert", Some(1), "a"),
        ("name-of-tomorrow", None, "x"),
    ];
    rig.device("00:00:00:00:00:01", &reported);
    let template = json!({ "name": "t", "kind": "default", "applies_to": "all", "items": [
        { "name": "sntp-addr", "value": "ntp-%%{e164,$-3}" },
        { "name": "alert", "index": 1, "value": "a" },
        { "name": "hostname", "value": "phone" },
        { "name": "sip-pwd", "value": "hunter3" },
    ]});
    let made = rig.post("/templates", &template).await.expect(201);
    let id = &made["id"];

    let path = "/devices/00:00:00:00:00:01/items";
    let list = rig.get(path).await.expect(200);
    let mut items = list["items"].as_array().unwrap().clone();
    items.sort_by_key(|item| item["name"].to_string());
    assert_eq!(
        Value::from(items),
        json!([
            { "name": "alert", "index": 1, "value": "a" },
            { "name": "name-of-tomorrow", "value": "x" },
            { "name": "sip-pwd", "value": null, "secret": true },
            { "name": "sntp-addr", "value": "old" },
        ])
    );
    assert!(list.get("faults").is_none());

    let named = rig.get(&format!("{path}?view=reported&name=SNTP")).await.expect(200);
    assert_eq!(named, json!({ "items": [{ "name": "sntp-addr", "value": "old" }] }));

    let desired = rig.get(&format!("{path}?view=desired")).await.expect(200);
    assert_eq!(desired["items"].as_array().unwrap().len(), 4);
    assert_eq!(desired["faults"], json!([]));

    let difference = rig.get(&format!("{path}?view=difference")).await.expect(200);
    let mut items = difference["items"].as_array().unwrap().clone();
    items.sort_by_key(|item| item["name"].to_string());
    assert_eq!(
        Value::from(items),
        json!([
            { "name": "sip-pwd", "value": null, "secret": true, "template": id },
            { "name": "sntp-addr", "value": "ntp-123", "template": id },
        ])
    );
    assert_eq!(difference["faults"][0]["name"], "hostname");
    let named = rig.get(&format!("{path}?view=difference&name=alert")).await.expect(200);
    assert_eq!(named, json!({ "items": [], "faults": [] }));
}

#[tokio::test]
async fn templates_are_assigned_by_hand() {
    let rig = Rig::new();
    rig.devices(1);
    let template = json!({ "name": "t", "kind": "default", "items": [] });
    let id = rig.post("/templates", &template).await.expect(201)["id"].clone();
    let path = "/devices/00:00:00:00:00:01/templates";
    let answer = rig.put(path, "\"1\"", &json!({ "templates": [id] })).await;
    assert_eq!(answer.header("etag"), "\"2\"");
    assert_eq!(answer.expect(200)["templates"], json!([id]));
    rig.put(path, "\"1\"", &json!({ "templates": [] })).await.problem(412, "precondition-failed");
    for (bad, field) in [
        (json!(["000000000def"]), "templates[0]"),
        (json!([id, "x"]), "templates[1]"),
        (json!([id, id]), "templates[1]"),
        (
            json!(["000000000001", "000000000002", "000000000003", "000000000004", "000000000005"]),
            "templates",
        ),
    ] {
        let answer = rig.put(path, "", &json!({ "templates": bad })).await;
        assert_eq!(answer.fields(422, "validation"), [field]);
    }
    assert_eq!(rig.put(path, "*", &json!({ "templates": [] })).await.expect(200)["templates"], json!([]));
}

#[tokio::test]
async fn deleted_templates_are_not_shown_and_not_kept() {
    let rig = Rig::new();
    rig.devices(1);
    let (gone, kept) = (rig.template(1), rig.template(2));
    let path = "/devices/00:00:00:00:00:01";
    let assign = format!("{path}/templates");
    rig.put(&assign, "", &json!({ "templates": [gone, kept] })).await.expect(200);
    rig.delete(&format!("/templates/{gone}"), "*").await.expect(204);
    for device in [rig.get(path).await.expect(200), rig.get("/devices").await.expect(200)["items"][0].clone()]
    {
        assert_eq!(device["templates"], json!([kept]));
    }
    rig.get(&format!("/devices?template={gone}")).await.problem(400, "malformed");
    let stored = || rig.service.fleet.get(&"00:00:00:00:00:01".parse().unwrap()).unwrap().templates.len();
    assert_eq!(stored(), 2);
    rig.post(&format!("{path}/tasks"), &json!({ "type": "read-all" })).await.expect(201);
    assert_eq!(stored(), 1);
    // What was read goes back as it came.
    rig.put(&assign, "", &json!({ "templates": [kept] })).await.expect(200);
}

#[tokio::test]
async fn secure_mode_is_chosen() {
    let rig = Rig::new();
    rig.devices(1);
    let path = "/devices/00:00:00:00:00:01/secure-mode";
    for (body, mode) in [
        (json!({ "mode": "no-pin" }), "enabling-no-pin"),
        (json!({ "mode": "default-pin" }), "enabling-default-pin"),
        (json!({ "mode": "individual-pin", "pin": "4711-4711-4711" }), "enabling-individual-pin"),
        (json!({ "mode": "off" }), "off"),
    ] {
        assert_eq!(rig.put(path, "", &body).await.expect(200)["secure_mode"]["mode"], mode);
    }
    for body in [
        json!({ "mode": "individual-pin" }),
        json!({ "mode": "individual-pin", "pin": "123" }),
        json!({ "mode": "individual-pin", "pin": "123456789012345" }),
        json!({ "mode": "no-pin", "pin": "4711-4711-4711" }),
    ] {
        assert_eq!(rig.put(path, "", &body).await.fields(422, "validation"), ["pin"], "{body}");
    }
    rig.put(path, "\"1\"", &json!({ "mode": "off" })).await.problem(412, "precondition-failed");
}

#[tokio::test]
async fn the_default_pin_must_be_configured() {
    let settings = Settings { default_pin: Secret::default(), ..settings() };
    let rig = Rig::with(settings, ApiSettings::default());
    rig.devices(1);
    let answer =
        rig.put("/devices/00:00:00:00:00:01/secure-mode", "", &json!({ "mode": "default-pin" })).await;
    answer.problem(409, "conflict");
}

#[tokio::test]
async fn a_weak_default_pin_is_not_used() {
    let settings = Settings { default_pin: Secret::new("0123456789"), ..settings() };
    let rig = Rig::with(settings, ApiSettings::default());
    rig.devices(1);
    let path = "/devices/00:00:00:00:00:01/secure-mode";
    let answer = rig.put(path, "", &json!({ "mode": "default-pin" })).await;
    assert_eq!(answer.fields(422, "validation"), ["mode"]);
}
