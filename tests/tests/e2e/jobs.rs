//! Jobs: one wish for many phones, and a truthful end for each of them.

use callboard_codecs::wpi::Action::{
    CleanUp, FileDeployment, ReadAllItems, Restart, SoftwareDeployment, WriteItems,
};
use callboard_codecs::wpi::{Fragment, Reason, ReplyStatus};
use callboard_tests::admin::{Admin, problem};
use callboard_tests::phone::Phone;
use callboard_tests::server::{Launch, Server};
use callboard_tests::until;
use serde_json::{Value, json};

fn mac(number: u8) -> String {
    format!("00:1a:e8:0a:0b:{number:02x}")
}

/// Phones that the server knows.
async fn phones(server: &Server, count: u8) -> Vec<Phone> {
    let mut phones = Vec::new();
    for number in 1..=count {
        let mut phone = server.phone(&mac(number));
        phone.boot().await;
        phones.push(phone);
    }
    phones
}

async fn submit(admin: &Admin, job: &Value) -> String {
    admin.post("/jobs", job).await["id"].as_str().unwrap().to_owned()
}

/// The job, once it is in this state.
async fn reached(admin: &Admin, job: &str, state: &str) -> Value {
    let path = format!("/jobs/{job}");
    let look = || async {
        let found = admin.get(&path).await;
        (found["state"] == state).then_some(found)
    };
    until(&format!("job to be {state}"), look).await
}

/// So many devices have their task.
async fn placed(admin: &Admin, job: &str, devices: usize) {
    let path = format!("/devices?job={job}");
    let look = || async {
        let found = admin.get(&path).await["items"].as_array().unwrap().len();
        (found == devices).then_some(())
    };
    until("tasks", look).await;
}

/// What came of the job at each device: state and reason.
async fn outcomes(admin: &Admin, job: &str) -> Vec<(String, String)> {
    let page = admin.get(&format!("/jobs/{job}/tasks")).await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let tasks = page["items"].as_array().unwrap();
    tasks.iter().map(|task| (text(&task["state"]), text(&task["reason"]))).collect()
}

#[tokio::test]
async fn a_job_ends_truthfully_at_each_of_its_phones() {
    let server = Server::new().await;
    let admin = server.admin();
    let mut phones = phones(&server, 4).await;
    let body = json!({"type": "write-items", "name": "time", "filter": {}, "wait_seconds": 3,
        "items": [{"name": "sntp-addr", "value": "ntp.example.net"}]});
    let job = submit(&admin, &body).await;
    placed(&admin, &job, 4).await;

    let dialogue = {
        let answer = phones[0].open(Reason::Solicited).await;
        phones[0].follow(answer).await
    };
    assert_eq!(dialogue.actions, [WriteItems, CleanUp]);
    assert_eq!(phones[0].setting("sntp-addr"), Some("ntp.example.net"));
    // The second one refuses, the third is in a call and then is not, the fourth is silent.
    phones[1].open(Reason::Solicited).await;
    let refused = phones[1].reply(WriteItems, ReplyStatus::Failed, Fragment::Final, &[]).await;
    assert!(refused.is_end());
    phones[2].open(Reason::Solicited).await;
    let busy = phones[2].reply(WriteItems, ReplyStatus::Busy, Fragment::Final, &[]).await;
    assert_eq!(busy.item("send-solicited"), Some("true"));
    let answer = phones[2].open(Reason::Solicited).await;
    assert_eq!(phones[2].follow(answer).await.actions, [WriteItems, CleanUp]);

    let ended = reached(&admin, &job, "failed").await;
    let progress = &ended["progress"];
    assert_eq!(
        (&progress["successful"], &progress["failed"], &progress["timeout"], &progress["devices"]),
        (&json!(2), &json!(1), &json!(1), &json!(4)),
        "{ended}"
    );
    let expected = [
        ("successful", ""),
        ("failed", "refused by the phone"),
        ("successful", ""),
        ("timeout", "the phone did not call in time"),
    ];
    let expected: Vec<_> = expected.map(|(state, why)| (state.to_owned(), why.to_owned())).into();
    assert_eq!(outcomes(&admin, &job).await, expected);
    // Nobody is told again.
    for phone in &mut phones {
        let answer = phone.open(Reason::Solicited).await;
        assert!(answer.is_end(), "{answer:?}");
    }
}

fn software(version: &str) -> Value {
    json!({"type": "software-deployment", "devices": [mac(1)], "software": {
        "url": "https://198.51.100.7:18443/files/5ecre7/OS60_SIP_V3_R6_0_0.img",
        "software_type": "Siemens SIP", "version": version}})
}

#[tokio::test]
async fn firmware_is_deployed_once_whenever_the_server_is_killed() {
    let server = Server::new().await;
    let mut phone = phones(&server, 1).await.remove(0);
    let job = submit(&server.admin(), &software("V3 R6.0.0")).await;
    // At once: whether the task is placed or not, the job is not forgotten.
    let server = server.kill().await.start().await;
    placed(&server.admin(), &job, 1).await;
    phone.address = server.door("wpi");
    phone.hang_up();
    let answer = phone.open(Reason::Solicited).await;
    assert_eq!(answer.action, SoftwareDeployment);
    assert_eq!(answer.item("file-sw-version"), Some("V3 R6.0.0"));
    let url = answer.item("file-https-base-url").unwrap();
    assert!(url.ends_with("/files/5ecre7/OS60_SIP_V3_R6_0_0.img"));

    let server = server.kill().await.start().await;
    let admin = server.admin();
    phone.address = server.door("wpi");
    phone.hang_up();
    assert_eq!(admin.get(&format!("/jobs/{job}")).await["state"], "running");
    assert!(phone.open(Reason::Solicited).await.is_end(), "not twice");
    phone.settings.insert(("software-version".to_owned(), None), "V3 R6.0.0".to_owned());
    assert_eq!(phone.boot().await.actions, [ReadAllItems, CleanUp]);
    reached(&admin, &job, "successful").await;
    let shown = admin.get(&format!("/jobs/{job}")).await.to_string() + &server.log.text();
    assert!(!shown.contains("5ecre7"), "whoever has the address gets the file");
}

#[tokio::test]
async fn a_phone_with_the_old_version_has_failed() {
    let server = Server::new().await;
    let admin = server.admin();
    let mut phone = phones(&server, 1).await.remove(0);
    let job = submit(&admin, &software("V3 R6.0.0")).await;
    placed(&admin, &job, 1).await;
    assert_eq!(phone.open(Reason::Solicited).await.action, SoftwareDeployment);
    phone.hang_up();
    assert!(phone.boot().await.last.is_end());
    reached(&admin, &job, "failed").await;
    let (state, reason) = outcomes(&admin, &job).await.remove(0);
    assert!(state == "failed" && reason.starts_with("booted with "), "{reason}");
}

#[tokio::test]
async fn files_and_restarts_are_handed_out_and_answered_later() {
    let server = Server::new().await;
    let admin = server.admin();
    let mut phone = phones(&server, 1).await.remove(0);
    let files = json!({"type": "file-deployment", "devices": [mac(1)], "files": [
        {"action": "deploy", "type": "RINGTONE", "ftp": {"server": "198.51.100.9", "username": "pub",
         "password": "s3same", "path": "/media", "name": "bell.wav"}}]});
    let files = submit(&admin, &files).await;
    placed(&admin, &files, 1).await;
    let answer = phone.open(Reason::Solicited).await;
    assert_eq!((answer.action, answer.item("file-pwd")), (FileDeployment, Some("s3same")));
    let mut items = phone.basic_items();
    for (name, value) in [("name", "bell.wav"), ("type", "RINGTONE"), ("status", "ok")] {
        items.push(((format!("file-deployment-{name}"), None), value.to_owned()));
    }
    phone.hang_up();
    assert!(phone.say(Reason::Status, Fragment::Final, &items).await.is_end());
    reached(&admin, &files, "successful").await;

    let restart = submit(&admin, &json!({"type": "restart", "devices": [mac(1)]})).await;
    placed(&admin, &restart, 1).await;
    assert_eq!(phone.open(Reason::Solicited).await.action, Restart);
    reached(&admin, &restart, "running").await;
    phone.hang_up();
    assert!(phone.boot().await.last.is_end());
    reached(&admin, &restart, "successful").await;
    assert!(!server.log.text().contains("s3same"));
}

#[tokio::test]
async fn a_job_is_cancelled_and_forgotten() {
    let server = Server::new().await;
    let admin = server.admin();
    let mut phone = phones(&server, 1).await.remove(0);
    let later = json!({"type": "restart", "filter": {}, "schedule": {"at": "2199-01-31T22:00",
        "time_zone": "Europe/Berlin"}});
    let job = submit(&admin, &later).await;
    let found = reached(&admin, &job, "not-active").await;
    assert_eq!(found["schedule"]["at"], "2199-01-31T21:00:00.000Z");
    problem(&admin.request("DELETE", &format!("/jobs/{job}"), "", "").await, 409, "conflict");
    admin.post(&format!("/jobs/{job}/cancel"), &json!({})).await;
    reached(&admin, &job, "cancelled").await;
    assert!(phone.open(Reason::Solicited).await.is_end());
    let gone = admin.request("DELETE", &format!("/jobs/{job}"), "", "").await;
    assert_eq!(gone.status, 204, "{}", gone.text());
    let server = server.kill().await.start().await;
    problem(&server.admin().request("GET", &format!("/jobs/{job}"), "", "").await, 404, "not-found");
}

#[tokio::test]
async fn what_a_phone_takes_too_long_for_ends_by_time() {
    let launch = Launch::new().set("jobs.running_timeout_s", 1);
    let server = launch.start().await;
    let admin = server.admin();
    let mut phone = phones(&server, 1).await.remove(0);
    let job = submit(&admin, &json!({"type": "restart", "devices": [mac(1)]})).await;
    placed(&admin, &job, 1).await;
    assert_eq!(phone.open(Reason::Solicited).await.action, Restart);
    reached(&admin, &job, "timeout").await;
    assert_eq!(outcomes(&admin, &job).await[0].1, "no outcome within 1 s");
}
