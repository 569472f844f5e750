//! The server under test: started on free ports, stopped, killed, started again.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::api::Admin;
use crate::child::{POLL, Process};

/// How long an orderly end may take.
const STOP_PATIENCE: Duration = Duration::from_mins(1);

/// How often, and after which time, it is tried to start a server on ports of an earlier one.
const TRIES: u32 = 5;
const AGAIN: Duration = Duration::from_millis(500);

/// How to start the server.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) binary: PathBuf,
    pub(crate) data: PathBuf,
    /// Where the server's log and its ready file go.
    pub(crate) work: PathBuf,
    /// Further environment: configuration keys.
    pub(crate) env: Vec<(String, String)>,
    /// How long it may take to become ready.
    pub(crate) ready_within: Duration,
}

/// A running server.
pub(crate) struct Server {
    process: Process,
    launch: Launch,
    pub(crate) wpi: SocketAddr,
    pub(crate) dcmp: SocketAddr,
    /// The door of edges, if there is one.
    pub(crate) edge: Option<SocketAddr>,
    /// The doors of SIP phones.
    pub(crate) sip: SipDoors,
    metrics: SocketAddr,
    pub(crate) admin: Admin,
    /// From its start to ready.
    pub(crate) ready_after: Duration,
}

/// Where SIP phones reach a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SipDoors {
    pub(crate) udp: SocketAddr,
    pub(crate) tcp: SocketAddr,
    pub(crate) tls: SocketAddr,
}

impl Launch {
    /// Start the server and wait until it is ready.
    pub(crate) async fn start(&self) -> anyhow::Result<Server> {
        std::fs::create_dir_all(&self.data)?;
        let ready_file = self.work.join("ready.json");
        if let Err(error) = std::fs::remove_file(&ready_file) {
            ensure!(error.kind() == std::io::ErrorKind::NotFound, "{}: {error}", ready_file.display());
        }
        let mut command = Command::new(&self.binary);
        command.arg("serve").arg("--data-dir").arg(&self.data).arg("--ready-file").arg(&ready_file);
        for door in [
            "WPI",
            "WPI_SECURE",
            "DCMP",
            "SIP_UDP",
            "SIP_TCP",
            "SIP_TLS",
            "SNMP_TRAP",
            "EDGE",
            "ADMIN",
            "METRICS",
        ] {
            command.env(format!("CALLBOARD__LISTEN__{door}"), "127.0.0.1:0");
        }
        command.env("CALLBOARD__LOG__FILTER", "warn").envs(self.env.iter().cloned());
        let start = Instant::now();
        let mut process = Process::start("the server", command, &self.log())?;
        let doors = loop {
            if let Some(doors) = read_doors(&ready_file) {
                break doors;
            }
            if let Some(status) = process.ended()? {
                bail!("the server ended with {status} before it was ready:\n{}", self.log_end());
            }
            if start.elapsed() > self.ready_within {
                bail!("the server is not ready after {} s:\n{}", self.ready_within.as_secs(), self.log_end());
            }
            tokio::time::sleep(POLL).await;
        };
        let ready_after = start.elapsed();
        let door = |name: &str| {
            doors.get(name).copied().with_context(|| format!("no door {name} in the ready file"))
        };
        let (wpi, dcmp, admin) = (door("wpi")?, door("dcmp")?, door("admin")?);
        let token = std::fs::read_to_string(self.data.join("admin-token")).context("admin token")?;
        let edge = doors.get("edge").copied();
        let sip = SipDoors { udp: door("sip_udp")?, tcp: door("sip_tcp")?, tls: door("sip_tls")? };
        Ok(Server {
            process,
            launch: self.clone(),
            wpi,
            dcmp,
            edge,
            sip,
            metrics: door("metrics")?,
            admin: Admin::new(admin, &token)?,
            ready_after,
        })
    }

    /// Like [`Self::start`], where the doors were just given up by a server that was killed: somebody else may have one
    /// of their ports for a moment.
    pub(crate) async fn start_again(&self) -> anyhow::Result<Server> {
        for _ in 1..TRIES {
            if let Ok(server) = self.start().await {
                return Ok(server);
            }
            tokio::time::sleep(AGAIN).await;
        }
        self.start().await
    }

    /// Let the server's own check look at the store. The server must not be running.
    pub(crate) fn check_store(&self) -> anyhow::Result<()> {
        let output = Command::new(&self.binary)
            .args(["store", "check", "--data-dir"])
            .arg(&self.data)
            .envs(self.env.iter().cloned())
            .output()?;
        ensure!(
            output.status.success(),
            "the store is damaged ({}):\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.work.join("server.log")
    }

    fn log_end(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// The doors of a ready file; `None` until it is complete.
pub(crate) fn read_doors(file: &Path) -> Option<HashMap<String, SocketAddr>> {
    // Until it is complete the file is absent or no JSON.
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// How to start it again with the same doors.
    pub(crate) fn launch_again(&self) -> Launch {
        let mut launch = self.launch.clone();
        let doors = [
            ("WPI", Some(self.wpi)),
            ("DCMP", Some(self.dcmp)),
            ("EDGE", self.edge),
            ("SIP_UDP", Some(self.sip.udp)),
            ("SIP_TCP", Some(self.sip.tcp)),
            ("SIP_TLS", Some(self.sip.tls)),
            ("ADMIN", Some(self.admin.addr())),
            ("METRICS", Some(self.metrics)),
        ];
        for (door, addr) in doors {
            let value = addr.map(|addr| addr.to_string());
            launch.env.extend(value.map(|value| (format!("CALLBOARD__LISTEN__{door}"), value)));
        }
        launch
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill()
    }

    /// Orderly end: must be clean.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let status = self.process.stop(STOP_PATIENCE).await?;
        ensure!(status.success(), "the server ended with {status} after SIGTERM:\n{}", self.launch.log_end());
        Ok(())
    }
}
