//! `sip restart`: memory of many bindings, and what is left of them after a crash.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::Stage;
use super::register::SHARED_ADDRESSES;
use crate::cli::sip::RestartArgs;
use crate::progress::rest;
use crate::report::Report;
use crate::scenario::AT_REST;
use crate::server::Server;
use crate::sip::{Fleet, Phase, Plan, Work, first_answer};

/// What the rounds found.
#[derive(Default)]
struct Found {
    interrupted: u64,
    /// Of the slowest round each, in seconds from the start of the new server.
    answers_after: f64,
    ready_after: f64,
    listed_after: f64,
}

pub(super) async fn run(args: &RestartArgs) -> anyhow::Result<Report> {
    let common = &args.common;
    ensure!(common.server.is_some(), "this run starts and kills the server itself: give --server BIN");
    let all = common.phones.checked_add(args.more).context("too many phones")?;
    let mut stage = Stage::open(common, &[SHARED_ADDRESSES]).await?;
    stage.bring_credentials(all).await?;
    let mut fleet = stage.fleet(all).await?;
    rest("rest", AT_REST).await;
    let empty = stage.memory()?.map(|memory| memory.now);
    let (phase, cost) = stage.timed(&mut fleet, "register", stage.once(0..common.phones)).await?;
    let (mut report, _) = stage.report("sip-restart", phase, cost)?;
    rest("rest", AT_REST).await;
    stage.put_memory(&mut report)?;
    let grown = report.server_rss_bytes.zip(empty).map(|(full, empty)| full.saturating_sub(empty));
    report.set("bytes_per_binding", grown.map(|bytes| bytes / u64::from(common.phones)));
    report.set("server_rss_empty_bytes", empty);
    let mut found = Found::default();
    for _ in 0..args.rounds {
        stage = round(args, stage, &mut fleet, &mut found, &mut report).await?;
    }
    report.set("rounds", args.rounds);
    report.set("interrupted", found.interrupted);
    report.set("answers_after_seconds", found.answers_after);
    report.set("ready_after_seconds", found.ready_after);
    report.set("listed_after_seconds", found.listed_after);
    stage.close(&mut report).await;
    Ok(report)
}

/// Phones register; the server is killed; it starts again; what it acknowledged is compared.
async fn round<'a>(
    args: &RestartArgs,
    mut stage: Stage<'a>,
    fleet: &mut Fleet,
    found: &mut Found,
    report: &mut Report,
) -> anyhow::Result<Stage<'a>> {
    let mut server = stage.server.take().context("a server of our own")?;
    let phase = until_killed(args, &mut server, fleet).await?;
    found.interrupted += phase.counts.tally.interrupted;
    report.take_faults(phase.counts.tally);
    let (launch, door) = (server.launch_again(), server.sip.udp);
    drop(server);
    let start = Instant::now();
    let (server, answered) = tokio::join!(launch.start_again(), first_answer(door));
    (stage.server, stage.admin) = {
        let server = server?;
        let admin = server.admin.clone();
        (Some(server), admin)
    };
    let ready = start.elapsed();
    stage.compare(fleet, report).await?;
    found.slower(answered?, ready, start.elapsed());
    fleet.reopen().await?;
    Ok(stage)
}

/// Let new phones register and others refresh, in turn, until the server is killed in their midst.
async fn until_killed(args: &RestartArgs, server: &mut Server, fleet: &mut Fleet) -> anyhow::Result<Phase> {
    let common = &args.common;
    let new = common.phones..common.phones + args.more;
    let both = (0..common.phones).zip(new.clone()).flat_map(|(old, new)| [new, old]);
    let rest = common.phones.min(args.more);
    let order = both.chain(rest..common.phones).chain(common.phones + rest..new.end).collect();
    let plan = Plan::AtOnce { most: common.outstanding, endless: true };
    let running = fleet.begin(Work { order, plan, settled_after: u64::MAX })?;
    let moment = Duration::from_millis(args.kill_after).mul_f64(0.5 + rand::random::<f64>());
    tokio::time::sleep(moment).await;
    running.expect_the_end();
    server.kill()?;
    running.stop().await;
    fleet.end(running).await
}

impl Found {
    fn slower(&mut self, answers: Duration, ready: Duration, listed: Duration) {
        self.answers_after = self.answers_after.max(answers.as_secs_f64());
        self.ready_after = self.ready_after.max(ready.as_secs_f64());
        self.listed_after = self.listed_after.max(listed.as_secs_f64());
    }
}
