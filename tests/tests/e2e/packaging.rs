//! What is packaged is true of the program.

use std::path::Path;

use callboard_tests::server::Server;
use callboard_tests::within;
use tokio::process::Command;

fn packaging(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The command by which the container's engine sees that the server is alive.
fn health_check() -> Vec<String> {
    let dockerfile = packaging("Dockerfile").replace("\\\n", "");
    let line = dockerfile.lines().find(|line| line.starts_with("HEALTHCHECK")).expect("a health check");
    let command = &line[line.find("CMD").unwrap() + 3..];
    serde_json::from_str(command).expect("the exec form")
}

async fn is_healthy(port: u16) -> bool {
    let command = health_check();
    let mut check = Command::new(&command[0]);
    check.args(&command[1..]).env("CALLBOARD__LISTEN__METRICS", format!("0.0.0.0:{port}"));
    within("the health check", check.output()).await.expect("bash").status.success()
}

#[tokio::test]
async fn the_containers_health_check_sees_whether_the_server_is_alive() {
    let server = Server::new().await;
    let port = server.door("metrics").port();
    assert!(is_healthy(port).await);
    // Another door answers with something else.
    assert!(!is_healthy(server.door("wpi").port()).await);
    server.stop().await;
    assert!(!is_healthy(port).await);
}
