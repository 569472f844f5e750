//! The node: who it is, how it fares, what it holds.

use std::collections::BTreeMap;

use axum::extract::State as FromState;
use callboard_core::device;
use callboard_core::service::Service;
use callboard_core::sip::binding::{Liveness, Transport};
use callboard_core::store::journal::JournalStats;
use callboard_core::store::{Health, StoreStats};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::State;
use crate::time::text;

pub(crate) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(get_status))
}

/// One reason why the node is not ready.
#[derive(Debug, Serialize, ToSchema)]
struct Cause {
    /// One of a few fixed words: `starting`, `draining`, `store`, `journal`.
    cause: String,
    /// What is the matter.
    detail: String,
}

/// An open listener.
#[derive(Debug, Serialize, ToSchema)]
struct Door {
    /// Its name, as in the configuration.
    name: String,
    /// Where it listens.
    address: String,
}

/// The devices in figures.
#[derive(Debug, Serialize, ToSchema)]
struct Devices {
    /// All devices.
    total: usize,
    /// Most that there may be.
    limit: usize,
    /// By state.
    by_state: BTreeMap<&'static str, usize>,
    /// By secure mode.
    by_secure_mode: BTreeMap<&'static str, usize>,
    /// Bytes of their packed items.
    item_bytes: usize,
    /// Records of devices that cannot be read; those devices get no answer but `overload` until they are deleted.
    unreadable: usize,
}

impl Devices {
    fn of(service: &Service) -> Self {
        let fleet = &service.fleet;
        Self {
            total: fleet.len(),
            limit: service.settings().fleet.devices,
            by_state: device::DeviceState::ALL.map(|state| (state.as_str(), fleet.in_state(state))).into(),
            by_secure_mode: device::SecureMode::ALL.map(|mode| (mode.as_str(), fleet.in_mode(mode))).into(),
            item_bytes: fleet.item_bytes(),
            unreadable: fleet.unreadable(),
        }
    }
}

/// How phones ask for work (DCMP).
#[derive(Debug, Serialize, ToSchema)]
struct Polling {
    /// Phones that are told to: none (`disabled`), those that contact-me does not bring (`automatic`), or all (`enabled`).
    mode: &'static str,
    /// Where they are told to ask; null if that is not configured, and then none is told.
    url: Option<String>,
    /// Minutes between two polls.
    interval_minutes: u16,
    /// Devices that are told at their next poll that work waits.
    pending: usize,
}

impl Polling {
    fn of(service: &Service) -> Self {
        let polling = &service.settings().polling;
        Self {
            mode: polling.mode.as_str(),
            url: polling.url.as_deref().map(Into::into),
            interval_minutes: polling.interval_minutes,
            pending: service.reach.pending.len(),
        }
    }
}

/// The store in figures, since the server started.
#[derive(Debug, Serialize, ToSchema)]
struct Store {
    /// `healthy`, `stalled`, `no-space`, `failed` or `stopped`.
    health: &'static str,
    /// What that means; empty when healthy.
    health_detail: String,
    /// Bytes that wait to be written.
    queued_bytes: usize,
    /// Most bytes that may wait.
    queue_bytes_limit: usize,
    /// Records that wait to be written.
    queued_records: usize,
    /// Most records that may wait.
    queue_records_limit: usize,
    /// Bytes on disk.
    size_on_disk: u64,
    /// Bytes of the records that count; null until it is known.
    live_bytes: Option<u64>,
    /// Groups made durable.
    batches: u64,
    /// Records made durable.
    committed_records: u64,
    /// Bytes made durable.
    committed_bytes: u64,
    /// Writes refused.
    refused: u64,
    /// Writes that replaced a waiting one of the same record.
    coalesced: u64,
    /// Damaged records met.
    damaged_records: u64,
    /// Records of the latest group.
    last_batch_records: usize,
    /// Bytes of the latest group.
    last_batch_bytes: usize,
    /// Seconds that the latest group took.
    last_batch_seconds: f64,
}

impl Store {
    fn of(health: &Health, stats: &StoreStats) -> Self {
        let (health, health_detail) = words(health);
        Self {
            health,
            health_detail,
            queued_bytes: stats.queued_bytes,
            queue_bytes_limit: stats.queue_bytes_limit,
            queued_records: stats.queued_records,
            queue_records_limit: stats.queue_records_limit,
            size_on_disk: stats.size_on_disk,
            live_bytes: stats.live_bytes,
            batches: stats.batches,
            committed_records: stats.committed_records,
            committed_bytes: stats.committed_bytes,
            refused: stats.refused,
            coalesced: stats.coalesced,
            damaged_records: stats.damaged_records,
            last_batch_records: stats.last_batch_records,
            last_batch_bytes: stats.last_batch_bytes,
            last_batch_seconds: stats.last_batch_time.as_secs_f64(),
        }
    }
}

/// The journal of registrations in figures, since the server started.
#[derive(Debug, Serialize, ToSchema)]
struct Journal {
    /// `healthy`, `stalled`, `no-space`, `failed` or `stopped`.
    health: &'static str,
    /// What that means; empty when healthy.
    health_detail: String,
    /// How full its queue is, 0 to 1; 1 whenever it takes nothing. From `sip.busy_percent` on endpoints are told to come later.
    load: f32,
    /// Bytes that wait to be written.
    queued_bytes: usize,
    /// Most bytes that may wait.
    queue_bytes_limit: usize,
    /// Records that wait to be written.
    queued_records: usize,
    /// Bytes of changes since the last compaction.
    log_bytes: u64,
    /// Bytes of what the last compaction left.
    snapshot_bytes: u64,
    /// Whether a compaction is under way.
    compacting: bool,
    /// Compactions that ended well.
    compactions: u64,
    /// Groups made durable.
    batches: u64,
    /// Records made durable.
    committed_records: u64,
    /// Bytes made durable.
    committed_bytes: u64,
    /// Records refused.
    refused: u64,
    /// Records known to be damaged; 1 if their number is not known.
    damaged_records: u64,
    /// Records of the latest group.
    last_batch_records: usize,
    /// Bytes of the latest group.
    last_batch_bytes: usize,
    /// Seconds that the latest group took.
    last_batch_seconds: f64,
}

impl Journal {
    fn of(health: &Health, stats: &JournalStats, load: f32) -> Self {
        let (health, health_detail) = words(health);
        Self {
            health,
            health_detail,
            load,
            queued_bytes: stats.queued_bytes,
            queue_bytes_limit: stats.queue_bytes_limit,
            queued_records: stats.queued_records,
            log_bytes: stats.log_bytes,
            snapshot_bytes: stats.snapshot_bytes,
            compacting: stats.compacting,
            compactions: stats.compactions,
            batches: stats.batches,
            committed_records: stats.committed_records,
            committed_bytes: stats.committed_bytes,
            refused: stats.refused,
            damaged_records: stats.damaged_records,
            last_batch_records: stats.last_batch_records,
            last_batch_bytes: stats.last_batch_bytes,
            last_batch_seconds: stats.last_batch_time.as_secs_f64(),
        }
    }
}

/// SIP in figures.
#[derive(Debug, Serialize, ToSchema)]
struct Sip {
    /// Addresses-of-record with registrations.
    aors: usize,
    /// Most that there may be.
    aors_limit: usize,
    /// Registrations by transport and state.
    bindings: BTreeMap<&'static str, BTreeMap<&'static str, usize>>,
    /// Requests of this server that are under way.
    client_transactions: usize,
    /// Most that may be.
    client_transactions_limit: usize,
    /// Answers that are kept for requests that come again.
    server_transactions: usize,
    /// Most that are.
    server_transactions_limit: usize,
    /// Realms.
    realms: usize,
    /// Credentials, those of all realms together.
    credentials: usize,
    /// Records of realms and credentials that could not be read at the start; the log names them.
    unreadable_credentials: usize,
}

impl Sip {
    fn of(service: &Service) -> Self {
        let (sip, settings) = (&service.sip, service.sip.settings());
        let bindings = |transport: Transport| {
            let count = |state: Liveness| (state.as_str(), sip.location.bindings(transport, state));
            (transport.as_str(), Liveness::ALL.map(count).into())
        };
        let transactions = sip.transactions();
        let realms = sip.credentials.realms();
        Self {
            aors: sip.location.aors(),
            aors_limit: settings.location.aors,
            bindings: Transport::ALL.map(bindings).into(),
            client_transactions: transactions.client,
            client_transactions_limit: settings.client_transactions,
            server_transactions: transactions.server,
            server_transactions_limit: settings.server_transactions,
            credentials: realms.iter().map(|realm| sip.credentials.count(realm.name.as_str())).sum(),
            realms: realms.len(),
            unreadable_credentials: sip.credentials.unreadable(),
        }
    }
}

fn words(health: &Health) -> (&'static str, String) {
    match health {
        Health::Healthy => ("healthy", String::new()),
        Health::Stalled { since } => ("stalled", format!("a flush takes {} s already", since.as_secs())),
        Health::NoSpace { free_bytes, needed_bytes } => {
            ("no-space", format!("{free_bytes} bytes free, {needed_bytes} needed"))
        }
        Health::Failed(reason) => ("failed", reason.to_string()),
        Health::Stopped => ("stopped", "the store is shut down".into()),
    }
}

/// The node.
#[derive(Debug, Serialize, ToSchema)]
struct Status {
    /// What the node is called.
    node: String,
    /// The version that runs.
    version: String,
    /// When it started.
    #[schema(format = DateTime)]
    started: String,
    /// Seconds since then.
    uptime_seconds: u64,
    /// Whether it may be given work.
    ready: bool,
    /// Why not.
    causes: Vec<Cause>,
    /// Its open listeners.
    doors: Vec<Door>,
    /// The devices in figures.
    devices: Devices,
    /// Number of templates.
    templates: usize,
    /// Records of templates that could not be read at the start and are not applied; the log names them.
    unreadable_templates: usize,
    /// Dialogues with phones that are open.
    open_flows: usize,
    /// How phones ask for work.
    polling: Polling,
    /// Event streams that are open.
    event_streams: usize,
    /// SIP in figures.
    sip: Sip,
    /// The store in figures.
    store: Store,
    /// The journal of registrations in figures.
    journal: Journal,
}

/// Get the node's status
#[utoipa::path(get, path = "/status", tag = "node",
    responses((status = 200, description = "The node", body = Status)))]
async fn get_status(FromState(state): FromState<State>) -> axum::Json<Status> {
    let (service, node, settings) = (state.service(), state.node(), state.settings());
    let causes: Vec<_> =
        node.causes().into_iter().map(|cause| Cause { cause: cause.cause, detail: cause.detail }).collect();
    let doors = node.doors().into_iter();
    let journal = service.sip.location.journal();
    axum::Json(Status {
        node: settings.node_name.clone(),
        version: settings.version.clone(),
        started: text(node.started()),
        uptime_seconds: service.now().since(node.started()).as_secs(),
        ready: causes.is_empty(),
        causes,
        doors: doors.map(|door| Door { name: door.name, address: door.address.to_string() }).collect(),
        devices: Devices::of(service),
        templates: service.templates.policy().templates().count(),
        unreadable_templates: service.templates.unreadable(),
        open_flows: service.open_flows(),
        polling: Polling::of(service),
        event_streams: state.open_streams(),
        sip: Sip::of(service),
        store: Store::of(&service.store().health(), &service.store().stats()),
        journal: Journal::of(&journal.health(), &journal.stats(), journal.load()),
    })
}
