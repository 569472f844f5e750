//! Polls of phones (WPI reference, section 9), answered from the pushed set.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;

use super::Waiting;
use super::figures::{Figures, PollAnswer};
use crate::listen::{ConnInfo, Handler, RequestBody};

/// Longest device id in a poll.
const ID_BYTES: usize = 64;

/// Answers polls at the edge's door `dcmp`.
pub struct Polls {
    waiting: Arc<dyn Waiting>,
    figures: Arc<Figures>,
}

impl std::fmt::Debug for Polls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Polls").finish_non_exhaustive()
    }
}

impl Polls {
    pub(super) fn new(waiting: Arc<dyn Waiting>, figures: Arc<Figures>) -> Self {
        Self { waiting, figures }
    }

    fn answer(&self, method: &Method, path: &str, query: &str) -> StatusCode {
        let answer = match (path.ends_with("/contact-me"), method) {
            (false, _) => Err(StatusCode::NOT_FOUND),
            (true, &Method::GET | &Method::HEAD) => device(query).ok_or(StatusCode::BAD_REQUEST),
            (true, _) => Err(StatusCode::METHOD_NOT_ALLOWED),
        };
        let (answer, status) = match answer {
            Err(status) => (PollAnswer::Bad, status),
            // Whether a device is known at all is not told: 200 (section 9.4).
            Ok(device) if self.waiting.is_waiting(&device) => (PollAnswer::Waiting, StatusCode::ACCEPTED),
            Ok(_) => (PollAnswer::Idle, StatusCode::OK),
        };
        self.figures.poll(answer);
        status
    }
}

impl Handler for Polls {
    type Body = Full<Bytes>;

    async fn call(&self, _: Arc<ConnInfo>, request: Request<RequestBody>) -> Response<Full<Bytes>> {
        let uri = request.uri();
        let status = self.answer(request.method(), uri.path(), uri.query().unwrap_or_default());
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}

/// The value of `device-id`, decoded; `None` if it is missing or too long.
fn device(query: &str) -> Option<String> {
    let raw = query.split('&').find_map(|pair| pair.strip_prefix("device-id="))?;
    let mut bytes = Vec::with_capacity(ID_BYTES);
    let mut rest = raw.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let (byte, after) = match (first, after) {
            (b'%', [high, low, after @ ..]) => (hex(*high)? << 4 | hex(*low)?, after),
            (b'%', _) => return None,
            (byte, after) => (*byte, after),
        };
        if bytes.len() == ID_BYTES {
            return None;
        }
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).ok().filter(|id| !id.is_empty())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use callboard_codecs::edge::IdList;

    use super::*;
    use crate::edge::branch::PendingIds;

    #[test]
    fn polls_are_answered_in_all_spellings() {
        let pending = Arc::new(PendingIds::new(10));
        let mut list = IdList::default();
        assert!(list.push("00:1a:e8:0a:0b:0c"));
        assert!(pending.full(1, 1, (true, true), list.ids()));
        let polls = Polls::new(pending, Arc::new(Figures::new()));
        let get = |query: &str| polls.answer(&Method::GET, "/dcmp/contact-me", query).as_u16();
        for id in ["00:1A:E8:0A:0B:0C", "00%3A1a%3ae8%3A0a%3A0b%3A0c", "00-1a-e8-0a-0b-0c", "001AE80A0B0C"] {
            assert_eq!(get(&format!("device-id={id}")), 202, "{id}");
            assert_eq!(get(&format!("x=1&device-id={id}&y")), 202, "{id}");
        }
        assert_eq!(get("device-id=00:1a:e8:0a:0b:0d"), 200);
        assert_eq!(get(&format!("device-id={}", "x".repeat(64))), 200);
        for bad in ["", "device-id=", "device=1", "device-id=%", "device-id=%zz", "device-id=%ff"] {
            assert_eq!(get(bad), 400, "{bad}");
        }
        assert_eq!(get(&format!("device-id={}", "x".repeat(65))), 400);
        let query = "device-id=001AE80A0B0C";
        assert_eq!(polls.answer(&Method::HEAD, "/contact-me", query), StatusCode::ACCEPTED);
        assert_eq!(polls.answer(&Method::POST, "/contact-me", query), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(polls.answer(&Method::GET, "/contact", query), StatusCode::NOT_FOUND);
    }
}
