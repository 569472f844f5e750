//! All flows together.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::company::Site;
use super::lane::{Counts, Lane};
use super::line::{Clock, Line, Link, Shared, Signal};
use super::stream::StreamLink;
use super::udp::UdpLink;
use super::work::{Plan, Work};
use super::{Company, Known, Transport};
use crate::progress::phase;
use crate::wire::link::source;
use crate::wire::tls::{Key, PhoneTls, Version};

/// The part of 127.0.0.0/8 from which the phones come.
pub(crate) const BLOCK: u8 = 1;
/// The port that phones with connections name as theirs: they would listen there.
const OWN_PORT: u16 = 5_060;
/// Connections that are opened at the same time.
const OPENING: usize = 32;
/// How often the bar is moved.
const SHOWN_EVERY: Duration = Duration::from_millis(200);
/// After a kill, time for what is still on its way to the phones.
const STRAGGLERS: Duration = Duration::from_millis(200);

/// A server's door.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) addr: SocketAddr,
    pub(crate) transport: Transport,
}

/// Phones, numbered from 0, on their flows.
pub(crate) struct Fleet {
    target: Target,
    lines: Vec<Line>,
    clock: Clock,
    /// When the clock began, in milliseconds since 1970.
    epoch_ms: u64,
}

/// What came of a phase.
pub(crate) struct Phase {
    pub(crate) counts: Counts,
    pub(crate) time: Duration,
}

/// A phase that is under way.
pub(crate) struct Running {
    shared: Shared,
    signal: watch::Sender<Signal>,
    tasks: JoinSet<(usize, Line, u64)>,
    started: Instant,
}

impl Fleet {
    /// Phones at this door, on so many flows.
    pub(crate) async fn open(
        target: Target,
        company: Company,
        phones: u32,
        flows: u32,
    ) -> anyhow::Result<Self> {
        let company = Arc::new(company);
        let flows = flows.min(phones).max(1);
        let links = open_links(target, flows).await?;
        let line = |(flow, (local, link)): (u32, (SocketAddr, Link))| {
            let count = (phones - flow).div_ceil(flows);
            let site = Site::new(target.transport, local);
            Line { lane: Lane::new(Arc::clone(&company), site, flow, flows, count), link }
        };
        let lines = (0..flows).zip(links).map(line).collect();
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let epoch_ms = u64::try_from(epoch.as_millis()).unwrap_or(u64::MAX);
        Ok(Self { target, lines, clock: Clock::start(), epoch_ms })
    }

    /// The server is a new one: connections are opened again. Sockets need no server.
    pub(crate) async fn reopen(&mut self) -> anyhow::Result<()> {
        if self.target.transport.is_reliable() {
            let links = open_links(self.target, self.flows()).await?;
            for (line, (_, link)) in self.lines.iter_mut().zip(links) {
                line.link = link;
            }
        }
        Ok(())
    }

    fn flows(&self) -> u32 {
        u32::try_from(self.lines.len()).unwrap_or(u32::MAX)
    }

    /// Run a phase to its end.
    pub(crate) async fn run(&mut self, name: &'static str, work: Work) -> anyhow::Result<Phase> {
        let bar = phase(name, work.order.len() as u64);
        let running = self.begin(work)?;
        let shared = running.shared.clone();
        let show = async {
            loop {
                let done = {
                    let counts = shared.lock();
                    counts.tally.done + counts.tally.errors() + counts.skipped
                };
                bar.set_position(done);
                tokio::time::sleep(SHOWN_EVERY).await;
            }
        };
        tokio::select! {
            phase = self.end(running) => phase,
            () = show => unreachable!("it shows the phase as long as that lasts"),
        }
    }

    /// Begin a phase. Until it is [ended](Self::end) there is no other one.
    pub(crate) fn begin(&mut self, work: Work) -> anyhow::Result<Running> {
        let flows = self.flows();
        if let Plan::AtOnce { most, .. } = work.plan {
            ensure!(
                most >= flows,
                "fewer registrations at once than flows: some would never have their turn"
            );
        }
        let shared = Shared::new(Counts::new()?);
        let (signal, told) = watch::channel(Signal::Go);
        let (clock, started) = (self.clock, Instant::now());
        let mut tasks = JoinSet::new();
        let parts = work.split(flows);
        for (flow, (mut line, part)) in std::mem::take(&mut self.lines).into_iter().zip(parts).enumerate() {
            let (shared, told) = (shared.clone(), told.clone());
            tasks.spawn(async move {
                let cut = line.run(part, clock, &shared, told).await;
                (flow, line, cut)
            });
        }
        Ok(Running { shared, signal, tasks, started })
    }

    /// Wait until a phase has ended.
    pub(crate) async fn end(&mut self, mut running: Running) -> anyhow::Result<Phase> {
        let mut ended = Vec::new();
        let mut interrupted = 0;
        while let Some(line) = running.tasks.join_next().await {
            let (flow, line, cut) = line.context("the phones of a flow")?;
            interrupted += cut;
            ended.push((flow, line));
        }
        let time = running.started.elapsed();
        ended.sort_by_key(|(flow, _)| *flow);
        self.lines = ended.into_iter().map(|(_, line)| line).collect();
        let mut counts = std::mem::replace(&mut *running.shared.lock(), Counts::new()?);
        counts.tally.interrupted += interrupted;
        Ok(Phase { counts, time })
    }

    /// What each phone knows of its registration.
    pub(crate) fn known(&self) -> impl Iterator<Item = Known> {
        let known = self.lines.iter().flat_map(|line| line.lane.known());
        known.map(|known| Known { acked_at: self.epoch_ms + known.acked_at / 1_000, ..known })
    }
}

impl Running {
    /// The server is going to be killed.
    pub(crate) fn expect_the_end(&self) {
        self.signal.send_replace(Signal::Expect);
    }

    /// The server has been killed: take what is still on its way, and stop.
    pub(crate) async fn stop(&self) {
        tokio::time::sleep(STRAGGLERS).await;
        self.signal.send_replace(Signal::Stop);
    }
}

async fn open_links(target: Target, flows: u32) -> anyhow::Result<Vec<(SocketAddr, Link)>> {
    let tls = match target.transport {
        Transport::Tls => Some(PhoneTls::new(Key::P256, Version::Tls13)?.connector(1).clone()),
        Transport::Udp | Transport::Tcp => None,
    };
    let mut opening = JoinSet::new();
    let mut links = Vec::new();
    for flow in 0..flows {
        if opening.len() == OPENING
            && let Some(link) = opening.join_next().await
        {
            links.push(link??);
        }
        let tls = tls.clone();
        opening.spawn(async move {
            let opened = open_link(target, flow, flows, tls.as_ref()).await;
            opened.map(|link| (flow, link)).with_context(|| format!("cannot open flow {flow}"))
        });
    }
    while let Some(link) = opening.join_next().await {
        links.push(link??);
    }
    links.sort_by_key(|(flow, _)| *flow);
    Ok(links.into_iter().map(|(_, link)| link).collect())
}

async fn open_link(
    target: Target,
    flow: u32,
    flows: u32,
    tls: Option<&TlsConnector>,
) -> io::Result<(SocketAddr, Link)> {
    let own = own_address(target.addr, flow, flows)?;
    if target.transport == Transport::Udp {
        let link = UdpLink::bind(SocketAddr::new(own, 0), target.addr)?;
        Ok((link.local()?, Link::Udp(link)))
    } else {
        let link = StreamLink::open(own, target.addr, tls).await?;
        Ok((SocketAddr::new(own, OWN_PORT), Link::Stream(link)))
    }
}

/// The address of a flow: one of its own on this machine, else the one that leads to the server.
fn own_address(server: SocketAddr, flow: u32, flows: u32) -> io::Result<IpAddr> {
    match server.ip() {
        IpAddr::V4(address) if address.is_loopback() => {
            let sources = u16::try_from(flows).unwrap_or(u16::MAX);
            Ok(source(flow, sources, BLOCK).into())
        }
        address => {
            let any: IpAddr = match address {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let probe = std::net::UdpSocket::bind(SocketAddr::new(any, 0))?;
            probe.connect(server)?;
            Ok(probe.local_addr()?.ip())
        }
    }
}
