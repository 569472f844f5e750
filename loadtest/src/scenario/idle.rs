//! `idle`: phones keep their connection open after `CleanUp`: memory per connection.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::task::JoinSet;

use super::reboot::make_known;
use super::{AT_REST, Place, Service, put_settings, target};
use crate::call::{Called, Caller, Space, Target, World};
use crate::cli::IdleArgs;
use crate::fault::Fault;
use crate::ledger::Ledger;
use crate::phone::dialogue::{Next, Plan};
use crate::procfs;
use crate::progress::{phase, rest};
use crate::report::Report;
use crate::tally::Tally;
use crate::wire::link::Link;

/// Longer than any run: the server must not end the connections by itself while they are counted.
pub(super) const IDLE_TIMEOUT_MS: &str = "3000000";

pub(super) async fn run(args: &IdleArgs) -> anyhow::Result<Report> {
    let mut common = args.common.clone();
    ensure!(common.phones <= 19_000, "one process cannot hold more than 19,000 connections");
    common.server_env.push(("CALLBOARD__LIMITS__IDLE_TIMEOUT_MS".into(), IDLE_TIMEOUT_MS.into()));
    common.server_env.push(("CALLBOARD__WPI__AFTER_CLEAN_UP".into(), "keep".into()));
    let world = Arc::new(World::new(common.seed));
    let ledger = Arc::new(Ledger::new(common.phones));
    let place = Place::new(common.data_dir.as_ref())?;
    let mut report = Report::default();
    let service = Service::open(&common, &place).await?;
    make_known(&common, &world, &ledger, &service).await?;
    // A new process holds the devices but nothing that booting left behind.
    let service = if service.pid().is_some() {
        service.close(&mut report).await;
        Service::open(&common, &place).await?
    } else {
        service
    };
    rest("rest", AT_REST).await;
    let before = service.pid().map(procfs::memory).transpose()?;
    let target = Arc::new(target(&common, service.wpi())?);
    let start = Instant::now();
    let opened = open_all(&world, &target, 0..common.phones, common.concurrency).await?;
    let time = start.elapsed();
    let failed =
        std::mem::replace(&mut report, Report::new("idle", u64::from(common.phones), opened.tally, time));
    report.errors += failed.errors;
    report.samples.extend(failed.samples);
    put_settings(&common, &mut report);
    rest("hold", Duration::from_secs(args.hold_seconds).max(AT_REST)).await;
    let after = service.pid().map(procfs::memory).transpose()?;
    if let (Some(before), Some(after)) = (before, after) {
        report.server_rss_bytes = Some(after.now);
        report.server_peak_rss_bytes = Some(after.peak);
        let grown = after.now.saturating_sub(before.now);
        report.set("bytes_per_connection", grown.checked_div(opened.links.len() as u64));
        report.set("server_rss_before_bytes", before.now);
    }
    talk_again(opened.links, &world, &target, &mut report).await;
    service.close(&mut report).await;
    Ok(report)
}

/// Connections that are open, and how opening them went.
pub(super) struct Opened {
    pub(super) tally: Tally,
    pub(super) links: Vec<(u32, Box<Link>)>,
}

/// Open all connections, with one dialogue on each.
pub(super) async fn open_all(
    world: &Arc<World>,
    target: &Arc<Target>,
    numbers: Range<u32>,
    concurrency: u32,
) -> anyhow::Result<Opened> {
    let Range { start, end } = numbers;
    let cursor = Arc::new(AtomicU32::new(start));
    let progress = phase("open", u64::from(end - start));
    let mut tasks = JoinSet::new();
    for _ in 0..concurrency.min(end - start) {
        let (world, target, cursor) = (Arc::clone(world), Arc::clone(target), Arc::clone(&cursor));
        let progress = progress.clone();
        tasks.spawn(async move {
            let mut opened = Opened { tally: Tally::new()?, links: Vec::new() };
            loop {
                let number = cursor.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    return anyhow::Ok(opened);
                }
                let caller = Caller { world: &world, target: &target, number, plan: Plan::Reboot };
                match caller.call(&mut known(), &mut Space::default()).await {
                    Ok(Called::Done { link, time }) => {
                        opened.tally.record(time);
                        opened.links.push((number, link));
                    }
                    Ok(Called::Later) => opened.tally.fault(number, &Fault::Overload(1)),
                    Err(fault) => opened.tally.fault(number, &fault),
                }
                progress.inc(1);
            }
        });
    }
    let mut all = Opened { tally: Tally::new()?, links: Vec::new() };
    while let Some(part) = tasks.join_next().await {
        let part = part??;
        all.tally.merge(part.tally);
        all.links.extend(part.links);
    }
    Ok(all)
}

/// A phone that the service knows in full.
fn known() -> crate::ledger::State {
    crate::ledger::State { phase: crate::ledger::Phase::Settled, configured: true, generation: 0 }
}

/// See that each connection is still good for another dialogue.
pub(super) async fn talk_again(
    links: Vec<(u32, Box<Link>)>,
    world: &World,
    target: &Target,
    report: &mut Report,
) {
    let progress = phase("talk again", links.len() as u64);
    let mut still_good = 0u64;
    let mut space = Space::default();
    for (number, mut link) in links {
        let caller = Caller { world, target, number, plan: Plan::Reboot };
        let mut state = known();
        let dialogue = caller.talk(&mut link, &mut state, &mut space, |_, _| ());
        match tokio::time::timeout(target.patience.dialogue, dialogue).await {
            Ok(Ok(Next::Done)) => still_good += 1,
            Ok(Ok(_)) => report.fail("overload", format!("phone {number}: told to come later")),
            Ok(Err(fault)) => report.fail(fault.label(), format!("phone {number}, after the wait: {fault}")),
            Err(_) => report.fail("timeout", format!("phone {number}: no answer after the wait")),
        }
        report.samples.truncate(20);
        progress.inc(1);
    }
    report.set("connections_held", still_good);
}
