//! Every type of job at phones of four generations of firmware that do what they are told.

use callboard_codecs::wpi::Reason::{Solicited, StartUp};
use callboard_tests::admin::Admin;
use callboard_tests::generation::Generation;
use callboard_tests::handset::Handset;
use callboard_tests::jobs::{Job, alike};
use callboard_tests::server::{Launch, Server};
use callboard_tests::until;
use serde_json::{Value, json};

const NOTHING: [&str; 0] = [];

/// All of them have done everything: whatever they call for, nothing is left.
async fn nothing_is_left(handsets: &mut [Handset]) {
    for handset in handsets {
        for reason in [Solicited, StartUp, Solicited] {
            assert_eq!(handset.call(reason.clone()).await, NOTHING, "{:?} {reason:?}", handset.generation);
        }
    }
}

/// Uploads a file; gives the URL for phones.
async fn upload(server: &Server, query: &str, body: &str) -> String {
    let length = format!("Content-Length: {}\r\n", body.len());
    let mut wire = server.admin().begin("POST", &format!("/files?{query}"), &length).await;
    wire.send(body).await;
    let made = callboard_tests::admin::json(&wire.response().await, 201);
    format!("https://{}{}", server.door("wpi"), made["path"].as_str().unwrap())
}

/// Where phones of a generation fetch a file: in a job, and as they are told.
async fn source(server: &Server, generation: Generation, kind: &str, name: &str) -> (Value, String) {
    if generation.fetches_by_https() {
        let url = upload(server, &format!("name={name}&kind={kind}"), "a file").await;
        return (json!({"url": url}), "file-https-base-url=*".to_owned());
    }
    let ftp = json!({"server": "198.51.100.9", "username": "pub", "password": "s3same", "path": "/media",
        "name": name});
    let told = format!(
        "file-server=198.51.100.9 file-port=21 file-username=pub file-pwd=s3same file-path=/media file-name={name}"
    );
    (json!({"ftp": ftp}), told)
}

/// An object with the members of both.
fn joined(mut one: Value, other: &Value) -> Value {
    one.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
    one
}

async fn mode(admin: &Admin, handset: &Handset) -> String {
    admin.device(&handset.phone.mac).await["secure_mode"]["mode"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn items_are_read() {
    let server = Server::new().await;
    let admin = server.admin();
    let mut handsets = Handset::of_all_generations(&server).await;
    let job = Job::submit(&admin, &json!({"type": "read-all", "filter": {}})).await;
    assert_eq!((job.devices, job.state().await), (4, "created".to_owned()));
    for handset in &mut handsets {
        handset.phone.settings.insert(("hostname".to_owned(), None), "moved".to_owned());
        assert_eq!(handset.call(Solicited).await, ["ReadAllItems"]);
        let mac = &handset.phone.mac;
        assert_eq!(admin.item(mac, "reported", "hostname").await, Some(json!("moved")));
        let last = format!("locked-config-menus[{}]", handset.generation.menus());
        assert_eq!(admin.item(mac, "reported", &last).await, Some(json!("false")));
    }
    job.ended("successful", &[("successful", 4)]).await;
    for (state, reason) in job.outcomes().await {
        assert!(state == "successful" && reason.ends_with(" items"), "{reason}");
    }

    let items = json!([{"name": "reg-addr"}, {"name": "key-label-unicode", "index": 1}]);
    let job = Job::submit(&admin, &json!({"type": "read-items", "filter": {}, "items": items})).await;
    for handset in &mut handsets {
        handset.phone.settings.insert(("reg-addr".to_owned(), None), "198.51.100.21".to_owned());
        assert_eq!(handset.call(Solicited).await, ["ReadItems reg-addr= key-label-unicode[1]="]);
        let told = admin.item(&handset.phone.mac, "reported", "reg-addr").await;
        assert_eq!(told, Some(json!("198.51.100.21")));
    }
    job.ended("successful", &[("successful", 4)]).await;
    assert_eq!(job.outcomes().await, alike(4, "successful", "2 items"));
    nothing_is_left(&mut handsets).await;
}

#[tokio::test]
async fn items_are_written_as_each_generation_can_read_them() {
    let server = Server::new().await;
    let admin = server.admin();
    let mut handsets = Handset::of_all_generations(&server).await;
    let items = json!([{"name": "display-id-unicode", "value": "R&D <\"lab\">"},
        {"name": "key-label-unicode", "index": 16, "value": "Sören"}]);
    let job = Job::submit(&admin, &json!({"type": "write-items", "filter": {}, "items": items})).await;
    for handset in &mut handsets {
        let label = if handset.generation == Generation::V1 { "R+D \"lab\"" } else { "R&D <\"lab\">" };
        let expected = format!("WriteItems display-id-unicode={label} key-label-unicode[16]=Sören");
        assert_eq!(handset.call(Solicited).await, [expected]);
        assert_eq!(handset.phone.setting("display-id-unicode"), Some(label));
    }
    job.ended("successful", &[("successful", 4)]).await;
    assert_eq!(job.outcomes().await, alike(4, "successful", ""));

    // An item that only the newest firmware has, and one that nobody may write.
    let items = json!([{"name": "cfu-ext-activated", "value": "true"}]);
    let job = Job::submit(&admin, &json!({"type": "write-items", "filter": {}, "items": items})).await;
    for handset in &mut handsets {
        assert_eq!(handset.call(Solicited).await, ["WriteItems cfu-ext-activated=true"]);
    }
    job.ended("failed", &[("successful", 1), ("failed", 3)]).await;
    let mut expected = alike(3, "failed", "1 item refused: cfu-ext-activated (unknown item)");
    expected.extend(alike(1, "successful", ""));
    assert_eq!(job.outcomes().await, expected);
    nothing_is_left(&mut handsets).await;
}

#[tokio::test]
async fn templates_are_applied_as_far_as_each_generation_knows_their_items() {
    let server = Server::new().await;
    let admin = server.admin();
    let mut handsets = Handset::of_all_generations(&server).await;
    let items = [("sntp-addr", None, "ntp.example.net"), ("cfu-ext-activated", None, "true")];
    admin.template("time", 10, &items).await;
    let job = Job::submit(&admin, &json!({"type": "apply-templates", "filter": {}})).await;
    // An older phone comes for another reason, and gets what waits all the same.
    let told = handsets[0].change("hostname", "lobby").await;
    assert_eq!(told, ["ReadAllItems", "WriteItems sntp-addr=ntp.example.net"]);
    assert_eq!(handsets[1].call(StartUp).await, ["WriteItems sntp-addr=ntp.example.net"]);
    assert_eq!(handsets[2].change("hostname", "lobby").await, ["WriteItems sntp-addr=ntp.example.net"]);
    let both = "WriteItems sntp-addr=ntp.example.net cfu-ext-activated=true";
    assert_eq!(handsets[3].call(Solicited).await, [both]);
    job.ended("successful", &[("successful", 4)]).await;
    let mut expected = alike(3, "successful", "1 item written, 1 item of the templates do not apply");
    expected.extend(alike(1, "successful", "2 items written"));
    assert_eq!(job.outcomes().await, expected);
    for handset in &handsets {
        assert_eq!(handset.phone.setting("sntp-addr"), Some("ntp.example.net"));
        assert_eq!(
            handset.phone.setting("cfu-ext-activated"),
            handset.generation.forwards_by_type().then_some("true")
        );
    }
    nothing_is_left(&mut handsets).await;
}

#[tokio::test]
async fn each_generation_loads_the_next_one() {
    let server = Server::new().await;
    let admin = server.admin();
    // Written anew once the firmware can read it.
    admin
        .template("name", 10, &[("display-id-unicode", None, "R&D"), ("cfu-ext-activated", None, "true")])
        .await;
    let mut handsets = Vec::new();
    for (number, generation) in (1..).zip(Generation::ALL) {
        let mut handset = Handset::new(&server, generation, &format!("00:1a:e8:0a:0b:{number:02x}"));
        assert_eq!(handset.call(StartUp).await.len(), 2);
        handsets.push(handset);
    }
    let mut jobs = Vec::new();
    for handset in &mut handsets {
        let old = handset.generation;
        let next = old.next_version();
        let (source, told) = source(&server, old, "software", "phone.img").await;
        let software = joined(json!({"software_type": "Siemens SIP", "version": next}), &source);
        let job =
            json!({"type": "software-deployment", "devices": [handset.phone.mac], "software": software});
        let job = Job::submit(&admin, &job).await;
        let rest =
            format!("file-type=APP file-sw-type=Siemens SIP file-sw-version={next} file-priority=normal");
        assert_eq!(handset.call(Solicited).await, [format!("SoftwareDeployment {told} {rest}")]);
        assert_eq!(job.state().await, "running");
        let told = handset.goes_on().await;
        let written = match old {
            Generation::V1 => vec!["WriteItems display-id-unicode=R&D"],
            Generation::V2R2 => vec!["WriteItems cfu-ext-activated=true"],
            Generation::V2R1 | Generation::V3 => Vec::new(),
        };
        assert_eq!(told, [vec!["ReadAllItems"], written].concat());
        let version = handset.phone.setting("software-version").unwrap().to_owned();

        // Whoever has it does not get it again.
        let again =
            json!({"type": "software-deployment", "devices": [handset.phone.mac], "software": software});
        let again = Job::submit(&admin, &again).await;
        assert_eq!(handset.call(Solicited).await, NOTHING);
        jobs.push((again, format!("has {version} already")));
        jobs.push((job, version));
    }
    for (job, reason) in jobs {
        job.ended("successful", &[("successful", 1)]).await;
        assert_eq!(job.outcomes().await, alike(1, "successful", &reason));
    }
    let generations: Vec<_> = handsets.iter().map(|handset| handset.generation).collect();
    assert_eq!(generations, [Generation::V2R1, Generation::V2R2, Generation::V3, Generation::V3]);
    nothing_is_left(&mut handsets).await;
}

#[tokio::test]
async fn a_file_is_fetched_and_reported() {
    let server = Server::new().await;
    let admin = server.admin();
    let mut handsets = Handset::of_all_generations(&server).await;
    let mut jobs = Vec::new();
    for handset in &mut handsets {
        let (source, told) = source(&server, handset.generation, "ringtone", "bell.wav").await;
        let file = joined(json!({"action": "deploy", "type": "RINGTONE"}), &source);
        let job = json!({"type": "file-deployment", "devices": [handset.phone.mac], "files": [file]});
        let job = Job::submit(&admin, &job).await;
        assert_eq!(handset.call(Solicited).await, [format!("FileDeployment file-type=RINGTONE {told}")]);
        job.counts(&[("running", 1)]).await;
        // Nothing is told twice while it fetches.
        assert_eq!(handset.call(Solicited).await, NOTHING);
        assert_eq!(handset.goes_on().await, NOTHING);
        jobs.push(job);
    }
    for job in jobs {
        job.ended("successful", &[("successful", 1)]).await;
        assert_eq!(job.outcomes().await, alike(1, "successful", "1 file"));
    }
    nothing_is_left(&mut handsets).await;
}

#[tokio::test]
async fn several_files_are_fetched_and_deleted() {
    let server = Server::new().await;
    let admin = server.admin();
    let mut handsets = Handset::of_all_generations(&server).await;
    let mut jobs = Vec::new();
    for handset in &mut handsets {
        let (source, told) = source(&server, handset.generation, "logo", "logo.png").await;
        let deploy = joined(json!({"action": "deploy", "type": "LOGO"}), &source);
        let delete = json!({"action": "delete", "type": "RINGTONE", "name": "old.wav"});
        let job =
            json!({"type": "file-deployment", "devices": [handset.phone.mac], "files": [deploy, delete]});
        jobs.push(Job::submit(&admin, &job).await);
        let told = told.replace('=', "[1]=").replace("base-url[1]=*", "base-url[1]=* file-name[1]=logo.png");
        let both = "file-action[2]=delete file-type[2]=RINGTONE file-name[2]=old.wav";
        let expected = format!("FileDeployment file-action[1]=deploy file-type[1]=LOGO {told} {both}");
        assert_eq!(handset.call(Solicited).await, [expected]);
        assert!(handset.has_file("LOGO", "logo.png") && !handset.has_file("RINGTONE", "old.wav"));
        assert_eq!(handset.goes_on().await, NOTHING);
    }
    for (handset, job) in handsets.iter_mut().zip(jobs) {
        if handset.generation.reports_several_files() {
            job.ended("successful", &[("successful", 1)]).await;
            continue;
        }
        // It does not say: it is asked what it has, but not before it has had the time to fetch.
        let cell = tokio::sync::Mutex::new(handset);
        let told = until("the inventory to be read", || async {
            let told = cell.lock().await.call(Solicited).await;
            (!told.is_empty()).then_some(told)
        });
        assert_eq!(told.await, ["ReadAllItems"]);
        job.ended("successful", &[("successful", 1)]).await;
        assert_eq!(job.outcomes().await, alike(1, "successful", "2 files"));
    }
    nothing_is_left(&mut handsets).await;
}

#[tokio::test]
async fn phones_boot_and_forget_what_they_are_told_to() {
    let server = Server::new().await;
    let admin = server.admin();
    let mut handsets = Handset::of_all_generations(&server).await;
    admin.template("time", 10, &[("sntp-addr", None, "ntp.example.net")]).await;
    for handset in &mut handsets {
        assert_eq!(handset.call(StartUp).await, ["WriteItems sntp-addr=ntp.example.net"]);
    }
    let mut jobs = Vec::new();
    for (task, told) in [
        ("restart", "Restart"),
        ("factory-reset", "Restart restart-password=124816 restart-type=FactoryReset"),
        (
            "factory-reset-keep-certificates",
            "Restart restart-password=124816 restart-type=FactoryResetKeepCertificates",
        ),
    ] {
        let job = Job::submit(&admin, &json!({"type": task, "filter": {}})).await;
        for handset in &mut handsets {
            assert_eq!(handset.call(Solicited).await, [told]);
            // It rings before it boots.
            assert_eq!(handset.call(Solicited).await, NOTHING, "not twice");
        }
        job.counts(&[("running", 4)]).await;
        for handset in &mut handsets {
            let told = handset.goes_on().await;
            match task {
                "restart" => assert_eq!(told, NOTHING),
                // What it forgot is written again.
                _ => assert_eq!(told, ["ReadAllItems", "WriteItems sntp-addr=ntp.example.net"]),
            }
            assert_eq!(handset.phone.setting("sntp-addr"), Some("ntp.example.net"));
        }
        jobs.push(job);
    }
    for job in jobs {
        job.ended("successful", &[("successful", 4)]).await;
        for (state, reason) in job.outcomes().await {
            assert!(state == "successful" && reason.starts_with("after "), "{reason}");
        }
    }
    nothing_is_left(&mut handsets).await;
}

#[tokio::test]
async fn phones_enter_and_leave_secure_mode() {
    let server = Launch::new().set("secure_mode.credentials_per_source", 16).start().await;
    let admin = server.admin();
    let pin = std::fs::read_to_string(server.launch.data().join("default-pin")).unwrap();
    let mut handsets = Handset::of_all_generations(&server).await;
    let no_pin = "WriteItems goto-secure-mode=nopin dls-client-certificate=* dls-server-ca[0]=* dls-server-ca[1]= \
                  dls-secure-port=*";
    let with_pin = "WriteItems goto-secure-mode=pin secure-mode-data=* max-pin-retries=3";
    let tan = "ReadItems bootstrapping-tan=";
    let mut jobs = Vec::new();
    for (pin_kind, told, then) in [("none", no_pin, &NOTHING[..]), ("default", with_pin, &[tan])] {
        let job =
            Job::submit(&admin, &json!({"type": "secure-mode-on", "pin": pin_kind, "filter": {}})).await;
        for handset in &mut handsets {
            pin.trim().clone_into(&mut handset.pin);
            assert_eq!(handset.call(Solicited).await, [told]);
            assert_eq!(handset.call(Solicited).await, NOTHING, "its user looks for the PIN");
        }
        job.counts(&[("running", 4)]).await;
        for handset in &mut handsets {
            assert_eq!(handset.goes_on().await, then);
            assert_eq!(mode(&admin, handset).await, "secure");
        }
        jobs.push(job);

        let job = Job::submit(&admin, &json!({"type": "secure-mode-off", "filter": {}})).await;
        for handset in &mut handsets {
            assert_eq!(handset.call(Solicited).await, ["WriteItems dls-mode-secure=0"]);
            assert_eq!(mode(&admin, handset).await, "off");
            assert_eq!(handset.goes_on().await, NOTHING);
        }
        jobs.push(job);
    }
    for job in jobs {
        job.ended("successful", &[("successful", 4)]).await;
        assert_eq!(job.outcomes().await, alike(4, "successful", ""));
    }
    nothing_is_left(&mut handsets).await;
}

#[tokio::test]
async fn a_reset_keeps_certificates_or_not() {
    let server = Launch::new().set("secure_mode.credentials_per_source", 16).start().await;
    let admin = server.admin();
    let mut handsets = Handset::of_all_generations(&server).await;
    for handset in &mut handsets {
        admin.secure_mode(&handset.phone.mac, "no-pin", None).await;
        assert_eq!(handset.call(StartUp).await.len(), 1);
        assert_eq!(handset.goes_on().await, NOTHING);
    }
    for (task, then) in [("factory-reset-keep-certificates", "secure"), ("factory-reset", "off")] {
        let job = Job::submit(&admin, &json!({"type": task, "filter": {}})).await;
        for handset in &mut handsets {
            assert_eq!(handset.call(Solicited).await.len(), 1);
        }
        job.counts(&[("running", 4)]).await;
        for handset in &mut handsets {
            assert_eq!(handset.goes_on().await, ["ReadAllItems"]);
            assert_eq!(mode(&admin, handset).await, then);
        }
        job.ended("successful", &[("successful", 4)]).await;
    }
    nothing_is_left(&mut handsets).await;
}
