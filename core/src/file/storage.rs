//! What the core and the administration ask of whoever keeps the bytes.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::name::FileName;
use super::provider::{Provider, ProviderId};
use super::record::{FileId, FileKind, FileRecord};
use super::registry::FileError;
use crate::store::CommitError;
use crate::time::Timestamp;

/// Something that takes its time.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Bytes that come piece by piece, each as large as memory can bear, none of them empty.
pub trait Pieces: Send {
    /// The next piece; `None` at the end.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenPieces>>>;
}

/// Bytes stopped coming. The reason is for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BrokenPieces(pub String);

/// A file that somebody brings.
#[derive(Clone, Debug)]
pub struct Upload {
    /// Its name.
    pub name: FileName,
    /// What it is for.
    pub kind: FileKind,
    /// Its length, if that is known beforehand.
    pub length: Option<u64>,
    /// Who brings it.
    pub by: Box<str>,
}

/// A file of a provider that somebody wants phones to have.
#[derive(Clone, Debug)]
pub struct RemoteFile {
    /// Which provider.
    pub provider: ProviderId,
    /// Its path there.
    pub path: String,
    /// Its name at phones.
    pub name: FileName,
    /// What it is for.
    pub kind: FileKind,
    /// Who wants it.
    pub by: Box<str>,
}

/// What a scan found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Files of the provider, by path. At most as many as a scan may look at.
    pub found: Vec<Found>,
    /// There are more.
    pub truncated: bool,
}

/// A file at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its path there.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// When it was changed there.
    pub modified: Timestamp,
    /// Why it cannot be given to phones; `None` if it can.
    pub unfit: Option<String>,
    /// The file that it is registered as.
    pub file: Option<FileId>,
}

/// Why the bytes of a file were not taken or given.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StorageError {
    /// The registry refuses.
    #[error(transparent)]
    File(#[from] FileError),
    /// As many files are being brought as may be.
    #[error("{limit} files are being uploaded already")]
    Busy {
        /// The bound.
        limit: usize,
    },
    /// Longer than a file may be.
    #[error("at most {limit} bytes")]
    TooLarge {
        /// The bound.
        limit: u64,
    },
    /// Nothing came.
    #[error("a file has at least one byte")]
    Empty,
    /// The bytes stopped coming, or took too long.
    #[error("the upload ended early: {0}")]
    Aborted(String),
    /// The disk is nearly full.
    #[error("{free} bytes are free on the disk, {needed} are needed")]
    NoSpace {
        /// Bytes that are free.
        free: u64,
        /// Bytes that must be.
        needed: u64,
    },
    /// A provider may not lie there.
    #[error("{0}")]
    Forbidden(String),
    /// A provider does not give what it should.
    #[error("the provider: {0}")]
    Provider(String),
    /// The node's own folder fails. The reason is for the log.
    #[error("{0}")]
    Folder(String),
}

impl From<CommitError> for StorageError {
    fn from(error: CommitError) -> Self {
        Self::File(error.into())
    }
}

/// Keeps the bytes of files, and reads those of providers.
pub trait FileStorage: Send + Sync + 'static {
    /// Take a file in. When this resolves it is durable, bytes and record; else nothing of it is left.
    fn upload(
        &self,
        upload: Upload,
        bytes: Box<dyn Pieces>,
    ) -> Doing<'_, Result<Arc<FileRecord>, StorageError>>;

    /// Read bytes of a file.
    fn read(
        &self,
        file: Arc<FileRecord>,
        range: Range<u64>,
    ) -> Doing<'_, Result<Box<dyn Pieces>, StorageError>>;

    /// Forget a file and its bytes. Those of a provider stay there.
    fn delete(&self, file: FileId, expected: Option<u64>) -> Doing<'_, Result<(), StorageError>>;

    /// Why a provider must not have this address; `None` if it may as far as can be seen without asking anybody.
    fn address_fault(&self, url: &str) -> Option<String>;

    /// List the files of a provider.
    fn scan(&self, provider: Arc<Provider>) -> Doing<'_, Result<Scan, StorageError>>;

    /// Make a provider's file one that phones can have.
    fn register(&self, file: RemoteFile) -> Doing<'_, Result<Arc<FileRecord>, StorageError>>;
}
