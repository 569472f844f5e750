//! Takes files in, gives their bytes out, forgets them.

use std::collections::HashSet;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use callboard_core::file::{
    Doing, FileError, FileId, FileName, FileRecord, FileStorage, Found, HEAD_BYTES, Pieces, Provider, Remote,
    RemoteFile, Reservation, Scan, Source, StorageError, TAIL_BYTES, Told, Upload, recognise,
};
use callboard_core::service::Service;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::folder::{Folder, Incoming, Whole};
use super::metrics::UploadMetrics;
use super::outbound::Outbound;
use super::pieces::{FilePieces, gather};
use super::provider::{Listed, Remotes};

/// Bytes that are gathered for one write.
const WRITE_BYTES: usize = 64 * 1024;

/// Where files are kept, and the bounds on bringing them.
#[derive(Clone, Debug)]
pub struct StorageSettings {
    /// The folder.
    pub folder: PathBuf,
    /// Free bytes on its disk below which nothing is written; 0 turns the check off.
    pub min_free_bytes: u64,
    /// Uploads at the same time.
    pub uploads: usize,
    /// Time that an upload may take.
    pub upload_lifetime: Duration,
    /// Files that a scan looks at.
    pub scan_files: usize,
    /// How providers are asked.
    pub outbound: Outbound,
}

/// The node's folder and the providers.
pub struct Storage {
    service: Arc<Service>,
    folder: Folder,
    settings: StorageSettings,
    uploads: Semaphore,
    metrics: UploadMetrics,
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Storage {
    /// Open the folder, and remove what no record knows; unless `is_whole` says that a record could not be read. Waits for
    /// the disk.
    pub fn open(service: Arc<Service>, settings: StorageSettings, is_whole: bool) -> io::Result<Self> {
        let folder = Folder::open(settings.folder.clone(), settings.min_free_bytes)?;
        let internal = || service.files.all().into_iter().filter(|file| file.provider().is_none());
        let known: HashSet<FileId> = internal().map(|file| file.id).collect();
        // Beside an empty store the folder may be a restored one whose records are still to come.
        if is_whole && !known.is_empty() {
            folder.sweep(&known)?;
        }
        for file in internal() {
            if let Err(error) = folder.read(file.id, file.size) {
                tracing::error!(file = %file.id, name = %file.name, %error, "a file cannot be read; phones do not get it");
            }
        }
        let uploads = Semaphore::new(settings.uploads.min(Semaphore::MAX_PERMITS));
        Ok(Self { service, folder, settings, uploads, metrics: UploadMetrics::new() })
    }

    async fn take_in(&self, upload: Upload, bytes: Box<dyn Pieces>) -> Result<Arc<FileRecord>, StorageError> {
        let limit = self.settings.uploads;
        let _place = self.uploads.try_acquire().map_err(|_| StorageError::Busy { limit })?;
        let limit = self.service.files.bounds().file_bytes;
        if upload.length.is_some_and(|length| length > limit) {
            return Err(StorageError::TooLarge { limit });
        }
        let mut room = self.service.files.reserve(upload.name, upload.kind, self.service.random())?;
        self.space(upload.length.unwrap_or(0)).await?;
        let lifetime = self.settings.upload_lifetime;
        let whole = timeout(lifetime, self.receive(&mut room, bytes)).await.unwrap_or_else(|_| {
            Err(StorageError::Aborted(format!("it took longer than {} s", lifetime.as_secs())))
        })?;
        let told = Told {
            size: whole.size,
            digest: whole.digest,
            firmware: whole.firmware,
            source: Source::Internal,
            at: self.service.now(),
            by: upload.by,
        };
        let (file, ticket) = room.commit(told, self.service.random())?;
        // From here on the record may be on its way to the disk, whatever becomes of this request.
        whole.placed.keep();
        ticket.await?;
        self.service.file_added(&file);
        Ok(file)
    }

    /// Write what comes, and make it durable.
    async fn receive(
        &self,
        room: &mut Reservation<'_>,
        mut bytes: Box<dyn Pieces>,
    ) -> Result<Whole, StorageError> {
        let (folder, id) = (self.folder.clone(), room.id());
        let limit = self.service.files.bounds().file_bytes;
        let beginning = folder.clone();
        let mut incoming = blocking(move || beginning.begin(id)).await?;
        let mut batch = BytesMut::new();
        let mut total = 0;
        loop {
            let piece = poll_fn(|cx| bytes.poll_next(cx)).await;
            let piece = piece.transpose().map_err(|error| StorageError::Aborted(error.0))?;
            if let Some(piece) = &piece {
                total += piece.len() as u64;
                if total > limit {
                    return Err(StorageError::TooLarge { limit });
                }
                room.grow(piece.len() as u64)?;
                batch.extend_from_slice(piece);
            }
            if batch.len() >= WRITE_BYTES || (piece.is_none() && !batch.is_empty()) {
                self.space(batch.len() as u64).await?;
                incoming = write(incoming, batch.split().freeze()).await?;
            }
            if piece.is_none() {
                break;
            }
        }
        if incoming.size() == 0 {
            return Err(StorageError::Empty);
        }
        blocking(move || incoming.finish(&folder, id)).await
    }

    /// Refuse `more` bytes if they would leave too little on the disk.
    async fn space(&self, more: u64) -> Result<(), StorageError> {
        let folder = self.folder.clone();
        match blocking(move || folder.lacks(more)).await? {
            Some((free, needed)) => Err(StorageError::NoSpace { free, needed }),
            None => Ok(()),
        }
    }

    async fn give(&self, file: &FileRecord, range: Range<u64>) -> Result<Box<dyn Pieces>, StorageError> {
        match &file.source {
            Source::Internal => {
                let (folder, id, size) = (self.folder.clone(), file.id, file.size);
                let open = blocking(move || folder.read(id, size)).await?;
                Ok(Box::new(FilePieces::new(open, range)))
            }
            Source::Provider(remote) => {
                let provider = self.service.files.provider(remote.provider);
                let provider = provider.ok_or(FileError::UnknownProvider(remote.provider))?;
                self.remotes(&provider)?.read(remote, file.size, range).await
            }
        }
    }

    fn remotes(&self, provider: &Provider) -> Result<Remotes, StorageError> {
        Remotes::open(provider, self.service.vault(), &self.settings.outbound)
    }

    async fn forget(&self, id: FileId, expected: Option<u64>) -> Result<(), StorageError> {
        let (file, ticket) = self.service.files.remove(id, expected)?;
        ticket.await?;
        self.service.file_deleted(&file);
        if file.provider().is_none() {
            let folder = self.folder.clone();
            if let Err(error) = blocking(move || folder.remove(id)).await {
                // The next start removes it: no record knows it any more.
                tracing::warn!(file = %id, %error, "a deleted file's bytes cannot be removed");
            }
        }
        Ok(())
    }

    async fn look_around(&self, provider: &Provider) -> Result<Scan, StorageError> {
        let (listed, truncated) = self.remotes(provider)?.list(self.settings.scan_files).await?;
        let registered = self.service.files.all();
        let mut found: Vec<_> = listed
            .into_iter()
            .map(|listed| {
                let is_it = |file: &&Arc<FileRecord>| match &file.source {
                    Source::Provider(remote) => {
                        remote.provider == provider.id && *remote.path == *listed.path
                    }
                    Source::Internal => false,
                };
                let file = registered.iter().find(is_it).map(|file| file.id);
                Found {
                    unfit: self.unfit(&listed),
                    file,
                    path: listed.path,
                    size: listed.size,
                    modified: listed.modified,
                }
            })
            .collect();
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Scan { found, truncated })
    }

    /// Why phones cannot have a provider's file under its own name.
    fn unfit(&self, listed: &Listed) -> Option<String> {
        let limit = self.service.files.bounds().file_bytes;
        let name = listed.path.rsplit('/').next().unwrap_or_default();
        match name.parse::<FileName>() {
            Err(fault) => Some(format!("its name: {fault}")),
            Ok(_) if listed.size == 0 => Some("it is empty".to_owned()),
            Ok(_) if listed.size > limit => Some(format!("it has more than {limit} bytes")),
            Ok(_) => None,
        }
    }

    async fn adopt(&self, wish: RemoteFile) -> Result<Arc<FileRecord>, StorageError> {
        let provider = self.service.files.provider(wish.provider);
        let provider = provider.ok_or(FileError::UnknownProvider(wish.provider))?;
        let remotes = self.remotes(&provider)?;
        let room = self.service.files.reserve(wish.name, wish.kind, self.service.random())?;
        let listed = remotes.look(&wish.path).await?;
        let limit = self.service.files.bounds().file_bytes;
        match listed.size {
            0 => return Err(StorageError::Empty),
            size if size > limit => return Err(StorageError::TooLarge { limit }),
            _ => {}
        }
        let remote = Remote {
            provider: provider.id,
            path: listed.path.as_str().into(),
            etag: listed.etag.as_deref().map(Into::into),
            modified: listed.modified,
        };
        let size = listed.size;
        let head = edge(&remotes, &remote, size, 0..size.min(HEAD_BYTES as u64)).await?;
        let tail = edge(&remotes, &remote, size, size.saturating_sub(TAIL_BYTES as u64)..size).await?;
        let told = Told {
            size,
            digest: listed.digest(&provider),
            firmware: recognise(&head, &tail),
            source: Source::Provider(remote),
            at: self.service.now(),
            by: wish.by,
        };
        let (file, ticket) = room.commit(told, self.service.random())?;
        ticket.await?;
        self.service.file_added(&file);
        Ok(file)
    }
}

/// A few bytes of a provider's file.
async fn edge(
    remotes: &Remotes,
    remote: &Remote,
    size: u64,
    range: Range<u64>,
) -> Result<Vec<u8>, StorageError> {
    let limit = usize::try_from(range.end - range.start).unwrap_or(0);
    let mut pieces = remotes.read(remote, size, range).await?;
    gather(&mut *pieces, limit).await.map_err(|error| StorageError::Provider(error.0))
}

async fn write(mut incoming: Incoming, bytes: Bytes) -> Result<Incoming, StorageError> {
    blocking(move || {
        incoming.write(&bytes)?;
        Ok(incoming)
    })
    .await
}

/// Work for the disk, off the threads that serve connections. When its request is given up it is done all the same, and what
/// it made is dropped.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StorageError> {
    let done = spawn_blocking(work).await.map_err(io::Error::other).and_then(|done| done);
    done.map_err(|error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StorageError::NoSpace { free: 0, needed: 1 }
        }
        _ => StorageError::Folder(error.to_string()),
    })
}

impl FileStorage for Storage {
    fn upload(
        &self,
        upload: Upload,
        bytes: Box<dyn Pieces>,
    ) -> Doing<'_, Result<Arc<FileRecord>, StorageError>> {
        Box::pin(async move {
            let taken = self.take_in(upload, bytes).await;
            match &taken {
                Ok(_) => self.metrics.done(),
                Err(StorageError::Folder(_) | StorageError::NoSpace { .. } | StorageError::Aborted(_)) => {
                    self.metrics.failed();
                }
                Err(_) => self.metrics.refused(),
            }
            taken
        })
    }

    fn read(
        &self,
        file: Arc<FileRecord>,
        range: Range<u64>,
    ) -> Doing<'_, Result<Box<dyn Pieces>, StorageError>> {
        Box::pin(async move { self.give(&file, range).await })
    }

    fn delete(&self, file: FileId, expected: Option<u64>) -> Doing<'_, Result<(), StorageError>> {
        Box::pin(self.forget(file, expected))
    }

    fn address_fault(&self, url: &str) -> Option<String> {
        self.settings.outbound.fault(url)
    }

    fn scan(&self, provider: Arc<Provider>) -> Doing<'_, Result<Scan, StorageError>> {
        Box::pin(async move { self.look_around(&provider).await })
    }

    fn register(&self, file: RemoteFile) -> Doing<'_, Result<Arc<FileRecord>, StorageError>> {
        Box::pin(self.adopt(file))
    }
}
