//! `sip flood`: registered phones refresh, in turn in quiet and beside attackers.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use super::Stage;
use crate::cli::sip::FloodArgs;
use crate::progress::rest;
use crate::report::{Report, median};
use crate::sip::flood::{Attack, Force, Kind, Seen};
use crate::sip::{Counts, Fleet, Plan, Work, nth};
use crate::tally::Tally;

/// After the attackers have gone: the server lets go of what they left.
const CALM: Duration = Duration::from_secs(1);
/// Most bytes of an answer to somebody unknown, for each byte of the question.
const AMPLIFICATION: f64 = 3.0;

/// 99th percentiles of the phones, in microseconds.
#[derive(Default)]
struct Pairs {
    quiet: Vec<f64>,
    flood: Vec<f64>,
}

pub(super) async fn run(args: &FloodArgs) -> anyhow::Result<Report> {
    let common = &args.common;
    let stage = Stage::open(common, &[]).await?;
    let server = stage.server.as_ref().context("this run needs a server of its own: give --server BIN")?;
    let force = Force {
        udp: server.sip.udp,
        tcp: server.sip.tcp,
        rate: args.attack_rate,
        half_open: args.half_open,
        phones: common.phones,
        seed: common.seed,
    };
    stage.bring_credentials(common.phones).await?;
    let mut fleet = stage.fleet(common.phones).await?;
    let (phase, cost) = stage.timed(&mut fleet, "register", stage.once(0..common.phones)).await?;
    let (mut report, _) = stage.report("sip-flood", phase, cost)?;
    let before = stage.memory()?;
    let mut calm = Counts::new()?;
    let mut seen: BTreeMap<&'static str, Seen> = BTreeMap::new();
    let mut pairs: BTreeMap<&'static str, Pairs> = BTreeMap::new();
    let mut times = Tally::new()?;
    for kind in Kind::ALL {
        let name = kind.as_str();
        for _ in 0..args.pairs {
            let both = pairs.entry(name).or_default();
            let quiet = refresh(args, &mut fleet, "quiet").await?;
            both.quiet.extend(p99(&quiet));
            calm.merge(quiet);
            let attack = Attack::start(kind, force)?;
            let flooded = refresh(args, &mut fleet, name).await?;
            seen.entry(name).or_default().add(&attack.end().await?);
            both.flood.extend(p99(&flooded));
            calm.retransmissions += flooded.retransmissions;
            calm.skipped += flooded.skipped;
            times.merge(flooded.tally);
            rest("calm", CALM).await;
        }
    }
    put_times(args, times, calm, &mut report);
    put_pairs(&pairs, &mut report);
    put_seen(&seen, &mut report);
    stage.compare(&fleet, &mut report).await?;
    stage.put_memory(&mut report)?;
    report.set("server_rss_before_bytes", before.map(|memory| memory.now));
    stage.close(&mut report).await;
    Ok(report)
}

/// Let the phones refresh at a steady rate.
async fn refresh(args: &FloodArgs, fleet: &mut Fleet, name: &'static str) -> anyhow::Result<Counts> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    // far below 2^52
    let turns = (args.seconds as f64 * args.refresh_rate) as usize;
    let times: Vec<u64> = (0..turns).map(|place| nth(place, args.refresh_rate)).collect();
    let order = (0..args.common.phones).cycle().take(times.len()).collect();
    let work = Work { order, plan: Plan::Times(times), settled_after: u64::MAX };
    Ok(fleet.run(name, work).await?.counts)
}

#[allow(clippy::cast_precision_loss)] // microseconds, far below 2^52
fn p99(counts: &Counts) -> Option<f64> {
    counts.tally.quantile_us(0.99).map(|us| us as f64)
}

/// The times of the flooded phases are those of the run; faults are those of all.
fn put_times(args: &FloodArgs, times: Tally, calm: Counts, report: &mut Report) {
    let of = |quantile| times.quantile_us(quantile);
    (report.p50_us, report.p99_us, report.p999_us) = (of(0.5), of(0.99), of(0.999));
    report.set("refreshes_flooded", times.done);
    report.set("refreshes_quiet", calm.tally.done);
    report.set("refresh_rate", args.refresh_rate);
    report.set("refresh_retransmissions", calm.retransmissions);
    report.set("refreshes_skipped", calm.skipped);
    report.set("attack_rate", args.attack_rate);
    report.set("pairs", args.pairs);
    report.take_faults(times);
    report.take_faults(calm.tally);
}

/// The medians of each kind, and the worst of them.
fn put_pairs(pairs: &BTreeMap<&'static str, Pairs>, report: &mut Report) {
    let (mut ratios, mut quiet, mut flood) = (json!({}), json!({}), json!({}));
    let mut worst: Option<f64> = None;
    for (name, pair) in pairs {
        let each = pair.quiet.iter().zip(&pair.flood).map(|(quiet, flood)| flood / quiet).collect();
        let ratio = median(each);
        worst = worst.into_iter().chain(ratio).reduce(f64::max);
        ratios[name] = ratio.into();
        quiet[name] = median(pair.quiet.clone()).into();
        flood[name] = median(pair.flood.clone()).into();
    }
    report.set("p99_ratio", worst);
    report.set("p99_ratios", ratios);
    report.set("quiet_p99_us", quiet);
    report.set("flood_p99_us", flood);
}

/// What the attackers saw, and what they must not see.
fn put_seen(seen: &BTreeMap<&'static str, Seen>, report: &mut Report) {
    let (mut datagrams, mut answers, mut amplifications) = (json!({}), json!({}), json!({}));
    let mut all = Seen::default();
    for (name, seen) in seen {
        if seen.datagrams > 0 {
            datagrams[name] = seen.datagrams.into();
            answers[name] = seen.answers.into();
            amplifications[name] = seen.amplification.into();
        }
        all.add(seen);
    }
    report.set("attack_datagrams", datagrams);
    report.set("attack_answers", answers);
    report.set("amplifications", amplifications);
    report.set("amplification", all.amplification);
    for (name, figure) in [
        ("second_answers", all.second_answers),
        ("stray_answers", all.stray_answers),
        ("long_headers_refused", all.long_refused),
        ("half_open_held", all.held),
        ("half_open_not_let_in", all.not_let_in),
        ("half_open_ended", all.ended),
    ] {
        report.set(name, figure);
    }
    let mut fault = |kind: &str, is_so: bool, what: String| {
        if is_so {
            report.fail(kind, what);
        }
    };
    let largest = all.amplification;
    fault("amplified", largest > AMPLIFICATION, format!("an answer was {largest:.2} times its question"));
    let second = all.second_answers;
    fault("answered_twice", second > 0, format!("{second} datagrams were answered more than once"));
    let taken = all.long_taken;
    fault("long_header_taken", taken > 0, format!("{taken} long header fields were taken, or not answered"));
    let let_in = all.successes;
    fault("attacker_registered", let_in > 0, format!("{let_in} registrations of attackers succeeded"));
}
