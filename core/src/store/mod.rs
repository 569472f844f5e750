//! The durable store: one aggregate is one record under one key, durable when its [`Ticket`] resolves.
//!
//! The fleet keeps its state in memory and never reads the disk to answer a phone. What it changes it
//! submits here; a single writer gathers the submissions of everybody into groups and makes each group
//! durable with one flush (group commit), then resolves all tickets of the group together.
//!
//! * [`Store`] is the contract; a store of many nodes can take the place of the embedded one.
//! * [`SledStore`] is the embedded store; [`MemoryStore`] keeps the same contract for tests.
//! * [`check`], [`export`], [`import`] and [`compact`] work on the directory of a store that is not running.
//! * [`journal`] is a second engine, for small records that change all the time.
//!
//! Everything is bounded: the queue in bytes and in records, a record in bytes, the wait for shutdown in time.

mod commits;
mod config;
mod copy;
mod database;
mod directory;
mod error;
mod export;
mod import;
pub mod journal;
mod lines;
mod live;
mod maintain;
mod memory;
mod meter;
mod opening;
mod queue;
mod record;
mod salvage;
mod shared;
mod sled_store;
mod space;
mod status;
mod ticket;
mod writer;

use std::ops::ControlFlow;
use std::time::Duration;

pub use commits::CommitsFault;
pub use config::StoreConfig;
pub use directory::STORE_FORMAT;
pub use error::{CommitError, LoadError, MaintenanceError, OpenError, StoreError, SubmitError};
pub use export::{ExportReport, Folders, JournalKind, Render, export};
pub use import::{ImportReport, import};
pub use maintain::{CheckReport, CompactReport, TableReport, check, compact};
pub use memory::MemoryStore;
pub use meter::describe_metrics;
pub use sled_store::{OpenReport, SledStore};
pub use space::FreeSpace;
pub use status::{DamagedRecord, Health, ScanReport, StoreStats};
pub use ticket::Ticket;

/// Longest key, in bytes. Device ids are at most 64; the rest is room for names of templates.
pub const MAX_KEY_BYTES: usize = 255;

/// One kind of aggregate.
///
/// The discriminant is the first byte of the stored key: a number once used is never given to another
/// table and never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Facts about the installation itself, such as counters that must survive a restart.
    Meta = b'm',
    /// Values that many devices share, by number (eight hexadecimal digits).
    Value = b'v',
    /// Devices, by device id.
    Device = b'd',
    /// Templates, by template id.
    Template = b't',
    /// Tasks of a device, by device id.
    Tasks = b'k',
    /// Jobs, by job id.
    Job = b'j',
    /// Files, by file id.
    File = b'f',
    /// Storage providers of files, by provider id.
    Provider = b'p',
    /// Sites with an edge, by site id.
    Site = b'e',
    /// Realms of SIP credentials, by name.
    SipRealm = b'r',
    /// SIP credentials, by realm and user name.
    SipCredential = b'c',
    /// Rules for the profiles of SIP phones, by name.
    SipProfile = b'u',
    /// Views of SNMP, by name.
    SnmpView = b'w',
    /// Groups of SNMP, by name.
    SnmpGroup = b'g',
    /// Users of SNMP, by name.
    SnmpUser = b'n',
    /// Communities of SNMP, by name.
    SnmpCommunity = b'y',
    /// Receivers of notifications, by name.
    SnmpReceiver = b'x',
}

impl Table {
    /// Every table, in the order an export lists them.
    pub const ALL: [Self; 17] = [
        Self::Meta,
        Self::Value,
        Self::Device,
        Self::Template,
        Self::Tasks,
        Self::Job,
        Self::File,
        Self::Provider,
        Self::Site,
        Self::SipRealm,
        Self::SipCredential,
        Self::SipProfile,
        Self::SnmpView,
        Self::SnmpGroup,
        Self::SnmpUser,
        Self::SnmpCommunity,
        Self::SnmpReceiver,
    ];

    /// The table a stored key begins with, if this version knows it.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'm' => Some(Self::Meta),
            b'v' => Some(Self::Value),
            b'd' => Some(Self::Device),
            b't' => Some(Self::Template),
            b'k' => Some(Self::Tasks),
            b'j' => Some(Self::Job),
            b'f' => Some(Self::File),
            b'p' => Some(Self::Provider),
            b'e' => Some(Self::Site),
            b'r' => Some(Self::SipRealm),
            b'c' => Some(Self::SipCredential),
            b'u' => Some(Self::SipProfile),
            b'w' => Some(Self::SnmpView),
            b'g' => Some(Self::SnmpGroup),
            b'n' => Some(Self::SnmpUser),
            b'y' => Some(Self::SnmpCommunity),
            b'x' => Some(Self::SnmpReceiver),
            _ => None,
        }
    }

    /// The name used in exports, logs and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Value => "value",
            Self::Device => "device",
            Self::Template => "template",
            Self::Tasks => "tasks",
            Self::Job => "job",
            Self::File => "file",
            Self::Provider => "provider",
            Self::Site => "site",
            Self::SipRealm => "sip-realm",
            Self::SipCredential => "sip-credential",
            Self::SipProfile => "sip-profile",
            Self::SnmpView => "snmp-view",
            Self::SnmpGroup => "snmp-group",
            Self::SnmpUser => "snmp-user",
            Self::SnmpCommunity => "snmp-community",
            Self::SnmpReceiver => "snmp-receiver",
        }
    }

    /// The table of that name (see [`Table::name`]).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }
}

/// One record to be written or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The kind of aggregate.
    pub table: Table,
    /// 1 to [`MAX_KEY_BYTES`] bytes of text without NUL.
    pub key: Box<str>,
    /// The whole new record, at most [`StoreConfig::max_record_bytes`]; `None` deletes it.
    pub value: Option<Vec<u8>>,
}

impl Write {
    /// Sets the record of `key` to `value`.
    pub fn put(table: Table, key: impl Into<Box<str>>, value: Vec<u8>) -> Self {
        Self { table, key: key.into(), value: Some(value) }
    }

    /// Deletes the record of `key`; deleting what is not there is no error.
    pub fn delete(table: Table, key: impl Into<Box<str>>) -> Self {
        Self { table, key: key.into(), value: None }
    }
}

/// Where aggregates are made durable.
///
/// No method but [`Store::scan`] and [`Store::shutdown`] blocks; all may be called from any thread.
pub trait Store: Send + Sync + 'static {
    /// Queues `writes` as one atomic unit: after a crash either all of them are there or none.
    ///
    /// Submissions that touch one key take effect in the order they were made. A later value of a key
    /// still queued replaces the earlier one, and the tickets of both resolve together. An error means
    /// that nothing of the unit was queued.
    fn submit(&self, writes: Vec<Write>) -> Result<Ticket, SubmitError>;

    /// Like [`Store::submit`], for writes nobody waits for: they may stay queued for up to
    /// [`StoreConfig::flush_interval`] to share the flush of others. The same bounds apply.
    fn submit_detached(&self, writes: Vec<Write>) -> Result<(), SubmitError>;

    /// Visits every durable record of `table` in key order until `visit` breaks.
    ///
    /// Records still queued are not seen. Records written while the scan runs are seen in their old or
    /// their new form. Damaged records are skipped and listed in the report. Must not be called from
    /// an asynchronous task: it waits for the disk.
    fn scan(
        &self,
        table: Table,
        visit: &mut dyn FnMut(&str, &[u8]) -> ControlFlow<()>,
    ) -> Result<ScanReport, StoreError>;

    /// Whether commits make progress.
    fn health(&self) -> Health;

    /// Figures for the status page and for metrics.
    fn stats(&self) -> StoreStats;

    /// How full the commit queue is, 0.0 to 1.0, by bytes or by records, whichever is fuller. 1.0
    /// whenever submissions would be refused, whatever the reason.
    fn load(&self) -> f32;

    /// Refuses new submissions, makes everything queued durable, and closes the store.
    ///
    /// Returns [`StoreError::Deadline`] when that takes longer than `deadline`; the work goes on behind.
    /// A second call waits again and reports the same outcome. Must not be called from an asynchronous
    /// task.
    fn shutdown(&self, deadline: Duration) -> Result<(), StoreError>;
}
