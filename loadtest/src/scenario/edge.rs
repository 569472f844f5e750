//! `edge`: phones behind edges boot, and are compared with as many that boot by themselves; then all are connected at once.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::JoinSet;

use super::boot::SHORT_REST;
use super::hold::Holder;
use super::idle::IDLE_TIMEOUT_MS;
use super::{AT_REST, Place, Service, create_templates, drive, put_settings, target, verify};
use crate::branch::Branch;
use crate::call::World;
use crate::cli::{Common, EdgeArgs};
use crate::drive::Driven;
use crate::ledger::Ledger;
use crate::phone::dialogue::Plan;
use crate::procfs;
use crate::progress::{phase, rest};
use crate::report::{Report, median, per_operation};
use crate::tally::Tally;

pub(super) async fn run(args: &EdgeArgs) -> anyhow::Result<Report> {
    let common = with_room(&args.common, args.edges);
    let world = Arc::new(World::new(common.seed));
    let mut report = Report::default();
    let mut pairs = Vec::new();
    for _ in 0..args.pairs {
        // A new server each time: both find the same conditions.
        let direct = boots(&common, &world, 0, &mut report).await?;
        pairs.push((direct, boots(&common, &world, args.edges, &mut report).await?));
    }
    let mut held = hold(&common, &world, args).await?;
    held.errors += report.errors;
    held.lost += report.lost;
    held.overloads += report.overloads;
    held.verified = Some(held.verified.unwrap_or_default() + report.verified.unwrap_or_default());
    held.samples.extend(report.samples);
    for (kind, count) in report.errors_by_kind {
        *held.errors_by_kind.entry(kind).or_default() += count;
    }
    held.set("edges", args.edges);
    if !pairs.is_empty() {
        compare(&pairs, &mut held);
    }
    Ok(held)
}

/// What as many dialogues cost.
struct Boots {
    per_second: f64,
    /// CPU time of the server, microseconds per dialogue.
    core: Option<f64>,
    /// The same of all edges together.
    edges: Option<f64>,
}

/// The figures of the pairs: without edges, and through them.
fn compare(pairs: &[(Boots, Boots)], report: &mut Report) {
    let ratios: Vec<_> =
        pairs.iter().map(|(direct, through)| through.per_second / direct.per_second).collect();
    let middle =
        |figure: fn(&(Boots, Boots)) -> Option<f64>| median(pairs.iter().filter_map(figure).collect());
    report.operations_per_second = middle(|(_, through)| Some(through.per_second));
    report.set("direct_cpu_us_per_operation", middle(|(direct, _)| direct.core));
    report.set("core_cpu_us_per_operation", middle(|(_, through)| through.core));
    report.set("edge_cpu_us_per_operation", middle(|(_, through)| through.edges));
    report.set("edge_ratios", ratios.clone());
    report.set("edge_ratio", median(ratios));
}

/// The settings that so many phones behind few edges need.
fn with_room(common: &Common, edges: u32) -> Common {
    let mut common = common.clone();
    let phones = common.phones + 1_000;
    for (key, value) in [
        ("LIMITS__CONNECTIONS", phones),
        ("LIMITS__CONNECTIONS_PER_SOURCE", phones),
        ("EDGE__RELAYS_PER_SITE", phones.div_ceil(edges.max(1)) + 1_000),
    ] {
        let key = format!("CALLBOARD__{key}");
        if common.server_env.iter().all(|(given, _)| *given != key) {
            common.server_env.push((key, value.to_string()));
        }
    }
    common
}

/// Edges, each with its part of the phones.
struct Behind {
    branches: Vec<Branch>,
    phones: u32,
}

impl Behind {
    async fn start(common: &Common, place: &Place, service: &Service, edges: u32) -> anyhow::Result<Self> {
        let _shown = phase("edges", u64::from(edges));
        let Service::Own(server) = service else {
            anyhow::bail!("this scenario starts the server itself: give --server BIN");
        };
        let core = server.edge.context("the server has no door edge")?;
        let launch = place.launch(common)?;
        let mut branches = Vec::new();
        for number in 0..edges {
            branches.push(Branch::start(&launch, core, &server.admin, number).await?);
        }
        Ok(Self { branches, phones: common.phones })
    }

    /// Each edge with the numbers of its phones; without edges, all phones at the server itself.
    fn parts(&self, service: &Service) -> Vec<(std::net::SocketAddr, Range<u32>)> {
        let count = u32::try_from(self.branches.len()).unwrap_or_default();
        if count == 0 {
            return vec![(service.wpi(), 0..self.phones)];
        }
        let share = self.phones.div_ceil(count);
        let part = |at: u32| (share * at).min(self.phones)..(share * (at + 1)).min(self.phones);
        self.branches.iter().zip(0..).map(|(branch, at)| (branch.wpi, part(at))).collect()
    }

    fn pids(&self) -> Vec<u32> {
        self.branches.iter().map(Branch::pid).collect()
    }

    fn memory(&self) -> anyhow::Result<u64> {
        self.pids().into_iter().map(|pid| procfs::memory(pid).map(|memory| memory.now)).sum()
    }

    async fn stop(self, report: &mut Report) {
        for branch in self.branches {
            if let Err(error) = branch.stop().await {
                report.fail("edge_exit", format!("{error:#}"));
            }
        }
    }
}

/// Lets all phones boot at a new server, through so many edges, and compares them.
async fn boots(
    common: &Common,
    world: &Arc<World>,
    edges: u32,
    report: &mut Report,
) -> anyhow::Result<Boots> {
    let place = Place::new(None)?;
    let service = Service::open(common, &place).await?;
    create_templates(service.admin()).await?;
    let behind = Behind::start(common, &place, &service, edges).await?;
    let ledger = Arc::new(Ledger::new(common.phones));
    let core = service.pid().context("a server of our own")?;
    let before = (procfs::cpu(core)?, procfs::cpu_of(&behind.pids())?);
    let driven = drive_parts(common, world, &service, &behind, &ledger).await?;
    let after = (procfs::cpu(core)?, procfs::cpu_of(&behind.pids())?);
    let booted = driven.tally.done;
    let mut run = Report::new("edge", u64::from(common.phones), driven.tally, driven.time);
    rest("rest", SHORT_REST).await;
    verify(common, service.admin(), world, &ledger, &mut run).await?;
    behind.stop(&mut run).await;
    service.close(&mut run).await;
    report.errors += run.errors;
    report.lost += run.lost;
    report.overloads += run.overloads;
    report.verified = Some(report.verified.unwrap_or_default() + run.verified.unwrap_or_default());
    report.samples.extend(run.samples);
    for (kind, count) in run.errors_by_kind {
        *report.errors_by_kind.entry(kind).or_default() += count;
    }
    Ok(Boots {
        per_second: run.operations_per_second.filter(|rate| *rate > 0.0).context("no phone booted")?,
        core: per_operation(after.0.saturating_sub(before.0), booted),
        edges: per_operation(after.1.saturating_sub(before.1), booted).filter(|_| edges > 0),
    })
}

/// All parts at the same time; each has its share of the dialogues under way.
async fn drive_parts(
    common: &Common,
    world: &Arc<World>,
    service: &Service,
    behind: &Behind,
    ledger: &Arc<Ledger>,
) -> anyhow::Result<Driven> {
    let parts = behind.parts(service);
    let count = u32::try_from(parts.len()).unwrap_or(1);
    let share = Common { concurrency: common.concurrency.div_ceil(count), ..common.clone() };
    let start = Instant::now();
    let mut running = JoinSet::new();
    for (addr, numbers) in parts {
        running.spawn(drive(&share, world, target(common, addr)?, ledger, numbers, Plan::Boot).run());
    }
    let mut tally = Tally::new()?;
    while let Some(driven) = running.join_next().await {
        tally.merge(driven??.tally);
    }
    Ok(Driven { tally, time: start.elapsed() })
}

/// Connects all phones at once through the edges, and holds them: open files and memory.
async fn hold(common: &Common, world: &Arc<World>, args: &EdgeArgs) -> anyhow::Result<Report> {
    let mut common = common.clone();
    common.server_env.push(("CALLBOARD__LIMITS__IDLE_TIMEOUT_MS".into(), IDLE_TIMEOUT_MS.into()));
    common.server_env.push(("CALLBOARD__WPI__AFTER_CLEAN_UP".into(), "keep".into()));
    let place = Place::new(common.data_dir.as_ref())?;
    let mut report = Report::default();
    let service = Service::open(&common, &place).await?;
    let ledger = Arc::new(Ledger::new(common.phones));
    super::reboot::make_known(&common, world, &ledger, &service).await?;
    // New processes hold the devices but nothing that booting left behind.
    service.close(&mut report).await;
    let service = Service::open(&common, &place).await?;
    let behind = Behind::start(&common, &place, &service, args.edges).await?;
    rest("rest", AT_REST).await;
    let core = service.pid().context("a server of our own")?;
    let before = (procfs::memory(core)?.now, behind.memory()?);
    let cpu = procfs::cpu(core)?;
    let start = Instant::now();
    let shown = phase("open", u64::from(args.edges));
    let share = common.concurrency.div_ceil(args.edges.max(1));
    let mut holders = Vec::new();
    for (addr, numbers) in behind.parts(&service) {
        holders.push(Holder::start(&common, addr, &numbers, share)?);
    }
    let failed = std::mem::replace(
        &mut report,
        Report { scenario: "edge", phones: u64::from(common.phones), ..Report::default() },
    );
    report.errors += failed.errors;
    report.samples.extend(failed.samples);
    let mut open = 0;
    for holder in &mut holders {
        open += holder.opened(&mut report).await?;
        shown.inc(1);
    }
    report.seconds = start.elapsed().as_secs_f64();
    put_settings(&common, &mut report);
    report.server_cpu_us_per_operation = per_operation(procfs::cpu(core)?.saturating_sub(cpu), open);
    rest("hold", Duration::from_secs(args.hold_seconds).max(AT_REST)).await;
    let after = (procfs::memory(core)?, behind.memory()?);
    report.server_rss_bytes = Some(after.0.now);
    report.server_peak_rss_bytes = Some(after.0.peak);
    report.set("core_open_files", procfs::open_files(core)?);
    report.set("core_bytes_per_relay", after.0.now.saturating_sub(before.0).checked_div(open));
    report.set("edge_bytes_per_relay", after.1.saturating_sub(before.1).checked_div(open));
    for holder in &mut holders {
        holder.talk_again().await?;
    }
    let mut held = 0;
    for holder in holders {
        held += holder.end(&mut report).await?;
    }
    report.set("connections_held", held);
    behind.stop(&mut report).await;
    verify(&common, service.admin(), world, &ledger, &mut report).await?;
    service.close(&mut report).await;
    Ok(report)
}
