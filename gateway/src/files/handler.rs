//! `GET /files/<token>/<name>` at the phones' doors.

use std::ops::Range;
use std::sync::Arc;

use callboard_core::file::{FileRecord, FileStorage, FileToken};
use callboard_core::service::Service;
use http::header::{
    ACCEPT_RANGES, ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RETRY_AFTER,
};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use tokio::sync::Semaphore;

use super::body::FileBody;
use super::metrics::{Download, FileMetrics, Outcome};
use super::pace::{Pace, Payer};
use super::range::{Part, has_it, part};
use crate::listen::{ConnInfo, RequestBody, Source};

/// What files' paths begin with.
const PREFIX: &str = "/files/";
/// Seconds after which a refused phone may ask again.
const RETRY: u16 = 30;

/// Bounds on downloads.
#[derive(Clone, Copy, Debug)]
pub struct FileLimits {
    /// Downloads under way.
    pub downloads: usize,
    /// Leading bits that tell IPv6 sources apart.
    pub ipv6_prefix: u32,
}

/// Gives files to phones. One serves all doors.
pub struct FileHandler {
    service: Arc<Service>,
    storage: Arc<dyn FileStorage>,
    pace: Arc<Pace>,
    places: Arc<Semaphore>,
    ipv6_prefix: u32,
    metrics: Arc<FileMetrics>,
}

impl std::fmt::Debug for FileHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileHandler").field("pace", &self.pace).finish_non_exhaustive()
    }
}

/// An answer: with the bytes of a file, or none at all.
pub(crate) type FileResponse = Response<Option<FileBody>>;

impl FileHandler {
    /// A handler that gives what `storage` reads at this pace.
    pub fn new(service: Arc<Service>, storage: Arc<dyn FileStorage>, pace: Pace, limits: FileLimits) -> Self {
        Self {
            service,
            storage,
            pace: Arc::new(pace),
            places: Arc::new(Semaphore::new(limits.downloads.min(Semaphore::MAX_PERMITS))),
            ipv6_prefix: limits.ipv6_prefix,
            metrics: FileMetrics::new(limits.downloads),
        }
    }

    /// Whether a request with this path is for files.
    pub(crate) fn serves(path: &str) -> bool {
        path.starts_with(PREFIX)
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, conn: &ConnInfo, request: Request<RequestBody>) -> FileResponse {
        // Asked in any case, so that every request is counted.
        let in_budget = conn.take_request();
        if conn.shed().is_some() || !in_budget {
            return self.later(Outcome::Shed);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = self.plain(Outcome::Method, StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let Some(file) = self.find(request.uri().path()) else {
            return self.plain(Outcome::NotFound, StatusCode::NOT_FOUND);
        };
        let tag = file.digest_text();
        if has_it(request.headers(), &tag) {
            let mut response = self.plain(Outcome::NotModified, StatusCode::NOT_MODIFIED);
            put(&mut response, ETAG, &format!("\"{tag}\""));
            return response;
        }
        if request.method() == Method::HEAD {
            let mut response = self.plain(Outcome::Head, StatusCode::OK);
            describe(&mut response, &file, &tag);
            put(&mut response, CONTENT_LENGTH, &file.size.to_string());
            return response;
        }
        match part(request.headers(), file.size, &tag) {
            Part::Whole => {
                let whole = 0..file.size;
                self.send(conn, file, &tag, whole, Outcome::Full).await
            }
            Part::Bytes(range) => {
                let size = file.size;
                let mut response = self.send(conn, file, &tag, range.clone(), Outcome::Partial).await;
                if response.status() == StatusCode::OK {
                    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                    put(
                        &mut response,
                        CONTENT_RANGE,
                        &format!("bytes {}-{}/{size}", range.start, range.end - 1),
                    );
                }
                response
            }
            Part::Unsatisfiable => {
                let mut response = self.plain(Outcome::Range, StatusCode::RANGE_NOT_SATISFIABLE);
                put(&mut response, CONTENT_RANGE, &format!("bytes */{}", file.size));
                response
            }
        }
    }

    /// The file of a path. The name is compared with that of the file and is never part of a path on the disk.
    fn find(&self, path: &str) -> Option<Arc<FileRecord>> {
        let (token, name) = path.strip_prefix(PREFIX)?.split_once('/')?;
        self.service.files.open(&FileToken::parse(token)?, name)
    }

    async fn send(
        &self,
        conn: &ConnInfo,
        file: Arc<FileRecord>,
        tag: &str,
        range: Range<u64>,
        outcome: Outcome,
    ) -> FileResponse {
        let payer = if conn.is_exempt() {
            Payer::Connection(conn.id)
        } else {
            Payer::Source(Source::of(conn.origin(), self.ipv6_prefix))
        };
        let (Some(share), Ok(place)) = (self.pace.join(payer), Arc::clone(&self.places).try_acquire_owned())
        else {
            return self.later(Outcome::Busy);
        };
        let length = range.end - range.start;
        let pieces = match self.storage.read(Arc::clone(&file), range).await {
            Ok(pieces) => pieces,
            Err(error) => {
                tracing::warn!(file = %file.id, name = %file.name, %error, "a phone cannot have a file");
                return self.plain(Outcome::Failed, StatusCode::BAD_GATEWAY);
            }
        };
        self.metrics.request(outcome);
        tracing::debug!(conn = conn.id, source = %conn.peer.ip(), file = %file.id, name = %file.name, "download");
        let download = Download::begin(&self.metrics, file.id, conn.id, place);
        let mut response = Response::new(Some(FileBody::new(pieces, length, share, download)));
        describe(&mut response, &file, tag);
        response
    }

    fn plain(&self, outcome: Outcome, status: StatusCode) -> FileResponse {
        self.metrics.request(outcome);
        let mut response = Response::new(None);
        *response.status_mut() = status;
        response
    }

    /// "Come again", after which the connection closes.
    fn later(&self, outcome: Outcome) -> FileResponse {
        let mut response = self.plain(outcome, StatusCode::SERVICE_UNAVAILABLE);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY));
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

fn describe(response: &mut FileResponse, file: &FileRecord, tag: &str) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(file.name.as_str())));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    put(response, ETAG, &format!("\"{tag}\""));
}

/// What the ending of a name says; phones go by the item `file-type`.
fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).as_deref() {
        Some("wav") => "audio/x-wav",
        Some("mp3") => "audio/mpeg",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("bmp") => "image/bmp",
        _ => "application/octet-stream",
    }
}

fn put(response: &mut FileResponse, name: HeaderName, value: &str) {
    // Digits, hexadecimal digits and quotes: always a header's value.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
