//! Connections held by processes of their own: one process may not have as many open files as there are phones.
//!
//! A holder opens its connections, tells how that went in a line of JSON, waits for a line, sees that each connection is still
//! good, and ends with a second line of JSON.

use std::io::{BufRead as _, Write as _};
use std::net::SocketAddr;
use std::ops::Range;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::idle::{open_all, talk_again};
use super::target;
use crate::call::World;
use crate::cli::{Common, HoldArgs};
use crate::report::Report;

/// A running holder.
pub(super) struct Holder {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
    go_on: ChildStdin,
}

impl Holder {
    /// Start one for these phones at this door.
    pub(super) fn start(
        common: &Common,
        at: SocketAddr,
        phones: &Range<u32>,
        concurrency: u32,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("hold").args(["--at", &at.to_string()]);
        for (flag, value) in [
            ("--first", phones.start.to_string()),
            ("--phones", (phones.end - phones.start).to_string()),
            ("--concurrency", concurrency.to_string()),
            ("--seed", common.seed.to_string()),
            ("--sources", common.sources.to_string()),
            ("--key", common.key.as_str().to_owned()),
            ("--tls", common.tls.as_str().to_owned()),
            ("--dialogue-seconds", common.dialogue_seconds.to_string()),
            ("--max-seconds", common.outcome.max_seconds.to_string()),
        ] {
            command.args([flag, &value]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().context("cannot start a holder")?;
        let said = child.stdout.take().context("a holder without output")?;
        let go_on = child.stdin.take().context("a holder without input")?;
        Ok(Self { child, said: BufReader::new(said).lines(), go_on })
    }

    /// Wait until its connections are open; add what went wrong to the report, and give how many are open.
    pub(super) async fn opened(&mut self, report: &mut Report) -> anyhow::Result<u64> {
        self.line(report, "connections_opened").await
    }

    /// Let it see that its connections are still good.
    pub(super) async fn talk_again(&mut self) -> anyhow::Result<()> {
        Ok(self.go_on.write_all(b"\n").await?)
    }

    /// Wait until it has, and ended: how many are.
    pub(super) async fn end(mut self, report: &mut Report) -> anyhow::Result<u64> {
        let held = self.line(report, "connections_held").await?;
        while self.said.next_line().await?.is_some() {}
        self.child.wait().await?;
        Ok(held)
    }

    async fn line(&mut self, report: &mut Report, figure: &str) -> anyhow::Result<u64> {
        let line = self.said.next_line().await?.context("a holder ended early")?;
        let told: Value = serde_json::from_str(&line).context("a holder's line")?;
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        report.errors += number(&told["errors"]);
        for (kind, count) in told["errors_by_kind"].as_object().into_iter().flatten() {
            *report.errors_by_kind.entry(kind.clone()).or_default() += number(count);
        }
        let samples = told["samples"].as_array().into_iter().flatten();
        report.samples.extend(samples.filter_map(Value::as_str).map(str::to_owned));
        Ok(number(&told[figure]))
    }
}

/// The holder's side.
pub(super) async fn run(args: &HoldArgs) -> anyhow::Result<Report> {
    let common = &args.common;
    let world = Arc::new(World::new(common.seed));
    let target = Arc::new(target(common, args.at)?);
    let last = args.first.checked_add(common.phones).context("too many phones")?;
    let start = Instant::now();
    let opened = open_all(&world, &target, args.first..last, common.concurrency).await?;
    let mut report = Report::new("hold", u64::from(common.phones), opened.tally, start.elapsed());
    report.set("connections_opened", opened.links.len());
    tell(&report)?;
    let read = tokio::task::spawn_blocking(|| std::io::stdin().lock().read_line(&mut String::new()));
    ensure!(read.await?? > 0, "nobody waits for the connections any more");
    let mut report = Report { scenario: "hold", phones: u64::from(common.phones), ..Report::default() };
    talk_again(opened.links, &world, &target, &mut report).await;
    tell(&report)?;
    Ok(report)
}

fn tell(report: &Report) -> anyhow::Result<()> {
    let mut told = serde_json::to_value(report)?;
    told["samples"] = report.samples.clone().into();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{told}")?;
    out.flush()?;
    Ok(())
}
