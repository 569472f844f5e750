//! Files behind a real door, and what becomes of slow and broken peers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use callboard_core::file::{
    BrokenPieces, FileBounds, FileKind, FileRecord, FileStorage as _, Pieces, StorageError, Upload,
};
use callboard_core::service::{Service, Settings};
use http::{Request, Response};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{FileBody, FileHandler, FileLimits, Outbound, Pace, Storage, StorageSettings};
use crate::listen::{ConnInfo, Door, Handler, Limits, RequestBody, Shutdown, bind, serve};
use crate::testing::surroundings;

/// A service with files in a folder of its own.
struct Rig {
    dir: TempDir,
    service: Arc<Service>,
    storage: Arc<Storage>,
}

impl Rig {
    fn new() -> Self {
        let bounds = FileBounds { files: 4, file_bytes: 1_000_000, total_bytes: 1_500_000, providers: 1 };
        let service =
            Arc::new(Service::new(surroundings(), Settings { files: bounds, ..Settings::default() }));
        let dir = tempfile::tempdir().unwrap();
        let storage = Arc::new(Storage::open(service.clone(), settings(&dir, 0), true).unwrap());
        Self { dir, service, storage }
    }

    async fn upload(
        &self,
        name: &str,
        pieces: Vec<Result<Bytes, BrokenPieces>>,
    ) -> Result<Arc<FileRecord>, StorageError> {
        let upload =
            Upload { name: name.parse().unwrap(), kind: FileKind::Ringtone, length: None, by: "a".into() };
        self.storage.upload(upload, Box::new(List(pieces))).await
    }

    /// Files in the folder, those on their way included.
    fn on_disk(&self) -> usize {
        let count = |path: std::path::PathBuf| {
            let files =
                std::fs::read_dir(path).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_file());
            files.count()
        };
        count(self.dir.path().join("files")) + count(self.dir.path().join("files/coming"))
    }
}

fn settings(dir: &TempDir, min_free_bytes: u64) -> StorageSettings {
    StorageSettings {
        folder: dir.path().join("files"),
        min_free_bytes,
        uploads: 2,
        upload_lifetime: Duration::from_mins(1),
        scan_files: 10,
        outbound: Outbound::new(false, Duration::from_secs(5), None),
    }
}

/// Pieces from a list, the first one first.
struct List(Vec<Result<Bytes, BrokenPieces>>);

impl Pieces for List {
    fn poll_next(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Bytes, BrokenPieces>>> {
        std::task::Poll::Ready(if self.0.is_empty() { None } else { Some(self.0.remove(0)) })
    }
}

fn bytes(count: u32) -> Bytes {
    (0..count).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

/// A piece for each 1,000 bytes.
fn pieces(all: &Bytes) -> Vec<Result<Bytes, BrokenPieces>> {
    all.chunks(1_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect()
}

/// The handler alone, without dialogues.
struct Files(FileHandler);

impl Handler for Files {
    type Body = crate::phones::PhoneBody;

    async fn call(&self, conn: Arc<ConnInfo>, request: Request<RequestBody>) -> Response<Self::Body> {
        let response = self.0.answer(&conn, request).await;
        let empty = || crate::phones::PhoneBody::Whole(http_body_util::Full::default());
        response.map(|body: Option<FileBody>| body.map_or_else(empty, crate::phones::PhoneBody::File))
    }
}

struct Open {
    address: SocketAddr,
    shutdown: Shutdown,
    door: JoinHandle<()>,
}

impl Open {
    fn new(rig: &Rig, pace: Pace, downloads: usize, limits: Limits) -> Self {
        let bound = bind(Door::WPI, "127.0.0.1:0".parse().unwrap(), 16).unwrap();
        let (address, shutdown) = (bound.local_addr(), Shutdown::new());
        let limits_of_files = FileLimits { downloads, ipv6_prefix: 64 };
        let handler = FileHandler::new(rig.service.clone(), rig.storage.clone(), pace, limits_of_files);
        let serving = serve(bound, None, Arc::new(limits), Arc::new(Files(handler)), shutdown.clone());
        Self { address, shutdown, door: tokio::spawn(serving) }
    }

    async fn connect(&self, method: &str, path: &str, headers: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Head and body of an answer.
    async fn ask(&self, method: &str, path: &str, headers: &str) -> (String, Vec<u8>) {
        let mut stream = self.connect(method, path, headers).await;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        (head.to_lowercase(), answer[end + 4..].to_vec())
    }

    async fn close(self) {
        self.shutdown.stop();
        self.door.await.unwrap();
    }
}

#[tokio::test]
async fn what_comes_is_kept_whole_and_what_breaks_leaves_nothing() {
    let rig = Rig::new();
    let all = bytes(300_000);
    let file = rig.upload("bell.wav", pieces(&all)).await.unwrap();
    assert_eq!((file.size, rig.on_disk()), (300_000, 1));
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &all);
    assert_eq!(&file.digest[..], digest.as_ref());

    let mut broken = pieces(&all);
    broken.truncate(200);
    broken.push(Err(BrokenPieces("the peer left".to_owned())));
    assert!(matches!(rig.upload("broken", broken).await, Err(StorageError::Aborted(_))));
    assert!(matches!(
        rig.upload("large", pieces(&bytes(1_000_001))).await,
        Err(StorageError::TooLarge { .. })
    ));
    assert!(matches!(rig.upload("empty", vec![]).await, Err(StorageError::Empty)));
    assert!(matches!(rig.upload("bell.wav", pieces(&all)).await, Err(StorageError::File(_))));
    rig.upload("second", pieces(&bytes(900_000))).await.unwrap();
    assert!(
        matches!(rig.upload("third", pieces(&bytes(400_000))).await, Err(StorageError::File(_))),
        "too much in all"
    );
    assert_eq!((rig.on_disk(), rig.service.files.all().len()), (2, 2));
    rig.upload("broken", pieces(&bytes(300_000))).await.unwrap();

    rig.storage.delete(file.id, Some(1)).await.unwrap();
    assert_eq!(rig.on_disk(), 2);
    assert!(matches!(rig.storage.delete(file.id, None).await, Err(StorageError::File(_))));
}

#[tokio::test]
async fn a_nearly_full_disk_takes_nothing() {
    let rig = Rig::new();
    let full = Storage::open(rig.service.clone(), settings(&rig.dir, u64::MAX / 2), true).unwrap();
    let upload = Upload { name: "a".parse().unwrap(), kind: FileKind::Logo, length: None, by: "a".into() };
    let refused = full.upload(upload, Box::new(List(pieces(&bytes(10))))).await;
    assert!(matches!(refused, Err(StorageError::NoSpace { .. })), "{refused:?}");
    assert_eq!((rig.on_disk(), rig.service.files.all().len()), (0, 0));
}

#[tokio::test]
async fn phones_get_files_parts_and_clear_refusals() {
    let rig = Rig::new();
    let all = bytes(100_000);
    let file = rig.upload("bell.wav", pieces(&all)).await.unwrap();
    let path = rig.service.files.path(&file).unwrap();
    let (path, tag) = (path.expose(), file.digest_text());
    let open = Open::new(&rig, Pace::new(0, 10), 10, Limits::default());

    let (head, body) = open.ask("GET", path, "").await;
    assert!(head.starts_with("http/1.1 200 ") && head.contains("content-length: 100000"), "{head}");
    assert!(!head.contains("transfer-encoding") && head.contains(&format!("etag: \"{tag}\"")), "{head}");
    assert_eq!(body, all);
    let (head, body) = open.ask("HEAD", path, "Range: bytes=0-9\r\n").await;
    assert!(head.starts_with("http/1.1 200 ") && head.contains("content-length: 100000"), "{head}");
    assert!(body.is_empty());
    let (head, body) = open.ask("GET", path, "Range: bytes=99990-\r\n").await;
    assert!(
        head.starts_with("http/1.1 206 ") && head.contains("content-range: bytes 99990-99999/100000"),
        "{head}"
    );
    assert_eq!(body, &all[99_990..]);
    let (head, body) = open.ask("GET", path, "Range: bytes=5-6\r\nIf-Range: \"other\"\r\n").await;
    assert!(head.starts_with("http/1.1 200 ") && body == all, "{head}");
    let (head, body) = open.ask("GET", path, "Range: bytes=100000-\r\n").await;
    assert!(head.starts_with("http/1.1 416 ") && head.contains("content-range: bytes */100000"), "{head}");
    assert!(body.is_empty());
    let (head, _) = open.ask("GET", path, &format!("If-None-Match: \"{tag}\"\r\n")).await;
    assert!(head.starts_with("http/1.1 304 "), "{head}");
    let (head, _) = open.ask("POST", path, "Content-Length: 0\r\n").await;
    assert!(head.starts_with("http/1.1 405 ") && head.contains("allow: get, head"), "{head}");

    let token = path.split('/').nth(2).unwrap();
    let other = format!("{}{}", &token[..31], if token.ends_with('0') { '1' } else { '0' });
    for wrong in [
        "/files/".to_owned(),
        format!("/files/{token}"),
        format!("/files/{token}/"),
        format!("/files/{token}/bell"),
        format!("/files/{token}/bell.wav/"),
        format!("/files/{token}/./bell.wav"),
        format!("/files/{token}/../{token}/bell.wav"),
        format!("/files/{token}/%62ell.wav"),
        format!("/files/{other}/bell.wav"),
        format!("/files/{}/bell.wav", token.to_uppercase()),
        format!("/files/{}", file.id),
        "/files/../../../../etc/passwd".to_owned(),
        "/files/..%2f..%2fkey".to_owned(),
    ] {
        let (head, body) = open.ask("GET", &wrong, "").await;
        assert!(head.starts_with("http/1.1 404 ") && body.is_empty(), "{wrong}: {head}");
    }

    std::fs::write(rig.dir.path().join("files").join(file.id.to_string()), "cut").unwrap();
    let (head, _) = open.ask("GET", path, "").await;
    assert!(head.starts_with("http/1.1 502 "), "{head}");
    open.close().await;
}

#[tokio::test]
async fn downloads_beyond_the_bounds_are_told_to_come_later() {
    let rig = Rig::new();
    let file = rig.upload("bell.wav", pieces(&bytes(1_000_000))).await.unwrap();
    let path = rig.service.files.path(&file).unwrap();
    // One kB per second: the first stays for the whole test.
    let open = Open::new(&rig, Pace::new(1_000, 1), 10, Limits::default());
    let mut first = open.connect("GET", path.expose(), "").await;
    first.read_u8().await.unwrap();
    let (head, _) = open.ask("GET", path.expose(), "").await;
    assert!(head.starts_with("http/1.1 503 ") && head.contains("retry-after: 30"), "{head}");
    let (head, _) = open.ask("HEAD", path.expose(), "").await;
    assert!(head.starts_with("http/1.1 200 "), "a head costs nothing: {head}");
    open.close().await;
}

/// A deleted file that a phone is fetching is sent to its end: the system keeps it as long as it is open.
#[tokio::test]
async fn a_file_that_is_deleted_meanwhile_is_sent_to_its_end() {
    let rig = Rig::new();
    let all = bytes(900_000);
    let file = rig.upload("bell.wav", pieces(&all)).await.unwrap();
    let path = rig.service.files.path(&file).unwrap();
    let open = Open::new(&rig, Pace::new(0, 1), 1, Limits::default());
    let mut stream = open.connect("GET", path.expose(), "").await;
    let mut answer = vec![stream.read_u8().await.unwrap()];
    rig.storage.delete(file.id, None).await.unwrap();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.ends_with(&all));
    assert!(open.ask("GET", path.expose(), "").await.0.starts_with("http/1.1 404 "));
    open.close().await;
}
