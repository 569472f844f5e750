//! An edge: started with a site of its own, killed, started again, and ended.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::api::Admin;
use crate::child::{POLL, Process};
use crate::server::{Launch, read_doors};

/// How long an edge may take to connect, and to end.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often it is tried to start an edge on ports of an earlier one.
const TRIES: u32 = 5;
/// The doors of an edge.
const DOORS: [&str; 4] = ["wpi", "wpi_secure", "dcmp", "metrics"];

/// How to start an edge.
struct Start {
    launch: Launch,
    core: SocketAddr,
    /// Its directory.
    work: PathBuf,
}

/// A running edge.
pub(crate) struct Branch {
    process: Process,
    /// Its default door.
    pub(crate) wpi: SocketAddr,
    /// Its door for polls.
    pub(crate) dcmp: SocketAddr,
    /// The id of its site.
    site: String,
    doors: HashMap<String, SocketAddr>,
    start: Start,
}

impl Branch {
    /// Make a site and start its edge; wait until it is connected.
    pub(crate) async fn start(
        launch: &Launch,
        core: SocketAddr,
        admin: &Admin,
        number: u32,
    ) -> anyhow::Result<Self> {
        // Sites of an earlier run may be there.
        let name = format!("loadtest {number} {:08x}", rand::random::<u32>());
        let (site, token) = admin.connect().await?.create_site(&name).await?;
        let work = launch.work.join(format!("edge-{number}"));
        std::fs::create_dir_all(&work)?;
        let token_file = work.join("token");
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&token_file)?;
        std::io::Write::write_all(&mut file, token.as_bytes())?;
        let start = Start { launch: launch.clone(), core, work };
        let (process, doors) = start.run(Some(&token_file), &HashMap::new()).await?;
        let door = |name: &str| {
            doors.get(name).copied().with_context(|| format!("no door {name} in the edge's ready file"))
        };
        let branch = Self { process, wpi: door("wpi")?, dcmp: door("dcmp")?, site, doors, start };
        branch.connected(admin).await?;
        Ok(branch)
    }

    /// Wait until the edge is connected, as the server and the edge see it: for a while each of them may believe in one
    /// that is dead.
    pub(crate) async fn connected(&self, admin: &Admin) -> anyhow::Result<()> {
        let start = Instant::now();
        let mut session = admin.connect().await?;
        while session.site_state(&self.site).await? != "connected" || !self.has_core().await? {
            ensure!(start.elapsed() < PATIENCE, "an edge does not connect:\n{}", self.start.log_end());
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Whether the edge's own metrics say that it is connected.
    async fn has_core(&self) -> anyhow::Result<bool> {
        let metrics = self.doors.get("metrics").context("no door metrics in the edge's ready file")?;
        let mut stream = TcpStream::connect(metrics).await?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer.lines().any(|line| line == "callboard_branch_core_connected 1"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill()
    }

    /// Start it again, with the same doors and the certificate that it has.
    pub(crate) async fn start_again(&mut self) -> anyhow::Result<()> {
        let mut tries = 1;
        self.process = loop {
            // For a moment somebody else may have one of the ports.
            match self.start.run(None, &self.doors).await {
                Ok((process, _)) => break process,
                Err(error) if tries == TRIES => return Err(error),
                Err(_) => tries += 1,
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        Ok(())
    }

    /// Orderly end: must be clean.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let status = self.process.stop(PATIENCE).await?;
        ensure!(status.success(), "an edge ended with {status} after SIGTERM:\n{}", self.start.log_end());
        Ok(())
    }
}

impl Start {
    /// Start it and wait until its doors are open. Those that are not given are on free ports.
    async fn run(
        &self,
        token_file: Option<&Path>,
        doors: &HashMap<String, SocketAddr>,
    ) -> anyhow::Result<(Process, HashMap<String, SocketAddr>)> {
        let ready_file = self.work.join("ready.json");
        if let Err(error) = std::fs::remove_file(&ready_file) {
            ensure!(error.kind() == std::io::ErrorKind::NotFound, "{}: {error}", ready_file.display());
        }
        let mut command = Command::new(&self.launch.binary);
        command.args(["edge", "--core", &self.core.to_string(), "--data-dir"]).arg(self.work.join("data"));
        command.arg("--ready-file").arg(&ready_file);
        if let Some(file) = token_file {
            command.arg("--token-file").arg(file);
        }
        for door in DOORS {
            let addr = doors.get(door).map_or_else(|| "127.0.0.1:0".to_owned(), ToString::to_string);
            command.env(format!("CALLBOARD__LISTEN__{}", door.to_uppercase()), addr);
        }
        command.env("CALLBOARD__LOG__FILTER", "warn").envs(self.launch.env.iter().cloned());
        let mut process = Process::start("an edge", command, &self.log())?;
        let start = Instant::now();
        loop {
            if let Some(doors) = read_doors(&ready_file) {
                return Ok((process, doors));
            }
            if let Some(status) = process.ended()? {
                bail!("an edge ended with {status} before it was ready:\n{}", self.log_end());
            }
            ensure!(start.elapsed() < PATIENCE, "an edge is not ready:\n{}", self.log_end());
            tokio::time::sleep(POLL).await;
        }
    }

    fn log(&self) -> PathBuf {
        self.work.join("edge.log")
    }

    fn log_end(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}
