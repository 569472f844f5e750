//! The commands beside `serve`.

use callboard_codecs::wpi::Action::{CleanUp, ReadAllItems, WriteItems};
use callboard_tests::server::{Ended, Launch, Server, ended};

const MAC: &str = "00:1a:e8:0a:0b:0c";

#[tokio::test]
async fn config_check_lists_all_faults_at_once_with_their_lines() {
    let launch = Launch::new();
    let file = launch.file("callboard.toml");
    let text = r#"[listen]
wpi = "nowhere"
wpl_secure = "127.0.0.1:0"

[limits]
connections = 0
header_timeout_ms = "soon"

[store]
flush_spacing_ms = 60

[tls]
client_pkcs12_password = 17
"#;
    std::fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap();
    let check = ended(&["config", "check", path]).await;
    assert_eq!((check.code, check.out.as_str()), (Some(2), ""), "{check:?}");
    let lines: Vec<_> = check.err.lines().collect();
    let expected = [
        (2, "listen.wpi", "address:port"),
        (3, "listen.wpl_secure", "wpi_secure"),
        (6, "limits.connections", "1 to 1000000"),
        (7, "limits.header_timeout_ms", "100 to 600000"),
        (10, "store.flush_spacing_ms", "store.flush_interval_ms"),
        (13, "tls.client_pkcs12_password", "text"),
    ];
    assert_eq!(lines.len(), expected.len(), "{}", check.err);
    for (line, (number, key, hint)) in lines.iter().zip(expected) {
        assert!(line.contains(&format!("{path}:{number}")), "line {number}: {line}");
        assert!(line.contains(key) && line.contains(hint), "{key}, {hint}: {line}");
    }

    // `serve` refuses the same way, before it makes anything.
    let data = launch.data().to_str().unwrap();
    let serve = ended(&["serve", "--config", path, "--data-dir", data]).await;
    assert_eq!((serve.code, &serve.err), (Some(2), &check.err));
    assert!(!launch.data().exists());
}

#[tokio::test]
async fn a_good_file_is_good_and_show_tells_where_values_come_from() {
    let file = Launch::new();
    let path = file.file("callboard.toml");
    std::fs::write(
        &path,
        "[limits]\nconnections = 5000\n[tls]\nclient_pkcs12_password = \"do-not-show-1\"\n",
    )
    .unwrap();
    let path = path.to_str().unwrap();
    assert_eq!(ended(&["config", "check", path]).await.code, Some(0));
    let show = ended(&["config", "show", "--config", path]).await;
    assert_eq!(show.code, Some(0));
    assert!(!show.out.contains("do-not-show-1") && !show.err.contains("do-not-show-1"), "{}", show.out);
    let line = |key: &str| show.out.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    assert!(line("connections = 5000").contains(&format!("file {path}:2")), "{}", line("connections = 5000"));
    assert!(line("body_bytes = 2097152").ends_with("# default"));
    assert!(line("client_pkcs12_password").contains(&format!("file {path}:4")));
    // What is shown is a file itself, and the example is a good one.
    for arguments in [&["config", "show"][..], &["config", "show", "--example"]] {
        let shown = ended(arguments).await;
        let again = file.file("again.toml");
        std::fs::write(&again, shown.out).unwrap();
        let check = ended(&["config", "check", again.to_str().unwrap()]).await;
        assert_eq!(check.code, Some(0), "{check:?}");
    }
}

#[tokio::test]
async fn an_unknown_variable_is_refused() {
    let refusal = Launch::new().set("limits.conections", 5).refused().await;
    assert_eq!(refusal.code, Some(2), "{refusal:?}");
    assert!(refusal.err.contains("CALLBOARD__LIMITS__CONECTIONS"), "{}", refusal.err);
    assert!(refusal.err.contains("did you mean CALLBOARD__LIMITS__CONNECTIONS"), "{}", refusal.err);
}

#[tokio::test]
async fn certificates_that_are_not_there_are_told_and_may_be_at_the_next_start() {
    let launch = Launch::new();
    let file = launch.file("callboard.toml");
    let text = "[tls]\nrsa_certificate_file = \"none/c.pem\"\nrsa_key_file = \"none/k.pem\"\n";
    std::fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap();
    let check = ended(&["config", "check", path]).await;
    assert_eq!((check.code, check.out.as_str()), (Some(2), ""), "{check:?}");
    for line in
        [":2:24: tls.rsa_certificate_file: none/c.pem: No such file", ":3:16: tls.rsa_key_file: none/k.pem:"]
    {
        assert_eq!(check.err.matches(line).count(), 1, "{line}: {}", check.err);
    }
    let data = launch.data().to_str().unwrap();
    let serve = ended(&["serve", "--config", path, "--data-dir", data]).await;
    assert_eq!((serve.code, &serve.err), (Some(1), &check.err));
    assert!(!launch.data().exists());
}

async fn store(command: &str, launch: &Launch, more: &[&str]) -> Ended {
    let data = launch.data().to_str().unwrap();
    ended(&[&["store", command, "--data-dir", data], more].concat()).await
}

#[tokio::test]
async fn the_store_of_a_running_server_is_left_alone() {
    let server = Server::new().await;
    server.phone(MAC).boot().await;
    for command in ["check", "export", "compact", "import"] {
        let refusal = store(command, &server.launch, &[]).await;
        assert_eq!(refusal.code, Some(1), "{command}: {refusal:?}");
        assert!(refusal.err.contains("in use by another process"), "{command}: {}", refusal.err);
    }
    let launch = server.stop().await;
    let check = store("check", &launch, &[]).await;
    assert_eq!(check.code, Some(0), "{check:?}");
    assert!(check.out.contains("damaged records: 0"), "{}", check.out);
}

#[tokio::test]
async fn a_store_moves_to_another_server() {
    let server = Server::new().await;
    let items = [("sip-pwd", None, "digest-4711"), ("sntp-addr", None, "ntp.example.net")];
    server.admin().template("account", 1, &items).await;
    server.phone(MAC).boot().await;
    let view = async |server: &Server| {
        let admin = server.admin();
        let templates = admin.get("/templates").await;
        (admin.device(MAC).await, admin.items(MAC, "reported").await, templates)
    };
    let before = view(&server).await;
    let old = server.stop().await;
    let export = old.file("export.jsonl");
    let exported = store("export", &old, &["--to", export.to_str().unwrap()]).await;
    assert_eq!(exported.code, Some(0), "{exported:?}");
    let text = std::fs::read_to_string(&export).unwrap();
    assert!(text.contains(MAC) && !text.contains("digest-4711"), "secrets stay sealed");
    assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    // Nothing is written over.
    assert_eq!(store("export", &old, &["--to", export.to_str().unwrap()]).await.code, Some(1));

    let new = Launch::new();
    let imported = store("import", &new, &["--from", export.to_str().unwrap()]).await;
    assert_eq!(imported.code, Some(0), "{imported:?}");
    assert!(
        imported.out.contains("`key`") && imported.out.contains("`tls`"),
        "what is missing: {}",
        imported.out
    );
    let refusal = new.refused().await;
    assert!(refusal.err.contains("put the key file back"), "{}", refusal.err);
    std::fs::copy(old.data().join("key"), new.data().join("key")).unwrap();
    let server = new.start().await;
    assert_eq!(view(&server).await, before);
    assert_eq!(server.phone(MAC).boot().await.actions, [CleanUp]);
    // The sealed value in the template opens under the key that came along.
    let mut another = server.phone("00:1a:e8:0a:0b:0d");
    another.settings.insert(("sip-pwd".to_owned(), None), String::new());
    assert_eq!(another.boot().await.actions, [ReadAllItems, WriteItems, CleanUp]);
    assert_eq!(another.setting("sip-pwd"), Some("digest-4711"));
    let new = server.stop().await;
    // Into a store that holds something nothing is imported.
    let refusal = store("import", &new, &["--from", export.to_str().unwrap()]).await;
    assert_eq!(refusal.code, Some(1), "{refusal:?}");
    assert!(refusal.err.contains("not empty"), "{}", refusal.err);
    let compact = store("compact", &new, &[]).await;
    assert_eq!(compact.code, Some(0), "{compact:?}");
    let server = new.start().await;
    assert_eq!(server.admin().get("/status").await["devices"]["total"], 2);
}
