//! What is secret is seen by those it is for, and by nobody else.

use std::path::Path;

use base64::Engine as _;
use callboard_codecs::wpi::Action::WriteItems;
use callboard_codecs::wpi::{Fragment, ReplyStatus};
use callboard_tests::phone::Phone;
use callboard_tests::secure::with_pin;
use callboard_tests::server::{Launch, Server, ended};
use callboard_tests::tls::Client;
use serde_json::json;

const MAC: &str = "00:1a:e8:0a:0b:0c";
const SECOND: &str = "00:1a:e8:0a:0b:0d";

const USER: &str = "usr-pwd-5J9x2kQ";
const SIP: &str = "sip-pwd-8T3m7vR";
const REPORTED: &str = "snmp-community-4W6z";
const UNKNOWN: &str = "acme-password-1N8b";
const TASK: &str = "admin-pwd-3H5c9yL";
const PIN: &str = "pin-7Q2w6f-T4n";
const STORE: &str = "p12-word-9D1g5";
/// No secret: shows that the places looked at are the right ones.
const PLAIN: &str = "plain-host-6K2p";

/// What must not be found, each in the forms it may hide in.
fn forms(secrets: &[String]) -> Vec<String> {
    let base64 = |text: &String| base64::engine::general_purpose::STANDARD.encode(text);
    // A base64 text inside of another moves with its position; its middle characters do not without padding.
    secrets.iter().flat_map(|text| [text.clone(), base64(text).trim_end_matches('=').to_owned()]).collect()
}

fn assert_clean(place: &str, bytes: &[u8], forms: &[String]) {
    for form in forms {
        assert!(!holds(bytes, form), "{form:?} stands in {place}");
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

fn files(folder: &Path, all: &mut Vec<u8>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, all);
        } else {
            all.extend(std::fs::read(path).unwrap());
        }
    }
}

/// Everything the API shows, and what it answers to changes.
async fn api(server: &Server, template: &str) -> String {
    let admin = server.admin();
    let mut all = String::new();
    for path in ["/devices", "/templates", "/events?limit=500", "/status", "/catalogue"] {
        all += &admin.get(path).await.to_string();
    }
    all += &admin.get(&format!("/templates/{template}")).await.to_string();
    for mac in [MAC, SECOND] {
        all += &admin.device(mac).await.to_string();
        all += &admin.get(&format!("/devices/{mac}/tasks")).await.to_string();
        for view in ["reported", "desired", "difference"] {
            all += &admin.get(&format!("/devices/{mac}/items?view={view}")).await.to_string();
        }
    }
    let dry = json!({"id": template, "assume_assigned": true, "filter": {}});
    all += &admin.post("/templates/dry-run", &dry).await.to_string();
    // What an administrator gets wrong is not thrown back at him either.
    let body = json!({"mode": "no-pin", "pin": PIN}).to_string();
    all += admin.request("PUT", &format!("/devices/{MAC}/secure-mode"), "", &body).await.text();
    let body = json!({"name": "x", "kind": "default", "items": [{"name": "sip-pwd", "value": SIP, "secret": false}]});
    all += admin.request("POST", "/templates", "", &body.to_string()).await.text();
    all
}

/// The PIN: password of the pack, and what the user types.
fn halves() -> (&'static str, &'static str) {
    PIN.split_at(PIN.len() - 3)
}

/// Both ways into secure mode: what a phone gets with a PIN, and another one without.
async fn into_secure_mode(server: &Server, phone: &mut Phone) -> (String, String) {
    let admin = server.admin();
    admin.secure_mode(MAC, "individual-pin", Some(PIN)).await;
    let answer = phone.start_up().await;
    let pack = answer.item("secure-mode-data").unwrap().to_owned();
    assert!(phone.reply(WriteItems, ReplyStatus::Accepted, Fragment::Final, &[]).await.is_end());
    let (password, tan) = halves();
    let contents = with_pin(&pack, password, STORE).unwrap();
    phone.client = Client::default().with(contents.own);
    phone.address = server.door("wpi_secure");
    phone.hang_up();
    tan.clone_into(&mut phone.tan);
    assert!(phone.boot().await.last.is_end());
    let mut second = server.phone(SECOND);
    second.boot().await;
    admin.secure_mode(SECOND, "no-pin", None).await;
    let certificate = second.start_up().await.item("dls-client-certificate").unwrap().to_owned();
    (pack, certificate)
}

#[tokio::test]
async fn no_secret_reaches_log_metrics_api_or_disk() {
    let launch = Launch::new().set("log.filter", "trace").set("tls.client_pkcs12_password", STORE);
    let server = launch.start().await;
    let admin = server.admin();
    let items = [("sip-pwd", None, SIP), ("admin-pwd", None, SIP), ("sntp-addr", None, "ntp.example.net")];
    let template = admin.template("account", 1, &items).await;

    let mut phone = server.phone(MAC);
    USER.clone_into(&mut phone.user_pwd);
    for (name, value) in
        [("sip-pwd", ""), ("snmp-pwd", REPORTED), ("acme-password", UNKNOWN), ("hostname", PLAIN)]
    {
        phone.settings.insert((name.to_owned(), None), value.to_owned());
    }
    let cookie = phone.start_up().await.response.header("set-cookie").unwrap().to_owned();
    let dialogue = phone.boot().await;
    assert!(dialogue.written.iter().any(|item| item.value == SIP), "the phone does get it: {dialogue:?}");
    let task = json!({"type": "write-items", "items": [{"name": "line-sip-pwd", "index": 1, "value": TASK}]});
    admin.post(&format!("/devices/{MAC}/tasks"), &task).await;

    let (pack, certificate) = into_secure_mode(&server, &mut phone).await;
    // Rubbish with a secret in it: errors must not quote it.
    let rubbish = format!("<WorkpointMessage><Message nonce=\"1\"><x a=\"{USER}\"</Message>");
    assert_eq!(server.phone(MAC).post(rubbish.as_bytes()).await.status, 400);

    let token = std::fs::read_to_string(server.launch.data().join("admin-token")).unwrap();
    let default_pin = std::fs::read_to_string(server.launch.data().join("default-pin")).unwrap();
    let mut secrets: Vec<String> =
        [USER, SIP, REPORTED, UNKNOWN, TASK, PIN, halves().0, STORE].map(str::to_owned).into();
    secrets.extend([token.trim().to_owned(), default_pin.trim().to_owned()]);
    // Parts from the middle, which hold key material.
    secrets.extend([pack[400..440].to_owned(), certificate[400..440].to_owned()]);
    let forms = forms(&secrets);

    let shown = api(&server, &template).await;
    assert!(holds(shown.as_bytes(), PLAIN));
    assert_clean("the API", shown.as_bytes(), &forms);
    assert_clean("the metrics", server.metrics().scrape().await.0.as_bytes(), &forms);
    let log = server.log.clone();
    let launch = server.stop().await;
    let log = log.all().await;
    assert!(holds(log.as_bytes(), MAC) && log.contains("TRACE"), "the log is that of a whole run");
    assert_clean("the log", log.as_bytes(), &forms);
    let session = cookie.split(['=', ';']).nth(1).unwrap();
    assert!(!log.to_uppercase().contains(session), "with the session somebody could speak for the phone");

    let mut disk = Vec::new();
    files(&launch.data().join("store"), &mut disk);
    assert!(holds(&disk, PLAIN));
    assert_clean("the store", &disk, &forms);
    let export = ended(&["store", "export", "--data-dir", launch.data().to_str().unwrap()]).await;
    assert!(export.code == Some(0) && export.out.contains(PLAIN), "{}", export.err);
    assert_clean("the export", export.out.as_bytes(), &forms);
}
