//! What an administrator does with devices: look for them, try a template on them, have them read again, forget them.

use callboard_codecs::wpi::Action::{CleanUp, ReadAllItems, WriteItems};
use callboard_tests::admin::{Admin, problem};
use callboard_tests::server::Server;
use serde_json::{Value, json};

const MAC: &str = "00:1a:e8:0a:0b:0c";

fn mac(number: u8) -> String {
    format!("00:1a:e8:0a:0b:{number:02x}")
}

/// Ids of the devices that a list shows, over all its pages of two.
async fn listed(admin: &Admin, filter: &str) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("/devices?limit=2{filter}{cursor}")).await;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2, "{page}");
        ids.extend(items.iter().map(|device| device["id"].as_str().unwrap().to_owned()));
        match &page["next"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            end => {
                assert!(end.is_null(), "{page}");
                return ids;
            }
        }
    }
}

#[tokio::test]
async fn devices_are_listed_in_pages_filtered_and_found_by_their_number() {
    let server = Server::new().await;
    let admin = server.admin();
    let all: Vec<_> = (1..=5).map(mac).collect();
    for mac in &all {
        assert!(server.phone(mac).boot().await.last.is_end());
    }
    admin.secure_mode(&all[1], "no-pin", None).await;
    assert_eq!(listed(&admin, "").await, all);
    assert_eq!(listed(&admin, "&state=registered").await, all);
    assert_eq!(listed(&admin, "&state=new").await, Vec::<String>::new());
    assert_eq!(listed(&admin, "&secure_mode=enabling-no-pin").await, all[1..2]);
    assert_eq!(listed(&admin, "&device_type=OpenStage%2060").await, all);
    assert_eq!(listed(&admin, "&device_type=OpenStage%2015").await, Vec::<String>::new());
    let number = server.phone(&all[3]).e164();
    assert_eq!(listed(&admin, &format!("&q={number}")).await, all[3..4]);
}

#[tokio::test]
async fn a_dry_run_foretells_what_a_template_does_and_does_nothing_itself() {
    let server = Server::new().await;
    let admin = server.admin();
    let (mut one, mut two) = (server.phone(&mac(1)), server.phone(&mac(2)));
    // The second one has the time server already.
    two.settings.insert(("sntp-addr".to_owned(), None), "ntp.example.net".to_owned());
    for phone in [&mut one, &mut two] {
        phone.boot().await;
    }
    let body = json!({"name": "site", "kind": "default", "items": [
        {"name": "sntp-addr", "value": "ntp.example.net"},
        {"name": "key-label-unicode", "index": 3, "value": "%%{e164,$-4}"},
    ]});
    let id = admin.post("/templates", &body).await["id"].as_str().unwrap().to_owned();
    let before = (admin.device(&one.mac).await, admin.device(&two.mac).await);

    let try_out = json!({"id": id, "assume_assigned": true, "filter": {}});
    let foretold = admin.post("/templates/dry-run", &try_out).await;
    assert_eq!((&foretold["looked_at"], &foretold["next"]), (&json!(2), &Value::Null), "{foretold}");
    let writes = |device: usize| foretold["items"][device]["writes"].as_array().unwrap().clone();
    let label = |phone: &callboard_tests::phone::Phone| {
        let last = phone.e164()[6..].to_owned();
        json!({"name": "key-label-unicode", "index": 3, "from": "Key 3", "to": last})
    };
    let (mut first, second) = (writes(0), writes(1));
    first.sort_by_key(|write| write["name"].to_string());
    assert_eq!(first.len(), 2, "{foretold}");
    assert_eq!(first[0], label(&one));
    assert_eq!((&first[1]["name"], &first[1]["to"]), (&json!("sntp-addr"), &json!("ntp.example.net")));
    assert_eq!(second, [label(&two)], "what it has already is not written");

    assert_eq!((admin.device(&one.mac).await, admin.device(&two.mac).await), before);
    for phone in [&mut one, &mut two] {
        assert_eq!(admin.items(&phone.mac, "difference").await, []);
        assert_eq!(phone.boot().await.actions, [CleanUp], "nothing waits for it");
    }

    // Now in earnest: each gets what was foretold.
    admin.post(&format!("/templates/{id}/assign"), &json!({"filter": {}})).await;
    for (phone, foretold) in [(&mut one, first), (&mut two, second)] {
        let dialogue = phone.boot().await;
        assert_eq!(dialogue.actions, [WriteItems, CleanUp]);
        let mut written: Vec<_> =
            dialogue.written.iter().map(|item| (item.key.0.clone(), item.value.clone())).collect();
        written.sort();
        let text = |write: &Value, field: &str| write[field].as_str().unwrap().to_owned();
        let told: Vec<_> = foretold.iter().map(|write| (text(write, "name"), text(write, "to"))).collect();
        assert_eq!(written, told);
    }
}

#[tokio::test]
async fn a_device_is_read_again_when_it_is_asked_for() {
    let server = Server::new().await;
    let admin = server.admin();
    let mut phone = server.phone(MAC);
    phone.boot().await;
    // Changed without a word: the service cannot know.
    phone.settings.insert(("hostname".to_owned(), None), "attic".to_owned());
    assert_eq!(phone.boot().await.actions, [CleanUp]);
    assert_eq!(admin.item(MAC, "reported", "hostname").await, Some(json!("phone")));
    admin.post(&format!("/devices/{MAC}/tasks"), &json!({"type": "read-all"})).await;
    assert_eq!(phone.boot().await.actions, [ReadAllItems, CleanUp]);
    assert_eq!(admin.item(MAC, "reported", "hostname").await, Some(json!("attic")));
    assert_eq!(phone.boot().await.actions, [CleanUp], "once is enough");
}

#[tokio::test]
async fn a_device_that_is_forgotten_stays_so_until_it_calls_again() {
    let server = Server::new().await;
    server.phone(MAC).boot().await;
    // Any spelling of its address will do.
    let forgotten = server.admin().request("DELETE", "/devices/001AE80A0B0C", "", "").await;
    assert_eq!(forgotten.status, 204, "{}", forgotten.text());
    let server = server.kill().await.start().await;
    let admin = server.admin();
    let path = format!("/devices/{MAC}");
    problem(&admin.request("GET", &path, "", "").await, 404, "not-found");
    assert_eq!(server.phone(MAC).boot().await.actions, [ReadAllItems, CleanUp], "as if it were new");
    assert_eq!(admin.device(MAC).await["state"], "registered");
}

#[tokio::test]
async fn the_api_shows_itself_in_a_browser() {
    let server = Server::new().await;
    let stranger = server.admin().with_token("");
    let page = stranger.request("GET", "/docs/", "", "").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{page:?}");
    // Everything it needs is its own: the page must work where there is no way out.
    let text = page.text();
    let scripts: Vec<_> = text.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(!scripts.is_empty() && scripts.iter().all(|script| !script.contains("//")), "{text}");
    for script in scripts {
        let path = format!("/docs/{}", script.trim_start_matches("./"));
        assert_eq!(stranger.request("GET", &path, "", "").await.status, 200, "{script}");
    }
}

#[tokio::test]
async fn the_bare_address_of_the_door_leads_to_the_manual() {
    let server = Server::new().await;
    let mut wire = callboard_tests::tls::Client::default().connect(server.door("admin")).await;
    let response = wire.ask("GET / HTTP/1.1\r\nHost: callboard\r\nConnection: close\r\n\r\n").await;
    assert_eq!((response.status, response.header("location")), (307, Some("/api/v1/docs")), "{response:?}");
}
