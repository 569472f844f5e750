//! The administration door: the one place where the admin API and the gateway meet.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use callboard::listen::{ConnInfo, Handler, RequestBody, TowerHandler};
use callboard::node::AdminParts;
use callboard_admin_api::{
    AccessToken, Api, ApiSettings, CauseStatus, Client, DoorStatus, NodeStatus, is_upload, router,
};
use callboard_core::time::Timestamp;
use http::{Request, Response};

use crate::throttle::{Bounds, Throttled};

/// Time that an upload has after its last byte: it is made durable then.
const UPLOAD_END: Duration = Duration::from_secs(30);

/// The handler of the administration door.
pub(crate) fn handler(parts: AdminParts) -> anyhow::Result<Throttled<Introduced<TowerHandler<Router>>>> {
    callboard_admin_api::describe_metrics();
    let config = parts.config.clone();
    let settings = ApiSettings {
        node_name: node_name(&config.node.name),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        page_limit: config.admin.page_limit,
        request_timeout: config.admin.request_timeout,
        body_bytes: config.admin.body_bytes,
        event_streams: config.admin.event_streams,
        concurrent_requests: config.admin.concurrent_requests,
        concurrent_scans: config.admin.concurrent_scans,
        upload_timeout: config.files.upload_lifetime.saturating_add(UPLOAD_END),
    };
    let api = Api {
        service: parts.service.clone(),
        token: AccessToken::new(parts.token.expose()).context("the administrator's token")?,
        settings,
        files: parts.files.clone(),
        status: Arc::new(Status(parts)),
    };
    let bounds = Bounds {
        wrong_tokens: config.admin.wrong_tokens,
        window: config.admin.wrong_tokens_window,
        sources: config.admin.wrong_tokens_sources,
        ipv6_prefix: config.ipv6_prefix(),
    };
    // Who opens the door's address in a browser is led to what it offers.
    let routes = router(api).route("/", get(|| async { Redirect::temporary("/api/v1/docs") }));
    Ok(Throttled::new(Introduced(TowerHandler(routes)), bounds))
}

/// Tells the API where a request comes from, and the connection whether it brings a file: such a body may take as long as
/// it goes on coming. Nothing of a body is read before the token was looked at.
#[derive(Debug)]
pub(crate) struct Introduced<H>(H);

impl<H: Handler> Handler for Introduced<H> {
    type Body = H::Body;

    async fn call(&self, conn: Arc<ConnInfo>, mut request: Request<RequestBody>) -> Response<H::Body> {
        request.extensions_mut().insert(Client(conn.peer.ip()));
        conn.expect_long_body(is_upload(request.method(), request.uri().path()));
        self.0.call(conn, request).await
    }
}

/// The configured name, or the host's.
fn node_name(configured: &str) -> String {
    if !configured.is_empty() {
        return configured.to_owned();
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    if host.is_empty() { "callboard".to_owned() } else { host.to_owned() }
}

struct Status(AdminParts);

impl NodeStatus for Status {
    fn started(&self) -> Timestamp {
        self.0.started
    }

    fn doors(&self) -> Vec<DoorStatus> {
        let door = |(name, address): &(&str, _)| DoorStatus { name: (*name).to_owned(), address: *address };
        self.0.doors.iter().map(door).collect()
    }

    fn causes(&self) -> Vec<CauseStatus> {
        let causes = self.0.health.causes();
        causes
            .into_iter()
            .map(|cause| CauseStatus { cause: cause.cause.to_owned(), detail: cause.detail })
            .collect()
    }

    fn draining(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let shutdown = self.0.shutdown.clone();
        Box::pin(async move { shutdown.draining().await })
    }
}
