//! `hostile`: phones start while slow-loris connections and garbage peers are at the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Place, Service, create_templates, drive, put_settings, target, timed, verify};
use crate::attack::{Counts, Crowd};
use crate::call::World;
use crate::cli::HostileArgs;
use crate::ledger::Ledger;
use crate::phone::dialogue::Plan;
use crate::procfs;
use crate::progress::{self, rest};
use crate::report::{Report, median};
use crate::wire::tls::PhoneTls;

/// After the attackers have gone, before the next quiet phase: the server lets go of their connections.
const CALM: Duration = Duration::from_secs(5);

/// What all phases have in common.
struct Run<'a> {
    args: &'a HostileArgs,
    world: Arc<World>,
    ledger: Arc<Ledger>,
    service: Service,
    pids: Vec<u32>,
}

/// What the attackers of all phases have seen.
struct Seen {
    held_least: u64,
    ended: u64,
    refused: u64,
    garbage_refused: u64,
    garbage_taken: u64,
}

pub(super) async fn run(args: &HostileArgs) -> anyhow::Result<Report> {
    let common = &args.common;
    let place = Place::new(common.data_dir.as_ref())?;
    let service = Service::open(common, &place).await?;
    create_templates(service.admin()).await?;
    let run = Run {
        args,
        world: Arc::new(World::new(common.seed)),
        // Each phase has phones of its own: all of them boot.
        ledger: Arc::new(Ledger::new(common.phones * args.pairs * 2)),
        pids: service.pid().into_iter().collect(),
        service,
    };
    let mut seen = Seen {
        held_least: u64::from(args.attackers),
        ended: 0,
        refused: 0,
        garbage_refused: 0,
        garbage_taken: 0,
    };
    let (mut quiet, mut hostile) = (Vec::new(), Vec::new());
    for pair in 0..args.pairs {
        quiet.push(run.phones("quiet", 2 * pair).await?);
        hostile.push(run.under_attack(2 * pair + 1, &mut seen).await?);
        rest("calm", CALM).await;
    }
    let mut sum = Report { scenario: "hostile", ..Report::default() };
    put_p99(&quiet, &hostile, &mut sum);
    seen.put(args.attackers, &mut sum);
    put_settings(common, &mut sum);
    for report in quiet.into_iter().chain(hostile) {
        add(&mut sum, report);
    }
    if let Some(pid) = run.service.pid() {
        let memory = procfs::memory(pid)?;
        sum.server_rss_bytes = Some(memory.now);
        sum.server_peak_rss_bytes = Some(memory.peak);
    }
    verify(common, run.service.admin(), &run.world, &run.ledger, &mut sum).await?;
    run.service.close(&mut sum).await;
    Ok(sum)
}

impl Run<'_> {
    /// Let the phones of a phase boot.
    async fn phones(&self, name: &'static str, phase: u32) -> anyhow::Result<Report> {
        let common = &self.args.common;
        let numbers = phase * common.phones..(phase + 1) * common.phones;
        let target = target(common, self.service.wpi())?;
        let drive = drive(common, &self.world, target, &self.ledger, numbers, Plan::Boot);
        Ok(timed(name, common, &self.pids, drive).await?.0)
    }

    /// Let the phones of a phase boot while attackers are at the server.
    async fn under_attack(&self, phase: u32, seen: &mut Seen) -> anyhow::Result<Report> {
        let (args, common) = (self.args, &self.args.common);
        // A connector that checks nothing: attackers must not cost the generator more than need be.
        let tls = PhoneTls::new(common.key, common.tls)?.connector(1).clone();
        let crowd = Crowd::start(self.service.wpi(), tls, args.attackers, args.garbage_rate);
        let gathering = progress::phase("gather", 0);
        crowd.settle(args.attackers).await;
        drop(gathering);
        let held_before = crowd.counts.held.load(Ordering::Relaxed);
        let report = self.phones("hostile", phase).await?;
        seen.add(&crowd.counts, held_before);
        Ok(report)
    }
}

impl Seen {
    fn add(&mut self, counts: &Counts, held_before: u64) {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.held_least = self.held_least.min(held_before).min(of(&counts.held));
        self.ended += of(&counts.ended);
        self.refused += of(&counts.refused);
        self.garbage_refused += of(&counts.garbage_refused);
        self.garbage_taken += of(&counts.garbage_taken);
    }

    fn put(&self, attackers: u32, report: &mut Report) {
        for (name, figure) in [
            ("attackers", u64::from(attackers)),
            ("attackers_held_at_least", self.held_least),
            ("attackers_ended", self.ended),
            ("attackers_not_let_in", self.refused),
            ("garbage_refused", self.garbage_refused),
        ] {
            report.set(name, figure);
        }
        if self.garbage_taken > 0 {
            let taken = self.garbage_taken;
            let why = format!("{taken} garbage peers were answered with success, or not at all");
            report.fail("garbage_taken", why);
        }
    }
}

/// Put the times of quiet and hostile phases into the report: medians, and how they compare.
fn put_p99(quiet: &[Report], hostile: &[Report], sum: &mut Report) {
    let p99 = |reports: &[Report]| {
        #[allow(clippy::cast_precision_loss)] // microseconds, far below 2^52
        median(reports.iter().filter_map(|r| r.p99_us.map(|us| us as f64)).collect())
    };
    let (quiet, hostile) = (p99(quiet), p99(hostile));
    sum.set("quiet_p99_us", quiet);
    sum.set("hostile_p99_us", hostile);
    sum.set("p99_ratio", hostile.zip(quiet).map(|(hostile, quiet)| hostile / quiet));
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
