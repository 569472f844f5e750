//! What a job says in the end is what came of it, also where that shows late or in part.

use callboard_codecs::wpi::Reason::{Solicited, StartUp};
use callboard_tests::generation::Generation;
use callboard_tests::handset::{Handset, Manner};
use callboard_tests::jobs::{Job, alike};
use callboard_tests::server::{Launch, Server};
use serde_json::{Value, json};

const NOTHING: [&str; 0] = [];
const CREDENTIALS: &str = "WriteItems goto-secure-mode=nopin dls-client-certificate=* dls-server-ca[0]=* \
                           dls-server-ca[1]= dls-secure-port=*";
const LEAVE: &str = "WriteItems dls-mode-secure=0";

fn secure_mode(task: &str) -> Value {
    json!({"type": task, "filter": {}})
}

/// One phone of each generation, in default mode or in secure mode.
async fn handsets(server: &Server, is_secure: bool) -> Vec<Handset> {
    let mut handsets = Handset::of_all_generations(server).await;
    if is_secure {
        let job = Job::submit(&server.admin(), &secure_mode("secure-mode-on")).await;
        for handset in &mut handsets {
            assert_eq!(handset.call(Solicited).await, [CREDENTIALS]);
            assert_eq!(handset.goes_on().await, NOTHING);
        }
        job.ended("successful", &[("successful", 4)]).await;
    }
    handsets
}

async fn server() -> Server {
    Launch::new().set("secure_mode.credentials_per_source", 16).start().await
}

#[tokio::test]
async fn phones_that_refuse_to_enter_secure_mode_have_failed() {
    let server = server().await;
    let mut handsets = handsets(&server, false).await;
    let job = Job::submit(&server.admin(), &secure_mode("secure-mode-on")).await;
    for handset in &mut handsets {
        handset.manner = Manner::Refuses;
        assert_eq!(handset.call(Solicited).await, [CREDENTIALS]);
    }
    job.ended("failed", &[("failed", 4)]).await;
    assert_eq!(job.outcomes().await, alike(4, "failed", "the phone refused its credentials"));
}

#[tokio::test]
async fn phones_that_refuse_to_leave_secure_mode_have_failed() {
    let server = server().await;
    let mut handsets = handsets(&server, true).await;
    let job = Job::submit(&server.admin(), &secure_mode("secure-mode-off")).await;
    for handset in &mut handsets {
        handset.manner = Manner::Refuses;
        assert_eq!(handset.call(Solicited).await, [LEAVE]);
    }
    job.ended("failed", &[("failed", 4)]).await;
    assert_eq!(job.outcomes().await, alike(4, "failed", "the phone does not leave secure mode"));
}

#[tokio::test]
async fn silent_phones_are_not_secured_after_their_time() {
    let server = server().await;
    let mut handsets = handsets(&server, false).await;
    let mut wish = secure_mode("secure-mode-on");
    wish["wait_seconds"] = json!(1);
    let job = Job::submit(&server.admin(), &wish).await;
    job.ended("timeout", &[("timeout", 4)]).await;
    for handset in &mut handsets {
        assert_eq!(handset.call(Solicited).await, NOTHING, "its job is over");
        assert_eq!(handset.boots().await, NOTHING, "its job is over");
    }
}

#[tokio::test]
async fn phones_are_not_secured_by_a_job_that_was_cancelled_before_they_called() {
    let server = server().await;
    let mut handsets = handsets(&server, false).await;
    let job = Job::submit(&server.admin(), &secure_mode("secure-mode-on")).await;
    assert_eq!(handsets[0].call(Solicited).await, [CREDENTIALS]);
    job.cancel().await;
    assert_eq!(handsets[0].goes_on().await, NOTHING);
    job.ended("cancelled", &[("successful", 1), ("cancelled", 3)]).await;
    for handset in &mut handsets[1..] {
        assert_eq!(handset.call(Solicited).await, NOTHING);
        assert_eq!(handset.boots().await, NOTHING);
    }
}

#[tokio::test]
async fn what_templates_ask_for_and_a_phone_refused_is_a_failure_each_time() {
    let server = Server::new().await;
    let admin = server.admin();
    let mut handsets = Handset::of_all_generations(&server).await;
    admin.template("time", 10, &[("sntp-addr", None, "ntp.example.net")]).await;
    for told in [&["WriteItems sntp-addr=ntp.example.net"][..], &NOTHING] {
        let job = Job::submit(&admin, &json!({"type": "apply-templates", "filter": {}})).await;
        for handset in &mut handsets {
            handset.manner = Manner::Refuses;
            assert_eq!(handset.call(Solicited).await, told);
        }
        job.ended("failed", &[("failed", 4)]).await;
    }
}

#[tokio::test]
async fn items_that_a_phone_does_not_know_were_not_read() {
    let server = Server::new().await;
    let admin = server.admin();
    let mut handsets = Handset::of_all_generations(&server).await;
    let items = json!([{"name": "hostname"}, {"name": "cfu-ext-activated"}]);
    let job = Job::submit(&admin, &json!({"type": "read-items", "filter": {}, "items": items})).await;
    for handset in &mut handsets {
        assert_eq!(handset.call(Solicited).await, ["ReadItems hostname= cfu-ext-activated="]);
    }
    job.ended("failed", &[("successful", 1), ("failed", 3)]).await;
    let mut expected = alike(3, "failed", "1 item not read");
    expected.extend(alike(1, "successful", "2 items"));
    assert_eq!(job.outcomes().await, expected);
}

#[tokio::test]
async fn each_device_is_counted_once_while_its_task_is_placed() {
    let server = Server::new().await;
    let admin = server.admin();
    let mut handset = Handset::new(&server, Generation::V3, "00:1a:e8:0a:0b:01");
    assert_eq!(handset.call(StartUp).await, ["ReadAllItems"]);
    for _ in 0..10 {
        let job = admin.post("/jobs", &json!({"type": "restart", "filter": {}})).await;
        let id = job["id"].as_str().unwrap();
        assert_eq!(job["progress"]["waiting"], 1, "{job}");
        loop {
            let tasks = admin.get(&format!("/jobs/{id}/tasks")).await;
            let now = admin.get(&format!("/jobs/{id}")).await;
            assert_eq!(now["progress"]["waiting"], 1, "{now}");
            if !tasks["items"].as_array().unwrap().is_empty() {
                break;
            }
        }
    }
}

#[tokio::test]
async fn phones_that_refuse_to_forget_everything_stay_in_secure_mode() {
    let server = server().await;
    let admin = server.admin();
    let mut handsets = handsets(&server, true).await;
    let job = Job::submit(&admin, &json!({"type": "factory-reset", "filter": {}})).await;
    for handset in &mut handsets {
        handset.manner = Manner::Refuses;
        assert_eq!(handset.call(Solicited).await.len(), 1);
    }
    job.ended("failed", &[("failed", 4)]).await;
    for handset in &mut handsets {
        handset.manner = Manner::Obeys;
        assert_eq!(handset.call(Solicited).await, NOTHING, "it has its certificate still");
        let device = admin.device(&handset.phone.mac).await;
        assert_eq!(device["secure_mode"]["mode"], "secure");
    }
}

#[tokio::test]
async fn files_of_one_name_and_two_types_are_two_files() {
    let server = Server::new().await;
    let admin = server.admin();
    let mut handset = Handset::new(&server, Generation::V3, "00:1a:e8:0a:0b:01");
    assert_eq!(handset.call(StartUp).await, ["ReadAllItems"]);
    let file = |file_type: &str| {
        let ftp = json!({"server": "198.51.100.9", "path": "/", "name": "a.png"});
        json!({"action": "deploy", "type": file_type, "ftp": ftp})
    };
    let files = [file("LOGO"), file("PIC")];
    let job = json!({"type": "file-deployment", "devices": [handset.phone.mac], "files": files});
    let job = Job::submit(&admin, &job).await;
    handset.takes_no = "PIC";
    assert_eq!(handset.call(Solicited).await.len(), 1);
    assert_eq!(handset.goes_on().await, NOTHING);
    assert!(handset.has_file("LOGO", "a.png") && !handset.has_file("PIC", "a.png"));
    job.ended("failed", &[("failed", 1)]).await;
    assert_eq!(job.outcomes().await, alike(1, "failed", "a.png (failed)"));
}
