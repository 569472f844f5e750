//! `sip storm`: a whole company after a power cut.

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::Stage;
use super::register::SHARED_ADDRESSES;
use crate::cli::sip::StormArgs;
use crate::report::Report;
use crate::sip::{Plan, Work};

pub(super) async fn run(args: &StormArgs) -> anyhow::Result<Report> {
    let common = &args.common;
    let stage = Stage::open(common, &[SHARED_ADDRESSES]).await?;
    stage.bring_credentials(common.phones).await?;
    let mut fleet = stage.fleet(common.phones).await?;
    let (phase, cost) = stage.timed(&mut fleet, "storm", storm(args)).await?;
    let (mut report, counts) = stage.report("sip-storm", phase, cost)?;
    report.set("window_seconds", args.window_seconds);
    report.set("settled_after_seconds", args.settled_after_seconds);
    report.set("settled_phones", counts.settled.done);
    report.set("settled_p50_us", counts.settled.quantile_us(0.5));
    report.set("settled_p99_us", counts.settled.quantile_us(0.99));
    report.set("settled_p999_us", counts.settled.quantile_us(0.999));
    stage.compare(&fleet, &mut report).await?;
    stage.put_memory(&mut report)?;
    stage.close(&mut report).await;
    Ok(report)
}

/// All phones, each at a random moment of the window.
fn storm(args: &StormArgs) -> Work {
    const SECOND: u64 = 1_000_000;
    let mut random = StdRng::seed_from_u64(args.common.seed);
    let mut order: Vec<u32> = (0..args.common.phones).collect();
    order.shuffle(&mut random);
    let window = args.window_seconds * SECOND;
    let mut times: Vec<u64> = order.iter().map(|_| random.random_range(0..window)).collect();
    times.sort_unstable();
    Work { order, plan: Plan::Times(times), settled_after: args.settled_after_seconds * SECOND }
}
