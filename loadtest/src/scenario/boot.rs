//! `boot`: unknown phones start, are read and written; then the fleet is compared.

use std::sync::Arc;
use std::time::Duration;

use super::floor::{FloorRun, record};
use super::{AT_REST, Place, Service, create_templates, drive, target, timed, verify};
use crate::call::World;
use crate::cli::{BootArgs, Common};
use crate::ledger::Ledger;
use crate::phone::dialogue::Plan;
use crate::procfs;
use crate::progress;
use crate::report::{Report, median};

/// Where memory is not what matters: connections that phones have just closed are let go of in this time.
pub(super) const SHORT_REST: Duration = Duration::from_secs(1);

pub(super) async fn run(args: &BootArgs) -> anyhow::Result<Report> {
    if args.floor {
        return pairs(args).await;
    }
    let common = &args.common;
    let world = Arc::new(World::new(common.seed));
    let ledger = Arc::new(Ledger::new(common.phones));
    let place = Place::new(common.data_dir.as_ref())?;
    let service = Service::open(common, &place).await?;
    create_templates(service.admin()).await?;
    let mut report = boot(common, &world, &ledger, &service, AT_REST).await?;
    verify(common, service.admin(), &world, &ledger, &mut report).await?;
    service.close(&mut report).await;
    Ok(report)
}

/// Let all phones of the ledger boot. The server's memory is measured `rest` after that.
pub(super) async fn boot(
    common: &Common,
    world: &Arc<World>,
    ledger: &Arc<Ledger>,
    service: &Service,
    rest: Duration,
) -> anyhow::Result<Report> {
    let pids: Vec<_> = service.pid().into_iter().collect();
    let before = pids.first().map(|pid| procfs::memory(*pid)).transpose()?;
    let run = drive(common, world, target(common, service.wpi())?, ledger, 0..common.phones, Plan::Boot);
    let (mut report, done) = timed("boot", common, &pids, run).await?;
    if let (Some(&pid), Some(before)) = (pids.first(), before) {
        progress::rest("rest", rest).await;
        let after = procfs::memory(pid)?;
        report.server_rss_bytes = Some(after.now);
        report.server_peak_rss_bytes = Some(after.peak);
        report.bytes_per_device = after.now.saturating_sub(before.now).checked_div(done);
    }
    Ok(report)
}

/// In turn against nginx and against the server; ratios are medians of the pairs.
async fn pairs(args: &BootArgs) -> anyhow::Result<Report> {
    let common = &args.common;
    let world = Arc::new(World::new(common.seed));
    let mut reports = Vec::new();
    let (mut ratios, mut cpu_ratios) = (Vec::new(), Vec::new());
    let mut floors = Vec::new();
    for _ in 0..args.pairs {
        // A new server each time: all pairs find the same conditions.
        let place = Place::new(None)?;
        let service = Service::open(common, &place).await?;
        create_templates(service.admin()).await?;
        let recording = record(common, &world, service.wpi()).await?;
        let floor = FloorRun::new(common, &args.nginx, &world, recording).run().await?;
        let ledger = Arc::new(Ledger::new(common.phones));
        let mut report = boot(common, &world, &ledger, &service, SHORT_REST).await?;
        verify(common, service.admin(), &world, &ledger, &mut report).await?;
        service.close(&mut report).await;
        if let (Some(ours), Some(theirs)) = (report.operations_per_second, floor.operations_per_second) {
            ratios.push(ours / theirs);
        }
        if let (Some(ours), Some(theirs)) =
            (report.server_cpu_us_per_operation, floor.server_cpu_us_per_operation)
        {
            cpu_ratios.push(theirs / ours);
        }
        reports.push(report);
        floors.push(floor);
    }
    Ok(summary(reports, &floors, ratios, cpu_ratios))
}

/// One report of many: figures are medians, faults are sums.
fn summary(reports: Vec<Report>, floors: &[Report], ratios: Vec<f64>, cpu_ratios: Vec<f64>) -> Report {
    let of =
        |all: &[Report], figure: fn(&Report) -> Option<f64>| median(all.iter().filter_map(figure).collect());
    let of_us = |figure: fn(&Report) -> Option<u64>| {
        let mut figures: Vec<_> = reports.iter().filter_map(figure).collect();
        figures.sort_unstable();
        figures.get(figures.len() / 2).copied()
    };
    let mut sum = Report {
        scenario: "boot",
        operations_per_second: of(&reports, |r| r.operations_per_second),
        server_cpu_us_per_operation: of(&reports, |r| r.server_cpu_us_per_operation),
        generator_cpu_us_per_operation: of(&reports, |r| r.generator_cpu_us_per_operation),
        p50_us: of_us(|r| r.p50_us),
        p99_us: of_us(|r| r.p99_us),
        p999_us: of_us(|r| r.p999_us),
        server_rss_bytes: of_us(|r| r.server_rss_bytes),
        server_peak_rss_bytes: of_us(|r| r.server_peak_rss_bytes),
        bytes_per_device: of_us(|r| r.bytes_per_device),
        verified: Some(reports.iter().filter_map(|r| r.verified).sum()),
        extra: reports.first().map(|r| r.extra.clone()).unwrap_or_default(),
        ..Report::default()
    };
    sum.set("pairs", reports.len());
    sum.set("floor_ratios", ratios.clone());
    sum.set("floor_cpu_ratios", cpu_ratios.clone());
    sum.set("floor_operations_per_second", of(floors, |r| r.operations_per_second));
    sum.set("floor_cpu_us_per_operation", of(floors, |r| r.server_cpu_us_per_operation));
    sum.floor_ratio = median(ratios);
    sum.floor_cpu_ratio = median(cpu_ratios);
    for report in reports.into_iter().chain(floors.iter().cloned()) {
        sum.errors += report.errors;
        sum.lost += report.lost;
        sum.overloads += report.overloads;
        sum.seconds += report.seconds;
        if report.scenario == "boot" {
            sum.phones += report.phones;
        }
        for (kind, count) in report.errors_by_kind {
            *sum.errors_by_kind.entry(kind).or_default() += count;
        }
        sum.samples.extend(report.samples);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_takes_medians_and_adds_faults() {
        let report = |scenario, rate, errors| Report {
            scenario,
            phones: 10,
            operations_per_second: Some(rate),
            errors,
            ..Report::default()
        };
        let ours = vec![report("boot", 70.0, 0), report("boot", 90.0, 1), report("boot", 80.0, 0)];
        let floors = [report("floor", 100.0, 0), report("floor", 100.0, 2), report("floor", 100.0, 0)];
        let sum = summary(ours, &floors, vec![0.7, 0.9, 0.8], vec![0.5]);
        assert_eq!((sum.floor_ratio, sum.floor_cpu_ratio), (Some(0.8), Some(0.5)));
        assert_eq!((sum.operations_per_second, sum.errors, sum.phones), (Some(80.0), 3, 30));
        assert!(!sum.is_good());
    }
}
