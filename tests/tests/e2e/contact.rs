//! Contact-me: phones with work are called, others are not, and ranges are scanned.

use std::net::SocketAddr;

use callboard_codecs::wpi::Action::{CleanUp, ReadAllItems, WriteItems};
use callboard_codecs::wpi::{Fragment, Reason, ReplyStatus};
use callboard_tests::admin::{Admin, json as body_of, problem};
use callboard_tests::contact::{PATH, UNDERSTOOD, WebServer};
use callboard_tests::phone::Phone;
use callboard_tests::server::{Launch, Server};
use callboard_tests::until;
use serde_json::{Value, json};

const MAC: &str = "00:1a:e8:0a:0b:0c";
const CALLS: &str = "callboard_contact_calls_total";

/// A server that may call phones on this machine.
fn launch() -> Launch {
    Launch::new().set("contact.allow_networks", "127.0.0.0/8")
}

/// The same with short waits: phones of these tests do not crash.
fn quick() -> Launch {
    let keys = ["spacing", "retry_first", "retry_second", "retry_later"];
    keys.iter().fold(launch(), |launch, key| launch.set(&format!("contact.{key}_s"), 1))
}

/// A phone that has booted once, with a web server there.
async fn phone(server: &Server, uri: &str) -> Phone {
    let mut phone = server.phone(MAC);
    phone.contact_me_uri = uri.to_owned();
    assert!(phone.boot().await.last.is_end());
    phone
}

async fn add_task(server: &Server, body: &Value) -> Value {
    server.admin().post(&format!("/devices/{MAC}/tasks"), body).await
}

async fn reach(server: &Server) -> Value {
    server.admin().get(&format!("/devices/{MAC}/reach")).await
}

/// How far the calls are, once they are so far.
async fn calls(server: &Server, state: &str) -> Value {
    let look = || async {
        let calls = reach(server).await["calls"].clone();
        (calls["state"] == state).then_some(calls)
    };
    until(&format!("calls to be {state}"), look).await
}

#[tokio::test]
async fn a_phone_with_work_is_called_once_and_does_it() {
    let server = launch().start().await;
    let mut web = WebServer::phone().await;
    let mut phone = phone(&server, &web.uri()).await;
    assert_eq!(reach(&server).await["direct"]["address"], web.address.to_string());
    web.assert_quiet();

    add_task(&server, &json!({"type": "read-all"})).await;
    let heard = web.called().await;
    let first = format!("POST {PATH} HTTP/1.1\r\nHost: {}\r\n", web.address);
    assert!(heard.head.starts_with(&first), "{}", heard.head);
    assert!(heard.head.contains("Content-type: application/x-www-form-urlencoded; charset=utf-8"));
    assert_eq!(heard.form, "ContactMe=true", "it knows the service");
    // It waits for the phone now.
    let told = calls(&server, "waiting").await;
    assert_eq!((&told["tries"], &told["last"]["outcome"]), (&json!(1), &json!("understood")));

    let answer = phone.open(Reason::Solicited).await;
    assert_eq!(phone.follow(answer).await.actions, [ReadAllItems, CleanUp]);
    assert_eq!(reach(&server).await["calls"]["state"], "resting");
    let events = server.admin().events("task-done", MAC).await;
    assert_eq!(events.len(), 1, "{events:?}");

    // More work: not before the minute is over, an administrator neither.
    add_task(&server, &json!({"type": "read-all"})).await;
    let told = reach(&server).await;
    assert_eq!((&told["work_waiting"], &told["calls"]["state"]), (&json!(true), &json!("waiting")));
    let refused = server.admin().request("POST", &format!("/devices/{MAC}/contact"), "", "").await;
    problem(&refused, 429, "too-soon");
    let seconds: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(server.metrics().count(CALLS, &[]).await, 1);
    web.assert_quiet();
    server.stop().await;
}

#[tokio::test]
async fn a_busy_phone_that_does_not_call_back_is_called_again() {
    let server = quick().start().await;
    let mut web = WebServer::phone().await;
    let mut phone = phone(&server, &web.uri()).await;
    let items = json!([{"name": "hostname", "value": "lobby"}]);
    add_task(&server, &json!({"type": "write-items", "items": items})).await;
    web.called().await;
    let answer = phone.open(Reason::Solicited).await;
    assert_eq!(answer.action, WriteItems);
    let answer = phone.reply(WriteItems, ReplyStatus::Busy, Fragment::Final, &[]).await;
    assert_eq!(answer.item("send-solicited"), Some("true"));
    // Its firmware knows nothing of that.
    web.called().await;
    let answer = phone.open(Reason::Solicited).await;
    assert_eq!(phone.follow(answer).await.actions, [WriteItems, CleanUp]);
    assert_eq!(phone.setting("hostname"), Some("lobby"));
    assert_eq!(reach(&server).await["calls"]["state"], "resting");
    assert_eq!(server.admin().events("task-done", MAC).await.len(), 1);
}

#[tokio::test]
async fn a_phone_that_does_not_come_is_left_in_peace_after_its_tries() {
    let server = quick().set("contact.tries", 3).start().await;
    let mut web = WebServer::phone().await;
    let mut phone = phone(&server, &web.uri()).await;
    add_task(&server, &json!({"type": "read-all"})).await;
    for _ in 0..3 {
        web.called().await;
    }
    let told = calls(&server, "used-up").await;
    assert_eq!((&told["tries"], &told["tries_left"]), (&json!(3), &json!(0)));
    let events = server.admin().events("contact-failed", MAC).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(server.metrics().count("callboard_contact_used_up_total", &[]).await, 1);
    web.assert_quiet();
    // It comes by itself after all.
    assert_eq!(phone.boot().await.actions, [ReadAllItems, CleanUp]);
    assert_eq!(reach(&server).await["calls"]["state"], "resting");
}

#[tokio::test]
async fn nothing_but_phones_is_called() {
    // All of these lead to the same web server, which must never see a connection.
    let mut web = WebServer::start("[::]:0".parse().unwrap(), UNDERSTOOD).await;
    let port = web.address.port();
    let server = Launch::new().start().await;
    for (host, reason) in [
        ("127.0.0.1", "special-address"),
        ("127.0.0.9", "special-address"),
        ("[::1]", "special-address"),
        ("[::ffff:127.0.0.1]", "special-address"),
        ("[::ffff:7f00:1]", "special-address"),
        ("0.0.0.0", "special-address"),
        ("[::]", "special-address"),
        ("localhost", "bad-uri"),
        ("127.1", "bad-uri"),
        ("2130706433", "bad-uri"),
        ("phone@127.0.0.1", "bad-uri"),
        ("192.0.2.41", "elsewhere"),
        ("10.1.2.3", "behind-nat"),
    ] {
        let mut phone = phone(&server, &format!("http://{host}:{port}{PATH}")).await;
        add_task(&server, &json!({"type": "read-all"})).await;
        let told = calls(&server, "used-up").await;
        assert_eq!((&told["tries"], &told["last"]["outcome"]), (&json!(0), &json!("not-called")), "{host}");
        let direct = reach(&server).await["direct"].clone();
        assert_eq!((&direct["callable"], &direct["reason"]), (&json!(false), &json!(reason)), "{host}");
        let refused = server.admin().request("POST", &format!("/devices/{MAC}/contact"), "", "").await;
        problem(&refused, 409, "conflict");
        phone.boot().await;
    }
    assert_eq!(server.metrics().count(CALLS, &[("outcome", "understood")]).await, 0);
    web.assert_quiet();
    assert_eq!(server.admin().events("contact-failed", MAC).await, [] as [Value; 0]);
}

#[tokio::test]
async fn work_from_before_a_crash_is_called_for_after_it() {
    let server = quick().start().await;
    let mut web = WebServer::phone().await;
    phone(&server, &web.uri()).await;
    add_task(&server, &json!({"type": "read-all"})).await;
    web.called().await;
    let server = server.kill().await.start().await;
    web.called().await;
    let mut phone = server.phone(MAC);
    phone.contact_me_uri = web.uri();
    let answer = phone.open(Reason::Solicited).await;
    assert!(phone.follow(answer).await.actions.contains(&ReadAllItems));
    assert_eq!(reach(&server).await["work_waiting"], false);
}

/// Waits until a scan is as far as this.
async fn scan(admin: &Admin, id: &Value, state: &str) -> Value {
    let look = || async {
        let scan = admin.get(&format!("/scans/{id}")).await;
        (scan["state"] == state).then_some(scan)
    };
    until(&format!("the scan to be {state}"), look).await
}

/// Three web servers on one port of 127.0.11.11 to 13; the middle one is no phone's.
async fn three() -> [WebServer; 3] {
    const STRANGER: &str = "HTTP/1.1 404 Not Found\r\nServer: printer\r\nContent-Length: 0\r\n\r\n";
    let first = WebServer::start("127.0.11.11:0".parse().unwrap(), UNDERSTOOD).await;
    let at = |host| SocketAddr::new([127, 0, 11, host].into(), first.address.port());
    let (second, third) =
        (WebServer::start(at(12), STRANGER).await, WebServer::start(at(13), UNDERSTOOD).await);
    [first, second, third]
}

#[tokio::test]
async fn a_scan_finds_phones_and_brings_them() {
    let server = launch().start().await;
    let admin = server.admin();
    let [mut one, mut two, mut three] = three().await;
    let port = one.address.port();
    let wish = json!({"range": "127.0.11.10-127.0.11.14", "port": port});
    let id = admin.post("/scans", &wish).await["id"].clone();
    let told = one.called().await.form;
    let service = format!("&dls_ip_port={}", server.door("wpi").port());
    assert!(told.starts_with("ContactMe=true&dls_ip_addr=127.") && told.ends_with(&service), "{told}");
    two.called().await;
    three.called().await;
    let done = scan(&admin, &id, "done").await;
    let counts =
        ["addresses", "tried", "phones", "others", "nothing", "skipped"].map(|name| done[name].clone());
    assert_eq!(counts, [5, 5, 2, 1, 2, 0].map(|count| json!(count)), "{done}");
    let results = admin.get(&format!("/scans/{id}/results")).await;
    let answers =
        results["items"].as_array().unwrap().iter().map(|result| result["answer"].as_str().unwrap());
    assert_eq!(answers.collect::<Vec<_>>(), ["nothing", "phone", "other", "phone", "nothing"], "{results}");
    assert_eq!(results["items"][2]["status"], 404);
    // What it was told is true: the phone is taken in.
    let mut phone = server.phone(MAC);
    phone.contact_me_uri = one.uri();
    let answer = phone.open(Reason::Solicited).await;
    assert!(phone.follow(answer).await.last.is_end());

    // Whoever was called a moment ago is left alone.
    let id = admin.post("/scans", &wish).await["id"].clone();
    assert_eq!(scan(&admin, &id, "done").await["skipped"], 5);
    for web in [&mut one, &mut two, &mut three] {
        web.assert_quiet();
    }
    // And by the phone's own work, too: the address was called for the scan.
    add_task(&server, &json!({"type": "read-all"})).await;
    let told = until("the call to be postponed", || async {
        let calls = reach(&server).await["calls"].clone();
        (calls["last"]["outcome"] == "postponed").then_some(calls)
    })
    .await;
    assert_eq!((&told["state"], &told["tries"]), (&json!("waiting"), &json!(0)));
    one.assert_quiet();
}

#[tokio::test]
async fn a_scan_is_cancelled() {
    let server = launch().set("contact.scan_rate_per_second", 1).start().await;
    let admin = server.admin();
    let mut web = WebServer::start("127.0.12.1:0".parse().unwrap(), UNDERSTOOD).await;
    let wish = json!({"range": "127.0.12.0/24", "port": web.address.port()});
    let scan = admin.post("/scans", &wish).await;
    let path = format!("/scans/{}", scan["id"]);
    web.called().await;
    assert_eq!(admin.get(&path).await["state"], "running");
    assert_eq!(admin.request("DELETE", &path, "", "").await.status, 204);
    let ended = admin.get(&path).await;
    assert_eq!(ended["state"], "cancelled");
    assert!(ended["tried"].as_u64().unwrap() < 254, "{ended}");
    assert_eq!(admin.request("DELETE", &path, "", "").await.status, 204);
    problem(&admin.request("GET", &path, "", "").await, 404, "not-found");
}

#[tokio::test]
async fn a_scan_of_what_must_not_be_called_is_refused() {
    let server = Launch::new().start().await;
    let mut web = WebServer::phone().await;
    for range in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "169.254.169.254", "224.0.0.1"] {
        let body = json!({"range": range, "port": web.address.port()}).to_string();
        let refused = server.admin().request("POST", "/scans", "", &body).await;
        let document = problem(&refused, 422, "validation");
        assert_eq!(document["errors"][0]["field"], "range", "{document}");
    }
    let list = server.admin().request("GET", "/scans", "", "").await;
    assert_eq!(body_of(&list, 200)["items"], json!([]));
    web.assert_quiet();
}
