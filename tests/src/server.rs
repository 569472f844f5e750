//! The program under test: started on free ports, watched through its log, ended in every way there is.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::admin::Admin;
use crate::metrics::Door;
use crate::phone::Phone;
use crate::within;

/// The program beside this test: cargo puts tests into `deps` under the folder of the profile.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.parent().and_then(Path::parent).expect("a target folder");
    let binary = profile.join("callboard");
    let missing = "is missing: build it first with `cargo build -p callboard`";
    assert!(binary.exists(), "{} {missing}", binary.display());
    binary
}

/// A program without any configuration from outside.
pub(crate) fn program(path: PathBuf) -> Command {
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CALLBOARD_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs the program to its end.
pub async fn run(arguments: &[&str]) -> Output {
    within("the program to end", program(binary()).args(arguments).output())
        .await
        .expect("the program starts")
}

/// The texts and the code of a program that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Runs a command of the program, such as `config check`, to its end.
pub async fn ended(arguments: &[&str]) -> Ended {
    run(arguments).await.into()
}

/// How to start a server. Clones share the data directory.
#[derive(Clone, Debug)]
pub struct Launch {
    work: Arc<TempDir>,
    data: PathBuf,
    settings: BTreeMap<String, String>,
    files: Option<(u32, u32)>,
}

impl Default for Launch {
    fn default() -> Self {
        Self::new()
    }
}

impl Launch {
    /// A server with a new data directory and all doors on free ports of 127.0.0.1.
    pub fn new() -> Self {
        let work = Arc::new(tempfile::tempdir().expect("a temporary directory"));
        let data = work.path().join("data");
        let mut launch = Self { work, data, settings: BTreeMap::new(), files: None };
        for door in [
            "wpi",
            "wpi_secure",
            "dcmp",
            "sip_udp",
            "sip_tcp",
            "sip_tls",
            "snmp_trap",
            "edge",
            "admin",
            "metrics",
        ] {
            launch = launch.set(&format!("listen.{door}"), "127.0.0.1:0");
        }
        launch
            // Phones' keys of this kind are made in no time.
            .set("tls.client_key", "p-256")
            // A machine that tests is late now and then; phones of tests do not come again.
            .set("sip.busy_percent", 100)
            .set("log.filter", "info,callboard=debug,callboard_core=debug")
    }

    /// Sets a key of the configuration, by its environment variable.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        let variable = format!("CALLBOARD__{}", key.replace('.', "__")).to_uppercase();
        self.settings.insert(variable, value.to_string());
        self
    }

    /// Keeps its data elsewhere.
    #[must_use]
    pub fn data_dir(self, data: PathBuf) -> Self {
        Self { data, ..self }
    }

    /// Starts under these limits of open files: soft and hard.
    #[must_use]
    pub fn open_files(self, soft: u32, hard: u32) -> Self {
        Self { files: Some((soft, hard)), ..self }
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A path in the folder that goes away with the test.
    pub fn file(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    fn serve(&self) -> Command {
        let mut command = match self.files {
            None => program(binary()),
            Some((soft, hard)) => {
                let mut shell = program("bash".into());
                // The shell becomes the program: it has its process id.
                let limit = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
                shell.args(["-c", &limit]).arg(binary());
                shell
            }
        };
        command.arg("serve").arg("--data-dir").arg(&self.data).envs(&self.settings);
        command
    }

    /// Starts a server that must refuse to run.
    pub async fn refused(&self) -> Ended {
        let output = within("the server to refuse", self.serve().output()).await;
        output.expect("the program starts").into()
    }

    /// Starts the server and does not wait until it is ready: its doors are not known yet.
    pub fn begin(&self) -> Server {
        let mut command = self.serve();
        command.arg("--ready-file").arg(self.ready_file()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stderr = child.stderr.take().expect("its standard error").into_owned_fd().expect("a pipe");
        Server { child, log: Log::read(stderr), doors: BTreeMap::new(), launch: self.clone() }
    }

    /// Starts the server and waits until it is ready.
    pub async fn start(&self) -> Server {
        let server = self.begin();
        let is_ready = |line: &str| line.contains("ready devices=") || line.contains("\"message\":\"ready\"");
        server.log.first("`ready`", is_ready).await;
        let doors = std::fs::read(self.ready_file()).expect("the ready file is there when `ready` is logged");
        let doors = serde_json::from_slice(&doors).expect("the ready file is JSON");
        Server { doors, ..server }
    }

    fn ready_file(&self) -> PathBuf {
        self.file("ready.json")
    }
}

/// A running server; it is killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    doors: BTreeMap<String, SocketAddr>,
    /// What it logs.
    pub log: Log,
    /// How it was started.
    pub launch: Launch,
}

impl Server {
    /// A server with default settings and a new data directory.
    pub async fn new() -> Self {
        Launch::new().start().await
    }

    /// All doors, as the ready file names them.
    pub fn doors(&self) -> &BTreeMap<String, SocketAddr> {
        &self.doors
    }

    /// Where a door is.
    pub fn door(&self, name: &str) -> SocketAddr {
        *self.doors.get(name).unwrap_or_else(|| panic!("no door {name} in {:?}", self.doors))
    }

    /// A new phone in default mode, in front of the default door.
    pub fn phone(&self, mac: &str) -> Phone {
        Phone::new(self.door("wpi"), mac)
    }

    /// The administration with the token of the data directory.
    pub fn admin(&self) -> Admin {
        let token = std::fs::read_to_string(self.launch.data.join("admin-token")).expect("a token");
        Admin::new(self.door("admin"), &token)
    }

    /// The metrics door.
    pub fn metrics(&self) -> Door {
        Door(self.door("metrics"))
    }

    /// SIGTERM; does not wait.
    pub fn terminate(&self) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        kill_process(pid.expect("a running server"), Signal::TERM).expect("a running server");
    }

    /// Waits for its end.
    pub async fn wait(&mut self) -> ExitStatus {
        within("the server to end", self.child.wait()).await.expect("its status")
    }

    /// SIGTERM, and an end that must be clean.
    pub async fn stop(mut self) -> Launch {
        self.terminate();
        let status = self.wait().await;
        assert!(status.success(), "{status}:\n{}", self.log.text());
        self.launch.clone()
    }

    /// `kill -9`.
    pub async fn kill(mut self) -> Launch {
        self.child.start_kill().expect("a running server");
        self.wait().await;
        self.launch.clone()
    }
}

/// The log of a server, line by line as it is written.
#[derive(Clone, Debug)]
pub struct Log(watch::Receiver<Vec<String>>);

impl Log {
    pub(crate) fn read(pipe: OwnedFd) -> Self {
        let (lines, log) = watch::channel(Vec::new());
        std::thread::spawn(move || {
            for line in BufReader::new(std::fs::File::from(pipe)).lines().map_while(Result::ok) {
                lines.send_modify(|lines| lines.push(line));
            }
        });
        Self(log)
    }

    /// Everything so far.
    pub fn text(&self) -> String {
        self.0.borrow().join("\n")
    }

    /// Waits for a line that holds this text, and gives it.
    pub async fn line(&self, text: &str) -> String {
        self.first(&format!("{text:?}"), |line| line.contains(text)).await
    }

    async fn first(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut log = self.0.clone();
        let some = |lines: &Vec<String>| lines.iter().any(|line| wanted(line));
        let found = within(&format!("{what} in the log"), log.wait_for(some)).await;
        let Ok(lines) = found else {
            panic!("the server ended before it logged {what}:\n{}", self.text());
        };
        lines.iter().find(|line| wanted(line)).cloned().unwrap_or_default()
    }

    /// Waits until the server closes its log.
    pub async fn all(&self) -> String {
        let mut log = self.0.clone();
        within("the end of the log", async { while log.changed().await.is_ok() {} }).await;
        self.text()
    }
}
