//! Starting and stopping the edge.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use callboard_codecs::edge::RelayDoor;
use callboard_core::site::SiteToken;
use jiff::Timestamp;
use tokio_util::task::TaskTracker;

use super::enrol::EnrolError;
use super::figures::Figures;
use super::identity::{self, Identity, IdentityError};
use super::link::Link;
use super::{Caller, PendingIds, relay};
use crate::config::Config;
use crate::dcmp::{self, DcmpHandler};
use crate::listen::{self, BindError, Bound, Door, Shutdown, bind, serve, serve_raw, serve_streams};
use crate::node::{DataDir, DataError};
use crate::telemetry::{self, Health, InstallError, Metrics};

/// Time that a reader of the last metrics has when everything else is closed.
const WATCHED_DEADLINE: Duration = Duration::from_secs(1);

/// Why an edge does not start.
#[derive(Debug, thiserror::Error)]
pub enum BranchError {
    /// The data directory.
    #[error("data directory: {0}")]
    Data(#[from] DataError),
    /// The certificate.
    #[error("certificate: {0}")]
    Identity(#[from] IdentityError),
    /// There is none, and no token to get one.
    #[error("there is no certificate{0}: give the token of the site with --token-file or --token-stdin")]
    NoCertificate(&'static str),
    /// The core gives none.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// A door does not open.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Metrics.
    #[error("metrics: {0}")]
    Metrics(#[from] InstallError),
    /// The ready file.
    #[error("ready file {path}: {source}")]
    ReadyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What an edge is started with.
pub struct BranchParts {
    /// The cores, `HOST:PORT` each, in the order in which they are tried.
    pub cores: Vec<String>,
    /// Where its certificate is kept.
    pub data_dir: PathBuf,
    /// The token of its site, if one was given.
    pub token: Option<SiteToken>,
    /// File to write when the doors are open: a JSON map of door name to address.
    pub ready_file: Option<PathBuf>,
    /// Makes contact-me calls.
    pub caller: Arc<dyn Caller>,
}

impl std::fmt::Debug for BranchParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BranchParts").field("cores", &self.cores).finish_non_exhaustive()
    }
}

/// A running edge.
pub struct Branch {
    shutdown: Shutdown,
    health: Health,
    link: Arc<Link>,
    linked: TaskTracker,
    serving: TaskTracker,
    watched: (Shutdown, TaskTracker),
    drain_timeout: Duration,
    ready_file: Option<PathBuf>,
}

impl std::fmt::Debug for Branch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Branch").finish_non_exhaustive()
    }
}

/// Start an edge: enrol it if it has to be, open its doors, connect to a core. An enrolment that does not succeed yet ends
/// when `shutdown` begins.
pub async fn start(
    config: &Config,
    parts: BranchParts,
    metrics: &Metrics,
    shutdown: Shutdown,
) -> Result<Branch, BranchError> {
    listen::describe_metrics();
    super::describe_metrics();
    dcmp::describe_metrics();
    let health = Health::starting();
    metrics.watch_health(&health)?;
    metrics.watch_runtime(&tokio::runtime::Handle::current())?;
    let bounds = bind_doors(config)?;
    let mut doors: Vec<_> = bounds.iter().map(|bound| (bound.door().name, bound.local_addr())).collect();
    doors.sort_unstable();
    let limits = Arc::new(config.door_limits());
    let (watching, other): (Vec<_>, Vec<_>) = bounds.into_iter().partition(|b| b.door() == Door::METRICS);
    let watched = (Shutdown::new(), TaskTracker::new());
    for bound in watching {
        let door = Arc::new(telemetry::Door::new(metrics.clone(), health.clone()));
        watched.1.spawn(serve(bound, None, limits.clone(), door, watched.0.clone()));
    }

    let BranchParts { cores, data_dir, token, ready_file, caller } = parts;
    let data = DataDir::open(&data_dir)?.path().to_owned();
    let branch_limits = config.branch_limits();
    let link = Arc::new(Link {
        cores,
        first: AtomicUsize::new(0),
        data,
        limits: branch_limits,
        figures: Arc::new(Figures::new()),
        pending: Arc::new(PendingIds::new(branch_limits.pending)),
        caller,
        identity: ArcSwapOption::empty(),
        current: ArcSwapOption::empty(),
        trouble: ArcSwap::from_pointee("not connected yet".to_owned()),
    });
    watch_core(&health, &link);
    identify(&link, token.as_ref(), &shutdown).await?;

    let (linked, serving) = (TaskTracker::new(), TaskTracker::new());
    linked.spawn(link.clone().run(shutdown.clone()));
    open_doors(config, &link, other, &serving, &shutdown);
    let ready_file = ready(&doors, ready_file)?;
    health.clear("starting");
    tracing::info!("ready");
    Ok(Branch {
        shutdown,
        health,
        link,
        linked,
        serving,
        watched,
        drain_timeout: limits.drain_timeout,
        ready_file,
    })
}

fn bind_doors(config: &Config) -> Result<Vec<Bound>, BindError> {
    let known = [Door::WPI, Door::WPI_SECURE, Door::DCMP, Door::METRICS];
    let doors = config.listen.doors().into_iter();
    doors
        .filter_map(|(name, address)| Some((known.into_iter().find(|door| door.name == name)?, address?)))
        .map(|(door, address)| bind(door, address, config.backlog()))
        .collect()
}

fn watch_core(health: &Health, link: &Arc<Link>) {
    let link = link.clone();
    health.probe("core", move || link.current.load().is_none().then(|| link.trouble.load().to_string()));
}

/// The stored certificate, or a new one for a token that was not used here before.
async fn identify(link: &Link, token: Option<&SiteToken>, shutdown: &Shutdown) -> Result<(), BranchError> {
    let stored = Identity::load(&link.data)?;
    let is_good = stored.as_ref().is_some_and(|identity| identity.is_good(Timestamp::now()));
    if let Some(token) = token.filter(|token| !identity::was_used(token, &link.data)) {
        match link.enrol(token, shutdown).await {
            Ok(()) => return Ok(()),
            Err(error) if is_good => {
                tracing::warn!(%error, "the token is of no use, the stored certificate is used");
            }
            Err(error) => return Err(error.into()),
        }
    }
    match stored {
        Some(identity) if is_good => {
            tracing::info!(site = %identity.site, ends = %identity.not_after, "certificate loaded");
            link.take(identity);
            Ok(())
        }
        Some(_) => Err(BranchError::NoCertificate(", the stored one has ended")),
        None => Err(BranchError::NoCertificate("")),
    }
}

fn open_doors(
    config: &Config,
    link: &Arc<Link>,
    bounds: Vec<Bound>,
    serving: &TaskTracker,
    shutdown: &Shutdown,
) {
    let (limits, dcmp) = (Arc::new(config.door_limits()), &config.dcmp);
    for bound in bounds {
        let (limits, shutdown) = (limits.clone(), shutdown.clone());
        let relayed = match bound.door() {
            Door::WPI => Some(RelayDoor::Wpi),
            Door::WPI_SECURE => Some(RelayDoor::WpiSecure),
            _ => None,
        };
        let link = link.clone();
        if let Some(door) = relayed {
            let take = move |phone, client, seat| {
                let link = link.clone();
                async move {
                    relay::relay(link, door, phone, client).await;
                    drop(seat);
                }
            };
            serving.spawn(serve_raw(bound, limits, shutdown, take));
        } else {
            let handler = DcmpHandler::new(link.pending.told().clone(), dcmp.poll_spacing, dcmp.recent_polls);
            let handler = Arc::new(handler.counting(link.figures.polls()));
            serving.spawn(serve_streams(bound, None, Arc::new(config.dcmp_limits()), handler, shutdown));
        }
    }
}

fn ready(
    doors: &[(&'static str, SocketAddr)],
    file: Option<PathBuf>,
) -> Result<Option<PathBuf>, BranchError> {
    for (door, address) in doors {
        tracing::info!(door, %address, "listening");
    }
    let Some(path) = file else { return Ok(None) };
    let map: BTreeMap<_, _> = doors.iter().map(|(door, address)| (*door, address.to_string())).collect();
    let text = serde_json::to_vec(&map).unwrap_or_default();
    crate::files::replace(&path, &text, 0o644)
        .map_err(|source| BranchError::ReadyFile { path: path.clone(), source })?;
    Ok(Some(path))
}

impl Branch {
    /// Run until the shutdown begins, then let relayed connections end within `limits.drain_timeout`, and leave.
    pub async fn run(self, hurry: impl Future<Output = ()>) {
        self.shutdown.draining().await;
        self.health.block("draining", "the edge is stopping");
        tracing::info!(relays = self.link.figures.report().relays, "stopping: relayed connections end");
        if let Some(path) = &self.ready_file
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::debug!(%error, "the ready file was gone already");
        }
        self.serving.close();
        tokio::select! {
            () = self.serving.wait() => {}
            () = tokio::time::sleep(self.drain_timeout) => {}
            () = hurry => tracing::warn!("stopping at once"),
        }
        self.shutdown.stop();
        self.serving.wait().await;
        self.linked.close();
        self.linked.wait().await;
        let (shutdown, serving) = self.watched;
        serving.close();
        shutdown.drain();
        if tokio::time::timeout(WATCHED_DEADLINE, serving.wait()).await.is_err() {
            shutdown.stop();
            serving.wait().await;
        }
        tracing::info!("stopped");
    }
}
