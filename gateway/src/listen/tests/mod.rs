//! Tests of the doors: single connections in virtual time over memory pipes, whole doors over real sockets.

mod connection;
mod door;
mod recorder;
mod slow;
mod stream;

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;

use super::{BodyError, ConnInfo, Handler, RequestBody, read_body};

const BODY_LIMIT: usize = 64 * 1024;

/// Answers with what it was sent, and by path with the things a door must cope with.
pub(super) struct Echo;

impl Handler for Echo {
    type Body = Full<Bytes>;

    async fn call(&self, conn: Arc<ConnInfo>, request: Request<RequestBody>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let answer = |status: StatusCode, body: Bytes| {
            let mut response = Response::new(Full::new(body));
            *response.status_mut() = status;
            response
        };
        match path.as_str() {
            "/stuck" => std::future::pending().await,
            "/early" => return answer(StatusCode::FORBIDDEN, Bytes::from_static(b"no")),
            "/count" => {
                let mut flow = conn.flow.lock();
                let count = flow.map_or(1, |count| count + 1);
                *flow = Some(count);
                return answer(StatusCode::OK, count.to_string().into());
            }
            "/go-on" | "/over" => {
                let _ = read_body(request.into_body(), BODY_LIMIT).await;
                conn.set_in_dialogue(path == "/go-on");
                return answer(StatusCode::OK, Bytes::new());
            }
            "/long" => return answer(StatusCode::OK, vec![b'x'; 1 << 20].into()),
            _ if conn.shed().is_some() => {
                return answer(StatusCode::SERVICE_UNAVAILABLE, Bytes::from_static(b"later"));
            }
            _ => {}
        }
        match read_body(request.into_body(), BODY_LIMIT).await {
            Ok(body) => answer(StatusCode::OK, body),
            Err(BodyError::TooLarge { .. }) => answer(StatusCode::PAYLOAD_TOO_LARGE, Bytes::new()),
            Err(BodyError::Aborted(_)) => answer(StatusCode::BAD_REQUEST, Bytes::new()),
        }
    }
}
