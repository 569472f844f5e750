//! Answers of the `metrics` door: `/metrics`, `/healthz` and `/readyz` over plain HTTP.

use std::future::{Future, ready};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use super::health::{Cause, Health};
use super::metrics::Metrics;
use crate::listen::{ConnInfo, Handler, RequestBody};

/// Content type of the Prometheus text format.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// What the `metrics` door knows. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Door {
    metrics: Metrics,
    health: Health,
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    causes: Vec<Cause>,
}

impl Door {
    /// A door that shows these.
    #[must_use]
    pub fn new(metrics: Metrics, health: Health) -> Self {
        Self { metrics, health }
    }

    /// The answer to a request. `GET` and `HEAD` are known; the path comes without query.
    ///
    /// `/healthz` is 200 as long as the process answers; `/readyz` is 200, or 503 with the causes as JSON.
    #[must_use]
    pub fn respond(&self, path: &str, method: &Method) -> Response<Full<Bytes>> {
        let head = method == Method::HEAD;
        if !head && method != Method::GET {
            let mut response = answer(StatusCode::METHOD_NOT_ALLOWED, PLAIN, String::new(), false);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match path {
            "/metrics" => answer(StatusCode::OK, PROMETHEUS_TEXT, self.metrics.render(), head),
            "/healthz" => answer(StatusCode::OK, PLAIN, "alive\n".to_owned(), head),
            "/readyz" => self.readiness(head),
            _ => answer(StatusCode::NOT_FOUND, PLAIN, "/metrics, /healthz, /readyz\n".to_owned(), head),
        }
    }

    fn readiness(&self, head: bool) -> Response<Full<Bytes>> {
        let causes = self.health.causes();
        let ready = causes.is_empty();
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let body = serde_json::to_string(&Readiness { ready, causes }).unwrap_or_default();
        answer(status, JSON, body, head)
    }
}

impl Handler for Door {
    type Body = Full<Bytes>;

    /// Connections over the door's soft limit are answered like the others: an answer here is cheap, and whoever
    /// watches the node should see it when it is full.
    fn call(
        &self,
        _: Arc<ConnInfo>,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Response<Self::Body>> + Send {
        ready(self.respond(request.uri().path(), request.method()))
    }
}

/// A response whose length stands in the head, also when `HEAD` leaves the body out.
fn answer(status: StatusCode, content_type: &'static str, body: String, head: bool) -> Response<Full<Bytes>> {
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(Full::new(if head { Bytes::new() } else { Bytes::from(body) }));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn get(door: &Door, path: &str, method: Method) -> (StatusCode, String, String) {
        let response = door.respond(path, &method);
        let status = response.status();
        let length = response.headers()[CONTENT_LENGTH].to_str().unwrap().to_owned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, length, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_three_pages_and_their_limits() {
        let health = Health::starting();
        let door = Door::new(super::super::install_metrics().unwrap(), health.clone());

        let (status, _, body) = get(&door, "/readyz", Method::GET).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            body,
            r#"{"ready":false,"causes":[{"cause":"starting","detail":"the server is starting"}]}"#
        );
        health.clear("starting");
        let (status, _, body) = get(&door, "/readyz", Method::GET).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, r#"{"ready":true,"causes":[]}"#));

        assert_eq!(get(&door, "/healthz", Method::GET).await.0, StatusCode::OK);
        let (status, _, body) = get(&door, "/metrics", Method::GET).await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains("# TYPE callboard_process_cpu_seconds_total counter"), "{body}");

        let (status, length, body) = get(&door, "/healthz", Method::HEAD).await;
        assert_eq!((status, length.as_str(), body.as_str()), (StatusCode::OK, "6", ""));
        assert_eq!(get(&door, "/metrics", Method::POST).await.0, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(get(&door, "/../etc/passwd", Method::GET).await.0, StatusCode::NOT_FOUND);
    }
}
