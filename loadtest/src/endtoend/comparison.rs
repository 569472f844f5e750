//! Comparing a fleet through an admin API that is played by a script.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::responder::{Request, Script, start};
use crate::api::Admin;
use crate::call::World;
use crate::ledger::Ledger;
use crate::phone::profile::Flag;
use crate::phone::stencil::{Fill, NONCE_LEN};
use crate::phone::template::TEMPLATES;
use crate::verify::{Verified, verify};
use crate::wire::tls::Key;

const PHONES: u32 = 7;
/// Devices in a page of the scripted list: fewer than asked for, which an API may do.
const PAGE: usize = 3;

fn json_answer(status: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// What an honest API shows of a phone.
fn items_json(world: &World, number: u32) -> Value {
    let identity = world.fleet.identity(number);
    let fill = Fill { identity: &identity, generation: 0, nonce: &[b'0'; NONCE_LEN] };
    let items = world.profiles[identity.model].items.iter().map(|item| {
        let mut value = Vec::new();
        item.after.render(fill, &mut value);
        let mut json = json!({ "name": item.spec.name, "value": String::from_utf8(value).unwrap() });
        if let Some(index) = item.spec.index {
            json["index"] = index.into();
        }
        if item.spec.flag == Flag::Secret {
            json["value"] = Value::Null;
            json["secret"] = true.into();
        }
        json
    });
    json!({ "items": items.collect::<Vec<_>>() })
}

/// The API of a service that knows those phones; `change` makes it wrong.
fn api(world: &Arc<World>, known: Vec<u32>, change: fn(u32, &mut Value)) -> Script {
    let world = Arc::clone(world);
    Arc::new(move |request: &Request| {
        assert!(request.head.contains("\r\nAuthorization: Bearer sesame\r\n"));
        let path = request.head.split(' ').nth(1).unwrap();
        let mut ids: Vec<_> = known.iter().map(|n| world.fleet.identity(*n).device_id()).collect();
        ids.sort();
        if let Some(query) = path.strip_prefix("/api/v1/devices?") {
            let after = query.split("cursor=").nth(1).unwrap_or_default();
            let page: Vec<_> = ids.iter().filter(|id| id.as_str() > after).take(PAGE).collect();
            let more = page.len() == PAGE && page.last() != Some(&ids.last().unwrap());
            let devices: Vec<_> =
                page.iter().map(|id| json!({ "id": id, "state": "registered", "revision": 3 })).collect();
            let next = more.then(|| (*page.last().unwrap()).clone());
            return Some(json_answer("200 OK", &json!({ "items": devices, "next": next })));
        }
        let id = path.strip_prefix("/api/v1/devices/").unwrap().strip_suffix("/items?view=reported").unwrap();
        let number = world.fleet.number(id).unwrap();
        let mut items = items_json(&world, number);
        change(number, &mut items);
        Some(json_answer("200 OK", &items))
    })
}

async fn compare(known: Vec<u32>, change: fn(u32, &mut Value)) -> Verified {
    let world = Arc::new(World::new(4));
    let addr = start(Key::P256, api(&world, known, change)).await;
    let ledger = Arc::new(Ledger::new(PHONES));
    (0..PHONES).for_each(|number| ledger.assume_settled(number));
    let admin = Admin::new(addr, "sesame\n").unwrap();
    verify(&admin, &world, &ledger, |_| true, false).await.unwrap()
}

#[tokio::test]
async fn a_complete_fleet_is_verified_over_several_pages() {
    let verified = compare((0..PHONES).collect(), |_, _| ()).await;
    assert_eq!((verified.right, verified.lost), (u64::from(PHONES), 0), "{:?}", verified.samples);
}

#[tokio::test]
async fn a_missing_device_is_lost() {
    let verified = compare((1..PHONES).collect(), |_, _| ()).await;
    assert_eq!((verified.right, verified.lost), (u64::from(PHONES) - 1, 1));
    assert!(verified.samples[0].contains("phone 0 "));
}

#[tokio::test]
async fn a_wrong_missing_or_bare_value_is_lost() {
    let changes: [fn(u32, &mut Value); 4] = [
        |number, items| {
            if number == 2 {
                let item =
                    items["items"].as_array_mut().unwrap().iter_mut().find(|i| i["name"] == "reg-addr");
                item.unwrap()["value"] = "something else".into();
            }
        },
        |number, items| {
            if number == 2 {
                items["items"].as_array_mut().unwrap().remove(300);
            }
        },
        |number, items| {
            if number == 2 {
                items["items"].as_array_mut().unwrap().clear();
            }
        },
        |number, items| {
            let secret = items["items"].as_array_mut().unwrap().iter_mut().find(|i| i["name"] == "user-pwd");
            if number == 2 {
                secret.unwrap()["value"] = "000000".into();
            }
        },
    ];
    for change in changes {
        let verified = compare((0..PHONES).collect(), change).await;
        assert_eq!((verified.right, verified.lost), (u64::from(PHONES) - 1, 1));
        assert!(verified.samples[0].contains("phone 2"), "{:?}", verified.samples);
    }
}

#[tokio::test]
async fn templates_are_created_and_refusals_are_told() {
    let created = Arc::new(AtomicU32::new(0));
    let script: Script = Arc::new({
        let created = Arc::clone(&created);
        move |request: &Request| {
            if request.head.starts_with("GET /api/v1/templates?") {
                return Some(json_answer("200 OK", &json!({ "items": [{ "name": "other" }], "next": null })));
            }
            assert!(request.head.starts_with("POST /api/v1/templates HTTP/1.1\r\n"));
            let body: Value = serde_json::from_str(&request.body).unwrap();
            if created.fetch_add(1, Ordering::Relaxed) > 0 {
                return Some(json_answer("422 Unprocessable Content", &json!({ "title": "no such item" })));
            }
            Some(json_answer("201 Created", &json!({ "id": 1, "name": body["name"] })))
        }
    });
    let admin = Admin::new(start(Key::P256, script).await, "sesame").unwrap();
    let mut session = admin.connect().await.unwrap();
    assert_eq!(session.template_names().await.unwrap(), ["other"]);
    session.create_template(&TEMPLATES[0]).await.unwrap();
    let refused = session.create_template(&TEMPLATES[1]).await.unwrap_err().to_string();
    assert!(refused.contains("no such item"), "{refused}");
}
