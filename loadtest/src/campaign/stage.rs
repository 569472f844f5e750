//! The server and its edges: started, killed in the middle, started again with the same doors, and what they cost.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;

use super::outage::{Outages, Victim};
use crate::branch::Branch;
use crate::procfs;
use crate::report::Report;
use crate::server::{Launch, Server};

/// CPU time of processes, of those that were killed too.
#[derive(Default)]
pub(crate) struct Meter {
    spent: Duration,
    /// What running ones had used before it is counted.
    before: HashMap<u32, Duration>,
}

impl Meter {
    fn begin(&mut self, pid: u32) -> anyhow::Result<()> {
        self.before.insert(pid, procfs::cpu(pid)?);
        Ok(())
    }

    /// It is about to be killed.
    fn end(&mut self, pid: u32) -> anyhow::Result<()> {
        let used = procfs::cpu(pid)?;
        let before = self.before.remove(&pid).unwrap_or_default();
        self.spent += used.saturating_sub(before);
        Ok(())
    }

    fn total(&self) -> anyhow::Result<Duration> {
        let mut total = self.spent;
        for (pid, before) in &self.before {
            total += procfs::cpu(*pid)?.saturating_sub(*before);
        }
        Ok(total)
    }
}

/// The server and its edges.
pub(crate) struct Stage {
    pub(crate) server: Server,
    branches: Vec<Branch>,
    /// How the server is started again.
    again: Launch,
    core: Meter,
    edges: Meter,
    peak: u64,
    /// The longest time from a start of the server to ready.
    pub(crate) slowest_start: Duration,
}

impl Stage {
    /// Start the server, and so many edges with a site each.
    pub(crate) async fn start(launch: &Launch, edges: u32) -> anyhow::Result<Self> {
        let server = launch.start().await?;
        let mut branches = Vec::new();
        for number in 0..edges {
            let door = server.edge.context("the server has no door edge")?;
            branches.push(Branch::start(launch, door, &server.admin, number).await?);
        }
        Ok(Self {
            again: server.launch_again(),
            slowest_start: server.ready_after,
            server,
            branches,
            core: Meter::default(),
            edges: Meter::default(),
            peak: 0,
        })
    }

    /// Where phones call: the server, then the edges.
    pub(crate) fn wpi(&self) -> Vec<SocketAddr> {
        std::iter::once(self.server.wpi).chain(self.branches.iter().map(|branch| branch.wpi)).collect()
    }

    /// Where phones poll.
    pub(crate) fn dcmp(&self) -> Vec<SocketAddr> {
        std::iter::once(self.server.dcmp).chain(self.branches.iter().map(|branch| branch.dcmp)).collect()
    }

    /// Count what is used from now on.
    pub(crate) fn measure(&mut self) -> anyhow::Result<()> {
        self.core.begin(self.server.pid())?;
        self.branches.iter().try_for_each(|branch| self.edges.begin(branch.pid()))
    }

    /// CPU time of the server, and of all edges, since then.
    pub(crate) fn used(&self) -> anyhow::Result<(Duration, Duration)> {
        Ok((self.core.total()?, self.edges.total()?))
    }

    /// Memory of the server now, and its peak, killed ones included.
    pub(crate) fn memory(&self) -> anyhow::Result<(u64, u64)> {
        let memory = procfs::memory(self.server.pid())?;
        Ok((memory.now, memory.peak.max(self.peak)))
    }

    /// `kill -9`, and start again; all edges are connected then.
    pub(crate) async fn kill(&mut self, victim: Victim, outages: &Outages) -> anyhow::Result<()> {
        // Without the server no edge is good for anything, until it is connected anew.
        let edges = match victim {
            Victim::Core => 0..self.branches.len(),
            Victim::Edge(edge) => edge..edge + 1,
        };
        edges.clone().for_each(|edge| outages.begin(Victim::Edge(edge)));
        match victim {
            Victim::Core => {
                outages.begin(victim);
                self.kill_core().await?;
                outages.end(victim);
            }
            Victim::Edge(edge) => self.kill_edge(edge).await?,
        }
        for edge in edges {
            self.branches[edge].connected(&self.server.admin).await?;
            outages.end(Victim::Edge(edge));
        }
        Ok(())
    }

    async fn kill_edge(&mut self, edge: usize) -> anyhow::Result<()> {
        let branch = &mut self.branches[edge];
        self.edges.end(branch.pid())?;
        branch.kill()?;
        branch.start_again().await?;
        self.edges.begin(branch.pid())
    }

    async fn kill_core(&mut self) -> anyhow::Result<()> {
        self.core.end(self.server.pid())?;
        self.peak = self.memory()?.1;
        self.server.kill()?;
        self.server = self.again.start_again().await?;
        self.core.begin(self.server.pid())?;
        self.slowest_start = self.slowest_start.max(self.server.ready_after);
        Ok(())
    }

    /// Orderly end of all.
    pub(crate) async fn stop(self, report: &mut Report) {
        for branch in self.branches {
            if let Err(error) = branch.stop().await {
                report.fail("edge_exit", format!("{error:#}"));
            }
        }
        if let Err(error) = self.server.stop().await {
            report.fail("server_exit", format!("{error:#}"));
        }
    }
}
