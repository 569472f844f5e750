//! `poll`: known phones ask in intervals whether work waits for them, some of them with reason.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::task::JoinSet;

use super::seed::{prepare, write_all};
use super::{Place, drive, put_settings, target, verify};
use crate::api::Admin;
use crate::call::World;
use crate::cli::PollArgs;
use crate::ledger::Ledger;
use crate::phone::dialogue::Plan;
use crate::poller::{Pace, Polling};
use crate::procfs;
use crate::progress::phase;
use crate::report::{Report, per_operation};

/// Connections to the API over which tasks are given.
const GIVERS: u32 = 16;

pub(super) async fn run(args: &PollArgs) -> anyhow::Result<Report> {
    let mut common = args.common.clone();
    // Connections that rest between two polls are no subject here.
    common.server_env.push(("CALLBOARD__DCMP__IDLE_TIMEOUT_MS".into(), "600000".into()));
    common.server_env.push(("CALLBOARD__DCMP__CONNECTIONS".into(), "20000".into()));
    let world = Arc::new(World::new(common.seed));
    let place = Place::new(common.data_dir.as_ref())?;
    let launch = place.launch(&common)?;
    prepare(&launch).await?;
    write_all(&launch.data, &world, common.phones).await?;
    let server = launch.start().await?;
    let busy_every = if args.busy > 0.0 { (1.0 / args.busy).round().max(1.0) } else { 0.0 };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // the command line bounds it
    let busy_every = busy_every as u32;
    let seconds = Duration::from_secs(args.seconds);
    let interval = Duration::from_secs(args.interval_seconds);
    let polls = u64::from(common.phones) * args.seconds / args.interval_seconds;
    ensure!(polls > 0, "no phone would poll in this time");
    let polling = Polling {
        world: Arc::clone(&world),
        addr: server.dcmp,
        phones: common.phones,
        busy_every,
        fresh: args.fresh,
        sources: common.sources,
        concurrency: common.concurrency,
        pace: Pace::Interval { interval, polls },
    };
    let waiting = give_work(&server.admin, &polling).await?;

    // Beside them others start, if that is wanted; they have the numbers behind.
    let ledger = Arc::new(Ledger::new(common.phones + args.boot));
    (0..common.phones).for_each(|number| ledger.assume_settled(number));
    let starting = common.phones..common.phones + args.boot;
    let boot = drive(&common, &world, target(&common, server.wpi)?, &ledger, starting, Plan::Boot);
    let beside = async { if args.boot == 0 { Ok(None) } else { boot.run().await.map(Some) } };
    let (own, pid) = (std::process::id(), server.pid());
    let (before, generator) = (procfs::cpu(pid)?, procfs::cpu(own)?);
    let shown = phase("poll", 0);
    let (polled, booted) = tokio::join!(polling.run(), beside);
    drop(shown);
    let ((tally, time), booted) = (polled?, booted?);
    let (after, generated) = (procfs::cpu(pid)?, procfs::cpu(own)?);
    let done = tally.done;
    let mut report = Report::new("poll", u64::from(common.phones), tally, time);
    report.verified = Some(done);
    if booted.is_none() {
        report.server_cpu_us_per_operation = per_operation(after.saturating_sub(before), done);
        report.generator_cpu_us_per_operation = per_operation(generated.saturating_sub(generator), done);
    }
    let memory = procfs::memory(pid)?;
    (report.server_rss_bytes, report.server_peak_rss_bytes) = (Some(memory.now), Some(memory.peak));
    put_settings(&common, &mut report);
    report.set("interval_seconds", interval.as_secs());
    report.set("fresh", args.fresh);
    report.set("phones_with_work", waiting);
    report.set("planned_seconds", seconds.as_secs());
    if let Some(booted) = booted {
        let boots = Report::new("boot", u64::from(args.boot), booted.tally, booted.time);
        report.set("boots_per_second", boots.operations_per_second);
        report.set("boot_p99_us", boots.p99_us);
        report.errors += boots.errors;
        report.samples.extend(boots.samples);
        verify(&common, &server.admin, &world, &ledger, &mut report).await?;
    }
    if let Err(error) = server.stop().await {
        report.fail("server_exit", format!("{error:#}"));
    }
    Ok(report)
}

/// Give each phone that is to be busy something to do; gives their number.
async fn give_work(admin: &Admin, polling: &Polling) -> anyhow::Result<u64> {
    let progress = phase("tasks", 0);
    let mut givers = JoinSet::new();
    for giver in 0..GIVERS {
        let (admin, polling) = (admin.clone(), polling.clone());
        givers.spawn(async move {
            let mut session = admin.connect().await?;
            let mut given = 0_u64;
            let own = (0..polling.phones).filter(|number| polling.is_busy(*number));
            for number in own.skip(giver as usize).step_by(GIVERS as usize) {
                session.add_task(&polling.world.fleet.identity(number).device_id()).await?;
                given += 1;
            }
            anyhow::Ok(given)
        });
    }
    let mut given = 0;
    while let Some(part) = givers.join_next().await {
        given += part?.context("giving tasks")?;
    }
    drop(progress);
    Ok(given)
}
