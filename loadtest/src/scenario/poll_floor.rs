//! `poll-floor`: polls as fast as the answers come, in turn against the server and against nginx with `return 200`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::{Place, put_settings};
use crate::call::World;
use crate::cli::PollFloorArgs;
use crate::nginx::Nginx;
use crate::poller::{Pace, Polling};
use crate::procfs;
use crate::progress::phase;
use crate::report::{Report, median, per_operation};

/// Phones that poll: enough that none is remembered by its place in a table.
const PHONES: u32 = 50_000;

/// Figures of one kind of connection.
#[derive(Default)]
struct Pairs {
    ours: Vec<Report>,
    theirs: Vec<Report>,
}

pub(super) async fn run(args: &PollFloorArgs) -> anyhow::Result<Report> {
    let common = &args.common;
    let place = Place::new(common.data_dir.as_ref())?;
    let server = place.launch(common)?.start().await?;
    let nginx = Nginx::start_plain(&args.nginx.binary).await.context("nginx (Debian package nginx-light)")?;
    let world = Arc::new(World::new(common.seed));
    let shown = phase("poll", 0);
    let mut sum = Report { scenario: "poll-floor", phones: u64::from(PHONES), ..Report::default() };
    for (name, fresh) in [("kept", false), ("fresh", true)] {
        let measure = |addr: SocketAddr, pids: Vec<u32>, seconds: u64| {
            let polling = Polling {
                world: Arc::clone(&world),
                addr,
                phones: PHONES,
                busy_every: 0,
                fresh,
                sources: common.sources,
                concurrency: common.concurrency,
                pace: Pace::Flat(Duration::from_secs(seconds)),
            };
            async move { measured(&polling, &pids).await }
        };
        // Not counted: both warm up.
        measure(server.dcmp, vec![server.pid()], 1).await?;
        measure(nginx.addr, nginx.pids(), 1).await?;
        let mut pairs = Pairs::default();
        for _ in 0..args.pairs {
            pairs.ours.push(measure(server.dcmp, vec![server.pid()], args.seconds).await?);
            pairs.theirs.push(measure(nginx.addr, nginx.pids(), args.seconds).await?);
        }
        pairs.put(name, &mut sum);
    }
    drop(shown);
    put_settings(common, &mut sum);
    sum.set("pairs", args.pairs);
    nginx.stop().await?;
    if let Err(error) = server.stop().await {
        sum.fail("server_exit", format!("{error:#}"));
    }
    Ok(sum)
}

async fn measured(polling: &Polling, pids: &[u32]) -> anyhow::Result<Report> {
    let before = procfs::cpu_of(pids)?;
    let (tally, time) = polling.run().await?;
    let used = procfs::cpu_of(pids)?.saturating_sub(before);
    let done = tally.done;
    let mut report = Report::new("poll", u64::from(polling.phones), tally, time);
    report.server_cpu_us_per_operation = per_operation(used, done);
    Ok(report)
}

impl Pairs {
    /// Puts medians into the sum of both kinds; its ratios are the worse ones.
    fn put(self, name: &'static str, sum: &mut Report) {
        let figures = |reports: &[Report], figure: fn(&Report) -> Option<f64>| -> Vec<f64> {
            reports.iter().filter_map(figure).collect()
        };
        let rate: fn(&Report) -> Option<f64> = |report| report.operations_per_second;
        let cpu: fn(&Report) -> Option<f64> = |report| report.server_cpu_us_per_operation;
        let ratios = |above: Vec<f64>, below: Vec<f64>| -> Vec<f64> {
            above.into_iter().zip(below).map(|(above, below)| above / below).collect()
        };
        let all = ratios(figures(&self.ours, rate), figures(&self.theirs, rate));
        let all_cpu = ratios(figures(&self.theirs, cpu), figures(&self.ours, cpu));
        let worse = |old: Option<f64>, new: Option<f64>| match (old, new) {
            (Some(old), Some(new)) => Some(old.min(new)),
            (old, new) => old.or(new),
        };
        let (ratio, cpu_ratio) = (median(all.clone()), median(all_cpu));
        sum.floor_ratio = worse(sum.floor_ratio, ratio);
        sum.floor_cpu_ratio = worse(sum.floor_cpu_ratio, cpu_ratio);
        let names = if name == "kept" { KEPT } else { FRESH };
        sum.set(names.ratio, ratio);
        sum.set(names.ratios, all);
        sum.set(names.cpu_ratio, cpu_ratio);
        sum.set(names.rate, median(figures(&self.ours, rate)));
        sum.set(names.floor_rate, median(figures(&self.theirs, rate)));
        sum.set(names.cpu, median(figures(&self.ours, cpu)));
        sum.set(names.floor_cpu, median(figures(&self.theirs, cpu)));
        for report in self.ours.into_iter().chain(self.theirs) {
            sum.errors += report.errors;
            sum.seconds += report.seconds;
            sum.samples.extend(report.samples);
            for (kind, count) in report.errors_by_kind {
                *sum.errors_by_kind.entry(kind).or_default() += count;
            }
        }
    }
}

/// Names of the figures of one kind.
#[derive(Clone, Copy)]
struct Names {
    ratio: &'static str,
    ratios: &'static str,
    cpu_ratio: &'static str,
    rate: &'static str,
    floor_rate: &'static str,
    cpu: &'static str,
    floor_cpu: &'static str,
}

const KEPT: Names = Names {
    ratio: "kept_floor_ratio",
    ratios: "kept_floor_ratios",
    cpu_ratio: "kept_floor_cpu_ratio",
    rate: "kept_polls_per_second",
    floor_rate: "kept_floor_polls_per_second",
    cpu: "kept_cpu_us_per_poll",
    floor_cpu: "kept_floor_cpu_us_per_poll",
};

const FRESH: Names = Names {
    ratio: "fresh_floor_ratio",
    ratios: "fresh_floor_ratios",
    cpu_ratio: "fresh_floor_cpu_ratio",
    rate: "fresh_polls_per_second",
    floor_rate: "fresh_floor_polls_per_second",
    cpu: "fresh_cpu_us_per_poll",
    floor_cpu: "fresh_floor_cpu_us_per_poll",
};
