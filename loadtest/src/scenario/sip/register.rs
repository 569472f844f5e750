//! `sip register`: phones register once, then refresh.

use super::Stage;
use crate::cli::sip::RegisterArgs;
use crate::report::{Report, per_operation};
use crate::sip::{Counts, Phase};

/// What lets phones share addresses: in a company each has its own.
pub(super) const SHARED_ADDRESSES: (&str, &str) = ("CALLBOARD__LIMITS__EXEMPT_NETWORKS", super::PHONES);

pub(super) async fn run(args: &RegisterArgs) -> anyhow::Result<Report> {
    let common = &args.common;
    let stage = Stage::open(common, &[SHARED_ADDRESSES]).await?;
    stage.bring_credentials(common.phones).await?;
    let mut fleet = stage.fleet(common.phones).await?;
    let (phase, cost) = stage.timed(&mut fleet, "register", stage.once(0..common.phones)).await?;
    let (mut report, _) = stage.report("sip-register", phase, cost)?;
    let mut refreshes = Refreshes::new()?;
    for _ in 0..args.refreshes {
        let (phase, cost) = stage.timed(&mut fleet, "refresh", stage.once(0..common.phones)).await?;
        refreshes.add(phase);
        refreshes.cpu += cost.server.unwrap_or_default();
    }
    refreshes.put(stage.server.is_some(), &mut report);
    report.set("refreshes", args.refreshes);
    stage.compare(&fleet, &mut report).await?;
    stage.put_memory(&mut report)?;
    stage.close(&mut report).await;
    Ok(report)
}

/// All refreshes together.
struct Refreshes {
    counts: Counts,
    time: std::time::Duration,
    cpu: std::time::Duration,
}

impl Refreshes {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { counts: Counts::new()?, time: std::time::Duration::ZERO, cpu: std::time::Duration::ZERO })
    }

    fn add(&mut self, phase: Phase) {
        self.time += phase.time;
        self.counts.merge(phase.counts);
    }

    fn put(self, has_cpu: bool, report: &mut Report) {
        let (tally, seconds) = (self.counts.tally, self.time.as_secs_f64());
        #[allow(clippy::cast_precision_loss)] // far below 2^52
        let rate = (seconds > 0.0).then(|| tally.done as f64 / seconds);
        report.set("refreshes_per_second", rate);
        report.set("refresh_p50_us", tally.quantile_us(0.5));
        report.set("refresh_p99_us", tally.quantile_us(0.99));
        report.set("refresh_p999_us", tally.quantile_us(0.999));
        if has_cpu {
            report.set("server_cpu_us_per_refresh", per_operation(self.cpu, tally.done));
        }
        report.set("refresh_retransmissions", self.counts.retransmissions);
        report.set("refresh_challenges", self.counts.challenges);
        report.take_faults(tally);
    }
}
