//! Jobs that are cancelled, begin later, hold back, or live through a crash.

use std::time::{SystemTime, UNIX_EPOCH};

use callboard_codecs::wpi::Action::{CleanUp, SoftwareDeployment};
use callboard_codecs::wpi::Reason::{Solicited, StartUp};
use callboard_codecs::wpi::{Fragment, ReplyStatus};
use callboard_tests::admin::problem;
use callboard_tests::generation::Generation;
use callboard_tests::handset::Handset;
use callboard_tests::jobs::{Job, alike};
use callboard_tests::server::Server;
use serde_json::{Value, json};

const NOTHING: [&str; 0] = [];
const WRITTEN: &str = "WriteItems hostname=lobby";

fn write() -> Value {
    json!({"type": "write-items", "filter": {}, "items": [{"name": "hostname", "value": "lobby"}]})
}

fn software(restrictions: &Value) -> Value {
    json!({"type": "software-deployment", "filter": {}, "software": {"software_type": "Siemens SIP",
        "version": "V3 R7.0.0", "restrictions": restrictions,
        "ftp": {"server": "198.51.100.9", "path": "/", "name": "phone.img"}}})
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// What a clock in UTC shows at this second (H. Hinnant's way of counting the days of a date).
fn clock(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + u64::from(month <= 2);
    let (hours, minutes, seconds) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}")
}

#[tokio::test]
async fn a_job_is_cancelled_in_the_middle() {
    let server = Server::new().await;
    let admin = server.admin();
    let mut handsets = Handset::of_all_generations(&server).await;
    let written = Job::submit(&admin, &write()).await;
    let restarted = Job::submit(&admin, &json!({"type": "restart", "filter": {}})).await;
    for handset in &mut handsets[..2] {
        assert_eq!(handset.call(Solicited).await, [WRITTEN, "Restart"]);
    }
    // The next one is being told while the job is taken back.
    assert_eq!(handsets[2].peek(Solicited).await.as_deref(), Some(WRITTEN));
    written.cancel().await;
    restarted.cancel().await;
    let mut expected = alike(2, "successful", "");
    expected.extend(alike(2, "cancelled", "the job was cancelled"));
    written.ended("cancelled", &[("successful", 2), ("cancelled", 2)]).await;
    assert_eq!(written.outcomes().await, expected);
    // What was handed out goes on, and what comes of it is noted.
    restarted.reached("running").await;
    assert_eq!(handsets[0].goes_on().await, NOTHING);
    assert_eq!(handsets[1].goes_on().await, NOTHING);
    restarted.ended("cancelled", &[("successful", 2), ("cancelled", 2)]).await;
    for handset in &mut handsets {
        assert_eq!(handset.call(Solicited).await, NOTHING);
        assert_eq!(handset.boots().await, NOTHING);
    }
    let refused = admin.request("POST", &format!("/jobs/{}/cancel", written.id), "", "").await;
    problem(&refused, 409, "conflict");
}

#[tokio::test]
async fn what_was_cancelled_while_it_was_handed_out_is_not_told_again_to_a_busy_phone() {
    let server = Server::new().await;
    let mut handsets = Handset::of_all_generations(&server).await;
    let job = Job::submit(&server.admin(), &software(&json!({"intervals": []}))).await;
    for handset in &mut handsets {
        assert_eq!(handset.phone.open(Solicited).await.action, SoftwareDeployment);
    }
    job.cancel().await;
    job.counts(&[("running", 4)]).await;
    for handset in &mut handsets {
        let answer = handset.phone.reply(SoftwareDeployment, ReplyStatus::Busy, Fragment::Final, &[]).await;
        assert_eq!(answer.action, CleanUp);
    }
    job.ended("cancelled", &[("cancelled", 4)]).await;
    for handset in &mut handsets {
        assert_eq!(handset.call(Solicited).await, NOTHING);
        assert_eq!(handset.boots().await, NOTHING);
    }
}

#[tokio::test]
async fn a_job_begins_when_the_clock_in_its_time_zone_says_so() {
    let server = Server::new().await;
    let admin = server.admin();
    let mut handsets = Handset::of_all_generations(&server).await;
    // India is five and a half hours ahead of UTC all the year.
    let (begins, ahead) = (now() + 5, 5 * 3_600 + 30 * 60);
    let mut job = write();
    job["schedule"] = json!({"at": clock(begins + ahead), "time_zone": "Asia/Kolkata"});
    let mut restart = json!({"type": "restart", "devices": [handsets[3].phone.mac]});
    restart["schedule"] = json!({"at": clock(now() + 86_400)});
    let job = Job::submit(&admin, &job).await;
    let restart = Job::submit(&admin, &restart).await;
    let shown = job.now().await;
    assert_eq!(shown["schedule"]["at"], format!("{}.000Z", clock(begins)));
    assert_eq!(shown["schedule"]["time_zone"], "Asia/Kolkata");
    let told = handsets[0].call(Solicited).await;
    if job.state().await == "not-active" {
        assert_eq!(told, NOTHING, "its time has not come");
        job.counts(&[("waiting", 4)]).await;
    }
    assert_eq!(restart.state().await, "not-active");
    // When it has begun, all are told, and not before.
    job.reached("created").await;
    for handset in &mut handsets[usize::from(!told.is_empty())..] {
        assert_eq!(handset.call(Solicited).await, [WRITTEN]);
    }
    job.ended("successful", &[("successful", 4)]).await;
    restart.cancel().await;
    restart.ended("cancelled", &[("cancelled", 1)]).await;
    let refused = json!({"type": "restart", "filter": {}, "schedule": {"at": clock(now() - 60)}}).to_string();
    let refused = admin.request("POST", "/jobs", "", &refused).await;
    assert_eq!(problem(&refused, 422, "validation")["errors"][0]["field"], "schedule.at");
}

#[tokio::test]
async fn a_filter_means_the_devices_of_the_moment_of_submission() {
    let server = Server::new().await;
    let admin = server.admin();
    let mut handsets = Handset::of_all_generations(&server).await;
    let mut wish = write();
    wish["filter"] = json!({"software_version": "V3 R5.12.0"});
    let newest = Job::submit(&admin, &wish).await;
    let all = Job::submit(&admin, &json!({"type": "restart", "filter": {}})).await;
    assert_eq!((newest.devices, all.devices), (1, 4));
    // One that comes later has nothing to do with it, and neither has one that is what the filter wants only now.
    let mut late = Handset::new(&server, Generation::V3, "00:1a:e8:0a:0b:05");
    assert_eq!(late.call(StartUp).await, ["ReadAllItems"]);
    assert_eq!(late.call(Solicited).await, NOTHING);
    for handset in &mut handsets {
        let told = handset.call(Solicited).await;
        let expected =
            if handset.generation == Generation::V3 { &[WRITTEN, "Restart"][..] } else { &["Restart"] };
        assert_eq!(told, expected);
        assert_eq!(handset.goes_on().await, NOTHING);
    }
    newest.ended("successful", &[("successful", 1)]).await;
    all.ended("successful", &[("successful", 4)]).await;
}

#[tokio::test]
async fn firmware_is_held_back_on_restricted_days_and_nothing_else_is() {
    const DAYS: [&str; 7] = ["thursday", "friday", "saturday", "sunday", "monday", "tuesday", "wednesday"];
    let server = Server::new().await;
    let admin = server.admin();
    let mut handsets = Handset::of_all_generations(&server).await;
    // All days but the one after the day after tomorrow: midnight may come meanwhile.
    let today = usize::try_from(now() / 86_400).unwrap();
    let days = |free: usize| {
        let days = DAYS.iter().enumerate().filter(|(day, _)| *day != free % 7);
        json!({"intervals": days.map(|(_, day)| json!({"weekday": day})).collect::<Vec<_>>()})
    };
    let held = Job::submit(&admin, &software(&days(today + 3))).await;
    let written = Job::submit(&admin, &write()).await;
    for handset in &mut handsets {
        assert_eq!(handset.call(Solicited).await, [WRITTEN]);
        assert_eq!(handset.boots().await, NOTHING);
    }
    written.ended("successful", &[("successful", 4)]).await;
    held.counts(&[("waiting", 4)]).await;
    assert_eq!(held.state().await, "created");
    held.cancel().await;
    held.ended("cancelled", &[("cancelled", 4)]).await;
    // The other way round it is told at once.
    let (far, near) = (DAYS[(today + 3) % 7], DAYS[(today + 4) % 7]);
    let free = json!({"intervals": [{"weekday": far}, {"weekday": near, "from": "08:00", "to": "18:00"}]});
    let free = Job::submit(&admin, &software(&free)).await;
    for handset in &mut handsets {
        let told = handset.call(Solicited).await;
        assert!(told.len() == 1 && told[0].starts_with("SoftwareDeployment "), "{told:?}");
        assert_eq!(handset.goes_on().await, ["ReadAllItems"]);
    }
    free.ended("successful", &[("successful", 4)]).await;
    let mut never = days(0);
    never["intervals"]
        .as_array_mut()
        .unwrap()
        .push(json!({"weekday": DAYS[0], "from": "00:00", "to": "24:00"}));
    let refused = admin.request("POST", "/jobs", "", &software(&never).to_string()).await;
    let field = problem(&refused, 422, "validation")["errors"][0]["field"].clone();
    assert_eq!(field, "software.restrictions.intervals");
}

#[tokio::test]
async fn a_crash_between_the_telling_and_the_answer_loses_nothing_and_repeats_no_boot() {
    let server = Server::new().await;
    let mut handsets = Handset::of_all_generations(&server).await;
    let types = ["write-items", "restart", "factory-reset", "file-deployment"];
    let mut jobs = Vec::new();
    for (handset, task) in handsets.iter().zip(types) {
        let mut wish = write();
        let wish = wish.as_object_mut().unwrap();
        wish.remove("filter");
        wish.insert("type".to_owned(), json!(task));
        wish.insert("devices".to_owned(), json!([handset.phone.mac]));
        if task != "write-items" {
            wish.remove("items");
        }
        if task == "file-deployment" {
            let ftp = json!({"server": "198.51.100.9", "path": "/", "name": "bell.wav"});
            wish.insert("files".to_owned(), json!([{"action": "deploy", "type": "RINGTONE", "ftp": ftp}]));
        }
        jobs.push(Job::submit(&server.admin(), &json!(wish)).await);
    }
    // The first one has been told and has not answered when the server dies; the others do not answer.
    assert_eq!(handsets[0].peek(Solicited).await.as_deref(), Some(WRITTEN));
    for handset in &mut handsets[1..] {
        assert_eq!(handset.call(Solicited).await.len(), 1);
    }
    let server = server.kill().await.start().await;
    let jobs: Vec<_> = jobs.into_iter().map(|job| job.at(&server)).collect();
    for handset in &mut handsets {
        handset.moves_to(&server);
    }
    jobs[0].counts(&[("waiting", 1)]).await;
    assert_eq!(handsets[0].call(Solicited).await, [WRITTEN]);
    for (handset, job) in handsets.iter_mut().zip(&jobs).skip(1) {
        job.counts(&[("running", 1)]).await;
        assert_eq!(handset.call(Solicited).await, NOTHING, "not twice");
        let told = handset.goes_on().await;
        assert!(told.is_empty() || told == ["ReadAllItems"], "{told:?}");
    }
    for job in &jobs {
        job.ended("successful", &[("successful", 1)]).await;
    }
    for handset in &mut handsets {
        assert_eq!(handset.call(Solicited).await, NOTHING);
        assert_eq!(handset.boots().await, NOTHING);
    }
}

#[tokio::test]
async fn a_job_ends_without_devices_that_are_gone() {
    let server = Server::new().await;
    let admin = server.admin();
    let mut handsets = Handset::of_all_generations(&server).await;
    let job = Job::submit(&admin, &write()).await;
    let gone = handsets.pop().unwrap();
    for handset in &mut handsets {
        assert_eq!(handset.call(Solicited).await, [WRITTEN]);
    }
    job.counts(&[("waiting", 1), ("successful", 3)]).await;
    let path = format!("/devices/{}", gone.phone.mac);
    assert_eq!(admin.request("DELETE", &path, "If-Match: *\r\n", "").await.status, 204);
    job.ended("cancelled", &[("successful", 3), ("gone", 1)]).await;
    // It comes back as a new one, which has no part in the job.
    let mut back = Handset::new(&server, Generation::V3, &gone.phone.mac);
    assert_eq!(back.call(StartUp).await, ["ReadAllItems"]);
    assert_eq!(back.call(Solicited).await, NOTHING);

    let mut nobody = write();
    nobody["filter"] = json!({"device_type": "OpenStage 15"});
    let refused = admin.request("POST", "/jobs", "", &nobody.to_string()).await;
    assert_eq!(problem(&refused, 422, "validation")["errors"][0]["field"], "filter");
}
