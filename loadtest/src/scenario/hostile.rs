//! `hostile`: phones start while slow-loris connections and garbage peers are at the server.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Place, Service, create_templates, drive, measured, put_settings, target, verify};
use crate::attack::Crowd;
use crate::call::World;
use crate::cli::HostileArgs;
use crate::ledger::Ledger;
use crate::phone::dialogue::Plan;
use crate::procfs;
use crate::report::{Report, median};
use crate::wire::tls::PhoneTls;

/// After the attackers have gone, before the next quiet phase: the server lets go of their connections.
const CALM: Duration = Duration::from_secs(5);

pub(super) async fn run(args: &HostileArgs) -> anyhow::Result<Report> {
    let common = &args.common;
    let world = Arc::new(World::new(common.seed));
    // Each phase has phones of its own: all of them boot.
    let phases = args.pairs * 2;
    let ledger = Arc::new(Ledger::new(common.phones * phases));
    let place = Place::new(common.data_dir.as_ref())?;
    let service = Service::open(common, &place).await?;
    create_templates(service.admin()).await?;
    let pids: Vec<_> = service.pid().into_iter().collect();
    let mut sum = Report { scenario: "hostile", ..Report::default() };
    let mut quiet = Vec::new();
    let mut hostile = Vec::new();
    let mut held_least = u64::from(args.attackers);
    let (mut ended, mut refused, mut garbage_refused, mut garbage_taken) = (0, 0, 0, 0);
    for phase in 0..phases {
        let numbers = phase * common.phones..(phase + 1) * common.phones;
        let run = drive(common, &world, target(common, service.wpi())?, &ledger, numbers, Plan::Boot);
        if phase % 2 == 0 {
            let (driven, _) = measured(&pids, run).await?;
            quiet.push(Report::new("quiet", u64::from(common.phones), driven.tally, driven.time));
            continue;
        }
        // A connector that checks nothing: attackers must not cost the generator more than need be.
        let tls = PhoneTls::new(common.key, common.tls)?.connector(1).clone();
        let crowd = Crowd::start(service.wpi(), tls, args.attackers, args.garbage_rate);
        crowd.settle(args.attackers).await;
        let held_before = crowd.counts.held.load(Ordering::Relaxed);
        let (driven, cost) = measured(&pids, run).await?;
        let counts = &crowd.counts;
        held_least = held_least.min(held_before).min(counts.held.load(Ordering::Relaxed));
        ended += counts.ended.load(Ordering::Relaxed);
        refused += counts.refused.load(Ordering::Relaxed);
        garbage_refused += counts.garbage_refused.load(Ordering::Relaxed);
        garbage_taken += counts.garbage_taken.load(Ordering::Relaxed);
        let operations = driven.tally.done;
        let mut report = Report::new("hostile", u64::from(common.phones), driven.tally, driven.time);
        cost.put(&mut report, operations);
        hostile.push(report);
        drop(crowd);
        tokio::time::sleep(CALM).await;
    }
    let p99 = |reports: &[Report]| {
        #[allow(clippy::cast_precision_loss)] // microseconds, far below 2^52
        median(reports.iter().filter_map(|r| r.p99_us.map(|us| us as f64)).collect())
    };
    let (quiet_p99, hostile_p99) = (p99(&quiet), p99(&hostile));
    sum.set("quiet_p99_us", quiet_p99);
    sum.set("hostile_p99_us", hostile_p99);
    sum.set("p99_ratio", hostile_p99.zip(quiet_p99).map(|(hostile, quiet)| hostile / quiet));
    for (name, figure) in [
        ("attackers", u64::from(args.attackers)),
        ("attackers_held_at_least", held_least),
        ("attackers_ended", ended),
        ("attackers_not_let_in", refused),
        ("garbage_refused", garbage_refused),
    ] {
        sum.set(name, figure);
    }
    if garbage_taken > 0 {
        sum.fail(
            "garbage_taken",
            format!("{garbage_taken} garbage peers were answered with success, or not at all"),
        );
    }
    put_settings(common, &mut sum);
    for report in quiet.into_iter().chain(hostile) {
        add(&mut sum, report);
    }
    if let Some(pid) = service.pid() {
        let memory = procfs::memory(pid)?;
        sum.server_rss_bytes = Some(memory.now);
        sum.server_peak_rss_bytes = Some(memory.peak);
    }
    verify(common, service.admin(), &world, &ledger, &mut sum).await?;
    service.close(&mut sum).await;
    Ok(sum)
}

/// Add the phones and faults of a phase; the figures of the last hostile phase stand for all.
fn add(sum: &mut Report, phase: Report) {
    sum.phones += phase.phones;
    sum.errors += phase.errors;
    sum.overloads += phase.overloads;
    sum.seconds += phase.seconds;
    for (kind, count) in phase.errors_by_kind {
        *sum.errors_by_kind.entry(kind).or_default() += count;
    }
    sum.operations_per_second = phase.operations_per_second;
    sum.p50_us = phase.p50_us;
    sum.p99_us = phase.p99_us;
    sum.p999_us = phase.p999_us;
    sum.server_cpu_us_per_operation = phase.server_cpu_us_per_operation;
    sum.samples.extend(phase.samples);
}
