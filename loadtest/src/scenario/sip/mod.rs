//! `sip`: phones that register.

mod flood;
mod register;
mod restart;
mod storm;

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::Place;
use crate::api::Admin;
use crate::cli::sip::{SipArgs, SipCommon, SipRun};
use crate::procfs;
use crate::progress::phase;
use crate::report::{Report, per_operation};
use crate::server::{Launch, Server, SipDoors};
use crate::sip::{Company, Counts, Digest, Fleet, Phase, Target, Transport, Work, compare};

pub(super) async fn run(args: &SipArgs) -> anyhow::Result<Report> {
    match &args.run {
        SipRun::Register(args) => register::run(args).await,
        SipRun::Storm(args) => storm::run(args).await,
        SipRun::Restart(args) => restart::run(args).await,
        SipRun::Flood(args) => flood::run(args).await,
    }
}

/// Where the phones come from.
const PHONES: &str = "127.1.0.0/16";

/// A server and what the phones need to use it.
struct Stage<'a> {
    common: &'a SipCommon,
    /// The server, if it is ours.
    server: Option<Server>,
    target: Target,
    admin: Admin,
    // Its directories go last.
    _place: Place,
}

/// What a phase cost.
#[derive(Clone, Copy)]
struct Cost {
    server: Option<Duration>,
    generator: Duration,
}

impl<'a> Stage<'a> {
    /// The server that the command line names, or one of our own with these further keys.
    async fn open(common: &'a SipCommon, keys: &[(&str, &str)]) -> anyhow::Result<Self> {
        let _shown = phase("start", 0);
        let place = Place::new(common.data_dir.as_ref())?;
        if let Some(binary) = &common.server {
            let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            let mut env: Vec<_> = keys.iter().map(pair).collect();
            if common.digest == Digest::None {
                env.push(("CALLBOARD__SIP__TRUSTED_NETWORKS".into(), PHONES.into()));
            }
            env.extend(common.server_env.iter().cloned());
            let launch = Launch {
                binary: binary.clone(),
                data: place.data.clone(),
                work: place.work.path().to_owned(),
                env,
                ready_within: Duration::from_mins(5),
            };
            let server = launch.start().await?;
            let target = Target { addr: door(server.sip, common.transport), transport: common.transport };
            return Ok(Self {
                common,
                target,
                admin: server.admin.clone(),
                server: Some(server),
                _place: place,
            });
        }
        let (Some(addr), Some(admin), Some(token)) = (common.sip, common.admin, &common.token_file) else {
            bail!("give --server BIN, or --sip ADDR --admin URL --token-file FILE");
        };
        let token = std::fs::read_to_string(token).context("token file")?;
        let target = Target { addr, transport: common.transport };
        Ok(Self { common, server: None, target, admin: Admin::new(admin, &token)?, _place: place })
    }

    /// Passwords, if phones are to have them.
    async fn bring_credentials(&self, phones: u32) -> anyhow::Result<()> {
        if self.common.digest == Digest::None {
            return Ok(());
        }
        let _shown = phase("passwords", 0);
        let mut session = self.admin.connect().await?;
        session.create_sip_realm().await?;
        session.import_sip_credentials(phones).await
    }

    /// So many phones.
    async fn fleet(&self, phones: u32) -> anyhow::Result<Fleet> {
        let _shown = phase("flows", 0);
        let company =
            Company { run: rand::random(), expires: self.common.expires, digest: self.common.digest };
        Fleet::open(self.target, company, phones, self.flows()).await
    }

    /// Flows of the phones: never more than are under way, so that each has its turn.
    fn flows(&self) -> u32 {
        let common = self.common;
        if common.rate > 0.0 { common.flows } else { common.flows.min(common.outstanding) }
    }

    /// All phones of this range once, at the pace of the command line.
    fn once(&self, phones: Range<u32>) -> Work {
        Work::paced(phones.collect(), self.common.rate, self.common.outstanding)
    }

    /// Run a phase; gives what it cost, too.
    async fn timed(
        &self,
        fleet: &mut Fleet,
        name: &'static str,
        work: Work,
    ) -> anyhow::Result<(Phase, Cost)> {
        let own = std::process::id();
        let before = (self.server_cpu()?, procfs::cpu(own)?);
        let phase = fleet.run(name, work).await?;
        let after = (self.server_cpu()?, procfs::cpu(own)?);
        let server = after.0.zip(before.0).map(|(after, before)| after.saturating_sub(before));
        Ok((phase, Cost { server, generator: after.1.saturating_sub(before.1) }))
    }

    fn server_cpu(&self) -> anyhow::Result<Option<Duration>> {
        self.server.as_ref().map(|server| procfs::cpu(server.pid())).transpose()
    }

    /// Resident memory of the server, if it is ours.
    fn memory(&self) -> anyhow::Result<Option<procfs::Memory>> {
        self.server.as_ref().map(|server| procfs::memory(server.pid())).transpose()
    }

    /// A report on a phase, and the counts that are not in it.
    fn report(&self, scenario: &'static str, phase: Phase, cost: Cost) -> anyhow::Result<(Report, Counts)> {
        let Phase { mut counts, time } = phase;
        let tally = std::mem::replace(&mut counts.tally, crate::tally::Tally::new()?);
        let done = tally.done;
        let mut report = Report::new(scenario, u64::from(self.common.phones), tally, time);
        report.server_cpu_us_per_operation = cost.server.and_then(|cpu| per_operation(cpu, done));
        report.generator_cpu_us_per_operation = per_operation(cost.generator, done);
        put_counts(&counts, &mut report);
        self.put_settings(&mut report);
        Ok((report, counts))
    }

    /// What the run was made with.
    fn put_settings(&self, report: &mut Report) {
        let common = self.common;
        report.set("transport", common.transport.as_str());
        report.set("digest", common.digest.as_str());
        report.set("flows", self.flows());
        if common.rate > 0.0 {
            report.set("rate", common.rate);
        } else {
            report.set("outstanding", common.outstanding);
        }
    }

    fn put_memory(&self, report: &mut Report) -> anyhow::Result<()> {
        if let Some(memory) = self.memory()? {
            report.server_rss_bytes = Some(memory.now);
            report.server_peak_rss_bytes = Some(memory.peak);
        }
        Ok(())
    }

    /// Compare what the phones know with what the server shows.
    async fn compare(&self, fleet: &Fleet, report: &mut Report) -> anyhow::Result<()> {
        let _shown = phase("compare", 0);
        let listed = self.admin.connect().await?.sip_registrations().await?;
        let compared = compare(fleet.known(), listed);
        report.verified = Some(compared.right);
        report.lost += compared.lost;
        for (kind, count) in [("binding_doubled", compared.doubled), ("binding_wrong", compared.wrong)] {
            if count > 0 {
                report.errors += count;
                *report.errors_by_kind.entry(kind.to_owned()).or_default() += count;
            }
        }
        report.samples.extend(compared.samples);
        Ok(())
    }

    /// End the server, if it is ours; a bad end counts as an error of the run.
    async fn close(self, report: &mut Report) {
        let _shown = phase("stop", 0);
        if let Some(server) = self.server
            && let Err(error) = server.stop().await
        {
            report.fail("server_exit", format!("{error:#}"));
        }
    }
}

fn door(doors: SipDoors, transport: Transport) -> std::net::SocketAddr {
    match transport {
        Transport::Udp => doors.udp,
        Transport::Tcp => doors.tcp,
        Transport::Tls => doors.tls,
    }
}

fn put_counts(counts: &Counts, report: &mut Report) {
    report.set("retransmissions", counts.retransmissions);
    report.set("challenges", counts.challenges);
    report.set("repeated_answers", counts.repeated_answers);
}
