//! A world that a test controls: time, numbers, credentials and the store do what they are told.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use callboard_core::device::{Device, DeviceId, decode, decode_tasks};
use callboard_core::dialogue::wpi::{Credentials, Need};
use callboard_core::item::ItemWrite;
use callboard_core::pki::Series;
use callboard_core::secret::{KEY_LEN, Secret, Vault};
use callboard_core::service::{
    CredentialSource, IssueError, Issuing, Sender, Service, Settings, Surroundings,
};
use callboard_core::site::Origin;

use callboard_core::store::journal::{JournalConfig, MemoryJournal};
use callboard_core::store::{MemoryStore, Table};
use callboard_core::time::{Clock, Random, Timestamp};

/// A clock that moves when it is told to.
#[derive(Debug)]
pub(crate) struct HandClock(AtomicU64);

impl HandClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// Numbers that differ, and come the same in every run.
#[derive(Debug, Default)]
pub(crate) struct Counting(AtomicU64);

impl Random for Counting {
    fn next_u128(&self) -> u128 {
        let count = u128::from(self.0.fetch_add(1, Ordering::Relaxed) + 1);
        // An odd factor: the numbers of different counts differ.
        count.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }
}

/// A sender's address; if it is spent it has brought as many unknown devices as it may.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) spent: bool,
}

impl Sender for Branch {
    fn is_exempt(&self) -> bool {
        false
    }
    fn may_bring_device(&self) -> bool {
        !self.spent
    }
}

/// Makes credentials out of paper: texts that show for whom and with which password they were made.
#[derive(Debug, Default)]
pub(crate) struct PaperCredentials {
    broken: AtomicBool,
    busy: AtomicBool,
    held: AtomicBool,
    /// Their serial numbers.
    made: Mutex<Vec<Box<str>>>,
}

impl PaperCredentials {
    pub(crate) fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::Relaxed);
    }

    pub(crate) fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Relaxed);
    }

    /// Let nothing be made until it is let go.
    pub(crate) fn set_held(&self, held: bool) {
        self.held.store(held, Ordering::Relaxed);
    }

    /// The serial number of the certificate that was made as this one, counted in hex; the text itself if there is none.
    pub(crate) fn serial(&self, number: &str) -> Box<str> {
        let made = self.made.lock().unwrap();
        let at = usize::from_str_radix(number, 16).ok().and_then(|number| number.checked_sub(1));
        at.and_then(|at| made.get(at)).cloned().unwrap_or_else(|| number.into())
    }

    fn make(&self, need: &Need, series: Series, now: Timestamp) -> Result<Credentials, IssueError> {
        if self.busy.load(Ordering::Relaxed) {
            return Err(IssueError::Later);
        }
        if self.broken.load(Ordering::Relaxed) {
            return Err(IssueError::Failed("the authority is out of paper".to_owned()));
        }
        let mut made = self.made.lock().unwrap();
        let number = made.len() + 1;
        let serial: Box<str> = format!("{}{number:02x}", series.to_hex()).into();
        made.push(serial.clone());
        let items = match &need.password {
            None => vec![
                ItemWrite::new(
                    "dls-client-certificate",
                    None,
                    format!("certificate {number} of {}", need.device),
                ),
                ItemWrite::new("dls-server-ca", Some(0), "authority"),
                ItemWrite::new("dls-server-ca", Some(1), ""),
            ],
            Some(password) => {
                let pack = format!("pack {number} of {} under {}", need.device, password.expose());
                vec![ItemWrite::new("secure-mode-data", None, pack)]
            }
        };
        let expires = now.plus(Duration::from_hours(365 * 24));
        Ok(Credentials { items, serial, expires })
    }
}

impl CredentialSource for PaperCredentials {
    fn is_busy(&self, _: &DeviceId, _: Origin) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    fn issue(&self, need: Need, series: Series, _: Origin, now: Timestamp) -> Issuing<'_> {
        Box::pin(std::future::poll_fn(move |_| {
            if self.held.load(Ordering::Relaxed) {
                return Poll::Pending;
            }
            Poll::Ready(self.make(&need, series, now))
        }))
    }
}

/// One for all worlds: it never changes, and its keys take a while to make.
static VAULT: LazyLock<Arc<Vault>> = LazyLock::new(|| Arc::new(Vault::new(&[7; KEY_LEN]).unwrap()));

/// A service and everything around it.
pub(crate) struct World {
    pub(crate) service: Arc<Service>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) credentials: Arc<PaperCredentials>,
    random: Arc<Counting>,
    vault: Arc<Vault>,
    settings: Settings,
}

impl World {
    pub(crate) fn new(settings: Settings) -> Self {
        Self::with_store(settings, MemoryStore::default())
    }

    pub(crate) fn with_store(settings: Settings, store: MemoryStore) -> Self {
        let clock = Arc::new(HandClock(AtomicU64::new(1_767_225_600_000)));
        let vault = VAULT.clone();
        let (random, credentials) = (Arc::default(), Arc::default());
        let store = Arc::new(store);
        let service = serve(&settings, &store, &vault, &clock, &random, &credentials);
        Self { service, store, clock, credentials, random, vault, settings }
    }

    /// Kill the process and start it again: what was only in memory is gone.
    pub(crate) fn crash(&mut self) {
        self.store = Arc::new(self.store.reopen());
        self.service =
            serve(&self.settings, &self.store, &self.vault, &self.clock, &self.random, &self.credentials);
    }
}

fn serve(
    settings: &Settings,
    store: &Arc<MemoryStore>,
    vault: &Arc<Vault>,
    clock: &Arc<HandClock>,
    random: &Arc<Counting>,
    credentials: &Arc<PaperCredentials>,
) -> Arc<Service> {
    let around = Surroundings {
        store: store.clone(),
        vault: vault.clone(),
        clock: clock.clone(),
        random: random.clone(),
        credentials: credentials.clone(),
        journal: Arc::new(MemoryJournal::new(JournalConfig::default())),
        notifications: Arc::new(MemoryJournal::default()),
    };
    let service = Service::new(around, settings.clone());
    service.templates.load().unwrap();
    service.load_jobs().unwrap();
    service.fleet.load(|_| {}).unwrap();
    Arc::new(service)
}

/// Settings with room for everything a test does.
pub(crate) fn settings() -> Settings {
    Settings {
        templates: 20,
        templates_per_device: 5,
        tasks_per_device: 10,
        default_pin: Secret::new("MainDefault123"),
        ..Settings::default()
    }
}

/// Push a future once. Nothing here ever waits for a timer or a socket, so it ends or the store holds it.
pub(crate) fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// A device as a new process would find it in the store.
pub(crate) fn stored(store: &MemoryStore, id: &DeviceId) -> Option<Device> {
    let key = id.to_string();
    let mut device = decode(&store.get(Table::Device, &key)?).ok()?;
    if let Some(record) = store.get(Table::Tasks, &key) {
        let record = decode_tasks(&record).ok()?;
        device.revision = device.revision.max(record.revision);
        device.tasks = record.tasks;
    }
    Some(device)
}
