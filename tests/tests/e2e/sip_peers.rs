//! SIP with a telephone that others have written: baresip.

use std::path::Path;
use std::process::Stdio;

use callboard_tests::server::{Launch, Server};
use callboard_tests::until;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

const MAC: &str = "00:1a:e8:0b:0a:5e";
const PASSWORD: &str = "builder";

/// Where the modules are that Debian's package brings.
fn modules() -> &'static Path {
    let folders = ["/usr/lib/baresip/modules", "/usr/lib/x86_64-linux-gnu/baresip/modules"].map(Path::new);
    let found = folders.into_iter().find(|folder| folder.is_dir());
    found.expect("baresip is needed: Debian's package baresip-core")
}

/// Starts a baresip whose account is bob, over a transport.
fn start(server: &Server, folder: &Path, transport: &str) -> Child {
    let config = format!(
        "sip_listen 127.0.0.1:0\nsip_verify_server no\nmodule_path {}\nmodule_tmp uuid.so\nmodule_tmp account.so\n\
         module_app menu.so\n",
        modules().display()
    );
    let door = server.door(&format!("sip_{transport}"));
    let account = format!(
        "<sip:bob@127.0.0.1;transport={transport}>;auth_user=bob;auth_pass={PASSWORD};regint=60;\
         outbound=\"sip:{door};transport={transport}\"\n"
    );
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("config"), config).unwrap();
    std::fs::write(folder.join("accounts"), account).unwrap();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let mut command = Command::new("baresip");
    command.arg("-f").arg(folder).args(["-4", "-n", "127.0.0.1"]);
    // With its input closed it would end.
    command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
    command.spawn().unwrap_or_else(|error| panic!("baresip (Debian's package baresip-core): {error}"))
}

async fn office() -> Server {
    let launch = Launch::new().set("sip.algorithms", "md5").set("sip.ping_interval_s", 1);
    let server = launch.start().await;
    let admin = server.admin();
    let body = json!({ "domains": ["127.0.0.1"] }).to_string();
    assert_eq!(admin.request("PUT", "/sip/realms/phones", "", &body).await.status, 201);
    let body = json!({ "credentials": [{ "username": "bob", "password": PASSWORD, "device": MAC }] });
    admin.post("/sip/realms/phones/credentials", &body).await;
    server
}

async fn registration(server: &Server, state: &str) -> Value {
    let admin = server.admin();
    until(&format!("a registration that is {state}"), || async {
        let page: Value = admin.get(&format!("/sip/registrations?state={state}")).await;
        page["items"].as_array()?.first().cloned()
    })
    .await
}

#[tokio::test]
async fn a_telephone_registers_is_told_and_is_missed() {
    for transport in ["udp", "tcp"] {
        let server = office().await;
        let admin = server.admin();
        let folder = server.launch.file(&format!("baresip-{transport}"));
        let mut phone = start(&server, &folder, transport);
        let shown = registration(&server, "reachable").await;
        assert_eq!((&shown["aor"], &shown["username"]), (&json!("bob@127.0.0.1"), &json!("bob")), "{shown}");
        assert_eq!((&shown["transport"], &shown["device"]), (&json!(transport), &json!(MAC)), "{shown}");
        assert!(shown["user_agent"].as_str().unwrap().starts_with("baresip"), "{shown}");

        let task: Value =
            admin.post(&format!("/devices/{MAC}/tasks"), &json!({ "type": "check-sync" })).await;
        let id = task["id"].clone();
        let ended = until("the end of the task", || async {
            let tasks: Value = admin.get(&format!("/devices/{MAC}/tasks")).await;
            let task = tasks["items"].as_array()?.iter().find(|task| task["id"] == id)?.clone();
            task["ended"].is_string().then_some(task)
        });
        // It has heard, and does not know the event: baresip fetches no configuration.
        assert_eq!(ended.await["reason"], "the phone does not know check-sync (481)");

        phone.kill().await.unwrap();
        // Over UDP it takes 32 s of silence.
        if transport == "tcp" {
            let lost = registration(&server, "lost").await;
            assert_eq!(lost["aor"], "bob@127.0.0.1");
        }
    }
}
