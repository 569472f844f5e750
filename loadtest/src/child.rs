//! A process that is ended when nobody holds it any more.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::procfs;

/// How often a process is looked at while waiting for it.
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// A running process and, at its end, its children.
pub(crate) struct Process {
    child: Child,
    name: &'static str,
}

impl Process {
    /// Start a program; what it prints is appended to `log`. It is in a process group of its own, so that an
    /// interrupt from the terminal reaches only the load test, which then ends it.
    pub(crate) fn start(name: &'static str, mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let out = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its status if it has ended.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// End it at once, as a crash would, and wait until it is gone.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ask it to end, and wait for that.
    pub(crate) async fn stop(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            tokio::time::sleep(POLL).await;
        }
        self.kill()?;
        bail!("{} did not end within {} s of SIGTERM", self.name, patience.as_secs());
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may be gone already.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Children (nginx' workers) would outlive their parent.
            let children = procfs::children(self.child.id());
            let _ = self.child.kill();
            let _ = self.child.wait();
            for child in children {
                if let Some(pid) = i32::try_from(child).ok().and_then(Pid::from_raw) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn processes_end_on_request_and_when_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let sleep = || {
            let mut command = Command::new("sleep");
            command.arg("60");
            Process::start("sleep", command, &dir.path().join("log")).unwrap()
        };
        let mut process = sleep();
        assert!(process.ended().unwrap().is_none());
        assert!(!process.stop(Duration::from_secs(10)).await.unwrap().success());
        let process = sleep();
        let pid = process.pid();
        drop(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}
