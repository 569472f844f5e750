//! All files and providers: kept in memory, changed through the store.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use metrics::{Unit, describe_gauge, gauge};
use parking_lot::{Mutex, MutexGuard};
use serde::Deserialize;

use super::name::{FileName, FileToken};
use super::provider::{Provider, ProviderFault, ProviderId};
use super::record::{self, BadFileRecord, FileId, FileKind, FileRecord};
use crate::secret::{Secret, Vault, VaultError};
use crate::store::{CommitError, LoadError, Store, SubmitError, Table, Ticket, Write};

/// Bounds on files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileBounds {
    /// Files, those of providers included.
    pub files: usize,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Bytes of all files in the node's own folder together.
    pub total_bytes: u64,
    /// Storage providers.
    pub providers: usize,
}

impl Default for FileBounds {
    fn default() -> Self {
        Self { files: 1_000, file_bytes: 256 << 20, total_bytes: 10 << 30, providers: 16 }
    }
}

/// Why files or providers were not changed, or the change is not known to be durable ([`FileError::Commit`]).
#[derive(Clone, Debug, thiserror::Error)]
pub enum FileError {
    /// No such file.
    #[error("no file {0}")]
    Unknown(FileId),
    /// No such provider.
    #[error("no provider {0}")]
    UnknownProvider(ProviderId),
    /// As many as may be.
    #[error("there are {limit} {what} already")]
    Full {
        /// Files or providers.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// All files together would be larger than they may be.
    #[error("all files together have at most {limit} bytes")]
    TotalFull {
        /// The bound.
        limit: u64,
    },
    /// Another file of the kind has that name, or is being brought.
    #[error("a {} has this name already; a changed file needs a new name", .0.as_str())]
    NameTaken(FileKind),
    /// Another provider has that name.
    #[error("provider {0} has this name already")]
    ProviderNameTaken(ProviderId),
    /// Somebody needs the file.
    #[error("{0}")]
    InUse(String),
    /// Files come from the provider.
    #[error("{files} files come from this provider; delete them first")]
    ProviderInUse {
        /// How many.
        files: usize,
    },
    /// Somebody else changed it meanwhile.
    #[error("the resource has revision {current}, not {expected}")]
    Revision {
        /// What the caller had.
        expected: u64,
        /// What it is.
        current: u64,
    },
    /// The provider cannot be stored like this.
    #[error("the provider has {} faults", .0.len())]
    Faults(Vec<ProviderFault>),
    /// The store does not take it.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The change is made, but the store could not make it durable yet.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// It cannot be packed.
    #[error(transparent)]
    Record(#[from] BadFileRecord),
    /// A secret cannot be sealed or opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Knows who needs a file, besides [`Files::hold`].
pub trait FileUse: Send + Sync + 'static {
    /// Who needs the file, in words; `None` if it may go. Must not ask for files: they are locked.
    fn needed_by(&self, file: FileId) -> Option<String>;
}

/// All files and providers.
pub struct Files {
    state: Mutex<State>,
    pub(super) store: Arc<dyn Store>,
    pub(super) vault: Arc<Vault>,
    bounds: FileBounds,
    users: OnceLock<Arc<dyn FileUse>>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) files: BTreeMap<FileId, Arc<FileRecord>>,
    /// By a keyed fingerprint of the token.
    pub(super) by_token: HashMap<u64, (FileToken, FileId)>,
    pub(super) providers: BTreeMap<ProviderId, Arc<Provider>>,
    /// How often a file is needed; those that nobody needs are not in it.
    holds: BTreeMap<FileId, usize>,
    /// Files on their way.
    pub(super) coming: BTreeMap<FileId, (FileName, FileKind)>,
    /// Bytes in the node's own folder, those on their way included.
    pub(super) bytes: u64,
}

impl State {
    #[allow(clippy::cast_precision_loss)] // gauges are floats
    pub(super) fn publish(&self) {
        gauge!(COUNT).set(self.files.len() as f64);
        gauge!(STORED).set(self.bytes as f64);
    }
}

/// What [`Files::load`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Files.
    pub files: usize,
    /// Providers.
    pub providers: usize,
    /// Records that cannot be read. They stay where they are.
    pub unreadable: Vec<String>,
}

const COUNT: &str = "callboard_files_count";
const STORED: &str = "callboard_files_stored_bytes";
const STORED_LIMIT: &str = "callboard_files_stored_limit_bytes";
const UNREADABLE: &str = "callboard_files_unreadable_records";

/// Describe the metrics of this module.
pub fn describe_metrics() {
    describe_gauge!(COUNT, Unit::Count, "Files that phones can have");
    describe_gauge!(STORED, Unit::Bytes, "Bytes of the files in the node's own folder");
    describe_gauge!(STORED_LIMIT, Unit::Bytes, "Bytes that the files in the node's own folder may have");
    describe_gauge!(
        UNREADABLE,
        Unit::Count,
        "Records of files and providers that could not be read at the start"
    );
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("files", &self.lock().files.len()).finish_non_exhaustive()
    }
}

impl Files {
    /// No files.
    pub fn new(store: Arc<dyn Store>, vault: Arc<Vault>, bounds: FileBounds) -> Self {
        let users = OnceLock::new();
        Self { state: Mutex::default(), store, vault, bounds, users }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Ask this one, too, before a file is forgotten. Only the first call counts.
    pub fn set_use(&self, users: Arc<dyn FileUse>) {
        let _ = self.users.set(users);
    }

    /// Take over what the store holds. Fails at a record of a newer Callboard.
    pub fn load(&self) -> Result<Loaded, LoadError> {
        let mut state = self.lock();
        let mut unreadable = Vec::new();
        let files: Vec<FileRecord> = self.scan(Table::File, &mut unreadable)?;
        for file in files {
            let id = file.id;
            if let Err(error) = self.insert(&mut state, Arc::new(file)) {
                unreadable.push(format!("{id}: {error}"));
            }
        }
        let providers: Vec<Provider> = self.scan(Table::Provider, &mut unreadable)?;
        state.providers = providers.into_iter().map(|provider| (provider.id, Arc::new(provider))).collect();
        state.publish();
        #[allow(clippy::cast_precision_loss)] // gauges are floats
        {
            gauge!(STORED_LIMIT).set(self.bounds.total_bytes as f64);
            gauge!(UNREADABLE).set(unreadable.len() as f64);
        }
        Ok(Loaded { files: state.files.len(), providers: state.providers.len(), unreadable })
    }

    fn scan<T: Keyed>(&self, table: Table, unreadable: &mut Vec<String>) -> Result<Vec<T>, LoadError> {
        let (mut records, mut newer) = (Vec::new(), None);
        let scan = self.store.scan(table, &mut |key, value| {
            match record::decode::<T>(value) {
                Ok(record) if record.key() == key => records.push(record),
                Ok(record) => unreadable.push(format!("{key}: holds {}", record.key())),
                Err(BadFileRecord::Newer(found)) => {
                    newer =
                        Some(LoadError::Newer { table, key: key.into(), found, supported: record::VERSION });
                    return ControlFlow::Break(());
                }
                Err(error) => unreadable.push(format!("{key}: {error}")),
            }
            ControlFlow::Continue(())
        })?;
        unreadable
            .extend(scan.damaged_list.into_iter().map(|record| format!("{}: {}", record.key, record.reason)));
        newer.map_or(Ok(records), Err)
    }

    /// Take a file in. The bytes of one on its way are counted already.
    pub(super) fn insert(&self, state: &mut State, file: Arc<FileRecord>) -> Result<(), VaultError> {
        let text = self.vault.open(&file.token)?;
        let token = FileToken::parse(text.expose()).ok_or(VaultError::Unopenable)?;
        state.by_token.insert(self.vault.digest(text.expose()), (token, file.id));
        state.bytes += file.stored();
        state.files.insert(file.id, file);
        Ok(())
    }

    /// The bounds that files are held to.
    pub fn bounds(&self) -> &FileBounds {
        &self.bounds
    }

    /// All files in the order of their ids.
    pub fn all(&self) -> Vec<Arc<FileRecord>> {
        self.lock().files.values().cloned().collect()
    }

    /// One file.
    pub fn get(&self, id: FileId) -> Option<Arc<FileRecord>> {
        self.lock().files.get(&id).cloned()
    }

    /// The file that this token and name open.
    pub fn open(&self, token: &FileToken, name: &str) -> Option<Arc<FileRecord>> {
        let fingerprint = self.vault.digest(token.expose().expose());
        let state = self.lock();
        let (own, id) = state.by_token.get(&fingerprint)?;
        let right = own.is(token);
        state.files.get(id).filter(|file| right && file.name.as_str() == name).cloned()
    }

    /// The path of a file at the phones' doors: `/files/<token>/<name>`. Who knows it can fetch the file.
    pub fn path(&self, file: &FileRecord) -> Result<Secret, VaultError> {
        let token = self.vault.open(&file.token)?;
        Ok(Secret::new(format!("/files/{}/{}", token.expose(), file.name)))
    }

    /// Somebody needs the file until it is [released](Files::release). Not durable.
    pub fn hold(&self, id: FileId) -> Result<(), FileError> {
        let mut state = self.lock();
        if !state.files.contains_key(&id) {
            return Err(FileError::Unknown(id));
        }
        *state.holds.entry(id).or_default() += 1;
        Ok(())
    }

    /// Take back one [`Files::hold`].
    pub fn release(&self, id: FileId) {
        let mut state = self.lock();
        if let Some(holds) = state.holds.get_mut(&id) {
            *holds = holds.saturating_sub(1);
            if *holds == 0 {
                state.holds.remove(&id);
            }
        }
    }

    /// Forget a file. Whoever keeps its bytes removes them when the ticket has resolved.
    pub fn remove(&self, id: FileId, expected: Option<u64>) -> Result<(Arc<FileRecord>, Ticket), FileError> {
        let mut state = self.lock();
        let file = state.files.get(&id).cloned().ok_or(FileError::Unknown(id))?;
        check(file.revision, expected)?;
        if state.holds.contains_key(&id) {
            return Err(FileError::InUse("a job that is being accepted needs it".to_owned()));
        }
        // Under the lock: whoever begins to need it holds it until this one knows.
        if let Some(why) = self.users.get().and_then(|users| users.needed_by(id)) {
            return Err(FileError::InUse(why));
        }
        let ticket = self.store.submit(vec![Write::delete(Table::File, id.to_string())])?;
        state.files.remove(&id);
        state.by_token.retain(|_, (_, file)| *file != id);
        state.bytes = state.bytes.saturating_sub(file.stored());
        state.publish();
        Ok((file, ticket))
    }
}

impl FileRecord {
    /// Bytes that it takes in the node's own folder.
    pub(super) fn stored(&self) -> u64 {
        if self.provider().is_none() { self.size } else { 0 }
    }
}

/// A record that names its key.
trait Keyed: for<'de> Deserialize<'de> {
    fn key(&self) -> String;
}

impl Keyed for FileRecord {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

impl Keyed for Provider {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

pub(super) fn check(current: u64, expected: Option<u64>) -> Result<(), FileError> {
    match expected {
        Some(expected) if expected != current => Err(FileError::Revision { expected, current }),
        _ => Ok(()),
    }
}
