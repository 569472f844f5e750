//! Phones boot, are known, are configured, and stay so.

use callboard_codecs::wpi::Action::{CleanUp, GetNextFragment, ReadAllItems, WriteItems};
use callboard_codecs::wpi::{Fragment, ReplyStatus};
use callboard_tests::server::Server;
use serde_json::json;

const MAC: &str = "00:1a:e8:0a:0b:0c";

/// Two templates of different ranking, which set one item both.
async fn templates(server: &Server) {
    let admin = server.admin();
    let (low, high) = (10, 20);
    admin
        .template("site", low, &[("sntp-addr", None, "ntp.example.net"), ("sntp-tz-offset", None, "60")])
        .await;
    let keys = [
        ("sntp-tz-offset", None, "120"),
        ("display-id-unicode", None, "%%{e164,$-4}"),
        ("function-key-def", Some(3), "1"),
        ("key-label-unicode", Some(3), "Søren & Co"),
    ];
    admin.template("keys", high, &keys).await;
}

#[tokio::test]
async fn a_new_phone_is_read_written_and_shown() {
    let server = Server::new().await;
    templates(&server).await;
    let mut phone = server.phone(MAC);
    let dialogue = phone.boot().await;
    assert_eq!(dialogue.actions, [ReadAllItems, WriteItems, CleanUp]);
    assert_eq!(dialogue.written.len(), 5, "{:?}", dialogue.written);
    assert_eq!(phone.setting("sntp-tz-offset"), Some("120"), "the higher ranking wins");
    assert_eq!(phone.setting("display-id-unicode"), Some(&phone.e164()[6..]));

    let admin = server.admin();
    let device = admin.device(MAC).await;
    assert_eq!(device["id"], MAC);
    assert_eq!(device["state"], "registered");
    assert_eq!(device["device_type"], "OpenStage 60");
    assert_eq!(device["software_version"], "V3 R5.12.0");
    assert_eq!(device["e164"], phone.e164());
    assert_eq!(device["source"], "127.0.0.1");
    assert_eq!(device["template_fault_count"], 0);
    let reported = admin.items(MAC, "reported").await;
    for ((name, index), value) in &phone.settings {
        let name = index.map_or(name.clone(), |index| format!("{name}[{index}]"));
        let shown = reported.iter().find(|(found, _)| *found == name).map(|(_, value)| value);
        // `NULL` and nothing are one (WPI reference, section 10.1); all others must be the same.
        let value = if value == "NULL" { "" } else { value };
        let same =
            shown.and_then(|shown| shown.as_str()).map(|shown| if shown == "NULL" { "" } else { shown });
        assert_eq!(same, Some(value), "{name}");
    }
    assert_eq!(admin.items(MAC, "desired").await.len(), 5);
    assert_eq!(admin.items(MAC, "difference").await, []);
    assert_eq!(admin.events("device-registered", MAC).await.len(), 1);
}

#[tokio::test]
async fn what_clean_up_acknowledged_survives_a_kill() {
    let server = Server::new().await;
    templates(&server).await;
    let mut phone = server.phone(MAC);
    phone.boot().await;
    let before = (server.admin().device(MAC).await, server.admin().items(MAC, "reported").await);
    // A second phone is cut down in the very moment of its acknowledgement.
    let mut other = server.phone("00:1a:e8:0a:0b:0d");
    assert!(other.boot().await.last.is_end());
    let server = server.kill().await.start().await;
    let admin = server.admin();
    assert_eq!((admin.device(MAC).await, admin.items(MAC, "reported").await), before);
    assert_eq!(admin.device(&other.mac).await["state"], "registered");
    assert_eq!(admin.item(&other.mac, "reported", "sntp-addr").await, Some(json!("ntp.example.net")));
    // Both are known: there is nothing to say to them.
    for phone in [&mut phone, &mut other] {
        phone.address = server.door("wpi");
        phone.hang_up();
        assert_eq!(phone.boot().await.actions, [CleanUp]);
    }
}

#[tokio::test]
async fn a_half_read_phone_is_read_again_after_a_kill() {
    let server = Server::new().await;
    let mut phone = server.phone(MAC);
    assert_eq!(phone.start_up().await.action, ReadAllItems);
    let part: Vec<_> = phone.settings.clone().into_iter().take(5).collect();
    let answer = phone.reply(ReadAllItems, ReplyStatus::Accepted, Fragment::Next, &part).await;
    assert_eq!(answer.action, GetNextFragment);
    let server = server.kill().await.start().await;
    phone.address = server.door("wpi");
    phone.hang_up();
    assert_eq!(phone.boot().await.actions, [ReadAllItems, CleanUp]);
    assert_eq!(server.admin().device(MAC).await["state"], "registered");
}

#[tokio::test]
async fn a_changed_template_reaches_the_phone_at_its_next_contact() {
    let server = Server::new().await;
    let admin = server.admin();
    let id = admin.template("time", 1, &[("sntp-addr", None, "one.example.net")]).await;
    let mut phone = server.phone(MAC);
    phone.boot().await;
    let body = json!({"name": "time", "kind": "default", "applies_to": "all",
        "items": [{"name": "sntp-addr", "value": "two.example.net"}]});
    admin.put(&format!("/templates/{id}"), &body).await;
    let difference = admin.items(MAC, "difference").await;
    assert_eq!(difference, [("sntp-addr".to_owned(), json!("two.example.net"))]);
    let dialogue = phone.boot().await;
    assert_eq!(dialogue.actions, [WriteItems, CleanUp]);
    assert_eq!(phone.setting("sntp-addr"), Some("two.example.net"));
    assert_eq!(admin.items(MAC, "difference").await, []);
    // And again after a kill: the write is remembered.
    let server = server.kill().await.start().await;
    phone.address = server.door("wpi");
    phone.hang_up();
    assert_eq!(phone.boot().await.actions, [CleanUp]);
}

#[tokio::test]
async fn a_busy_phone_is_asked_to_call_back() {
    let server = Server::new().await;
    let mut phone = server.phone(MAC);
    phone.boot().await;
    server.admin().template("time", 1, &[("sntp-addr", None, "one.example.net")]).await;
    assert_eq!(phone.start_up().await.action, WriteItems);
    let answer = phone.reply(WriteItems, ReplyStatus::Busy, Fragment::Final, &[]).await;
    assert_eq!((answer.action, answer.item("send-solicited")), (CleanUp, Some("true")));
    let answer = phone.open(callboard_codecs::wpi::Reason::Solicited).await;
    assert_eq!(phone.follow(answer).await.actions, [WriteItems, CleanUp]);
    assert_eq!(phone.setting("sntp-addr"), Some("one.example.net"));
}
