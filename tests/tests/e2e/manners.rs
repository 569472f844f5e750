//! Jobs at phones of four generations of firmware that are in a call, refuse, disappear halfway, come back with their old
//! version, or are silent.

use callboard_codecs::wpi::Reason::{Solicited, StartUp};
use callboard_tests::admin::Admin;
use callboard_tests::contact::WebServer;
use callboard_tests::generation::Generation;
use callboard_tests::handset::{Handset, Manner};
use callboard_tests::jobs::{Job, alike};
use callboard_tests::server::{Launch, Server};
use serde_json::{Value, json};

const NOTHING: [&str; 0] = [];

/// A file at an FTP server.
fn ftp(name: &str) -> Value {
    json!({"server": "198.51.100.9", "username": "pub", "password": "s3same", "path": "/media", "name": name})
}

fn software(priority: &str) -> Value {
    json!({"type": "software-deployment", "software": {"ftp": ftp("phone.img"), "priority": priority,
        "software_type": "Siemens SIP", "version": "V3 R7.0.0"}})
}

fn file() -> Value {
    json!({"type": "file-deployment", "files": [{"action": "deploy", "type": "RINGTONE", "ftp": ftp("bell.wav")}]})
}

fn files() -> Value {
    json!({"type": "file-deployment", "files": [{"action": "deploy", "type": "LOGO", "ftp": ftp("logo.png")},
        {"action": "delete", "type": "RINGTONE", "name": "old.wav"}]})
}

fn write() -> Value {
    json!({"type": "write-items", "items": [{"name": "hostname", "value": "lobby"}]})
}

fn read() -> Value {
    json!({"type": "read-items", "items": [{"name": "hostname"}]})
}

fn plain(task: &str) -> Value {
    json!({"type": task})
}

const FTP: &str = "file-server=198.51.100.9 file-port=21 file-username=pub file-pwd=s3same file-path=/media";

/// What phones are told for firmware.
fn told_software(priority: &str) -> String {
    format!(
        "SoftwareDeployment {FTP} file-name=phone.img file-type=APP file-sw-type=Siemens SIP \
         file-sw-version=V3 R7.0.0 file-priority={priority}"
    )
}

fn told_file() -> String {
    format!("FileDeployment file-type=RINGTONE {FTP} file-name=bell.wav")
}

const RESET: &str = "Restart restart-password=124816 restart-type=FactoryReset";
const RESET_AND_KEEP: &str = "Restart restart-password=124816 restart-type=FactoryResetKeepCertificates";
const CREDENTIALS: &str = "WriteItems goto-secure-mode=nopin dls-client-certificate=* dls-server-ca[0]=* \
                           dls-server-ca[1]= dls-secure-port=*";

/// Submits a job for these phones.
async fn submit(admin: &Admin, handsets: &[Handset], mut job: Value) -> Job {
    job["devices"] = handsets.iter().map(|handset| handset.phone.mac.as_str()).collect();
    Job::submit(admin, &job).await
}

/// Waits for the end of a job that is done at all four phones.
async fn successful(job: &Job) {
    job.ended("successful", &[("successful", 4)]).await;
}

async fn nothing_is_left(handsets: &mut [Handset]) {
    for handset in handsets {
        handset.manner = Manner::Obeys;
        assert_eq!(handset.call(Solicited).await, NOTHING, "{:?}", handset.generation);
        assert_eq!(handset.boots().await, NOTHING, "{:?}", handset.generation);
    }
}

#[tokio::test]
async fn phones_in_a_call_are_read_now_and_written_when_they_are_idle() {
    let server = Launch::new().set("secure_mode.credentials_per_source", 16).start().await;
    let admin = server.admin();
    let mut handsets = Handset::of_all_generations(&server).await;
    let mut jobs = Vec::new();
    for (job, told) in
        [(plain("read-all"), "ReadAllItems"), (read(), "ReadItems hostname="), (software("immediate"), "")]
    {
        let job = submit(&admin, &handsets, job).await;
        for handset in &mut handsets {
            handset.manner = Manner::InCall;
            let told = if told.is_empty() { told_software("immediate") } else { told.to_owned() };
            assert_eq!(handset.call(Solicited).await, [told]);
            assert!(!handset.calls_back);
            assert!(matches!(&handset.goes_on().await[..], [] | [_]), "what other firmware has is read");
        }
        jobs.push(job);
    }
    admin.template("time", 10, &[("sntp-addr", None, "ntp.example.net")]).await;
    for (job, told) in [
        (plain("apply-templates"), "WriteItems sntp-addr=ntp.example.net"),
        (write(), "WriteItems hostname=lobby"),
        (plain("secure-mode-on"), CREDENTIALS),
    ] {
        let job = submit(&admin, &handsets, job).await;
        for handset in &mut handsets {
            handset.manner = Manner::InCall;
            assert_eq!(handset.call(Solicited).await, [told]);
            // All of them were asked to, and all of them have firmware now that knows it.
            assert!(handset.calls_back);
        }
        let open = if told == CREDENTIALS { "running" } else { "waiting" };
        job.counts(&[(open, 4)]).await;
        for handset in &mut handsets {
            handset.manner = Manner::Obeys;
            assert_eq!(handset.call(Solicited).await, [told]);
            assert_eq!(handset.goes_on().await, NOTHING);
        }
        jobs.push(job);
    }
    for job in &jobs {
        successful(job).await;
    }
    nothing_is_left(&mut handsets).await;
}

#[tokio::test]
async fn phones_in_a_call_are_called_again_unless_they_call_by_themselves() {
    let keys = ["spacing", "retry_first", "retry_second", "retry_later"];
    let launch = Launch::new().set("contact.allow_networks", "127.0.0.0/8").set("contact.tries", 20);
    let launch = keys.iter().fold(launch, |launch, key| launch.set(&format!("contact.{key}_s"), 1));
    let server = launch.start().await;
    let admin = server.admin();
    for (number, generation) in (1..).zip(Generation::ALL) {
        let mut web = WebServer::phone().await;
        let mut handset = Handset::new(&server, generation, &format!("00:1a:e8:0a:0b:{number:02x}"));
        handset.phone.contact_me_uri = web.uri();
        assert_eq!(handset.call(StartUp).await, ["ReadAllItems"]);
        let mut handsets = [handset];
        let job = submit(&admin, &handsets, software("normal")).await;
        let [handset] = &mut handsets;
        web.called().await;
        handset.manner = Manner::InCall;
        assert_eq!(handset.call(Solicited).await, [told_software("normal")]);
        job.counts(&[("waiting", 1)]).await;
        handset.manner = Manner::Obeys;
        if !handset.calls_back {
            web.called().await;
        }
        assert_eq!(handset.calls_back, generation == Generation::V3);
        assert_eq!(handset.call(Solicited).await, [told_software("normal")]);
        assert_eq!(handset.goes_on().await, ["ReadAllItems"]);
        job.ended("successful", &[("successful", 1)]).await;
        nothing_is_left(&mut handsets).await;
    }
}

#[tokio::test]
async fn phones_that_refuse_have_failed() {
    let server = Server::new().await;
    let admin = server.admin();
    let mut handsets = Handset::of_all_generations(&server).await;
    let refused = "refused by the phone";
    let mut jobs = Vec::new();
    for (job, told, reason) in [
        (plain("read-all"), "ReadAllItems".to_owned(), refused),
        (read(), "ReadItems hostname=".to_owned(), refused),
        (write(), "WriteItems hostname=lobby".to_owned(), refused),
        (software("normal"), told_software("normal"), refused),
        (file(), told_file(), "bell.wav (failed)"),
        (plain("restart"), "Restart".to_owned(), refused),
        (plain("factory-reset"), RESET.to_owned(), refused),
        (plain("factory-reset-keep-certificates"), RESET_AND_KEEP.to_owned(), refused),
        (plain("apply-templates"), "WriteItems sntp-addr=ntp.example.net".to_owned(), "1 item refused"),
    ] {
        if job["type"] == "apply-templates" {
            admin.template("time", 10, &[("sntp-addr", None, "ntp.example.net")]).await;
        }
        let job = submit(&admin, &handsets, job).await;
        for handset in &mut handsets {
            handset.manner = Manner::Refuses;
            assert_eq!(handset.call(Solicited).await, [told.as_str()]);
            assert_eq!(handset.goes_on().await, NOTHING);
        }
        jobs.push((job, reason));
    }
    for (job, reason) in jobs {
        job.ended("failed", &[("failed", 4)]).await;
        assert_eq!(job.outcomes().await, alike(4, "failed", reason));
    }
    nothing_is_left(&mut handsets).await;
}

#[tokio::test]
async fn several_files_that_a_phone_refuses_end_by_its_word_or_by_time() {
    let server = Server::new().await;
    let mut handsets = Handset::of_all_generations(&server).await;
    let mut job = files();
    job["running_seconds"] = json!(3);
    let job = submit(&server.admin(), &handsets, job).await;
    for handset in &mut handsets {
        handset.manner = Manner::Refuses;
        assert_eq!(handset.call(Solicited).await.len(), 1);
        assert_eq!(handset.goes_on().await, NOTHING);
    }
    job.ended("failed", &[("failed", 1), ("timeout", 3)]).await;
    let mut expected = alike(3, "timeout", "no outcome within 3 s");
    expected.extend(alike(1, "failed", "logo.png (failed), old.wav (failed)"));
    assert_eq!(job.outcomes().await, expected);
    nothing_is_left(&mut handsets).await;
}

#[tokio::test]
async fn what_a_phone_did_not_answer_is_told_again() {
    let server = Launch::new().set("secure_mode.credentials_per_source", 16).start().await;
    let admin = server.admin();
    let mut handsets = Handset::of_all_generations(&server).await;
    admin.template("time", 10, &[("sntp-addr", None, "ntp.example.net")]).await;
    let mut jobs = Vec::new();
    for (job, told) in [
        // While its templates are not applied they stand before each task.
        (plain("apply-templates"), "WriteItems sntp-addr=ntp.example.net"),
        (plain("read-all"), "ReadAllItems"),
        (read(), "ReadItems hostname="),
        (write(), "WriteItems hostname=lobby"),
        (plain("secure-mode-on"), CREDENTIALS),
        (plain("secure-mode-off"), "WriteItems dls-mode-secure=0"),
    ] {
        let job = submit(&admin, &handsets, job).await;
        for handset in &mut handsets {
            handset.manner = Manner::Disappears;
            assert_eq!(handset.call(Solicited).await, [told]);
        }
        // Secure mode begins with the choice of the mode.
        let is_begun = told == CREDENTIALS || told == "WriteItems dls-mode-secure=0";
        job.counts(&[(if is_begun { "running" } else { "waiting" }, 4)]).await;
        for handset in &mut handsets {
            handset.manner = Manner::Obeys;
            assert_eq!(handset.call(Solicited).await, [told]);
            assert_eq!(handset.goes_on().await, NOTHING);
        }
        jobs.push(job);
    }
    for job in &jobs {
        successful(job).await;
    }
    nothing_is_left(&mut handsets).await;
}

#[tokio::test]
async fn what_was_handed_out_is_not_told_again() {
    let server = Server::new().await;
    let admin = server.admin();
    let mut handsets = Handset::of_all_generations(&server).await;
    // The other way round than they are done (WPI reference, section 6.3); within one stage in their order.
    let wishes = [
        plain("restart"),
        plain("factory-reset"),
        plain("factory-reset-keep-certificates"),
        file(),
        files(),
        software("normal"),
    ];
    let mut jobs = Vec::new();
    for mut wish in wishes {
        wish["running_seconds"] = json!(3);
        jobs.push(submit(&admin, &handsets, wish).await);
    }
    let several = format!(
        "FileDeployment file-action[1]=deploy file-type[1]=LOGO {} file-name[1]=logo.png file-action[2]=delete \
         file-type[2]=RINGTONE file-name[2]=old.wav",
        FTP.replace('=', "[1]=")
    );
    let told = [
        told_software("normal"),
        told_file(),
        several,
        "Restart".into(),
        RESET.into(),
        RESET_AND_KEEP.into(),
    ];
    for handset in &mut handsets {
        handset.manner = Manner::Disappears;
        for told in &told {
            assert_eq!(handset.call(Solicited).await, [told.as_str()]);
        }
        assert_eq!(handset.call(Solicited).await, NOTHING);
    }
    for job in &jobs {
        job.ended("timeout", &[("timeout", 4)]).await;
        assert_eq!(job.outcomes().await, alike(4, "timeout", "no outcome within 3 s"));
    }
    nothing_is_left(&mut handsets).await;
    // What is over stays over, although the phones have booted now.
    for job in &jobs {
        job.ended("timeout", &[("timeout", 4)]).await;
    }
}

#[tokio::test]
async fn phones_that_keep_their_version_have_failed_and_are_left_alone() {
    let server = Server::new().await;
    let admin = server.admin();
    let mut handsets = Handset::of_all_generations(&server).await;
    let job = submit(&admin, &handsets, software("normal")).await;
    for handset in &mut handsets {
        handset.manner = Manner::KeepsVersion;
        assert_eq!(handset.call(Solicited).await, [told_software("normal")]);
        assert_eq!(handset.goes_on().await, NOTHING);
    }
    job.ended("failed", &[("failed", 4)]).await;
    let reason = |generation: Generation| format!("booted with {}, not with V3 R7.0.0", generation.version());
    let expected = Generation::ALL.map(|generation| ("failed".to_owned(), reason(generation)));
    assert_eq!(job.outcomes().await, expected);

    // Within a quarter of an hour there is no second try: it would be a loop.
    let again = submit(&admin, &handsets, software("immediate")).await;
    nothing_is_left(&mut handsets).await;
    again.counts(&[("waiting", 4)]).await;
    assert_eq!(again.state().await, "created");
    again.cancel().await;
    again.ended("cancelled", &[("cancelled", 4)]).await;
    assert_eq!(again.outcomes().await, alike(4, "cancelled", "the job was cancelled"));
}

#[tokio::test]
async fn silent_phones_are_given_up_and_told_nothing_later() {
    let server = Server::new().await;
    let admin = server.admin();
    let mut handsets = Handset::of_all_generations(&server).await;
    let mut jobs = Vec::new();
    for mut wish in [
        plain("read-all"),
        read(),
        write(),
        plain("apply-templates"),
        software("normal"),
        file(),
        files(),
        plain("restart"),
        plain("factory-reset"),
        plain("factory-reset-keep-certificates"),
    ] {
        wish["wait_seconds"] = json!(1);
        jobs.push(submit(&admin, &handsets, wish).await);
    }
    for job in &jobs {
        job.ended("timeout", &[("timeout", 4)]).await;
        assert_eq!(job.outcomes().await, alike(4, "timeout", "the phone did not call in time"));
    }
    nothing_is_left(&mut handsets).await;
}
