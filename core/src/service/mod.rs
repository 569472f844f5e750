//! The rooms together: what the listeners and the administration call.

mod admin;
mod audit;
mod dry_run;
mod files;
mod jobs;
mod lookout;
mod outcome;
mod reach;
pub mod sip;
mod sites;
pub mod snmp;
mod task_wish;
mod wpi;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::device::DeviceId;
use crate::dialogue::sessions::{SessionLimits, Sessions};
use crate::dialogue::wpi::{Context, Credentials, Flow, FlowLimits, Need, SecureSettings};
use crate::event::{EventDraft, EventKind, EventLimits, EventLog};
use crate::file::{FileBounds, Files};
use crate::fleet::{Fleet, FleetLimits};
use crate::job::{self, JobBook};
use crate::pki::Series;
use crate::policy::{Policy, Registry, TemplateBounds};
use crate::reach::polling::Polling;
use crate::reach::{Reach, ReachSettings};
use crate::secret::{Secret, Vault};
use crate::site::{Origin, SiteSettings, Sites};
use crate::snmp::spool::{Spool, SpoolLimits};
use crate::store::Store;
use crate::store::journal::Journal;
use crate::time::{Ahead, Clock, Random, Timestamp};
use audit::BarrierPlace;
use files::JobFiles;
use jobs::Runner;
use lookout::Lookout;
use sip::{Sip, SipSettings};
use snmp::{Snmp, SnmpSettings};

pub use admin::{AdminError, SecureModeRequest, counted};
pub use dry_run::{DryRun, DryRunDevice, PlannedWrite};
pub use jobs::{JobRequest, JobSettings};
pub use outcome::{Outcome, OverloadCause};
pub use reach::{CallRefused, Way};
pub use sites::CertifyError;
pub use task_wish::{FileSourceWish, FileWish, FileWishAction, SoftwareWish, TaskRequest};
pub use wpi::{Sender, WpiRequest, WpiResponse, device_of};

/// Credentials, or why there are none.
pub type Issuing<'a> = Pin<Box<dyn Future<Output = Result<Credentials, IssueError>> + Send + 'a>>;

/// Makes credentials. Takes its time, so it promises them.
pub trait CredentialSource: Send + Sync + 'static {
    /// Whether [`CredentialSource::issue`] would refuse a start-up of `device` from `origin` now: so that it ends no
    /// flow of that device in vain.
    fn is_busy(&self, device: &DeviceId, origin: Origin) -> bool;

    /// Make credentials for a device whose message came from `origin`, with a certificate of `series`. If the promise is
    /// dropped nobody gets them.
    fn issue(&self, need: Need, series: Series, origin: Origin, now: Timestamp) -> Issuing<'_>;
}

/// Why credentials were not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// Too many wait for theirs, or this device got too many lately.
    #[error("credentials are not made now")]
    Later,
    /// They cannot be made. The reason is for people and holds no secret.
    #[error("{0}")]
    Failed(String),
}

/// Bounds and settings of a [`Service`].
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Bounds on a flow.
    pub flow: FlowLimits,
    /// Bounds on all flows.
    pub sessions: SessionLimits,
    /// Secure mode.
    pub secure: SecureSettings,
    /// Bounds on the fleet.
    pub fleet: FleetLimits,
    /// Bounds on a template.
    pub template: TemplateBounds,
    /// Number of templates.
    pub templates: usize,
    /// Templates that may be assigned to one device.
    pub templates_per_device: usize,
    /// Tasks that may wait for one device.
    pub tasks_per_device: usize,
    /// Jobs: bounds and times.
    pub jobs: JobSettings,
    /// Bounds on files.
    pub files: FileBounds,
    /// Scheme, host and port at which phones find this server's files, without a slash at its end; else each finds them where
    /// it called.
    pub files_address: Option<Box<str>>,
    /// Bounds on events.
    pub events: EventLimits,
    /// How phones are called.
    pub reach: ReachSettings,
    /// Sites.
    pub sites: SiteSettings,
    /// The PIN for devices that are to be secured with the default PIN.
    pub default_pin: Secret,
    /// How phones poll.
    pub polling: Polling,
    /// SIP.
    pub sip: SipSettings,
    /// SNMP.
    pub snmp: SnmpSettings,
    /// Bounds on events that wait for receivers of informs.
    pub spool: SpoolLimits,
}

/// What the service needs from outside.
#[derive(Clone)]
pub struct Surroundings {
    /// Where records go.
    pub store: Arc<dyn Store>,
    /// Keeps secrets.
    pub vault: Arc<Vault>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives unpredictable numbers.
    pub random: Arc<dyn Random>,
    /// Makes credentials.
    pub credentials: Arc<dyn CredentialSource>,
    /// Where SIP bindings go.
    pub journal: Arc<dyn Journal>,
    /// Where events go that wait for receivers of informs.
    pub notifications: Arc<dyn Journal>,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Surroundings(…)")
    }
}

/// Everything that decides and remembers. Shared by all listeners and the administration.
#[derive(Debug)]
pub struct Service {
    /// The devices.
    pub fleet: Fleet,
    /// The templates.
    pub templates: Registry,
    /// The jobs.
    pub jobs: Arc<job::Registry>,
    /// The files for phones.
    pub files: Files,
    /// What happened.
    pub events: EventLog,
    /// How phones are reached.
    pub reach: Arc<Reach>,
    lookout: Arc<Lookout>,
    runner: Runner,
    /// The sites.
    pub sites: Sites,
    /// SIP endpoints.
    pub sip: Sip,
    /// SNMP.
    pub snmp: Snmp,
    /// Events that wait for receivers of informs.
    pub spool: Arc<Spool>,
    sessions: Sessions,
    around: Surroundings,
    settings: Settings,
    barrier: BarrierPlace,
}

impl Service {
    /// Nothing loaded yet: call [`Fleet::load`], [`Registry::load`], [`Files::load`], the sites' and [`Service::load_jobs`] before opening doors.
    pub fn new(around: Surroundings, settings: Settings) -> Self {
        let started = around.clock.now();
        let jobs = Arc::new(job::Registry::new(around.store.clone(), settings.jobs.jobs));
        let reach = Arc::new(Reach::new(settings.reach.clone(), started));
        let lookout = Arc::new(Lookout::new(reach.clone(), jobs.clone(), around.clock.clone()));
        let files = Files::new(around.store.clone(), around.vault.clone(), settings.files);
        files.set_use(Arc::new(JobFiles(jobs.clone())));
        Self {
            fleet: Fleet::watched(around.store.clone(), settings.fleet, lookout.clone()),
            templates: Registry::new(
                around.store.clone(),
                around.vault.clone(),
                settings.template,
                settings.templates,
            ),
            jobs,
            runner: Runner::default(),
            files,
            events: EventLog::new(&settings.events, started),
            reach,
            lookout,
            sites: Sites::new(around.store.clone(), settings.sites),
            sip: Sip::new(
                around.journal.clone(),
                around.store.clone(),
                around.vault.clone(),
                around.random.clone(),
                settings.sip.clone(),
                around.clock.steady(),
            ),
            snmp: Snmp::new(
                around.store.clone(),
                around.vault.clone(),
                &*around.random,
                settings.snmp.clone(),
            ),
            spool: Arc::new(Spool::new(around.notifications.clone(), settings.spool)),
            sessions: Sessions::new(settings.sessions),
            around,
            settings,
            barrier: BarrierPlace::default(),
        }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.around.clock.now()
    }

    /// The time of a clock that nobody sets, see [`Clock::steady`](crate::time::Clock::steady). All of SIP is measured with it.
    pub fn steady(&self) -> Timestamp {
        self.around.clock.steady()
    }

    /// By how much [`Self::now`] is ahead of [`Self::steady`].
    fn ahead(&self) -> Ahead {
        Ahead::of(self.now(), self.steady())
    }

    /// The store, for its figures.
    pub fn store(&self) -> &dyn Store {
        &*self.around.store
    }

    /// The vault.
    pub fn vault(&self) -> &Vault {
        &self.around.vault
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Flows open now.
    pub fn open_flows(&self) -> usize {
        self.sessions.open()
    }

    /// Record that something happened.
    pub fn record(&self, draft: EventDraft) {
        self.events.record(self.now(), draft);
    }

    fn context<'a>(&'a self, now: Timestamp, policy: &'a Policy, jobs: &'a JobBook) -> Context<'a> {
        Context {
            now,
            policy,
            jobs,
            vault: &self.around.vault,
            limits: &self.settings.flow,
            secure: &self.settings.secure,
            polling: &self.settings.polling,
            files: &self.files,
            files_address: self.settings.files_address.as_deref(),
        }
    }

    /// End flows whose phones do not go on, and forget what is past. To be called about once a second.
    pub fn sweep(&self) {
        self.fleet.dictionary().settle();
        let now = self.now();
        for flow in self.sessions.sweep(now) {
            let text = format!("no message for {} s", now.since(flow.touched()).as_secs());
            self.events.record(now, EventDraft::about(flow.device(), EventKind::FlowAbandoned, text));
            let device = flow.device().clone();
            self.keep_abandoned(*flow);
            self.flow_is_over(&device);
        }
    }

    /// What an abandoned flow learned is still true of the device, if there is one: a phone that never ends a flow
    /// is not taken in.
    fn keep_abandoned(&self, flow: Flow) {
        let device: DeviceId = flow.device().clone();
        let learned = flow.abandon();
        let mut news = Vec::new();
        let updated =
            self.fleet.update_detached(&device, false, |current| Ok(learned.lay_over(current, &mut news)));
        match updated {
            Ok(_) => {
                for event in news {
                    self.record(event);
                }
            }
            Err(error) => tracing::debug!(%device, %error, "an abandoned flow was not kept"),
        }
    }
}
