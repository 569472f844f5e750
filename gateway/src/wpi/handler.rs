//! One request: read, parse, ask the service, write.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use callboard_codecs::wpi::{Action, Limits, PhoneMessage, parse_phone_message};
use callboard_core::dialogue::sessions::Cookie;
use callboard_core::dialogue::wpi::Door;
use callboard_core::event::{EventDraft, EventKind};
use callboard_core::service::{OverloadCause, Sender, Service, WpiRequest, WpiResponse, device_of};
use callboard_core::site::SiteId;
use foldhash::fast::RandomState;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Body as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::Instrument as _;

use super::cookie::{self, Cookies};
use super::metrics::WpiMetrics;
use crate::listen::{BodyError, ConnInfo, Handler, RequestBody, Shed, read_body};

/// Which door a handler serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Any phone.
    Default,
    /// Phones with a client certificate.
    Secure,
}

/// Bounds on requests.
#[derive(Clone, Debug)]
pub struct WpiLimits {
    /// Bounds on messages.
    pub message: Limits,
    /// Bytes of a request body.
    pub body_bytes: usize,
    /// Room for bodies that are larger than a phone's message may be, of all doors together.
    pub large_bodies: Arc<LargeBodies>,
    /// Request paths that are served.
    pub paths: Vec<String>,
    /// Close connections after `CleanUp`.
    pub close_after_clean_up: bool,
}

/// Bytes of a body up to which it needs no room of [`LargeBodies`]: a phone splits what is over 50 kB.
const SMALL_BODY_BYTES: usize = 65_536;
/// Bytes of one permit.
const ROOM_UNIT_BYTES: usize = 1_024;

/// Room for request bodies that are larger than phones send them. Peers that announce such bodies and withhold them
/// fill this room, and nothing else.
#[derive(Debug)]
pub struct LargeBodies(Semaphore);

impl LargeBodies {
    /// Room for this many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(Semaphore::new((bytes / ROOM_UNIT_BYTES).min(Semaphore::MAX_PERMITS)))
    }

    /// Room for a body of at most `bytes`; `None` if there is not enough.
    pub(super) fn take(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        self.0.try_acquire_many(u32::try_from(bytes.div_ceil(ROOM_UNIT_BYTES)).ok()?).ok()
    }
}

/// Serves phones at one door.
pub struct WpiHandler {
    service: Arc<Service>,
    mode: Mode,
    limits: WpiLimits,
    metrics: WpiMetrics,
    hasher: RandomState,
}

impl std::fmt::Debug for WpiHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WpiHandler").field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// A response body that fits most replies; larger ones grow it.
const REPLY_BYTES: usize = 512;

impl WpiHandler {
    /// A handler for the door of this mode.
    pub fn new(service: Arc<Service>, mode: Mode, limits: WpiLimits) -> Self {
        let metrics = WpiMetrics::new(match mode {
            Mode::Default => "wpi",
            Mode::Secure => "wpi_secure",
        });
        Self { service, mode, limits, metrics, hasher: RandomState::default() }
    }

    async fn answer(&self, conn: &ConnInfo, request: Request<RequestBody>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        if !self.limits.paths.iter().any(|path| path == head.uri.path()) {
            return self.reject("path", StatusCode::BAD_REQUEST);
        }
        if head.method != Method::POST {
            return self.reject("method", StatusCode::BAD_REQUEST);
        }
        let Some(door) = self.door(conn) else {
            return self.reject("certificate", StatusCode::BAD_REQUEST);
        };
        // Asked in any case, so that every request is counted.
        let in_budget = conn.take_request();
        let shed = match conn.shed() {
            Some(Shed::Limit) => Some(OverloadCause::Connections),
            Some(Shed::Draining) => Some(OverloadCause::Draining),
            None => (!in_budget).then_some(OverloadCause::SourceRequests),
        };
        // Whoever is inside a flow may end it. The flow that the connection remembers may be over.
        let is_small = shed.is_some() && !conn.in_dialogue();
        let limit = if is_small { SMALL_BODY_BYTES } else { self.limits.body_bytes };
        // A body of unknown length may become as long as is allowed.
        let announced =
            body.size_hint().upper().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(limit);
        let room = if announced > SMALL_BODY_BYTES && announced <= limit {
            match self.limits.large_bodies.take(announced) {
                Some(room) => Some(room),
                None => return self.reject("no_room_for_body", StatusCode::SERVICE_UNAVAILABLE),
            }
        } else {
            None
        };
        let read = read_body(body, limit).await;
        let body = match read {
            Ok(body) => body,
            Err(BodyError::TooLarge { .. }) => {
                return self.reject("body_too_large", StatusCode::PAYLOAD_TOO_LARGE);
            }
            Err(BodyError::Aborted(_)) => return self.reject("body_aborted", StatusCode::BAD_REQUEST),
        };
        let message = match parse_phone_message(&body, &self.limits.message) {
            Ok(message) => message,
            Err(error) => {
                tracing::debug!(conn = conn.id, %error, "not a WPI message");
                self.metrics.unreadable(error.kind);
                return plain(StatusCode::BAD_REQUEST);
            }
        };
        let _until_answered = room;
        let cookies = cookie::read(&head.headers);
        // At the level of what must never lack it. The service fills in the flow when it has found it.
        let span = tracing::warn_span!("flow", conn = conn.id, flow = tracing::field::Empty);
        let digest = self.hasher.hash_one(&*body);
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        self.dialogue(conn, &door, (host, cookies), &message, digest, shed).instrument(span).await
    }

    async fn dialogue(
        &self,
        conn: &ConnInfo,
        door: &Door,
        (host, cookies): (Option<&str>, Cookies),
        message: &PhoneMessage<'_>,
        digest: u64,
        shed: Option<OverloadCause>,
    ) -> Response<Full<Bytes>> {
        let began = Instant::now();
        let connection = conn.flow.lock().map(Cookie::from_u128);
        let request = WpiRequest {
            message,
            door,
            source: conn.peer.ip(),
            host,
            digest,
            cookie: cookies.ours,
            has_cookie: cookies.any,
            connection,
            sender: conn,
            shed,
        };
        let response = self.service.wpi(request).await;
        if let Some(flow) = response.flow {
            *conn.flow.lock() = Some(flow.as_u128());
        }
        conn.set_in_dialogue(!matches!(response.reply.action, Action::CleanUp | Action::Restart));
        self.metrics.request(&message.reason, response.outcome, response.reply.action, began.elapsed());
        if let Some(took) = response.flow_time {
            self.metrics.flow(took);
        }
        if message.ignored.total() > 0 {
            self.metrics.ignored(&message.ignored);
        }
        tracing::trace!(
            reason = message.reason.as_label(),
            items = message.items.len(),
            outcome = response.outcome.as_str(),
            action = response.reply.action.as_str(),
            "message"
        );
        self.write(conn.peer.ip(), message, &response)
    }

    pub(super) fn write(
        &self,
        source: IpAddr,
        message: &PhoneMessage<'_>,
        answer: &WpiResponse,
    ) -> Response<Full<Bytes>> {
        let mut body = Vec::with_capacity(REPLY_BYTES);
        if let Err(error) = answer.reply.write(message.nonce, &mut body) {
            // Policy only plans what fits, so this is a fault of ours: the phone is let go, and somebody is told.
            tracing::error!(%source, %error, action = answer.reply.action.as_str(), "a reply cannot be written");
            let text = format!("a reply to {source} cannot be written: {error}");
            let device = device_of(message);
            self.service.record(EventDraft { device, ..EventDraft::node(EventKind::ReplyUnwritable, text) });
            return self.reject("unwritable_reply", StatusCode::INTERNAL_SERVER_ERROR);
        }
        let mut response = Response::new(Full::new(Bytes::from(body)));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
        if let Some(value) = answer.set_cookie.and_then(cookie::set) {
            headers.insert(header::SET_COOKIE, value);
        }
        if answer.reply.action == Action::CleanUp && self.limits.close_after_clean_up {
            // The connection ends with the flow (WPI reference, section 5.2).
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// The door, with what the certificate says.
    fn door(&self, conn: &ConnInfo) -> Option<Door> {
        match self.mode {
            Mode::Default => Some(Door::Default),
            Mode::Secure => {
                let client = conn.client.as_ref()?;
                Some(Door::Secure { device: client.device.clone(), serial: client.serial.clone() })
            }
        }
    }

    fn reject(&self, cause: &'static str, status: StatusCode) -> Response<Full<Bytes>> {
        self.metrics.rejected(cause);
        plain(status)
    }
}

/// A response without body, after which the connection closes.
fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

impl Sender for ConnInfo {
    fn is_exempt(&self) -> bool {
        ConnInfo::is_exempt(self)
    }

    fn may_bring_device(&self) -> bool {
        self.take_new_device()
    }

    fn site(&self) -> Option<SiteId> {
        self.site
    }
}

impl Handler for WpiHandler {
    type Body = Full<Bytes>;

    async fn call(&self, conn: Arc<ConnInfo>, request: Request<RequestBody>) -> Response<Self::Body> {
        self.answer(&conn, request).await
    }

    fn open_dialogues(&self) -> Option<usize> {
        Some(self.service.open_flows())
    }
}
