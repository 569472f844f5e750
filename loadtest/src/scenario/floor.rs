//! `floor`: the same bytes and handshakes against nginx, which only repeats recorded answers.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use super::{Place, Service, create_templates, drive, target, timed};
use crate::call::{Caller, PATH, Replayed, Space, World};
use crate::cli::{Common, FloorArgs, NginxArgs};
use crate::ledger::{Ledger, Phase, State};
use crate::nginx::{Nginx, Recording};
use crate::phone::dialogue::Plan;
use crate::phone::identity::Identity;
use crate::phone::stencil::{Fill, NONCE_LEN};
use crate::report::Report;

/// The nonce of all messages of a recording.
const NONCE: [u8; NONCE_LEN] = *b"0F1E2D3C4B5A69788796A5B4C3D2E1F0";

pub(super) async fn run(args: &FloorArgs) -> anyhow::Result<Report> {
    let common = &args.common;
    let world = Arc::new(World::new(common.seed));
    let recording = if common.server.is_some() || common.wpi.is_some() {
        let place = Place::new(common.data_dir.as_ref())?;
        let service = Service::open(common, &place).await?;
        create_templates(service.admin()).await?;
        let recording = record(common, &world, service.wpi()).await?;
        let mut report = Report::default();
        service.close(&mut report).await;
        recording
    } else {
        written(&world, &recorder(common, &world))
    };
    FloorRun::new(common, &args.nginx, &world, recording).run().await
}

/// The phone that records: one beyond those of the run.
fn recorder(common: &Common, world: &World) -> Identity {
    world.fleet.identity(common.phones)
}

/// Let one phone boot and keep the answers.
pub(super) async fn record(common: &Common, world: &World, addr: SocketAddr) -> anyhow::Result<Recording> {
    let mut target = target(common, addr)?;
    // A fixed nonce in each message; the path stays the usual one because nothing is replayed yet.
    target.fixed_nonce = Some(NONCE);
    let caller = Caller { world, target: &target, number: common.phones, plan: Plan::Boot };
    let mut state = State { phase: Phase::Uncertain, configured: false, generation: 0 };
    let mut recording = Recording::new();
    let watch = |_, answer: &[u8]| recording.push(answer.to_vec());
    caller
        .dialogue(&mut state, &mut Space::default(), watch)
        .await
        .map_err(|fault| anyhow!("recording: {fault}"))?;
    Ok(recording)
}

/// Answers as the WPI reference has them, for a floor without a server to record from.
fn written(world: &World, identity: &Identity) -> Recording {
    let fill = Fill { identity, generation: 0, nonce: &NONCE };
    let items = world.profiles[identity.model].write_list(fill);
    let list = format!("<ItemList>{items}</ItemList>");
    let steps = [
        ("ReadAllItems", ""),
        ("GetNextFragment", ""),
        ("GetNextFragment", ""),
        ("WriteItems", &*list),
        ("CleanUp", ""),
    ];
    let mut cookie =
        "Set-Cookie: JSESSIONID=0D3C55F1A2B84C7790E1F2036475869A; Path=/DeploymentService; Secure\r\n";
    steps
        .map(|(action, list)| {
            let body = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><DLSMessage xmlns=\"http://www.siemens.com/DLS\" \
                 xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
                 xsi:schemaLocation=\"http://www.siemens.com/DLS\"><Message nonce=\"{}\"><Action>{action}</Action>\
                 {list}</Message></DLSMessage>",
                String::from_utf8_lossy(&NONCE)
            );
            let cookie = std::mem::take(&mut cookie);
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n{cookie}\r\n{body}").into_bytes()
        })
        .to_vec()
}

/// A run against nginx.
pub(super) struct FloorRun<'a> {
    common: &'a Common,
    nginx: &'a NginxArgs,
    world: &'a Arc<World>,
    recording: Recording,
}

impl<'a> FloorRun<'a> {
    pub(super) fn new(
        common: &'a Common,
        nginx: &'a NginxArgs,
        world: &'a Arc<World>,
        recording: Recording,
    ) -> Self {
        Self { common, nginx, world, recording }
    }

    pub(super) async fn run(self) -> anyhow::Result<Report> {
        let common = self.common;
        let nginx = Nginx::start(&self.nginx.binary, common.key, &self.recording)
            .await
            .context("nginx (Debian package nginx-light)")?;
        let mut target = target(common, nginx.addr)?;
        target.fixed_nonce = Some(NONCE);
        target.replayed = Some(Replayed {
            identity: recorder(common, self.world),
            paths: (1..=self.recording.len()).map(|step| format!("{PATH}/{step}")).collect(),
        });
        let ledger = Arc::new(Ledger::new(common.phones));
        let run = drive(common, self.world, target, &ledger, 0..common.phones, Plan::Boot);
        let (report, _) = timed("floor", common, &nginx.pids(), run).await?;
        nginx.stop().await?;
        Ok(report)
    }
}
