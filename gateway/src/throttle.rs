//! Slows down who guesses the administrator's token.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use callboard::listen::{ConnInfo, Handler, RequestBody, Source};
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode};
use metrics::{Counter, counter, describe_counter};
use parking_lot::Mutex;
use tokio::time::Instant;

/// How much guessing is allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Wrong tokens of one source within the window; after that it gets no hearing until the window ends.
    pub(crate) wrong_tokens: usize,
    /// The window, from a source's first wrong token on.
    pub(crate) window: Duration,
    /// Sources remembered. When there are more, the one whose window ends first is forgotten.
    pub(crate) sources: usize,
    /// Leading bits that tell IPv6 sources apart.
    pub(crate) ipv6_prefix: u32,
}

const REFUSED: &str = "callboard_admin_throttled_total";
const PROBLEM: &str = r#"{"type":"/problems/too-many-wrong-tokens","title":"Too many wrong tokens","status":429,"detail":"wait as long as Retry-After says"}"#;

/// A handler that does not look at requests of a source which has just sent many wrong tokens.
#[derive(Debug)]
pub(crate) struct Throttled<H> {
    inner: H,
    ipv6_prefix: u32,
    guesses: Mutex<Guesses>,
    refused: Counter,
}

impl<H> Throttled<H> {
    /// Puts the throttle before `inner`. The recorder of metrics must be installed.
    pub(crate) fn new(inner: H, bounds: Bounds) -> Self {
        describe_counter!(
            REFUSED,
            "Administration requests refused unseen after many wrong tokens of their source."
        );
        let refused = counter!(REFUSED);
        refused.increment(0);
        Self { inner, ipv6_prefix: bounds.ipv6_prefix, guesses: Mutex::new(Guesses::new(bounds)), refused }
    }
}

impl<H: Handler<Body = Body>> Handler for Throttled<H> {
    type Body = Body;

    async fn call(&self, conn: Arc<ConnInfo>, request: Request<RequestBody>) -> Response<Body> {
        if conn.is_exempt() {
            // Behind a reverse proxy one guesser would shut out the administrator.
            return self.inner.call(conn, request).await;
        }
        let source = Source::of(conn.origin(), self.ipv6_prefix);
        if let Some(left) = self.guesses.lock().banned(source, Instant::now()) {
            self.refused.increment(1);
            return refusal(left);
        }
        let guess = request.headers().contains_key(AUTHORIZATION);
        let response = self.inner.call(conn, request).await;
        if guess && response.status() == StatusCode::UNAUTHORIZED {
            self.guesses.lock().wrong(source, Instant::now());
        }
        response
    }
}

fn refusal(left: Duration) -> Response<Body> {
    let mut response = Response::new(Body::from(PROBLEM));
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(RETRY_AFTER, HeaderValue::from(left.as_secs() + 1));
    response
}

/// Wrong tokens by source: how many, since when.
#[derive(Debug)]
struct Guesses {
    bounds: Bounds,
    by_source: HashMap<Source, (usize, Instant)>,
}

impl Guesses {
    fn new(bounds: Bounds) -> Self {
        Self { bounds, by_source: HashMap::new() }
    }

    /// How long the source has to wait, if it has to.
    fn banned(&self, source: Source, now: Instant) -> Option<Duration> {
        let (count, since) = self.by_source.get(&source)?;
        let left =
            self.bounds.window.checked_sub(now.duration_since(*since)).filter(|left| !left.is_zero())?;
        (*count >= self.bounds.wrong_tokens).then_some(left)
    }

    fn wrong(&mut self, source: Source, now: Instant) {
        let Self { bounds, by_source } = self;
        if by_source.len() >= bounds.sources && !by_source.contains_key(&source) {
            by_source.retain(|_, (_, since)| now.duration_since(*since) < bounds.window);
            let oldest = by_source.iter().min_by_key(|(_, (_, since))| *since).map(|(source, _)| *source);
            if let Some(oldest) = oldest.filter(|_| by_source.len() >= bounds.sources) {
                by_source.remove(&oldest);
            }
        }
        let (count, since) = by_source.entry(source).or_insert((0, now));
        if now.duration_since(*since) >= bounds.window {
            (*count, *since) = (0, now);
        }
        *count += 1;
    }
}

#[cfg(test)]
mod tests {
    use callboard::listen::{Door, Limits, Shutdown, bind, serve};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use callboard_core::site::Origin;

    use super::*;

    const WRONG_TOKENS: usize = 20;
    const WINDOW: Duration = Duration::from_mins(1);
    const SOURCES: usize = 64;
    const BOUNDS: Bounds =
        Bounds { wrong_tokens: WRONG_TOKENS, window: WINDOW, sources: SOURCES, ipv6_prefix: 64 };

    fn source(text: &str) -> Source {
        Source::of(Origin { site: None, address: text.parse().unwrap() }, 64)
    }

    #[test]
    fn a_source_is_banned_for_the_rest_of_its_minute() {
        let (mut guesses, now) = (Guesses::new(BOUNDS), Instant::now());
        let (guesser, other) = (source("192.0.2.1"), source("192.0.2.2"));
        for _ in 0..WRONG_TOKENS {
            assert_eq!(guesses.banned(guesser, now), None);
            guesses.wrong(guesser, now);
        }
        assert_eq!(guesses.banned(guesser, now + Duration::from_secs(50)), Some(Duration::from_secs(10)));
        assert_eq!(guesses.banned(other, now), None);
        assert_eq!(guesses.banned(guesser, now + WINDOW), None);
        guesses.wrong(guesser, now + WINDOW);
        assert_eq!(guesses.banned(guesser, now + WINDOW), None, "a new minute begins with nothing");
    }

    #[test]
    fn sources_are_bounded() {
        let (mut guesses, now) = (Guesses::new(BOUNDS), Instant::now());
        for number in 0..u32::try_from(SOURCES).unwrap() + 10 {
            let at = now + Duration::from_millis(u64::from(number));
            guesses.wrong(source(&std::net::Ipv4Addr::from(number).to_string()), at);
        }
        assert_eq!(guesses.by_source.len(), SOURCES);
        assert!(!guesses.by_source.contains_key(&source("0.0.0.0")), "the oldest is forgotten first");
        guesses.wrong(source("2001:db8::1"), now + 2 * WINDOW);
        assert_eq!(guesses.by_source.len(), 1, "those whose minute is over go first");
    }

    /// Takes one token, and counts what it is asked.
    struct Guarded(std::sync::atomic::AtomicU32);

    impl Handler for Guarded {
        type Body = Body;

        async fn call(&self, _: Arc<ConnInfo>, request: Request<RequestBody>) -> Response<Body> {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let right = request.headers().get(AUTHORIZATION).is_some_and(|token| token == "right");
            let mut response = Response::new(Body::empty());
            if !right {
                *response.status_mut() = StatusCode::UNAUTHORIZED;
            }
            response
        }
    }

    /// A door with a throttle.
    struct Guard {
        address: std::net::SocketAddr,
        handler: Arc<Throttled<Guarded>>,
        shutdown: Shutdown,
        door: tokio::task::JoinHandle<()>,
    }

    impl Guard {
        fn open(limits: Limits) -> Self {
            let bound = bind(Door::ADMIN, "127.0.0.1:0".parse().unwrap(), 16).unwrap();
            let (address, shutdown) = (bound.local_addr(), Shutdown::new());
            let handler = Arc::new(Throttled::new(Guarded(0.into()), BOUNDS));
            let serving = serve(bound, None, Arc::new(limits), Arc::clone(&handler), shutdown.clone());
            Self { address, handler, shutdown, door: tokio::spawn(serving) }
        }

        async fn status(&self, authorization: &str) -> String {
            let mut stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
            let request = format!("GET / HTTP/1.1\r\nConnection: close\r\n{authorization}\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer.split(' ').nth(1).unwrap().to_owned()
        }

        fn looked_at(&self) -> u32 {
            self.handler.inner.0.load(std::sync::atomic::Ordering::Relaxed)
        }

        async fn close(self) {
            self.shutdown.drain();
            self.door.await.unwrap();
        }
    }

    #[tokio::test]
    async fn after_many_wrong_tokens_not_even_the_right_one_is_looked_at() {
        let guarded = Guard::open(Limits::default());
        // Who brings no token does not guess.
        for _ in 0..WRONG_TOKENS {
            assert_eq!(guarded.status("").await, "401");
        }
        assert_eq!(guarded.status("Authorization: right\r\n").await, "200");
        for _ in 0..WRONG_TOKENS {
            assert_eq!(guarded.status("Authorization: wrong\r\n").await, "401");
        }
        let looked_at = guarded.looked_at();
        assert_eq!(guarded.status("Authorization: right\r\n").await, "429");
        assert_eq!(guarded.looked_at(), looked_at);
        guarded.close().await;
    }

    #[tokio::test]
    async fn nobody_behind_an_exempt_proxy_is_shut_out_by_another() {
        let exempt_networks = vec!["127.0.0.0/8".parse().unwrap()];
        let guarded = Guard::open(Limits { exempt_networks, ..Limits::default() });
        for _ in 0..=WRONG_TOKENS {
            assert_eq!(guarded.status("Authorization: wrong\r\n").await, "401");
        }
        assert_eq!(guarded.status("Authorization: right\r\n").await, "200");
        guarded.close().await;
    }

    #[test]
    fn the_refusal_says_when_to_come_again() {
        let response = refusal(Duration::from_millis(9_500));
        assert_eq!(
            (response.status().as_u16(), &response.headers()[RETRY_AFTER]),
            (429, &HeaderValue::from(10))
        );
        let problem: serde_json::Value = serde_json::from_str(PROBLEM).unwrap();
        assert_eq!(problem["status"], 429);
        let manual = include_str!("../../docs/api.md");
        assert!(manual.contains(&format!("| 429 | `{}` |", problem["type"].as_str().unwrap())));
        assert!(manual.contains(REFUSED));
    }
}
