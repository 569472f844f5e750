//! A service with everything but a network, and a client for it.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use callboard_admin_api::{AccessToken, Api, ApiSettings, CauseStatus, DoorStatus, NodeStatus, router};
use callboard_core::device::{Device, DeviceId};
use callboard_core::dialogue::wpi::Need;
use callboard_core::event::EventLimits;
use callboard_core::file::{
    BrokenPieces, Doing, FileId, FileRecord, FileStorage, Found, Pieces, Provider, Remote, RemoteFile, Scan,
    Source, StorageError, Told, Upload, recognise,
};
use callboard_core::item::ItemSetBuilder;
use callboard_core::pki::Series;
use callboard_core::policy::{AppliesTo, Template, TemplateId, TemplateKind};
use callboard_core::reach::ReachSettings;
use callboard_core::secret::{KEY_LEN, Secret, Vault};
use callboard_core::service::{CredentialSource, IssueError, Issuing, Service, Settings, Surroundings};
use callboard_core::site::Origin;
use callboard_core::store::MemoryStore;
use callboard_core::store::journal::{JournalConfig, MemoryJournal};
use callboard_core::time::{Clock, Random, Timestamp};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::sync::watch;
use tower::ServiceExt as _;

pub(crate) const TOKEN: &str = "an-administrators-token";
/// 2026-01-02T03:04:05.678Z
const NOW: u64 = 1_767_323_045_678;

struct Counter(AtomicU64);

impl Clock for Counter {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(NOW + self.0.fetch_add(1, Ordering::Relaxed))
    }
}

impl Random for Counter {
    fn next_u128(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed) + 0xabc)
    }
}

struct NoCredentials;

impl CredentialSource for NoCredentials {
    fn is_busy(&self, _: &DeviceId, _: Origin) -> bool {
        false
    }

    fn issue(&self, _: Need, _: Series, _: Origin, _: Timestamp) -> Issuing<'_> {
        Box::pin(async { Err(IssueError::Failed("none here".into())) })
    }
}

pub(crate) struct Node {
    pub(crate) draining: watch::Sender<bool>,
}

impl NodeStatus for Node {
    fn started(&self) -> Timestamp {
        Timestamp::from_millis(NOW - 60_000)
    }

    fn doors(&self) -> Vec<DoorStatus> {
        vec![DoorStatus { name: "wpi".into(), address: SocketAddr::from(([127, 0, 0, 1], 18443)) }]
    }

    fn causes(&self) -> Vec<CauseStatus> {
        let draining = *self.draining.borrow();
        let cause = CauseStatus { cause: "draining".into(), detail: "the server is stopping".into() };
        draining.then_some(cause).into_iter().collect()
    }

    fn draining(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut draining = self.draining.subscribe();
        Box::pin(async move {
            let _ = draining.wait_for(|draining| *draining).await;
        })
    }
}

/// Keeps the bytes of files in memory.
pub(crate) struct Shelf {
    service: Arc<Service>,
    bytes: Mutex<HashMap<FileId, Bytes>>,
}

/// Bytes in pieces of three.
struct Threes(Bytes);

impl Pieces for Threes {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenPieces>>> {
        let piece = self.0.split_to(self.0.len().min(3));
        Poll::Ready(Some(piece).filter(|piece| !piece.is_empty()).map(Ok))
    }
}

impl FileStorage for Shelf {
    fn upload(
        &self,
        upload: Upload,
        mut pieces: Box<dyn Pieces>,
    ) -> Doing<'_, Result<Arc<FileRecord>, StorageError>> {
        Box::pin(async move {
            let mut all = BytesMut::new();
            while let Some(piece) = poll_fn(|cx| pieces.poll_next(cx)).await {
                all.extend_from_slice(&piece.map_err(|error| StorageError::Aborted(error.0))?);
            }
            if all.len() > 100 {
                return Err(StorageError::TooLarge { limit: 100 });
            }
            let files = &self.service.files;
            let mut room = files.reserve(upload.name, upload.kind, self.service.random())?;
            let size = all.len() as u64;
            room.grow(size)?;
            let (at, by, digest) = (self.service.now(), upload.by, [0xab; 32]);
            let told =
                Told { size, digest, firmware: recognise(&all, &all), source: Source::Internal, at, by };
            let (file, ticket) = room.commit(told, self.service.random())?;
            ticket.await?;
            self.bytes.lock().unwrap().insert(file.id, all.freeze());
            Ok(file)
        })
    }

    fn read(&self, file: Arc<FileRecord>, _: Range<u64>) -> Doing<'_, Result<Box<dyn Pieces>, StorageError>> {
        let found = self.bytes.lock().unwrap().get(&file.id).cloned();
        let read = found.ok_or_else(|| StorageError::Provider("it is not there".into()));
        Box::pin(std::future::ready(read.map(|bytes| Box::new(Threes(bytes)) as Box<dyn Pieces>)))
    }

    fn delete(&self, file: FileId, expected: Option<u64>) -> Doing<'_, Result<(), StorageError>> {
        Box::pin(async move {
            let (_, ticket) = self.service.files.remove(file, expected)?;
            Ok(ticket.await?)
        })
    }

    fn address_fault(&self, url: &str) -> Option<String> {
        url.contains("127.0.0.1").then(|| "not here".into())
    }

    fn scan(&self, _: Arc<Provider>) -> Doing<'_, Result<Scan, StorageError>> {
        let found = |path: &str, unfit: Option<&str>| Found {
            path: path.into(),
            size: 7,
            modified: Timestamp::from_millis(NOW),
            unfit: unfit.map(Into::into),
            file: None,
        };
        let found = vec![found("a/bell.wav", None), found("a b", Some("its name"))];
        Box::pin(std::future::ready(Ok(Scan { found, truncated: false })))
    }

    fn register(&self, wish: RemoteFile) -> Doing<'_, Result<Arc<FileRecord>, StorageError>> {
        Box::pin(async move {
            let room = self.service.files.reserve(wish.name, wish.kind, self.service.random())?;
            let modified = Timestamp::from_millis(NOW);
            let remote = Remote { provider: wish.provider, path: wish.path.into(), etag: None, modified };
            let (at, source, digest) = (self.service.now(), Source::Provider(remote), [0xcd; 32]);
            let told = Told { size: 7, digest, firmware: None, source, at, by: wish.by };
            let (file, ticket) = room.commit(told, self.service.random())?;
            ticket.await?;
            Ok(file)
        })
    }
}

/// The API and what stands behind it.
pub(crate) struct Rig {
    pub(crate) service: Arc<Service>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) journal: Arc<MemoryJournal>,
    pub(crate) node: Arc<Node>,
    pub(crate) router: Router,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body, if the request was done.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// The problem document, if the request was refused like this.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, kind: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["type"], format!("/problems/{kind}"), "{problem}");
        assert_eq!(problem["status"], status);
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()));
        problem
    }

    /// The fields that the problem document names.
    #[track_caller]
    pub(crate) fn fields(&self, status: u16, kind: &str) -> Vec<String> {
        let problem = self.problem(status, kind);
        let errors = problem["errors"].as_array().expect("errors");
        errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        templates: 50,
        templates_per_device: 4,
        tasks_per_device: 3,
        events: EventLimits { administration: 100, trouble: 100, ..EventLimits::default() },
        reach: ReachSettings { enabled: true, ..ReachSettings::default() },
        default_pin: Secret::new("default-pin-123"),
        ..Settings::default()
    }
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(settings(), ApiSettings { page_limit: 20, ..ApiSettings::default() })
    }

    pub(crate) fn with(settings: Settings, api: ApiSettings) -> Self {
        let store = Arc::new(MemoryStore::default());
        let journal = Arc::new(MemoryJournal::new(JournalConfig::default()));
        let numbers = Arc::new(Counter(AtomicU64::new(0)));
        let around = Surroundings {
            store: store.clone(),
            vault: Arc::new(Vault::new(&[7; KEY_LEN]).unwrap()),
            clock: numbers.clone(),
            random: numbers,
            credentials: Arc::new(NoCredentials),
            journal: journal.clone(),
            notifications: Arc::new(MemoryJournal::default()),
        };
        let service = Arc::new(Service::new(around, settings));
        let node = Arc::new(Node { draining: watch::Sender::new(false) });
        let api = Api {
            service: service.clone(),
            token: AccessToken::new(TOKEN).unwrap(),
            settings: api,
            files: Arc::new(Shelf { service: service.clone(), bytes: Mutex::default() }),
            status: node.clone(),
        };
        Self { service, store, journal, node, router: router(api) }
    }

    /// Put a device into the fleet as if it had called.
    pub(crate) fn device(&self, id: &str, items: &[(&str, Option<u32>, &str)]) -> Arc<Device> {
        self.device_with(id, items, |_| {})
    }

    pub(crate) fn device_with(
        &self,
        id: &str,
        items: &[(&str, Option<u32>, &str)],
        change: impl FnOnce(&mut Device),
    ) -> Arc<Device> {
        let id: DeviceId = id.parse().unwrap();
        let made = self.service.fleet.update_detached(&id, true, |old| {
            let mut new = old.clone();
            new.revision += 1;
            new.onboarded = true;
            new.identity.device_type = "OpenStage 60".into();
            new.identity.software_type = "Siemens SIP".into();
            new.identity.software_version = "V3 R5.12.0".into();
            new.identity.e164 = "4989123".into();
            new.contacts.first = Timestamp::from_millis(NOW);
            new.contacts.last = Timestamp::from_millis(NOW);
            let mut builder = ItemSetBuilder::default();
            for (name, index, value) in items {
                builder.push(name, *index, value, None, self.service.vault()).unwrap();
            }
            new.reported = builder.build(1_000).unwrap();
            new.contacts.read = (!items.is_empty()).then_some(Timestamp::from_millis(NOW));
            change(&mut new);
            Ok(new)
        });
        made.unwrap()
    }

    /// Put a template in that sets nothing, with an id of one's choice. Gives the id.
    pub(crate) fn template(&self, id: u64) -> String {
        let template = Template {
            id: TemplateId::from_u64(id),
            revision: 0,
            name: format!("template {id}").into(),
            description: "".into(),
            kind: TemplateKind::Default,
            ranking: 1,
            device_types: Vec::new(),
            software_types: Vec::new(),
            applies_to: AppliesTo::Assigned,
            items: Vec::new(),
            created: Timestamp::default(),
            changed: Timestamp::default(),
        };
        self.service.templates.put(template, true, None).unwrap().0.id.to_string()
    }

    /// Devices `00:00:00:00:00:01` and on.
    pub(crate) fn devices(&self, count: u8) {
        for n in 1..=count {
            self.device(&format!("00:00:00:00:00:{n:02x}"), &[("sntp-addr", None, "old")]);
        }
    }

    pub(crate) async fn raw(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        // Event streams have no end.
        let endless = head.headers.get(CONTENT_TYPE).is_some_and(|value| value == "text/event-stream");
        let bytes = if endless { Bytes::default() } else { body.collect().await.unwrap().to_bytes() };
        Answer {
            status: head.status,
            headers: head.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// A request with the token, other headers, and a body if it is not null.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        self.raw(request(method, path, headers, body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], &Value::Null).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::POST, path, &[], body).await
    }

    pub(crate) async fn put(&self, path: &str, if_match: &str, body: &Value) -> Answer {
        self.ask(Method::PUT, path, &revision(if_match), body).await
    }

    pub(crate) async fn delete(&self, path: &str, if_match: &str) -> Answer {
        self.ask(Method::DELETE, path, &revision(if_match), &Value::Null).await
    }
}

fn revision(if_match: &str) -> Vec<(&str, &str)> {
    if if_match.is_empty() { Vec::new() } else { vec![("if-match", if_match)] }
}

pub(crate) fn request(method: Method, path: &str, headers: &[(&str, &str)], body: &Value) -> Request<Body> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/api/v1{path}"))
        .header(AUTHORIZATION, format!("Bearer {TOKEN}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if body.is_null() {
        return request.body(Body::empty()).unwrap();
    }
    request.header(CONTENT_TYPE, "application/json").body(Body::from(body.to_string())).unwrap()
}
