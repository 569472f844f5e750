//! Providers through `object_store`: lists of their files, and their bytes.

use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use callboard_core::file::{BrokenPieces, Pieces, Place, Provider, Remote, StorageError};
use callboard_core::secret::{Sealed, Secret, Vault};
use callboard_core::time::Timestamp;
use http::HeaderValue;
use object_store::aws::AmazonS3Builder;
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{
    ClientOptions, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _, RetryConfig,
};
use tokio_stream::{Stream, StreamExt as _};

use super::outbound::Outbound;

/// A provider that can be asked.
pub(super) struct Remotes {
    store: Box<dyn ObjectStore>,
    /// The folder of a web server: lists name paths from the server's root, reads take them from the folder. Folders inside are
    /// not listed.
    folder: Option<Path>,
}

/// A file at a provider.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) etag: Option<String>,
    pub(super) modified: Timestamp,
}

impl Listed {
    fn of(meta: ObjectMeta) -> Self {
        let modified = u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or(0);
        Self {
            path: meta.location.to_string(),
            size: meta.size,
            etag: meta.e_tag,
            modified: Timestamp::from_millis(modified),
        }
    }

    /// What tells this file from what the provider may have under its path at another time.
    pub(super) fn digest(&self, provider: &Provider) -> [u8; 32] {
        let Self { path, size, etag, modified } = self;
        let text = format!(
            "{}\0{path}\0{size}\0{}\0{}",
            provider.id,
            etag.as_deref().unwrap_or(""),
            modified.as_millis()
        );
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
        bytes
    }
}

fn fault(error: &object_store::Error) -> StorageError {
    StorageError::Provider(reason(error))
}

/// The whole chain of reasons, each once: the middle ones often repeat the inner ones.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut inner = error.source();
    while let Some(error) = inner {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        inner = error.source();
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect()
}

impl Remotes {
    /// Prepare to ask; nothing is sent yet.
    pub(super) fn open(
        provider: &Provider,
        vault: &Vault,
        outbound: &Outbound,
    ) -> Result<Self, StorageError> {
        if let Some(reason) = outbound.fault(provider.place.url()) {
            return Err(StorageError::Forbidden(reason));
        }
        let open = |sealed: &Option<Sealed>| {
            let opened = sealed.as_ref().map(|sealed| vault.open(sealed)).transpose();
            opened.map_err(|error| StorageError::File(error.into()))
        };
        // Time-outs are the connector's; whoever asked may ask again.
        let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        match &provider.place {
            Place::Http { url, username, password } => {
                let authorization = basic(username, open(password)?.as_ref());
                // With a slash at its end the paths of files would have two.
                let url = url.trim_end_matches('/');
                let root = url.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
                let folder = Path::from_url_path(root.map_or("", |(_, path)| path));
                let folder = folder.map_err(|error| StorageError::Provider(error.to_string()))?;
                let store = HttpBuilder::new()
                    .with_url(url)
                    .with_client_options(ClientOptions::new().with_allow_http(true))
                    .with_retry(retry)
                    .with_http_connector(outbound.connector(authorization))
                    .build();
                Ok(Self { store: Box::new(store.map_err(|error| fault(&error))?), folder: Some(folder) })
            }
            Place::S3 { url, bucket, region, access_key, secret } => {
                let builder = AmazonS3Builder::new()
                    .with_endpoint(url.trim_end_matches('/'))
                    .with_bucket_name(&**bucket)
                    .with_region(&**region)
                    .with_virtual_hosted_style_request(false)
                    .with_client_options(ClientOptions::new().with_allow_http(true))
                    .with_retry(retry)
                    .with_http_connector(outbound.connector(None));
                let builder = match open(secret)? {
                    Some(secret) => {
                        builder.with_access_key_id(&**access_key).with_secret_access_key(secret.expose())
                    }
                    None => builder.with_skip_signature(true),
                };
                Ok(Self { store: Box::new(builder.build().map_err(|error| fault(&error))?), folder: None })
            }
        }
    }

    /// Its files, at most `limit`, and whether there are more.
    pub(super) async fn list(&self, limit: usize) -> Result<(Vec<Listed>, bool), StorageError> {
        if let Some(folder) = &self.folder {
            let list = self.store.list_with_delimiter(None).await.map_err(|error| fault(&error))?;
            let inside = |meta: ObjectMeta| {
                let location: Path = meta.location.prefix_match(folder)?.collect();
                Some(Listed::of(ObjectMeta { location, ..meta }))
            };
            let more = list.objects.len() > limit;
            return Ok((list.objects.into_iter().filter_map(inside).take(limit).collect(), more));
        }
        let mut list = self.store.list(None);
        let mut found = Vec::new();
        while let Some(meta) = list.next().await {
            let meta = meta.map_err(|error| fault(&error))?;
            if found.len() == limit {
                return Ok((found, true));
            }
            found.push(Listed::of(meta));
        }
        Ok((found, false))
    }

    /// What it says of one file.
    pub(super) async fn look(&self, path: &str) -> Result<Listed, StorageError> {
        let meta = self.store.head(&parse(path)?).await.map_err(|error| fault(&error))?;
        Ok(Listed::of(meta))
    }

    /// Bytes of a file that must be the one that was registered. A provider that knows no ranges gives all of it, of which the
    /// part is taken.
    pub(super) async fn read(
        &self,
        remote: &Remote,
        size: u64,
        range: Range<u64>,
    ) -> Result<Box<dyn Pieces>, StorageError> {
        let path = parse(&remote.path)?;
        // A weak tag never matches (RFC 9110, section 13.1.1).
        let if_match = remote.etag.as_deref().filter(|tag| !tag.starts_with("W/")).map(str::to_owned);
        let whole = range == (0..size);
        let options = GetOptions {
            if_match,
            range: (!whole).then(|| GetRange::Bounded(range.clone())),
            ..GetOptions::default()
        };
        let result = match self.store.get_opts(&path, options.clone()).await {
            Err(object_store::Error::NotSupported { .. }) if !whole => {
                self.store.get_opts(&path, GetOptions { range: None, ..options }).await
            }
            other => other,
        };
        let result = result.map_err(|error| fault(&error))?;
        let now = Listed::of(result.meta.clone());
        let other_tag = remote.etag.is_some() && now.etag.as_deref() != remote.etag.as_deref();
        let other_time = remote.etag.is_none() && now.modified != remote.modified;
        if now.size != size || other_tag || other_time {
            let text =
                format!("{} has changed since it was registered; register it under a new name", remote.path);
            return Err(StorageError::Provider(text));
        }
        let skip = range.start.saturating_sub(result.range.start);
        let left = range.end - range.start;
        Ok(Box::new(RemotePieces { stream: result.into_stream(), skip, left }))
    }
}

fn basic(username: &str, password: Option<&Secret>) -> Option<HeaderValue> {
    if username.is_empty() {
        return None;
    }
    let pair = Secret::new(format!("{username}:{}", password.map_or("", |password| password.expose())));
    let text = Secret::new(format!("Basic {}", BASE64.encode(pair.expose())));
    let mut value = HeaderValue::from_str(text.expose()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn parse(path: &str) -> Result<Path, StorageError> {
    Path::parse(path).map_err(|error| StorageError::Provider(error.to_string()))
}

type Bytestream = Pin<Box<dyn Stream<Item = object_store::Result<Bytes>> + Send>>;

/// Bytes of a provider's file, as they come.
struct RemotePieces {
    stream: Bytestream,
    /// Bytes in front that nobody wants.
    skip: u64,
    left: u64,
}

impl Pieces for RemotePieces {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenPieces>>> {
        while self.left > 0 {
            let Poll::Ready(next) = self.stream.as_mut().poll_next(cx) else { return Poll::Pending };
            let mut piece = match next {
                Some(Ok(piece)) => piece,
                Some(Err(error)) => return Poll::Ready(Some(Err(BrokenPieces(reason(&error))))),
                None => {
                    return Poll::Ready(Some(Err(BrokenPieces("the provider sent too little".to_owned()))));
                }
            };
            let skipped = self.skip.min(piece.len() as u64);
            self.skip -= skipped;
            let piece = piece.split_off(usize::try_from(skipped).unwrap_or(piece.len()));
            let wanted = self.left.min(piece.len() as u64);
            let piece = piece.slice(..usize::try_from(wanted).unwrap_or(piece.len()));
            self.left -= wanted;
            if !piece.is_empty() {
                return Poll::Ready(Some(Ok(piece)));
            }
        }
        Poll::Ready(None)
    }
}
