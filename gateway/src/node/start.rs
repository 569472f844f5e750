//! Starting and stopping.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use callboard_codecs::edge::RelayDoor;
use callboard_core::dialogue::snmp::EngineRecord;
use callboard_core::event::{self, EventDraft, EventKind};
use callboard_core::service::snmp::SnmpLoadError;
use callboard_core::service::{self, Service, Surroundings};
use callboard_core::store::{self, LoadError, OpenError, SledStore, Store, StoreError};
use callboard_core::time::{Clock as _, Timestamp};
use callboard_core::{file, fleet, job, policy, site};
use tokio_util::task::TaskTracker;

use super::AdminParts;
use super::files::{DataDir, DataError};
use super::housekeeping::{self, store_words};
use super::journals::Journals;
use super::settings::{
    SystemClock, ThreadRandom, download_limits, service_settings, storage_settings, wpi_limits,
};
use super::sip::{self, SipDoors};
use super::snmp::{self, SnmpSockets};
use crate::config::{Config, Switch};
use crate::contact;
use crate::credentials::{self, ClientSettings, Issuer};
use crate::dcmp::{self, DcmpHandler};
use crate::edge;
use crate::edge::core::{EdgeDoor, EdgeDoorError, Hub};
use crate::files::{self, FileHandler, Storage};
use crate::listen::{
    self, BindError, Bound, BoundUdp, Door, Handler, Shutdown, bind, bind_udp, serve, serve_streams,
};
use crate::phones::PhoneDoor;
use crate::telemetry::{self, Health, InstallError, Metrics};
use crate::tls::{self, Identity, Purpose, TlsError};
use crate::wpi::{self, LargeBodies, Mode, WpiHandler};

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory.
    #[error("data directory: {0}")]
    Data(#[from] DataError),
    /// The store does not open.
    #[error("store: {0}")]
    Open(#[from] OpenError),
    /// A journal does not open.
    #[error("journal: {0}")]
    Journal(OpenError),
    /// Records cannot be taken over. None was changed.
    #[error("store: {0}")]
    Load(#[from] LoadError),
    /// The folder of the files for phones.
    #[error("files: {0}")]
    Files(std::io::Error),
    /// Certificates.
    #[error("certificates: {0}")]
    Tls(#[from] TlsError),
    /// A door does not open.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The door of edges does not open.
    #[error(transparent)]
    Edges(#[from] EdgeDoorError),
    /// The sockets of SIP.
    #[error("SIP: {0}")]
    Sip(std::io::Error),
    /// What SNMP knows from before.
    #[error("SNMP: {0}")]
    SnmpLoad(#[from] SnmpLoadError),
    /// The sockets of SNMP.
    #[error("SNMP: {0}")]
    Snmp(std::io::Error),
    /// Metrics.
    #[error("metrics: {0}")]
    Metrics(#[from] InstallError),
    /// The administration door.
    #[error("administration: {0}")]
    Admin(anyhow::Error),
    /// The ready file.
    #[error("ready file {path}: {source}")]
    ReadyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A thread that loads the fleet failed.
    #[error("loading failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// A running node.
pub struct Node {
    service: Arc<Service>,
    store: Arc<SledStore>,
    journals: Journals,
    health: Health,
    shutdown: Shutdown,
    /// What goes on until the doors are closed: housekeeping.
    tasks: TaskTracker,
    /// One task per open door, the metrics door excepted.
    serving: TaskTracker,
    /// The metrics door, which closes last.
    watched: Watched,
    doors: Vec<(&'static str, SocketAddr)>,
    ready_file: Option<PathBuf>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("doors", &self.doors).finish_non_exhaustive()
    }
}

/// The metrics door with a shutdown of its own: whoever watches the node sees it stop.
#[derive(Default)]
struct Watched {
    shutdown: Shutdown,
    serving: TaskTracker,
}

impl Watched {
    /// Answers what was asked, within [`WATCHED_DEADLINE`], and closes the door.
    async fn close(&self) {
        self.serving.close();
        self.shutdown.drain();
        if tokio::time::timeout(WATCHED_DEADLINE, self.serving.wait()).await.is_err() {
            self.shutdown.stop();
            self.serving.wait().await;
        }
    }
}

/// Time that a reader of the last metrics has when everything else is closed.
const WATCHED_DEADLINE: Duration = Duration::from_secs(1);

/// Time that the store gets to write its queue when the node stops.
const STORE_DEADLINE: Duration = Duration::from_secs(30);

fn describe_metrics() {
    listen::describe_metrics();
    tls::describe_metrics();
    store::describe_metrics();
    fleet::describe_metrics();
    event::describe_metrics();
    policy::describe_metrics();
    job::describe_metrics();
    wpi::describe_metrics();
    dcmp::describe_metrics();
    credentials::describe_metrics();
    file::describe_metrics();
    files::describe_metrics();
    contact::describe_metrics();
    site::describe_metrics();
    edge::core::describe_metrics();
    service::sip::describe_metrics();
    crate::sip::describe_metrics();
    service::snmp::describe_metrics();
    callboard_core::snmp::usm::describe_metrics();
    crate::snmp::describe_metrics();
    callboard_core::snmp::spool::describe_metrics();
}

/// Start a node: open the store, load the fleet, open the doors. `admin` makes the administration door's handler.
pub async fn start<A: Handler>(
    config: Arc<Config>,
    data_dir: &Path,
    ready_file: Option<PathBuf>,
    metrics: &Metrics,
    admin: impl FnOnce(AdminParts) -> Result<A, anyhow::Error>,
) -> Result<Node, StartError> {
    describe_metrics();
    let health = Health::starting();
    metrics.watch_health(&health)?;
    metrics.watch_runtime(&tokio::runtime::Handle::current())?;
    let shutdown = Shutdown::new();
    let (tasks, serving, watched) = (TaskTracker::new(), TaskTracker::new(), Watched::default());
    // Bound first, so that a taken port is told before minutes are spent on loading. Metrics are served from the
    // beginning: whoever watches sees the node start.
    let bounds = bind_doors(&config)?;
    let edges = config.listen.edge.map(|address| bind_udp(Door::EDGE, address, config.edge.socket_bytes));
    let edges = edges.transpose()?;
    let datagrams = sip::bind_datagrams(&config)?;
    let snmp_sockets = SnmpSockets::bind(&config)?;
    let mut doors: Vec<_> = bounds.iter().map(|bound| (bound.door().name, bound.local_addr())).collect();
    doors.extend(edges.iter().map(|bound| (bound.door().name, bound.local_addr())));
    doors.extend(datagrams.addresses());
    doors.extend(snmp_sockets.addresses());
    doors.sort_unstable();
    let (metrics_bound, mut other): (Vec<_>, Vec<_>) =
        bounds.into_iter().partition(|bound| bound.door() == Door::METRICS);
    let limits = Arc::new(config.door_limits());
    for bound in metrics_bound {
        let door = Arc::new(telemetry::Door::new(metrics.clone(), health.clone()));
        watched.serving.spawn(serve(bound, None, limits.clone(), door, watched.shutdown.clone()));
    }

    let data = DataDir::open(data_dir)?;
    let vault = Arc::new(data.vault()?);
    let (token, new_token) = data.admin_token()?;
    let (default_pin, _) = data.default_pin()?;
    if new_token {
        tracing::info!(file = %data.path().join("admin-token").display(), "administrator token created");
    }
    let clock = SystemClock::new();
    let started = clock.now();
    let (store, journals, identity) = open_blocking(&config, &data, started).await?;
    watch_store(&health, &store);
    journals.watch(&health);

    let settings = service_settings(&config, default_pin, identity.authority());
    let around = Surroundings {
        store: store.clone(),
        vault,
        clock: Arc::new(clock),
        journal: journals.bindings.clone(),
        notifications: journals.notifications.clone(),
        random: Arc::new(ThreadRandom),
        credentials: Arc::new(Issuer::new(
            identity.authority().clone(),
            client_settings(&config),
            config.line_limits(),
            started,
        )),
    };
    let service = Arc::new(Service::new(around, settings));
    let engine = load(&service).await?;
    let storage = open_files(&config, &data, &service).await?;

    tasks.spawn(housekeeping::run(service.clone(), shutdown.clone()));
    tasks.spawn(housekeeping::work_on_jobs(service.clone(), shutdown.clone()));
    tasks.spawn(sip::keep_time(service.clone(), shutdown.clone()));
    tasks.spawn(snmp::start_engine(service.clone(), engine, shutdown.clone()));
    tasks.spawn(identity.clone().watch(shutdown.clone()));
    let mut node =
        Node { service, store, journals, health, shutdown, tasks, serving, watched, doors, ready_file: None };
    let hub = match edges {
        Some(bound) => Some(node.open_edges(&config, bound, &mut other, &identity)?),
        None => None,
    };
    node.open_sip(&config, datagrams, &mut other, &identity)?;
    snmp_sockets.open(&config, &node.service, &node.serving, &node.shutdown).map_err(StartError::Snmp)?;
    node.open_doors(&config, other, &identity, (&token, started), &storage, admin)?;
    node.call_phones(&config, hub);
    node.ready(ready_file)?;
    Ok(node)
}

fn bind_doors(config: &Config) -> Result<Vec<Bound>, BindError> {
    let known =
        [Door::WPI, Door::WPI_SECURE, Door::DCMP, Door::SIP_TCP, Door::SIP_TLS, Door::ADMIN, Door::METRICS];
    config
        .listen
        .doors()
        .into_iter()
        .filter_map(|(name, address)| Some((known.into_iter().find(|door| door.name == name)?, address?)))
        .map(|(door, address)| bind(door, address, config.backlog()))
        .collect()
}

async fn open_blocking(
    config: &Arc<Config>,
    data: &DataDir,
    now: Timestamp,
) -> Result<(Arc<SledStore>, Journals, Arc<Identity>), StartError> {
    let (config, data) = (config.clone(), data.clone());
    tokio::task::spawn_blocking(move || {
        let identity = Identity::open(config.tls_settings(data.path()), now.to_jiff())?;
        let (store, report) = SledStore::open(&data.store(), &config.store_config())?;
        tracing::info!(
            new = report.created,
            size_on_disk = report.size_on_disk,
            seconds = report.took.as_secs_f64(),
            "store opened"
        );
        for path in &report.set_aside {
            tracing::warn!(file = %path.display(), "left by an interrupted start, moved aside");
        }
        for folder in &report.leftovers {
            let folder = folder.display();
            tracing::warn!(%folder, "left by an interrupted compaction; the next one removes it");
        }
        let journals = Journals::open(&config, &data).map_err(StartError::Journal)?;
        Ok((store, journals, identity))
    })
    .await?
}

fn client_settings(config: &Config) -> ClientSettings {
    ClientSettings {
        key: config.tls.client_key.into(),
        lifetime: config.tls.client_lifetime,
        password: callboard_core::secret::Secret::new(config.tls.client_pkcs12_password.expose()),
        encryption: config.tls.client_pkcs12_encryption.into(),
        port: config.secure_mode.secure_port,
    }
}

fn watch_store(health: &Health, store: &Arc<SledStore>) {
    let store = store.clone();
    health.probe("store", move || {
        let health = store.health();
        (!health.is_ready()).then(|| store_words(&health))
    });
}

/// Take over what the store holds. What SNMP's engine was before.
async fn load(service: &Arc<Service>) -> Result<Option<EngineRecord>, StartError> {
    let loading = service.clone();
    tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        let (templates, unreadable) = loading.templates.load()?;
        for record in unreadable {
            tracing::error!(record, "a template cannot be read; it is left as it is");
        }
        let jobs = loading.load_jobs()?;
        for record in &jobs.unreadable {
            tracing::error!(record, "a job cannot be read; it is left as it is");
        }
        let (sites, unreadable) = loading.sites.registry.load()?;
        for record in unreadable {
            tracing::error!(record, "a site cannot be read; it is left as it is, and its edge is refused");
        }
        sip::load(&loading)?;
        let engine = snmp::load(&loading)?;
        snmp::load_spool(&loading)?;
        let report = loading.fleet.load(|devices| tracing::info!(devices, "loading"))?;
        for record in &report.examples {
            tracing::error!(record, "a device record cannot be read; it is kept until the device is deleted");
        }
        if report.damaged + report.unreadable > 0 {
            let (damaged, malformed) = (report.damaged, report.unreadable);
            tracing::error!(
                damaged,
                malformed,
                "devices whose records cannot be read get no answer but overload"
            );
        }
        if report.incomplete + report.bad_values > 0 {
            let (values, devices) = (report.bad_values, report.incomplete);
            tracing::error!(values, devices, "common values are lost; devices that had them are read again");
        }
        if report.bad_tasks > 0 {
            tracing::error!(records = report.bad_tasks, "tasks of devices cannot be read; they are not done");
        }
        let seconds = began.elapsed().as_secs_f64();
        tracing::info!(devices = report.devices, templates, sites, jobs = jobs.jobs, seconds, "fleet loaded");
        Ok(engine)
    })
    .await?
}

/// Load what is known about files, and open their folder.
async fn open_files(
    config: &Arc<Config>,
    data: &DataDir,
    service: &Arc<Service>,
) -> Result<Arc<Storage>, StartError> {
    let (service, settings) = (service.clone(), storage_settings(config, data.files()));
    tokio::task::spawn_blocking(move || {
        let loaded = service.files.load()?;
        for record in &loaded.unreadable {
            tracing::error!(record, "a file or storage provider cannot be read; it is left as it is");
        }
        let storage =
            Storage::open(service, settings, loaded.unreadable.is_empty()).map_err(StartError::Files)?;
        tracing::info!(files = loaded.files, providers = loaded.providers, "files loaded");
        Ok(Arc::new(storage))
    })
    .await?
}

impl Node {
    fn open_doors<A: Handler>(
        &mut self,
        config: &Arc<Config>,
        bounds: Vec<Bound>,
        identity: &Arc<Identity>,
        (token, started): (&callboard_core::secret::Secret, Timestamp),
        storage: &Arc<Storage>,
        admin: impl FnOnce(AdminParts) -> Result<A, anyhow::Error>,
    ) -> Result<(), StartError> {
        let mut admin = Some(admin);
        let large_bodies = Arc::new(LargeBodies::new(config.limits.large_bodies_bytes));
        let limits = Arc::new(config.door_limits());
        let (pace, downloads) = download_limits(config);
        let files = Arc::new(FileHandler::new(self.service.clone(), storage.clone(), pace, downloads));
        for bound in bounds {
            if bound.door() == Door::DCMP {
                self.open_dcmp(config, bound, identity)?;
                continue;
            }
            let purpose = match bound.door() {
                Door::WPI => Purpose::Phones,
                Door::WPI_SECURE => Purpose::SecurePhones,
                _ => Purpose::Admin,
            };
            let tls = Some(identity.server(purpose)?);
            let (limits, shutdown) = (limits.clone(), self.shutdown.clone());
            let phones = |mode| {
                let limits = wpi_limits(config, large_bodies.clone());
                let wpi = WpiHandler::new(self.service.clone(), mode, limits);
                Arc::new(PhoneDoor::new(wpi, files.clone()))
            };
            match purpose {
                Purpose::Phones => {
                    self.serving.spawn(serve(bound, tls, limits, phones(Mode::Default), shutdown));
                }
                Purpose::SecurePhones => {
                    self.serving.spawn(serve(bound, tls, limits, phones(Mode::Secure), shutdown));
                }
                Purpose::Admin | Purpose::SipPhones => {
                    let Some(admin) = admin.take() else { continue };
                    let handler = admin(AdminParts {
                        service: self.service.clone(),
                        token: token.clone(),
                        config: config.clone(),
                        health: self.health.clone(),
                        doors: self.doors.clone(),
                        started,
                        shutdown: self.shutdown.clone(),
                        files: storage.clone(),
                    })
                    .map_err(StartError::Admin)?;
                    self.serving.spawn(serve(bound, tls, limits, Arc::new(handler), shutdown));
                }
            }
        }
        Ok(())
    }

    /// SIP's doors, taken out of `bounds`.
    fn open_sip(
        &self,
        config: &Config,
        datagrams: sip::Datagrams,
        bounds: &mut Vec<Bound>,
        identity: &Identity,
    ) -> Result<(), StartError> {
        let doors = SipDoors::new(self.service.clone(), self.shutdown.clone());
        doors.open_datagrams(config, datagrams, bounds, &self.serving).map_err(StartError::Sip)?;
        let is_sip = |bound: &mut Bound| matches!(bound.door(), Door::SIP_TCP | Door::SIP_TLS);
        for bound in bounds.extract_if(.., is_sip) {
            let tls = bound.door() == Door::SIP_TLS;
            let tls = tls.then(|| identity.server(Purpose::SipPhones)).transpose()?;
            doors.open_streams(config, bound, tls, &self.serving);
        }
        Ok(())
    }

    fn open_dcmp(&self, config: &Config, bound: Bound, identity: &Identity) -> Result<(), StartError> {
        let tls = (config.dcmp.tls == Switch::On).then(|| identity.server(Purpose::Phones)).transpose()?;
        let (limits, dcmp) = (Arc::new(config.dcmp_limits()), &config.dcmp);
        let pending = self.service.reach.pending.clone();
        let handler = Arc::new(DcmpHandler::new(pending, dcmp.poll_spacing, dcmp.recent_polls));
        self.serving.spawn(serve_streams(bound, tls, limits, handler, self.shutdown.clone()));
        Ok(())
    }

    /// Phones that are called come to the door `wpi`, so it is open.
    fn call_phones(&self, config: &Config, edges: Option<Arc<Hub>>) {
        let wpi = self.doors.iter().find(|(name, _)| *name == Door::WPI.name);
        let settings = config.contact_settings(wpi.map_or(0, |(_, address)| address.port()));
        self.tasks.spawn(contact::run(self.service.clone(), settings, edges, self.shutdown.clone()));
    }

    /// The door of edges, which hand connections to the phones' doors among `bounds`.
    fn open_edges(
        &mut self,
        config: &Config,
        bound: BoundUdp,
        bounds: &mut [Bound],
        identity: &Identity,
    ) -> Result<Arc<Hub>, StartError> {
        let mut doors = HashMap::new();
        for other in bounds {
            let door = match other.door() {
                Door::WPI => RelayDoor::Wpi,
                Door::WPI_SECURE => RelayDoor::WpiSecure,
                _ => continue,
            };
            doors.insert(door, other.injector(config.edge.backlog));
        }
        let (service, authority) = (self.service.clone(), identity.authority().clone());
        let door = EdgeDoor::open(bound, service, authority, doors, config.edge_limits())?;
        let hub = door.hub().clone();
        self.serving.spawn(door.serve(self.shutdown.clone()));
        Ok(hub)
    }

    fn ready(&mut self, ready_file: Option<PathBuf>) -> Result<(), StartError> {
        for (door, address) in &self.doors {
            tracing::info!(door, %address, "listening");
        }
        if let Some(path) = ready_file {
            let doors: BTreeMap<_, _> =
                self.doors.iter().map(|(door, address)| (*door, address.to_string())).collect();
            let text = serde_json::to_vec(&doors).unwrap_or_default();
            files::replace(&path, &text, 0o644)
                .map_err(|source| StartError::ReadyFile { path: path.clone(), source })?;
            self.ready_file = Some(path);
        }
        self.health.clear("starting");
        self.service.record(EventDraft::node(EventKind::NodeStarted, "ready"));
        tracing::info!(devices = self.service.fleet.len(), "ready");
        Ok(())
    }

    /// The doors and where they are.
    pub fn doors(&self) -> &[(&'static str, SocketAddr)] {
        &self.doors
    }

    /// Run until `stop` resolves, then drain: tell phones that begin a dialogue to come later, let open dialogues end
    /// within `limits.drain_timeout`, flush the store. `hurry` resolves when the drain shall be cut short. The metrics
    /// door is open until the store is closed.
    pub async fn run(
        self,
        stop: impl Future<Output = ()>,
        hurry: impl Future<Output = ()>,
    ) -> Result<(), StoreError> {
        stop.await;
        self.health.block("draining", "the server is stopping");
        self.shutdown.drain();
        let open_flows = self.service.open_flows();
        tracing::info!(open_flows, "stopping: open dialogues end, new ones are told to come later");
        self.service.record(EventDraft::node(EventKind::NodeStopping, "stopping"));
        if let Some(path) = &self.ready_file
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::debug!(%error, "the ready file was gone already");
        }
        self.tasks.close();
        self.serving.close();
        tokio::select! {
            () = self.serving.wait() => {}
            () = hurry => tracing::warn!("stopping at once"),
        }
        self.shutdown.stop();
        self.serving.wait().await;
        self.tasks.wait().await;
        // So that receivers do not get again what they acknowledged.
        self.service.spool.tick(self.service.now());
        let (store, journals) = (self.store.clone(), self.journals.clone());
        let closed = tokio::task::spawn_blocking(move || {
            journals.shutdown(STORE_DEADLINE).and(store.shutdown(STORE_DEADLINE))
        })
        .await;
        self.watched.close().await;
        match closed {
            Ok(result) => result?,
            Err(error) => tracing::error!(%error, "closing the store failed"),
        }
        tracing::info!("stopped");
        Ok(())
    }
}
