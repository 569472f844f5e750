//! An edge: started with a site of its own, and ended.

use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::api::Admin;
use crate::child::{POLL, Process};
use crate::server::{Launch, read_doors};

/// How long an edge may take to connect, and to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running edge.
pub(crate) struct Branch {
    process: Process,
    /// Its default door.
    pub(crate) wpi: SocketAddr,
    log: PathBuf,
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
        let (ready_file, token_file) = (work.join("ready.json"), work.join("token"));
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&token_file)?;
        std::io::Write::write_all(&mut file, token.as_bytes())?;
        let log = work.join("edge.log");
        let mut command = Command::new(&launch.binary);
        command.args(["edge", "--core", &core.to_string(), "--data-dir"]).arg(work.join("data"));
        command.arg("--token-file").arg(&token_file).arg("--ready-file").arg(&ready_file);
        for door in ["WPI", "WPI_SECURE", "DCMP", "METRICS"] {
            command.env(format!("CALLBOARD__LISTEN__{door}"), "127.0.0.1:0");
        }
        command.env("CALLBOARD__LOG__FILTER", "warn").envs(launch.env.iter().cloned());
        let process = Process::start("an edge", command, &log)?;
        let mut branch = Self { process, wpi: core, log };
        branch.wpi = branch.ready(&ready_file).await?;
        branch.connected(admin, &site).await?;
        Ok(branch)
    }

    async fn ready(&mut self, ready_file: &Path) -> anyhow::Result<SocketAddr> {
        let start = Instant::now();
        loop {
            if let Some(doors) = read_doors(ready_file) {
                return doors.get("wpi").copied().context("no door wpi in the edge's ready file");
            }
            if let Some(status) = self.process.ended()? {
                bail!("an edge ended with {status} before it was ready:\n{}", self.log_end());
            }
            ensure!(start.elapsed() < PATIENCE, "an edge is not ready:\n{}", self.log_end());
            tokio::time::sleep(POLL).await;
        }
    }

    async fn connected(&self, admin: &Admin, site: &str) -> anyhow::Result<()> {
        let start = Instant::now();
        let mut session = admin.connect().await?;
        while session.site_state(site).await? != "connected" {
            ensure!(start.elapsed() < PATIENCE, "an edge does not connect:\n{}", self.log_end());
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Orderly end: must be clean.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let status = self.process.stop(PATIENCE).await?;
        ensure!(status.success(), "an edge ended with {status} after SIGTERM:\n{}", self.log_end());
        Ok(())
    }

    fn log_end(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}
