//! `campaign`: one job for phones that are called, poll, or are behind edges; each task must end truthfully, whoever is
//! killed meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use indicatif::ProgressBar;
use tokio::task::JoinSet;

use super::{Place, create_templates, drive, put_settings, target};
use crate::call::World;
use crate::campaign::errand::{Crowd, Wish};
use crate::campaign::judge::{Times, judge};
use crate::campaign::manner::Manner;
use crate::campaign::outage::Victim;
use crate::campaign::polls::{self, Answers};
use crate::campaign::stage::Stage;
use crate::campaign::ways::Ways;
use crate::cli::{CampaignArgs, Common};
use crate::contact::{self, ContactServer};
use crate::ledger::Ledger;
use crate::phone::dialogue::Plan;
use crate::progress::phase;
use crate::report::{Report, per_operation};
use crate::tally::Tally;

/// How often the job is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How long phones may be under way after the job has ended.
const PATIENCE: Duration = Duration::from_mins(2);

pub(super) async fn run(args: &CampaignArgs) -> anyhow::Result<Report> {
    ensure!(args.direct + args.polls <= 100, "--direct and --polls are more than 100 %");
    ensure!(args.edges > 0 || args.direct + args.polls == 100, "phones behind no edge: see --edges");
    let common = with_settings(args);
    let ways = Ways::new(common.phones, args.direct, args.polls, args.edges);
    let world = Arc::new(World::new(common.seed).behind_nat_from(ways.nat_from()));
    let contact = listen(args).await?;
    let place = Place::new(common.data_dir.as_ref())?;
    let starting = phase("start", 0);
    let mut stage = Stage::start(&place.launch(&common)?, args.edges).await?;
    create_templates(&stage.server.admin).await?;
    drop(starting);
    let booted = boot(&common, &world, &stage, ways).await?;

    let wish = Wish {
        seed: common.seed,
        task_type: args.task_type,
        ways,
        concurrency: common.concurrency,
        pause: Duration::from_secs(args.boot_seconds),
    };
    let targets = stage.wpi().into_iter().map(|addr| target(&common, addr)).collect::<Result<_, _>>()?;
    let crowd = Arc::new(Crowd::new(&wish, world, targets)?);
    let mut report = campaign(args, &mut stage, &crowd, contact).await?;
    report.errors += booted.errors();
    for (kind, count) in &booted.faults {
        *report.errors_by_kind.entry(format!("boot_{kind}")).or_default() += count;
    }
    report.samples.extend(booted.samples);
    put_settings(&common, &mut report);
    report.set("type", args.task_type.as_str());
    report.set("edges", args.edges);
    report.set("kills", args.kills);
    stage.stop(&mut report).await;
    Ok(report)
}

/// The settings that phones on loopback addresses need, and what was asked for.
fn with_settings(args: &CampaignArgs) -> Common {
    let mut common = args.common.clone();
    let spacing = args.spacing_seconds.to_string();
    for (key, value) in [
        ("CONTACT__ALLOW_NETWORKS", "127.0.0.0/8"),
        ("CONTACT__SPACING_S", spacing.as_str()),
        ("CONTACT__RETRY_FIRST_S", spacing.as_str()),
    ] {
        let key = format!("CALLBOARD__{key}");
        if common.server_env.iter().all(|(given, _)| *given != key) {
            common.server_env.push((key, value.to_owned()));
        }
    }
    common
}

/// The phones' web servers. A call is heard a little later than it was begun, now more and now less: a tenth of the
/// spacing is granted for that.
async fn listen(args: &CampaignArgs) -> anyhow::Result<ContactServer> {
    let (seed, spacing) = (args.common.seed, Duration::from_secs(args.spacing_seconds).mul_f64(0.9));
    let manners = move |number: u32| match Manner::of(seed, number) {
        Manner::Silent if number.is_multiple_of(3) => contact::Manner::Refuses,
        Manner::Silent if number % 3 == 1 => contact::Manner::Hangs,
        Manner::Silent => contact::Manner::Stays,
        _ => contact::Manner::Comes,
    };
    let listening = ContactServer::listen(contact::PORT, spacing, Box::new(manners)).await;
    listening.with_context(|| format!("phones' web servers need port {}", contact::PORT))
}

/// All phones start, each at its door.
async fn boot(common: &Common, world: &Arc<World>, stage: &Stage, ways: Ways) -> anyhow::Result<Tally> {
    let (doors, parts) = (stage.wpi(), ways.parts());
    let ledger = Arc::new(Ledger::new(common.phones));
    let mut booting = JoinSet::new();
    for (way, numbers) in parts {
        let door = doors[way.edge().map_or(0, |edge| edge + 1)];
        let share = u64::from(common.concurrency) * numbers.len() as u64 / u64::from(common.phones);
        let share = Common { concurrency: u32::try_from(share)?.max(1), ..common.clone() };
        booting.spawn(drive(&share, world, target(common, door)?, &ledger, numbers, Plan::Boot).run());
    }
    let mut tally = Tally::new()?;
    while let Some(driven) = booting.join_next().await {
        tally.merge(driven??.tally);
    }
    ensure!(tally.done > 0, "no phone booted: {:?}", tally.samples);
    Ok(tally)
}

/// The job, from its beginning to the comparison.
async fn campaign(
    args: &CampaignArgs,
    stage: &mut Stage,
    crowd: &Arc<Crowd>,
    contact: ContactServer,
) -> anyhow::Result<Report> {
    let answers = Arc::new(Answers::default());
    let interval = Duration::from_secs(args.poll_interval_seconds);
    let polling = polls::begin(crowd, &stage.dcmp(), interval, &answers);
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let calls = tokio::spawn(take_calls(contact, Arc::clone(crowd), stopped));
    stage.measure()?;
    let posted = Instant::now();
    let job = args.task_type.job(args.wait_seconds, args.running_seconds);
    let job = stage.server.admin.connect().await?.create_job(&job).await?;
    let accepted = posted.elapsed();
    let mut kills = plan(args, crowd);
    course(stage, crowd, &job, &mut kills).await?;
    let ended = posted.elapsed();
    drop(polling);
    all_back(crowd).await?;
    // Nobody waits for more calls; those that came are in the book.
    let _ = stop.send(());
    let contact = calls.await?;

    let tally = crowd.take_tally()?;
    let interrupted = tally.interrupted;
    let mut report = Report::new("campaign", u64::from(args.common.phones), tally, ended);
    report.set("interrupted", interrupted);
    let times = Times {
        posted,
        wait: Duration::from_secs(args.wait_seconds),
        running: Duration::from_secs(args.running_seconds),
    };
    judge(&stage.server.admin, &job, crowd, times, &mut report).await?;
    contact.report(&mut report, args.kills > 0 || args.kill_edges).await;
    put_kills(args, &kills, &mut report);
    put_costs(stage, crowd, &mut report)?;
    report.set("accepted_seconds", accepted.as_secs_f64());
    report.set("polls_idle", answers.idle.load(Ordering::Relaxed));
    report.set("polls_with_work", answers.busy.load(Ordering::Relaxed));
    Ok(report)
}

/// Everybody was killed who was to be; where nobody was, no phone may be unreached: one that was called while somebody
/// was away is called again much later.
fn put_kills(args: &CampaignArgs, left: &[(u64, Victim)], report: &mut Report) {
    if !left.is_empty() {
        report.fail("kills_missed", format!("the job ended before {left:?} were killed"));
    }
    let unreached = report.extra.get("unreached").and_then(serde_json::Value::as_u64).unwrap_or_default();
    if unreached > 0 && args.kills == 0 && !args.kill_edges {
        report.errors += unreached;
        *report.errors_by_kind.entry("unreached".to_owned()).or_default() += unreached;
    }
}

/// What the server and the edges used.
fn put_costs(stage: &Stage, crowd: &Crowd, report: &mut Report) -> anyhow::Result<()> {
    let (tasks, (core, edges), (now, peak)) = (report.phones, stage.used()?, stage.memory()?);
    report.server_cpu_us_per_operation = per_operation(core, tasks);
    report.set("edge_cpu_us_per_operation", per_operation(edges, tasks));
    (report.server_rss_bytes, report.server_peak_rss_bytes) = (Some(now), Some(peak));
    report.set("slowest_start_seconds", stage.slowest_start.as_secs_f64());
    report.set("visits_for_nothing", crowd.visits_for_nothing());
    Ok(())
}

/// Phones that are called come, until it is over.
async fn take_calls(
    mut contact: ContactServer,
    crowd: Arc<Crowd>,
    mut stopped: tokio::sync::oneshot::Receiver<()>,
) -> ContactServer {
    loop {
        tokio::select! {
            number = contact.called() => {
                // A port scan of this machine may call others.
                if let Some(number) = number.filter(|number| *number < crowd.ways.nat_from()) {
                    crowd.come(number);
                }
            }
            _ = &mut stopped => return contact,
        }
    }
}

/// Who is killed after how many phones, the next one last.
fn plan(args: &CampaignArgs, crowd: &Crowd) -> Vec<(u64, Victim)> {
    let expected = (0..crowd.ways.phones()).filter(|number| crowd.manner(*number).ends()).count() as u64;
    let cores = u64::from(args.kills);
    let edges = if args.kill_edges { u64::from(args.edges) } else { 0 };
    let core = |at| (expected * (at + 1) / (cores + 1), Victim::Core);
    // In between.
    let edge = |at| (expected * (2 * at + 1) / (2 * edges), usize::try_from(at).map(Victim::Edge));
    let mut plan: Vec<_> = (0..cores).map(core).collect();
    plan.extend((0..edges).map(edge).filter_map(|(after, victim)| Some((after, victim.ok()?))));
    plan.sort_by_key(|(after, _)| std::cmp::Reverse(*after));
    plan
}

/// Until the job has ended; who is due is killed.
async fn course(
    stage: &mut Stage,
    crowd: &Crowd,
    job: &str,
    kills: &mut Vec<(u64, Victim)>,
) -> anyhow::Result<()> {
    let progress: ProgressBar = phase("campaign", u64::from(crowd.ways.phones()));
    loop {
        let mut session = stage.server.admin.connect().await?;
        loop {
            let shown = session.job(job).await?;
            let of = shown.progress;
            progress.set_position(of.successful + of.failed + of.timeout + of.cancelled);
            if shown.is_ended() {
                return Ok(());
            }
            if kills.last().is_some_and(|(after, _)| crowd.book.settled() >= *after) {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        drop(session);
        if let Some((_, victim)) = kills.pop() {
            stage.kill(victim, &crowd.outages).await?;
        }
    }
}

/// Wait until no phone is under way.
async fn all_back(crowd: &Crowd) -> anyhow::Result<()> {
    let start = Instant::now();
    while crowd.book.under_way() > 0 {
        ensure!(start.elapsed() < PATIENCE, "{} phones are still under way", crowd.book.under_way());
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
