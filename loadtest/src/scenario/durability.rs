//! `durability`: the server is killed at random moments while phones start; what it acknowledged must be there.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::ensure;
use indicatif::ProgressBar;

use super::{Place, create_templates, drive, put_settings, put_verified, target};
use crate::call::World;
use crate::cli::{Common, DurabilityArgs};
use crate::ledger::{Ledger, Phase};
use crate::phone::dialogue::Plan;
use crate::progress::phase;
use crate::report::Report;
use crate::server::{Launch, Server};
use crate::tally::Tally;
use crate::verify::verify;

/// What the rounds have in common.
struct Run<'a> {
    common: &'a Common,
    launch: Launch,
    world: Arc<World>,
    ledger: Arc<Ledger>,
    kill_every: Duration,
}

pub(super) async fn run(args: &DurabilityArgs) -> anyhow::Result<Report> {
    let common = &args.common;
    ensure!(common.phones >= 2 * common.concurrency, "give at least two phones for each concurrent dialogue");
    let place = Place::new(common.data_dir.as_ref())?;
    let run = Run {
        common,
        launch: place.launch(common)?,
        world: Arc::new(World::new(common.seed)),
        ledger: Arc::new(Ledger::new(common.phones)),
        kill_every: Duration::from_millis(args.kill_every),
    };
    let start = Instant::now();
    let progress = phase("kill -9", u64::from(args.rounds));
    let mut tally = Tally::new()?;
    let mut report = Report::default();
    let mut server = run.launch.start().await?;
    create_templates(&server.admin).await?;
    let mut slowest_start = Duration::ZERO;
    for round in 0..args.rounds {
        server = run.round(server, round, &mut tally, &mut report).await?;
        slowest_start = slowest_start.max(server.ready_after);
        progress.inc(1);
    }
    let interrupted = tally.interrupted;
    let rounds = report;
    let mut report = Report::new("durability", u64::from(common.phones), tally, start.elapsed());
    merge(&mut report, rounds);
    run.compare(&server, |_| true, &mut report).await?;
    report.set("rounds", args.rounds);
    report.set("interrupted", interrupted);
    report.set("settled_phones", run.ledger.count(Phase::Settled));
    report.set("slowest_start_seconds", slowest_start.as_secs_f64());
    put_settings(common, &mut report);
    if let Err(error) = server.stop().await {
        report.fail("server_exit", format!("{error:#}"));
    }
    Ok(report)
}

/// Add what the rounds found.
fn merge(report: &mut Report, rounds: Report) {
    report.errors += rounds.errors;
    report.lost += rounds.lost;
    report.verified = Some(rounds.verified.unwrap_or_default());
    for (kind, count) in rounds.errors_by_kind {
        *report.errors_by_kind.entry(kind).or_default() += count;
    }
    report.samples.extend(rounds.samples);
}

impl Run<'_> {
    /// Phones start; the server is killed; its store is checked; it starts again; what it acknowledged in this round
    /// is compared.
    async fn round(
        &self,
        mut server: Server,
        round: u32,
        tally: &mut Tally,
        report: &mut Report,
    ) -> anyhow::Result<Server> {
        let before: Vec<_> = (0..self.ledger.len()).map(|number| self.ledger.state(number)).collect();
        let phones = 0..self.common.phones;
        let mut drive = drive(
            self.common,
            &self.world,
            target(self.common, server.wpi)?,
            &self.ledger,
            phones,
            Plan::Any,
        );
        drive.endless = true;
        drive.progress = ProgressBar::hidden();
        // Each round goes on about where the last one ended, so that all phones have their turn.
        drive.first = u32::try_from(tally.done % u64::from(self.common.phones)).unwrap_or_default();
        let stop = Arc::clone(&drive.stop);
        let running = tokio::spawn(drive.run());
        tokio::time::sleep(self.kill_every.mul_f64(0.5 + rand::random::<f64>())).await;
        stop.store(true, Ordering::Release);
        server.kill()?;
        tally.merge(running.await??.tally);
        drop(server);
        if let Err(error) = self.launch.check_store() {
            report.fail("store_damaged", format!("round {round}: {error:#}"));
        }
        let server = self.launch.start().await?;
        self.compare(&server, |number| self.ledger.state(number) != before[number as usize], report).await?;
        Ok(server)
    }

    /// Compare the phones that `choose` names; all phones must be listed in any case.
    async fn compare(
        &self,
        server: &Server,
        choose: impl Fn(u32) -> bool,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let verified = verify(&server.admin, &self.world, &self.ledger, choose, false).await?;
        put_verified(verified, report);
        Ok(())
    }
}
