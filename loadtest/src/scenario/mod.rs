//! The scenarios, and what they have in common.

mod boot;
mod campaign;
mod durability;
mod edge;
mod files;
mod floor;
mod hold;
mod hostile;
mod idle;
mod poll;
mod poll_floor;
mod reboot;
mod seed;
mod sip;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::api::Admin;
use crate::call::{Patience, Target, World};
use crate::cli::{Common, Scenario};
use crate::drive::Drive;
use crate::ledger::Ledger;
use crate::phone::dialogue::Plan;
use crate::phone::template::TEMPLATES;
use crate::procfs;
use crate::progress::phase;
use crate::report::{Report, per_operation};
use crate::server::{Launch, Server};
use crate::verify::{self, Verified};
use crate::wire::tls::PhoneTls;

/// Run a scenario to its end.
pub(crate) async fn run(scenario: &Scenario) -> anyhow::Result<Report> {
    match scenario {
        Scenario::Boot(args) => boot::run(args).await,
        Scenario::Reboot(common) => reboot::run(common).await,
        Scenario::Idle(args) => idle::run(args).await,
        Scenario::Seed(common) => seed::run(common).await,
        Scenario::Floor(args) => floor::run(args).await,
        Scenario::Poll(args) => poll::run(args).await,
        Scenario::PollFloor(args) => poll_floor::run(args).await,
        Scenario::Durability(args) => durability::run(args).await,
        Scenario::Edge(args) => edge::run(args).await,
        Scenario::Hold(args) => hold::run(args).await,
        Scenario::Files(args) => files::run(args).await,
        Scenario::Campaign(args) => campaign::run(args).await,
        Scenario::Hostile(args) => hostile::run(args).await,
        Scenario::Sip(args) => sip::run(args).await,
    }
}

/// After this time without work an allocator has given freed memory back (jemalloc: 10 s), and what is left is what
/// the server needs.
const AT_REST: Duration = Duration::from_secs(12);

/// The directories of a run; temporary ones vanish with it.
struct Place {
    work: TempDir,
    data: PathBuf,
}

impl Place {
    /// A directory that the user named, or a new temporary one.
    fn new(data_dir: Option<&PathBuf>) -> anyhow::Result<Self> {
        let work = tempfile::Builder::new().prefix("callboard-loadtest-").tempdir()?;
        let data = data_dir.cloned().unwrap_or_else(|| work.path().join("data"));
        Ok(Self { work, data })
    }

    fn launch(&self, common: &Common) -> anyhow::Result<Launch> {
        let binary =
            common.server.clone().context("this scenario starts the server itself: give --server BIN")?;
        Ok(Launch {
            binary,
            data: self.data.clone(),
            work: self.work.path().to_owned(),
            env: common.server_env.clone(),
            ready_within: Duration::from_mins(5),
        })
    }
}

/// The server under test.
enum Service {
    /// Started by us.
    Own(Box<Server>),
    /// Somebody else's.
    Remote { wpi: std::net::SocketAddr, admin: Admin },
}

impl Service {
    /// The one that the command line names.
    async fn open(common: &Common, place: &Place) -> anyhow::Result<Self> {
        let _shown = phase("start", 0);
        if common.server.is_some() {
            return Ok(Self::Own(Box::new(place.launch(common)?.start().await?)));
        }
        let (Some(wpi), Some(admin), Some(token)) = (common.wpi, common.admin, &common.token_file) else {
            bail!("give --server BIN, or --wpi ADDR --admin URL --token-file FILE");
        };
        let token = std::fs::read_to_string(token).context("token file")?;
        Ok(Self::Remote { wpi, admin: Admin::new(admin, &token)? })
    }

    fn wpi(&self) -> std::net::SocketAddr {
        match self {
            Self::Own(server) => server.wpi,
            Self::Remote { wpi, .. } => *wpi,
        }
    }

    fn admin(&self) -> &Admin {
        match self {
            Self::Own(server) => &server.admin,
            Self::Remote { admin, .. } => admin,
        }
    }

    /// Process id, if it is ours.
    fn pid(&self) -> Option<u32> {
        match self {
            Self::Own(server) => Some(server.pid()),
            Self::Remote { .. } => None,
        }
    }

    /// End it, if it is ours; a bad end counts as an error of the run.
    async fn close(self, report: &mut Report) {
        let _shown = phase("stop", 0);
        if let Self::Own(server) = self
            && let Err(error) = server.stop().await
        {
            report.fail("server_exit", format!("{error:#}"));
        }
    }
}

/// How phones reach a service.
fn target(common: &Common, addr: std::net::SocketAddr) -> anyhow::Result<Target> {
    Ok(Target {
        addr,
        host: addr.to_string(),
        tls: PhoneTls::new(common.key, common.tls)?,
        sources: common.sources,
        replayed: None,
        fixed_nonce: None,
        patience: Patience { dialogue: Duration::from_secs(common.dialogue_seconds), ..Patience::default() },
    })
}

/// The run of some phones against a target.
fn drive(
    common: &Common,
    world: &Arc<World>,
    target: Target,
    ledger: &Arc<Ledger>,
    numbers: Range<u32>,
    plan: Plan,
) -> Drive {
    let name = match plan {
        Plan::Reboot => "reboot",
        Plan::Boot | Plan::Any => "boot",
    };
    Drive {
        world: Arc::clone(world),
        target: Arc::new(target),
        ledger: Arc::clone(ledger),
        plan,
        progress: phase(name, u64::from(numbers.end - numbers.start)),
        numbers,
        concurrency: common.concurrency,
        rate: common.rate,
        endless: false,
        first: 0,
        stop: Arc::new(AtomicBool::new(false)),
    }
}

/// The timed phase of a run: the report on its dialogues, with the CPU time of the server's processes and of the
/// generator meanwhile, and the number of dialogues without fault.
async fn timed(
    scenario: &'static str,
    common: &Common,
    pids: &[u32],
    drive: Drive,
) -> anyhow::Result<(Report, u64)> {
    let own = std::process::id();
    let phones = u64::from(drive.numbers.end - drive.numbers.start);
    let (server, generator) = (procfs::cpu_of(pids)?, procfs::cpu(own)?);
    let driven = drive.run().await?;
    let server = procfs::cpu_of(pids)?.saturating_sub(server);
    let generator = procfs::cpu(own)?.saturating_sub(generator);
    let done = driven.tally.done;
    let mut report = Report::new(scenario, phones, driven.tally, driven.time);
    if !pids.is_empty() {
        report.server_cpu_us_per_operation = per_operation(server, done);
    }
    report.generator_cpu_us_per_operation = per_operation(generator, done);
    put_settings(common, &mut report);
    Ok((report, done))
}

/// Create the templates of the standard workload, unless they are there already.
async fn create_templates(admin: &Admin) -> anyhow::Result<()> {
    let mut session = admin.connect().await?;
    let present = session.template_names().await?;
    for template in &TEMPLATES {
        if !present.iter().any(|name| name == template.name) {
            session.create_template(template).await?;
        }
    }
    Ok(())
}

/// Compare the fleet through the API and put the outcome into the report.
async fn verify(
    common: &Common,
    admin: &Admin,
    world: &Arc<World>,
    ledger: &Arc<Ledger>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let every = common.verify_sample.map_or(1, |sample| (ledger.len() / sample.max(1)).max(1));
    let verified = verify::verify(admin, world, ledger, |number| number % every == 0, true).await;
    put_verified(verified?, report);
    Ok(())
}

fn put_verified(verified: Verified, report: &mut Report) {
    report.verified = Some(report.verified.unwrap_or_default() + verified.right);
    report.lost += verified.lost;
    report.samples.extend(verified.samples);
}

/// Put what the run was made with into the report, so that figures can be compared.
fn put_settings(common: &Common, report: &mut Report) {
    report.set("concurrency", common.concurrency);
    report.set("key", common.key.as_str());
    report.set("tls", common.tls.as_str());
    if let Some(rate) = common.rate {
        report.set("rate", rate);
    }
}
