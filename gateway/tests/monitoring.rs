//! The dashboard and the alert rules show what the server measures, in words that Prometheus understands.

// Helpers of tests may unwrap like the tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

fn monitoring(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../monitoring").join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(monitoring(file)).unwrap()
}

/// Every query of the dashboard, with what Grafana would put in place of its variables.
fn queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].as_str().unwrap().replace("$__rate_interval", "5m")).collect()
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("callboard_"))
        .map(str::to_owned)
        .collect()
}

/// The names used in the dashboard and the rules that are missing in a scrape.
fn missing(scrape: &str) -> Vec<String> {
    let kinds: Vec<(&str, &str)> =
        scrape.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let known = |name: &str| {
        kinds.iter().any(|(family, kind)| {
            let rest = name.strip_prefix(family);
            rest == Some("") || (*kind == "histogram" && matches!(rest, Some("_bucket" | "_sum" | "_count")))
        })
    };
    let shown = names(&queries().join("\n")).into_iter().chain(names(&read("alerts.yml")));
    shown.filter(|name| !known(name)).collect()
}

#[test]
fn a_name_that_is_not_scraped_is_found() {
    let found = missing("# TYPE callboard_ready gauge\n# TYPE callboard_store_flush_seconds histogram\n");
    let has = |name: &str| found.iter().any(|found| found == name);
    assert!(!has("callboard_ready") && !has("callboard_store_flush_seconds_bucket"), "{found:?}");
    assert!(has("callboard_overload_total") && has("callboard_wpi_flow_seconds_count"), "{found:?}");
}

#[test]
fn the_dashboards_queries_are_promql() {
    let queries = queries();
    assert!(queries.len() > 40, "only {} queries found", queries.len());
    let rules: Vec<Value> = queries
        .iter()
        .enumerate()
        .map(|(number, query)| serde_json::json!({"record": format!("dashboard:query:{number}"), "expr": query}))
        .collect();
    // JSON is YAML, so that serde_json can write what promtool reads.
    let file = serde_json::json!({"groups": [{"name": "dashboard", "rules": rules}]});
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dashboard.yml");
    std::fs::write(&path, file.to_string()).unwrap();
    let output = Command::new("promtool")
        .args(["check", "rules"])
        .arg(&path)
        .output()
        .expect("promtool (Debian package prometheus) is needed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A running server that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn everything_shown_is_measured_from_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let ready_file = directory.path().join("ready.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_callboard"));
    command.arg("serve").arg("--data-dir").arg(directory.path().join("data"));
    command.arg("--ready-file").arg(&ready_file);
    for door in ["WPI", "WPI_SECURE", "DCMP", "SIP_UDP", "SIP_TCP", "SIP_TLS", "EDGE", "ADMIN", "METRICS"] {
        command.env(format!("CALLBOARD__LISTEN__{door}"), "127.0.0.1:0");
    }
    let child = command.env("CALLBOARD__LOG__FORMAT", "json").stderr(Stdio::piped()).spawn().unwrap();
    let mut server = Server(child);
    let mut log = BufReader::new(server.0.stderr.take().unwrap()).lines();
    let ready = log.any(|line| {
        serde_json::from_str::<Value>(&line.unwrap()).is_ok_and(|event| event["message"] == "ready")
    });
    assert!(ready, "the server ended before it was ready");

    let doors: Value = serde_json::from_str(&std::fs::read_to_string(&ready_file).unwrap()).unwrap();
    let mut stream = TcpStream::connect(doors["metrics"].as_str().unwrap()).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: callboard\r\nConnection: close\r\n\r\n").unwrap();
    let mut scrape = String::new();
    stream.read_to_string(&mut scrape).unwrap();
    assert!(scrape.starts_with("HTTP/1.1 200 "), "{scrape}");
    assert_eq!(missing(&scrape), Vec::<String>::new(), "not in\n{scrape}");
}
